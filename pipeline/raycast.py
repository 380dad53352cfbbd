"""A small renderer for figures made of convex solids: exact rays, no mesh, no GPU.

Each solid is intersected analytically with the rays of its own screen rectangle, at twice the picture's resolution;
shading happens once, where something was hit. Camera coordinates are (right, up, forward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from motion.rotation import Array, unit

SAMPLES = 2
"""rays per pixel and direction, averaged against jagged edges"""
LIGHT = unit(np.array([-0.45, -0.55, 1.1]))
"""(3,) towards the light: along the camera's right, its level forward, and up; so from above, left and behind the camera"""
NEAR = 0.05
"""metres before the camera where nothing is drawn any more"""
AMBIENT, DIFFUSE, GLOSS = 0.52, 0.66, 0.12
OUTLINE, EDGE = 0.35, 0.62
"""cosine of the angle of view below which a surface darkens towards its rim, and the light left there"""
HIDDEN = -1e-3
"""metres: what is lower is under the ground, which hides it"""


ORIGIN: Array = np.zeros(3)
Triple = Sequence | np.ndarray
"""three coordinates, each a number or an array"""


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
        cls,
        at: Array,
        yaw: float,
        elevation: float,
        distance: float,
        focal: float,
        size: tuple[int, int],
        *,
        parallel: bool = False,
    ) -> Camera:
        """Camera ``distance`` metres from the point ``at``, looking along heading ``yaw`` and ``elevation`` radians down."""
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
        """Image-plane x ``(1, w)`` and y ``(h, 1)`` of the samples in ``box`` (c0, r0, c1, r1)."""
        c0, r0, c1, r1 = box
        x = ((np.arange(c0, c1) + 0.5) / samples - 0.5 * self.size[0]) / self.focal
        y = (0.5 * self.size[1] - (np.arange(r0, r1) + 0.5) / samples) / self.focal
        return x[None, :], y[:, None]

    def rays(self, x: np.ndarray, y: np.ndarray, origin: Array = ORIGIN) -> tuple[tuple, tuple]:
        """Start (minus ``origin``) and direction of rays, camera coordinates; triples that broadcast, scaled to unit depth."""
        if self.parallel:
            return (x - origin[0], y - origin[1], -origin[2]), (0.0, 0.0, 1.0)
        return (-origin[0], -origin[1], -origin[2]), (x, y, 1.0)


def dot(a: Triple, b: Triple):
    """Scalar product of triples that broadcast."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def draw(image: np.ndarray, camera: Camera, capsules: Capsules, blocks: list[Block]) -> None:
    """Draw solids over a picture ``(H, W, 3)`` float32, in place; what lies under the ground is hidden by it."""
    buffer = _Buffer.covering(camera, capsules, blocks)
    if buffer is None:
        return
    buffer.draw_capsules(capsules)
    for k, block in enumerate(blocks):
        buffer.draw_block(block, len(capsules.radius) + k)
    buffer.compose(image, np.concatenate([capsules.colour.reshape(-1, 3), *(b.colour[None] for b in blocks)]))


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
        owner = np.concatenate(
            [np.arange(count), np.arange(count), *(np.full(len(b.vertices), count + k) for k, b in enumerate(blocks))]
        )
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
        seen = np.all(high > low, axis=1)
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
            length, dd, ad, ao = axis @ axis, dot(way, way), dot(axis, way), dot(axis, start)
            do, oo = dot(way, start), dot(start, start)
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
            slope = np.broadcast_to(dot(normal, way), shape)
            slope = np.where(
                np.abs(slope) < 1e-9, 1e-9, slope
            )  # along the plane: it is left far ahead, or never entered
            cross = (offset - dot(normal, start)) / slope
            later = (slope < 0.0) & (cross > enter)
            enter[later] = cross[later]
            facing[later] = k
            np.copyto(leave, np.minimum(leave, cross), where=slope >= 0.0)
        self._store(tile, enter <= leave, enter, tuple(normals[facing, k] for k in range(3)), owner)

    def compose(self, image: np.ndarray, colours: Array) -> None:
        """Shade the samples that were hit, average them to pixels and lay them over ``image`` ``(H, W, 3)`` in place."""
        camera, (c0, r0, c1, r1) = self.camera, self.box
        owner, up = self.owner, camera.axes[:, 2].astype(np.float32)
        x, y = camera.grid(SAMPLES, self.box)
        row, column = np.nonzero(owner >= 0)
        start, way = camera.rays(x[0, column].astype(np.float32), y[row, 0].astype(np.float32))
        level = camera.position[2] + dot(start, up) + self.depth[row, column] * dot(way, up)
        if not (level > HIDDEN).all():
            row, column = row[level > HIDDEN], column[level > HIDDEN]
            start, way = camera.rays(x[0, column].astype(np.float32), y[row, 0].astype(np.float32))
        normal = self.normal[:, row, column]
        edge = np.zeros(owner.shape, dtype=bool)
        edge[1:] |= owner[1:] != owner[:-1]
        edge[:, 1:] |= owner[:, 1:] != owner[:, :-1]
        towards = (camera.axes @ camera.light).astype(np.float32)
        half = unit(towards + [0.0, 0.0, -1.0]).astype(np.float32)
        facing = np.clip(-dot(normal, way) / np.sqrt(dot(way, way)), 0.0, OUTLINE) / OUTLINE
        light = AMBIENT * (0.775 + 0.225 * (up @ normal)) + DIFFUSE * np.clip(
            0.25 + 0.75 * (towards @ normal), 0.0, 1.0
        )
        light *= (EDGE + (1.0 - EDGE) * facing) * np.where(edge[row, column], EDGE, 1.0)
        eighth = np.square(np.square(np.square(np.clip(half @ normal, 0.0, 1.0))))
        gloss = GLOSS * eighth * eighth * eighth  # the 24th power, several times as fast as pow
        part = image[r0 // SAMPLES : r1 // SAMPLES, c0 // SAMPLES : c1 // SAMPLES]
        pixel = (row // SAMPLES) * part.shape[1] + column // SAMPLES
        count = part.shape[0] * part.shape[1]
        part *= 1.0 - (np.bincount(pixel, minlength=count) / SAMPLES**2).reshape(*part.shape[:2], 1)
        for channel in range(3):
            shade = (colours[owner[row, column], channel] * light + gloss) / SAMPLES**2
            part[..., channel] += np.bincount(pixel, shade, minlength=count).reshape(part.shape[:2])
