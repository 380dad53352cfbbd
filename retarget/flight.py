"""Flight as physics has it: while nothing touches the ground, the centre of mass falls freely.

Capture noise, half cycles that were joined and frames that were filled in show first in flight, where nothing could cause the
accelerations of 2 g and more that they bring. The root is moved, a few centimetres at the most, so that the centre of mass
follows a parabola at constant horizontal speed; orientations and joints stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.linalg import solveh_banded

from characters import kinematics, shapes
from characters.character import Character
from motion.contacts import REFERENCE_HEIGHT
from motion.rotation import Array

GRAVITY = np.array([0.0, 0.0, -9.81])
"""m/s²"""
CLEAR = 0.005
"""metres (body 1.7 m high): with every shape further than this from the ground the body may be flying"""
SHORTEST = 0.08
"""seconds of flight that are worth mending"""
FALLS = (0.4, 2.0)
"""times g: bounds of the acceleration a flight shows as a whole; a body that hovers, because its source does, shows none"""
FALL = 3.0
"""m/s²: what is left of a frame's error in flight weighs as much …"""
STAND = 0.004
"""… as moving a standing body by so many metres …"""
DRIFT = 0.01
"""… or a flying one by so many …"""
PUSH = 6.0
"""… or as pushing a standing one by so many m/s²"""


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A motion with its flights mended."""

    qpos: Array
    """(T, nq)"""
    airborne: np.ndarray
    """(T,) bool: frames in flight"""
    moved: float
    """metres the root was moved at the most"""
    before: float
    """m/s², rms error of the centre of mass's acceleration in flight, as it was"""
    after: float
    """the same as it is"""

    def to_json(self) -> dict[str, float]:
        """For a clip's provenance."""
        return {
            "share": round(float(self.airborne.mean()), 3),
            "moved_m": round(self.moved, 4),
            "acceleration_error_before": round(self.before, 2),
            "acceleration_error_after": round(self.after, 2),
        }


def mend(character: Character, qpos: Array, fps: float) -> Flight:
    """Make flights ballistic.

    With c the centre of mass and s the shift of the root, Σ‖c̈ + s̈ − g‖² over flight is weighed against ‖s‖² and, on the
    ground, ‖s̈‖²: pentadiagonal in time, one system for all three coordinates.

    Args:
        qpos: (T, nq) uniform in time.
    """
    frames = len(qpos)
    pose = kinematics.forward(character, qpos)
    centre = kinematics.centre_of_mass(character, pose)
    lowest = shapes.link_heights(character, pose).min(axis=1)
    airborne = flights(centre[:, 2], lowest > CLEAR * character.height / REFERENCE_HEIGHT, fps)
    inner = airborne[1:-1] & airborne[:-2] & airborne[2:]
    if not inner.any():
        return Flight(qpos, airborne, 0.0, 0.0, 0.0)
    error = np.diff(centre, 2, axis=0) * fps**2 - GRAVITY
    stiff = np.where(inner, FALL**-2, PUSH**-2) * fps**4
    band = np.zeros((3, frames))
    band[0] = np.where(airborne, DRIFT**-2, STAND**-2)
    for offset, share in enumerate((1.0, 4.0, 1.0)):
        band[0, offset : offset + frames - 2] += share * stiff
    band[1, : frames - 2] += -2.0 * stiff
    band[1, 1 : frames - 1] += -2.0 * stiff
    band[2, : frames - 2] += stiff
    right = np.zeros((frames, 3))
    pull = -np.where(inner, FALL**-2, 0.0)[:, None] * fps**2 * error
    right[:-2] += pull
    right[1:-1] -= 2.0 * pull
    right[2:] += pull
    shift = solveh_banded(band, right, lower=True)
    out = qpos.copy()
    out[:, :3] += shift
    left = error + np.diff(shift, 2, axis=0) * fps**2
    before, after = (float(np.sqrt((e[inner] ** 2).sum(axis=1).mean())) for e in (error, left))
    return Flight(out, airborne, float(np.linalg.norm(shift, axis=1).max()), before, after)


def flights(height: Array, clear: np.ndarray, fps: float) -> np.ndarray:
    """(T,) bool: in flights.

    Args:
        height: (T,) metres, of the centre of mass.
        clear: (T,) bool: nothing touches the ground.
    """
    out = np.zeros(len(clear), dtype=bool)
    runs, _ = ndimage.label(clear)
    for found in ndimage.find_objects(runs):
        rows = found[0]
        count = rows.stop - rows.start
        if count < max(SHORTEST * fps, 4):
            continue
        falls = -2.0 * np.polyfit(np.arange(count) / fps, height[rows], 2)[0] / -GRAVITY[2]
        out[rows] = FALLS[0] <= falls <= FALLS[1]
    return out
