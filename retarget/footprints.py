"""Feet and ground in the solve: where standing feet are pinned, how high swinging feet go, that nothing sinks.

While a foot stands, its sole is one rigid print on the ground, (x, y, heading); heel strike and toe-off roll about the print's
edges. So a pinned foot neither slides nor drifts, and still rolls as the source does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from characters import kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.contacts import REFERENCE_HEIGHT
from motion.rotation import Array
from retarget.assemble import Placed, Rows
from retarget.targets import Targets, intervals

if TYPE_CHECKING:
    from retarget.solve import SolveSettings

PIN_SHARE = 0.007
"""metres: a point this far above the foot's lowest one is pinned with 1/e of the weight"""
REST_SHARE = 0.003
"""metres: the same for being held down to the ground; less, or a foot that lands heel first would be slapped flat"""
MISFIT = 0.06
"""metres: a stance whose points stray further than this from a flat print is pinned point by point"""
STRAY = 0.05
"""metres (body 1.7 m high): a print follows a source foot that creeps further than this to either side"""
PIVOT = np.deg2rad(20.0)
"""and one that turns further than this"""
STEP_TIME = 0.08
"""seconds a print takes to follow: a slow step would neither stand nor step"""
SWING_TIME = 0.08
"""seconds after (and before) a stance in which clearance comes to count"""
HIGH = 0.06
"""metres: so high above the ground a swinging foot's height counts with 1/e of the weight"""
LOWERING = 0.4
"""share of the weight with which a foot that swings higher than it should is brought down"""
DOWN, STILL = 0.02, 0.1
"""metres and metres per second (body 1.7 m high): a foot lower and slower than this stands, if its source does"""
TOUCHING = 0.005
"""metres above the lowest: the points whose speed counts"""
HOLD_TIME = 0.03
"""seconds at each end of a stance over which the pin gives way, so that a foot lands and leaves without a jerk"""
SOFTEST = 0.003
"""share of the pin's weight that is left there"""
CREEP = 0.06
"""metres per second: a print that moves faster does not count as standing"""


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Anchors of all standing feet and the clearance of swinging ones."""

    support: shapes.Support
    stance: dict[int, np.ndarray]
    """foot link → (T,) bool"""
    clearance: dict[int, Array]
    """foot link → (T,) metres"""
    swing: dict[int, Array]
    """foot link → (T,) how much its clearance counts: 0 in stance, 1 well away from any"""
    hold: dict[int, Array]
    """foot link → (T,) how firmly it is pinned: 1 in the middle of a stance, little at its ends"""
    anchors: dict[int, Array]
    """foot link → (T, K, 2) where each of its K support points belongs while it stands"""
    flags: dict[str, np.ndarray]
    """foot link's name → (T,) bool: stands still; where a print follows a creeping source foot it does not"""

    @classmethod
    def of(cls, character: Character, targets: Targets) -> Footprints:
        """Fit prints to every stance of the first guess."""
        support = shapes.support_points(character)
        pose = kinematics.forward(character, targets.qpos)
        rest = kinematics.forward(character, character.rest[None])
        scale = character.height / REFERENCE_HEIGHT
        stance, clearance, swing, hold, anchors, flags = {}, {}, {}, {}, {}, {}
        for name, stands in targets.stance.items():
            link = character.link(name)
            points = support.points[support.link == link]
            radius = support.radius[support.link == link]
            world = place(pose, link, points)
            flat = place(rest, link, points)[0, :, :2]
            out = world[..., :2].copy()
            still = np.array(stands, dtype=bool)
            height = world[..., 2] - radius
            weight = np.exp(-(height - height.min(axis=1, keepdims=True)) / PIN_SHARE)
            heading = np.unwrap(rotation.yaw(pose.rotations[:, link]))
            for start, stop in intervals(still):
                rows = slice(start, stop)
                out[rows], still[rows] = _prints(
                    world[rows, :, :2], weight[rows], flat, heading[rows], targets.fps, scale
                )
            stance[link], clearance[link] = np.asarray(stands, dtype=bool), targets.clearance[name]
            away = ndimage.distance_transform_edt(~stance[link]) if still.any() else np.full(len(still), np.inf)
            swing[link] = np.minimum(away / (SWING_TIME * targets.fps), 1.0)
            hold[link] = _ends_softly(stance[link], HOLD_TIME * targets.fps)
            anchors[link], flags[name] = out, still
        return cls(support, stance, clearance, swing, hold, anchors, flags)

    def take(self, index: np.ndarray) -> Footprints:
        """The frames ``index`` (n,)."""
        return Footprints(
            self.support,
            {k: v[index] for k, v in self.stance.items()},
            {k: v[index] for k, v in self.clearance.items()},
            {k: v[index] for k, v in self.swing.items()},
            {k: v[index] for k, v in self.hold.items()},
            {k: v[index] for k, v in self.anchors.items()},
            {k: v[index] for k, v in self.flags.items()},
        )

    def standing(self, character: Character, targets: Targets, qpos: Array) -> dict[str, np.ndarray]:
        """Foot link → (T,) bool: pinned, or the source says that it stands and the body's foot is down and still."""
        pose = kinematics.forward(character, qpos)
        heights = shapes.heights(character, pose)
        moved = np.linalg.norm(shapes.displacements(character, pose)[..., :2], axis=-1) * targets.fps
        size = character.height / REFERENCE_HEIGHT
        out = {}
        for name, flags in self.flags.items():
            of_foot = self.support.link == character.link(name)
            height = heights[:, of_foot]
            lowest = height.min(axis=1)
            touching = height[:-1] < lowest[:-1, None] + TOUCHING
            still = np.where(touching, moved[:, of_foot], 0.0).max(axis=1, initial=0.0) < STILL * size
            still = np.concatenate([still, still[-1:]]) if len(still) else np.ones(len(lowest), dtype=bool)
            claimed = np.asarray(targets.claimed.get(name, flags), dtype=bool)
            out[name] = flags | (claimed & (lowest < DOWN * size) & still)
        return out

    def add(self, rows: Rows, placed: Placed, settings: SolveSettings) -> None:
        """Add pins, clearance and the ground to the rows."""
        support = self.support
        for link in np.unique(support.link):
            which = support.link == link
            local = support.points[which]
            height = placed.heights(link, local) - support.radius[which, None]
            lowest = height.min(axis=0)
            if link not in self.stance and lowest.min(initial=0.0) >= 0:
                continue  # nothing of it is under the ground
            points = placed.points(link, local)
            below, level = height < 0, np.zeros_like(height)
            vertical = np.where(below, settings.ground, 0.0)
            errors = np.zeros_like(points)
            errors[:, 2] = -height
            if link in self.stance:
                stands, over = self.stance[link], (height - lowest) / PIN_SHARE
                over *= over
                pinned = np.exp(-over)
                level = np.where(stands, settings.pin * self.hold[link], 0.0) * pinned
                errors[:, :2] = self.anchors[link].transpose(1, 2, 0) - placed.root[:2] - points[:, :2]
                resting = np.exp(-((PIN_SHARE / REST_SHARE) ** 2) * over) * (settings.ground * self.hold[link])
                near = np.exp(-((self.clearance[link] / HIGH) ** 2))
                aside = np.where(lowest > self.clearance[link], LOWERING, 1.0) * near
                swinging = settings.clearance * self.swing[link] * aside * pinned
                vertical = np.where(below, vertical, np.where(stands, resting, swinging))
                errors[:, 2] = np.where(stands | below, errors[:, 2], self.clearance[link] - lowest)
            rows.points(link, points, level, vertical, errors)


def place(pose: kinematics.Pose, link: int, points: Array) -> Array:
    """World positions ``(T, K, 3)`` of points ``(K, 3)`` fixed to a link."""
    return pose.positions[:, None, link] + rotation.rotate(pose.rotations[:, None, link], points)


def _prints(
    points: Array, weight: Array, flat: Array, heading: Array, fps: float, scale: float
) -> tuple[Array, np.ndarray]:
    """Anchors ``(T, K, 2)`` for one stance and where they stand still ``(T,)``.

    One print, unless the source's foot creeps or pivots away under its flag: then several, joined smoothly.

    Args:
        points: (T, K, 2) where the sole's points are in the first guess.
        weight: (T, K) 1 for the lowest point, falling with height.
        flat: (K, 2) the points of the foot standing flat.
        heading: (T,) the foot's yaw.
        scale: body height over 1.7 m.
    """
    turned = _turn(heading, flat)
    place_of = np.einsum("tk,tki->ti", weight, points - turned) / weight.sum(axis=1)[:, None]
    track = np.column_stack([place_of / (STRAY * scale), heading / PIVOT])
    edges = [0]
    while edges[-1] < len(track):
        ahead = track[edges[-1] :]
        span = np.maximum.accumulate(ahead, axis=0) - np.minimum.accumulate(ahead, axis=0)
        far = (span > 2.0).any(axis=1)
        edges.append(edges[-1] + int(np.argmax(far)) if far.any() else len(track))
    prints = [_print(points[a:b], weight[a:b], flat) for a, b in pairwise(edges)]
    out = np.repeat(np.stack(prints), np.diff(edges), axis=0)
    times = np.arange(len(track))
    for k, edge in enumerate(edges[1:-1]):
        half = 0.5 * min(STEP_TIME * fps, edge - edges[k], edges[k + 2] - edge)
        share = np.clip((times - edge + half) / max(2 * half, 1e-9), 0.0, 1.0)
        share = share * share * (3 - 2 * share)
        near = np.abs(times - edge) <= half
        out[near] = prints[k] + share[near, None, None] * (prints[k + 1] - prints[k])
    moving = np.zeros(len(out), dtype=bool)
    if len(out) > 1:
        fast = np.linalg.norm(np.diff(out, axis=0), axis=-1).max(axis=1) * fps > CREEP
        moving[1:] |= fast
        moving[:-1] |= fast
    return out, ~moving


def _ends_softly(stands: np.ndarray, width: float) -> Array:
    """1 for frames of a stance (T,) at least ``width`` frames from its ends, falling with the square to `SOFTEST`.

    The clip's own ends are not ends of a stance.
    """
    padded = np.pad(stands, 1, mode="edge")
    if padded.all() or width <= 1:
        return np.ones(len(stands))
    depth = ndimage.distance_transform_edt(padded)[1:-1] / width
    return np.clip(depth**2, SOFTEST, 1.0)


def _turn(theta: Array, points: Array) -> Array:
    """Points ``(K, 2)`` turned by each angle ``(T,)``: ``(T, K, 2)``."""
    c, s = np.cos(theta)[:, None], np.sin(theta)[:, None]
    return np.stack([c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1]], axis=-1)


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
    anchors = centre + _turn(np.array([theta]), a)[0]
    misfit = np.sqrt(np.einsum("tk,tki->", weight, (points - anchors) ** 2) / total)
    if misfit > MISFIT:
        return np.einsum("tk,tki->ki", weight, points) / weight.sum(axis=0)[:, None]
    return anchors
