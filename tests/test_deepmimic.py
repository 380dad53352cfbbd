"""DeepMimic's clips: read, written, as a Motion, and to and from a body's trajectory."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pybullet_data
import pytest
from conftest import MOCAP

from motion import formats, rotation
from motion.clip import JointSpec, Trajectory
from motion.errors import InputError
from motion.formats import deepmimic
from motion.formats.deepmimic import JOINTS, LAYOUT, SKELETON, DeepMimicClip
from motion.motion import standardise

SHIPPED = sorted(Path(pybullet_data.getDataPath(), "data", "motions").glob("humanoid3d_*.txt"))
COLLECTED = sorted((MOCAP / "other-formats" / "deepmimic").glob("humanoid3d_*.txt"))
ALL = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in SHIPPED + COLLECTED]
ONE_SHOTS = {"kick", "punch", "getup_facedown", "getup_faceup"}


def shipped(name: str) -> Path:
    return next(path for path in SHIPPED if path.stem == f"humanoid3d_{name}")


def random_clip(dt: list[float], seed: int = 0) -> DeepMimicClip:
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(len(dt), LAYOUT.nq))
    index = LAYOUT.quaternions[:, None] + np.arange(4)
    frames[:, index] = rotation.normalize(frames[:, index])
    return DeepMimicClip(True, np.array(dt), frames, {"CycleSyncRootPos": True, "LeftJoints": [9, 10]}, "random")


def test_the_package_ships_fifteen_humanoid_clips() -> None:
    assert len(SHIPPED) == 15
    assert LAYOUT.nq == 43


@pytest.mark.parametrize("path", ALL)
def test_round_trip(path: Path, tmp_path: Path) -> None:
    raw = json.loads(path.read_text())
    table = np.array(raw["Frames"])
    clip = deepmimic.read_clip(path)
    deepmimic.write(tmp_path / "a.txt", clip)
    again = json.loads((tmp_path / "a.txt").read_text())
    back = np.array(again["Frames"])
    assert {k: v for k, v in again.items() if k != "Frames"} == {k: v for k, v in raw.items() if k != "Frames"}
    exact = [0, 1, 2, 3, *(1 + LAYOUT.hinges)]
    assert np.array_equal(back[:, exact], table[:, exact])
    theirs = rotation.normalize(LAYOUT.quats(table[:, 1:]))
    assert rotation.angle(theirs, LAYOUT.quats(back[:, 1:])).max() < 1e-7
    assert clip.loop == (raw["Loop"] == "wrap") == (path.stem.removeprefix("humanoid3d_") not in ONE_SHOTS)


@pytest.mark.parametrize("path", ALL)
def test_as_motion(path: Path) -> None:
    """Own rate and instants, declared unit and axes, and a body that stands, lies or flies on the ground in metres."""
    clip, motion = deepmimic.read_clip(path), formats.read(path)
    assert motion.loop == clip.loop
    assert motion.duration == pytest.approx(clip.times[-1], abs=1e-9)
    assert (motion.provenance["declared_unit"], motion.provenance["declared_up"]) == (1.0, "y")
    assert (motion.provenance["format"], motion.provenance["source"]) == ("deepmimic", path.name)
    if clip.fps is not None:
        assert np.array_equal(motion.root_positions, clip.frames[:, :3])
    else:
        assert path.stem == "humanoid3d_roll"
    heights = standardise(motion, unit=1.0, up="y").forward()[0][..., 2]
    assert -0.12 < heights.min() < 0.1
    assert 0.4 < heights.max() < 2.2  # the crawl stays at 0.49


@pytest.mark.parametrize("path", ALL)
def test_through_a_trajectory(path: Path) -> None:
    clip = deepmimic.read_clip(path)
    trajectory = deepmimic.to_trajectory(clip, fps=clip.fps or 60.0)
    back = deepmimic.from_trajectory(trajectory)
    rate, frames = clip.sample(clip.fps or 60.0)
    assert (trajectory.character, trajectory.fps, trajectory.loop) == ("humanoid", rate, clip.loop)
    np.testing.assert_allclose(back.frames, frames, atol=1e-12)
    assert back.times[-1] == pytest.approx(clip.times[-1])
    assert back.loop == clip.loop
    np.testing.assert_allclose(np.diff(trajectory.qpos[:, 2]), np.diff(frames[:, 1]), atol=1e-15)


def test_skeleton_is_that_of_the_released_character(mocap: Path) -> None:
    character = json.loads((mocap / "other-formats" / "deepmimic" / "humanoid3d.txt").read_text())
    joints, bodies = character["Skeleton"]["Joints"], {body["Name"]: body for body in character["BodyDefs"]}
    assert {joint["Name"] for joint in joints} == {
        n for n, e in zip(SKELETON.names, SKELETON.is_end, strict=True) if not e
    }
    for joint in joints:
        index = SKELETON.index(joint["Name"])
        parent = SKELETON.parents[index]
        assert (joints[joint["Parent"]]["Name"] if joint["Parent"] >= 0 else None) == (
            SKELETON.names[parent] if parent >= 0 else None
        )
        assert SKELETON.offsets[index].tolist() == [joint[f"Attach{axis}"] for axis in "XYZ"]
    foot, head, hand = bodies["left_ankle"], bodies["neck"], bodies["left_wrist"]
    sole = foot["AttachY"] - foot["Param1"] / 2
    ends = {
        "left_ankle_end": (foot["AttachX"] + foot["Param0"] / 2, sole, 0.0),
        "left_ankle_end2": (foot["AttachX"] - foot["Param0"] / 2, sole, 0.0),
        "neck_end": (0.0, head["AttachY"] + head["Param0"] / 2, 0.0),
        "left_wrist_end": (0.0, hand["AttachY"] - hand["Param0"] / 2, 0.0),
    }
    for name, offset in ends.items():
        np.testing.assert_allclose(SKELETON.offsets[SKELETON.index(name)], offset, atol=1e-12)


def test_motion_and_trajectory_agree_on_where_the_knee_goes() -> None:
    """Hand-made: hip turned 90° about the file's z (x to y), knee bent by −90°: the thigh points ahead, the shin down."""
    frames = np.zeros((1, LAYOUT.nq))
    frames[:, LAYOUT.quaternions] = 1.0
    hip = dict(zip((j.name for j in JOINTS), LAYOUT.qpos_at, strict=True))
    half = np.sqrt(0.5)
    frames[0, hip["right_hip"] : hip["right_hip"] + 4] = [half, 0.0, 0.0, half]
    frames[0, hip["right_knee"]] = -np.pi / 2
    clip = DeepMimicClip(False, np.array([0.0]), frames)
    positions = standardise(clip.to_motion(), unit=1.0, up="y").forward()[0][0]
    thigh, shin = 0.421546, 0.409870
    knee, ankle = positions[SKELETON.index("right_knee")], positions[SKELETON.index("right_ankle")]
    np.testing.assert_allclose(knee, [thigh, -0.084887, 0.0], atol=1e-12)
    np.testing.assert_allclose(ankle, [thigh, -0.084887, -shin], atol=1e-12)
    qpos = deepmimic.to_trajectory(clip).qpos[0]
    turned = rotation.rotate(qpos[hip["right_hip"] : hip["right_hip"] + 4], [0.0, 0.0, -thigh])
    np.testing.assert_allclose(turned, [thigh, 0.0, 0.0], atol=1e-12)
    assert qpos[hip["right_knee"]] == -np.pi / 2


def test_uneven_time_steps_are_resampled_at_their_true_times() -> None:
    """Constant speed through uneven frames stays constant speed."""
    dt = [0.1, 0.2, 0.05, 0.15, 0.7]
    times = np.array([0.0, 0.1, 0.3, 0.35, 0.5])
    frames = np.zeros((5, LAYOUT.nq))
    frames[:, LAYOUT.quaternions] = 1.0
    frames[:, 0] = 2.0 * times
    frames[:, LAYOUT.hinges[0]] = -times
    frames[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), 3.0 * times)
    clip = DeepMimicClip(False, np.array(dt), frames)
    assert clip.fps is None
    motion = clip.to_motion(60)
    assert (motion.fps, len(motion)) == (60.0, 31)
    np.testing.assert_allclose(motion.root_positions[:, 0], 2.0 * np.arange(31) / 60, atol=1e-12)
    turn = rotation.log(motion.rotations[:, 0])[:, 1]
    np.testing.assert_allclose(turn, 3.0 * np.arange(31) / 60, atol=1e-9)
    knee = rotation.log(motion.rotations[:, SKELETON.index("right_knee")])[:, 2]
    np.testing.assert_allclose(knee, -np.arange(31) / 60, atol=1e-9)


def test_the_last_time_step_is_kept_and_means_nothing(tmp_path: Path) -> None:
    clip = deepmimic.read_clip(shipped("dance_b"))
    assert clip.dt[-1] > 0
    assert clip.times[-1] == pytest.approx(clip.dt[:-1].sum())
    deepmimic.write(tmp_path / "a.txt", clip)
    assert np.array_equal(deepmimic.read_clip(tmp_path / "a.txt").dt, clip.dt)


def test_released_quaternions_that_are_not_unit_are_normalised() -> None:
    raw = np.array(json.loads(shipped("kick").read_text())["Frames"])
    assert np.abs(np.linalg.norm(LAYOUT.quats(raw[:, 1:]), axis=-1) - 1).max() > 0.4
    norms = np.linalg.norm(LAYOUT.quats(deepmimic.read_clip(shipped("kick")).frames), axis=-1)
    assert np.abs(norms - 1).max() < 1e-15


def test_body_with_joints_in_its_own_order_and_without_a_neck() -> None:
    clip = random_clip([0.1, 0.1, 0.0])
    joints = tuple(joint for joint in reversed(JOINTS) if joint.name != "neck")
    trajectory = deepmimic.to_trajectory(clip, fps=10, joints=joints, character="atlas")
    assert trajectory.joints == joints
    with pytest.raises(InputError, match="expected a ball joint neck, found nothing"):
        deepmimic.from_trajectory(trajectory)
    whole = deepmimic.to_trajectory(clip, fps=10, joints=tuple(reversed(JOINTS)))
    np.testing.assert_allclose(deepmimic.from_trajectory(whole).frames, LAYOUT.continuous(clip.frames), atol=1e-12)
    odd = Trajectory("odd", "x", (JointSpec("chest", "hinge"),), 30.0, np.array([[0, 0, 0, 1, 0, 0, 0, 0.0]]), {})
    with pytest.raises(InputError, match="expected a ball joint chest, found hinge"):
        deepmimic.from_trajectory(odd)
    with pytest.raises(InputError, match="has no hinge joint tail"):
        deepmimic.to_trajectory(clip, joints=[JointSpec("tail", "hinge")])


GOOD = json.dumps({"Loop": "none", "Frames": [[0.1, *([0.0] * 3), *([1.0, 0.0, 0.0, 0.0] * 3), *([0.0] * 28)]]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"Loop": "wrap"}', r': expected JSON with a key "Frames"'),
        ('{"Loop": "twice", "Frames": [[1]]}', r"""expected "Loop" to be "wrap" or "none", found 'twice'"""),
        ('{"Frames": [[1]]}', r"""expected "Loop" to be "wrap" or "none", found 'missing'"""),
        ('{"Loop": "wrap", "Frames": []}', ": expected at least one frame, found none"),
        ('{"Loop": "wrap", "Frames": [\n[1, 2]]}', ":2: expected frames of 44 numbers, found 2 numbers"),
        ('{"Loop": "wrap", "Frames": [\n\n3]}', "expected frames of 44 numbers, found 3"),
        ('{"Loop": "wrap", "Frames": [1', ":1: not valid JSON"),
        ('{"Loop": "wrap", "Frames": ' + "[" * 100_000, ": not valid JSON"),
    ],
)
def test_refused(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(expected) if "(" in expected else expected) as error:
        formats.read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frame", "number", "value", "expected"),
    [
        (1, 2, float("nan"), ":7: expected a finite number, found nan (frame 2, value 3)"),
        (2, 10, "x", ":8: expected a finite number, found 'x' (frame 3, value 11)"),
        (0, 10, True, ":6: expected a finite number, found True (frame 1, value 11)"),
        (0, 5, 10**400, ":6: expected a finite number"),
        (1, 0, 0.0, ":7: expected a positive time step, found 0 (frame 2)"),
        (2, 0, -0.1, ":8: expected a positive time step, found -0.1 (frame 3)"),
    ],
)
def test_bad_number_is_named(frame: int, number: int, value: object, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    deepmimic.write(path, replace(random_clip([0.1, 0.1, 0.0]), extra={"VelFilterCutoff": -1}))
    lines = path.read_text().splitlines()
    row = json.loads(lines[5 + frame].rstrip(","))
    row[number] = value
    lines[5 + frame] = json.dumps(row) + ("," if frame < 2 else "")
    path.write_text("\n".join(lines))
    with pytest.raises(InputError) as error:
        formats.read(path)
    assert str(error.value).startswith(f"{path}{expected}")


def test_zero_quaternion_is_refused(tmp_path: Path) -> None:
    clip = json.loads(GOOD)
    clip["Frames"][0][4:8] = [0.0] * 4
    (tmp_path / "a.txt").write_text(json.dumps(clip))
    with pytest.raises(InputError, match=r"expected a quaternion, found norm 0 \(frame 1\)"):
        formats.read(tmp_path / "a.txt")


def test_other_bodies_are_refused_clearly(mocap: Path) -> None:
    others = [
        *(mocap / "other-formats" / "deepmimic").glob("dog3d*.txt"),
        mocap / "other-formats/pybullet/laikago_walk.txt",
    ]
    others += [*(mocap / "other-formats" / "motion_imitation").glob("*.txt")]
    assert len(others) > 10
    for path in others:
        with pytest.raises(InputError) as error:
            formats.read(path)
        assert error.value.hint, path
        assert "expected" in str(error.value)
