"""Joint limits in the solve: hinges by their range, balls by a swing cone and a twist range about the bone."""

from __future__ import annotations

import numpy as np

from characters.character import Character, Joint
from motion import rotation
from motion.rotation import Array
from retarget.assemble import Tree

MARGIN = np.deg2rad(0.01)
"""How far inside a limit results are put, so that rounding in a file does not cross it."""

EASE = 0.6
"""Share of its limit from which on a foot that is turned towards it slows down."""
FADING = np.deg2rad(100.0)
"""angle from which on less and less of it is done"""


def clamp_ball(joint: Joint, local: Array, *, over_time: bool = False) -> Array:
    """Ball rotations ``(T, 4)`` brought inside the joint's swing cone and twist range.

    Args:
        over_time: the frames follow each other: a twist that runs past half a turn stays at the limit it came by,
            where a single frame would jump to the other one.
    """
    swing, twist = rotation.swing_twist(local, joint.twist_axis)
    vector = rotation.log(swing)
    angle = np.linalg.norm(vector, axis=-1)
    shrink = np.minimum(1.0, (joint.swing_limit - MARGIN) / np.maximum(angle, 1e-9))
    if over_time:
        twist = np.unwrap(twist)
        twist = twist - 2 * np.pi * np.round(np.median(twist) / (2 * np.pi))
    twist = np.clip(twist, joint.lower + MARGIN, joint.upper - MARGIN)
    return rotation.multiply(
        rotation.exp(shrink[..., None] * vector), rotation.from_axis_angle(joint.twist_axis, twist)
    )


def ease_ball(joint: Joint, local: Array) -> Array:
    """Ball rotations ``(T, 4)`` whose swing and twist slow down before their limits instead of stopping dead there.

    What is asked half a turn away has no side any more: towards there it fades.
    """
    swing, twist = rotation.swing_twist(local, joint.twist_axis)
    vector = rotation.log(swing)
    angle = np.linalg.norm(vector, axis=-1)
    eased = _known(angle) * _eased(angle, joint.swing_limit)
    twist = (
        _known(angle)
        * _known(np.abs(twist))
        * np.sign(twist)
        * _eased(np.abs(twist), np.where(twist < 0, -joint.lower, joint.upper))
    )
    swing = rotation.exp((eased / np.maximum(angle, 1e-9))[..., None] * vector)
    return rotation.multiply(swing, rotation.from_axis_angle(joint.twist_axis, twist))


def _known(angle: Array) -> Array:
    """1 for angles ``(T,)`` up to `FADING`, 0 at half a turn."""
    share = np.clip((angle - FADING) / (np.pi - FADING), 0.0, 1.0)
    return 0.5 + 0.5 * np.cos(np.pi * share)


def _eased(angle: Array, limit: Array | float) -> Array:
    """Angles ``(T,)`` ≥ 0, from `EASE` of a limit on ever slower, and never beyond it."""
    limit = np.maximum(limit, 1e-9)
    free, room = EASE * limit, (1.0 - EASE) * limit
    return np.where(angle > free, free + room * np.tanh((angle - free) / room), angle)


def clamp_hinges(character: Character, qpos: Array) -> Array:
    """qpos ``(T, nq)`` with every hinge inside its range."""
    out = qpos.copy()
    for j, joint in enumerate(character.joints):
        if joint.type == "hinge":
            at = character.layout.qpos_at[j]
            out[:, at] = np.clip(out[:, at], joint.lower + MARGIN, joint.upper - MARGIN)
    return out


def clamp(character: Character, qpos: Array) -> Array:
    """qpos ``(T, nq)`` with every joint inside its limits."""
    out = clamp_hinges(character, qpos)
    for j, joint in enumerate(character.joints):
        if joint.type == "ball":
            at = character.layout.qpos_at[j]
            out[:, at : at + 4] = clamp_ball(joint, out[:, at : at + 4])
    return out


def add(character: Character, tree: Tree, qpos: Array, matrix: Array, right: Array, weight: float) -> None:
    """Add the pull of broken limits to normal equations, packed as `Tree.at` says, and ``(nv, T)``.

    A hinge that sits at its limit and is pushed outward is held there; a ball outside its limits is pulled back along the
    way out.
    """
    layout = character.layout
    for j, joint in enumerate(character.joints):
        at, dof = layout.qpos_at[j], layout.qvel_at[j]
        if joint.type == "hinge":
            angle = qpos[:, at]
            pushed = ((angle <= joint.lower + 2 * MARGIN) & (right[dof] < 0)) | (
                (angle >= joint.upper - 2 * MARGIN) & (right[dof] > 0)
            )
            matrix[tree.at[dof, dof]] += np.where(pushed, 100.0 * weight, 0.0)
            continue
        w, *vector = np.ascontiguousarray(qpos[:, at : at + 4].T)
        along = joint.twist_axis @ np.array(vector)
        twist = 2.0 * np.arctan2(np.where(w < 0, -along, along), np.abs(w))
        cosine = np.cos(0.5 * joint.swing_limit)
        outside = (twist < joint.lower) | (twist > joint.upper) | (w * w + along * along < cosine * abs(cosine))
        out = np.flatnonzero(outside)
        if not len(out):
            continue
        local = qpos[out, at : at + 4]
        error = rotation.log(rotation.relative(local, clamp_ball(joint, local))).T
        way = error / np.maximum(np.sqrt((error**2).sum(axis=0)), 1e-12)
        for a in range(3):
            right[dof + a, out] += weight * error[a]
            for b in range(a + 1):
                matrix[tree.at[dof + a, dof + b], out] += weight * way[a] * way[b]
