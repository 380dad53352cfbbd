"""Where a body's shapes are: their lowest points, and points to follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from characters.body import Shape
from motion import rotation
from motion.rotation import Array

if TYPE_CHECKING:
    from characters.character import Character
    from characters.kinematics import Pose

RIM = 16
"""points that stand for a cylinder's rim; its lowest point is then at most 2 % of the radius too high"""
CORNERS = 0.5 * np.array(list(product((-1.0, 1.0), repeat=3)))
"""(8, 3) of a box of edge 1"""


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """Balls whose lowest points are the body's lowest points."""

    points: Array
    """(K, 3) centres in link frames, metres"""
    radius: Array
    """(K,) metres, 0 for a corner"""
    link: np.ndarray
    """(K,) index of the link"""
    shape: np.ndarray
    """(K,) index into the body's shapes"""


def support(shapes: Sequence[Shape]) -> Support:
    """Support balls of any shapes.

    A box is its 8 corners, a sphere itself, a capsule its two ends, a cylinder its rims, a mesh the corners of its convex hull.
    """
    points, radius, link, index = [np.zeros((0, 3))], [np.zeros(0)], [np.zeros(0, int)], [np.zeros(0, int)]
    for i, shape in enumerate(shapes):
        local, ball = _balls(shape)
        points.append(shape.position + rotation.rotate(shape.rotation, local))
        radius.append(np.full(len(local), ball))
        link.append(np.full(len(local), shape.link))
        index.append(np.full(len(local), i))
    return Support(np.concatenate(points), np.concatenate(radius), np.concatenate(link), np.concatenate(index))


def _balls(shape: Shape) -> tuple[Array, float]:
    """Centres (k, 3) in the shape's frame and their common radius."""
    size = shape.size
    if shape.kind == "sphere":
        return np.zeros((1, 3)), float(size[0])
    if shape.kind == "capsule":
        return np.array([[0.0, 0.0, -0.5 * size[1]], [0.0, 0.0, 0.5 * size[1]]]), float(size[0])
    if shape.kind == "box":
        return CORNERS * size, 0.0
    if shape.kind == "cylinder":
        angle = np.arange(RIM) * (2 * np.pi / RIM)
        rim = np.stack([size[0] * np.cos(angle), size[0] * np.sin(angle), np.full(RIM, 0.5 * size[1])], axis=-1)
        return np.concatenate([rim, rim * np.array([1.0, 1.0, -1.0])]), 0.0
    return shape.vertices, 0.0


def support_points(character: Character) -> Support:
    """The support balls of a body's collision shapes."""
    return character.support


def centres(character: Character, pose: Pose) -> Array:
    """World positions ``(T, K, 3)`` of the support balls' centres."""
    balls = character.support
    return pose.positions[:, balls.link] + rotation.rotate(pose.rotations[:, balls.link], balls.points)


def heights(character: Character, pose: Pose) -> Array:
    """Lowest z ``(T, K)`` of every support ball, metres."""
    balls = character.support
    w, x, y, z = np.moveaxis(pose.rotations[:, balls.link], -1, 0)
    a, b, c = balls.points.T
    up = 2.0 * (x * z - w * y) * a + 2.0 * (y * z + w * x) * b + (1.0 - 2.0 * (x * x + y * y)) * c
    return pose.positions[:, balls.link, 2] + up - balls.radius


def link_heights(character: Character, pose: Pose) -> Array:
    """Lowest z ``(T, L)`` of every link's shapes, metres; inf where a link has none."""
    return per_link(character, heights(character, pose))


def per_link(character: Character, values: Array) -> Array:
    """Minimum ``(T, L)`` over each link of values ``(T, K)`` of the support balls; inf where a link has none."""
    out = np.full((len(values), len(character.links)), np.inf)
    for link in np.unique(character.support.link):
        out[:, link] = values[:, character.support.link == link].min(axis=1)
    return out


def lowest_points(character: Character, pose: Pose) -> Array:
    """World position ``(T, K, 3)`` of the lowest point of every support ball."""
    return centres(character, pose) - character.support.radius[:, None] * np.array([0.0, 0.0, 1.0])


def displacements(character: Character, pose: Pose) -> Array:
    """How far the body-fixed points that are lowest in a frame move until the next: ``(T − 1, K, 3)``, metres.

    A rolling ball does not slide: its point of contact is followed with the link, not the ball's centre.
    """
    link = character.support.link
    points = lowest_points(character, pose)[:-1]
    positions, rotations = pose.positions[:, link], pose.rotations[:, link]
    local = rotation.rotate(rotation.conjugate(rotations[:-1]), points - positions[:-1])
    return positions[1:] + rotation.rotate(rotations[1:], local) - points
