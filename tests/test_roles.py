"""Roles, unit and up axis of every rig in the collection, of scrambled names, and of naming schemes not in it."""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import MOCAP

from motion import rotation
from motion.errors import InputError, MimicWarning
from motion.formats import bvh
from motion.motion import Motion, Skeleton
from motion.roles import ROLE_ORDER, infer_axes, infer_roles
from motion.vocabulary import parse

TABLE = Path(__file__).parent / "expected_roles.tsv"
"""Written by hand after reading each hierarchy: what a person says each rig's joints are."""
LIMB = 3
"""thigh, shank, foot; upper arm, forearm, hand"""
SCRAMBLED_SHARE = 0.95
"""share of the rigs whose legs and arms, with left and right, are found without names; 73 of 75 when written"""


def expected() -> list[dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


ROWS = expected()
BODIES = [row for row in ROWS if row["kind"] != "none"]
HUMANS = [row for row in BODIES if row["kind"] != "quadruped"]


def named(rows: list[dict[str, str]]) -> list:
    return [pytest.param(row, id=row["file"]) for row in rows]


def chains(row: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {role: tuple(row[role].split()) for role in ROLE_ORDER if row.get(role)}


@cache
def load(file: str) -> Motion:
    """At most the first 400 frames of a file, in one piece: the tests look at rigs, not at clips."""
    if not MOCAP.exists():
        pytest.skip("the mocap collection is not here (set MIMIC_MOCAP to its folder)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MimicWarning)
        motion = bvh.read(MOCAP / file)
    return motion.slice(0, 400) if len(motion) > 400 else motion


def bone_lengths(motion: Motion, roles: dict[str, tuple[str, ...]]) -> tuple[float, float]:
    """(thigh and shank, the whole body from ankle to crown) of the skeleton's offsets, in file units."""
    index = motion.skeleton.index
    lengths = np.linalg.norm(motion.skeleton.offsets, axis=1)

    def way(top: int, joint: int) -> float:
        total = 0.0
        while joint != top:
            total += lengths[joint]
            joint = int(motion.skeleton.parents[joint])
        return total

    thigh, _, foot = (index(name) for name in roles["left_leg"][:LIMB])
    head = index(roles["head"][0])
    crown = [lengths[c] for c in motion.skeleton.children(head) if motion.skeleton.is_end[c]]
    leg = way(thigh, foot)
    return leg, leg + way(0, head) + max(crown, default=0.0)


@pytest.mark.parametrize("row", named(ROWS))
def test_roles_of_every_rig(row: dict[str, str]) -> None:
    motion = load(row["file"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", MimicWarning)  # no rig here has left and right exchanged
        roles = infer_roles(motion)
    assert roles.chains == chains(row)
    assert set(roles.evidence) == set(roles.chains)
    assert all(why.startswith(("name: ", "topology: ")) for why in roles.evidence.values())
    used = [name for chain in roles.chains.values() for name in chain]
    assert sorted([*used, *roles.unassigned]) == sorted(motion.skeleton.names)
    assert not any(motion.skeleton.is_end[motion.skeleton.index(name)] for name in used)
    assert roles.quadruped == (row["kind"] == "quadruped")


def scrambled(motion: Motion, seed: int) -> tuple[Motion, dict[str, str]]:
    """The motion with meaningless names, and the true name of each."""
    numbers = np.random.default_rng(seed).permutation(len(motion.skeleton))
    names = tuple(f"joint_{n}" for n in numbers)
    return replace(motion, skeleton=replace(motion.skeleton, names=names)), dict(
        zip(names, motion.skeleton.names, strict=True)
    )


def test_limbs_without_names() -> None:
    missed = []
    for seed, row in enumerate(BODIES):
        motion, true = scrambled(load(row["file"]), seed)
        found = infer_roles(motion)
        for role, chain in chains(row).items():
            limb = role.endswith(("_leg", "_arm", "_foreleg"))
            if limb and tuple(true[n] for n in found.chains.get(role, ()))[:LIMB] != chain[:LIMB]:
                missed.append(row["file"])
        assert all(why.startswith("topology: ") for why in found.evidence.values())
    share = 1 - len(set(missed)) / len(BODIES)
    assert share >= SCRAMBLED_SHARE, f"{share:.0%}, missed {sorted(set(missed))}"


@pytest.mark.parametrize("row", named(BODIES))
def test_unit_and_up(row: dict[str, str]) -> None:
    motion = load(row["file"])
    roles = infer_roles(motion)
    axes = infer_axes(motion, roles)
    if row["up"]:
        assert axes.up == row["up"], axes.evidence
    if row["unit"]:
        assert axes.unit == pytest.approx(float(row["unit"]), rel=2e-3), axes.evidence
    if row["kind"] != "quadruped" and row["up"]:
        leg, body = bone_lengths(motion, roles.chains)
        assert 1.4 <= leg * axes.unit / 0.491 <= 2.1
        # CMU's conversions to BVH leave out the thorax: bone by bone their people are 1.31 m tall and more
        assert 1.3 <= body * axes.unit / 0.96 <= 2.1
    assert set(axes.evidence) == set(axes.confidence) == {"unit", "up"}
    assert all(0 <= sure <= 1 for sure in axes.confidence.values())


@pytest.mark.parametrize("row", named(HUMANS[::6]))
@pytest.mark.parametrize("target", [1.0, 0.01, 0.001])
def test_another_unit_and_axis_gives_the_same_body(row: dict[str, str], target: float) -> None:
    motion = load(row["file"])
    roles = infer_roles(motion)
    axes = infer_axes(motion, roles)
    turn = rotation.from_axis_angle(np.ones(3) / np.sqrt(3), 2 * np.pi / 3)  # x → y → z → x
    turned = turned_and_scaled(motion, turn, axes.unit / target)
    again = infer_roles(turned)
    other = infer_axes(turned, again)
    assert again.chains == roles.chains
    assert other.up == {"x": "y", "y": "z", "z": "x"}[axes.up]
    assert other.unit == pytest.approx(target)


def turned_and_scaled(motion: Motion, turn: np.ndarray, scale: float) -> Motion:
    """The same motion written in other axes and another unit."""
    q = motion.rotations.copy()
    q[..., 1:] = rotation.rotate(turn, q[..., 1:])
    moved = motion.translations
    return replace(
        motion,
        skeleton=replace(motion.skeleton, offsets=scale * rotation.rotate(turn, motion.skeleton.offsets)),
        root_positions=scale * rotation.rotate(turn, motion.root_positions),
        rotations=q,
        translations=None if moved is None else scale * rotation.rotate(turn, moved),
    )


# A standing body (centimetres, y up, facing z) that takes the names of schemes for which there is no file.
PLACES = {
    "base": (0, 0, 0),
    "hips": (0, 95, 0),
    "spine": (0, 105, 0),
    "spine1": (0, 120, 1),
    "spine2": (0, 133, 0),
    "neck": (0, 150, 0),
    "head": (0, 160, 2),
    "jaw": (0, 163, 8),
    "clavicle": (3, 146, 0),
    "arm": (18, 146, 0),
    "arm_twist": (31, 146, 0),
    "forearm": (45, 146, -2),
    "hand": (70, 146, 0),
    "thumb": (73, 144, 4),
    "finger": (79, 146, 2),
    "helper": (4, 94, 0),
    "thigh": (9, 92, 0),
    "shank": (9, 50, 2),
    "foot": (9, 9, 0),
    "toe": (9, 2, 12),
}
PARENTS = {
    slot: parent
    for parent, slots in {
        "base": ["hips"],
        "hips": ["spine", "helper"],
        "spine": ["spine1"],
        "spine1": ["spine2"],
        "spine2": ["neck", "clavicle"],
        "neck": ["head"],
        "head": ["jaw"],
        "clavicle": ["arm"],
        "arm": ["arm_twist", "forearm"],
        "forearm": ["hand"],
        "hand": ["thumb", "finger"],
        "helper": ["thigh"],
        "thigh": ["shank"],
        "shank": ["foot"],
        "foot": ["toe"],
    }.items()
    for slot in slots
}
"""slot → the slot it hangs on; a slot without a name is passed over"""
SIDED = {k for k, (x, _, _) in PLACES.items() if x}
TIPS = {
    "head": (0, 20, 0),
    "finger": (6, 0, 0),
    "thumb": (3, 0, 4),
    "toe": (0, 0, 8),
    "foot": (0, -8, 12),
    "hand": (15, 0, 0),
}
CHAINS = {
    "root": ("base", "hips"),
    "spine": ("spine", "spine1", "spine2"),
    "neck": ("neck",),
    "head": ("head",),
    "clavicle": ("clavicle",),
    "arm": ("arm", "forearm", "hand"),
    "leg": ("thigh", "shank", "foot", "toe"),
}


def schemes() -> dict[str, tuple[str, dict[str, str]]]:
    """Scheme → its words for left and right, and slot → name ("*" is the side); slots without a name are left out."""
    with (Path(__file__).parent / "naming_schemes.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {r["scheme"]: (r["sides"], {slot: r[slot] for slot in PLACES if r[slot]}) for r in rows}


SCHEMES = schemes()


def body(sides: str, names: dict[str, str], parents: dict[str, str] = PARENTS) -> Motion:
    """The standing body with a scheme's names, one frame."""
    left, right = sides.split("|")
    joints: list[tuple[str, str | None, np.ndarray]] = []

    def parent(slot: str) -> str | None:
        up = parents.get(slot)
        while up is not None and up not in names:
            up = parents.get(up)
        return up

    def name(slot: str, side: str) -> str:
        return names[slot].replace("*", side)

    for slot in PLACES:
        for side, sign in ((left, 1), (right, -1)) if slot in SIDED else ((left, 1),):
            if slot in names:
                up = parent(slot)
                place = np.array(PLACES[slot], float) * (sign, 1, 1)
                joints.append((name(slot, side), None if up is None else name(up, side), place))
                leaf = not any(parent(s) == slot for s in names)
                if slot in TIPS and leaf:
                    joints.append(
                        (f"{name(slot, side)}_end", name(slot, side), place + np.array(TIPS[slot]) * (sign, 1, 1))
                    )
    at = {n: p for n, _, p in joints}
    order = [joints[0][0]]
    for n in order:  # breadth first: parents before children
        order += [child for child, up, _ in joints if up == n]
    up_of = {n: up for n, up, _ in joints}
    ups = [up_of[n] for n in order]
    return Motion(
        "body",
        Skeleton(
            tuple(order),
            np.array([-1 if up is None else order.index(up) for up in ups]),
            np.array([at[n] if up is None else at[n] - at[up] for n, up in zip(order, ups, strict=True)]),
            np.array([n.endswith("_end") for n in order]),
        ),
        30.0,
        at[order[0]][None],
        np.tile(rotation.IDENTITY, (1, len(order), 1)),
    )


def wanted(sides: str, names: dict[str, str]) -> dict[str, tuple[str, ...]]:
    out = {}
    for role, slots in CHAINS.items():
        there = [names[s] for s in slots if s in names]
        if role in ("clavicle", "arm", "leg"):
            for label, side in zip(("left", "right"), sides.split("|"), strict=True):
                out[f"{label}_{role}"] = tuple(n.replace("*", side) for n in there)
        else:
            out[role] = tuple(there)
    return {role: chain for role, chain in out.items() if chain}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_naming_schemes(scheme: str) -> None:
    sides, names = SCHEMES[scheme]
    motion = body(sides, names)
    roles = infer_roles(motion)
    assert roles.chains == wanted(sides, names)
    axes = infer_axes(motion, roles)
    assert (axes.unit, axes.up) == (0.01, "y")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_limbs_of_a_t_pose_without_names(scheme: str) -> None:
    sides, names = SCHEMES[scheme]
    motion, true = scrambled(body(sides, names), seed=1)
    chains = infer_roles(motion).chains
    for role, chain in wanted(sides, names).items():
        if role.endswith(("_leg", "_arm")):
            assert tuple(true[n] for n in chains[role])[:LIMB] == chain[:LIMB]


def test_biped_hangs_arms_on_the_neck_and_legs_on_the_spine() -> None:
    sides, names = SCHEMES["biped"]
    motion = body(sides, names, PARENTS | {"clavicle": "neck", "thigh": "spine"})
    assert infer_roles(motion).chains == wanted(sides, names)


def test_exchanged_sides_are_called_out_and_the_names_win() -> None:
    sides, names = SCHEMES["unreal"]
    motion = body("r|l", names)
    with pytest.warns(MimicWarning, match="left and right may be exchanged"):
        roles = infer_roles(motion)
    assert roles.chains == wanted(sides, names)


def test_arms_and_legs_of_opposite_sides_are_called_out() -> None:
    _, names = SCHEMES["unreal"]
    motion = body("l|r", names)
    swapped = tuple(
        n[:-1] + {"l": "r", "r": "l"}[n[-1]]
        if n[-2:] in ("_l", "_r") and ("arm" in n or "hand" in n or "clav" in n)
        else n
        for n in motion.skeleton.names
    )
    with pytest.warns(MimicWarning, match="opposite sides"):
        infer_roles(replace(motion, skeleton=replace(motion.skeleton, names=swapped)))


def test_four_legged_robot_by_name() -> None:
    joints = [("trunk", None, (0.0, 0.0, 0.4))]
    for name, x, y in (("FL", 0.2, 0.05), ("FR", 0.2, -0.05), ("RL", -0.2, 0.05), ("RR", -0.2, -0.05)):
        out = 0.08 if y > 0 else -0.08
        joints += [
            (f"{name}_hip_joint", "trunk", (x, y, 0.0)),
            (f"{name}_thigh_joint", f"{name}_hip_joint", (0.0, out, 0.0)),
            (f"{name}_calf_joint", f"{name}_thigh_joint", (-0.1, 0.0, -0.18)),
            (f"{name}_foot_joint", f"{name}_calf_joint", (0.1, 0.0, -0.18)),
        ]
    names = [n for n, _, _ in joints]
    skeleton = Skeleton(
        tuple(names),
        np.array([-1 if up is None else names.index(up) for _, up, _ in joints]),
        np.array([p for _, _, p in joints]),
        np.zeros(len(names), bool),
    )
    motion = Motion(
        "robot", skeleton, 30.0, np.array([[0.0, 0.0, 0.4]]), np.tile(rotation.IDENTITY, (1, len(names), 1))
    )
    roles = infer_roles(motion)
    assert roles.quadruped
    assert roles.chains["left_foreleg"] == ("FL_thigh_joint", "FL_calf_joint", "FL_foot_joint")
    assert roles.chains["right_leg"] == ("RR_thigh_joint", "RR_calf_joint", "RR_foot_joint")
    axes = infer_axes(motion, roles)
    assert (axes.unit, axes.up) == (1.0, "z")


def test_declared_axes_win() -> None:
    motion = body(*SCHEMES["smpl"])
    roles = infer_roles(motion)
    axes = infer_axes(replace(motion, provenance={"declared_unit": 0.0254, "declared_up": "z"}), roles)
    assert (axes.unit, axes.up) == (0.0254, "z")
    assert axes.confidence == {"unit": 1.0, "up": 1.0}
    for wrong in ({"declared_unit": "cm"}, {"declared_unit": -1}, {"declared_up": "up"}):
        with pytest.raises(InputError, match="expected the declared"):
            infer_axes(replace(motion, provenance=wrong), roles)


def test_a_body_upside_down_is_called_out() -> None:
    motion = body(*SCHEMES["smpl"])
    over = turned_and_scaled(motion, rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi), 1.0)
    roles = infer_roles(over)
    with pytest.warns(MimicWarning, match="head down along y"):
        assert infer_axes(over, roles).up == "y"


def test_a_lone_point_has_no_roles_but_a_root() -> None:
    skeleton = Skeleton(("thing",), np.array([-1]), np.zeros((1, 3)), np.array([False]))
    motion = Motion("point", skeleton, 30.0, np.zeros((5, 3)), np.tile(rotation.IDENTITY, (5, 1, 1)))
    roles = infer_roles(motion)
    assert roles.chains == {"root": ("thing",)}
    axes = infer_axes(motion, roles)
    assert axes.confidence == {"unit": 0.0, "up": 0.0}


@pytest.mark.parametrize(
    ("name", "part", "side", "minor"),
    [
        ("LeftHandMiddle1", "finger", "left", True),
        ("SpineMid", "spine", None, False),
        ("J_L5", "spine", None, False),
        ("lowerback", "spine", None, False),
        ("root", "hips", None, False),
        ("rradius", "forearm", "right", False),
        ("LHipJoint", "hip", "left", False),
        ("Dog_LeftArmor001", None, "left", True),
        ("LeftForeArmRoll", "forearm", "left", True),
        ("HeadTop_End", "head", None, True),
        ("joint12", None, None, False),
        ("", None, None, False),
    ],
)
def test_words(name: str, part: str | None, side: str | None, minor: bool) -> None:
    label = parse(name)
    assert (label.part, label.side, label.minor) == (part, side, minor)


def test_samples_lying_crawling_and_tumbling(samples: Path) -> None:
    """The human sample clips: crawling is not walking on four legs, and up is found without a standing body."""
    files = sorted(samples.glob("*.bvh"))
    assert len(files) == 15
    for seed, file in enumerate(files):
        motion = bvh.read(file)
        roles = infer_roles(motion)
        axes = infer_axes(motion, roles)
        assert not roles.quadruped
        assert (axes.unit, axes.up) == (0.01, "y"), (file.name, axes.evidence)
        nameless, true = scrambled(motion, seed)
        found = infer_roles(nameless).chains
        for role in ("left_leg", "right_leg", "left_arm", "right_arm"):
            assert tuple(true[n] for n in found[role])[:LIMB] == roles.chains[role][:LIMB], (file.name, role)
