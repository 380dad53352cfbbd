"""Cycles: known periods found to a fraction of a frame, false loops refused, real walks as their feet say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import MOCAP

from motion import formats, rotation
from motion.axes import infer_axes
from motion.contacts import detect
from motion.cycle import CycleSettings, find_cycles, pose_features
from motion.formats import deepmimic
from motion.motion import Motion, standardise
from motion.roles import Roles, infer_roles
from motion.rotation import Array


def stride(t: Array, period: float = 1.2, speed: float = 1.3) -> Array:
    """Positions (T, 6, 3) of a walking stick figure: root, head, feet and hands, left and right in opposite phase."""
    phase = 2 * np.pi * t / period
    x = np.zeros((len(t), 6, 3))
    x[:, :, 0] = speed * t[:, None]
    x[:, 0, 2], x[:, 1, 2] = 0.9 + 0.03 * np.cos(2 * phase), 1.6 + 0.03 * np.cos(2 * phase)
    for side, sign in ((0, 1.0), (1, -1.0)):
        swing = phase + np.pi * side
        x[:, 2 + side, 0] += 0.35 * np.sin(swing)
        x[:, 2 + side, 1] = 0.1 * sign
        x[:, 2 + side, 2] = 0.06 + 0.1 * np.clip(np.cos(swing), 0, None) ** 2
        x[:, 4 + side, 0] -= 0.25 * np.sin(swing)
        x[:, 4 + side, 1:] = [0.3 * sign, 0.9]
    return x


def features(positions: Array, fps: float, heading: Array | None = None) -> Array:
    return pose_features(positions, np.zeros(len(positions)) if heading is None else heading, fps)


def test_features_forget_place_and_heading() -> None:
    t = np.arange(120) / 60
    x = stride(t)
    turn = rotation.from_yaw(np.float64(1.1))
    moved = rotation.rotate(turn, x) + np.array([5.0, -3.0, 0.0])
    same = pose_features(moved, np.tile(turn, (120, 1)), 60.0)
    assert np.abs(same - features(x, 60.0)).max() < 1e-9


@pytest.mark.parametrize("fps", [16, 24, 30, 60, 120])
@pytest.mark.parametrize("period", [0.8, 1.0333, 1.26])
def test_a_known_period_is_found_to_a_fraction_of_a_frame(fps: float, period: float) -> None:
    t = np.arange(int(5 * fps)) / fps
    best = find_cycles(features(stride(t, period), fps), {}, fps)[0]
    assert best.rejected is None
    assert best.period == pytest.approx(period, abs=0.006)
    assert best.seam < 0.5
    assert best.coverage > 0.95
    assert best.evidence == "recurrence"
    assert best.stop - best.start == pytest.approx(best.period)
    json.dumps(best.to_json())


def test_the_fundamental_is_reported_not_a_half_step_nor_two_strides() -> None:
    t = np.arange(600) / 60
    found = find_cycles(features(stride(t), 60.0), {}, 60.0)
    assert found[0].period == pytest.approx(1.2, abs=0.01)
    assert not any(abs(c.period - 0.6) < 0.05 and c.rejected is None for c in found)
    assert any(abs(c.period - 2.4) < 0.02 for c in found)  # a candidate, but not the best


def test_strikes_of_a_foot_are_evidence_too() -> None:
    t = np.arange(600) / 120
    x = stride(t, 1.1)
    contacts = {"left_leg": x[:, 2, 2] < 0.07, "right_leg": x[:, 3, 2] < 0.07}
    assert find_cycles(features(x, 120.0), contacts, 120.0)[0].period == pytest.approx(1.1, abs=0.01)


def test_a_turning_walk_recurs() -> None:
    fps, t = 60.0, np.arange(400) / 60
    heading = 0.3 * t
    x = stride(t)
    local = x - x[:, :1] * np.array([1.0, 1.0, 0.0])
    path = np.cumsum(np.column_stack([np.cos(heading), np.sin(heading), np.zeros_like(t)]) * 1.3 / fps, axis=0)
    world = rotation.rotate(rotation.from_yaw(heading)[:, None], local) + path[:, None]
    assert find_cycles(features(world, fps, heading), {}, fps)[0].period == pytest.approx(1.2, abs=0.012)


def test_standing_still_is_no_cycle() -> None:
    x = np.tile(stride(np.zeros(1)), (400, 1, 1)) + np.random.default_rng(1).normal(0, 0.002, (400, 6, 3))
    found = find_cycles(features(x, 60.0), {}, 60.0)
    assert all(c.rejected is not None for c in found)


def test_a_gesture_made_once_is_no_cycle() -> None:
    t = np.arange(180) / 60
    x = np.tile(stride(np.zeros(1)), (180, 1, 1))
    x[:, 2, 0] += 0.8 * np.exp(-(((t - 1.5) / 0.25) ** 2))  # a kick, from standing back to standing
    x[:, 2, 2] += 0.9 * np.exp(-(((t - 1.5) / 0.2) ** 2))
    assert all(c.rejected is not None for c in find_cycles(features(x, 60.0), {}, 60.0))


def test_a_short_repetition_in_a_long_clip_does_not_explain_it() -> None:
    rng = np.random.default_rng(3)
    t = np.arange(1200) / 60
    steps = rng.normal(size=(1200, 6, 3))
    kernel = np.exp(-0.5 * (np.arange(-60, 61) / 15) ** 2)
    wander = np.apply_along_axis(lambda v: np.convolve(v, kernel / kernel.sum(), "same"), 0, steps) * 2.0
    x = stride(np.zeros(1)) + wander
    x[500:620] = stride(t[:120], 0.5, 0.0)
    found = find_cycles(features(x, 60.0), {}, 60.0)
    assert found
    assert all(c.rejected is not None for c in found)


def test_one_cycle_alone_closes() -> None:
    t = np.arange(77) / 60  # the last frame is the first one of the next cycle, and two thirds of a frame more
    best = find_cycles(features(stride(t, 1.26), 60.0), {}, 60.0)[0]
    assert best.rejected is None
    assert best.evidence == "closing"
    assert best.period == pytest.approx(1.26, abs=0.02)


@pytest.mark.parametrize("frames", [1, 3, 4, 8])
def test_tiny_clips_are_answered(frames: int) -> None:
    assert isinstance(find_cycles(features(stride(np.arange(frames) / 30), 30.0), {}, 30.0), list)


def test_a_stricter_gate_rejects_and_says_why() -> None:
    t = np.arange(300) / 60
    noisy = stride(t) + np.random.default_rng(0).normal(0, 0.01, (300, 6, 3))
    settings = CycleSettings(seam=0.01)
    best = find_cycles(features(noisy, 60.0), {}, 60.0, settings=settings)[0]
    assert best.rejected is not None
    assert "seam" in best.rejected
    assert best.score == 0.0


def tiled(motion: Motion, count: int, head: int, tail: int) -> tuple[Array, Array]:
    """Positions and root rotations of a looping clip walked ``count`` times, less some frames at both ends."""
    x, q = motion.forward()
    onward = (x[-1, 0] - x[0, 0]) * np.array([1.0, 1.0, 0.0])
    x = np.concatenate([x[:-1] + k * onward for k in range(count)])
    q = np.tile(q[:-1, 0], (count, 1))
    return x[head : len(x) - tail], q[head : len(q) - tail]


def sample(name: str) -> Motion:
    from pipeline.samples import _folder  # the installed package's clips

    motion = deepmimic.read(_folder() / f"humanoid3d_{name}.txt")
    return standardise(motion, unit=1.0, up="y")


@pytest.mark.parametrize(("name", "period"), [("walk", 1.2667), ("run", 0.8)])
@pytest.mark.parametrize(("head", "tail"), [(0, 0), (7, 5), (11, 9)])
def test_the_samples_tiled_trimmed_and_noisy(name: str, period: float, head: int, tail: int) -> None:
    motion = sample(name)
    x, q = tiled(motion, 4, head, tail)
    x = x + np.random.default_rng(head).normal(0, 0.002, x.shape)
    best = find_cycles(pose_features(x, q, motion.fps), {}, motion.fps)[0]
    assert best.rejected is None
    assert best.period == pytest.approx(period, abs=0.01)
    assert best.seam <= 1.5


@pytest.mark.parametrize("name", ["kick", "punch", "getup_facedown", "getup_faceup", "backflip"])
def test_once_is_not_a_cycle(name: str) -> None:
    motion = sample(name)
    x, q = motion.forward()
    assert all(c.rejected is not None for c in find_cycles(pose_features(x, q[:, 0], motion.fps), {}, motion.fps))


WALKS = [
    "cmu-mb/05_01.bvh",
    "cmu-mb/06_01.bvh",
    "cmu-mb/cmu_12_01_walk.bvh",
    "cmu-mb/walk.bvh",
    "cmu-mb/example.bvh",
    "cmu-blender30/37_01.bvh",
    "pymo/AV_8Walk_Meredith_HVHA_Rep1.bvh",
    "imusim/16_15.bvh",
    "torture/bvh-toolbox__walk01.bvh",
]


def read(path: str) -> tuple[Motion, Roles]:
    from pipeline.clean import drop_calibration

    raw = formats.read(MOCAP / path)
    roles = infer_roles(raw)
    axes = infer_axes(raw, roles)
    return drop_calibration(standardise(raw, unit=axes.unit, up=axes.up))[0], roles


def step_time(height: Array, fps: float) -> float:
    """First peak of the autocorrelation of the feet's heights (T, 2), beyond 0.4 s."""
    height = height - height.mean(axis=0)
    frames = len(height)
    both = sum(np.correlate(h, h, "full")[frames - 1 :] for h in height.T) / np.arange(frames, 0, -1)
    inner = np.arange(int(0.4 * fps), int(0.75 * frames))
    peaks = inner[(both[inner] >= both[inner - 1]) & (both[inner] > both[inner + 1])]
    return float(peaks[0] / fps)


@pytest.mark.parametrize("path", WALKS)
def test_real_walks_as_their_feet_say(mocap, path: str) -> None:
    motion, roles = read(path)
    x, q = motion.forward()
    feet = [motion.skeleton.index(roles.chains[f"{side}_leg"][2]) for side in ("left", "right")]
    joints = [0] + [motion.skeleton.index(n) for c in roles.chains.values() for n in c]
    contacts = detect(motion, roles).flags
    best = find_cycles(pose_features(x[:, joints], q[:, 0], motion.fps), contacts, motion.fps)[0]
    assert best.rejected is None
    assert best.seam <= 1.5
    assert best.period == pytest.approx(step_time(x[:, feet, 2], motion.fps), rel=0.03)


@pytest.mark.parametrize("path", ["cmu-daz/10_01.bvh", "cmu-mb/124_01.bvh", "cmu-daz/11_01.bvh", "cmu-mb/06_15.bvh"])
def test_a_kick_a_pitch_and_a_throw_are_not_looped(mocap, path: str) -> None:
    motion, roles = read(path)
    x, q = motion.forward()
    found = find_cycles(pose_features(x, q[:, 0], motion.fps), detect(motion, roles).flags, motion.fps)
    assert all(c.rejected is not None for c in found)
