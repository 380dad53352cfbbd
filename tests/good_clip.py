"""Clips without a fault, made by formulas: a walk that loops and a jump that does not, on any body with human legs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip, CycleOffset, Trajectory
from motion.motion import Motion
from motion.rotation import Array

RATE = 60.0
SIDES = ("left", "right")


@dataclass
class Plan:
    """Where the root and the soles go; a damage changes it before the pose is solved."""

    times: Array
    root: Array
    """(P, 3)"""
    soles: dict[str, Array]
    """side → (P, 3) the sole under the ankle"""
    flags: dict[str, np.ndarray]
    """side → (P,) bool"""
    duration: float
    stride: float
    """metres a cycle; 0 for a one-shot"""


def walk(character: Character, *, stride: float = 0.8, duration: float = 1.2, duty: float = 0.6) -> Plan:
    """A level walk with flat feet; the swing foot moves by a quintic, so that speed and acceleration are 0 at both ends."""
    count = round(duration * RATE)
    times = np.arange(count) * duration / count
    size = character.height / 1.7
    root = np.zeros((count, 3))
    root[:, 0] = stride * size * times / duration
    root[:, 2] = 0.93 * character.rest[2] + 0.01 * size * np.cos(4 * np.pi * times / duration)
    soles, flags = {}, {}
    for side, lag in zip(SIDES, (0.0, 0.5), strict=True):
        phase = times / duration + 0.5 * duty - lag
        cycle, share = np.floor(phase), phase % 1.0
        s = np.clip((share - duty) / (1.0 - duty), 0.0, 1.0)
        y = _hip(character, side)[1]
        x = (cycle + lag + s**3 * (10 - 15 * s + 6 * s**2)) * stride * size
        soles[side] = np.stack([x, np.full(count, y), 0.1 * size * 64 * (s * (1 - s)) ** 3], axis=-1)
        flags[side] = (s <= 0.05) | (s >= 0.95)
    return Plan(times, root, soles, flags, duration, stride * size)


def jump(character: Character, *, duration: float = 1.5, height: float = 0.25) -> Plan:
    """A jump on the spot: half a second in the air."""
    count = round(duration * RATE) + 1
    times = np.linspace(0.0, duration, count)
    size = character.height / 1.7
    s = np.clip((times - 0.5 * duration) / 0.5 + 0.5, 0.0, 1.0)
    lift = height * size * 64 * (s * (1 - s)) ** 3
    root = np.zeros((count, 3))
    root[:, 2] = 0.93 * character.rest[2] + lift
    soles, flags = {}, {}
    for side in SIDES:
        soles[side] = np.stack([np.zeros(count), np.full(count, _hip(character, side)[1]), lift], axis=-1)
        flags[side] = lift < 0.015 * size
    return Plan(times, root, soles, flags, duration, 0.0)


def make_good_clip(
    character: Character, plan: Callable[[Character], Plan] = walk, damage: Callable[[Plan], None] | None = None
) -> Clip:
    """A clip of a plan, solved exactly; ``damage`` may change the plan first."""
    made = plan(character)
    if damage is not None:
        damage(made)
    loop = made.stride > 0
    layout = character.layout
    qpos = np.repeat(character.zero[None], len(made.times), axis=0)
    qpos[:, :3] = made.root
    for side in SIDES:
        _put_leg(character, qpos, side, made.root, made.soles[side])
        swing = 0.4 * np.sin(2 * np.pi * made.times / made.duration + (0.0 if side == "left" else np.pi))
        _put(character, qpos, f"{side}_arm", 0, swing)
        _put(character, qpos, f"{side}_arm", 1, np.full(len(qpos), -0.3))
    offset = CycleOffset(np.array([made.stride, 0.0, 0.0]), 0.0) if loop else NO_OFFSET
    around = np.concatenate([offset.apply(qpos[-1:], -1), offset.apply(qpos[:1])]) if loop else None
    feet = {side: next(foot for foot in character.feet if side in foot) for side in SIDES}
    return Clip(
        name=plan.__name__,
        character=character.name,
        loop=loop,
        duration=made.duration,
        joints=character.specs,
        phase=made.times / made.duration,
        qpos=qpos,
        qvel=layout.velocities(qpos, made.times[1] - made.times[0], after=around),
        contacts={feet[side]: made.flags[side] for side in SIDES},
        cycle_offset=offset,
        provenance={"character_sha256": character.sha256},
    )


def with_qpos(clip: Clip, qpos: Array) -> Clip:
    """The clip with other poses."""
    return replace(clip, qpos=qpos)


def source_of(clip: Clip, character: Character) -> Motion:
    """The clip's own motion as a mocap source, the closing frame of a loop included."""
    qpos, contacts = clip.qpos, clip.contacts
    if clip.loop:
        qpos = np.concatenate([qpos, clip.cycle_offset.apply(qpos[:1])])
        contacts = {link: np.append(flags, flags[0]) for link, flags in contacts.items()}
    return character.to_motion(Trajectory(clip.name, clip.character, clip.joints, clip.fps, qpos, contacts))


@dataclass(frozen=True)
class BodyRoles:
    """A body's roles as those of the motion `Character.to_motion` makes."""

    chains: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, character: Character) -> BodyRoles:
        return cls({"root": (character.links[0].name,), **character.roles})


def _hip(character: Character, side: str) -> Array:
    return character.joints[character.joint(character.roles[f"{side}_leg"][0])].origin


def _put(character: Character, qpos: Array, role: str, k: int, pitch: Array) -> None:
    """Turn the k-th joint of a chain by a pitch (P,) about y."""
    joint = character.joints[character.joint(character.roles[role][k])]
    at = character.layout.qpos_at[character.joint(joint.name)]
    if joint.type == "ball":
        qpos[:, at : at + 4] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), pitch)
    else:
        qpos[:, at] = pitch * joint.axis[1]


def _put_leg(character: Character, qpos: Array, side: str, root: Array, sole: Array) -> None:
    """Two-link inverse kinematics in the sagittal plane, foot level."""
    hip, knee, ankle = (character.joints[character.joint(name)] for name in character.roles[f"{side}_leg"])
    thigh, shin = -knee.origin[2], -ankle.origin[2]
    height = character.rest[2] + hip.origin[2] - thigh - shin  # of the ankle above the sole
    reach = sole + np.array([0.0, 0.0, height]) - root - hip.origin
    length = np.hypot(reach[:, 0], reach[:, 2])
    assert (length < thigh + shin).all(), "the leg is too short for this plan"
    bend = np.pi - np.arccos((thigh**2 + shin**2 - length**2) / (2 * thigh * shin))
    ahead = np.arctan2(reach[:, 0], -reach[:, 2]) + np.arccos((thigh**2 + length**2 - shin**2) / (2 * thigh * length))
    for k, pitch in enumerate((-ahead, bend, ahead - bend)):
        _put(character, qpos, f"{side}_leg", k, pitch)
