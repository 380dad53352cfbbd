"""How much of the source is left in a clip: what `retarget.quality` measures beside the source."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from characters.character import Character
from motion import contacts, rotation
from motion.clip import Clip, Trajectory
from motion.errors import InputError
from motion.motion import Motion
from motion.rotation import Array
from retarget import landmarks, reach
from retarget.body import Body
from retarget.landmarks import TIP, Landmarks, of_body, of_source, segments, splined
from retarget.limbs import UP
from retarget.measures import Measure, Measures, unmeasured
from retarget.sampled import RATE, Sampled, longest
from retarget.source import Source

JERK_RATE, JERK_CUTOFF, JERK_ORDER = 60, 10.0, 4
"""Hz, Hz, order of the Butterworth low-pass (run both ways)."""
HELD_JERK = 0.1
"""1/s³, of a source over its body's length: less is a pose held, with the rounding of its file (a slow kneel has 20)."""
JERK_FPS = 29.5
"""Sources slower than 30 frames/s (but for rounding in the file) do not hold a jerk."""
SHORTEST = 0.5
"""Seconds below which airborne share, skate and jerk are not measured."""
SKATE_HEIGHT = 0.025
"""Metres at which a foot's speed no longer counts as skating."""
COMPARABLE = np.deg2rad(35.0)
"""Trunks whose rest directions differ by more rest in different poses: then there is no offset to remove."""
SIDE_MARGIN = np.deg2rad(5.0)
"""A pair of limbs tells left from right only if its two sides differ by this on average."""
TRAVEL_WINDOW, TRAVEL = 0.5, 0.2
"""Direction of travel is compared over windows of this many seconds in which the body moves at least this far (m)."""
MIN_TRAVEL = 0.1
"""Share of the windows that must travel."""

Roles = contacts.HasChains


def fidelity(
    clip: Clip | Trajectory | Sampled,
    character: Character,
    source: Motion,
    roles: Roles,
    *,
    interval: tuple[float, float] | None = None,
) -> Measures:
    """Measure a clip beside its source.

    - ``airborne_error``: percentage points between the shares of time in which nothing touches the ground (source: no
      joint or end site within 3 cm of its own resting height, `motion.contacts`).
    - ``skate`` (cm/s; ``reference`` the source's): horizontal speed × clip(2 − 2^(h / 2.5 cm), 0, 1), mean over feet
      and frames, whatever the flags say. h is the height of the foot's lowest point; the source's foot is the lowest of
      ankle, toes and their end sites, each lowered by its own resting height, and its speeds and heights are scaled by
      leg length.
    - ``direction_error_deg`` (mean over segments and frames): angle between the directions, in the world, of hip→knee,
      knee→ankle, shoulder→elbow, elbow→wrist on body and source. A retarget aligns rest poses by bone directions, so at
      the matched rest both are equal and limbs need no correction; correcting them by the two files' rest poses would
      count a T- against an A-pose as an error. A leg that follows a foot (`retarget.reach`) has no segments to match:
      of it hip→foot is compared, relative to how both stand. Limbs that are only moved in part (``[drive]``) are left
      out. The trunk (between the hips → between the shoulders) is compared relative to its rest direction: the source's
      is carried along in the body's trunk frame (z along the trunk, y from right to left hip). Where the two rest
      directions are more than 35° apart, the source's rest pose may be an odd one: then the pose in which it stands
      counts, and the directions themselves if only that is like the body's.
    - ``jerk_ratio``: root mean square third difference at 60 Hz after a 10 Hz low-pass, over leg plus trunk length, of
      pelvis, head, hands and feet together, body over source; ``where`` is the point with the largest ratio of its own.
    - ``side``: the smaller of two shares: of frames in which the line from right to left hips (and shoulders) points to
      the source's side, and of limb pairs that are nearer in direction to the source's limb of their own side than to
      the other's. Pairs whose two sides hardly differ do not vote.
    - ``heading_error_deg``: the turn about z that best brings the source's displacements between the hips, over
      half-second windows in which both travel, onto the body's; ``worst`` is the largest of a single window.
    - ``source_joint_speed`` (rad/s): the fastest joint of the source; what it does is allowed to the body.

    Args:
        clip: of ``character``.
        source: standardised (metres, z-up) and cleaned: what was retargeted.
        roles: of the source's joints.
        interval: seconds of the source the clip covers; by default the clip's ``provenance["interval"]``, else all of
        it.

    Raises:
        InputError: the clip is not of this body, or the interval is outside the source.
    """
    sampled = Sampled.of(clip, character)
    if interval is None and not isinstance(clip, Sampled):
        stated = clip.provenance.get("interval")
        interval = (float(stated[0]), float(stated[1])) if stated else None
    start, stop = interval or (0.0, source.duration)
    if not -1e-6 <= start < stop <= source.duration + 1.5 / source.fps:
        raise InputError(
            f"expected an interval within {source.duration:.3f} s of the source, found {start:.3f} to {stop:.3f}",
            where=source.name,
        )
    times = start + (stop - start) / max(sampled.duration, 1e-9) * sampled.dt * np.arange(
        sampled.count, dtype=np.float64
    )
    body, other = of_body(sampled), of_source(source, roles, times)
    found = contacts.detect(source, roles)
    measures = [
        _airborne(sampled, source, found, times),
        _skate(sampled, body.leg, other.leg, source, roles, found, times),
        _directions(sampled, body, other, _as_retargeted(source, roles)),
        _jerk(sampled, body, other, source),
        _side(sampled, body, other),
        _heading(sampled, body, other),
        _source_speed(source, roles, start, stop),
    ]
    return Measures(sampled.kind, sampled.scale, {measure.name: measure for measure in measures})


def _airborne(sampled: Sampled, source: Motion, found: contacts.Contacts, times: Array) -> Measure:
    if sampled.duration < SHORTEST:
        return unmeasured("airborne_error", f"shorter than {SHORTEST} s", unit="points")
    frames = np.clip(np.round(times * source.fps).astype(int), 0, len(source) - 1)
    share, theirs = 100 * float(sampled.airborne.mean()), 100 * float(found.airborne[frames].mean())
    time, frame = sampled.place(longest(sampled.airborne != found.airborne[frames]))
    return Measure(
        "airborne_error",
        abs(share - theirs),
        "points",
        reference=theirs,
        time=time,
        frame=frame,
        samples=sampled.count,
        note=f"{share:.1f} % of the clip",
    )


def _skate(
    sampled: Sampled, leg: float, their_leg: float, source: Motion, roles: Roles, found: contacts.Contacts, times: Array
) -> Measure:
    ours = {
        name: sampled.ground[link]
        for name in sampled.character.feet
        if (link := sampled.character.link(name)) in sampled.ground
    }
    theirs = [chain for role, chain in roles.chains.items() if role.endswith("leg") and chain]
    if sampled.duration < SHORTEST or not ours or not theirs or not their_leg or not leg:
        return unmeasured("skate", f"shorter than {SHORTEST} s, or no feet on both", unit="cm/s")
    skates = np.array([100 * _skating(g.lowest[:-1], g.slide / sampled.dt, sampled.scale) for g in ours.values()])
    positions, _ = source.forward()
    level = found.level
    reference = []
    for chain in theirs:
        joints = _foot(source, chain)
        resting = np.array([found.resting_height[source.skeleton.names[j]] for j in joints])
        points = positions[:, joints].copy()
        points[..., 2] -= level[:, None] + resting
        points = splined(source, points, times) * leg / their_leg
        lowest = points[:-1, :, 2].argmin(axis=1)[:, None]
        speed = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1) / sampled.dt
        height = np.take_along_axis(points[:-1, :, 2], lowest, axis=1)[:, 0]
        reference.append(_skating(height, np.take_along_axis(speed, lowest, axis=1)[:, 0], sampled.scale).mean())
    foot, step = np.unravel_index(int(skates.argmax()), skates.shape)
    time, frame = sampled.place(step)
    return Measure(
        "skate",
        float(skates.mean()),
        "cm/s",
        p95=float(np.percentile(skates, 95)),
        worst=float(skates.max()),
        reference=100 * float(np.mean(reference)),
        where=list(ours)[foot],
        time=time,
        frame=frame,
        samples=skates.size,
    )


def _skating(height: Array, speed: Array, scale: float) -> Array:
    """Speeds weighted by nearness to the ground (He et al., *NeMF*, 2022; Zhang et al., *MANN*, 2018)."""
    return speed * np.clip(2.0 - 2.0 ** (np.maximum(height, 0.0) / (SKATE_HEIGHT * scale)), 0.0, 1.0)


def _foot(source: Motion, chain: tuple[str, ...]) -> list[int]:
    """Ankle and all below it."""
    members = [source.skeleton.index(chain[min(TIP, len(chain) - 1)])]
    for joint in members:
        members += source.skeleton.children(joint)
    return members


def _as_retargeted(source: Motion, roles: Roles) -> Source | None:
    """The source as retargeting reads it; None without the two legs that needs."""
    legs = [role for role in ("left_leg", "right_leg") if len(roles.chains.get(role, ())) >= 2]
    return Source(source, roles.chains) if len(legs) == 2 and roles.chains.get("root") else None


def _between(a: Array, b: Array) -> Array:
    """Angle (…) between directions (…, 3)."""
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.einsum("...i,...i->...", a, b))


def _directions(sampled: Sampled, body: Landmarks, other: Landmarks, source: Source | None) -> Measure:
    character = sampled.character
    wholes = _legs_as_wholes(Body(character), body, other, source)
    ours, theirs = segments(body), segments(other)
    unmatched = {name.replace("_", " ") for name in (*wholes, *character.drive)}
    angles = {
        name: _between(ours[name], theirs[name])
        for name in ours
        if name in theirs and name.partition(" ")[2] not in unmatched
    }
    angles |= {role.replace("_", " "): angle for role, angle in wholes.items() if angle is not None}
    if (trunk := _trunk_error(body, other, source)) is not None:
        angles["trunk"] = trunk
    if not angles:
        return unmeasured("direction_error_deg", "no limb on both", unit="°")
    every = np.rad2deg(np.array(list(angles.values())))
    worst = int(every.mean(axis=1).argmax())
    time, frame = sampled.place(int(every[worst].argmax()))
    return Measure(
        "direction_error_deg",
        float(every.mean()),
        "°",
        p95=float(np.percentile(every, 95)),
        worst=float(every.max()),
        where=list(angles)[worst],
        time=time,
        frame=frame,
        samples=every.size,
    )


def _legs_as_wholes(body: Body, ours: Landmarks, theirs: Landmarks, source: Source | None) -> dict[str, Array | None]:
    """Legs that follow a foot → angle (count,) between hip→foot of body and source, each relative to how it stands; None
    where the source lacks the leg."""
    out: dict[str, Array | None] = {}
    for role in (r for r in body.chains if r.endswith("leg") and reach.follows_foot(body, r)):
        out[role] = None
        if source is None or role not in source.feet or role not in theirs.chains:
            continue
        at, their_at = reach.stands_on(body, role) + body.stump(role), source.chains[role].index(source.feet[role])
        mine, other = (
            side.chains[role][:, k] - side.chains[role][:, 0] for side, k in ((ours, at), (theirs, their_at))
        )
        stands = ours.rest[role][at] - ours.rest[role][0]
        hips = source.reference.positions[source.chains[role][0]]
        pair = [c[0] for r, c in source.chains.items() if r.partition("_")[2] == role.partition("_")[2]]
        middle = source.reference.positions[pair].mean(axis=0)
        rests = source.standing(role) - rotation.rotate(rotation.conjugate(source.reference.facing), hips - middle)
        rests[2] = min(rests[2], -1e-3)
        facing = np.cross(ours.across("leg"), UP)
        heading = rotation.from_yaw(np.arctan2(facing[:, 1], facing[:, 0]))
        carried = rotation.rotate(rotation.conjugate(heading), other)
        carried = rotation.rotate(rotation.between(rests, stands), carried)
        out[role] = _between(mine, rotation.rotate(heading, carried))
    return out


def _trunk_error(body: Landmarks, other: Landmarks, source: Source | None) -> Array | None:
    """Angle (count,) between the trunks, the body's carrying the direction the source's has in the matched pose."""
    ours, theirs = body.trunk(rest=False), other.trunk(rest=False)
    if ours is None or theirs is None:
        return None
    stands, left = body.trunk(rest=True), body.across("leg", rest=True)
    rests, their_left = other.trunk(rest=True), other.across("leg", rest=True)
    assert stands is not None
    assert rests is not None
    carried = _turned_alike(rests, their_left, left)
    if _between(stands, carried) > COMPARABLE:
        if source is None:
            return _between(ours, theirs)
        carried = _turned_alike(*_standing_trunk(source), left)
        if _between(stands, carried) < COMPARABLE:
            return _between(ours, theirs)
    carried = rotation.rotate(rotation.conjugate(rotation.from_frame(stands, left)), carried)
    return _between(rotation.rotate(rotation.from_frame(ours, body.across("leg")), carried), theirs)


def _turned_alike(direction: Array, left: Array, our_left: Array) -> Array:
    """A direction (3,) of the source, turned about z so that its hips (right to left) lie as the body's."""
    turn = np.arctan2(our_left[1], our_left[0]) - np.arctan2(left[1], left[0])
    return rotation.rotate(rotation.from_yaw(turn), direction)


def _standing_trunk(source: Source) -> tuple[Array, Array]:
    """Trunk, and right hip to left, (3,) of the source in the pose in which it stands."""
    at, upper = source.reference.positions, "arm" if {"left_arm", "right_arm"} <= source.chains.keys() else "foreleg"
    legs, shoulders = (
        [at[source.chains[f"{side}_{limb}"][0]] for side in ("left", "right")] for limb in ("leg", upper)
    )
    return 0.5 * (shoulders[0] + shoulders[1] - legs[0] - legs[1]), legs[0] - legs[1]


def _jerk(sampled: Sampled, body: Landmarks, other: Landmarks, source: Motion) -> Measure:
    if source.fps < JERK_FPS:
        return unmeasured("jerk_ratio", f"the source has {source.fps:.3g} frames/s, fewer than 30")
    if sampled.duration < SHORTEST:
        return unmeasured("jerk_ratio", f"shorter than {SHORTEST} s")
    ours, theirs = landmarks.points(body), landmarks.points(other)
    names = [name for name in ours if name in theirs]
    ratios, squares = [], np.zeros(2)
    for name in names:
        pair = np.array([_jerkiness(points[name]) / side.size for points, side in ((ours, body), (theirs, other))])
        ratios.append(pair[0] / max(pair[1], 1e-9))
        squares += pair**2
    if np.sqrt(squares[1] / max(len(names), 1)) < HELD_JERK:
        return unmeasured("jerk_ratio", "the source holds a pose")
    where = names[int(np.argmax(ratios))]
    return Measure(
        "jerk_ratio", float(np.sqrt(squares[0] / squares[1])), worst=max(ratios), where=where, samples=len(names)
    )


def _jerkiness(points: Array) -> float:
    """Root mean square jerk of a point (count, 3) sampled at 120 Hz, low-passed, m/s³."""
    slow = sosfiltfilt(
        butter(JERK_ORDER, JERK_CUTOFF, fs=JERK_RATE, output="sos"), points[:: int(RATE) // JERK_RATE], axis=0
    )
    return float(np.sqrt((np.diff(slow, 3, axis=0) ** 2).sum(axis=1).mean())) * JERK_RATE**3


def _side(sampled: Sampled, body: Landmarks, other: Landmarks) -> Measure:
    shares: list[tuple[float, str]] = []
    for limb, name in (("leg", "hips"), ("arm", "shoulders")):
        if body.middle(limb) is None or other.middle(limb) is None:
            continue
        same = np.einsum("ti,ti->t", body.across(limb), other.across(limb)) > 0
        shares.append((float(same.mean()), name))
    ours, theirs = segments(body), segments(other)
    kept = []
    for limb in ("leg", "arm"):
        names = [f"{half} {{}} {limb}" for half in ("upper", "lower")]
        pairs = [n for n in names if all(n.format(s) in ours and n.format(s) in theirs for s in ("left", "right"))]
        if not pairs:
            continue
        straight, crossed = (
            np.mean([_between(ours[n.format(a)], theirs[n.format(b)]) for n in pairs for a, b in matching])
            for matching in ((("left", "left"), ("right", "right")), (("left", "right"), ("right", "left")))
        )
        if abs(straight - crossed) > SIDE_MARGIN:
            kept.append((float(straight < crossed), f"{limb}s"))
    shares += kept
    if not shares:
        return unmeasured("side", "no pair of limbs on both")
    value, where = min(shares)
    return Measure("side", value, where=where if value < 1 else None, samples=sampled.count)


def _heading(sampled: Sampled, body: Landmarks, other: Landmarks) -> Measure:
    window = int(round(TRAVEL_WINDOW / sampled.dt))
    moved = [
        hips[window:, :2] - hips[:-window, :2]
        for hips in (landmarks.points(body)["pelvis"], landmarks.points(other)["pelvis"])
    ]
    if not len(moved[0]):
        return unmeasured("heading_error_deg", f"shorter than {TRAVEL_WINDOW} s", unit="°")
    way = np.min([np.linalg.norm(m, axis=1) for m in moved], axis=0)
    travels = way > TRAVEL * sampled.scale
    if travels.sum() < MIN_TRAVEL * len(way) or not travels.any():
        return unmeasured("heading_error_deg", "it barely travels", unit="°", samples=int(travels.sum()))
    ours, theirs = (m[:, 0] + 1j * m[:, 1] for m in moved)
    turned = np.where(travels, ours * np.conj(theirs), 0.0)
    error = np.rad2deg(np.abs(np.angle(turned)))
    time, frame = sampled.place(int(error.argmax()))
    return Measure(
        "heading_error_deg",
        float(np.rad2deg(np.abs(np.angle(turned.sum())))),
        "°",
        worst=float(error.max()),
        time=time,
        frame=frame,
        samples=int(travels.sum()),
    )


def _source_speed(source: Motion, roles: Roles, start: float, stop: float) -> Measure:
    joints = [source.skeleton.index(name) for role, chain in roles.chains.items() if role != "root" for name in chain]
    rows = slice(int(start * source.fps), int(np.ceil(stop * source.fps)) + 1)
    turned = source.rotations[rows][:, joints]
    if turned.shape[0] < 2 or turned.shape[1] == 0:
        return unmeasured("source_joint_speed", "no motion", unit="rad/s")
    speed = rotation.angle(turned[:-1], turned[1:]) * source.fps
    step, joint = np.unravel_index(int(speed.argmax()), speed.shape)
    where = source.skeleton.names[joints[joint]]
    time = max(float(step / source.fps + rows.start / source.fps - start), 0.0)
    return Measure("source_joint_speed", float(speed.max()), "rad/s", where=where, time=time, samples=speed.size)
