"""Trajectory (a body's motion over the whole source) and Clip (phase-normalised reference), and their files.

Generalised coordinates are MuJoCo's: ``qpos`` = root position 3, root quaternion 4 (wxyz), then 4 numbers for a ball
joint or 1 for a hinge; ``qvel`` = root linear velocity (world), root angular velocity (body), then 3 (child frame) or 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from motion import files, rotation
from motion.errors import InputError, nearest
from motion.motion import readonly
from motion.rotation import Array

JointType = Literal["ball", "hinge"]


@dataclass(frozen=True, slots=True)
class JointSpec:
    """A joint as files name it."""

    name: str
    type: JointType


class Layout:
    """Where each joint's numbers stand in qpos and qvel.

    Args:
        joints: (J,) the joints after the free root, in qpos order.
    """

    def __init__(self, joints: tuple[JointSpec, ...]):
        self.joints = joints
        self.ball = np.array([j.type == "ball" for j in joints], dtype=bool)
        """(J,) bool"""
        widths_q, widths_v = np.where(self.ball, 4, 1), np.where(self.ball, 3, 1)
        self.qpos_at = 7 + np.concatenate([[0], np.cumsum(widths_q)[:-1]]).astype(int) if joints else np.zeros(0, int)
        """(J,) first index of each joint in qpos"""
        self.qvel_at = 6 + np.concatenate([[0], np.cumsum(widths_v)[:-1]]).astype(int) if joints else np.zeros(0, int)
        """(J,) first index of each joint in qvel"""
        self.nq = 7 + int(widths_q.sum())
        self.nv = 6 + int(widths_v.sum())
        self.quaternions = np.array([3] + [int(a) for a, b in zip(self.qpos_at, self.ball, strict=True) if b])
        """first indices of all quaternions in qpos, the root's first"""
        self.quaternion_dofs = np.array([3] + [int(a) for a, b in zip(self.qvel_at, self.ball, strict=True) if b])
        """first indices in qvel of the angular velocities of those quaternions"""
        self.hinges = np.array([int(a) for a, b in zip(self.qpos_at, self.ball, strict=True) if not b], dtype=int)
        """indices of the hinge angles in qpos"""
        self.hinge_dofs = np.array([int(a) for a, b in zip(self.qvel_at, self.ball, strict=True) if not b], dtype=int)
        """indices of the hinge speeds in qvel"""

    def quats(self, qpos: Array) -> Array:
        """All quaternions of qpos ``(…, nq)`` as ``(…, Q, 4)``, the root's first."""
        return qpos[..., self.quaternions[:, None] + np.arange(4)]

    def difference(self, a: Array, b: Array) -> Array:
        """Tangent ``(…, nv)`` that leads from qpos ``a`` to ``b`` ``(…, nq)`` in unit time (MuJoCo's mj_differentiatePos)."""
        shape = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
        out = np.empty((*shape, self.nv))
        out[..., :3] = b[..., :3] - a[..., :3]
        turn = rotation.log(rotation.relative(self.quats(a), self.quats(b)))
        out[..., self.quaternion_dofs[:, None] + np.arange(3)] = turn
        out[..., self.hinge_dofs] = b[..., self.hinges] - a[..., self.hinges]
        return out

    def integrate(self, qpos: Array, tangent: Array) -> Array:
        """qpos ``(…, nq)`` moved along a tangent ``(…, nv)`` for unit time (MuJoCo's mj_integratePos)."""
        out = np.empty(np.broadcast_shapes(qpos.shape[:-1], tangent.shape[:-1]) + (self.nq,))
        out[..., :3] = qpos[..., :3] + tangent[..., :3]
        turn = rotation.exp(tangent[..., self.quaternion_dofs[:, None] + np.arange(3)])
        turned = rotation.normalize(rotation.multiply(self.quats(qpos), turn))
        out[..., self.quaternions[:, None] + np.arange(4)] = turned
        out[..., self.hinges] = qpos[..., self.hinges] + tangent[..., self.hinge_dofs]
        return out

    def velocities(self, qpos: Array, dt: float | Array, *, after: Array | None = None) -> Array:
        """Time derivative ``(T, nv)`` of qpos ``(T, nq)`` sampled every ``dt`` seconds: central differences.

        Args:
            after: (2, nq) or None. For a loop: the pose before the first and the pose after the last sample, already
                moved by the cycle transform; without it the ends use one-sided differences.
        """
        if len(qpos) == 1 and after is None:
            return np.zeros((1, self.nv))
        if after is not None:
            padded = np.concatenate([after[:1], qpos, after[1:]])
            step = self.difference(padded[:-1], padded[1:]) / dt
            return 0.5 * (step[:-1] + step[1:])
        step = self.difference(qpos[:-1], qpos[1:]) / dt
        return np.concatenate([step[:1], 0.5 * (step[:-1] + step[1:]), step[-1:]])

    def interpolate(self, a: Array, b: Array, share: Array) -> Array:
        """qpos between ``a`` and ``b`` ``(T, nq)`` at ``share`` ``(T,)`` in [0, 1]: linear, slerp for rotations."""
        return self.integrate(a, share[..., None] * self.difference(a, b))

    def continuous(self, qpos: Array) -> Array:
        """qpos ``(T, nq)`` with all quaternions sign-continuous in time."""
        out = np.array(qpos, dtype=np.float64)
        index = self.quaternions[:, None] + np.arange(4)
        out[:, index] = rotation.continuous(out[:, index])
        return out


@dataclass(frozen=True, slots=True, eq=False)
class CycleOffset:
    """How the root moves from one cycle to the next: pose(phase + 1) = T(pose(phase)), T(p) = Rz(yaw)·p + translation."""

    translation: Array
    """(3,) metres; z is 0"""
    yaw: float
    """radians"""

    def apply(self, qpos: Array, cycles: int | np.ndarray = 1) -> Array:
        """qpos ``(T, nq)`` moved by T, ``cycles`` times (an int or ``(T,)`` ints, also negative)."""
        out = np.array(qpos, dtype=np.float64)
        count = np.broadcast_to(np.asarray(cycles), (len(out),))
        for n in np.unique(count):
            rows = count == n
            turn = rotation.from_yaw(np.float64(self.yaw * n))
            out[rows, :3] = rotation.rotate(turn, out[rows, :3]) + self.power(int(n))
            out[rows, 3:7] = rotation.multiply(turn, out[rows, 3:7])
        return out

    def power(self, n: int) -> Array:
        """Translation (3,) of T applied n times (negative: its inverse)."""
        total = np.zeros(3)
        if n >= 0:
            for k in range(n):
                total += rotation.rotate(rotation.from_yaw(np.float64(self.yaw * k)), self.translation)
        else:
            for k in range(-n):
                total -= rotation.rotate(rotation.from_yaw(np.float64(-self.yaw * (k + 1))), self.translation)
        return total


NO_OFFSET = CycleOffset(np.zeros(3), 0.0)
ROUNDING = 1e-9
"""samples: a time this far beyond a one-shot's end is its end, not past it"""


def _check_qpos(where: str, layout: Layout, qpos: Array) -> None:
    if qpos.ndim != 2 or qpos.shape[1] != layout.nq:
        raise InputError(f"expected qpos of {layout.nq} numbers a frame, found shape {qpos.shape}", where=where)
    if len(qpos) == 0:
        raise InputError("expected at least one frame, found none", where=where)
    if not np.isfinite(qpos).all():
        raise InputError(f"qpos is not finite at frame {int(np.argwhere(~np.isfinite(qpos))[0][0])}", where=where)
    norms = np.linalg.norm(layout.quats(qpos), axis=-1)
    if np.abs(norms - 1).max() > 1e-3:
        frame, which = np.unravel_index(np.abs(norms - 1).argmax(), norms.shape)
        raise InputError(
            f"expected unit quaternions, found norm {norms[frame, which]:.4f} at frame {frame}, quaternion {which}",
            where=where,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A body's motion over a whole source, uniformly sampled, before a cycle is chosen."""

    name: str
    character: str
    joints: tuple[JointSpec, ...]
    fps: float
    qpos: Array
    """(T, nq)"""
    contacts: dict[str, np.ndarray]
    """link → (T,) bool: the link is meant to stand on the ground (from the source)"""
    loop: bool | None = None
    """what the source said: a cycle, a one-shot, or unknown"""
    provenance: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        qpos = np.asarray(self.qpos, dtype=np.float64)
        _check_qpos(self.name, self.layout, qpos)
        object.__setattr__(self, "qpos", readonly(qpos))
        for link, flags in self.contacts.items():
            if np.shape(flags) != (len(qpos),):
                raise InputError(
                    f"contacts of {link}: expected {len(qpos)} flags, found {np.shape(flags)}", where=self.name
                )

    @property
    def layout(self) -> Layout:
        return Layout(self.joints)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame."""
        return (len(self.qpos) - 1) / self.fps

    def save(self, path: Path | str) -> None:
        """Write ``trajectory.npz``."""
        header = {
            "format": "mimic-trajectory",
            "version": 1,
            "name": self.name,
            "character": self.character,
            "joints": [{"name": j.name, "type": j.type} for j in self.joints],
            "fps": self.fps,
            "loop": self.loop,
            "provenance": self.provenance,
            "quality": self.quality,
        }
        arrays = {"header": np.array(json.dumps(header)), "qpos": self.qpos}
        arrays |= {f"contacts/{link}": np.asarray(flags, dtype=bool) for link, flags in self.contacts.items()}
        files.write_npz(path, arrays)

    @classmethod
    def load(cls, path: Path | str) -> Trajectory:
        """Read ``trajectory.npz``.

        Raises:
            InputError: missing, damaged, another format or version.
        """
        arrays = files.read_npz(path)
        if "header" not in arrays or "qpos" not in arrays:
            raise InputError("expected a mimic-trajectory, found an npz without header and qpos", where=path)
        try:
            header = json.loads(str(arrays["header"]))
        except json.JSONDecodeError as error:
            raise InputError(f"header: not valid JSON: {error.msg}", where=path) from error
        file = check_model(TrajectoryFile, header, path)
        with _told_by(path):
            return cls(
                name=file.name,
                character=file.character,
                joints=tuple(JointSpec(j.name, j.type) for j in file.joints),
                fps=file.fps,
                qpos=arrays["qpos"],
                contacts={k.removeprefix("contacts/"): v for k, v in arrays.items() if k.startswith("contacts/")},
                loop=file.loop,
                provenance=file.provenance,
                quality=file.quality,
            )


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A phase-normalised reference clip (``clip.json``)."""

    name: str
    character: str
    loop: bool
    duration: float
    """seconds of one cycle, or of the whole one-shot"""
    joints: tuple[JointSpec, ...]
    phase: Array
    """(P,) uniform in [0, 1) for a loop, in [0, 1] otherwise"""
    qpos: Array
    """(P, nq)"""
    qvel: Array
    """(P, nv) time derivative at the samples, across the wrap for a loop"""
    contacts: dict[str, np.ndarray]
    """link → (P,) bool"""
    cycle_offset: CycleOffset
    provenance: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        layout = self.layout
        qpos, qvel = np.asarray(self.qpos, dtype=np.float64), np.asarray(self.qvel, dtype=np.float64)
        phase = np.asarray(self.phase, dtype=np.float64)
        _check_qpos(self.name, layout, qpos)
        if qvel.shape != (len(qpos), layout.nv) or not np.isfinite(qvel).all():
            raise InputError(
                f"expected finite qvel of shape {(len(qpos), layout.nv)}, found {qvel.shape}", where=self.name
            )
        expected = np.arange(len(qpos)) / (len(qpos) if self.loop else max(len(qpos) - 1, 1))
        if phase.shape != expected.shape or np.abs(phase - expected).max() > 1e-6:
            raise InputError("expected phase uniform in [0, 1) for a loop, in [0, 1] otherwise", where=self.name)
        if not (np.isfinite(self.duration) and self.duration > 0):
            raise InputError(f"expected a positive duration, found {self.duration}", where=self.name)
        for link, flags in self.contacts.items():
            if np.shape(flags) != (len(qpos),):
                raise InputError(
                    f"contacts of {link}: expected {len(qpos)} flags, found {np.shape(flags)}", where=self.name
                )
        for key, value in (("qpos", qpos), ("qvel", qvel), ("phase", phase)):
            object.__setattr__(self, key, readonly(value))

    @property
    def layout(self) -> Layout:
        return Layout(self.joints)

    @property
    def fps(self) -> float:
        """Samples per second."""
        return (len(self.qpos) if self.loop else max(len(self.qpos) - 1, 1)) / self.duration

    def sample(self, seconds: Array) -> tuple[Array, Array]:
        """Pose and velocity at times ``(N,)`` seconds from the clip's start, in the world of cycle 0.

        A loop runs on in both directions, each cycle moved by the cycle offset; a one-shot holds its ends, at rest.

        Returns:
            qpos ``(N, nq)`` and qvel ``(N, nv)``.
        """
        layout, count = self.layout, len(self.qpos)
        at = np.asarray(seconds, dtype=np.float64) * self.fps
        if self.loop:
            cycle = np.floor(at / count).astype(int)
            at = at - cycle * count
            held = np.zeros(len(at), dtype=bool)
            left = np.minimum(at.astype(int), count - 1)
        else:
            cycle = np.zeros(len(at), dtype=int)
            held = (at < -ROUNDING) | (at > count - 1 + ROUNDING)
            at = np.clip(at, 0, count - 1)
            left = np.clip(at.astype(int), 0, max(count - 2, 0))
        wraps, right = np.divmod(np.minimum(left + 1, count if self.loop else count - 1), count)
        share = at - left
        qpos = layout.interpolate(self.qpos[left], self.cycle_offset.apply(self.qpos[right], wraps), share)
        qpos = self.cycle_offset.apply(qpos, cycle)
        va, vb = self.qvel[left].copy(), self.qvel[right].copy()
        vb[:, :3] = rotation.rotate(rotation.from_yaw(self.cycle_offset.yaw * wraps), vb[:, :3])
        qvel = (1 - share)[:, None] * va + share[:, None] * vb
        qvel[:, :3] = rotation.rotate(rotation.from_yaw(self.cycle_offset.yaw * cycle), qvel[:, :3])
        qvel[held] = 0.0
        return qpos, qvel

    def save(self, path: Path | str) -> None:
        """Write ``clip.json``."""
        files.write_json(path, self.to_json(), compact=True)

    def to_json(self) -> dict[str, Any]:
        """The content of ``clip.json``."""
        return {
            "format": "mimic-clip",
            "version": 1,
            "name": self.name,
            "character": self.character,
            "loop": self.loop,
            "duration": self.duration,
            "joints": [{"name": j.name, "type": j.type} for j in self.joints],
            "phase": self.phase.round(9).tolist(),
            "qpos": self.qpos.round(9).tolist(),
            "qvel": self.qvel.round(7).tolist(),
            "contacts": {k: np.asarray(v, dtype=int).tolist() for k, v in self.contacts.items()},
            "cycle_offset": {
                "translation": self.cycle_offset.translation.round(9).tolist(),
                "yaw": round(self.cycle_offset.yaw, 9),
            },
            "provenance": self.provenance,
            "quality": self.quality,
        }

    @classmethod
    def load(cls, path: Path | str) -> Clip:
        """Read ``clip.json``.

        Raises:
            InputError: missing, not JSON, an unknown key, another format or version, arrays that do not fit.
        """
        file = check_model(ClipFile, files.read_json(path), path)
        with _told_by(path):
            return cls(
                name=file.name,
                character=file.character,
                loop=file.loop,
                duration=file.duration,
                joints=tuple(JointSpec(j.name, j.type) for j in file.joints),
                phase=_array(file.phase, path, "phase"),
                qpos=_array(file.qpos, path, "qpos"),
                qvel=_array(file.qvel, path, "qvel"),
                contacts={k: np.array(v, dtype=bool) for k, v in file.contacts.items()},
                cycle_offset=CycleOffset(np.array(file.cycle_offset.translation), file.cycle_offset.yaw),
                provenance=file.provenance,
                quality=file.quality,
            )


@contextmanager
def _told_by(path: Path | str) -> Iterator[None]:
    """Errors about what a file holds, which knows only its own name, name the file."""
    try:
        yield
    except InputError as error:
        if error.where == str(path):
            raise
        raise InputError(error.message, where=path, hint=error.hint) from error


def _array(rows: list, path: Path | str, key: str) -> Array:
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{key}: expected rows of equal length", where=path) from error


class FileModel(BaseModel):
    """Base of the file schemas: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class JointEntry(FileModel):
    name: str
    type: JointType


class CycleOffsetEntry(FileModel):
    translation: Annotated[list[float], Field(min_length=3, max_length=3)]
    yaw: float


class TrajectoryFile(FileModel):
    """Schema of the header of ``trajectory.npz``; the arrays beside it are qpos and contacts/LINK."""

    format: Literal["mimic-trajectory"]
    version: Literal[1]
    name: str
    character: str
    joints: Annotated[list[JointEntry], Field(description="qpos order after the root")]
    fps: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    loop: bool | None
    provenance: dict[str, Any]
    quality: dict[str, Any]


class ClipFile(FileModel):
    """Schema of ``clip.json``."""

    format: Literal["mimic-clip"]
    version: Literal[1]
    name: str
    character: str
    loop: bool
    duration: Annotated[float, Field(gt=0, description="seconds of one cycle, or of the whole one-shot")]
    joints: Annotated[list[JointEntry], Field(description="qpos order after the root")]
    phase: Annotated[list[float], Field(description="P samples, uniform in [0,1) for a loop, in [0,1] otherwise")]
    qpos: Annotated[list[list[float]], Field(description="P rows of nq")]
    qvel: Annotated[list[list[float]], Field(description="P rows of nv")]
    contacts: Annotated[dict[str, list[Literal[0, 1]]], Field(description="URDF link with a collision shape → P flags")]
    cycle_offset: CycleOffsetEntry
    provenance: dict[str, Any]
    quality: dict[str, Any]


Model = TypeVar("Model", bound=BaseModel)


def check_model(model: type[Model], data: Any, where: Path | str) -> Model:
    """Validate file content; a violation becomes an InputError naming the key and, if unknown, the nearest valid one."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors()  # a misspelt key is unknown and missing: the spelling is what to mend
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        if first["type"] == "extra_forbidden":
            valid = _keys(model, first["loc"][:-1])
            hint = nearest(str(first["loc"][-1]), valid) if valid else None
            raise InputError(f"unknown key {key}", where=where, hint=hint) from error
        if first["type"] == "missing":
            raise InputError(f"missing key {key}", where=where) from error
        found = repr(first.get("input"))
        found = found if len(found) < 60 else found[:57] + "…"
        raise InputError(f"{key}: {first['msg'].lower()}, found {found}", where=where) from error


def _keys(model: Any, loc: tuple[int | str, ...]) -> list[str]:
    """The valid keys of the part of a file model that ``loc`` leads to: down fields, table entries and list items."""
    for part in loc:
        fields = getattr(model, "model_fields", None)
        model = fields[part].annotation if fields else (get_args(model) or (None,))[-1]
    return list(getattr(model, "model_fields", {}))
