"""What is not driven limb by limb: trunks kept calm, chains that follow on springs, limbs moved by other limbs,
chains that play keyframes.

A character declares all of it: ``[steady]``, ``[undriven]`` with ``[follow]`` and ``[keyframes]``, ``[drive]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, signal

from characters import keyframes
from characters.definition import FollowEntry, SteadyEntry
from motion import rotation
from motion.errors import InputError
from motion.rotation import Array
from retarget import limits

if TYPE_CHECKING:
    from retarget.body import Body

UP = np.array([0.0, 0.0, 1.0])
TIPPED, STANDING = -0.5, 0.5
"""Cosines of the tilt from which a trunk is not kept level any more, and up to which it fully is."""
ROOM = 0.8
"""share of its swing limit a following joint may use"""
JOLT_TIME = 0.03
"""seconds, standard deviation of the smoothing of accelerations"""
BENT_SHARES = 17
"""shares of its bend that are tried for a chain that hangs into the ground"""
OVER_GROUND = 0.01
"""metres it is then to be above it"""
RAISE_TIME = 0.1
"""seconds, standard deviation of the smoothing of that share"""


def steady(turns: Array, entry: SteadyEntry, fps: float) -> Array:
    """Orientations ``(T, 4)`` relative to standing upright, made calmer.

    Smoothed by a Gaussian over ``entry.time`` (of quaternions: a mean of neighbours), then ``entry.level`` of pitch and roll is
    taken away as long as the body is more or less upright: a bow does not put a long neck into the ground, a somersault stays
    one.
    """
    sigma = entry.time * fps
    if sigma > 0.3 and len(turns) > 1:
        turns = rotation.normalize(ndimage.gaussian_filter1d(rotation.continuous(turns), sigma, axis=0, mode="nearest"))
    if entry.level == 0.0:
        return turns
    up = rotation.rotate(turns, UP)
    share = np.clip((up[:, 2] - TIPPED) / (STANDING - TIPPED), 0.0, 1.0)
    share = entry.level * share * share * (3.0 - 2.0 * share)
    tilt = rotation.between(np.broadcast_to(UP, up.shape), up)
    straight = rotation.multiply(rotation.conjugate(tilt), turns)
    return rotation.multiply(rotation.exp((1.0 - share)[:, None] * rotation.log(tilt)), straight)


def lagging(turns: Array, entry: FollowEntry, fps: float) -> Array:
    """Orientations ``(T, 4)`` behind a damped spring: ẍ = ω² (u − x) − 2ζω ẋ on each quaternion component, from rest."""
    b, a = _spring(entry, fps)
    u = rotation.continuous(turns)
    start = signal.lfilter_zi(b, a)[:, None] * u[:1]
    return rotation.normalize(signal.lfilter(b, a, u, axis=0, zi=start)[0])


def swayed(force: Array, entry: FollowEntry, fps: float) -> Array:
    """Deflection ``(T, 3)`` (rad) of a damped spring under an angular acceleration ``(T, 3)``, from rest."""
    b, a = _spring(entry, fps)
    return signal.lfilter(b, a, force, axis=0) / (2 * np.pi * entry.frequency) ** 2


def _spring(entry: FollowEntry, fps: float) -> tuple[Array, Array]:
    """The damped spring ω² / (s² + 2ζωs + ω²) at a frame rate (bilinear, exact at its own frequency where that can be)."""
    omega = 2 * np.pi * entry.frequency
    warped = 2 * fps * np.tan(min(omega / (2 * fps), 1.2))
    return signal.bilinear([warped**2], [1.0, 2 * entry.damping * warped, warped**2], fs=fps)


def follow(
    body: Body, chain: tuple[int, ...], carrier: Array, acceleration: Array, entry: FollowEntry, fps: float
) -> dict[int, Array]:
    """World rotations ``(T, 4)`` of the links of a chain that hangs on springs.

    Every link lags behind the one before it, and bends against the acceleration of what carries the chain, as a rod of its
    length on a spring does; no joint further than `ROOM` of its limit.

    Args:
        chain: joints from the root outward.
        carrier: (T, 4) rotation of the link the chain hangs on.
        acceleration: (T, 3) of that link, world, m/s².
    """
    joints = [body.character.joints[j] for j in chain]
    rest = body.rotations[joints[0].parent]
    turn = rotation.multiply(carrier, rotation.conjugate(rest))
    out = {}
    for k, joint in enumerate(joints):
        bone = rotation.rotate(body.rotations[joint.child], body.bone(chain, k))
        late = rotation.log(rotation.relative(turn, lagging(turn, entry, fps)))
        push = rotation.rotate(rotation.conjugate(turn), -acceleration)
        force = np.cross(np.broadcast_to(bone, push.shape), push) / (2.0 / 3.0 * _reach(body, chain))
        bend = late + entry.sway * swayed(force, entry, fps)
        turned = rotation.rotate(body.rotations[joint.child], joint.axis)
        if joint.type == "hinge":
            angle = bend @ turned
            bend = _within(angle, np.where(angle < 0, -joint.lower, joint.upper))[:, None] * turned
        else:
            size = np.linalg.norm(bend, axis=1)
            bend = bend * (_within(size, joint.swing_limit) / np.maximum(size, 1e-9))[:, None]
        turn = rotation.multiply(turn, rotation.exp(bend))
        out[joint.child] = rotation.multiply(turn, body.rotations[joint.child])
    return out


def _within(angle: Array, limit: Array | float) -> Array:
    """Angles ``(T,)`` kept, softly, within `ROOM` of a limit on their side."""
    most = ROOM * np.maximum(limit, 1e-9)
    return most * np.tanh(angle / most)


def played(
    body: Body, role: str, chain: tuple[int, ...], carrier: Array, stride: float, fps: float
) -> dict[int, Array]:
    """World rotations ``(T, 4)`` of the links of a chain that plays its keyframes, whatever carries it.

    A loop keeps time with the source: as many whole rounds a stride as come nearest to its own pace, at least one. A
    one-shot plays once and stays at its end.

    Args:
        chain: joints from the root outward.
        carrier: (T, 4) rotation of the link the chain hangs on.
        stride: seconds; 0 for a source that has none, then a loop keeps its own pace.

    Raises:
        InputError: the keyframes are for a body without these joints.
    """
    path = body.character.keyframes[role]
    keys = keyframes.load(path)
    theirs = {
        spec.name: (spec.type, at) for spec, at in zip(keys.character.specs, keys.character.layout.qpos_at, strict=True)
    }
    times = np.arange(len(carrier)) / fps
    if keys.loop and stride > 0:
        times = times * keys.duration * max(round(stride / keys.duration), 1) / stride
    qpos = keys.at(times)
    out, turn = {}, carrier
    for j in chain:
        joint = body.character.joints[j]
        kind, at = theirs.get(joint.name, (None, 0))
        if kind != joint.type:
            raise InputError(
                f"the keyframes of {role} are for {keys.character.name}, which has no {joint.type} {joint.name}",
                where=path,
            )
        local = qpos[:, at : at + 4] if kind == "ball" else rotation.from_axis_angle(joint.axis, qpos[:, at])
        turn = rotation.multiply(rotation.multiply(turn, joint.rotation), local)
        out[joint.child] = turn
    return out


def _reach(body: Body, chain: tuple[int, ...]) -> float:
    """Length of a chain at rest, metres: of its joints, and once more the last segment's."""
    places = np.array([body.positions[body.link(j)] for j in chain])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    return float(max(steps.sum() + (steps[-1] if len(steps) else 0.0), 0.1))


def accelerations(path: Array, fps: float) -> Array:
    """Second derivative ``(T, 3)`` of a path ``(T, 3)``, smoothed; zero for a clip too short to have one."""
    if len(path) < 5:
        return np.zeros_like(path)
    slow = ndimage.gaussian_filter1d(path, JOLT_TIME * fps, axis=0, mode="nearest")
    return np.gradient(np.gradient(slow, 1.0 / fps, axis=0), 1.0 / fps, axis=0)


def scaled(turns: Array, gain: Array | float) -> Array:
    """Rotations ``(T, 4)`` by a share of their angle, one number or (T,); past half a turn they go on the way they came."""
    turns = rotation.continuous(turns)
    turns = turns if turns[:, 0].sum() >= 0 else -turns
    size = np.linalg.norm(turns[:, 1:], axis=1)
    angle = 2 * np.arctan2(size, turns[:, 0])
    return rotation.from_axis_angle(turns[:, 1:] / np.maximum(size, 1e-12)[:, None], gain * angle)


def off_ground(body: Body, chain: tuple[int, ...], placed: tuple[Array, Array], fps: float) -> dict[int, Array]:
    """World rotations ``(T, 4)`` of the links of a chain that would hang into the ground, bent back as far as it needs.

    A long tail held as a short one's would end in the floor: in such frames the chain takes a smaller share of its bend away
    from its pose at rest, the largest one that keeps it above. Empty if it never does.

    Args:
        chain: joints from the root outward.
        placed: positions (T, L, 3) and rotations (T, L, 4) of all links.
    """
    character, (positions, rotations) = body.character, placed
    joints = [character.joints[j] for j in chain]
    carrier, support = rotations[:, joints[0].parent], character.support
    bends = []
    for joint in joints:
        base = rotation.multiply(rotations[:, joint.parent], joint.rotation)
        local = rotation.relative(base, rotations[:, joint.child])
        bends.append(limits.clamp_ball(joint, local) if joint.type == "ball" else local)

    def bent(share: Array) -> tuple[dict[int, Array], Array]:
        turn, place, lowest, out = carrier, positions[:, joints[0].parent], np.full(len(carrier), np.inf), {}
        for joint, bend in zip(joints, bends, strict=True):
            place = place + rotation.rotate(turn, joint.origin)
            turn = rotation.multiply(rotation.multiply(turn, joint.rotation), scaled(bend, share))
            out[joint.child] = turn
            mine = support.link == joint.child
            below = rotation.rotate(turn[:, None], support.points[mine])[..., 2] - support.radius[mine]
            lowest = np.minimum(lowest, place[:, 2] + below.min(axis=1, initial=np.inf))
        return out, lowest

    shares = np.linspace(1.0, 0.0, BENT_SHARES)
    lowest = np.stack([bent(np.full(len(carrier), share))[1] for share in shares])
    if lowest[0].min() >= 0:
        return {}
    enough = lowest >= OVER_GROUND
    best = shares[np.where(enough.any(axis=0), enough.argmax(axis=0), lowest.argmax(axis=0))]
    width = max(1, round(3 * RAISE_TIME * fps))
    best = ndimage.minimum_filter1d(best, 2 * width + 1, mode="nearest")
    return bent(ndimage.gaussian_filter1d(best, RAISE_TIME * fps, mode="nearest"))[0]
