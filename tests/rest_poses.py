"""The same performance told by other skeletons: other rest poses, sizes and headings, flips a file may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from good_clip import RATE, make_good_clip

from characters.character import Character
from motion import rotation
from motion.clip import CycleOffset, Trajectory
from motion.motion import Motion, Skeleton
from motion.rotation import Array

X, Y, Z = np.eye(3)
STAND = 20
"""frames of standing, and of beginning to walk"""
Frames = Callable[[Skeleton], Array]
"""What turns a skeleton's joint frames: (J, 4), each from the new frame to the old one at rest."""


def performance(character: Character) -> Trajectory:
    """A body that stands straight, then walks two cycles with arms that rise and turn, a trunk that leans and twists, a
    head that looks about.
    """
    clip = make_good_clip(character)
    qpos = np.concatenate([clip.cycle_offset.apply(clip.qpos, k) for k in range(2)])
    layout, times = character.layout, np.arange(len(qpos)) / RATE

    def wave(hertz: float, size: float) -> Array:
        return size * np.sin(2 * np.pi * hertz * times)

    def turn(joint: str, *turns: tuple[Array, Array]) -> None:
        at = layout.qpos_at[character.joint(joint)]
        q = qpos[:, at : at + 4]
        for axis, angle in turns:
            q = rotation.multiply(q, rotation.from_axis_angle(axis, angle))
        qpos[:, at : at + 4] = q

    rise = 0.5 * (1 - np.cos(2 * np.pi * 0.5 * times))
    turn(character.roles["spine"][0], (Z, wave(0.5, 0.3)), (Y, 0.2 * rise))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        shoulder, elbow = character.roles[f"{side}_arm"][:2]
        turn(shoulder, (X, sign * 0.9 * rise), (Z, sign * 0.5 * rise))
        joint = character.joints[character.joint(elbow)]
        qpos[:, layout.qpos_at[character.joint(elbow)]] += np.sign(joint.upper + joint.lower) * 1.1 * rise
    if "head" in character.roles:
        turn(character.roles["head"][0], (Z, wave(0.4, 0.6)))
    stand = np.tile(character.rest, (STAND, 1))
    stand[:, :2] = qpos[0, :2]
    share = np.arange(1, STAND) / STAND
    blend = layout.interpolate(stand[1:], np.tile(qpos[0], (STAND - 1, 1)), share * share * (3 - 2 * share))
    qpos = layout.continuous(np.concatenate([stand, blend, qpos]))
    return Trajectory("performance", character.name, character.specs, RATE, qpos, {})


def retold(motion: Motion, frames: Array) -> Motion:
    """The same motion by a skeleton whose joint frames are turned by ``frames`` (J, 4): other offsets, other rest pose."""
    skeleton = motion.skeleton
    parents, is_end = skeleton.parents, skeleton.is_end
    frames = np.where(is_end[:, None], rotation.IDENTITY, frames)
    offsets, rotations = skeleton.offsets.copy(), motion.rotations.copy()
    for j in range(len(skeleton)):
        above = rotation.IDENTITY if j == 0 else frames[parents[j]]
        if j > 0:
            offsets[j] = rotation.rotate(rotation.conjugate(above), offsets[j])
        if not is_end[j]:
            local = rotation.multiply(rotation.conjugate(above), rotation.multiply(motion.rotations[:, j], frames[j]))
            rotations[:, j] = local
    return replace(motion, skeleton=replace(skeleton, offsets=offsets), rotations=rotation.continuous(rotations))


def arms_raised(angle: float) -> Frames:
    """Arms that hang at ``angle`` radians less than straight down: 90° is a T-pose."""

    def frames(skeleton: Skeleton) -> Array:
        out = np.tile(rotation.IDENTITY, (len(skeleton), 1))
        for j, name in enumerate(skeleton.names):
            if name.endswith(("shoulder", "elbow")):
                lift = angle if name.startswith("left") else -angle
                out[j] = rotation.conjugate(rotation.from_axis_angle(X, lift))
        return out

    return frames


def along_x(skeleton: Skeleton) -> Array:
    """Every bone along its own x axis, as LAFAN1 has it: at rest the body is one line, no pose at all."""
    out = np.tile(rotation.IDENTITY, (len(skeleton), 1))
    for j in range(len(skeleton)):
        children = skeleton.children(j)
        if children:
            out[j] = rotation.between(X, skeleton.offsets[children[0]])
    return out


def rolled(skeleton: Skeleton) -> Array:
    """Every joint's frame turned anyhow."""
    q = np.random.default_rng(5).normal(size=(len(skeleton), 4))
    return rotation.normalize(q)


def facing(yaw: float) -> Frames:
    """A rest pose that looks elsewhere."""
    return lambda skeleton: np.tile(rotation.from_yaw(np.float64(-yaw)), (len(skeleton), 1))


def scaled(motion: Motion, size: float) -> Motion:
    """The same motion by a body ``size`` times as large."""
    skeleton = replace(motion.skeleton, offsets=size * motion.skeleton.offsets)
    return replace(motion, skeleton=skeleton, root_positions=size * motion.root_positions)


def moved(motion: Motion, yaw: float, shift: Array) -> Motion:
    """The same motion elsewhere, facing elsewhere."""
    root = np.concatenate([motion.root_positions, motion.rotations[:, 0]], axis=1)
    root = CycleOffset(shift, yaw).apply(root)
    rotations = motion.rotations.copy()
    rotations[:, 0] = root[:, 3:]
    return replace(motion, root_positions=root[:, :3], rotations=rotations)


def flipped(motion: Motion, upper: str, lower: str, during: slice) -> Motion:
    """The upper segment's roll a half turn off ``during`` some frames, the joint below making up for it: no point moves."""
    skeleton = motion.skeleton
    thigh, knee = skeleton.index(upper), skeleton.index(lower)
    half = rotation.from_axis_angle(rotation.unit(skeleton.offsets[knee]), np.array(np.pi))
    q = motion.rotations.copy()
    q[during, thigh] = rotation.multiply(q[during, thigh], half)
    q[during, knee] = rotation.multiply(rotation.conjugate(half), q[during, knee])
    return replace(motion, rotations=q)
