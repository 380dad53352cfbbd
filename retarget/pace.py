"""How fast corrections may be: as fast as the motion that they correct, so that they add little to its jerk."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from characters import kinematics
from characters.character import Character
from motion.rotation import Array

USUAL = 300.0
"""rms jerk of the feet, over body height, 1/s³: between a walk (150) and a run (700); there the solve's own time applies"""
LEAST, MOST = 0.75, 1.5
"""bounds of the factor"""
NOISE_TIME = 0.02
"""seconds, standard deviation of the smoothing before differences are taken"""
CHUNK = 4096
"""frames worked on at a time"""


def factor(character: Character, qpos: Array, fps: float) -> float:
    """Factor on the time within which corrections of a motion qpos ``(T, nq)`` may come and go.

    A correction of a given size that takes the time τ has a jerk proportional to τ⁻³. So that the result is about as much
    rougher than the motion whether that is calm or violent, τ follows the cube root of the feet's jerk.
    """
    feet = [character.link(name) for name in character.feet]
    sigma = NOISE_TIME * fps
    edge = int(np.ceil(2 * sigma))  # smoothing bends the ends
    if len(qpos) < 2 * edge + 8 or not feet:
        return 1.0
    squares, count = 0.0, 0
    for start in range(0, len(qpos) - 2 * edge - 3, CHUNK):
        places = kinematics.forward(character, qpos[start : start + CHUNK + 2 * edge + 3]).positions[:, feet]
        places = ndimage.gaussian_filter1d(places, sigma, axis=0, mode="nearest")[edge : len(places) - edge]
        jerk = np.diff(places, 3, axis=0) * fps**3
        squares, count = squares + float((jerk**2).sum()), count + jerk.shape[0] * jerk.shape[1]
    rms = np.sqrt(squares / count) / character.height
    return float(np.clip((USUAL / max(rms, 1e-9)) ** (1 / 3), LEAST, MOST))
