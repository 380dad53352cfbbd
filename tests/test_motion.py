"""Skeleton, Motion, standardise and resample: by hand-computed positions and what must not change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from motion import rotation
from motion.errors import InputError
from motion.motion import UP_TO_Z, Motion, Skeleton, resample, standardise

FPS = 40.0


def arm(**changed: Any) -> Skeleton:
    """A root with two segments of 2 and 1 and an End Site, and a side branch."""
    fields: dict[str, Any] = {
        "names": ("root", "upper", "lower", "lower_end", "side"),
        "parents": np.array([-1, 0, 1, 2, 0]),
        "offsets": np.array([[0.0, 0, 0], [0, 0, 1], [2, 0, 0], [1, 0, 0], [0, 1, 0]]),
        "is_end": np.array([False, False, False, True, False]),
    }
    return Skeleton(**(fields | changed))


def moving(frames: int = 9, seed: int = 0, *, translations: bool = False) -> Motion:
    rng = np.random.default_rng(seed)
    skeleton = arm()
    rotations = rotation.exp(np.cumsum(0.2 * rng.normal(size=(frames, 5, 3)), axis=0))
    rotations[:, skeleton.is_end] = rotation.IDENTITY
    places = skeleton.offsets + 0.1 * rng.normal(size=(frames, 5, 3)) if translations else None
    return Motion("moving", skeleton, FPS, rng.normal(size=(frames, 3)), rotations, places, loop=True)


def bent(upper: float, lower: float) -> Motion:
    """One frame: the upper joint turned about z, the lower one about its own y."""
    q = np.tile(rotation.IDENTITY, (1, 5, 1))
    q[0, 1] = rotation.from_axis_angle(np.array([0.0, 0, 1]), upper)
    q[0, 2] = rotation.from_axis_angle(np.array([0.0, 1, 0]), lower)
    return Motion("bent", arm(), FPS, np.array([[10.0, 0, 0]]), q)


def test_forward_kinematics_by_hand() -> None:
    positions, rotations = bent(np.pi / 2, np.pi / 2).forward()
    expected = [[10, 0, 0], [10, 0, 1], [10, 2, 1], [10, 2, 0], [10, 1, 0]]
    np.testing.assert_allclose(positions[0], expected, atol=1e-15)
    np.testing.assert_array_equal(rotations[0, 3], rotations[0, 2])
    np.testing.assert_allclose(rotation.rotate(rotations[0, 2], [1.0, 0, 0]), [0, 0, -1], atol=1e-15)


def test_an_end_site_has_no_rotation_of_its_own() -> None:
    motion = moving()
    q = motion.rotations.copy()
    q[:, 3] = rotation.exp([1.0, 2, 3])
    for ours, theirs in zip(motion.forward(), replace(motion, rotations=q).forward(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_translations_take_the_place_of_offsets() -> None:
    motion = moving(translations=True)
    assert motion.translations is not None
    positions, rotations = motion.forward()
    gap = rotation.rotate(rotation.conjugate(rotations[:, 1]), positions[:, 2] - positions[:, 1])
    np.testing.assert_allclose(gap, motion.translations[:, 2], atol=1e-14)


def test_segments_keep_their_length() -> None:
    positions, _ = moving().forward()
    for joint, parent, length in ((1, 0, 1.0), (2, 1, 2.0), (3, 2, 1.0), (4, 0, 1.0)):
        distance = np.linalg.norm(positions[:, joint] - positions[:, parent], axis=-1)
        np.testing.assert_allclose(distance, length, atol=1e-14)


def test_looking_up_joints() -> None:
    skeleton = arm()
    assert len(skeleton) == 5
    assert skeleton.index("lower") == 2
    assert skeleton.children(0) == [1, 4]
    assert skeleton.children(3) == []
    with pytest.raises(KeyError, match="elbow"):
        skeleton.index("elbow")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"parents": np.array([-1, 0, 1, 2])}, "do not fit 5 names: parents (4,), offsets (5, 3), is_end (5,)"),
        ({"offsets": np.zeros((5, 2))}, "offsets (5, 2)"),
        ({"parents": np.array([-1, 0, 3, 2, 0])}, "not one tree with parents before children"),
        ({"parents": np.array([-1, 0, 2, 2, 0])}, "not one tree"),
        ({"parents": np.array([-1, 0, -1, 2, 0])}, "not one tree"),
        ({"parents": np.array([0, 0, 1, 2, 0])}, "not one tree"),
        ({"names": ("root", "a", "a", "b", "c")}, "two joints of the same name"),
        ({"offsets": np.full((5, 3), np.nan)}, "not finite"),
    ],
)
def test_an_impossible_skeleton_is_refused(changed: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        arm(**changed)
    assert text in str(caught.value)


def test_an_empty_skeleton_is_refused() -> None:
    with pytest.raises(InputError, match="not one tree"):
        Skeleton((), np.zeros(0, int), np.zeros((0, 3)), np.zeros(0, bool))


def _with_nan(array: np.ndarray, frame: int) -> np.ndarray:
    out = array.copy()
    out.reshape(len(out), -1)[frame, 1] = np.nan
    return out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: {"rotations": m.rotations[:, :4]}, "moving: motion arrays do not fit 5 joints"),
        (lambda m: {"root_positions": m.root_positions[:4]}, "roots (4, 3), rotations (9, 5, 4)"),
        (lambda m: {"root_positions": np.zeros((0, 3)), "rotations": np.zeros((0, 5, 4))}, "no frames"),
        (lambda m: {"fps": 0.0}, "frame rate must be positive, got 0.0"),
        (lambda m: {"fps": np.nan}, "frame rate must be positive, got nan"),
        (lambda m: {"fps": -30.0}, "got -30.0"),
        (lambda m: {"rotations": _with_nan(m.rotations, 6)}, "rotations is not finite at frame 6"),
        (lambda m: {"root_positions": _with_nan(m.root_positions, 2)}, "root_positions is not finite at frame 2"),
        (lambda m: {"translations": np.zeros((9, 4, 3))}, "translations (9, 4, 3) do not fit (9, 5, 3)"),
        (lambda m: {"translations": np.full((9, 5, 3), np.inf)}, "translations is not finite at frame 0"),
    ],
)
def test_an_impossible_motion_is_refused(change: Any, text: str) -> None:
    motion = moving()
    with pytest.raises(InputError) as caught:
        replace(motion, **change(motion))
    assert text in str(caught.value)


def test_arrays_cannot_be_written() -> None:
    motion = moving(translations=True)
    for array in (motion.rotations, motion.root_positions, motion.translations, motion.skeleton.offsets):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_a_slice_is_those_frames_and_no_longer_a_cycle() -> None:
    motion = moving(translations=True)
    part = motion.slice(2, 6)
    assert len(part) == 4
    assert part.loop is None
    assert part.duration == pytest.approx(3 / FPS)
    for ours, theirs in zip(part.forward(), motion.forward(), strict=True):
        np.testing.assert_array_equal(ours, theirs[2:6])


@pytest.mark.parametrize("up", "xyz")
@pytest.mark.parametrize("translations", [False, True])
def test_standardise_is_one_rigid_turn_and_a_scale(up: str, translations: bool) -> None:
    """Forward kinematics and the change of axes commute."""
    motion = moving(translations=translations)
    turn, unit = UP_TO_Z[up], 0.0254
    done = standardise(motion, unit=unit, up=up)
    positions, rotations = motion.forward()
    there, turned = done.forward()
    np.testing.assert_allclose(there, unit * rotation.rotate(turn, positions), atol=1e-14)
    expected = rotation.multiply(rotation.multiply(turn, rotations), rotation.conjugate(turn))
    np.testing.assert_allclose(turned, expected, atol=1e-14)
    np.testing.assert_array_equal(done.rotations[:, 3], np.tile(rotation.IDENTITY, (9, 1)))
    assert done.provenance == {"unit": unit, "up": up}
    assert done.loop is True


@pytest.mark.parametrize("up", "xyz")
def test_up_becomes_z(up: str) -> None:
    motion = bent(0.0, 0.0)
    axis = np.eye(3)["xyz".index(up)]
    standing = replace(motion, skeleton=arm(offsets=np.outer([0.0, 1, 1, 1, 1], axis)))
    positions, _ = standardise(standing, unit=2.0, up=up).forward()
    np.testing.assert_allclose(positions[0, 3] - positions[0, 0], [0, 0, 6], atol=1e-14)


def test_a_y_up_file_keeps_its_handedness() -> None:
    """(x, y, z) → (x, −z, y): a turn, not a mirror."""
    for up, turn in UP_TO_Z.items():
        assert np.linalg.det(rotation.to_matrix(turn)) == pytest.approx(1.0), up
    np.testing.assert_allclose(rotation.rotate(UP_TO_Z["y"], [1.0, 2, 3]), [1, -3, 2], atol=1e-15)


def test_an_unknown_up_axis_is_refused() -> None:
    with pytest.raises(InputError, match=r"moving: up axis must be x, y or z, got 'w'"):
        standardise(moving(), unit=1.0, up="w")


@pytest.mark.parametrize("fps", [10.0, 40.0, 97.0, 400.0])
def test_resample_keeps_both_ends_and_the_duration(fps: float) -> None:
    motion = moving(41, translations=True)
    out = resample(motion, fps)
    assert out.duration == pytest.approx(motion.duration, rel=1e-12)
    assert out.fps == pytest.approx(fps, rel=0.02)
    for frame in (0, -1):
        np.testing.assert_allclose(out.root_positions[frame], motion.root_positions[frame], atol=1e-12)
        apart = rotation.angle(out.rotations[frame], motion.rotations[frame])
        np.testing.assert_allclose(apart, 0.0, atol=1e-12)
    assert out.loop is True


def test_resample_to_a_multiple_keeps_every_frame() -> None:
    motion = moving(11, translations=True)
    out = resample(motion, 3 * FPS)
    assert len(out) == 31
    assert out.translations is not None
    np.testing.assert_allclose(out.translations[::3], motion.translations, atol=1e-12)
    np.testing.assert_allclose(rotation.angle(out.rotations[::3], motion.rotations), 0.0, atol=1e-7)


def test_resample_is_exact_for_steady_motion() -> None:
    """A steady turn and a straight path are what slerp and lerp are exact for, across a sign flip of the file too."""
    times = np.arange(21) / FPS
    axis = rotation.unit([1.0, 2, -1])
    q = np.tile(rotation.IDENTITY, (21, 5, 1))
    q[:, 1] = rotation.from_axis_angle(axis, 3.0 * times)
    q[7:, 1] *= -1.0
    motion = Motion("steady", arm(), FPS, np.outer(times, [1.0, -2, 0.5]), q)
    out = resample(motion, 64.0)
    at = np.arange(len(out)) / out.fps
    assert len(out) == 33
    np.testing.assert_allclose(out.root_positions, np.outer(at, [1.0, -2, 0.5]), atol=1e-12)
    np.testing.assert_allclose(
        rotation.angle(out.rotations[:, 1], rotation.from_axis_angle(axis, 3.0 * at)), 0, atol=1e-7
    )


@pytest.mark.parametrize("fps", [1.0, 10.0, 1000.0])
def test_resample_of_very_short_motions(fps: float) -> None:
    assert len(resample(moving(1), fps)) == 1
    two = resample(moving(2), fps)
    assert len(two) >= 2
    assert two.duration == pytest.approx(1 / FPS)
