"""Mending half turns: a solver that loses which way round a straight limb is flips it by π from one frame to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motion import rotation
from motion.motion import Motion
from motion.rotation import Array

HALF_TURN = 2.2
"""Radians in one frame that no joint of a living body turns; between this and π the rest is taken as real motion."""


def mend_half_turns(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Turn joints back that flip by about π between frames, wherever they are the wrong way round.

    Every flip toggles between two states; the one that holds for fewer frames is turned by π about the flips' mean
    axis (in the joint's own frame). A joint that only made up for a flip of the one above it (a knee for the thigh's
    roll, so that no point moved) goes back with it. The root is left alone.
    """
    if len(motion) < 3:
        return motion, ()
    said, rotations = [], motion.rotations.copy()
    turned: dict[int, tuple[np.ndarray, Array]] = {}
    for joint in np.flatnonzero((_steps(rotations)[1] > HALF_TURN).any(axis=0)):
        if joint == 0:
            continue
        own = rotations[:, joint]
        flips = np.flatnonzero(_steps(own)[1] > HALF_TURN)
        first, mended = flips[0], np.zeros(len(motion), dtype=bool)
        above = turned.get(int(motion.skeleton.parents[joint]))
        if above is not None:
            wrong, turn = above
            back = own.copy()
            back[wrong] = rotation.multiply(rotation.conjugate(turn), own[wrong])
            left = np.flatnonzero(_steps(back)[1] > HALF_TURN)
            if len(left) < len(flips):
                own, flips, mended = back, left, wrong
        if len(flips):
            steps, size = _steps(own)
            axes = steps[flips] / size[flips][:, None]
            axes = axes * np.where(axes @ axes[0] < 0.0, -1.0, 1.0)[:, None]
            odd = np.zeros(len(motion), dtype=int)
            odd[flips + 1] = 1
            wrong = np.cumsum(odd) % 2 == 1
            if wrong.mean() > 0.5:
                wrong = ~wrong
            turn = rotation.from_axis_angle(rotation.unit(axes.mean(axis=0)), np.float64(np.pi))
            own = own.copy()
            own[wrong] = rotation.multiply(own[wrong], turn)
            turned[int(joint)] = wrong, turn
            mended = mended | wrong
        rotations[:, joint] = own
        said.append(
            f"turned {motion.skeleton.names[joint]} back by half a turn in {np.count_nonzero(mended)} frames, "
            f"first at {first / motion.fps:.2f} s"
        )
    if not said:
        return motion, ()
    return replace(motion, rotations=rotation.continuous(rotations)), tuple(said)


def _steps(rotations: Array) -> tuple[Array, Array]:
    """Rotation vectors between neighbouring frames, in the joint's own frame, and their angles."""
    steps = rotation.log(rotation.relative(rotations[:-1], rotations[1:]))
    return steps, np.linalg.norm(steps, axis=-1)
