"""The smooth motion through a body's keys.

Every joint is a track of its own. Between the keys run cubic splines of hinge angles and positions, and of quaternions
normalised afterwards: twice continuously differentiable, across the wrap of a loop too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator, make_interp_spline

from characters.character import Character
from motion import rotation
from motion.clip import CycleOffset, Trajectory
from motion.rotation import Array

FPS = 120.0
"""frames per second of a trajectory, adjusted so that the last frame falls on the last instant"""
AROUND = 28
"""keys of neighbouring cycles on either side of a loop's own: a spline forgets its ends by 0.27 a key, 1e-16 in all"""
ROOT = ("root position", "root rotation")
"""tracks besides the joints' own"""

Interpolation = Literal["smooth", "monotone", "linear"]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Keys of one joint, or of the root."""

    times: Array
    """(K,) seconds, increasing"""
    values: Array
    """(K, 1) radians, (K, 3) metres or (K, 4) wxyz"""
    interpolation: Interpolation = "smooth"


@dataclass(frozen=True, slots=True, eq=False)
class Keyframes:
    """A keyframe file, checked against its body."""

    name: str
    path: Path
    character: Character
    loop: bool
    duration: float
    """seconds"""
    offset: CycleOffset
    """of a loop; nothing for a one-shot"""
    tracks: dict[str, Track]
    """joint, `root position` or `root rotation` → its keys; the root's are relative to rest, carried evenly along the offset"""
    contacts: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """link → seconds from and to, in a loop possibly past its end"""

    def at(self, times: Array) -> Array:
        """qpos ``(T, nq)`` at seconds ``(T,)``; before and after a one-shot its ends."""
        layout, times = self.character.layout, np.asarray(times, dtype=np.float64)
        qpos = np.repeat(self.character.rest[None], len(times), axis=0)
        for joint, at in zip(layout.joints, layout.qpos_at, strict=True):
            if joint.name in self.tracks:
                qpos[:, at : at + (4 if joint.type == "ball" else 1)] = self._follow(self.tracks[joint.name], times)
        position, turn = (self.tracks.get(name) for name in ROOT)
        if position is not None:
            qpos[:, :3] += self._follow(position, times)
        if turn is not None:
            qpos[:, 3:7] = self._follow(turn, times)
        return layout.continuous(_carried(self.offset, qpos, times / self.duration)) if self.loop else qpos

    def trajectory(self, fps: float = FPS) -> Trajectory:
        """The motion at about ``fps``; a loop's last frame is the first one of the next cycle."""
        count = max(round(self.duration * fps), 3)
        times = np.linspace(0.0, self.duration, count + 1)
        return Trajectory(
            name=self.name,
            character=self.character.name,
            joints=self.character.specs,
            fps=count / self.duration,
            qpos=self.at(times),
            contacts=self.flags(times),
            loop=self.loop,
            provenance={"format": "keyframes"},
        )

    def flags(self, times: Array) -> dict[str, np.ndarray]:
        """Link → ``(T,)`` bool: it stands at these seconds. Feet of which nothing is said never stand."""
        out = {}
        for link in dict.fromkeys((*self.character.feet, *self.contacts)):
            stands = np.zeros(len(times), dtype=bool)
            for start, stop in self.contacts.get(link, ()):
                since = (times - start) % self.duration if self.loop else times - start
                stands |= (since >= 0) & (since <= stop - start)
            out[link] = stands
        return out

    def _follow(self, track: Track, times: Array) -> Array:
        """Values ``(T, w)`` of a track."""
        rotations = track.values.shape[1] == 4
        keys, values = track.times, track.values
        if self.loop:
            reach = math.ceil(AROUND / len(keys))
            cycles = np.arange(-reach, reach + 1)
            keys = (keys + cycles[:, None] * self.duration).ravel()
            values = np.tile(values, (len(cycles), 1))
            times = times % self.duration
        else:  # before its first and after its last key a joint holds still
            times = np.clip(times, keys[0], keys[-1])
        if rotations:
            values = rotation.continuous(values)
        if len(keys) < 2 or np.ptp(values, axis=0).max() == 0.0:
            return np.repeat(values[:1], len(times), axis=0)
        out = _curve(track.interpolation, keys, values)(times)
        return rotation.normalize(out) if rotations else out


def _curve(interpolation: Interpolation, keys: Array, values: Array) -> Any:
    """A curve through keys (K,) of values (K, w)."""
    if interpolation == "linear":
        return make_interp_spline(keys, values, k=1)
    if interpolation == "monotone":
        return PchipInterpolator(keys, values)
    return CubicSpline(keys, values, bc_type="clamped")  # a one-shot's joints begin and end at rest


def _carried(offset: CycleOffset, qpos: Array, cycles: Array) -> Array:
    """qpos ``(T, nq)`` moved along an offset by any real number of cycles ``(T,)``: straight on, or around a circle."""
    out = qpos.copy()
    turn = rotation.from_yaw(offset.yaw * cycles)
    if abs(math.sin(0.5 * offset.yaw)) > 1e-9:  # around the one point that T leaves where it is
        x, y = offset.translation[:2]
        half = 0.5 / math.tan(0.5 * offset.yaw)
        centre = np.array([0.5 * x - half * y, 0.5 * y + half * x, 0.0])
        out[:, :3] = rotation.rotate(turn, qpos[:, :3] - centre) + centre
    else:
        out[:, :3] = rotation.rotate(turn, qpos[:, :3]) + cycles[:, None] * offset.translation
    out[:, 3:7] = rotation.multiply(turn, qpos[:, 3:7])
    return out
