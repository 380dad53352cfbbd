"""The state of many bodies at once, the same type for the simulation and the reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from characters import kinematics
from characters.character import Character
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
    pose, body = kinematics.forward(character, qpos), _Body.of(character)
    # frames last: one contiguous row of bodies per number, as forward kinematics computes
    place, turn, speed = pose.positions.transpose(1, 2, 0), pose.rotations.transpose(1, 2, 0), qvel.T
    own = np.empty((len(character.links), 3, len(qpos)))
    own[0] = speed[3:6]
    own[1 + body.balls] = speed[body.ball_columns]
    own[1 + body.hinges] = speed[body.hinge_columns, None] * body.axes[:, :, None]
    linear, angular = np.empty_like(own), _rotate(turn, own)
    linear[0] = speed[:3]
    for joint in character.joints:
        a, b = joint.parent, joint.child
        angular[b] += angular[a]
        np.add(linear[a], _cross(angular[a], place[b] - place[a]), out=linear[b])
    arm = _rotate(turn, body.com[:, :, None])
    com = np.einsum("l,lin->ni", body.share, place + arm)
    moving = linear + np.stack(_cross(angular.swapaxes(0, 1), arm.swapaxes(0, 1)), axis=1)
    com_velocity = np.einsum("l,lin->ni", body.share, moving)
    linear, angular = linear.transpose(2, 0, 1), angular.transpose(2, 0, 1)
    return State(qpos, qvel, pose.positions, pose.rotations, linear, angular, com, com_velocity)


def _rotate(q: Array, v: Array) -> Array:
    """Vectors (L, 3, N) or (L, 3, 1) rotated by q (L, 4, N): `rotation.rotate`, frames last."""
    w, x, y, z = q.swapaxes(0, 1)
    a, b, c = v.swapaxes(0, 1)
    tx, ty, tz = 2.0 * (y * c - z * b), 2.0 * (z * a - x * c), 2.0 * (x * b - y * a)
    out = np.empty((len(q), 3, q.shape[-1]))
    out[:, 0] = a + w * tx + y * tz - z * ty
    out[:, 1] = b + w * ty + z * tx - x * tz
    out[:, 2] = c + w * tz + x * ty - y * tx
    return out


def _cross(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Cross product of (3, …) and (3, …), its three components."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Body:
    """What `state_of` needs of a body, gathered once."""

    balls: np.ndarray
    """(B,) joints"""
    ball_columns: np.ndarray
    """(B, 3) of qvel"""
    hinges: np.ndarray
    """(H,) joints"""
    hinge_columns: np.ndarray
    """(H,) of qvel"""
    axes: Array
    """(H, 3)"""
    com: Array
    """(L, 3) in link frames"""
    share: Array
    """(L,) of the mass"""

    @staticmethod
    @lru_cache(maxsize=8)
    def of(character: Character) -> _Body:
        layout = character.layout
        mass = np.array([link.mass for link in character.links])
        hinges = np.flatnonzero(~layout.ball)
        return _Body(
            np.flatnonzero(layout.ball),
            layout.quaternion_dofs[1:, None] + np.arange(3),
            hinges,
            layout.hinge_dofs,
            np.array([character.joints[j].axis for j in hinges]).reshape(-1, 3),
            np.stack([link.com for link in character.links]),
            mass / mass.sum(),
        )
