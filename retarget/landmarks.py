"""Landmarks of a body and of its source, by role: what the two can be compared by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline

from characters import kinematics
from motion import rotation
from motion.contacts import HasChains
from motion.motion import Motion
from motion.rotation import Array
from retarget.sampled import Sampled

AT_ONCE = 2_000_000
"""Numbers a spline is laid through at a time: it takes several times their memory."""
TIP = 2
"""Where in a limb's chain ankle and wrist are."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The body or the source: points by role at the times of the resampled clip."""

    chains: dict[str, Array]
    """role → (count, n, 3) the chain's joints from the root outward, then the point that ends it if there is one"""
    root: Array
    """(count, 3)"""
    rest: dict[str, Array]
    """role → (n, 3) the same at rest"""

    def middle(self, limb: str, *, rest: bool = False) -> Array | None:
        """Half-way between where the left and the right limb begin."""
        chains = self.rest if rest else self.chains
        left, right = chains.get(f"left_{limb}"), chains.get(f"right_{limb}")
        return None if left is None or right is None else 0.5 * (left[..., 0, :] + right[..., 0, :])

    def across(self, limb: str, *, rest: bool = False) -> Array:
        """From where the right limb begins to where the left one does."""
        chains = self.rest if rest else self.chains
        return chains[f"left_{limb}"][..., 0, :] - chains[f"right_{limb}"][..., 0, :]

    @cached_property
    def size(self) -> float:
        """Leg (both its segments) plus trunk, metres: what lengths are divided by, taken the same way on body and
        source."""
        trunk = self.trunk(rest=False)
        return self.leg + (0.0 if trunk is None else float(np.median(np.linalg.norm(trunk, axis=-1))))

    @cached_property
    def leg(self) -> float:
        """Hip to knee to ankle, mean of all legs, metres; 0 without legs."""
        legs = [c for role, c in self.chains.items() if role.endswith("_leg") and c.shape[1] >= 3]
        return (
            float(np.mean([np.linalg.norm(np.diff(leg[:, :3], axis=1), axis=-1).sum(axis=1).mean() for leg in legs]))
            if legs
            else 0.0
        )

    def trunk(self, *, rest: bool) -> Array | None:
        """From between the hips to between the shoulders; without arms, to where the forelegs begin."""
        hips, shoulders = (self.middle(limb, rest=rest) for limb in ("leg", "arm"))
        shoulders = self.middle("foreleg", rest=rest) if shoulders is None else shoulders
        return None if hips is None or shoulders is None else shoulders - hips


def of_body(sampled: Sampled) -> Landmarks:
    character, count = sampled.character, sampled.count

    def chains(pose: kinematics.Pose) -> dict[str, Array]:
        out = {}
        for role, names in character.roles.items():
            points = [pose.positions[:, 1 + character.joint(name)] for name in names]
            points += [pose.points(f.link, f.position) for f in character.end_effectors.values() if f.role == role]
            out[role] = np.stack(points, axis=1)
        return out

    rest = chains(kinematics.forward(character, character.rest[None]))
    posed = {role: points[:count] for role, points in chains(sampled.pose).items()}
    return Landmarks(posed, sampled.qpos[:count, :3], {role: points[0] for role, points in rest.items()})


def of_source(source: Motion, roles: HasChains, times: Array) -> Landmarks:
    skeleton = source.skeleton
    rest, _ = replace(
        source,
        root_positions=np.zeros((1, 3)),
        rotations=np.broadcast_to(rotation.IDENTITY, (1, len(skeleton), 4)),
        translations=None if source.translations is None else np.median(source.translations, axis=0)[None],
    ).forward()
    posed = splined(source, source.forward()[0], times)
    chains = {role: [*(skeleton.index(name) for name in names)] for role, names in roles.chains.items() if names}
    for chain in chains.values():
        children = skeleton.children(chain[-1])
        if children:  # the segment's end: the farthest child
            chain.append(max(children, key=lambda child: float(np.linalg.norm(skeleton.offsets[child]))))
    root = chains["root"][len(roles.chains["root"]) - 1] if "root" in chains else 0
    return Landmarks(
        {role: posed[:, chain] for role, chain in chains.items()},
        posed[:, root],
        {role: rest[0, chain] for role, chain in chains.items()},
    )


def splined(source: Motion, values: Array, times: Array) -> Array:
    """Values ``(T, …)`` of the source's frames at other times ``(N,)``, by a cubic spline."""
    if len(source) == 1:
        return np.repeat(values, len(times), axis=0)
    knots = np.arange(len(source)) / source.fps
    times = np.clip(times, 0.0, knots[-1])
    flat, out = values.reshape(len(values), -1), np.empty((len(times), values[0].size))
    columns = max(1, AT_ONCE // len(values))
    for start in range(0, flat.shape[1], columns):
        part = slice(start, start + columns)
        out[:, part] = CubicSpline(knots, flat[:, part])(times)
    return out.reshape(len(times), *values.shape[1:])


def segments(side: Landmarks) -> dict[str, Array]:
    """Limb segment → (…, 3) unit directions."""
    out = {}
    for role, points in side.chains.items():
        part = role.rsplit("_", 1)[-1]
        if part in ("arm", "leg", "foreleg"):
            for i, half in enumerate(("upper", "lower")[: points.shape[1] - 1]):
                out[f"{half} {role.replace('_', ' ')}"] = rotation.unit(points[:, i + 1] - points[:, i])
    return out


def points(side: Landmarks) -> dict[str, Array]:
    """The points whose jerk counts."""
    hips = side.middle("leg")
    out = {"pelvis": side.root if hips is None else hips}
    head = side.chains.get("head", side.chains.get("neck"))
    if head is not None:
        out["head"] = head[:, -1]
    ends = {"arm": "hand", "leg": "foot", "foreleg": "forefoot"}
    for role, points in side.chains.items():
        flank, _, part = role.partition("_")
        if part in ends and points.shape[1] > TIP:
            out[f"{flank} {ends[part]}"] = points[:, TIP]
    return out
