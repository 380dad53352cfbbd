"""Half turns of a limb are undone; real motion is left alone."""

import numpy as np

from motion import rotation
from motion.motion import Motion, Skeleton
from pipeline.halfturns import mend_half_turns


def swinging(frames: int = 120) -> Motion:
    skeleton = Skeleton(
        ("hips", "thigh", "shin", "foot_end"),
        np.array([-1, 0, 1, 2]),
        np.array([[0, 0, 0], [0, 0, -0.1], [0, 0, -0.4], [0, 0, -0.4]], dtype=float),
        np.array([False, False, False, True]),
    )
    angle = 0.8 * np.sin(np.linspace(0, 4 * np.pi, frames))
    rotations = np.tile(rotation.IDENTITY, (frames, 4, 1))
    rotations[:, 1] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)
    rotations[:, 2] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), 0.3 + 0.2 * angle)
    return Motion("swing", skeleton, 120.0, np.zeros((frames, 3)), rotations)


def test_a_flipped_thigh_is_turned_back():
    motion = swinging()
    broken = motion.rotations.copy()
    half = rotation.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.float64(np.pi))
    broken[40:60, 1] = rotation.multiply(broken[40:60, 1], half)
    broken[80:81, 1] = rotation.multiply(broken[80:81, 1], half)
    mended, said = mend_half_turns(Motion(motion.name, motion.skeleton, motion.fps, motion.root_positions, broken))
    assert rotation.angle(mended.rotations, motion.rotations).max() < 0.05  # the flips hold a frame of real motion too
    assert len(said) == 1
    assert "thigh" in said[0]
    assert "21 frames" in said[0]
    assert mend_half_turns(mended)[1] == ()


def test_real_motion_is_not_touched():
    motion = swinging()
    mended, said = mend_half_turns(motion)
    assert mended is motion
    assert said == ()


def test_a_knee_that_made_up_for_the_flip_goes_back_with_it():
    """The thigh's roll flips about its bone, the knee below undoes it: no point moved, none may move in mending."""
    motion = swinging()
    half = rotation.from_axis_angle(np.array([0.0, 0.0, 1.0]), np.float64(np.pi))
    step = rotation.angle(motion.rotations[1:], motion.rotations[:-1]).max()
    for flipped in (slice(20, 60), slice(95, None)):
        broken = motion.rotations.copy()
        broken[flipped, 1] = rotation.multiply(broken[flipped, 1], half)
        broken[flipped, 2] = rotation.multiply(rotation.conjugate(half), broken[flipped, 2])
        mended, said = mend_half_turns(Motion(motion.name, motion.skeleton, motion.fps, motion.root_positions, broken))
        assert (
            rotation.angle(mended.rotations, motion.rotations).max() < step
        )  # a flip holds a frame of real motion too
        assert np.abs(mended.forward()[0] - motion.forward()[0]).max() < 0.5 * step
        assert len(said) == 2
