"""What a film or strip shows: the figures at its instants, the paths a camera follows and the side it looks from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from characters.character import Character
from motion import rotation
from motion.clip import Clip, Trajectory
from motion.motion import Motion
from motion.rotation import Array
from pipeline import figure
from pipeline.figure import Figure
from pipeline.raycast import Camera

FOLLOW = 0.35
"""seconds, width of the filter between the root's path and the camera's"""
BONE = 0.012
"""of the body's height, radius of the source's bones"""
TRAVELS = 0.75
"""of the body's height: what moves less has no direction of travel"""


@dataclass(frozen=True, slots=True)
class View:
    """Where a camera looks from."""

    turn: float
    """radians, from the direction of travel to where the camera looks"""
    elevation: float
    """radians, how far it looks down"""


CAMERAS = {
    "side": View(math.radians(90), math.radians(9)),
    "front": View(math.radians(180), math.radians(9)),
    "three-quarter": View(math.radians(132), math.radians(14)),
    "top": View(math.radians(90), math.radians(90)),
}


def sample(motion: Clip | Trajectory, seconds: Array) -> tuple[Array, dict[str, np.ndarray]]:
    """Poses ``(T, nq)`` and contacts (link → (T,) bool, of the nearest sample) at times ``(T,)`` seconds."""
    last = len(motion.qpos) - 1
    if isinstance(motion, Clip):
        index = np.round(seconds * motion.fps).astype(int)
        index = index % (last + 1) if motion.loop else np.clip(index, 0, last)
        qpos = motion.sample(seconds)[0]
    else:
        at = np.clip(seconds * motion.fps, 0.0, last)
        left = np.minimum(at.astype(int), max(last - 1, 0))
        right = np.minimum(left + 1, last)
        index = np.round(at).astype(int)
        qpos = motion.layout.interpolate(motion.qpos[left], motion.qpos[right], at - left)
    return qpos, {link: np.asarray(flags, dtype=bool)[index] for link, flags in motion.contacts.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What a body's motion was made from, seen beside it, scaled to the body's height."""

    motion: Motion
    """standardised"""
    start: float
    """seconds into it at the body's time 0"""
    height: float
    """metres its own body stands tall"""

    def scale(self, height: float) -> float:
        """What makes it as tall as a body of ``height`` metres."""
        return height / self.height if self.height > 0 else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The figures of all pictures, each with the smoothed path of its root, and the camera's direction."""

    names: tuple[str, ...]
    figures: tuple[Figure, ...]
    """the body last"""
    paths: tuple[Array, ...]
    """(T, 3) of each figure, on the ground"""
    seconds: Array
    """(T,)"""
    height: float
    """metres, of the body"""
    heading: float
    """radians, direction of travel"""
    view: View

    @classmethod
    def of(
        cls,
        motion: Clip | Trajectory,
        character: Character,
        seconds: Array,
        source: Beside | None,
        view: View,
    ) -> Scene:
        """The scene at times ``seconds`` ``(T,)``, evenly spaced."""
        qpos, contacts = sample(motion, seconds)
        body = figure.of_body(character, qpos, contacts)
        step = float(np.diff(seconds).mean()) if len(seconds) > 1 else 1.0
        names, figures, paths = (character.name,), (body,), (path(motion, seconds),)
        if source is not None:
            scale = source.scale(character.height)
            beside = figure.of_source(source.motion, seconds + source.start, scale, BONE * character.height)
            names, figures, paths = ("source", *names), (beside, *figures), (smooth(beside.root, step), *paths)
        return cls(names, figures, paths, seconds, character.height, _heading(qpos, character), view)

    def camera(self, focal: float, size: tuple[int, int], *, distance: float, parallel: bool) -> Camera:
        """The camera over the world's origin."""
        return Camera.looking(
            np.zeros(3), self.heading + self.view.turn, self.view.elevation, distance, focal, size, parallel=parallel
        )


def path(motion: Clip | Trajectory, seconds: Array) -> Array:
    """A camera's path ``(T, 3)`` over a body at even times ``(T,)`` s; of a loop without a seam between its cycles."""
    step = float(np.diff(seconds).mean()) if len(seconds) > 1 else 1.0
    pad = math.ceil(4 * FOLLOW / step) if isinstance(motion, Clip) and motion.loop else 0
    around = np.concatenate(
        [seconds[0] - step * np.arange(pad, 0, -1), seconds, seconds[-1] + step * np.arange(1, pad + 1)]
    )
    return smooth(sample(motion, around)[0][:, :3], step)[pad : pad + len(seconds)]


def smooth(roots: Array, step: float) -> Array:
    """Positions ``(T, 3)`` every ``step`` seconds, on the ground, low-passed; beyond its ends the path goes on as it came."""
    pad = math.ceil(4 * FOLLOW / step)
    longer = np.pad(roots * [1.0, 1.0, 0.0], ((pad, pad), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(longer, FOLLOW / step, axis=0, mode="nearest")[pad : pad + len(roots)]


def _heading(qpos: Array, character: Character) -> float:
    """Direction of travel in radians; where the body stays in place, the way it faces on average."""
    travel = qpos[-1, :2] - qpos[0, :2]
    if np.hypot(*travel) < TRAVELS * character.height:
        facing = rotation.yaw(rotation.multiply(qpos[:, 3:7], rotation.conjugate(character.rest[3:7])))
        travel = np.array([np.cos(facing).sum(), np.sin(facing).sum()])
    return float(np.arctan2(travel[1], travel[0]))
