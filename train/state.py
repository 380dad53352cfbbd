"""The state of many bodies at once, the same type for the simulation and the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characters import kinematics
from characters.character import Character
from motion import rotation
from motion.rotation import Array


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """N bodies: coordinates and what forward kinematics makes of them. World frame unless said otherwise."""

    qpos: Array
    """(N, nq)"""
    qvel: Array
    """(N, nv)"""
    positions: Array
    """(N, L, 3) link origins"""
    rotations: Array
    """(N, L, 4) link frames"""
    linear: Array
    """(N, L, 3) velocity of the link origins"""
    angular: Array
    """(N, L, 3) angular velocity"""
    com: Array
    """(N, 3) centre of mass"""
    com_velocity: Array
    """(N, 3)"""

    def __len__(self) -> int:
        return len(self.qpos)

    def rows(self, index) -> State:
        """Some of the bodies."""
        return State(*(getattr(self, name)[index] for name in State.__slots__))


def state_of(character: Character, qpos: Array, qvel: Array) -> State:
    """Forward kinematics and velocities for qpos ``(N, nq)``, qvel ``(N, nv)``."""
    pose = kinematics.forward(character, qpos)
    positions, rotations, layout = pose.positions, pose.rotations, character.layout
    linear, angular = np.empty_like(positions), np.empty_like(positions)
    linear[:, 0], angular[:, 0] = qvel[:, :3], rotation.rotate(rotations[:, 0], qvel[:, 3:6])
    for joint, at in zip(character.joints, layout.qvel_at, strict=True):
        own = qvel[:, at : at + 3] if joint.type == "ball" else qvel[:, at : at + 1] * joint.axis
        parent, child = joint.parent, joint.child
        angular[:, child] = angular[:, parent] + rotation.rotate(rotations[:, child], own)
        arm = positions[:, child] - positions[:, parent]
        linear[:, child] = linear[:, parent] + np.cross(angular[:, parent], arm)
    mass = np.array([link.mass for link in character.links])
    local = rotation.rotate(rotations, np.stack([link.com for link in character.links]))
    share = mass / mass.sum()
    com = np.einsum("l,nli->ni", share, positions + local)
    com_velocity = np.einsum("l,nli->ni", share, linear + np.cross(angular, local))
    return State(qpos, qvel, positions, rotations, linear, angular, com, com_velocity)
