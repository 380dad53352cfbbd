"""Cleaning: what is wrong is mended, what is right stays bit for bit, and cleaning twice changes nothing more."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from motion import contacts, formats, rotation
from motion.motion import Motion, Skeleton, standardise
from motion.roles import infer_axes, infer_roles
from motion.rotation import Array
from pipeline import pops
from pipeline.clean import calibration_frames, clean, drop_calibration, ground, unit_quaternions
from pipeline.samples import read_meta

FPS = 60.0


@dataclass(frozen=True)
class Chains:
    """What cleaning needs of `motion.roles.Roles`."""

    chains: dict[str, tuple[str, ...]]


LEGS = Chains({f"{s}_leg": (f"{s}_hip", f"{s}_knee", f"{s}_ankle") for s in ("left", "right")})


def dancer(seconds: float = 3.0, fps: float = FPS, *, speed: float = 1.0, loop: bool | None = None) -> Motion:
    """A body that stands on both feet and moves its arms and head smoothly, up to about 9 rad/s at speed 1."""
    rows = [("root", -1, (0, 0, 0.92)), ("chest", 0, (0, 0, 0.3)), ("head", 1, (0, 0, 0.3))]
    for side, y in (("left", 1.0), ("right", -1.0)):
        at = len(rows)
        rows += [(f"{side}_hip", 0, (0, 0.1 * y, 0)), (f"{side}_knee", at, (0, 0, -0.42))]
        rows += [(f"{side}_ankle", at + 1, (0, 0, -0.42)), (f"{side}_toe", at + 2, (0.15, 0, -0.08))]
        rows += [(f"{side}_shoulder", 1, (0, 0.2 * y, 0.2)), (f"{side}_elbow", at + 4, (0, 0.3 * y, 0))]
        rows += [(f"{side}_hand", at + 5, (0, 0.3 * y, 0))]
    names, parents, offsets = zip(*rows, strict=True)
    skeleton = Skeleton(names, np.array(parents), np.array(offsets, float), np.array([n[-3:] == "toe" for n in names]))
    t = np.arange(round(seconds * fps) + 1) / fps
    rotations = np.tile(rotation.IDENTITY, (len(t), len(names), 1))
    turns = {
        "left_shoulder": (1.5, 6.0, 0),
        "left_elbow": (0.8, 8.0, 2),
        "right_shoulder": (1.2, 7.0, 1),
        "head": (0.4, 3, 2),
    }
    for name, (amplitude, omega, axis) in turns.items():
        periods = max(round(speed * omega * seconds / (2 * np.pi)), 1)  # whole ones, so that the clip can loop
        angle = amplitude * np.sin(2 * np.pi * periods / seconds * t)
        rotations[:, names.index(name)] = rotation.from_axis_angle(np.eye(3)[axis], angle)
    roots = np.tile([0.0, 0.0, 0.92], (len(t), 1))
    return Motion("dancer", skeleton, fps, roots, rotations, loop=loop)


def turned(motion: Motion, joint: str, frames: slice | int, turn: Array) -> Motion:
    """The motion with a joint turned further by the rotation vector ``turn`` in some frames."""
    rotations = motion.rotations.copy()
    index = motion.skeleton.index(joint)
    rotations[frames, index] = rotation.multiply(rotations[frames, index], rotation.exp(turn))
    return replace(motion, rotations=rotations)


def speeds(motion: Motion) -> Array:
    """(T − 1, J) rad/s"""
    return rotation.angle(motion.rotations[:-1], motion.rotations[1:]) * motion.fps


def load(path: Path) -> tuple[Motion, Chains]:
    """A file, standardised as the stages do, with its roles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = formats.read(path)
        roles = infer_roles(raw)
        axes = infer_axes(raw, roles)
    loop = read_meta(path).loop
    return replace(standardise(raw, unit=axes.unit, up=axes.up), loop=loop), Chains(dict(roles.chains))


# ---------------------------------------------------------------- nothing wrong, nothing done


@pytest.mark.parametrize("speed", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("loop", [None, True])
def test_smooth_motion_is_returned_as_it_is(speed: float, loop: bool | None) -> None:
    motion = dancer(speed=speed, loop=loop)
    assert speed < 3 or speeds(motion).max() > 25
    mended, said = clean(motion, LEGS)
    assert mended is motion
    assert said == ()


@pytest.mark.parametrize("name", ["spinkick", "punch", "kick", "backflip", "spin", "cartwheel", "dance_a", "dance_b"])
def test_fast_real_motion_keeps_every_pose(samples: Path, name: str) -> None:
    motion, roles = load(samples / f"{name}.bvh")
    mended, _ = clean(motion, roles)
    assert np.array_equal(mended.rotations, motion.rotations)
    assert np.array_equal(mended.root_positions[:, :2], motion.root_positions[:, :2])


@pytest.mark.parametrize("name", ["walk", "run", "crawl", "roll", "jump", "getup_facedown", "kick"])
def test_cleaning_twice_changes_nothing_more(samples: Path, name: str) -> None:
    motion, roles = load(samples / f"{name}.bvh")
    once, said = clean(motion, roles)
    assert said
    twice, again = clean(once, roles)
    assert again == ()
    assert twice is once
    assert once.provenance["cleaned"] == list(said)


# ---------------------------------------------------------------- quaternions


def test_quaternions_are_normalised_and_made_continuous() -> None:
    motion = dancer()
    broken = motion.rotations.copy()
    broken[20, 3] *= 1.42
    broken[50:, 4] *= -1.0
    mended, said = unit_quaternions(replace(motion, rotations=broken))
    assert rotation.angle(mended.rotations, motion.rotations).max() < 1e-7
    assert np.abs(np.linalg.norm(mended.rotations, axis=-1) - 1).max() < 1e-12
    assert np.einsum("tji,tji->tj", mended.rotations[1:], mended.rotations[:-1]).min() > 0
    assert "0.42" in said[0]
    assert "frame 20" in said[0]
    assert "1 frames" in said[1]


# ---------------------------------------------------------------- pops and spikes


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("joint", ["head", "left_shoulder"])
def test_a_pop_is_spread_and_its_neighbours_stay(frames: int, joint: str) -> None:
    motion = dancer(speed=0.3)
    turn = np.array([0.0, 0.35, 0.2])
    broken = turned(motion, joint, slice(90, None), turn)
    for k in range(1, frames):
        broken = turned(broken, joint, 90 - k, turn * (frames - k) / frames)
    mended, said = pops.mend_pops(broken)
    index = motion.skeleton.index(joint)
    assert len(said) == 1
    assert f"{joint} 0.40" in said[0]
    assert speeds(broken)[:, index].max() > 11
    assert speeds(mended)[:, index].max() < speeds(motion)[:, index].max() + 2.2
    assert np.abs(np.diff(speeds(mended)[:, index])).max() < 0.9  # 4 rad/s too much at a pop is a step of 4
    changed = np.flatnonzero((mended.rotations != broken.rotations).any(axis=(1, 2)))
    assert 90 - frames - 12 <= changed[0]
    assert changed[-1] <= 90 + 12
    others = np.delete(np.arange(len(motion.skeleton)), index)
    assert np.array_equal(mended.rotations[:, others], broken.rotations[:, others])
    assert pops.find_pops(mended) == []


def test_a_pop_at_the_wrap_of_a_loop_is_spread_over_both_ends() -> None:
    motion = dancer(loop=True)
    ramp = 0.4 * np.linspace(0, 1, len(motion))[:, None]
    broken = turned(motion, "head", slice(None), ramp * np.array([1.0, 0.0, 0.0]))
    index = motion.skeleton.index("head")
    mended, said = pops.mend_pops(broken)
    assert len(said) == 1
    assert "wrap" in said[0]
    assert rotation.angle(mended.rotations[-1, index], mended.rotations[0, index]) < 1e-9
    before, after = speeds(mended)[-1, index], speeds(mended)[0, index]
    assert before == pytest.approx(after, abs=0.3)
    untouched, said = pops.mend_pops(replace(broken, loop=False))
    assert said == ()
    assert np.array_equal(untouched.rotations, broken.rotations)


def test_a_loop_that_does_not_close_as_a_whole_is_left_to_the_phase_stage(samples: Path) -> None:
    motion, roles = load(samples / "spinkick.bvh")
    assert rotation.angle(motion.rotations[-1], motion.rotations[0]).max() > 0.9
    mended, _ = clean(motion, roles)
    assert np.array_equal(mended.rotations, motion.rotations)


@pytest.mark.parametrize("joint", ["head", "right_elbow", "root"])
def test_a_spike_is_replaced(joint: str) -> None:
    motion = dancer(speed=0.5)
    mended, said = pops.mend_spikes(turned(motion, joint, 70, np.array([0.3, 0.0, 0.1])))
    assert len(said) == 1
    assert joint in said[0]
    assert "frame 70" in said[0]
    assert rotation.angle(mended.rotations, motion.rotations).max() < 2e-3


def test_a_half_turn_is_left_alone() -> None:
    motion = turned(dancer(speed=0.3), "head", slice(90, None), np.array([3.1, 0.0, 0.0]))
    mended, said = pops.mend_pops(motion)
    assert said == ()
    assert mended is motion


def test_a_stance_foot_does_not_pay_for_a_pop() -> None:
    """A hip pops as its foot, swinging before, comes to rest: the offset goes into the swing."""
    motion = dancer()
    swing = np.clip(1.0 - np.arange(len(motion)) / 90.0, 0.0, 1.0)
    motion = turned(motion, "left_hip", slice(None), swing[:, None] * np.array([0.0, 1.2, 0.0]))
    broken = turned(motion, "left_hip", slice(None, 90), np.array([0.3, 0.0, 0.0]))
    mended, said = pops.mend_pops(broken)
    assert len(said) == 1
    assert np.array_equal(mended.rotations[90:], broken.rotations[90:])
    assert speeds(mended)[88:93, motion.skeleton.index("left_hip")].max() < 2.0  # the pop was 18


KNOWN = {"walk": ("left_shoulder", 0.60), "run": ("left_shoulder", 0.40)}


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_pops_are_found_and_gone(samples: Path, name: str) -> None:
    joint, seconds = KNOWN[name]
    motion, roles = load(samples / f"{name}.bvh")
    index = motion.skeleton.index(joint)
    found = pops.find_pops(motion)
    assert len(found) == 2
    assert found[0].start / motion.fps == pytest.approx(seconds, abs=0.04)
    assert np.linalg.norm(found[0].offsets[index]) > 0.35
    assert found[1].gap == 0  # the wrap, where the other side pops
    other = motion.skeleton.index(joint.replace("left", "right"))
    assert np.linalg.norm(found[1].offsets, axis=-1).argmax() == other
    mended, _ = clean(motion, roles)
    assert pops.find_pops(mended) == []
    assert speeds(motion)[:, index].max() > 15
    assert speeds(mended)[:, index].max() < (4 if name == "walk" else 13)
    wrap = rotation.angle(mended.rotations[-1], mended.rotations[0])
    assert wrap.max() < 1e-9


def test_few_frames_of_the_samples_change(samples: Path) -> None:
    most = {"crawl": 30, "getup_facedown": 30, "jump": 2, "roll": 30, "run": 49, "walk": 30}
    for path in sorted(samples.glob("*.bvh")):
        motion, roles = load(path)
        mended, _ = clean(motion, roles)
        changed = np.count_nonzero((mended.rotations != motion.rotations).any(axis=(1, 2)))
        assert changed <= most.get(path.stem, 0), path.stem


@pytest.mark.parametrize(
    "name", ["cmu-mb/walk", "cmu-mb/124_01", "cmu-max/131_01", "cmu-daz/10_03", "pymo/AV_8Walk_Meredith_HVHA_Rep1"]
)
def test_real_captures_without_pops_keep_their_poses(mocap: Path, name: str) -> None:
    motion, _ = load(mocap / f"{name}.bvh")
    motion, _ = drop_calibration(motion)
    mended, said = pops.mend_pops(pops.mend_spikes(motion)[0])
    assert said == ()
    assert mended is motion


# ---------------------------------------------------------------- calibration frames

WITH = {"cmu-mb": 1, "cmu-blender30": 1, "perfume": 1, "cmu-daz": 8, "imusim": 7}
"""folder → frames of its files that belong to a T-pose, give or take the end of a blend"""
WITHOUT = (
    "animated-drawings",
    "cmu-max",
    "daz",
    "dfki",
    "dog-tencent",
    "neuron",
    "pymo",
    "rokoko",
    "scadiver",
    "snu-clip",
)


@pytest.mark.parametrize("folder", [*WITH, *WITHOUT, "video-pose"])
def test_calibration_frames_are_found_where_there_are_some(mocap: Path, folder: str) -> None:
    expected = WITH.get(folder, 0)
    for path in sorted((mocap / folder).glob("*.bvh")):
        motion = formats.read(path)
        if len(motion) > 10:
            assert calibration_frames(motion) == pytest.approx(expected, abs=1 if expected > 1 else 0), path.name


def test_dropping_calibration_frames_keeps_the_rest() -> None:
    motion = dancer(loop=True)
    pose = motion.rotations.copy()
    pose[0] = rotation.IDENTITY
    pose[0, [motion.skeleton.index(f"{side}_shoulder") for side in ("left", "right")]] = rotation.exp([1.4, 0.0, 0.0])
    mended, said = drop_calibration(replace(motion, rotations=pose))
    assert len(said) == 1
    assert "1 calibration frame " in said[0]
    assert np.array_equal(mended.rotations, motion.rotations[1:])
    assert mended.loop is True


# ---------------------------------------------------------------- the floor


@pytest.mark.parametrize("rise", [-0.104, -0.02, 0.3])
def test_the_ground_is_brought_to_zero(rise: float) -> None:
    motion = dancer()
    positions, _ = motion.forward()
    lowest = positions[..., 2].min()
    moved = replace(motion, root_positions=motion.root_positions + np.array([0.0, 0.0, rise - lowest]))
    mended, said = ground(moved, LEGS)
    positions, _ = mended.forward()
    assert positions[..., 2].min() == pytest.approx(0.0, abs=1e-3)
    assert len(said) == 1
    assert ("raised" if rise < 0 else "lowered") in said[0]
    assert f"{abs(rise) * 1000:.0f} mm" in said[0]


LOWEST = {"walk": 12, "run": 12, "jump": 25, "spinkick": 12, "backflip": 40, "dance_a": 15}
"""sample → mm by which the deepest point of a foot may still dip under the ground; before, run's was 59"""


@pytest.mark.parametrize("name", LOWEST)
def test_standing_feet_rest_on_the_ground_and_flight_stays(samples: Path, name: str) -> None:
    motion, roles = load(samples / f"{name}.bvh")
    mended, _ = clean(motion, roles)
    found = contacts.detect(mended, roles)
    assert abs(found.ground) < 1e-3
    positions, _ = mended.forward()
    assert 1000 * positions[..., 2].min() > -LOWEST[name]
    assert any(flags.any() for flags in found.flags.values())
    rise = np.diff(mended.root_positions[:, 2]) - np.diff(motion.root_positions[:, 2])
    assert np.abs(rise).max() < (1e-9 if name not in ("walk", "run") else 0.01)
