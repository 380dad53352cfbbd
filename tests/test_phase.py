"""Phase: the right stretch is cut, its seam closes in pose and velocity, and a one-shot stays one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characters.character import Character
from motion import rotation
from motion.clip import Clip, CycleOffset, JointSpec, Layout, Trajectory
from motion.errors import InputError
from motion.rotation import Array
from pipeline.phase import PhaseSettings, phase, seam

Y = np.array([0.0, 1.0, 0.0])
PERIOD = 1.2


@pytest.fixture(scope="module")
def body() -> Character:
    return Character.load("humanoid")


def walk(body: Character, seconds: float, fps: float, *, turn: float = 0.0, pops: float = 0.0) -> Trajectory:
    """A swinging walk at 1.3 m/s that turns by ``turn`` a cycle; ``pops`` radians of every ball joint drift away in time."""
    t = np.arange(int(round(seconds * fps)) + 1) / fps
    phases = 2 * np.pi * t / PERIOD
    qpos = np.tile(body.rest, (len(t), 1))
    heading = turn * t / PERIOD
    rate = turn / PERIOD
    if turn:
        qpos[:, 0], qpos[:, 1] = 1.3 / rate * np.sin(heading), 1.3 / rate * (1 - np.cos(heading))
    else:
        qpos[:, 0] = 1.3 * t
    qpos[:, 0] += 2.0  # a clip begins at the origin, wherever its source did
    qpos[:, 2] += 0.02 * np.cos(2 * phases)
    qpos[:, 3:7] = rotation.multiply(rotation.from_yaw(heading), qpos[:, 3:7])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for joint, size in ((f"{side}_hip", 0.5), (f"{side}_shoulder", -0.4)):
            at = int(body.layout.qpos_at[body.joint(joint)])
            swing = rotation.from_axis_angle(Y, sign * size * np.sin(phases) + pops * (t / t[-1]) ** 2)
            qpos[:, at : at + 4] = rotation.multiply(qpos[:, at : at + 4], swing)
    foot = np.sin(phases) > 0
    return Trajectory("walk", body.name, body.specs, fps, qpos, {"left_ankle": foot, "right_ankle": ~foot})


def unrolled(clip: Clip, cycles: int = 3) -> Array:
    return np.concatenate([clip.cycle_offset.apply(clip.qpos, k) for k in range(cycles)])


def roughness(layout: Layout, qpos: Array, fps: float) -> Array:
    """Norm (T − 2,) of the second difference over time: radians and metres a second squared."""
    return np.linalg.norm(np.diff(layout.difference(qpos[:-1], qpos[1:]), axis=0), axis=1) * fps**2


@pytest.mark.parametrize("fps", [24, 30, 60, 120])
def test_the_period_is_found_and_the_clip_is_uniform(body: Character, fps: float) -> None:
    clip, report = phase(walk(body, 4.1, fps), body)
    assert clip.loop
    assert report.loop
    assert clip.duration == pytest.approx(PERIOD, abs=0.01)
    assert clip.fps > 60 - 1e-6
    assert clip.phase[0] == 0.0
    assert clip.phase[-1] == pytest.approx(1 - 1 / len(clip.phase))
    assert clip.qpos[0, :2] == pytest.approx([0.0, 0.0])
    assert clip.cycle_offset.translation == pytest.approx([1.3 * clip.duration, 0.0, 0.0], abs=0.01)
    assert clip.cycle_offset.yaw == 0.0
    assert report.candidates[0].seam <= 1.5
    assert "1.2" in report.reason
    assert "recurrence" in report.reason


@pytest.mark.parametrize("turn", [-0.9, 0.2, 0.5])
def test_a_turning_walk_turns_by_its_offset(body: Character, turn: float) -> None:
    trajectory = walk(body, 4.1, 60, turn=turn)
    clip, report = phase(trajectory, body)
    assert clip.cycle_offset.yaw == pytest.approx(turn * clip.duration / PERIOD, abs=0.02)
    rows = unrolled(clip)
    times = report.start + np.arange(len(rows)) / clip.fps
    inside = times < trajectory.duration
    origin = np.array(
        [np.interp(report.start, np.arange(len(trajectory.qpos)) / 60, x) for x in trajectory.qpos[:, :2].T]
    )
    path = np.column_stack(
        [np.interp(times, np.arange(len(trajectory.qpos)) / 60, x) for x in trajectory.qpos[:, :2].T]
    )
    assert np.abs(rows[inside, :2] - (path[inside] - origin)).max() < 0.05  # three cycles follow the source's arc


@pytest.mark.parametrize("pops", [0.0, 0.3])
@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_no_jump_in_pose_or_velocity_at_the_wrap(body: Character, pops: float, turn: float) -> None:
    trajectory = replace(walk(body, PERIOD, 60, turn=turn, pops=pops), loop=True)
    clip, report = phase(trajectory, body)
    layout, count = clip.layout, len(clip.qpos)
    rough = roughness(layout, unrolled(clip), clip.fps)
    wrap = rough[count - 2 : count + 1]
    assert wrap.max() <= 1.5 * np.percentile(rough[: count - 2], 95)
    assert report.seam_after is not None
    assert report.seam_before is not None
    assert 1 / 1.3 < report.seam_after.step < 1.3
    assert report.seam_after.velocity <= 1.5
    if pops:
        assert report.seam_before.step > 3.0
    speeds = np.diff(np.concatenate([clip.qvel, clip.qvel[:1]]), axis=0)[:, 3:]
    assert np.abs(speeds[-1]).max() <= 1.5 * np.abs(speeds[:-1]).max()


def test_the_velocity_mismatch_is_closed_as_well(body: Character) -> None:
    """A hinge that ends where it began, but moving the other way."""
    fps, t = 120.0, np.arange(145) / 120
    qpos = np.tile(body.rest, (len(t), 1))
    at = int(body.layout.qpos_at[body.joint("left_knee")])
    qpos[:, at] = -1.0 - 0.4 * np.sin(np.pi * t / t[-1])
    trajectory = Trajectory("swing", body.name, body.specs, fps, qpos, {}, loop=True)
    clip, report = phase(trajectory, body)
    assert report.seam_before is not None
    assert report.seam_after is not None
    assert report.seam_before.velocity > 10.0  # a corner
    second = roughness(clip.layout, unrolled(clip), clip.fps)
    assert second.max() < 60.0  # rad/s²: 2.1 rad/s taken off over 2 × 0.15 s by cubics, not 250 in one step
    far = (clip.phase > 0.2) & (clip.phase < 0.8)
    assert np.abs(clip.qpos[far, at] - qpos[: len(far)][far, at]).max() < 1e-3  # and only there


def test_velocities_are_those_of_the_samples_across_the_wrap(body: Character) -> None:
    clip, _ = phase(replace(walk(body, PERIOD, 60, turn=0.5, pops=0.2), loop=True), body)
    rows = unrolled(clip)
    count = len(clip.qpos)
    central = clip.layout.difference(rows[count - 1 : 2 * count - 1], rows[count + 1 : 2 * count + 1]) * clip.fps / 2
    turned = clip.qvel.copy()
    turned[:, :3] = rotation.rotate(rotation.from_yaw(np.float64(clip.cycle_offset.yaw)), clip.qvel[:, :3])
    assert np.abs(central - turned).max() < 0.05 * np.abs(clip.qvel).max()


def test_a_loop_sampled_on_and_on_is_smooth(body: Character) -> None:
    clip, _ = phase(replace(walk(body, PERIOD, 30, pops=0.3), loop=True), body)
    at = np.arange(int(4 * clip.duration * clip.fps)) / clip.fps
    qpos, qvel = clip.sample(at)
    rough = roughness(clip.layout, qpos, clip.fps)
    assert rough.max() < 2.0 * np.percentile(rough, 90)
    assert np.abs(np.diff(qvel, axis=0)).max() * clip.fps < 60.0


def test_quaternions_stay_continuous_through_a_full_turn(body: Character) -> None:
    clip, _ = phase(walk(body, 6.0, 60, turn=2.0), body, loop=False)
    quats = clip.layout.quats(clip.qpos)
    assert (np.einsum("tji,tji->tj", quats[1:], quats[:-1]) > 0.9).all()


def test_slow_sources_are_interpolated_smoothly(body: Character) -> None:
    """16 frames a second by slerp would show as 16 jerks a second."""
    coarse, fine = (phase(walk(body, 3.0, fps), body, loop=False, rate=rate)[0] for fps, rate in ((16, 60), (120, 120)))
    assert coarse.fps == pytest.approx(60.0)
    rough = roughness(coarse.layout, coarse.qpos, coarse.fps)
    true = roughness(fine.layout, fine.qpos, fine.fps)
    assert rough.max() < 1.2 * true.max()
    error = coarse.layout.difference(fine.sample(coarse.phase * coarse.duration)[0], coarse.qpos)
    assert np.abs(error).max() < 0.01


def test_a_one_shot_stays_one_and_says_so(body: Character) -> None:
    t = np.arange(121) / 60
    qpos = np.tile(body.rest, (len(t), 1))
    at = int(body.layout.qpos_at[body.joint("right_hip")])
    kick = rotation.from_axis_angle(Y, -1.5 * np.exp(-(((t - 1.0) / 0.2) ** 2)))
    qpos[:, at : at + 4] = rotation.multiply(qpos[:, at : at + 4], kick)
    trajectory = Trajectory("kick", body.name, body.specs, 60.0, qpos, {})
    clip, report = phase(trajectory, body, rate=60)
    assert not clip.loop
    assert report.seam_after is None
    assert report.reason.startswith("kept as a one-shot: no cycle was found")
    assert clip.phase[-1] == 1.0
    assert clip.duration == trajectory.duration
    assert np.abs(clip.layout.difference(clip.qpos, qpos)).max() < 1e-9  # its own frames
    assert clip.cycle_offset.yaw == 0.0
    assert not clip.cycle_offset.translation.any()


def test_what_the_source_says_and_what_the_user_says(body: Character) -> None:
    trajectory = walk(body, 4.1, 60)
    assert not phase(trajectory, body, loop=False)[0].loop
    assert not phase(replace(trajectory, loop=False), body)[0].loop
    whole, report = phase(replace(trajectory, loop=True), body)
    assert whole.duration == pytest.approx(trajectory.duration)
    assert "its source says" in report.reason
    forced, report = phase(replace(walk(body, 0.5, 60, pops=1.0), loop=False), body, loop=True)
    assert forced.loop
    assert forced.duration == pytest.approx(0.5)
    assert "as asked" in report.reason


def test_a_cycle_given_in_seconds(body: Character) -> None:
    clip, report = phase(walk(body, 4.1, 60), body, cycle=(0.333, 0.333 + PERIOD))
    assert clip.duration == pytest.approx(PERIOD)
    assert (report.start, report.stop) == pytest.approx((0.333, 0.333 + PERIOD))
    assert report.seam_after is not None
    assert report.seam_after.velocity < 1.5


@pytest.mark.parametrize(
    ("cycle", "loop", "text"),
    [
        ((-0.1, 1.0), None, "within 0:4.1"),
        ((1.0, 9.0), None, "within 0:4.1"),
        ((2.0, 1.0), None, "within 0:4.1"),
        ((1.0, 1.02), None, "at least 3 frames"),
        ((1.0, 2.0), False, "both"),
    ],
)
def test_impossible_cycles_are_refused(
    body: Character, cycle: tuple[float, float], loop: bool | None, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        phase(walk(body, 4.1, 60), body, cycle=cycle, loop=loop)


def test_poses_are_refused(body: Character) -> None:
    pose = Trajectory("pose", body.name, body.specs, 60.0, body.rest[None], {})
    with pytest.raises(InputError, match="single pose"):
        phase(pose, body)
    with pytest.raises(InputError, match="at least 4 frames"):
        phase(pose, body, loop=True)


def test_contacts_stand_between_frames_only_where_both_do(body: Character) -> None:
    trajectory = walk(body, 4.1, 24)
    clip, report = phase(trajectory, body, loop=False)
    frames = clip.phase * clip.duration * 24
    for link, flags in clip.contacts.items():
        source = trajectory.contacts[link]
        low, high = np.floor(frames + 1e-6).astype(int), np.minimum(np.ceil(frames - 1e-6).astype(int), len(source) - 1)
        assert (flags == (source[low] & source[high])).all()
    assert report.period == pytest.approx(trajectory.duration)


def test_refine_is_applied_to_the_closed_loop_and_measured(body: Character) -> None:
    seen: list[Clip] = []

    def refine(clip: Clip) -> Clip:
        seen.append(clip)
        return replace(clip, qpos=clip.qpos + np.eye(clip.layout.nq)[2] * 0.01)

    clip, report = phase(replace(walk(body, PERIOD, 60), loop=True), body, refine=refine)
    assert len(seen) == 1
    assert clip.qpos[:, 2] == pytest.approx(seen[0].qpos[:, 2] + 0.01)
    assert report.seam_after is not None
    json.dumps(report.to_json())


def test_a_small_turn_of_a_cycle_joined_by_hand_goes_straight_on(body: Character) -> None:
    bent = replace(walk(body, PERIOD, 60, turn=np.deg2rad(6.0)), loop=True)
    clip, report = phase(bent, body)
    assert clip.cycle_offset.yaw == 0.0
    assert report.seam_after is not None
    assert report.seam_after.velocity <= 1.5
    kept, _ = phase(bent, body, settings=PhaseSettings(straight=0.0))
    assert kept.cycle_offset.yaw == pytest.approx(np.deg2rad(6.0), abs=1e-6)


def test_seam_of_hand_made_samples() -> None:
    layout = Layout((JointSpec("knee", "hinge"),))
    qpos = np.zeros((5, 8))
    qpos[:, 3] = 1.0
    qpos[:, 7] = [0.0, 0.1, 0.3, 0.4, 0.5]
    found = seam(layout, qpos, CycleOffset(np.zeros(3), 0.0))
    # steps .1 .2 .1 .1 | −.5 | .1: the wrap's over the mean of its neighbours; second differences .1 .1 0 | .6 .6
    assert found.step == pytest.approx(0.5 / 0.1)
    assert found.velocity == pytest.approx(0.6 / 0.1)


@pytest.mark.parametrize(
    ("name", "period"), [("walk", 1.2667), ("run", 0.8), ("spinkick", 1.2833), ("dance_a", 1.6167)]
)
def test_the_samples_periods(body: Character, name: str, period: float) -> None:
    from importlib.resources import files

    from motion.formats import deepmimic

    source = files("pybullet_data") / "data" / "motions" / f"humanoid3d_{name}.txt"
    trajectory = deepmimic.to_trajectory(deepmimic.read_clip(Path(str(source))), joints=body.specs)
    clip, report = phase(trajectory, body)
    assert clip.duration == pytest.approx(period, abs=0.005)
    assert report.seam_after is not None
    assert report.seam_after.velocity <= 1.5
    assert report.seam_after.step <= 1.5
    layout = trajectory.layout
    onward = CycleOffset(clip.cycle_offset.translation, clip.cycle_offset.yaw)
    rows = np.concatenate([onward.apply(trajectory.qpos[:-1], k) for k in range(4)])
    tiled = replace(trajectory, qpos=layout.continuous(rows)[9:-7], loop=None)
    again, report = phase(tiled, body)
    assert again.loop
    assert again.duration == pytest.approx(period, abs=0.01)
    assert report.candidates[0].seam <= 1.5
