"""Feet and ground in the solve: where standing feet are pinned, how high swinging feet go, that nothing sinks.

While a foot stands, its sole is one rigid print on the ground, (x, y, heading); heel strike and toe-off roll about the print's
edges. So a pinned foot neither slides nor drifts, and still rolls as the source does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from characters import kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.rotation import Array
from retarget.assemble import Rows
from retarget.targets import Targets

if TYPE_CHECKING:
    from retarget.solve import SolveSettings

SOLE = 0.01
"""metres: points this far above the lowest one carry 1/e of its weight in a print"""
MISFIT = 0.02
"""metres: a stance whose points stray further than this from a flat print is pinned point by point"""


def intervals(flags: np.ndarray) -> list[tuple[int, int]]:
    """Unbroken runs ``[start, stop)`` of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Anchors of all standing feet and the clearance of swinging ones."""

    support: shapes.Support
    stance: dict[int, np.ndarray]
    """foot link → (T,) bool"""
    clearance: dict[int, Array]
    """foot link → (T,) metres"""
    anchors: dict[int, Array]
    """foot link → (T, K, 2) where each of its K support points belongs while it stands"""

    @classmethod
    def of(cls, character: Character, targets: Targets) -> Footprints:
        """Fit a print to every stance of the first guess."""
        support = shapes.support_points(character)
        pose = kinematics.forward(character, targets.qpos)
        rest = kinematics.forward(character, character.rest[None])
        stance, clearance, anchors = {}, {}, {}
        for name, flags in targets.stance.items():
            link = character.link(name)
            points = support.points[support.link == link]
            radius = support.radius[support.link == link]
            world = place(pose, link, points)
            flat = place(rest, link, points)[0, :, :2]
            out = world[..., :2].copy()
            height = world[..., 2] - radius
            weight = np.exp(-(height - height.min(axis=1, keepdims=True)) / SOLE)
            for start, stop in intervals(flags):
                out[start:stop] = _print(world[start:stop, :, :2], weight[start:stop], flat)
            stance[link], clearance[link], anchors[link] = np.asarray(flags, dtype=bool), targets.clearance[name], out
        return cls(support, stance, clearance, anchors)

    def slice(self, start: int, stop: int) -> Footprints:
        """Frames ``start:stop``."""
        return Footprints(
            self.support,
            {k: v[start:stop] for k, v in self.stance.items()},
            {k: v[start:stop] for k, v in self.clearance.items()},
            {k: v[start:stop] for k, v in self.anchors.items()},
        )

    def add(self, rows: Rows, pose: kinematics.Pose, settings: SolveSettings) -> None:
        """Add pins, clearance and the ground to the rows."""
        root = pose.positions[:, 0]
        support = self.support
        for link in np.unique(support.link):
            which = np.flatnonzero(support.link == link)
            points = place(pose, link, support.points[which])
            height = points[..., 2] - support.radius[which]
            lowest = height.min(axis=1, keepdims=True)
            share = np.exp(-(height - lowest) / SOLE)
            stands = self.stance.get(link)
            for k in range(len(which)):
                below = height[:, k] < 0
                level = np.zeros(len(root))
                vertical = np.where(below, settings.ground, 0.0)
                error = np.zeros((3, len(root)))
                error[2] = -height[:, k]
                if stands is not None:
                    level = np.where(stands, settings.pin * share[:, k], 0.0)
                    error[:2] = (self.anchors[link][:, k] - points[:, k, :2]).T
                    vertical = np.where(stands & ~below, settings.ground * share[:, k], vertical)
                    swings = ~stands & ~below
                    vertical = np.where(swings, settings.clearance * share[:, k] ** 2, vertical)
                    error[2] = np.where(swings, self.clearance[link] - lowest[:, 0], error[2])
                if level.any() or vertical.any():
                    rows.point(link, (points[:, k] - root).T, level, vertical, error)


def place(pose: kinematics.Pose, link: int, points: Array) -> Array:
    """World positions ``(T, K, 3)`` of points ``(K, 3)`` fixed to a link."""
    return pose.positions[:, None, link] + rotation.rotate(pose.rotations[:, None, link], points)


def _print(points: Array, weight: Array, flat: Array) -> Array:
    """Anchors ``(K, 2)`` for one stance.

    Args:
        points: (T, K, 2) where the sole's points are in the first guess.
        weight: (T, K) 1 for the lowest point, falling with height.
        flat: (K, 2) the points of the foot standing flat.

    The print is the rigid placement of ``flat`` that fits best (Kabsch in the plane).
    """
    total = weight.sum()
    centre = np.einsum("tk,tki->i", weight, points) / total
    origin = np.einsum("tk,ki->i", weight, flat) / total
    a, b = flat - origin, points - centre
    dot = np.einsum("tk,ki,tki->", weight, a, b)
    cross = np.einsum("tk,tk->", weight, a[:, 0] * b[..., 1] - a[:, 1] * b[..., 0])
    theta = np.arctan2(cross, dot)
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    anchors = centre + a @ turn.T
    misfit = np.sqrt(np.einsum("tk,tki->", weight, (points - anchors) ** 2) / total)
    if misfit > MISFIT:
        means = np.einsum("tk,tki->ki", weight, points) / weight.sum(axis=0)[:, None]
        return means
    return anchors
