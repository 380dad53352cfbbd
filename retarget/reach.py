"""Where a leg's foot should be, and the leg in between: chains of any number of segments that stand bent.

A leg of a thigh and a shank that stands straight copies the source's directions. Any other (digitigrade, or bent at rest)
follows the source's foot; its joints fold and stretch together from the rest pose, as the tendons of such legs make them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from characters.character import Character
from motion import rotation
from motion.rotation import Array

if TYPE_CHECKING:
    from retarget.body import Body

LEFT = np.array([0.0, 1.0, 0.0])
BENT = np.deg2rad(20.0)
"""A leg whose segments meet at a larger angle at rest stands bent."""
SEGMENTS = 2
"""thigh and shank: what a source's leg has above its foot"""
STRETCH, FOLD = 0.9, 0.95
"""How much of the way from rest to straight, and to the limit, a leg uses."""
EASY = 0.97
"""share of its greatest length a standing leg uses: at the very end it would pull the trunk along"""
MOST = 0.98
"""share of the standing frames in which the foot is to be within reach"""
LOWEST = 0.15
"""share of the leg by which a body crouches for that, at the most"""
STEPS = 129
"""poses of a leg between stretched and folded that are tabulated"""


def stands_on(body: Body, role: str) -> int:
    """Place in a leg's chain of the link it stands on: the first of the character's feet, else the last."""
    links = [body.character.links[body.link(joint)].name for joint in body.chains[role]]
    return next((k for k, name in enumerate(links) if name in body.character.feet), len(links) - 1)


def follows_foot(body: Body, role: str) -> bool:
    """Whether a leg cannot copy directions segment by segment."""
    foot = stands_on(body, role)
    if foot != SEGMENTS:
        return foot > 0
    hip, knee, ankle = (body.positions[body.link(j)] for j in body.chains[role][:3])
    return bool(np.dot(rotation.unit(knee - hip), rotation.unit(ankle - knee)) < np.cos(BENT))


def place(character: Character, root: Array, rotations: Array, driven: np.ndarray) -> tuple[Array, Array]:
    """Where links are if every driven one turns as asked and every other stays at rest on what carries it.

    Args:
        root: (T, 3).
        rotations: (T, L, 4) world.
        driven: (L,) bool.

    Returns:
        positions (T, L, 3) and rotations (T, L, 4).
    """
    positions, turned = np.empty((*rotations.shape[:2], 3)), rotations.copy()
    positions[:, 0] = root
    for joint in character.joints:
        base = turned[:, joint.parent]
        positions[:, joint.child] = positions[:, joint.parent] + rotation.rotate(base, joint.origin)
        if not driven[joint.child]:
            turned[:, joint.child] = rotation.multiply(base, joint.rotation)
    return positions, turned


class Leg:
    """A leg from the hip to the link it stands on, folded by one number."""

    def __init__(self, body: Body, role: str):
        chain = body.chains[role][: stands_on(body, role) + 1]
        self.joints = [body.character.joints[j] for j in chain]
        self.links = [joint.child for joint in self.joints]
        if body.stump(role):  # its end takes the place of a foot's joint
            end = replace(self.joints[-1], origin=body.sole(role), rotation=rotation.IDENTITY)
            self.joints, self.links = [*self.joints, end], [*self.links, self.links[-1]]
        self.carrier = self.joints[0].parent
        self.axes = np.array([self._axis(body, k) for k in range(1, len(self.joints) - 1)]).reshape(-1, 3)
        count = len(self.axes)
        self.rest = self.chord(np.zeros((1, count)))[0]
        """(3,) from the hip to the foot at rest, in the carrier's frame"""
        share = np.linspace(-1.0, 1.0, STEPS)[:, None]
        stretch, rest, fold = np.array([self._range(k) for k in range(count)]).reshape(-1, 3).T
        angles = rest + np.where(share < 0, -share * (stretch - rest), share * (fold - rest))
        length = np.linalg.norm(self.chord(angles), axis=1)
        stretched = int(length.argmax())
        folded = stretched + int(length[stretched:].argmin())
        length = np.minimum.accumulate(length[stretched : folded + 1])
        self.lengths, self.angles = length[::-1], angles[stretched : folded + 1][::-1]
        """(S,) metres from the hip to the foot, ascending, and (S, N) the angles of the joints in between"""

    def _axis(self, body: Body, k: int) -> Array:
        """Axis (3,) about which joint ``k`` bends, in its link's frame; a ball joint bends in the leg's own plane."""
        joint = self.joints[k]
        if joint.type == "hinge":
            return joint.axis
        at = [body.positions[link] for link in self.links[k - 1 : k + 2]]
        normal = np.cross(at[1] - at[0], at[2] - at[1])
        lateral = rotation.rotate(body.rotations[0], LEFT)
        axis = normal if np.linalg.norm(normal) > 0.05 * np.linalg.norm(at[2] - at[0]) ** 2 else lateral
        return rotation.unit(rotation.rotate(rotation.conjugate(body.rotations[joint.child]), axis))

    def _range(self, k: int) -> tuple[float, float, float]:
        """Angles of the joint after segment ``k`` when the leg is stretched, at rest (or the limit next to it), and folded."""
        joint, axis = self.joints[k + 1], self.axes[k]
        upper = rotation.rotate(rotation.conjugate(joint.rotation), joint.origin)
        lower = self.joints[k + 2].origin
        upper, lower = (v - axis * (v @ axis) for v in (upper, lower))
        bend = float(np.arctan2(np.cross(upper, lower) @ axis, upper @ lower))
        low, high = (joint.lower, joint.upper) if joint.type == "hinge" else (-joint.swing_limit, joint.swing_limit)
        low, high = max(low, -np.pi), min(high, np.pi)
        folds = high if bend > 0 or (bend == 0 and high > -low) else low
        stretched = STRETCH * np.clip(-bend, low, high)
        return float(np.clip(stretched, low, high)), float(np.clip(0.0, low, high)), FOLD * folds

    def chord(self, angles: Array) -> Array:
        """From the hip to the foot ``(S, 3)`` in the carrier's frame, the upper segment at rest.

        Args:
            angles: (S, N) of the joints between hip and foot.
        """
        turn = np.broadcast_to(self.joints[0].rotation, (len(angles), 4))
        end = np.zeros((len(angles), 3))
        for k, joint in enumerate(self.joints[1:]):
            end = end + rotation.rotate(turn, joint.origin)
            if k < angles.shape[1]:
                bent = rotation.from_axis_angle(self.axes[k], angles[:, k])
                turn = rotation.multiply(rotation.multiply(turn, joint.rotation), bent)
        return end

    def crouch(self, steps: Array) -> float:
        """Metres by which the hip has to be lower for the foot to be within reach in nearly all standing frames.

        Args:
            steps: (S, 3) from the hip to the foot, world, while it stands.
        """
        if len(steps) == 0:
            return 0.0
        longest = EASY * self.lengths[-1]
        level = np.minimum(np.linalg.norm(steps[:, :2], axis=1), longest)
        excess = -steps[:, 2] - np.sqrt(longest**2 - level**2)
        return float(np.clip(np.quantile(excess, MOST), 0.0, LOWEST * self.lengths[-1]))

    def reach(self, carrier: Array, target: Array) -> dict[int, Array]:
        """World rotations ``(T, 4)`` of the links above the foot that bring it to ``target``, as near as the leg is long.

        Args:
            carrier: (T, 4) rotation of the link the hip is on.
            target: (T, 3) from the hip to the foot, world.
        """
        local = rotation.rotate(rotation.conjugate(carrier), target)
        length = np.linalg.norm(local, axis=1)
        angles = np.column_stack(
            [np.zeros((len(length), 0)), *(np.interp(length, self.lengths, a) for a in self.angles.T)]
        )
        in_plane = rotation.between(self.chord(angles), np.broadcast_to(self.rest, local.shape))
        swing = rotation.multiply(rotation.between(np.broadcast_to(self.rest, local.shape), local), in_plane)
        turn = rotation.multiply(rotation.multiply(carrier, swing), self.joints[0].rotation)
        out = {self.links[0]: turn}
        for k, joint in enumerate(self.joints[1:-1]):
            bent = rotation.from_axis_angle(self.axes[k], angles[:, k])
            turn = rotation.multiply(rotation.multiply(turn, joint.rotation), bent)
            out[self.links[k + 1]] = turn
        return out
