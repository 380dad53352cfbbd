"""Triangles: a body's shapes and a skeleton's bones, each in the frame of the part that moves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from characters.body import Shape
from motion import rotation
from motion.rotation import Array

SIDES, RINGS = 16, 5
"""around a round shape, and from a hemisphere's rim to its pole"""
WAIST = 0.2
"""of a bone's length from its joint, where it is thickest"""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A surface; its faces turn anticlockwise seen from outside, and an edge is sharp where vertices are not shared."""

    vertices: Array
    """(V, 3) metres"""
    faces: np.ndarray
    """(F, 3) indices"""

    def moved(self, position: Array, turn: Array) -> Mesh:
        """Turned by a quaternion ``(4,)``, then shifted by ``(3,)``."""
        return Mesh(position + rotation.rotate(turn, self.vertices), self.faces)


EMPTY = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=int))


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces)) if meshes else EMPTY


def of_shape(shape: Shape) -> Mesh:
    """A shape in its link's frame."""
    if shape.kind in ("sphere", "capsule"):
        mesh = capsule(float(shape.size[0]), float(shape.size[1]))
    elif shape.kind == "box":
        mesh = hull(0.5 * shape.size * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]))
    elif shape.kind == "cylinder":
        mesh = cylinder(float(shape.size[0]), float(shape.size[1]))
    else:
        mesh = hull(shape.vertices)
    return mesh.moved(shape.position, shape.rotation)


def capsule(radius: float, length: float) -> Mesh:
    """A tube of ``length`` along z with round ends; a sphere if it is 0."""
    angle = np.arange(1, 2 * RINGS) * np.pi / (2 * RINGS)  # from the top pole to the bottom one
    if length > 0:  # the equator twice: the tube between
        angle = np.insert(angle, RINGS, np.pi / 2)
    z = radius * np.cos(angle) + 0.5 * length * np.where(np.arange(len(angle)) < RINGS, 1.0, -1.0)
    return _revolved(radius * np.sin(angle), z, radius + 0.5 * length)


def cylinder(radius: float, length: float) -> Mesh:
    """A tube of ``length`` along z with flat ends and sharp rims."""
    ring = np.array([1e-6 * radius, radius, radius, radius, radius, 1e-6 * radius])
    half = 0.5 * length
    mesh = _revolved(ring, np.array([half, half, half, -half, -half, -half]), half)
    sharp = (mesh.faces // SIDES == 1).any(axis=1) & (mesh.faces // SIDES == 2).any(axis=1)
    sharp |= (mesh.faces // SIDES == 3).any(axis=1) & (mesh.faces // SIDES == 4).any(axis=1)
    return Mesh(mesh.vertices, mesh.faces[~sharp])


def _revolved(radius: Array, z: Array, pole: float) -> Mesh:
    """Rings ``(R,)`` around z from the top down, closed by poles at ±``pole``."""
    turn = np.arange(SIDES) * (2 * np.pi / SIDES)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    vertices = np.concatenate([radius[:, None, None] * ring, np.broadcast_to(z[:, None, None], (len(z), SIDES, 1))], 2)
    here = np.arange(SIDES)
    after = (here + 1) % SIDES
    upper = SIDES * np.arange(len(z) - 1)[:, None]
    lower = upper + SIDES
    quads = [np.stack([upper + here, lower + here, lower + after], -1)]
    quads += [np.stack([upper + here, lower + after, upper + after], -1)]
    count = len(z) * SIDES
    caps = [np.stack([np.full(SIDES, count), here, after], 1)]
    caps += [np.stack([np.full(SIDES, count + 1), count - SIDES + after, count - SIDES + here], 1)]
    poles = np.array([[0, 0, pole], [0, 0, -pole]])
    return Mesh(
        np.concatenate([vertices.reshape(-1, 3), poles]), np.concatenate([*(q.reshape(-1, 3) for q in quads), *caps])
    )


def hull(points: Array) -> Mesh:
    """The convex hull of points ``(K, 3)``, its faces flat."""
    found = ConvexHull(points)
    corners = points[found.simplices]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("fi,fi->f", normal, found.equations[:, :3]) < 0
    corners[inward] = corners[inward, ::-1]
    return Mesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))


def bone(end: Array, radius: float) -> Mesh:
    """An octahedron from the origin to ``end`` ``(3,)``, thickest near its beginning."""
    length = float(np.linalg.norm(end))
    if length < 1e-6:
        return EMPTY
    waist = np.array([[radius, 0, 0], [0, radius, 0], [-radius, 0, 0], [0, -radius, 0]]) + [0, 0, WAIST * length]
    mesh = hull(np.concatenate([waist, [[0, 0, 0], [0, 0, length]]]))
    return mesh.moved(np.zeros(3), rotation.between(np.array([0.0, 0.0, 1.0]), end / length))
