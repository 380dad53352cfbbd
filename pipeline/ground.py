"""The ground of a picture: a checkered plane that fades away, with the shadows of what stands on it."""

from __future__ import annotations

import numpy as np

from motion.rotation import Array, unit
from pipeline.raycast import Block, Camera, Capsules, dot

BACKGROUND = np.array([0.985, 0.987, 0.992], dtype=np.float32)
TILES = np.array([[0.905, 0.915, 0.930], [0.800, 0.820, 0.850]], dtype=np.float32)
"""the two colours of the ground"""
SHADOW = 0.42
"""share of the light a full shadow takes"""


class Ground:
    """The checkered plane z = 0 under a camera that moves parallel to it, and the shadows on it.

    Args:
        camera: any position at the film's height; later cameras may differ in x and y only.
        tile: metres, side of a square.
        heading: radians, direction of the squares' rows.
        middle: (2,) metres, world, where the ground is clearest.
        reach: metres to the side of the middle, and before and behind it, where the ground has faded away.
    """

    def __init__(self, camera: Camera, *, tile: float, heading: float, middle: Array, reach: tuple[float, float]):
        width, height = camera.size
        x, y = camera.grid(1, (0, 0, width, height))
        start, way = camera.rays(x, y)
        rise, fall = dot(start, camera.axes[:, 2]) + camera.position[2], dot(way, camera.axes[:, 2])
        fall = np.broadcast_to(fall, (height, width))
        depth = -rise / np.where(fall < -1e-6, fall, -1e-6)
        points = [start[k] + depth * way[k] for k in range(3)]
        east, north = (sum(points[k] * camera.axes[k, axis] for k in range(3)) for axis in (0, 1))
        east_of, north_of = (p - (m - c) for p, m, c in zip((east, north), middle, camera.position, strict=False))
        aside = camera.right[0] * east_of + camera.right[1] * north_of
        beyond = camera.right[0] * north_of - camera.right[1] * east_of
        away = np.hypot(aside / reach[0], beyond / reach[1])
        fade = np.clip(1.6 * (1.0 - away), 0.0, 1.0) * (fall < -1e-6)
        cosine, sine = np.cos(heading), np.sin(heading)
        along, across = (cosine * east + sine * north) / tile, (cosine * north - sine * east) / tile
        self._rows = np.flatnonzero(fade.any(axis=1))
        cut = slice(self._rows[0], self._rows[-1] + 1) if len(self._rows) else slice(0, 0)
        self._cut, self._tile, self._turn = cut, tile, (cosine, sine)
        footprint = [np.abs(np.gradient(p, axis=0)) + np.abs(np.gradient(p, axis=1)) + 1e-6 for p in (along, across)]
        self._along, self._across, *self._footprint = (p[cut].astype(np.float32) for p in (along, across, *footprint))
        self._fade = (fade * fade * (3 - 2 * fade))[cut].astype(np.float32)
        self.light = camera.light
        side = unit(np.cross(self.light, [0.0, 0.0, 1.0]))
        self._plane = np.stack([side, np.cross(self.light, side)])
        q = self._plane[:, :2]
        self._q = [(q[k, 0] * east + q[k, 1] * north)[cut].astype(np.float32) for k in range(2)]

    def picture(self, camera: Camera, capsules: Capsules, blocks: list[Block]) -> np.ndarray:
        """Background, ground and shadows ``(H, W, 3)`` float32."""
        width, height = camera.size
        image = np.empty((height, width, 3), dtype=np.float32)
        image[:] = BACKGROUND
        east, north = camera.position[:2]
        cosine, sine = self._turn
        shift = (cosine * east + sine * north) / self._tile, (cosine * north - sine * east) / self._tile
        mix = 0.5 - 0.5 * self._stripes(0, shift[0]) * self._stripes(1, shift[1])
        lit = 1.0 - SHADOW * self._shadows(camera, capsules, blocks)
        for channel in range(3):
            tiles = (TILES[0, channel] + (TILES[1, channel] - TILES[0, channel]) * mix) * lit
            image[self._cut, :, channel] += self._fade * (tiles - BACKGROUND[channel])
        return image

    def _stripes(self, axis: int, shift: float) -> np.ndarray:
        """Square wave of ±1 along one axis, averaged over each pixel: the integral of a square wave is a triangle."""
        at = (self._along, self._across)[axis] + np.float32(shift % 2.0)
        half = 0.5 * self._footprint[axis]

        def triangle(p: np.ndarray) -> np.ndarray:
            p = 0.5 * p
            return np.abs(p - np.floor(p) - np.float32(0.5))

        return (triangle(at - half) - triangle(at + half)) / half

    def _shadows(self, camera: Camera, capsules: Capsules, blocks: list[Block]) -> np.ndarray:
        """Share of light taken ``(h, W)``: seen along the light, a capsule is a thick line and a block a convex polygon."""
        shade = np.zeros(self._fade.shape, dtype=np.float32)
        here = np.array([camera.position[0], camera.position[1], 0.0])
        starts, ends = ((p - here) @ self._plane.T for p in (capsules.start, capsules.end))
        for k, radius in enumerate(capsules.radius):
            edge = self._softness(0.5 * (capsules.start[k, 2] + capsules.end[k, 2]))
            tile = self._under(camera, np.stack([capsules.start[k], capsules.end[k]]), radius + edge)
            if tile is None:
                continue
            u, v = (q[tile] - np.float32(s) for q, s in zip(self._q, starts[k], strict=True))
            along = ends[k] - starts[k]
            share = np.clip((u * along[0] + v * along[1]) / max(along @ along, 1e-12), 0.0, 1.0)
            distance = np.hypot(u - share * along[0], v - share * along[1]) - radius
            shade[tile] = np.maximum(shade[tile], np.clip(0.5 - 0.5 * distance / edge, 0.0, 1.0))
        for block in blocks:
            edge = self._softness(float(block.vertices[:, 2].mean()))
            tile = self._under(camera, block.vertices, edge)
            if tile is None:
                continue
            flat = (block.vertices - here) @ self._plane.T
            distance = np.full(shade[tile].shape, -np.inf, dtype=np.float32)
            for normal, offset in _outline(flat):
                np.maximum(distance, self._q[0][tile] * normal[0] + self._q[1][tile] * normal[1] - offset, out=distance)
            shade[tile] = np.maximum(shade[tile], np.clip(0.5 - 0.5 * distance / edge, 0.0, 1.0))
        return shade

    @staticmethod
    def _softness(height: float) -> float:
        return 0.008 + 0.035 * max(height, 0.0)

    def _under(self, camera: Camera, points: Array, radius: float) -> tuple[slice, slice] | None:
        """The picture's rectangle that holds the shadow of ``points`` ``(K, 3)`` grown by ``radius``."""
        ground = points - points[:, 2:] / self.light[2] * self.light
        corners = radius / self.light[2] * np.array([[-1, -1, 0], [-1, 1, 0], [1, -1, 0], [1, 1, 0]])
        pixels = camera.project((ground[:, None] + corners).reshape(-1, 3)) - np.array([0, self._cut.start])
        limit = np.array([self._fade.shape[1], self._fade.shape[0]])
        low, high = (np.clip(p, 0, limit).astype(int) for p in (np.floor(pixels.min(0)), np.ceil(pixels.max(0)) + 1))
        return None if (high <= low).any() else (slice(low[1], high[1]), slice(low[0], high[0]))


def _outline(points: Array) -> list[tuple[Array, float]]:
    """Edges (outward normal, offset) of the convex hull of points ``(K, 2)``: gift wrapping by angle."""
    at = int(np.lexsort((points[:, 1], points[:, 0]))[0])
    edges, first = [], at
    for _ in range(len(points)):
        way = points - points[at]
        length = np.hypot(way[:, 0], way[:, 1])
        best = -1
        for k in np.flatnonzero(length > 1e-9):
            turn = 0.0 if best < 0 else way[best, 0] * way[k, 1] - way[best, 1] * way[k, 0]
            if best < 0 or turn < -1e-15 or (abs(turn) <= 1e-15 and length[k] > length[best]):
                best = int(k)
        if best < 0:
            break
        normal = np.array([way[best, 1], -way[best, 0]]) / length[best]
        edges.append((normal, float(normal @ points[at])))
        at = best
        if at == first:
            break
    return edges
