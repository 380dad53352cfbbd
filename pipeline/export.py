"""A clip or motion in other formats: one function a format."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from characters.character import Character
from motion import files
from motion.clip import Clip, Trajectory
from motion.errors import InputError, nearest
from motion.formats import bvh, deepmimic, npz
from motion.motion import Motion
from pipeline.samples import Meta, write_meta

AXES = ("x", "y", "z")
QUATERNION = ("w", "x", "y", "z")


def trajectory_of(clip: Clip) -> Trajectory:
    """A clip as a trajectory from its first instant to its last: a loop ends on the first pose of its next cycle."""
    qpos, contacts = clip.qpos, clip.contacts
    if clip.loop:
        qpos = np.concatenate([qpos, clip.cycle_offset.apply(qpos[:1])])
        contacts = {link: np.append(flags, flags[:1]) for link, flags in contacts.items()}
    return Trajectory(
        name=clip.name,
        character=clip.character,
        joints=clip.joints,
        fps=clip.fps,
        qpos=clip.layout.continuous(qpos),
        contacts=contacts,
        loop=clip.loop,
        provenance=clip.provenance,
    )


def _bvh(path: Path, clip: Clip | Trajectory | Motion, character: Character | None) -> None:
    """Centimetres, y-up, with a meta.toml beside it that says whether it loops."""
    motion = clip if isinstance(clip, Motion) else _body(clip, character).to_motion(_trajectory(clip))
    bvh.write(path, motion)
    write_meta(path, Meta(loop=motion.loop, duration=motion.duration or None))


def _deepmimic(path: Path, clip: Clip | Trajectory | Motion, character: Character | None) -> None:
    """DeepMimic's JSON, for a body with the humanoid's joints."""
    deepmimic.write(path, deepmimic.from_trajectory(_trajectory(clip)))


def _csv(path: Path, clip: Clip | Trajectory | Motion, character: Character | None) -> None:
    """A row a sample: seconds, qpos, qvel and contacts, in columns named by joint and link."""
    trajectory = _trajectory(clip)
    qvel = _velocities(clip)
    joints = [(j.name, QUATERNION if j.type == "ball" else ("",)) for j in trajectory.joints]
    speeds = [(j.name, AXES if j.type == "ball" else ("",)) for j in trajectory.joints]
    columns = ["seconds", *(f"root.{a}" for a in AXES), *(f"root.q{a}" for a in QUATERNION)]
    columns += [f"{name}.q{a}" if a else name for name, axes in joints for a in axes]
    columns += [f"root.v{a}" for a in AXES] + [f"root.w{a}" for a in AXES]
    columns += [f"{name}.w{a}" if a else f"{name}.speed" for name, axes in speeds for a in axes]
    columns += [f"contact.{link}" for link in trajectory.contacts]
    count = len(qvel)
    flags = [np.asarray(f[:count], dtype=float) for f in trajectory.contacts.values()]
    seconds = np.arange(count) / trajectory.fps
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(np.column_stack([seconds, trajectory.qpos[:count], qvel, *flags]).round(9).tolist())
    files.write_text(path, text.getvalue())


def _npz(path: Path, clip: Clip | Trajectory | Motion, character: Character | None) -> None:
    """Named arrays: numpy alone reads them."""
    if isinstance(clip, Motion):
        npz.write(path, clip)
        return
    qvel = _velocities(clip)
    arrays: dict[str, np.ndarray] = {
        "joints": np.array([j.name for j in clip.joints]),
        "joint_types": np.array([j.type for j in clip.joints]),
        "seconds": np.arange(len(qvel)) / clip.fps,
        "qpos": clip.qpos,
        "qvel": qvel,
        "loop": np.array(bool(clip.loop)),
    }
    if isinstance(clip, Clip):
        arrays |= {"phase": clip.phase, "cycle_translation": clip.cycle_offset.translation}
        arrays |= {"cycle_yaw": np.array(clip.cycle_offset.yaw)}
    arrays |= {f"contacts/{link}": np.asarray(flags, dtype=bool) for link, flags in clip.contacts.items()}
    files.write_npz(path, arrays)


@dataclass(frozen=True, slots=True)
class Exporter:
    """How to write one format."""

    suffix: str
    write: Callable[[Path, Clip | Trajectory | Motion, Character | None], None]


EXPORTERS = {
    "bvh": Exporter(".bvh", _bvh),
    "deepmimic": Exporter(".txt", _deepmimic),
    "csv": Exporter(".csv", _csv),
    "npz": Exporter(".npz", _npz),
}


def exporter(format_: str) -> Exporter:
    """The exporter of a format; InputError with the nearest names if there is none."""
    if format_ not in EXPORTERS:
        raise InputError(f"no export format {format_!r}", hint=nearest(format_, EXPORTERS))
    return EXPORTERS[format_]


def _trajectory(clip: Clip | Trajectory | Motion) -> Trajectory:
    if isinstance(clip, Motion):
        raise InputError(
            "expected a body's clip, found a motion without a body",
            where=clip.name,
            hint="retarget it first; a motion itself is exported as bvh or npz",
        )
    return trajectory_of(clip) if isinstance(clip, Clip) else clip


def _body(clip: Clip | Trajectory, character: Character | None) -> Character:
    assert character is not None, "a clip is exported together with its character"
    return character


def _velocities(clip: Clip | Trajectory | Motion) -> np.ndarray:
    if isinstance(clip, Clip):
        return clip.qvel
    trajectory = _trajectory(clip)
    return trajectory.layout.velocities(trajectory.qpos, 1.0 / trajectory.fps)
