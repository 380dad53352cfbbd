"""Layout against MuJoCo; cycle offsets; trajectories and clips, what they refuse, their files; sampling on and on."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from characters import dynamics
from characters.character import Character
from motion import files, rotation
from motion.clip import NO_OFFSET, Clip, ClipFile, CycleOffset, JointSpec, Layout, Trajectory, check_model
from motion.errors import InputError
from motion.rotation import Array

JOINTS = (
    JointSpec("chest", "ball"),
    JointSpec("knee", "hinge"),
    JointSpec("neck", "ball"),
    JointSpec("elbow", "hinge"),
)
LAYOUT = Layout(JOINTS)
DURATION = 1.25


@pytest.fixture(scope="module", params=["humanoid", "atlas"])
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def poses(layout: Layout, count: int, seed: int = 0, spread: float = 1.0) -> Array:
    rng = np.random.default_rng(seed)
    zero = np.zeros(layout.nq)
    zero[layout.quaternions] = 1.0
    return layout.integrate(np.tile(zero, (count, 1)), rng.normal(scale=spread, size=(count, layout.nv)))


def unlike(a: Array, b: Array, layout: Layout) -> float:
    """Largest difference of two qpos in any coordinate, signs of quaternions aside."""
    return float(np.abs(layout.difference(a, b)).max())


def circling(count: int = 50, *, yaw: float = 0.7, seconds: float = DURATION) -> Clip:
    """A body that walks along a circle of 2 m, turning ``yaw`` a cycle, while its joints swing: smooth across the wrap."""
    phase = np.arange(count) / count
    return Clip(
        name="circle",
        character="body",
        loop=True,
        duration=seconds,
        joints=JOINTS,
        phase=phase,
        qpos=on_circle(phase, yaw)[0],
        qvel=on_circle(phase, yaw)[1] / seconds,
        contacts={"foot": phase < 0.5},
        cycle_offset=CycleOffset(np.array([2 * np.sin(yaw), 2 * (1 - np.cos(yaw)), 0.0]), yaw),
        provenance={"source": "walk.bvh"},
    )


def on_circle(phase: Array, yaw: float) -> tuple[Array, Array]:
    """The same by formula, at any phase: qpos, and its derivative by phase."""
    qpos, qvel = np.zeros((len(phase), LAYOUT.nq)), np.zeros((len(phase), LAYOUT.nv))
    angle, wave = yaw * phase, 2 * np.pi * phase
    qpos[:, :3] = np.stack([2 * np.sin(angle), 2 * (1 - np.cos(angle)), 1 + 0.1 * np.cos(wave)], axis=1)
    qvel[:, :3] = np.stack([2 * yaw * np.cos(angle), 2 * yaw * np.sin(angle), -0.2 * np.pi * np.sin(wave)], axis=1)
    qpos[:, 3:7] = rotation.from_yaw(angle)
    qvel[:, 5] = yaw
    for at, dof, axis in ((7, 6, [1.0, 0, 0]), (12, 10, [0, 1.0, 0])):
        qpos[:, at : at + 4] = rotation.from_axis_angle(np.array(axis), 0.5 * np.sin(wave))
        qvel[:, dof : dof + 3] = np.outer(np.pi * np.cos(wave), axis)
    qpos[:, 11] = qpos[:, 16] = -np.cos(wave)
    qvel[:, 9] = qvel[:, 13] = 2 * np.pi * np.sin(wave)
    return qpos, qvel


def kick(count: int = 31, seconds: float = DURATION) -> Clip:
    """A one-shot: half the circle."""
    phase = np.arange(count) / max(count - 1, 1)
    qpos, qvel = on_circle(0.5 * phase, 0.7)
    flags = {"foot": phase < 0.5}
    return Clip("kick", "body", False, seconds, JOINTS, phase, qpos, 0.5 * qvel / seconds, flags, NO_OFFSET)


def walk() -> Trajectory:
    clip = circling()
    return Trajectory("walk", "body", JOINTS, 40.0, clip.qpos, clip.contacts, True, {"a": 1}, {"slide": 0.25})


# --- Layout


def test_where_the_numbers_stand() -> None:
    assert (LAYOUT.nq, LAYOUT.nv) == (7 + 4 + 1 + 4 + 1, 6 + 3 + 1 + 3 + 1)
    np.testing.assert_array_equal(LAYOUT.qpos_at, [7, 11, 12, 16])
    np.testing.assert_array_equal(LAYOUT.qvel_at, [6, 9, 10, 13])
    np.testing.assert_array_equal(LAYOUT.quaternions, [3, 7, 12])
    np.testing.assert_array_equal(LAYOUT.quaternion_dofs, [3, 6, 10])
    np.testing.assert_array_equal(LAYOUT.hinges, [11, 16])
    np.testing.assert_array_equal(LAYOUT.hinge_dofs, [9, 13])
    nothing = Layout(())
    assert (nothing.nq, nothing.nv) == (7, 6)


def test_difference_and_integrate_are_mujocos(body: Character) -> None:
    model, layout = dynamics.model(body), body.layout
    assert (model.nq, model.nv) == (layout.nq, layout.nv)
    a, b = poses(layout, 20, seed=1), poses(layout, 20, seed=2)
    b[::2, 3:7] *= -1.0  # the double cover does not count
    tangents = 1.5 * np.random.default_rng(3).normal(size=(20, layout.nv))
    for k in range(20):
        expected = np.empty(layout.nv)
        mujoco.mj_differentiatePos(model, expected, 1.0, a[k], b[k])
        np.testing.assert_allclose(layout.difference(a[k], b[k]), expected, atol=1e-12)
        there = a[k].copy()
        mujoco.mj_integratePos(model, there, tangents[k], 1.0)
        assert unlike(layout.integrate(a[k], tangents[k]), there, layout) < 1e-12


def test_integrate_undoes_difference() -> None:
    a, b = poses(LAYOUT, 50, seed=1), poses(LAYOUT, 50, seed=2)
    assert unlike(LAYOUT.integrate(a, LAYOUT.difference(a, b)), b, LAYOUT) < 1e-12
    tangent = np.random.default_rng(0).uniform(-1, 1, (50, LAYOUT.nv))
    np.testing.assert_allclose(LAYOUT.difference(a, LAYOUT.integrate(a, tangent)), tangent, atol=1e-12)
    one_to_many = LAYOUT.difference(a[0], b)
    np.testing.assert_array_equal(one_to_many[7], LAYOUT.difference(a[0], b[7]))


def test_velocities_by_formula() -> None:
    """Central differences of the circle: an error of second order in the step."""
    errors = []
    for count in (40, 80):
        phase = np.arange(count) / count
        qpos, qvel = on_circle(phase, 0.7)
        around = on_circle(np.array([-1 / count, 1.0]), 0.7)[0]
        errors.append(np.abs(LAYOUT.velocities(qpos, 1 / count, after=around) - qvel).max())
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_velocities_at_the_ends() -> None:
    qpos = on_circle(np.arange(5) / 40, 0.7)[0]
    got = LAYOUT.velocities(qpos, 0.1)
    np.testing.assert_allclose(got[0], LAYOUT.difference(qpos[0], qpos[1]) / 0.1)
    np.testing.assert_allclose(got[-1], LAYOUT.difference(qpos[-2], qpos[-1]) / 0.1)
    np.testing.assert_allclose(LAYOUT.velocities(qpos[:1], 0.1), np.zeros((1, LAYOUT.nv)))


def test_velocities_do_not_see_the_double_cover() -> None:
    qpos = on_circle(np.arange(9) / 40, 0.7)[0]
    flipped = qpos.copy()
    flipped[4:, 7:11] *= -1.0
    np.testing.assert_allclose(LAYOUT.velocities(flipped, 0.1), LAYOUT.velocities(qpos, 0.1), atol=1e-12)
    np.testing.assert_allclose(LAYOUT.continuous(flipped), qpos)


def test_interpolate_meets_both_ends_at_an_even_pace() -> None:
    a, b = poses(LAYOUT, 6, seed=1), poses(LAYOUT, 6, seed=2)
    for share in (0.0, 0.3, 1.0):
        at = LAYOUT.interpolate(a, b, np.full(6, share))
        np.testing.assert_allclose(LAYOUT.difference(a, at), share * LAYOUT.difference(a, b), atol=1e-12)


# --- CycleOffset


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.9])
def test_powers_of_a_cycle_offset(yaw: float) -> None:
    """T applied n times is T^n; T^-n undoes it; several powers in one call are each frame's own."""
    offset = CycleOffset(np.array([1.2, -0.3, 0.0]), yaw)
    qpos = poses(LAYOUT, 4)
    step = qpos
    for n in range(1, 5):
        step = offset.apply(step)
        assert unlike(offset.apply(qpos, n), step, LAYOUT) < 1e-12
        assert unlike(offset.apply(step, -n), qpos, LAYOUT) < 1e-12
    np.testing.assert_array_equal(offset.apply(qpos, 0)[:, :3], qpos[:, :3])
    mixed = offset.apply(qpos, np.array([3, -2, 0, 1]))
    for k, n in enumerate((3, -2, 0, 1)):
        np.testing.assert_allclose(mixed[k], offset.apply(qpos[k : k + 1], n)[0], atol=1e-14)


def test_a_cycle_offset_by_hand() -> None:
    """T(p) = Rz(90°)·p + (1, 0, 0): the point (1, 2, 3) goes to (−1, 1, 3)."""
    qpos = np.zeros((1, 7))
    qpos[0, :4] = 1, 2, 3, 1
    moved = CycleOffset(np.array([1.0, 0, 0]), np.pi / 2).apply(qpos)
    np.testing.assert_allclose(moved[0], [-1, 1, 3, np.sqrt(0.5), 0, 0, np.sqrt(0.5)], atol=1e-12)
    np.testing.assert_array_equal(qpos[0, :3], [1, 2, 3])


# --- Trajectory and Clip: what they refuse


def _bad(array: Array, frame: int, column: int, value: float) -> Array:
    out = array.copy()
    out[frame, column] = value
    return out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: {"qpos": w.qpos[:, :-1]}, "walk: expected qpos of 17 numbers a frame, found shape (50, 16)"),
        (lambda w: {"qpos": w.qpos[0]}, "expected qpos of 17 numbers a frame, found shape (17,)"),
        (lambda w: {"qpos": w.qpos[:0]}, "expected at least one frame, found none"),
        (lambda w: {"qpos": _bad(w.qpos, 7, 2, np.nan)}, "qpos is not finite at frame 7"),
        (lambda w: {"qpos": _bad(w.qpos, 3, 9, 2.0)}, "expected unit quaternions, found norm 2.2361 at frame 3, quaternion 1"),
        (lambda w: {"contacts": {"foot": np.ones(49, bool)}}, "contacts of foot: expected 50 flags, found (49,)"),
        (lambda w: {"joints": JOINTS[:3]}, "expected qpos of 16 numbers"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", [walk, circling], ids=["trajectory", "clip"])
def test_impossible_arrays_are_refused(make: Any, change: Any, text: str) -> None:
    good = replace(make(), name="walk")
    with pytest.raises(InputError) as caught:
        replace(good, **change(good))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"qvel": np.zeros((50, LAYOUT.nq))}, "circle: expected finite qvel of shape (50, 14), found (50, 17)"),
        ({"qvel": np.full((50, LAYOUT.nv), np.inf)}, "expected finite qvel"),
        ({"phase": np.linspace(0, 1, 50)}, "expected phase uniform in [0, 1) for a loop, in [0, 1] otherwise"),
        ({"phase": np.arange(49) / 49}, "expected phase uniform"),
        ({"loop": False}, "expected phase uniform"),
        ({"duration": 0.0}, "expected a positive duration, found 0.0"),
        ({"duration": np.nan}, "expected a positive duration, found nan"),
    ],
)
def test_an_impossible_clip_is_refused(changed: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(circling(), **changed)
    assert text in str(caught.value)


def test_rates_and_durations() -> None:
    assert circling(50).fps == pytest.approx(50 / DURATION)
    assert kick(31).fps == pytest.approx(30 / DURATION)
    assert walk().duration == pytest.approx(49 / 40.0)
    with pytest.raises(ValueError, match="read-only"):
        circling().qpos[0, 0] = 1.0


# --- Clip.sample


def test_a_loop_sampled_at_its_samples() -> None:
    clip = circling()
    qpos, qvel = clip.sample(np.arange(50) / clip.fps)
    assert unlike(qpos, clip.qpos, LAYOUT) < 1e-9
    np.testing.assert_allclose(qvel, clip.qvel, atol=1e-9)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.5])
def test_a_loop_goes_round_its_circle_in_both_directions(yaw: float) -> None:
    """Five cycles each way equal the formula, pose and velocity, also right at, before and after each wrap."""
    clip = circling(200, yaw=yaw)
    wraps = DURATION * np.arange(-5, 6)
    seconds = np.concatenate([np.linspace(-5 * DURATION, 5 * DURATION, 333), wraps, wraps - 1e-9, wraps + 1e-9])
    qpos, qvel = clip.sample(seconds)
    expected, derivative = on_circle(seconds / DURATION, yaw)
    assert unlike(qpos, expected, LAYOUT) < 2e-3
    np.testing.assert_allclose(qvel, derivative / DURATION, atol=4e-3)
    halved = circling(400, yaw=yaw).sample(seconds)
    assert unlike(halved[0], expected, LAYOUT) < 0.3 * unlike(
        qpos, expected, LAYOUT
    )  # second order: the formula itself


def test_a_one_shot_holds_its_ends_at_rest() -> None:
    clip = kick()
    qpos, qvel = clip.sample(np.array([-0.5, 0.0, 0.4 * DURATION, DURATION, DURATION + 0.01, 99.0]))
    for row, frame in ((0, 0), (1, 0), (2, 12), (3, 30), (4, 30), (5, 30)):
        assert unlike(qpos[row], clip.qpos[frame], LAYOUT) < 1e-9
    for row, frame in ((1, 0), (2, 12), (3, 30)):
        np.testing.assert_allclose(qvel[row], clip.qvel[frame], atol=1e-9)
    np.testing.assert_array_equal(qvel[[0, 4, 5]], 0.0)


def test_the_last_instant_of_a_one_shot_is_not_past_it() -> None:
    """Whatever way duration and rate round."""
    for count in range(2, 60):
        for seconds in (0.1, 0.7, 1.275, 2.13):
            clip = kick(count, seconds)
            np.testing.assert_allclose(clip.sample(np.array([seconds]))[1][0], clip.qvel[-1], atol=1e-9)


def test_a_pose_sampled_stays_that_pose() -> None:
    pose = kick(1)
    qpos, _ = pose.sample(np.array([-1.0, 0.0, 0.5, 2.0]))
    np.testing.assert_allclose(qpos, np.tile(pose.qpos, (4, 1)))


# --- Files


@pytest.mark.parametrize("make", [circling, kick])
def test_clip_round_trip(tmp_path: Path, make: Any) -> None:
    clip = replace(make(), quality={"slide": {"mean": 0.1}})
    clip.save(tmp_path / "clip.json")
    back = Clip.load(tmp_path / "clip.json")
    for name in ("name", "character", "loop", "duration", "joints", "provenance", "quality"):
        assert getattr(back, name) == getattr(clip, name), name
    np.testing.assert_allclose(back.qpos, clip.qpos, atol=1e-9)
    np.testing.assert_allclose(back.qvel, clip.qvel, atol=1e-7)
    np.testing.assert_allclose(back.phase, clip.phase, atol=1e-9)
    np.testing.assert_array_equal(back.contacts["foot"], clip.contacts["foot"])
    np.testing.assert_allclose(back.cycle_offset.translation, clip.cycle_offset.translation, atol=1e-9)
    assert back.cycle_offset.yaw == pytest.approx(clip.cycle_offset.yaw, abs=1e-9)
    back.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "clip.json").read_bytes()


def test_trajectory_round_trip(tmp_path: Path) -> None:
    trajectory = walk()
    trajectory.save(tmp_path / "trajectory.npz")
    back = Trajectory.load(tmp_path / "trajectory.npz")
    for name in ("name", "character", "loop", "fps", "joints", "provenance", "quality"):
        assert getattr(back, name) == getattr(trajectory, name), name
    np.testing.assert_array_equal(back.qpos, trajectory.qpos)
    np.testing.assert_array_equal(back.contacts["foot"], trajectory.contacts["foot"])
    assert back.contacts["foot"].dtype == bool


def _without(key: str) -> Any:
    return lambda data: data.pop(key)


def _renamed(old: str, new: str) -> Any:
    return lambda data: data.update({new: data.pop(old)})


def _with(value: Any, *keys: Any) -> Any:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("damage", "text", "hint"),
    [
        (_with(1, "charakter"), "unknown key charakter", "did you mean character"),
        (_with(1, "cycle_offset", "jaw"), "unknown key cycle_offset.jaw", "did you mean yaw"),
        (_with("x", "joints", 1, "typ"), "unknown key joints.1.typ", "did you mean type"),
        (_renamed("phase", "phases"), "unknown key phases", "did you mean phase"),
        (_without("qvel"), "missing key qvel", None),
        (_with("mimic-gains", "format"), "format: input should be 'mimic-clip', found 'mimic-gains'", None),
        (_with(2, "version"), "version: input should be 1, found 2", None),
        (_with("yes", "loop"), "loop: input should be a valid boolean, found 'yes'", None),
        (_with(-1.0, "duration"), "duration: input should be greater than 0, found -1.0", None),
        (_with("slider", "joints", 0, "type"), "joints.0.type: input should be 'ball' or 'hinge', found 'slider'", None),
        (_with([0.0, 1.0], "cycle_offset", "translation"), "cycle_offset.translation: list should have at least 3 items", None),
        (_with(2, "contacts", "foot", 4), "contacts.foot.4: input should be 0 or 1, found 2", None),
        (_with([0.0], "qpos", 5), "qpos: expected rows of equal length", None),
        (_with([1] * 7, "contacts", "foot"), "contacts of foot: expected 50 flags, found (7,)", None),
        (_with(9.0, "phase", 3), "expected phase uniform in [0, 1) for a loop", None),
        (_with(5.0, "qpos", 2, 3), "expected unit quaternions, found norm", None),
    ],
)  # fmt: skip
def test_damaged_clips_are_refused_by_file_and_key(tmp_path: Path, damage: Any, text: str, hint: str | None) -> None:
    path = tmp_path / "clip.json"
    data = circling().to_json()
    damage(data)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        Clip.load(path)
    assert str(caught.value).startswith(f"{path}: {text}")
    assert (caught.value.hint or "").startswith(hint or "")
    assert (caught.value.hint is None) == (hint is None)


def test_numbers_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    data = circling().to_json()
    data["qpos"][4][0] = float("nan")
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        Clip.load(path)
    assert str(caught.value) == f"{path}: qpos is not finite at frame 4"


@pytest.mark.parametrize("content", [[1, 2], "clip", None, 7])
def test_json_that_is_no_table_is_refused(content: Any) -> None:
    with pytest.raises(InputError, match=r"^x\.json: the file: "):
        check_model(ClipFile, content, "x.json")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{"a": 1,\n\n "b" 2}', ":3: not valid JSON: expecting ':' delimiter"),
        (b"", ":1: not valid JSON"),
        (b"\xff\xfe\x00", ": expected UTF-8 text"),
        (b"[" * 100_000, ": not valid JSON: nested too deeply"),
    ],
)
def test_text_that_is_not_json_is_refused_by_line(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        files.read_json(path)
    assert str(caught.value).lower().startswith(f"{path}{text}".lower())


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for read in (files.read_json, files.read_npz, Clip.load, Trajectory.load):
        with pytest.raises(InputError, match="no such file"):
            read(tmp_path / "none")
    for read in (files.read_json, files.read_npz, files.sha256):
        with pytest.raises(InputError, match=str(tmp_path)):
            read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no zip", b"\x93NUMPY", b"words"])
def test_a_damaged_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trajectory.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable npz file"):
        Trajectory.load(path)


def test_a_cut_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.npz"
    walk().save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="not a readable npz file"):
        Trajectory.load(path)


def _save_arrays(path: Path, **arrays: Any) -> None:
    np.savez(path, **{key: np.asarray(value) for key, value in arrays.items()})


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"a": [1.0]}, "found an npz without header and qpos"),
        (
            {"header": '{"format": "mimic-clip", "version": 1}', "qpos": [1.0]},
            "format: input should be 'mimic-trajectory', found 'mimic-clip'",
        ),
        (
            {"header": '{"format": "mimic-trajectory", "version": 9}', "qpos": [1.0]},
            "version: input should be 1, found 9",
        ),
        ({"header": "{", "qpos": [1.0]}, "header: not valid JSON"),
        ({"header": "[]", "qpos": [1.0]}, "the file: input should be a valid dictionary"),
        ({"header": '{"format": "mimic-trajectory", "version": 1}', "qpos": [1.0]}, "missing key name"),
    ],
)
def test_an_npz_that_is_no_trajectory_is_refused(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    path = tmp_path / "trajectory.npz"
    _save_arrays(path, **arrays)
    with pytest.raises(InputError) as caught:
        Trajectory.load(path)
    assert str(caught.value).startswith(str(path))
    assert text in str(caught.value)


def test_a_trajectory_with_impossible_arrays_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.npz"
    walk().save(path)
    arrays = files.read_npz(path)
    arrays["qpos"] = arrays["qpos"][:, :-2]
    _save_arrays(path, **arrays)
    with pytest.raises(InputError) as caught:
        Trajectory.load(path)
    assert str(caught.value) == f"{path}: expected qpos of 17 numbers a frame, found shape (50, 15)"


def test_npz_does_not_read_pickles(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="not a readable npz file"):
        files.read_npz(path)


def test_nothing_is_half_written(tmp_path: Path) -> None:
    """An error while writing leaves the old file and no other."""
    path = tmp_path / "deep" / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(path, {"a": np.nan})

    def interrupted() -> None:
        with files.atomic(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_full_disk_is_an_error_with_a_hint(tmp_path: Path) -> None:
    def full() -> None:
        with files.atomic(tmp_path / "x.json"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match="cannot write: No space left on device") as caught:
        full()
    assert caught.value.hint == "is the disk full?"
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write") as caught:
        files.write_text(tmp_path / "file" / "x.json", "")
    assert "--out" in str(caught.value.hint)


def test_files_are_known_by_their_hash(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
