"""What the parts of an unknown body are: roles, feet and limits from names, topology and geometry."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull

from characters import kinematics, mesh, shapes
from characters.body import Shape
from characters.character import Character
from characters.definition import ROLES, TOML, URDF
from motion import files, rotation
from motion.clip import Trajectory
from motion.errors import InputError, MimicError, MimicWarning
from motion.motion import UP_TO_Z
from motion.roles import infer_roles
from motion.rotation import Array

NEAR_GROUND = 0.12
"""share of the body's height within which the end of a limb counts as a foot"""
SHORT_SEGMENT = 0.12
"""share of a limb's length below which two joints stand in one place: the outer one moves the segment"""
LEVEL = 0.3
"""sine to the horizontal below which the first offset of a leg is the width of its hip"""
WATER, THIN, THICK = 1000.0, 100.0, 20000.0
"""kg/m³: what bodies weigh, and what no body does"""
BESIDE, WITHIN, RAISED = 0.08, 0.15, 0.25
"""shares of a body's size: feet stand beside each other, its centre of mass between them and above"""
TIP = 0.9
"""share of a link's reach beyond which its support points are its tip"""
SWAY = 0.3
"""radians by which joints are moved to see which way limbs bend"""
BALL_LIMITS = {
    "spine": (0.6, 0.5),
    "neck": (0.8, 0.7),
    "head": (0.9, 0.8),
    "tail": (0.6, 0.4),
    "clavicle": (0.5, 0.3),
    "arm": (2.0, 1.4),
    "foreleg": (1.2, 0.6),
    "wing": (1.4, 0.9),
    "leg": (1.4, 0.8),
}
"""role → swing and twist of a ball joint, radians: what such a joint does in humans and large mammals, generously"""


@dataclass(frozen=True, slots=True)
class Inferred:
    """What was made of a body."""

    roles: dict[str, tuple[str, ...]]
    """role → joints from the root outward"""
    evidence: dict[str, str]
    feet: tuple[str, ...]
    ends: dict[str, tuple[str, Array, str]]
    """end effector → link, position (3,) in its frame, role"""
    limits: dict[str, tuple[float, float]]
    """ball joint → swing and twist, radians"""
    idle: tuple[str, ...] = field(default=())
    """joints without a role"""


def create(
    path: Path | str, folder: Path | str, *, up: str | None = None, scale: float | None = None
) -> tuple[Character, Inferred]:
    """Make a character of a URDF: a folder with a copy of it, its meshes and a commented character.toml.

    Args:
        up: the URDF's up axis, and scale: the factor on its lengths; found by `axes` if None.

    Raises:
        InputError: the folder has a character already; a URDF that cannot be used (`characters check` lists all reasons).
    """
    path, folder = Path(path), Path(folder)
    for name in (URDF, TOML):
        if (folder / name).exists():
            raise InputError("there is a character already", where=folder / name, hint="name another folder with --out")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", where=path) from error
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files.write_text(folder / URDF, _with_meshes(text, path.parent, folder))
        seems = axes(bare(folder, path.stem, up=up or "z", scale=1.0), up or "z")
        up, scale = up or seems[0], scale or seems[1]
        character = bare(folder, path.stem, up=up, scale=scale)
        found = infer(character)
        files.write_text(folder / TOML, to_toml(character, found, path.name, up=up, scale=scale))
        return Character.load(folder), found
    except MimicError as error:
        if made:
            shutil.rmtree(folder)
        else:
            (folder / URDF).unlink(missing_ok=True)
            (folder / TOML).unlink(missing_ok=True)
        if error.where is None or not error.where.startswith(str(folder)):
            raise
        where = error.where.replace(str(folder / URDF), str(path))  # the copy is gone; its lines are the original's
        raise InputError(error.message, where=where, hint=error.hint) from error


def bare(folder: Path, description: str, *, up: str, scale: float) -> Character:
    """The body of a folder's URDF, nothing being known about it."""
    definition = f'description = "{_plain(description)}"\nup = "{up}"\nscale = {scale:g}\nfeet = []\n[roles]\n'
    files.write_text(folder / TOML, definition)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MimicWarning)  # the finished character's loading tells them
        return Character.load(folder)


def axes(character: Character, up: str) -> tuple[str, float]:
    """Up axis and scale that a body read with ``up`` and scale 1 seems to need.

    It stands where two or four limbs end at the ground, left beside right, and its centre of mass is above and between them;
    ``up`` is kept where it does. Its density tells the unit: masses are right far more often than lengths.
    """
    if not _stands(character):
        own = rotation.conjugate(UP_TO_Z[up])
        up = next((axis for axis in "zyx" if _stands(_turned(character, axis, own))), up)
    volume = sum(shape_volume(shape) for shape in character.shapes)
    density = character.mass / volume if volume > 0 else WATER
    scale = 1.0 if THIN <= density <= THICK else float(f"{(density / WATER) ** (1 / 3):.2g}")
    return up, scale


def shape_volume(shape: Shape) -> float:
    """Cubic metres; of a mesh its convex hull's."""
    radius, length = float(shape.size[0]), float(shape.size[1])
    match shape.kind:
        case "sphere":
            return 4 / 3 * np.pi * radius**3
        case "capsule":
            return np.pi * radius**2 * (length + 4 / 3 * radius)
        case "cylinder":
            return np.pi * radius**2 * length
        case "box":
            return float(np.prod(shape.size))
    return float(ConvexHull(shape.vertices).volume)


def _turned(character: Character, up: str, own: Array) -> Character:
    """The same body read with another up axis."""
    turn = rotation.multiply(UP_TO_Z[up], own)
    matrix = rotation.to_matrix(turn)
    root = character.links[0]
    links = (replace(root, com=matrix @ root.com, inertia=matrix @ root.inertia @ matrix.T), *character.links[1:])
    joints = tuple(
        replace(j, origin=matrix @ j.origin, rotation=rotation.multiply(turn, j.rotation)) if j.parent == 0 else j
        for j in character.joints
    )
    shapes_ = tuple(
        replace(s, position=matrix @ s.position, rotation=rotation.multiply(turn, s.rotation)) if s.link == 0 else s
        for s in character.shapes
    )
    return replace(character, links=links, joints=joints, shapes=shapes_)


def _stands(character: Character) -> bool:
    qpos = within_limits(character)
    feet = standing(character, qpos)
    if len(feet) not in (2, 4):
        return False
    pose = kinematics.forward(character, qpos[None])
    points, link = shapes.centres(character, pose)[0], character.support.link
    place = np.array([points[link == foot].mean(axis=0) for foot in feet])
    com = kinematics.centre_of_mass(character, pose)[0]
    size = float(np.ptp(points, axis=0).max())
    beside = all(
        any(
            np.abs((a - b)[[0, 2]]).max() < BESIDE * size < np.abs(a - b)[1] + BESIDE * size
            for b in place
            if b is not a
        )
        for a in place
    )
    within = (place.min(axis=0) - WITHIN * size <= com) & (com <= place.max(axis=0) + WITHIN * size)
    return bool(beside and within[:2].all() and com[2] > RAISED * float(points[:, 2].max()))


def infer(character: Character) -> Inferred:
    """Find roles, feet and limits of a body that stands z-up, facing x, at rest or near it."""
    qpos = within_limits(character)
    feet = standing(character, qpos)
    legs, evidence = _legs(character, qpos, feet)
    roles = dict(legs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sides: the limbs' places say more than a pose that stands still
        named = infer_roles(character.to_motion(_swaying(character, qpos)))
    used = {joint for chain in roles.values() for joint in chain} | _inner(character, feet)
    for role, chain in named.chains.items():
        free = tuple(name for name in chain if name not in used and name != character.links[0].name)
        if role in ROLES and role not in roles and free and not role.endswith("leg"):
            roles[role], evidence[role] = free, named.evidence[role]
            used |= set(free)
    for name in named.chains.get("spine", ()):
        if name in used and not any(name in chain for chain in roles.values()):
            roles["spine"] = (*roles.get("spine", ()), name)
            evidence["spine"] = named.evidence["spine"]
    roles = {role: roles[role] for role in ROLES if role in roles}
    limits = {}
    for role, chain in roles.items():
        swing, twist = BALL_LIMITS[role.partition("_")[2] or role]
        for name in chain:
            if character.joints[character.joint(name)].type == "ball":
                limits[name] = (swing, twist)
    taken = {name for chain in roles.values() for name in chain}
    return Inferred(
        roles=roles,
        evidence=evidence,
        feet=tuple(character.links[i].name for i in feet),
        ends={f"{role}_end": _end(character, role, chain) for role, chain in roles.items() if role != "spine"},
        limits=limits,
        idle=tuple(joint.name for joint in character.joints if joint.name not in taken),
    )


def within_limits(character: Character) -> Array:
    """(nq,) the rest pose, hinges moved into their limits, the lowest point at z = 0."""
    qpos = character.rest.copy()
    for joint, at in zip(character.joints, character.layout.qpos_at, strict=True):
        if joint.type == "hinge":
            qpos[at] = np.clip(0.0, joint.lower, joint.upper)
    if len(character.support.link):
        qpos[2] -= shapes.heights(character, kinematics.forward(character, qpos[None])).min()
    return qpos


def standing(character: Character, qpos: Array) -> list[int]:
    """Links the body would stand on: the outermost ones, or those next to them, whose shapes come near to the ground."""
    if len(character.support.link) == 0:
        return []
    pose = kinematics.forward(character, qpos[None])
    low = shapes.link_heights(character, pose)[0]
    centres = shapes.centres(character, pose)[0, :, 2]
    near = NEAR_GROUND * float(centres.max() - low.min())
    carrying = {link.parent for link in character.links}
    feet = [i for i in range(1, len(character.links)) if i not in carrying and low[i] <= low.min() + near]
    return feet or [int(np.argmin(low))]


def _inner(character: Character, feet: list[int]) -> set[str]:
    """Joints on the way to the feet."""
    return {character.joints[j].name for foot in feet for j in character.chain(foot)}


def _legs(character: Character, qpos: Array, feet: list[int]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Legs, and forelegs where four feet stand, from the feet inward."""
    pose = kinematics.forward(character, qpos[None])
    place = pose.positions[0]
    chains = {foot: character.chain(foot) for foot in feet}
    shared = [j for j in range(len(character.joints)) if sum(j in chain for chain in chains.values()) > 1]
    limbs = {foot: _segments(character, place, [j for j in chain if j not in shared]) for foot, chain in chains.items()}
    limbs = {foot: limb for foot, limb in limbs.items() if len(limb) >= 2}
    sides = {
        side: sorted((f for f in limbs if sign * place[limbs[f][0], 1] > 0), key=lambda f: place[limbs[f][0], 0])
        for side, sign in (("left", 1), ("right", -1))
    }
    roles: dict[str, tuple[str, ...]] = {}
    for side, found in sides.items():
        for kind, foot in zip(("leg", "foreleg"), found, strict=False):
            roles[f"{side}_{kind}"] = tuple(character.joints[link - 1].name for link in limbs[foot])
    return roles, dict.fromkeys(roles, "geometry: it ends on the ground")


def _segments(character: Character, place: Array, chain: list[int]) -> list[int]:
    """Links of a limb that are segments of their own; joints in one place, and the width of a hip, are passed over."""
    links = [character.joints[j].child for j in chain]
    offsets = [place[b] - place[a] for a, b in pairwise(links)]
    total = sum(float(np.linalg.norm(offset)) for offset in offsets)
    out = []
    for k, link in enumerate(links):
        length = float(np.linalg.norm(offsets[k])) if k < len(offsets) else np.inf
        level = not out and k < len(offsets) and abs(offsets[k][2]) < LEVEL * length
        if length >= SHORT_SEGMENT * total and not level:
            out.append(link)
    return out


def _swaying(character: Character, qpos: Array) -> Trajectory:
    """A few frames around a pose, for the inference that looks at how limbs bend."""
    frames = [qpos]
    for sign in (-1.0, 1.0):
        moved = qpos.copy()
        for joint, at in zip(character.joints, character.layout.qpos_at, strict=True):
            if joint.type == "hinge":
                moved[at] = np.clip(moved[at] + sign * SWAY, joint.lower, joint.upper)
        frames.append(moved)
    return Trajectory(character.name, character.name, character.specs, 30.0, np.array(frames), {})


def _end(character: Character, role: str, chain: tuple[str, ...]) -> tuple[str, Array, str]:
    """Where a chain ends: the middle of the support points of its last link that are farthest out."""
    link = character.joints[character.joint(chain[-1])].child
    mine = character.support.link == link
    points = character.support.points[mine]
    if len(points) == 0:
        return character.links[link].name, character.links[link].com, role
    middle = points.mean(axis=0)
    along = points @ (middle if np.linalg.norm(middle) > 1e-6 else character.links[link].com)
    ends = points[along >= TIP * along.max()]
    return character.links[link].name, ends.mean(axis=0), role


def _with_meshes(text: str, source: Path, folder: Path) -> str:
    """A URDF's text with its meshes copied into the folder and named as they are there."""
    names: dict[Path, str] = {}

    def copied(match: re.Match[str]) -> str:
        where = mesh.locate(source, match[2])
        if not where.is_file():
            return match[0]  # reading it says so, with the line
        if where not in names:
            name = where.name if where.name not in names.values() else f"{where.parent.name}_{where.name}"
            names[where] = name
            (folder / "meshes").mkdir(exist_ok=True)
            shutil.copyfile(where, folder / "meshes" / name)
        return f"{match[1]}meshes/{names[where]}{match[3]}"

    return mesh.REFERENCE.sub(copied, text)


def to_toml(character: Character, found: Inferred, source: str, *, up: str, scale: float) -> str:
    """``character.toml``, every guess with what it rests on."""
    lines = [
        f"# Made of {_plain(source)} by `mimic-pipe characters new`.",
        "# Read it through: what is wrong here is wrong in every clip.",
        f'description = "{_plain(character.description)}: {character.mass:.1f} kg, {character.height:.2f} m"',
        f'up = "{up}" # up axis of body.urdf',
        f"scale = {scale:g} # factor on the lengths of body.urdf; masses are kept",
        "",
        "# Links the body stands on: the ends of limbs that come near to the ground at rest.",
        "# ground = [...] names all that may touch the ground, where that is more.",
        f"feet = {_names(found.feet)}",
        "",
        "# Role → joints from the root outward; a joint stands for the segment it moves, so of several joints in one place the",
        "# outermost is named. Roles: spine, neck, head, tail; left_ and right_ clavicle, arm, leg, foreleg, wing.",
        "[roles]",
    ]
    lines += [f"{role} = {_names(chain)} # {found.evidence[role]}" for role, chain in found.roles.items()]
    if found.idle:
        lines += [f"# without a role; they help where the chains need them: {', '.join(found.idle)}"]
    lines += [
        "",
        "# Where chains end, in the frame of the link (metres in body.urdf): fingertips, toes, the top of the head.",
        "[end_effectors]",
    ]
    for name, (link, position, role) in found.ends.items():
        point = ", ".join(f"{round(float(x) / scale, 4) + 0.0:g}" for x in position)
        lines.append(f'{name} = {{ link = "{link}", position = [{point}], role = "{role}" }}')
    others = [role for role in found.roles if not role.endswith("leg")]
    if others:
        lines += [
            "",
            "# What a chain does that a source does not drive: hold, follow (a damped chain) or keyframes.",
            "[undriven]",
        ]
        lines += [f'{role} = "{"follow" if role == "tail" else "hold"}"' for role in others]
    if {"left_leg", "right_leg", "left_foreleg", "right_foreleg"} <= found.roles.keys():
        lines += ["", *GAIT]
    if found.limits:
        lines += [
            "",
            "# Ball joints, radians: swing between the bone and its direction at rest, twist about it.",
            "# Typical of the role, not measured.",
            "[limits]",
        ]
        lines += [f"{name} = {{ swing = {s:g}, twist = [{-t:g}, {t:g}] }}" for name, (s, t) in found.limits.items()]
    free = [joint.name for joint in character.joints if joint.name not in character.torque_limits]
    if free:
        lines += [
            "",
            "# N·m. body.urdf states none for these; without, they follow from the body's weight and height and the role.",
            "# [torque_limits]",
        ]
        lines += [f"# {name} = 100" for name in free]
    return "\n".join(lines) + "\n"


def _gait(side: str, other: str) -> list[str]:
    return [
        f"[gait.{side}_foreleg]",
        f'walk = {{ source = "{side}_leg", phase = 0.25 }}',
        f'run = {{ source = "{other}_leg" }}',
        f'leap = {{ source = "{side}_leg" }}',
    ]


GAIT = [
    "# What the forelegs do when a source has two legs: follow the hind foot of their side a quarter of the stride later (a",
    "# lateral sequence walk), that of the other side at once (trot), or that of their own (leap).",
    *_gait("left", "right"),
    "",
    *_gait("right", "left"),
]


def _names(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _plain(text: str) -> str:
    return re.sub(r'["\\\x00-\x1f]', "", text)
