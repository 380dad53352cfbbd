"""A small renderer for figures made of convex solids on a checkered ground: exact rays, no mesh, no GPU.

Each solid is intersected analytically with the rays of its own screen rectangle, at twice the picture's resolution;
shading happens once, where something was hit. Camera coordinates are (right, up, forward).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from motion.rotation import Array, unit

SAMPLES = 2
"""rays per pixel and direction, averaged against jagged edges"""
BACKGROUND = np.array([0.985, 0.987, 0.992], dtype=np.float32)
TILES = np.array([[0.905, 0.915, 0.930], [0.800, 0.820, 0.850]], dtype=np.float32)
"""the two colours of the ground"""
LIGHT = unit(np.array([-0.45, -0.55, 1.1]))
"""(3,) towards the light: along the camera's right, its level forward, and up; so from above, left and behind the camera"""
SHADOW = 0.42
"""share of the light a full shadow takes"""
NEAR = 0.05
"""metres before the camera where nothing is drawn any more"""
AMBIENT, DIFFUSE, GLOSS = 0.52, 0.66, 0.12
OUTLINE, EDGE = 0.35, 0.62
"""cosine of the angle of view below which a surface darkens towards its rim, and the light left there"""
HIDDEN = -1e-3
"""metres: what is lower is under the ground, which hides it"""


@dataclass(frozen=True, slots=True, eq=False)
class Capsules:
    """Spheres swept along segments; a segment of length 0 is a sphere."""

    start: Array
    """(N, 3) metres, world"""
    end: Array
    """(N, 3) metres, world"""
    radius: Array
    """(N,) metres"""
    colour: Array
    """(N, 3) in [0, 1]"""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A convex polyhedron: all points with normals · p ≤ offsets."""

    vertices: Array
    """(K, 3) metres, world"""
    normals: Array
    """(H, 3) outward unit normals, world"""
    offsets: Array
    """(H,) metres"""
    colour: Array
    """(3,) in [0, 1]"""


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole, or with ``parallel`` a parallel projection; the horizon is level."""

    position: Array
    """(3,) metres, world"""
    forward: Array
    """(3,) unit, world"""
    right: Array
    """(3,) unit, world, horizontal"""
    focal: float
    """pixels per unit of tangent; pixels per metre of a parallel projection"""
    size: tuple[int, int]
    """width, height in pixels"""
    parallel: bool = False

    @cached_property
    def axes(self) -> Array:
        """(3, 3) rows right, up, forward in the world."""
        return np.stack([self.right, np.cross(self.right, self.forward), self.forward])

    @property
    def light(self) -> Array:
        """(3,) unit, world: the direction of the light, which goes with the camera's heading."""
        level = np.cross([0.0, 0.0, 1.0], self.right)
        return LIGHT[0] * self.right + LIGHT[1] * level + LIGHT[2] * np.array([0.0, 0.0, 1.0])

    @classmethod
    def looking(
        cls, at: Array, yaw: float, elevation: float, distance: float, focal: float, size: tuple[int, int], *, parallel: bool = False
    ) -> Camera:
        """Camera at ``distance`` metres from the point ``at``, looking along heading ``yaw``, ``elevation`` radians downwards."""
        forward = np.array([np.cos(yaw) * np.cos(elevation), np.sin(yaw) * np.cos(elevation), -np.sin(elevation)])
        right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        return cls(at - distance * forward, forward, right, focal, size, parallel)

    def moved(self, shift: Array) -> Camera:
        """The same camera moved by ``shift`` (3,) metres."""
        return replace(self, position=self.position + shift)

    def local(self, points: Array) -> Array:
        """World points ``(…, 3)`` in camera coordinates."""
        return (points - self.position) @ self.axes.T

    def project(self, points: Array) -> Array:
        """Pixel coordinates ``(…, 2)`` (column, row) of world points ``(…, 3)``."""
        local = self.local(points)
        scale = self.focal if self.parallel else self.focal / np.maximum(local[..., 2:], NEAR)
        return scale * local[..., :2] * np.array([1.0, -1.0]) + 0.5 * np.array(self.size)

    def grid(self, samples: int, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Image-plane coordinates: row ``(1, w)`` of x and column ``(h, 1)`` of y, of the samples in ``box`` (c0, r0, c1, r1)."""
        c0, r0, c1, r1 = box
        x = ((np.arange(c0, c1) + 0.5) / samples - 0.5 * self.size[0]) / self.focal
        y = (0.5 * self.size[1] - (np.arange(r0, r1) + 0.5) / samples) / self.focal
        return x[None, :], y[:, None]

    def rays(self, x: np.ndarray, y: np.ndarray, origin: Array = np.zeros(3)) -> tuple[tuple, tuple]:
        """Start (minus ``origin``, camera coordinates) and direction of rays, as triples that broadcast; depth is their parameter."""
        if self.parallel:
            return (x - origin[0], y - origin[1], -origin[2]), (0.0, 0.0, 1.0)
        return (-origin[0], -origin[1], -origin[2]), (x, y, 1.0)


def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


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
        rise, fall = _dot(start, camera.axes[:, 2]) + camera.position[2], _dot(way, camera.axes[:, 2])
        fall = np.broadcast_to(fall, (height, width))
        depth = -rise / np.where(fall < -1e-6, fall, -1e-6)
        points = [start[k] + depth * way[k] for k in range(3)]
        east, north = (sum(points[k] * camera.axes[k, axis] for k in range(3)) for axis in (0, 1))
        east_of, north_of = east - middle[0], north - middle[1]
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
        """Square wave of ±1 along one axis, averaged over each pixel's footprint (the integral of a square wave is a triangle)."""
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


def draw(camera: Camera, ground: Ground | None, capsules: Capsules, blocks: list[Block]) -> np.ndarray:
    """One picture ``(H, W, 3)`` uint8; what lies under the ground is hidden by it."""
    width, height = camera.size
    image = np.empty((height, width, 3), dtype=np.float32)
    image[:] = BACKGROUND
    if ground is not None:
        image = ground.picture(camera, capsules, blocks)
    buffer = _Buffer.covering(camera, capsules, blocks)
    if buffer is not None:
        buffer.draw_capsules(capsules)
        for k, block in enumerate(blocks):
            buffer.draw_block(block, len(capsules.radius) + k)
        colours = np.concatenate([capsules.colour.reshape(-1, 3), *(b.colour[None] for b in blocks)])
        buffer.compose(image, colours)
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


class _Buffer:
    """Depth, normal and owner of each sample in the rectangle that holds all solids."""

    def __init__(self, camera: Camera, box: tuple[int, int, int, int], rectangles: np.ndarray):
        self.camera, self.box, self.rectangles = camera, box, rectangles
        shape = (box[3] - box[1], box[2] - box[0])
        self.depth = np.full(shape, np.inf)
        self.normal = np.zeros((3, *shape), dtype=np.float32)
        self.owner = np.full(shape, -1, dtype=np.int16)

    @classmethod
    def covering(cls, camera: Camera, capsules: Capsules, blocks: list[Block]) -> _Buffer | None:
        """A buffer for these solids; None if none is in the picture."""
        balls = np.concatenate([capsules.start, capsules.end, *(b.vertices for b in blocks)])
        radii = np.concatenate([capsules.radius, capsules.radius, *(np.zeros(len(b.vertices)) for b in blocks)])
        count = len(capsules.radius)
        owner = np.concatenate([np.arange(count), np.arange(count), *(np.full(len(b.vertices), count + k) for k, b in enumerate(blocks))])
        if not len(balls):
            return None
        local = camera.local(balls)
        gap = local[:, 2] - radii
        reach = camera.focal * radii * (1.0 if camera.parallel else 1.15 / np.maximum(gap, NEAR))
        pixels = camera.project(balls)
        low, high = np.full((owner.max() + 1, 2), np.inf), np.full((owner.max() + 1, 2), -np.inf)
        np.minimum.at(low, owner, pixels - reach[:, None])
        np.maximum.at(high, owner, pixels + reach[:, None])
        behind = np.zeros(len(low), dtype=bool)
        np.logical_or.at(behind, owner, gap < NEAR)
        limit = np.array(camera.size)
        low, high = np.clip(np.floor(low), 0, limit).astype(int), np.clip(np.ceil(high), 0, limit).astype(int)
        high[behind] = low[behind]
        seen = (high > low).all(axis=1)
        if not seen.any():
            return None
        rectangles = np.concatenate([low, np.where(seen[:, None], high, low)], axis=1) * SAMPLES
        c0, r0 = rectangles[seen, :2].min(axis=0)
        c1, r1 = rectangles[seen, 2:].max(axis=0)
        return cls(camera, (int(c0), int(r0), int(c1), int(r1)), rectangles)

    def _tile(self, owner: int) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
        c0, r0, c1, r1 = (int(v) for v in self.rectangles[owner])
        if c1 <= c0 or r1 <= r0:
            return None
        x, y = self.camera.grid(SAMPLES, (c0, r0, c1, r1))
        return (slice(r0 - self.box[1], r1 - self.box[1]), slice(c0 - self.box[0], c1 - self.box[0])), x, y

    def _store(self, tile: tuple[slice, slice], hit: np.ndarray, depth: np.ndarray, normal: tuple, owner: int) -> None:
        """Keep the samples that are hit first by this solid, above the ground. ``normal``: triple that broadcasts."""
        nearer = hit & (depth < self.depth[tile]) & (depth > NEAR)
        self.depth[tile][nearer] = depth[nearer]
        self.owner[tile][nearer] = owner
        for k in range(3):
            self.normal[k][tile][nearer] = np.broadcast_to(normal[k], depth.shape)[nearer]

    def draw_capsules(self, capsules: Capsules) -> None:
        """Ray against capsule (the quadratic of the cylinder, then of the sphere at the end that was passed)."""
        starts, ends = self.camera.local(capsules.start), self.camera.local(capsules.end)
        for owner, (a, b, radius) in enumerate(zip(starts, ends, capsules.radius, strict=True)):
            found = self._tile(owner)
            if found is None:
                continue
            tile, x, y = found
            axis = b - a
            start, way = self.camera.rays(x, y, a)
            length, dd, ad, ao = axis @ axis, _dot(way, way), _dot(axis, way), _dot(axis, start)
            do, oo = _dot(way, start), _dot(start, start)
            if length > 1e-12:
                square = np.maximum(length * dd - ad * ad, 1e-12)
                linear = length * do - ao * ad
                root = linear * linear - square * (length * oo - ao * ao - radius * radius * length)
                depth = (-linear - np.sqrt(np.maximum(root, 0.0))) / square
                passed = np.where(ao + depth * ad > 0.5 * length, 1.0, 0.0)
                on_side = (root >= 0.0) & (np.abs(ao + depth * ad - 0.5 * length) < 0.5 * length)
            else:
                depth, passed, on_side = 0.0, 0.0, False
            linear, constant = do - passed * ad, oo + passed * (length - 2.0 * ao) - radius * radius
            root = linear * linear - dd * constant
            depth = np.where(on_side, depth, (-linear - np.sqrt(np.maximum(root, 0.0))) / dd)
            share = np.clip((ao + depth * ad) / max(length, 1e-12), 0.0, 1.0)
            normal = tuple((start[k] + depth * way[k] - share * axis[k]) / radius for k in range(3))
            self._store(tile, on_side | (root >= 0.0), depth, normal, owner)

    def draw_block(self, block: Block, owner: int) -> None:
        """Ray against convex polyhedron: the last plane entered, before the first one left."""
        found = self._tile(owner)
        if found is None:
            return
        tile, x, y = found
        start, way = self.camera.rays(x, y)
        normals = block.normals @ self.camera.axes.T
        offsets = block.offsets - block.normals @ self.camera.position
        shape = (y.shape[0], x.shape[1])
        enter, leave = np.full(shape, -np.inf), np.full(shape, np.inf)
        facing = np.zeros(shape, dtype=np.int16)
        for k, (normal, offset) in enumerate(zip(normals, offsets, strict=True)):
            slope = np.broadcast_to(_dot(normal, way), shape)
            cross = (offset - _dot(normal, start)) / np.where(np.abs(slope) < 1e-9, -1e-9, slope)
            later = (slope < 0.0) & (cross > enter)
            enter[later] = cross[later]
            facing[later] = k
            np.copyto(leave, np.minimum(leave, cross), where=slope >= 0.0)
        self._store(tile, enter <= leave, enter, tuple(normals[facing, k] for k in range(3)), owner)

    def compose(self, image: np.ndarray, colours: Array) -> None:
        """Shade the samples that were hit, average them to pixels and lay them over ``image`` ``(H, W, 3)`` float32 in place."""
        camera, (c0, r0, c1, r1) = self.camera, self.box
        owner, up = self.owner, camera.axes[:, 2].astype(np.float32)
        x, y = camera.grid(SAMPLES, self.box)
        row, column = np.nonzero(owner >= 0)
        start, way = camera.rays(x[0, column].astype(np.float32), y[row, 0].astype(np.float32))
        level = camera.position[2] + _dot(start, up) + self.depth[row, column] * _dot(way, up)
        row, column = row[level > HIDDEN], column[level > HIDDEN]
        start, way = camera.rays(x[0, column].astype(np.float32), y[row, 0].astype(np.float32))
        normal = self.normal[:, row, column]
        edge = np.zeros(owner.shape, dtype=bool)
        edge[1:] |= owner[1:] != owner[:-1]
        edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
        towards = (camera.axes @ camera.light).astype(np.float32)
        half = unit(towards + [0.0, 0.0, -1.0]).astype(np.float32)
        facing = np.clip(-_dot(normal, way) / np.sqrt(_dot(way, way)), 0.0, OUTLINE) / OUTLINE
        light = AMBIENT * (0.775 + 0.225 * (up @ normal)) + DIFFUSE * np.clip(0.25 + 0.75 * (towards @ normal), 0.0, 1.0)
        light *= (EDGE + (1.0 - EDGE) * facing) * np.where(edge[row, column], EDGE, 1.0)
        gloss = GLOSS * np.clip(half @ normal, 0.0, 1.0) ** 24
        part = image[r0 // SAMPLES : r1 // SAMPLES, c0 // SAMPLES : c1 // SAMPLES]
        pixel = (row // SAMPLES) * part.shape[1] + column // SAMPLES
        count = part.shape[0] * part.shape[1]
        part *= 1.0 - (np.bincount(pixel, minlength=count) / SAMPLES**2).reshape(*part.shape[:2], 1)
        for channel in range(3):
            shade = (colours[owner[row, column], channel] * light + gloss) / SAMPLES**2
            part[..., channel] += np.bincount(pixel, shade, minlength=count).reshape(part.shape[:2])
