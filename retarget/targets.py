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
from scipy import ndimage
from scipy.linalg import solveh_banded

from characters import kinematics
from characters.character import Character
from characters.definition import FollowEntry
from motion import rotation
from motion.contacts import REFERENCE_HEIGHT
from motion.errors import InputError
from motion.motion import Motion
from motion.rotation import Array
from retarget import gait, limits, reach, secondary
from retarget.gait import Drive

FORWARD, LEFT, UP = np.eye(3)
LIMBS = ("leg", "arm", "foreleg", "wing")
"""Roles ending so are limbs: two segments by direction, what follows them by orientation."""
UPRIGHT = np.cos(np.deg2rad(40.0))
"""A rest pose whose legs hang and whose trunk rises within this cosine of the vertical is taken as standing."""
NOISE_TIME = 0.016
"""seconds, standard deviation of the smoothing of the source: passes 5 Hz at nine tenths, 10 Hz at six"""
FLAT_SHARE, FLAT = 0.1, 0.01
"""A standing foot is flat while its highest point is within so many metres of this quantile of its heights in stance."""
UNLIKE = np.deg2rad(30.0)
"""If the pose so found is tilted this far against the rest pose, the foot only ever stood on its toes or its edge."""
CARRIED = 0.05
"""Weight of the axis carried by the upper segment's rotation beside 1 for the plane of a well bent limb."""
AXIS_TIME = 0.04
"""seconds over which the flexion axis is smoothed"""
RELEASE = 0.01
"""metres (body 1.7 m high): at its ends a stance counts only while the source's foot is this near to the ground"""
RELEASE_TIME = 0.08
"""seconds at each end of a stance that may so be dropped"""
CLEARANCE_TIME = 0.025
"""seconds, standard deviation of the smoothing of foot heights: they are the minimum over several points, with corners"""
ROOM_SHARE, ROOM = 0.5, 0.012
"""while the other foot stands, a swinging one is lifted this share more, at most so many metres: a sole needs room"""
FIRM = 0.1
"""Mean sine of a bend that is no noise, though the rest pose would have it the other way."""
HEADING_TIME = 0.5
"""seconds, standard deviation of the smoothing of the heading across which feet stand apart"""
STRETCH = 0.998
"""share of its length a leg is stretched to"""
NEAR = 0.3
"""share of the hip's height under which a joint of a four-legged source's leg belongs to its foot"""
STRAIGHT = 0.15
"""Sine of the bend below which a knee or elbow says nothing about its axis."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A pose of the source in which it stands: its rest pose where that is one, else its most upright frame."""

    rotations: Array
    """(J, 4) world"""
    positions: Array
    """(J, 3) world"""
    facing: Array
    """(4,) turn about z that brings x to where the source faces"""
    is_rest: bool


class Source:
    """A standardised motion with what retargeting reads off it."""

    def __init__(self, motion: Motion, chains: AbstractMapping[str, tuple[str, ...]]):
        self.motion = motion
        self.chains = {role: tuple(motion.skeleton.index(n) for n in names) for role, names in chains.items() if names}
        if "root" not in self.chains:
            raise InputError(
                "no root (hips) joint was found",
                where=motion.name,
                hint="write a map with `mimic-pipe map` and edit it",
            )
        self.positions, self.rotations = motion.forward()
        sigma = NOISE_TIME * motion.fps
        self.positions = _slow(self.positions, sigma)
        self.rotations = rotation.normalize(_slow(rotation.continuous(self.rotations), sigma))
        self.pelvis = self.chains["root"][-1]
        self.legs = [r for r in ("left_leg", "right_leg") if len(self.chains.get(r, ())) >= 2]
        if len(self.legs) < 2:
            raise InputError(
                "two legs of at least hip and knee are needed",
                where=motion.name,
                hint="write a map with `mimic-pipe map` and edit it",
            )
        self.reference = self._reference()
        self.feet = {r: c[self._foot(c)] for r, c in self.chains.items() if r.endswith("leg") and len(c) >= 2}
        """leg → the joint that its foot turns about"""

    @property
    def quadruped(self) -> bool:
        """Whether it goes on four legs."""
        return "left_foreleg" in self.chains and "right_foreleg" in self.chains

    def _foot(self, chain: tuple[int, ...]) -> int:
        """Place of the foot in a leg's chain: after thigh and shank; on four legs the first joint near the ground."""
        at = min(2, len(chain) - 1)
        if not self.quadruped:
            return at
        height = self.reference.positions[:, 2] - self.reference.positions[:, 2].min()
        low = [k for k in range(at, len(chain)) if height[chain[k]] < NEAR * height[chain[0]]]
        return low[0] if low else len(chain) - 1

    def standing(self, role: str) -> Array:
        """Where a foot stands, ``(3,)`` from the middle of its pair of hips (or shoulders), the source facing along x.

        Two legs are taken to stand below their hips: rest poses spread them at will.
        """
        chain, limb = self.chains[role], role.split("_", 1)[-1]
        at = self.reference.positions
        middle = np.mean([at[c[0]] for r, c in self.chains.items() if r.endswith(f"_{limb}")], axis=0)
        below = at[self.feet[role]] if self.quadruped and self.reference.is_rest else at[chain[0]]
        return rotation.rotate(rotation.conjugate(self.reference.facing), below - middle)

    def lateral(self, positions: Array) -> Array:
        """Direction from the right to the left hip, ``(…, 3)`` of positions ``(…, J, 3)``."""
        left, right = self.chains["left_leg"][0], self.chains["right_leg"][0]
        return rotation.unit(positions[..., left, :] - positions[..., right, :])

    def top(self) -> int:
        """The joint where the trunk ends: neck or head if known, else the last spine joint's first child."""
        for role in ("neck", "head"):
            if self.chains.get(role):
                return self.chains[role][0]
        spine = self.chains.get("spine", (self.pelvis,))
        children = self.motion.skeleton.children(spine[-1])
        return children[0] if children else spine[-1]

    def uprightness(self, positions: Array) -> Array:
        """Smallest cosine ``(…)`` to the vertical of trunk (up) and legs (down) in positions ``(…, J, 3)``."""
        cosines = []
        if not self.quadruped:
            cosines.append(rotation.unit(positions[..., self.top(), :] - positions[..., self.pelvis, :])[..., 2])
        for leg in self.legs:
            chain = self.chains[leg]
            foot = chain[min(2, len(chain) - 1)]
            cosines.append(-rotation.unit(positions[..., foot, :] - positions[..., chain[0], :])[..., 2])
        return np.min(cosines, axis=0)

    def _reference(self) -> Reference:
        skeleton = self.motion.skeleton
        rest = Motion(
            name="rest",
            skeleton=skeleton,
            fps=1.0,
            root_positions=np.zeros((1, 3)),
            rotations=np.broadcast_to(rotation.IDENTITY, (1, len(skeleton), 4)),
            translations=None
            if self.motion.translations is None
            else np.median(self.motion.translations, axis=0)[None],
        )
        positions, rotations = rest.forward()
        is_rest = bool(self.uprightness(positions)[0] > UPRIGHT)
        if is_rest:
            positions, rotations = positions[0], rotations[0]
        else:
            frame = int(np.argmax(self.uprightness(self.positions)))
            positions, rotations = self.positions[frame], self.rotations[frame]
        lateral = self.lateral(positions) * np.array([1.0, 1.0, 0.0])
        heading = np.cross(lateral, UP)
        facing = rotation.from_yaw(np.arctan2(heading[1], heading[0]))
        return Reference(rotations, positions, facing, is_rest)

    def direction(self, role: str, k: int) -> Array:
        """World direction ``(T, 3)`` of segment ``k`` of a role's chain; its last segment points to its child."""
        chain = self.chains[role]
        end = chain[k + 1] if k + 1 < len(chain) else self._tip(chain[k])
        return rotation.unit(self.positions[:, end] - self.positions[:, chain[k]])

    def _tip(self, joint: int) -> int:
        children = self.motion.skeleton.children(joint)
        if not children:
            raise InputError(
                f"joint {self.motion.skeleton.names[joint]!r} ends a limb but has no end point",
                where=self.motion.name,
                hint="name the next joint of the limb in a map",
            )
        lengths = [np.linalg.norm(self.motion.skeleton.offsets[c]) for c in children]
        return children[int(np.argmax(lengths))]

    def foot_points(self, role: str) -> list[int]:
        """Ankle, toes and their end sites: the joints of a leg from the ankle outward."""
        points = [self.feet[role]]
        for joint in points:
            points += self.motion.skeleton.children(joint)
        return points


def flexion_in_reference(direction: Array, toward: Array) -> Array:
    """Axis about which a limb pointing along ``direction`` (3,) bends ``toward`` (3,)."""
    axis = np.cross(direction, toward)
    if np.linalg.norm(axis) < 0.2:
        axis = np.cross(direction, UP)
    return rotation.unit(axis)


def flexion_axis(upper: Array, directions: tuple[Array, Array], prior: Array, sideways: Array | None = None) -> Array:
    """The axis about which a limb bends, in its upper segment's frame.

    Args:
        upper: (T, 4) world rotation of the upper segment.
        directions: (T, 3) each, world directions of upper and lower segment.
        prior: (3,) the anatomical guess in the upper segment's frame, used as far as the limb stays straight.
        sideways: (T, 3) or None. World direction about which the limb bends in nature, if there is one (knees: to the
            left): a bend the other way is a wrong left/right.

    Returns:
        (3,) unit axis; turning the upper direction about it by a positive angle gives the bent lower one.
    """
    bend = np.cross(*directions)
    sine = np.linalg.norm(bend, axis=-1)
    bend = np.where((sine > STRAIGHT)[:, None], bend, 0.0)
    local = rotation.rotate(rotation.conjugate(upper), bend)
    total = local.mean(axis=0) + 0.02 * prior
    if total @ prior < -0.2 * np.linalg.norm(total):  # against the rest pose: noise, or the files' roll is not its
        natural = sideways is None or np.einsum("ti,ti->t", bend, sideways).mean() > 0
        if np.linalg.norm(total) < FIRM or not natural:
            total = prior
    return rotation.unit(total)


def steady_axis(carried: Array, directions: tuple[Array, Array], fps: float) -> Array:
    """The flexion axis in the world over time: the limb's own plane where it bends, the carried axis where it is straight.

    Mocap flips or shakes the turn about a straight limb, which no eye sees; a hinge would swing the whole limb by it.

    Args:
        carried: (T, 3) the axis as the upper segment's rotation carries it.
        directions: (T, 3) each, world directions of upper and lower segment.

    Returns:
        (T, 3) the smoothest axis near both (‖ä‖² penalised), not normalised, not exactly perpendicular to the bone.
    """
    frames = len(carried)
    plane = np.cross(*directions)
    sine = np.linalg.norm(plane, axis=-1)
    plane = plane / np.maximum(sine, 1e-9)[:, None]
    jumps = np.concatenate([[1.0], np.where(np.einsum("ti,ti->t", carried[1:], carried[:-1]) < 0, -1.0, 1.0)])
    sign = np.cumprod(jumps)
    carried = carried * (sign if sign.sum() >= 0 else -sign)[:, None]  # a flip is a glitch; most frames are right
    bent = np.clip(sine / np.sin(np.deg2rad(40.0)), 0.0, 1.0) ** 2
    if frames < 5:
        return carried + bent[:, None] * plane
    weight = bent * (np.einsum("ti,ti->t", plane, carried) > -0.5) + CARRIED
    goal = ((weight - CARRIED)[:, None] * plane + CARRIED * carried) / weight[:, None]
    stiff = (AXIS_TIME * fps) ** 4 * CARRIED
    bands = np.zeros((3, frames))
    bands[0] = weight
    bands[0, :-2] += stiff
    bands[0, 1:-1] += 4 * stiff
    bands[0, 2:] += stiff
    bands[1, :-2] -= 2 * stiff
    bands[1, 1:-1] -= 2 * stiff
    bands[2, :-2] += stiff
    return solveh_banded(bands, weight[:, None] * goal, lower=True)


def limb_frame(direction: Array, axis: Array) -> Array:
    """Rotation ``(…, 4)`` of the frame with x along the bone and z nearest to the flexion axis."""
    return rotation.from_frame(direction, axis)


def natural_bend(role: str) -> Array:
    """Which way, in a standing body, a limb's middle joint bends: knees backward, elbows forward."""
    return -FORWARD if role.endswith("leg") and not role.endswith("foreleg") else FORWARD


class Body:
    """A character's rest pose with what retargeting reads off it."""

    def __init__(self, character: Character):
        self.character = character
        self.chains = {
            r: tuple(character.joint(n) for n in names) for r, names in character.roles.items() if names and r != "root"
        }
        pose = kinematics.forward(character, character.rest[None])
        self.positions, self.rotations = pose.positions[0], pose.rotations[0]
        self.bones = np.tile(UP, (len(character.links), 1))
        for chain in self.chains.values():
            for k in range(len(chain)):
                link = character.joints[chain[k]].child
                self.bones[link] = self.bone(chain, k)

    def link(self, joint: int) -> int:
        """Index of the link a joint moves."""
        return self.character.joints[joint].child

    def bone(self, chain: tuple[int, ...], k: int) -> Array:
        """Unit direction (3,) of a chain's segment in its link frame: to the next joint, an end effector, or the COM."""
        link = self.link(chain[k])
        if k + 1 < len(chain):
            vector = self.character.joints[chain[k + 1]].origin
        else:
            frames = [f.position for f in self.character.end_effectors.values() if f.link == link]
            vector = frames[0] if frames else self.character.links[link].com
        return rotation.unit(vector) if np.linalg.norm(vector) > 1e-6 else -UP

    def flexion(self, role: str) -> Array:
        """Flexion axis (3,) of a limb in the frame of its upper link: the hinge's, turned so that bending is positive."""
        upper, lower = self.chains[role][:2]
        joint = self.character.joints[lower]
        direction = rotation.rotate(self.rotations[self.link(upper)], self.bones[self.link(upper)])
        prior = rotation.rotate(
            rotation.conjugate(self.rotations[self.link(upper)]), flexion_in_reference(direction, natural_bend(role))
        )
        if joint.type != "hinge":
            return prior
        axis = rotation.rotate(joint.rotation, joint.axis)
        return axis if joint.upper + joint.lower >= 0 else -axis

    def foot_chain(self, role: str) -> tuple[int, ...]:
        """The joints of a leg down to the one that moves its foot."""
        return self.chains[role][: reach.stands_on(self, role) + 1]

    def foot(self, role: str) -> str:
        """Name of the link a leg stands on."""
        return self.character.links[self.link(self.foot_chain(role)[-1])].name

    def leg_length(self, role: str) -> float:
        """Hip to ankle along the bones at rest, metres; straight from hip to foot for a leg that stands bent."""
        if reach.follows_foot(self, role):
            ends = [self.positions[self.link(self.foot_chain(role)[k])] for k in (0, -1)]
            return float(np.linalg.norm(ends[1] - ends[0]))
        joints = [self.link(j) for j in self.chains[role][:3]]
        return float(sum(np.linalg.norm(self.positions[b] - self.positions[a]) for a, b in pairwise(joints)))


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
    _rest(source, body, placed, put, settings, driven)

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
    slow = rotation.unit(_slow(across * np.array([1.0, 1.0, 0.0]), HEADING_TIME * source.motion.fps))
    out = (hip.origin - centre) @ LEFT - scale * width
    middle = root + rotation.rotate(pelvis, centre)
    ankle = middle + scale * (source.positions[:, ours[2]] - hips) + out[:, None] * slow
    return ankle - (root + rotation.rotate(pelvis, hip.origin))


def two_bone(step: Array, upper: float, lower: float, axis: Array) -> tuple[Array, Array]:
    """Directions ``(T, 3)`` of two segments of lengths ``upper`` and ``lower`` that lead along ``step`` ``(T, 3)``.

    They bend about ``axis`` ``(T, 3)`` (positive from the upper to the lower one); what is out of reach is pointed at.
    """
    way = rotation.unit(step)
    reach = np.clip(np.linalg.norm(step, axis=-1), abs(upper - lower) + 1e-6, STRETCH * (upper + lower))
    normal = rotation.unit(axis - np.einsum("ti,ti->t", axis, way)[:, None] * way)
    cosine = (upper**2 + reach**2 - lower**2) / (2 * upper * reach)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    first = rotation.rotate(rotation.from_axis_angle(normal, -angle), way)
    return first, rotation.unit(reach[:, None] * way - upper * first)


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
    paths = gait.feet(source, body, plan, placed, stance, scale, ground)
    share = gait.stride_share(body, paths, trunk)
    if share < 1.0:
        less = (share - 1.0) * placed[0][:, :1] * np.array([1.0, 1.0, 0.0])
        placed = (placed[0] + less, placed[1])
        paths = gait.feet(source, body, plan, placed, stance, share * scale, ground)
    legs = {role: reach.Leg(body, role) for role in plan}
    steps = {role: paths[role] - placed[0][:, leg.links[0]] for role, leg in legs.items()}
    crouch = max(leg.crouch(steps[role][stance[body.foot(role)]]) for role, leg in legs.items())
    for role, drive in plan.items():
        leg, target = legs[role], steps[role] + crouch * UP
        for link, turn in leg.reach(placed[1][:, leg.carrier], target).items():
            put(link, turn, role, settings.limb, settings.limb_roll)
        flat = _flat_foot(source, drive.role, contacts.get(drive.role), ahead)
        if drive.index is not None:
            flat = rotation.multiply(trunk, drive.take(rotation.relative(trunk, flat)))
        link = leg.links[-1]
        put(link, rotation.multiply(flat, body.rotations[link]), role, settings.foot, settings.foot)
    return crouch, share


def _rest(
    source: Source, body: Body, placed: tuple[Array, Array], put, settings: TargetSettings, driven: np.ndarray
) -> None:
    """Chains that no role of the source drives, as the character declares: moved by another limb, following, or at rest."""
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
        if drive is not None and drive.source in source.chains:
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
    body_sole = float(
        np.mean([body.positions[body.link(body.foot_chain(r)[-1])][2] for r in source.legs if r in body.chains])
    )
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
        height = _slow(np.maximum(scale * height, 0.0), CLEARANCE_TIME * source.motion.fps)
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


def _slow(values: Array, sigma: float) -> Array:
    """Values ``(T, …)`` smoothed in time by a Gaussian of ``sigma`` frames, if that is enough to matter."""
    return (
        ndimage.gaussian_filter1d(values, sigma, axis=0, mode="nearest") if sigma > 0.3 and len(values) > 1 else values
    )


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
