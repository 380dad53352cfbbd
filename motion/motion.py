"""Skeleton and Motion: what a mocap file says, free of its format.

Conventions (whole project): SI, z-up, x forward, right-handed, radians, quaternions wxyz, time axis first. A Motion
fresh from a file is in the file's own unit and axes; `standardise` brings it to the conventions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from motion import rotation
from motion.errors import InputError
from motion.rotation import Array

UP_TO_Z = {
    "z": rotation.IDENTITY,
    "y": rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.pi / 2),
    "x": rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), -np.pi / 2),
}
"""Rotation that brings a file's up axis to z: y-up maps (x, y, z) to (x, −z, y)."""


def readonly(array: np.ndarray) -> np.ndarray:
    """A view of ``array`` that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """A tree of joints; joint 0 is the root and every parent precedes its children."""

    names: tuple[str, ...]
    """(J,) unique names; an End Site is a joint named ``<parent>_end``."""
    parents: np.ndarray
    """(J,) index of the parent, −1 for the root."""
    offsets: Array
    """(J, 3) joint origin in the parent's frame at rest, metres once standardised."""
    is_end: np.ndarray
    """(J,) bool, True for End Sites: points without a rotation of their own."""

    def __post_init__(self) -> None:
        count = len(self.names)
        parents = np.asarray(self.parents, dtype=np.int64)
        offsets = np.asarray(self.offsets, dtype=np.float64)
        is_end = np.asarray(self.is_end, dtype=bool)
        if parents.shape != (count,) or offsets.shape != (count, 3) or is_end.shape != (count,):
            raise InputError(
                f"skeleton arrays do not fit {count} names: parents {parents.shape}, offsets {offsets.shape}, "
                f"is_end {is_end.shape}"
            )
        if count == 0 or parents[0] != -1 or np.any(parents[1:] < 0) or np.any(parents[1:] >= np.arange(1, count)):
            raise InputError("skeleton is not one tree with parents before children")
        if len(set(self.names)) != count:
            raise InputError("skeleton has two joints of the same name")
        if not np.isfinite(offsets).all():
            raise InputError("skeleton offsets are not finite")
        for name, value in (("parents", parents), ("offsets", offsets), ("is_end", is_end)):
            object.__setattr__(self, name, readonly(value))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Index of a joint; KeyError if there is none."""
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(name) from None

    def children(self, joint: int) -> list[int]:
        """Indices of the joints whose parent is ``joint``."""
        return [int(i) for i in np.flatnonzero(self.parents == joint)]


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A skeleton in motion, sampled uniformly in time."""

    name: str
    skeleton: Skeleton
    fps: float
    """frames per second"""
    root_positions: Array
    """(T, 3) root joint in the world"""
    rotations: Array
    """(T, J, 4) rotation of each joint relative to its parent; identity for End Sites"""
    translations: Array | None = None
    """(T, J, 3) joint origin in its parent's frame where the file moves joints (6-channel joints); None: the offsets"""
    loop: bool | None = None
    """whether the motion is a cycle whose last frame is the first one of the next cycle; None: unknown"""
    provenance: dict = field(default_factory=dict)
    """where it comes from: source, sha256, unit, up axis, what cleaning did"""

    def __post_init__(self) -> None:
        roots = np.asarray(self.root_positions, dtype=np.float64)
        rotations = np.asarray(self.rotations, dtype=np.float64)
        frames, joints = len(roots), len(self.skeleton)
        if roots.shape != (frames, 3) or rotations.shape != (frames, joints, 4):
            raise InputError(
                f"motion arrays do not fit {joints} joints: roots {roots.shape}, rotations {rotations.shape}",
                where=self.name,
            )
        if frames == 0:
            raise InputError("motion has no frames", where=self.name)
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise InputError(f"frame rate must be positive, got {self.fps}", where=self.name)
        arrays = [("root_positions", roots), ("rotations", rotations)]
        if self.translations is not None:
            translations = np.asarray(self.translations, dtype=np.float64)
            if translations.shape != (frames, joints, 3):
                raise InputError(f"translations {translations.shape} do not fit {(frames, joints, 3)}", where=self.name)
            arrays.append(("translations", translations))
        for key, value in arrays:
            if not np.isfinite(value).all():
                frame = int(np.argwhere(~np.isfinite(value))[0][0])
                raise InputError(f"{key} is not finite at frame {frame}", where=self.name)
            object.__setattr__(self, key, readonly(value))

    def __len__(self) -> int:
        return len(self.root_positions)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame."""
        return (len(self) - 1) / self.fps

    def forward(self) -> tuple[Array, Array]:
        """World positions ``(T, J, 3)`` and rotations ``(T, J, 4)`` of all joints (forward kinematics)."""
        frames, joints = len(self), len(self.skeleton)
        positions = np.empty((frames, joints, 3))
        rotations = np.empty((frames, joints, 4))
        positions[:, 0], rotations[:, 0] = self.root_positions, self.rotations[:, 0]
        for j in range(1, joints):
            parent = self.skeleton.parents[j]
            offset = self.skeleton.offsets[j] if self.translations is None else self.translations[:, j]
            positions[:, j] = positions[:, parent] + rotation.rotate(rotations[:, parent], offset)
            rotations[:, j] = (
                rotations[:, parent]
                if self.skeleton.is_end[j]
                else rotation.multiply(rotations[:, parent], self.rotations[:, j])
            )
        return positions, rotations

    def slice(self, start: int, stop: int) -> Motion:
        """Frames ``start:stop``; whether it loops is then unknown."""
        return replace(
            self,
            root_positions=self.root_positions[start:stop],
            rotations=self.rotations[start:stop],
            translations=None if self.translations is None else self.translations[start:stop],
            loop=None,
        )


def standardise(motion: Motion, *, unit: float, up: str) -> Motion:
    """Bring a motion to metres and z-up.

    Args:
        motion: in the file's unit and axes.
        unit: metres per file unit.
        up: the file's up axis, ``"x"``, ``"y"`` or ``"z"``.

    Skeleton, rotations and positions are re-expressed in the turned frame, so a standing rest pose stands along z.
    """
    if up not in UP_TO_Z:
        raise InputError(f"up axis must be x, y or z, got {up!r}", where=motion.name)
    turn = UP_TO_Z[up]
    q = motion.rotations.copy()
    q[..., 1:] = rotation.rotate(turn, motion.rotations[..., 1:])
    skeleton = replace(motion.skeleton, offsets=unit * rotation.rotate(turn, motion.skeleton.offsets))
    return replace(
        motion,
        skeleton=skeleton,
        root_positions=unit * rotation.rotate(turn, motion.root_positions),
        rotations=q,
        translations=None if motion.translations is None else unit * rotation.rotate(turn, motion.translations),
        provenance={**motion.provenance, "unit": unit, "up": up},
    )


def resample(motion: Motion, fps: float) -> Motion:
    """The motion at another rate: positions linearly, rotations by slerp; first and last instants are kept.

    The duration is rounded to a whole number of new frames by adjusting the rate slightly, so loops stay exact.
    """
    frames = max(int(round(motion.duration * fps)) + 1, min(len(motion), 2))
    if len(motion) == 1:
        return replace(motion, fps=fps)
    at = np.linspace(0.0, len(motion) - 1.0, frames)
    left = np.minimum(at.astype(int), len(motion) - 2)
    share = at - left
    blend = share[:, None]

    def lerp(x: Array) -> Array:
        s = share.reshape((-1,) + (1,) * (x.ndim - 1))
        return (1 - s) * x[left] + s * x[left + 1]

    return replace(
        motion,
        fps=(frames - 1) / motion.duration,
        root_positions=lerp(motion.root_positions),
        rotations=rotation.slerp(motion.rotations[left], motion.rotations[left + 1], blend),
        translations=None if motion.translations is None else lerp(motion.translations),
    )
