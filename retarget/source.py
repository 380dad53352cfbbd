"""A source motion with what retargeting reads off it: chains, a pose in which it stands, directions, feet."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from motion import rotation
from motion.errors import InputError
from motion.motion import Motion
from motion.rotation import Array
from retarget.limbs import UP

UPRIGHT = np.cos(np.deg2rad(40.0))
"""A rest pose whose legs hang and whose trunk rises within this cosine of the vertical is taken as standing."""
NOISE_TIME = 0.016
"""seconds, standard deviation of the smoothing of the source: passes 5 Hz at nine tenths, 10 Hz at six"""
NEAR, LOW = 0.2, 0.25
"""share of the hip's height under which a joint of a four-legged source's leg belongs to its foot, and the share
of the frames, those in which the leg is lowest, that tell"""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A pose of the source in which it stands: its rest pose where that is one, else its most upright frame."""

    rotations: Array
    """(J, 4) world"""
    positions: Array
    """(J, 3) world"""
    facing: Array
    """(4,) turn about z that brings x to where the source faces"""
    is_rest: bool


class Source:
    """A standardised motion with what retargeting reads off it."""

    def __init__(self, motion: Motion, chains: AbstractMapping[str, tuple[str, ...]]):
        self.motion = motion
        self.chains = {role: tuple(motion.skeleton.index(n) for n in names) for role, names in chains.items() if names}
        if "root" not in self.chains:
            raise InputError(
                "no root (hips) joint was found",
                where=motion.name,
                hint="write a map with `mimic-pipe map` and edit it",
            )
        self.positions, self.rotations = motion.forward()
        sigma = NOISE_TIME * motion.fps
        self.positions = slow(self.positions, sigma)
        self.rotations = rotation.normalize(slow(rotation.continuous(self.rotations), sigma))
        self.pelvis = self.chains["root"][-1]
        self.legs = [r for r in ("left_leg", "right_leg") if len(self.chains.get(r, ())) >= 2]
        if len(self.legs) < 2:
            raise InputError(
                "two legs of at least hip and knee are needed",
                where=motion.name,
                hint="write a map with `mimic-pipe map` and edit it",
            )
        self.reference = self._reference()
        self.feet = {r: c[self._foot(r)] for r, c in self.chains.items() if r.endswith("leg") and len(c) >= 2}
        """leg → the joint that its foot turns about"""

    @property
    def quadruped(self) -> bool:
        """Whether it goes on four legs."""
        return "left_foreleg" in self.chains and "right_foreleg" in self.chains

    def _foot(self, role: str) -> int:
        """Place of the foot in a leg's chain: after thigh and shank; on four legs the first joint near the ground, of both
        sides together."""
        pair = [c for r, c in self.chains.items() if r.partition("_")[2] == role.partition("_")[2]]
        count = min(map(len, pair))
        at = min(2, count - 1)
        if not self.quadruped:
            return min(2, len(self.chains[role]) - 1)
        height = np.mean([self._heights(chain[:count]) for chain in pair], axis=0)
        low = [k for k in range(at, count) if height[k] < NEAR * height[0]]
        return low[0] if low else count - 1

    def _heights(self, chain: tuple[int, ...]) -> Array:
        """Heights ``(n,)`` of a leg's joints over its lowest one while it stands: in the frames in which that is lowest."""
        z = self.positions[:, chain, 2]
        lowest = z.min(axis=1)
        stands = lowest <= np.quantile(lowest, LOW)
        return np.median(z[stands] - lowest[stands, None], axis=0)

    def standing(self, role: str) -> Array:
        """Where a foot stands, ``(3,)`` from the middle of its pair of hips (or shoulders), the source facing along x.

        Two legs are taken to stand below their hips: rest poses spread them at will.
        """
        chain, limb = self.chains[role], role.split("_", 1)[-1]
        at = self.reference.positions
        middle = np.mean([at[c[0]] for r, c in self.chains.items() if r.endswith(f"_{limb}")], axis=0)
        below = at[self.feet[role]] if self.quadruped and self.reference.is_rest else at[chain[0]]
        return rotation.rotate(rotation.conjugate(self.reference.facing), below - middle)

    def lateral(self, positions: Array) -> Array:
        """Direction from the right to the left hip, ``(…, 3)`` of positions ``(…, J, 3)``."""
        left, right = self.chains["left_leg"][0], self.chains["right_leg"][0]
        return rotation.unit(positions[..., left, :] - positions[..., right, :])

    def top(self) -> int:
        """The joint where the trunk ends: neck or head if known, else the last spine joint's first child."""
        for role in ("neck", "head"):
            if self.chains.get(role):
                return self.chains[role][0]
        spine = self.chains.get("spine", (self.pelvis,))
        children = self.motion.skeleton.children(spine[-1])
        return children[0] if children else spine[-1]

    def uprightness(self, positions: Array) -> Array:
        """Smallest cosine ``(…)`` to the vertical of trunk (up) and legs (down) in positions ``(…, J, 3)``."""
        cosines = []
        if not self.quadruped:
            cosines.append(rotation.unit(positions[..., self.top(), :] - positions[..., self.pelvis, :])[..., 2])
        for leg in (*self.legs, *(("left_foreleg", "right_foreleg") if self.quadruped else ())):
            chain = self.chains[leg]
            foot = chain[min(2, len(chain) - 1)]
            cosines.append(-rotation.unit(positions[..., foot, :] - positions[..., chain[0], :])[..., 2])
        return np.min(cosines, axis=0)

    def _reference(self) -> Reference:
        skeleton = self.motion.skeleton
        rest = Motion(
            name="rest",
            skeleton=skeleton,
            fps=1.0,
            root_positions=np.zeros((1, 3)),
            rotations=np.broadcast_to(rotation.IDENTITY, (1, len(skeleton), 4)),
            translations=None
            if self.motion.translations is None
            else np.median(self.motion.translations, axis=0)[None],
        )
        positions, rotations = rest.forward()
        is_rest = bool(self.uprightness(positions)[0] > UPRIGHT)
        if is_rest:
            positions, rotations = positions[0], rotations[0]
        else:
            frame = int(np.argmax(self.uprightness(self.positions)))
            positions, rotations = self.positions[frame], self.rotations[frame]
        lateral = self.lateral(positions) * np.array([1.0, 1.0, 0.0])
        heading = np.cross(lateral, UP)
        facing = rotation.from_yaw(np.arctan2(heading[1], heading[0]))
        return Reference(rotations, positions, facing, is_rest)

    def direction(self, role: str, k: int) -> Array:
        """World direction ``(T, 3)`` of segment ``k`` of a role's chain; its last segment points to its child."""
        chain = self.chains[role]
        end = chain[k + 1] if k + 1 < len(chain) else self._tip(chain[k])
        return rotation.unit(self.positions[:, end] - self.positions[:, chain[k]])

    def _tip(self, joint: int) -> int:
        children = self.motion.skeleton.children(joint)
        if not children:
            raise InputError(
                f"joint {self.motion.skeleton.names[joint]!r} ends a limb but has no end point",
                where=self.motion.name,
                hint="name the next joint of the limb in a map",
            )
        lengths = [np.linalg.norm(self.motion.skeleton.offsets[c]) for c in children]
        return children[int(np.argmax(lengths))]

    def foot_points(self, role: str) -> list[int]:
        """Ankle, toes and their end sites: the joints of a leg from the ankle outward."""
        points = [self.feet[role]]
        for joint in points:
            points += self.motion.skeleton.children(joint)
        return points


def slow(values: Array, sigma: float) -> Array:
    """Values ``(T, …)`` smoothed in time by a Gaussian of ``sigma`` frames, if that is enough to matter."""
    return (
        ndimage.gaussian_filter1d(values, sigma, axis=0, mode="nearest") if sigma > 0.3 and len(values) > 1 else values
    )
