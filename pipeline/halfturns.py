"""Mending half turns: a solver that loses which way round a straight limb is flips it by π from one frame to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motion import rotation
from motion.motion import Motion

HALF_TURN = 2.2
"""Radians in one frame that no joint of a living body turns; between this and π the rest is taken as real motion."""


def mend_half_turns(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Turn joints back that flip by about π between frames, wherever they are the wrong way round.

    Every flip toggles between two states; the one that holds for fewer frames is turned by π about the flips' mean
    axis (in the joint's own frame). The root is left alone.
    """
    if len(motion) < 3:
        return motion, ()
    steps = rotation.log(rotation.relative(motion.rotations[:-1], motion.rotations[1:]))
    size = np.linalg.norm(steps, axis=-1)
    rotations, said = motion.rotations, []
    for joint in np.flatnonzero((size > HALF_TURN).any(axis=0)):
        if joint == 0:
            continue
        flips = np.flatnonzero(size[:, joint] > HALF_TURN)
        axes = steps[flips, joint] / size[flips, joint][:, None]
        axes = axes * np.where(axes @ axes[0] < 0.0, -1.0, 1.0)[:, None]
        odd = np.zeros(len(motion), dtype=int)
        odd[flips + 1] = 1
        wrong = np.cumsum(odd) % 2 == 1
        if wrong.mean() > 0.5:
            wrong = ~wrong
        turn = rotation.from_axis_angle(rotation.unit(axes.mean(axis=0)), np.float64(np.pi))
        if rotations is motion.rotations:
            rotations = motion.rotations.copy()
        rotations[wrong, joint] = rotation.multiply(rotations[wrong, joint], turn)
        said.append(
            f"turned {motion.skeleton.names[joint]} back by half a turn in {np.count_nonzero(wrong)} frames, "
            f"first at {flips[0] / motion.fps:.2f} s"
        )
    if not said:
        return motion, ()
    return replace(motion, rotations=rotation.continuous(rotations)), tuple(said)
