"""Looping sources between their neighbouring cycles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion import rotation
from motion.clip import JointSpec, Trajectory
from motion.motion import Motion, Skeleton
from pipeline import loops, sources


def circling(turn: float = 0.5, frames: int = 41) -> Motion:
    """One cycle of a two-joint body that swings once while it walks along a circle, turning ``turn`` radians."""
    skeleton = Skeleton(("hips", "knee"), np.array([-1, 0]), np.array([[0, 0, 0], [0, 0, -0.5]]), np.zeros(2, bool))
    share = np.linspace(0.0, 1.0, frames)
    yaw = turn * share
    radius = 2.0
    roots = np.stack([radius * np.sin(yaw), radius * (1 - np.cos(yaw)), 1 + 0.02 * np.cos(2 * np.pi * share)], axis=1)
    swing = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), 0.6 * np.sin(2 * np.pi * share))
    rotations = np.stack([rotation.from_yaw(yaw), swing], axis=1)
    return Motion("circle", skeleton, 40.0, roots, rotations, loop=True)


def test_neighbouring_cycles_continue_the_motion():
    """A circle walked once more is the same circle: every padded frame lies where the formula puts it."""
    motion = circling()
    surrounded = loops.surround(motion)
    assert surrounded.pad == 40
    frames = np.arange(-40, 81)
    yaw = 0.5 * frames / 40
    expected = np.stack([2 * np.sin(yaw), 2 * (1 - np.cos(yaw))], axis=1)
    np.testing.assert_allclose(surrounded.motion.root_positions[:, :2], expected, atol=1e-9)
    np.testing.assert_allclose(rotation.yaw(surrounded.motion.rotations[:, 0]), yaw, atol=1e-9)


def test_nearly_straight_cycle_goes_straight_on():
    assert loops.cycle_offset(circling(turn=0.05)).yaw == 0.0


@pytest.mark.parametrize("loop", [False, None])
def test_one_shot_is_left_alone(loop: bool | None):
    motion = replace(circling(), loop=loop)
    assert loops.surround(motion).motion is motion


def test_cycle_that_does_not_join_on_to_itself_is_left_alone():
    motion = circling()
    cut = replace(motion.slice(0, 30), loop=True)
    assert loops.surround(cut).pad == 0


def test_middle_is_the_motion_itself_from_the_origin():
    surrounded = loops.surround(circling())
    count = len(surrounded.motion)
    qpos = np.concatenate(
        [surrounded.motion.root_positions, surrounded.motion.rotations[:, 0], np.zeros((count, 1))], 1
    )
    flags = np.arange(count) % 2 == 0
    whole = Trajectory("circle", "body", (JointSpec("knee", "hinge"),), 40.0, qpos, {"foot": flags}, loop=True)
    middle = surrounded.middle(whole)
    assert len(middle.qpos) == 41
    np.testing.assert_allclose(middle.qpos[0, :2], 0.0)
    np.testing.assert_array_equal(middle.contacts["foot"], flags[40:81])


@pytest.mark.parametrize(
    ("name", "repeats"), [("walk", True), ("run", True), ("cartwheel", False), ("spinkick", False)]
)
def test_samples_that_truly_repeat(samples: Path, name: str, repeats: bool):
    """The release calls all four cycles; a cartwheel's and a spinkick's ends do not meet."""
    source = sources.read(samples / f"{name}.bvh")
    assert (loops.surround(source.motion).pad > 0) == repeats


def test_what_differs_between_the_ends_is_shared_out():
    """A knee 0.1 rad off at the last frame: both ends give way by half, the middle stays."""
    motion = circling()
    rotations = motion.rotations.copy()
    rotations[-1, 1] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.float64(0.1))
    off = replace(motion, rotations=rotations)
    joined = loops.joined(off, loops.cycle_offset(off))
    knee = 2 * np.arcsin(joined.rotations[:, 1, 2])
    assert knee[0] == pytest.approx(0.05, abs=1e-9)
    assert knee[-1] == pytest.approx(0.05, abs=1e-9)
    fade = round(loops.FADE * motion.fps)
    np.testing.assert_allclose(joined.rotations[fade:-fade], off.rotations[fade:-fade], atol=1e-12)
    np.testing.assert_allclose(joined.root_positions, off.root_positions, atol=1e-12)


def test_a_cycle_that_meets_itself_is_left_as_it_is():
    motion = circling()
    joined = loops.joined(motion, loops.cycle_offset(motion))
    np.testing.assert_allclose(joined.rotations, motion.rotations, atol=1e-12)
    np.testing.assert_allclose(joined.root_positions, motion.root_positions, atol=1e-12)
