"""Forward kinematics and Jacobians of many frames at once.

Arrays are computed frames-last, one contiguous row of frames per number, and handed out as views with time first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from motion import rotation
from motion.rotation import Array

if TYPE_CHECKING:
    from characters.character import Character

CHUNK = 1024
"""frames worked on at a time: their rows stay in the processor's cache"""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """Where every link of a body is."""

    positions: Array
    """(T, L, 3) link frame origins in the world, metres"""
    rotations: Array
    """(T, L, 4) link frames in the world, wxyz"""

    def points(self, link: int, local: Array) -> Array:
        """World positions (T, 3) of a point (3,) fixed to a link."""
        return self.positions[:, link] + rotation.rotate(self.rotations[:, link], local)


def forward(character: Character, qpos: Array) -> Pose:
    """Poses of all links for qpos ``(T, nq)``; quaternions in qpos must be unit."""
    frames, count = len(qpos), len(character.links)
    positions, rotations = np.empty((count, 3, frames)), np.empty((count, 4, frames))
    for start in range(0, frames, CHUNK):
        rows = slice(start, start + CHUNK)
        _forward(character, np.ascontiguousarray(qpos[rows].T), positions[:, :, rows], rotations[:, :, rows])
    return Pose(positions.transpose(2, 0, 1), rotations.transpose(2, 0, 1))


def _forward(character: Character, q: Array, positions: Array, rotations: Array) -> None:
    """`forward` of frames-last q (nq, T) into positions (L, 3, T) and rotations (L, 4, T)."""
    positions[0], rotations[0] = q[:3], q[3:7]
    for joint, at in zip(character.joints, character.layout.qpos_at, strict=True):
        base = rotations[joint.parent]
        _rotate(base, joint.origin, positions[joint.parent], positions[joint.child])
        turned = base if joint.rotation[0] == 1.0 else _times_constant(base, joint.rotation)
        if joint.type == "ball":
            _multiply(turned, q[at : at + 4], rotations[joint.child])
        else:
            half = 0.5 * q[at]
            _turn(turned, np.cos(half), np.sin(half), joint.axis, rotations[joint.child])


def _rotate(q: Array, v: Array, start: Array, out: Array) -> None:
    """out (3, T) = start + the constant vector v (3,) rotated by q (4, T)."""
    w, x, y, z = q
    a, b, c = (float(n) for n in v)
    tx, ty, tz = 2.0 * (c * y - b * z), 2.0 * (a * z - c * x), 2.0 * (b * x - a * y)
    np.add(start[0], a + w * tx + y * tz - z * ty, out=out[0])
    np.add(start[1], b + w * ty + z * tx - x * tz, out=out[1])
    np.add(start[2], c + w * tz + x * ty - y * tx, out=out[2])


def _multiply(a: Array, b: Array, out: Array) -> None:
    """Hamilton product of (4, T) and (4, T)."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    np.subtract(aw * bw - ax * bx, ay * by + az * bz, out=out[0])
    np.add(aw * bx + ax * bw, ay * bz - az * by, out=out[1])
    np.add(aw * by - ax * bz, ay * bw + az * bx, out=out[2])
    np.add(aw * bz + ax * by, az * bw - ay * bx, out=out[3])


def _times_constant(a: Array, b: Array) -> Array:
    """Hamilton product of (4, T) and a constant (4,)."""
    out = np.empty_like(a)
    _multiply(a, b[:, None], out)
    return out


def _turn(a: Array, cosine: Array, sine: Array, axis: Array, out: Array) -> None:
    """out (4, T) = a (4, T) ⊗ the turn of half-angle cosine and sine (T,) about a constant axis (3,)."""
    w, x, y, z = a
    u, v, n = (float(c) for c in axis)
    np.subtract(cosine * w, sine * (u * x + v * y + n * z), out=out[0])
    np.add(cosine * x, sine * (u * w + n * y - v * z), out=out[1])
    np.add(cosine * y, sine * (v * w + u * z - n * x), out=out[2])
    np.add(cosine * z, sine * (n * w + v * x - u * y), out=out[3])


def jacobian(character: Character, pose: Pose, link: int, point_world: Array) -> Array:
    """How a point fixed to a link moves with qvel.

    Args:
        pose: of T frames.
        link: index of the link the point is fixed to.
        point_world: (T, 3) the point in the world.

    Returns:
        ``(T, 6, nv)``: rows linear (m/s) then angular (rad/s) velocity, world frame; columns in qvel's convention.
    """
    frames, layout = len(point_world), character.layout
    out = np.zeros((frames, 6, layout.nv))
    out[:, [0, 1, 2], [0, 1, 2]] = 1.0
    _columns(out, slice(3, 6), rotation.to_matrix(pose.rotations[:, 0]), point_world - pose.positions[:, 0])
    for i in character.chain(link):
        joint, at = character.joints[i], layout.qvel_at[i]
        turn, arm = pose.rotations[:, joint.child], point_world - pose.positions[:, joint.child]
        if joint.type == "ball":
            _columns(out, slice(at, at + 3), rotation.to_matrix(turn), arm)
        else:
            _columns(out, slice(at, at + 1), rotation.rotate(turn, joint.axis)[:, :, None], arm)
    return out


def _columns(out: Array, where: slice, axes: Array, arm: Array) -> None:
    """Fill the columns of turns about ``axes`` (T, 3, k) for a point at ``arm`` (T, 3) from them."""
    out[:, 3:, where] = axes
    out[:, :3, where] = np.cross(axes, arm[:, :, None], axis=1)


def centre_of_mass(character: Character, pose: Pose) -> Array:
    """World position ``(T, 3)`` of the body's centre of mass."""
    mass = np.array([link.mass for link in character.links])
    com = np.array([link.com for link in character.links])
    points = pose.positions + rotation.rotate(pose.rotations, com)
    return np.einsum("l,tlk->tk", mass / mass.sum(), points)
