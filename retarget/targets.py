"""What the body should do, frame by frame: link orientations, root path, stances and foot clearance.

Limb segments copy the source's world *directions*; the turn about a limb's bone comes from its flexion axis (knee,
elbow), found in the motion itself where the limb bends, so that T-, A- and odd rest poses all work. Trunk, head, hands and
feet copy orientations relative to a reference pose; feet to the pose in which they stand flat.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from characters.character import Character
from characters.definition import FollowEntry
from motion import rotation
from motion.contacts import REFERENCE_HEIGHT
from motion.motion import Motion
from motion.rotation import Array
from retarget import gait, limits, reach, secondary
from retarget.body import Body
from retarget.gait import Drive
from retarget.limbs import LEFT, UP, flexion_axis, flexion_in_reference, limb_frame, natural_bend, steady_axis, two_bone
from retarget.source import Source, slow

LIMBS = ("leg", "arm", "foreleg", "wing")
"""Roles ending so are limbs: two segments by direction, what follows them by orientation."""
FLAT_SHARE, FLAT = 0.1, 0.01
"""A standing foot is flat while its highest point is within so many metres of this quantile of its heights in stance."""
UNLIKE = np.deg2rad(30.0)
"""If the pose so found is tilted this far against the rest pose, the foot only ever stood on its toes or its edge."""
RELEASE = 0.01
"""metres (body 1.7 m high): at its ends a stance counts only while the source's foot is this near to the ground"""
RELEASE_TIME = 0.08
"""seconds at each end of a stance that may so be dropped"""
CLEARANCE_TIME = 0.025
"""seconds, standard deviation of the smoothing of foot heights: they are the minimum over several points, with corners"""
ROOM_SHARE, ROOM = 0.5, 0.008
"""while the other foot stands, a swinging one is lifted this share more, at most so many metres: a sole needs room"""
FOOT_TIME = 0.02
"""seconds, standard deviation of the smoothing of how a foot is turned on a leg that follows it"""
HEADING_TIME = 0.5
"""seconds, standard deviation of the smoothing of the heading across which feet stand apart"""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What the solve works towards. Weights are per squared radian or metre."""

    fps: float
    qpos: Array
    """(T, nq) first guess; the correction to it is what stays smooth"""
    root: Array
    """(T, 3) root position"""
    root_weight: Array
    """(3,)"""
    rotations: Array
    """(T, L, 4) world orientation of every link"""
    bones: Array
    """(L, 3) bone direction in the link frame"""
    across: Array
    """(L,) weight on the bone's direction"""
    about: Array
    """(L,) weight on the turn about the bone"""
    stance: dict[str, np.ndarray]
    """link → (T,) bool: stands on the ground"""
    clearance: dict[str, Array]
    """link → (T,) metres the link's lowest point should be above the ground; 0 in stance"""
    claimed: dict[str, np.ndarray] = field(default_factory=dict)
    """link → (T,) bool: the source says that it stands, though it may be let go already; no link: as ``stance``"""


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """Weights of the targets, per squared radian or metre."""

    limb: float = 1.0
    """direction of arm and leg segments"""
    limb_roll: float = 0.05
    """turn about the bone of upper arm and thigh"""
    trunk: float = 1.0
    """orientation of pelvis, spine and head"""
    foot: float = 0.06
    """orientation of feet and hands"""
    root: float = 4.0
    """root position, each axis"""
    posture: float = 0.02
    """orientation of links no source joint drives"""
    follow: float = 0.3
    """orientation of links that follow others"""


def build(
    motion: Motion,
    chains: AbstractMapping[str, tuple[str, ...]],
    character: Character,
    contacts: AbstractMapping[str, np.ndarray],
    resting_height: AbstractMapping[str, float],
    *,
    level: Array | float = 0.0,
    weights: AbstractMapping[str, float] | None = None,
    settings: TargetSettings | None = None,
) -> Targets:
    """Targets for ``character`` from a standardised motion.

    Args:
        motion: metres, z-up.
        chains: role → source joints from the root outward.
        contacts: leg role → (T,) bool.
        resting_height: source joint → its height over the ground while standing, metres.
        level: (T,) or a number, height of the source's ground, metres.
        weights: role → factor on its targets; 0 leaves the role's joints at rest and its feet off the ground.

    Raises:
        InputError: the source lacks a root or two legs.
    """
    source, body = Source(motion, chains), Body(character)
    weights, settings = weights or {}, settings or TargetSettings()
    idle = {role for role, weight in weights.items() if weight == 0} - {"root"}
    contacts = {role: flags for role, flags in contacts.items() if role not in idle}
    frames, count = len(motion), len(character.links)
    rotations = np.tile(body.rotations, (frames, 1, 1))
    across, about = np.full(count, settings.posture), np.full(count, settings.posture)
    driven = np.zeros(count, dtype=bool)

    def put(link: int, target: Array, role: str, direction: float, turn: float) -> None:
        if role in idle:
            return
        rotations[:, link] = target
        driven[link] = True
        across[link], about[link] = direction * weights.get(role, 1.0), turn * weights.get(role, 1.0)

    plan = gait.drives(source, body, contacts)
    by_foot = {role: drive for role, drive in plan.items() if reach.follows_foot(body, role)}
    upright = _calm(source, body, "root", _upright(source, source.pelvis))
    put(0, upright, "root", settings.trunk, settings.trunk)
    _trunk(source, body, put, settings)
    scale = _scale(source, body)
    root, clearance, stance, claimed = _path(
        source, body, rotations[:, 0], scale, contacts, resting_height, level, plan
    )
    for role, chain in body.chains.items():
        if (
            role in by_foot
            or role in character.drive
            or not role.endswith(LIMBS)
            or len(source.chains.get(role, ())) < 2
            or len(chain) < 2
        ):
            continue
        step = None
        if role in source.legs and min(len(source.chains[role]), len(chain)) > 2:
            step = _step(source, body, role, root, rotations[:, 0], scale)
        _limb(source, body, role, put, settings, contacts.get(role), step)
    placed = reach.place(character, root, rotations, driven)
    if by_foot:
        crouch, share = _legs(
            source, body, by_foot, placed, put, settings, contacts, resting_height, level, stance, scale
        )
        root = root * np.array([share, share, 1.0]) - crouch * UP
    _rest(source, body, placed, put, settings, driven, contacts)

    if "tail" in body.chains:
        placed = reach.place(character, root, rotations, driven)
        for link, turn in secondary.off_ground(body, body.chains["tail"], placed, motion.fps).items():
            rotations[:, link], driven[link] = turn, True

    qpos = _first_guess(character, root, rotations, driven)
    return Targets(
        fps=motion.fps,
        qpos=qpos,
        root=root,
        root_weight=np.full(3, settings.root),
        rotations=rotations,
        bones=body.bones,
        across=across,
        about=about,
        stance=stance,
        clearance=clearance,
        claimed=claimed,
    )


def _upright(source: Source, joint: int) -> Array:
    """Orientation ``(T, 4)`` of a source joint relative to standing straight ahead."""
    reference = source.reference
    calibration = rotation.multiply(rotation.conjugate(reference.rotations[joint]), reference.facing)
    return rotation.multiply(source.rotations[:, joint], calibration)


def _calm(source: Source, body: Body, role: str, turns: Array) -> Array:
    """Orientations ``(T, 4)`` relative to standing, as calm as the character wants the role."""
    entry = body.character.steady.get(role)
    return turns if entry is None else secondary.steady(turns, entry, source.motion.fps)


def _trunk(source: Source, body: Body, put, settings: TargetSettings) -> None:
    """Spine, neck with head, and tail: orientations at equal shares of the chains' arc length."""
    for roles in (("spine",), ("neck", "head"), ("tail",)):
        theirs = [(r, j) for r in roles for j in body.chains.get(r, ())]
        ours = [j for r in roles for j in source.chains.get(r, ())]
        if not theirs or not ours:
            continue
        base = _upright(source, int(source.motion.skeleton.parents[ours[0]]))
        path = np.stack([base] + [_upright(source, j) for j in ours])
        lengths = [np.linalg.norm(source.motion.skeleton.offsets[j]) for j in ours[1:]]
        lengths = np.array([*lengths, np.mean(lengths) if lengths else 1.0]) + 1e-9
        knots = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
        for k, (role, joint) in enumerate(theirs):
            share = (k + 1) / len(theirs)
            at = min(int(np.searchsorted(knots, share - 1e-9)), len(ours))
            part = (share - knots[at - 1]) / (knots[at] - knots[at - 1])
            target = rotation.slerp(path[at - 1], path[at], np.full(len(base), min(part, 1.0)))
            role = next(r for r in roles if joint in body.chains.get(r, ()))
            target = _calm(source, body, role, target)
            rest = body.rotations[body.link(joint)]
            put(body.link(joint), rotation.multiply(target, rest), role, settings.trunk, settings.trunk)


def _step(source: Source, body: Body, role: str, root: Array, pelvis: Array, scale: float) -> Array | None:
    """Hip to ankle ``(T, 3)``, world, that takes the body's ankle where the source's is, scaled; None if it hangs elsewhere.

    Copied directions alone would let a standing ankle drift wherever thigh and shank, or the hips' width, are not the
    source's to scale. Feet keep the distance their own hips give them: it is added across the slowly turning heading.
    """
    chain, ours = body.chains[role], source.chains[role]
    hip = body.character.joints[chain[0]]
    if hip.parent != 0:
        return None
    legs = [r for r in source.legs if r in body.chains]
    centre = np.mean([body.character.joints[body.chains[r][0]].origin for r in legs], axis=0)
    hips = np.mean([source.positions[:, source.chains[r][0]] for r in source.legs], axis=0)
    across = source.lateral(source.positions)
    width = np.einsum("ti,ti->t", source.positions[:, ours[0]] - hips, across)
    sideways = rotation.unit(slow(across * np.array([1.0, 1.0, 0.0]), HEADING_TIME * source.motion.fps))
    out = (hip.origin - centre) @ LEFT - scale * width
    middle = root + rotation.rotate(pelvis, centre)
    ankle = middle + scale * (source.positions[:, ours[2]] - hips) + out[:, None] * sideways
    return ankle - (root + rotation.rotate(pelvis, hip.origin))


def _limb(
    source: Source,
    body: Body,
    role: str,
    put,
    settings: TargetSettings,
    contact: np.ndarray | None,
    step: Array | None,
) -> None:
    chain, ours = body.chains[role], source.chains[role]
    upper, lower = source.direction(role, 0), source.direction(role, 1)
    reference = source.reference
    forward = rotation.rotate(reference.facing, natural_bend(role))
    rest_direction = rotation.unit(reference.positions[ours[1]] - reference.positions[ours[0]])
    prior = flexion_in_reference(rest_direction, forward)
    local = rotation.rotate(rotation.conjugate(reference.rotations[ours[0]]), prior)
    sideways = source.lateral(source.positions) if role in source.legs else None
    axis = flexion_axis(source.rotations[:, ours[0]], (upper, lower), local, sideways)
    axis_world = steady_axis(rotation.rotate(source.rotations[:, ours[0]], axis), (upper, lower), source.motion.fps)

    links = [body.link(j) for j in chain]
    if step is not None:
        thigh, shank = (float(np.linalg.norm(body.character.joints[j].origin)) for j in chain[1:3])
        upper, lower = two_bone(step, thigh, shank, axis_world)
    flexion = body.flexion(role)
    frame = rotation.conjugate(limb_frame(body.bones[links[0]], flexion))
    put(links[0], rotation.multiply(limb_frame(upper, axis_world), frame), role, settings.limb, settings.limb_roll)

    joint = body.character.joints[chain[1]]
    below = rotation.rotate(
        rotation.conjugate(joint.rotation), flexion
    )  # the same axis in the lower link at zero angle
    frame = rotation.conjugate(limb_frame(body.bones[links[1]], below))
    roll = 0.0 if joint.type == "hinge" else settings.limb_roll
    put(links[1], rotation.multiply(limb_frame(lower, axis_world), frame), role, settings.limb, roll)

    for k in range(2, min(len(chain), len(ours))):
        rest = body.rotations[links[k]]
        is_foot = k == 2 and role.endswith("leg")
        target = _flat_foot(source, role, contact, axis_world) if is_foot else _upright(source, ours[k])
        put(links[k], rotation.multiply(target, rest), role, settings.foot, settings.foot)


def _legs(
    source: Source,
    body: Body,
    plan: AbstractMapping[str, Drive],
    placed: tuple[Array, Array],
    put,
    settings: TargetSettings,
    contacts: AbstractMapping[str, np.ndarray],
    resting_height: AbstractMapping[str, float],
    level: Array | float,
    stance: AbstractMapping[str, np.ndarray],
    scale: float,
) -> tuple[float, float]:
    """Legs that follow a foot: the foot's path and orientation, the leg between by inverse kinematics.

    Returns:
        metres by which the body has to go lower for its standing legs to reach, and the share of the source's scaled way that
        it goes, so that hind feet keep off the forefeet.
    """
    names, ahead = source.motion.skeleton.names, source.lateral(source.positions)
    ground = {}
    for role, drive in plan.items():
        joint = source.feet[drive.role]
        ground[role] = scale * drive.take(source.positions[:, joint, 2] - level - resting_height.get(names[joint], 0.0))
    trunk = rotation.multiply(placed[1][:, 0], rotation.conjugate(body.rotations[0]))
    turns = {}
    for role, drive in plan.items():
        if body.stump(role):
            continue
        flat = _flat_foot(source, drive.role, contacts.get(drive.role), ahead)
        if drive.index is not None:
            flat = rotation.multiply(trunk, drive.take(rotation.relative(trunk, flat)))
        turns[role] = rotation.multiply(flat, body.rotations[body.character.link(body.foot(role))])
    paths = gait.feet(source, body, plan, placed, stance, scale, ground, turns)
    share = gait.stride_share(body, paths, trunk)
    if share < 1.0:
        less = (share - 1.0) * placed[0][:, :1] * np.array([1.0, 1.0, 0.0])
        placed = (placed[0] + less, placed[1])
        paths = gait.feet(source, body, plan, placed, stance, share * scale, ground, turns)
    legs = {role: reach.Leg(body, role) for role in plan}
    steps = {role: paths[role] - placed[0][:, leg.links[0]] for role, leg in legs.items()}
    crouch = max(leg.crouch(steps[role][stance[body.foot(role)]]) for role, leg in legs.items())
    for role, leg in legs.items():
        target = steps[role] + crouch * UP
        above = leg.reach(placed[1][:, leg.carrier], target)
        for link, turn in above.items():
            put(link, turn, role, settings.limb, settings.limb_roll)
        if role in turns:
            joint = leg.joints[-1]
            base = rotation.multiply(above[leg.links[-2]], joint.rotation)
            turn = turns[role]
            if joint.type == "ball":
                local = limits.ease_ball(joint, rotation.relative(base, turn))
                local = rotation.normalize(slow(rotation.continuous(local), FOOT_TIME * source.motion.fps))
                turn = rotation.multiply(base, local)
            put(leg.links[-1], turn, role, settings.foot, settings.foot)
    return crouch, share


def _rest(
    source: Source,
    body: Body,
    placed: tuple[Array, Array],
    put,
    settings: TargetSettings,
    driven: np.ndarray,
    contacts: AbstractMapping[str, np.ndarray],
) -> None:
    """Chains that no role of the source drives, as the character declares: by keyframes, by a limb, following, or at rest."""
    character, fps = body.character, source.motion.fps
    positions, turned = placed
    jolts = secondary.accelerations(positions[:, 0], fps)
    idle = [
        r for r in character.undriven if r in body.chains and not driven[[body.link(j) for j in body.chains[r]]].any()
    ]
    for role in sorted(idle, key=lambda r: body.chains[r][0]):
        chain, entry = body.chains[role], character.follow.get(role, FollowEntry())
        first, base = character.joints[chain[0]], 0
        carrier = turned[:, first.parent]
        drive, moves = character.drive.get(role), {}
        if character.undriven[role] == "keyframes":
            moves = secondary.played(body, role, chain, carrier, gait.stride(source, contacts), fps)
        elif drive is not None and drive.source in source.chains:
            ours = source.chains[drive.source][0]
            parent = int(source.motion.skeleton.parents[ours])
            turn = rotation.relative(_upright(source, parent), _upright(source, ours))
            turn = rotation.multiply(turn, rotation.conjugate(rotation.mean(turn)))
            carried = rotation.multiply(carrier, rotation.conjugate(body.rotations[first.parent]))
            turn = rotation.multiply(carried, secondary.scaled(turn, drive.gain))
            carrier, base = rotation.multiply(turn, body.rotations[first.child]), 1
            moves[first.child] = carrier
        if character.undriven[role] == "follow":
            moves |= secondary.follow(body, chain[base:], carrier, jolts, entry, fps)
        for j in chain:
            joint = character.joints[j]
            held = rotation.multiply(turned[:, joint.parent], joint.rotation)
            turned[:, joint.child] = moves.get(joint.child, held)
            weight = settings.follow if joint.child in moves else settings.posture
            put(joint.child, turned[:, joint.child], role, weight, weight)


def _flat_foot(source: Source, role: str, contact: np.ndarray | None, flexion: Array) -> Array:
    """Orientation ``(T, 4)`` of a foot relative to standing flat, straight ahead.

    "Flat" is how the foot is turned while it stands still on the ground; without such frames, the reference pose.
    """
    chain, ankle = source.chains[role], source.feet[role]
    children, beyond = source.motion.skeleton.children(ankle), chain[chain.index(ankle) + 1 :]
    toe = beyond[0] if beyond else (children[0] if children else None)
    turn, upright = source.rotations[:, ankle], _upright(source, ankle)
    if toe is not None and np.linalg.norm(source.motion.skeleton.offsets[toe][:]) > 1e-6:
        ahead = source.positions[:, toe] - source.positions[:, ankle]
    else:
        ahead = np.cross(flexion, UP)
    flat = np.zeros(len(turn), dtype=bool)
    if contact is not None and contact.any():
        points = source.positions[:, source.foot_points(role)][..., 2]
        height = points.max(axis=1)  # the heel-up foot's highest point, usually the ankle
        flat = contact & (height < np.quantile(height[contact], FLAT_SHARE) + FLAT)
    level = np.linalg.norm(ahead[:, :2], axis=1) > 0.3 * np.linalg.norm(ahead, axis=1)
    if (flat & level).sum() >= 3 and toe is not None:
        heading = rotation.from_yaw(np.arctan2(ahead[:, 1], ahead[:, 0]))
        found = rotation.multiply(turn, rotation.mean(rotation.relative(turn, heading)[flat & level]))
        tilt = np.arccos(np.clip(rotation.rotate(rotation.relative(upright, found), UP)[:, 2], -1.0, 1.0)).mean()
        if not source.reference.is_rest or tilt < UNLIKE:
            return found
    return upright


def _scale(source: Source, body: Body) -> float:
    """Body leg length over the source's: positions of the root are scaled by it."""
    ours, theirs = 0.0, 0.0
    for role in source.legs:
        chain = source.chains[role]
        chain = (chain[0], source.feet[role]) if source.quadruped else chain[:3]
        ours += sum(
            float(np.median(np.linalg.norm(source.positions[:, b] - source.positions[:, a], axis=-1)))
            for a, b in pairwise(chain)
        )
        theirs += body.leg_length(role) if role in body.chains else 0.0
    return theirs / ours if theirs > 0 else 1.0


def _path(
    source: Source,
    body: Body,
    pelvis: Array,
    scale: float,
    contacts: AbstractMapping[str, np.ndarray],
    resting_height: AbstractMapping[str, float],
    level: Array | float,
    plan: AbstractMapping[str, Drive],
) -> tuple[Array, dict[str, Array], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Root positions ``(T, 3)``; clearance, stance and the source's own flags per foot link.

    Args:
        plan: leg of the body → what it follows.
    """
    names = source.motion.skeleton.names
    hips = np.mean([source.positions[:, source.chains[r][0]] for r in source.legs], axis=0)
    ankles = [source.feet[r] for r in source.legs if len(source.chains[r]) > 2]
    sole = float(np.mean([resting_height.get(names[a], 0.0) for a in ankles])) if ankles else 0.0
    legs = [body.chains[r] for r in source.legs if r in body.chains]
    hip_rest = np.mean([body.positions[body.link(c[0])] for c in legs], axis=0)
    body_sole = float(np.mean([body.foot_position(r)[2] for r in source.legs if r in body.chains]))
    target = scale * (hips - np.array([hips[0, 0], hips[0, 1], 0.0]))
    target[:, 2] = scale * (hips[:, 2] - level - sole) + body_sole
    offset = rotation.rotate(rotation.conjugate(body.rotations[0]), hip_rest - body.positions[0])
    root = target - rotation.rotate(pelvis, offset)

    clearance, stance, claimed = {}, {}, {}
    stands = np.any([np.asarray(contacts[role], dtype=bool) for role in source.legs if role in contacts], axis=0)
    for role, drive in plan.items():
        link = body.foot(role)
        points = source.foot_points(drive.role)
        rest = np.array([resting_height.get(names[p], 0.0) for p in points])
        height = drive.take((source.positions[:, points, 2] - np.reshape(level, (-1, 1)) - rest).min(axis=1))
        height = slow(np.maximum(scale * height, 0.0), CLEARANCE_TIME * source.motion.fps)
        size = body.character.height / REFERENCE_HEIGHT
        flags = drive.take(np.asarray(contacts.get(drive.role, np.zeros(len(root), dtype=bool)), dtype=bool))
        claimed[link] = flags
        flags = release(flags, height, size, source.motion.fps)
        clearance[link] = np.where(flags, 0.0, height + stands * np.minimum(ROOM_SHARE * height, ROOM * size))
        stance[link] = flags
    return root, clearance, stance, claimed


def intervals(flags: np.ndarray) -> list[tuple[int, int]]:
    """Unbroken runs ``[start, stop)`` of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def release(flags: np.ndarray, height: Array, size: float, fps: float) -> np.ndarray:
    """Flags ``(T,)`` without the frames at a stance's ends in which the foot is already leaving, or not yet down.

    Args:
        height: (T,) metres of the foot over the ground.
        size: body height over 1.7 m.
    """
    out, most = flags.copy(), round(RELEASE_TIME * fps)
    for start, stop in intervals(flags):
        down = np.flatnonzero(height[start:stop] <= RELEASE * size)
        first, last = (down[0], down[-1] + 1) if len(down) else (0, stop - start)
        out[start : start + min(first, most)] = False
        out[max(start + last, stop - most) : stop] = False
    return out


def _first_guess(character: Character, root: Array, rotations: Array, driven: np.ndarray) -> Array:
    """qpos ``(T, nq)`` inside all limits whose links turn as ``rotations`` as nearly as their joints allow."""
    layout = character.layout
    qpos = np.tile(character.rest, (len(root), 1))
    qpos[:, :3], qpos[:, 3:7] = root, rotations[:, 0]
    world = {0: rotations[:, 0]}
    for j, joint in enumerate(character.joints):
        at = layout.qpos_at[j]
        base = rotation.multiply(world[joint.parent], joint.rotation)
        if not driven[joint.child]:
            local = np.broadcast_to(rotation.IDENTITY, base.shape)
            if joint.type == "hinge":
                qpos[:, at] = np.clip(0.0, joint.lower, joint.upper)
                local = rotation.from_axis_angle(joint.axis, qpos[:, at])
            world[joint.child] = rotation.multiply(base, local)
            continue
        local = rotation.relative(base, rotations[:, joint.child])
        if joint.type == "hinge":
            theta = np.unwrap(rotation.swing_twist(local, joint.axis)[1])
            theta = np.clip(theta - 2 * np.pi * np.round(np.median(theta) / (2 * np.pi)), joint.lower, joint.upper)
            qpos[:, at] = theta
            local = rotation.from_axis_angle(joint.axis, theta)
        else:
            local = limits.clamp_ball(joint, local, over_time=True)
            qpos[:, at : at + 4] = local
        world[joint.child] = rotation.multiply(base, local)
    return layout.continuous(qpos)
