"""A motion file found, read, understood and cleaned: what every stage starts from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from characters import keyframes
from characters.character import Character
from characters.tracks import Keyframes
from motion import files, formats
from motion.axes import standing_height
from motion.clip import Clip, Trajectory
from motion.errors import InputError, nearest
from motion.motion import Motion, standardise
from motion.roles import Axes, Roles, infer_axes, infer_roles
from pipeline import samples
from pipeline.clean import clean
from retarget.mapping import Mapping
from retarget.refine import refine

RAW = Path("raw_mocap")
"""where a bare file name is looked for, and where samples go"""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A motion file, understood."""

    path: Path
    sha256: str
    raw: Motion
    """as in the file: its unit and axes"""
    roles: Roles
    axes: Axes
    motion: Motion
    """standardised and cleaned"""
    mended: tuple[str, ...]
    """what cleaning did"""
    own: Trajectory | None = None
    """of keyframes: the motion of the body they are for"""

    @property
    def mapping(self) -> Mapping:
        """The map that reproduces this reading."""
        return Mapping(dict(self.roles.chains), self.axes.unit, self.axes.up, evidence=dict(self.roles.evidence))

    @property
    def height(self) -> float:
        """Metres the body it is of stands tall."""
        if self.own is not None:
            return Character.load(self.own.character).height
        return standing_height(self.motion, self.roles)

    @property
    def dropped(self) -> float:
        """Seconds at the file's start that cleaning dropped."""
        return (len(self.raw) - len(self.motion)) / self.raw.fps


def find(path: Path | str, raw: Path = RAW) -> Path:
    """The file a user means: the path itself, or a name in ``raw``; a sample missing there is written.

    Raises:
        InputError: no such file, with the nearest names there are.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("expected a motion file, found a folder", where=path, hint=f"name the files: {path}/*.bvh")
    if path.exists():
        return path
    if path.parent not in (Path(), raw):
        raise InputError("no such file", where=path, hint=_neighbours(path.parent, path.name))
    there = raw / path.name
    if not there.exists() and path.name in samples.names():
        samples.write_samples(raw, [path.stem])
    if not there.exists():
        there_are = [p.name for p in raw.iterdir() if _is_motion(p)] if raw.is_dir() else []
        raise InputError("no such file", where=path, hint=nearest(path.name, {*there_are, *samples.names()}))
    return there


def read(path: Path | str, *, mapping: Mapping | None = None, name: str | None = None) -> Source:
    """Read, understand and clean a motion file.

    Args:
        path: see `find`.
        mapping: a user's map; unit, up axis and roles are inferred without it.
        name: of the motion; the file's stem by default.

    Raises:
        InputError: unreadable, not a motion, a map that does not fit.
    """
    path = find(path)
    if keyframes.is_keyframes(path):
        return _read_keyframes(path, mapping, name)
    digest = files.sha256(path)
    meta = samples.read_meta(path).model_dump(exclude_none=True)
    raw = formats.read(path)
    raw = replace(
        raw,
        name=name or path.stem,
        loop=meta.pop("loop", raw.loop),
        provenance={**raw.provenance, "meta": meta} if meta else raw.provenance,
    )
    if mapping is None:
        roles = infer_roles(raw)
        axes = infer_axes(raw, roles)
    else:
        mapping.check(raw.skeleton, "the map")
        named = {joint for chain in mapping.roles.values() for joint in chain}
        rest = tuple(joint for joint in raw.skeleton.names if joint not in named)
        roles = Roles(dict(mapping.roles), dict.fromkeys(mapping.roles, "the map"), rest)
        axes = Axes(mapping.unit, mapping.up, {"unit": "the map", "up": "the map"}, {"unit": 1.0, "up": 1.0})
    motion, mended = clean(standardise(raw, unit=axes.unit, up=axes.up), roles)
    return Source(path, digest, raw, roles, axes, motion, mended)


def _read_keyframes(path: Path, mapping: Mapping | None, name: str | None) -> Source:
    """Keyframes as a source for any body: their own body's motion, its feet pinned, and the roles its definition states."""
    keys = keyframes.load(path)
    body = keys.character
    own = replace(keys.trajectory(), name=name or keys.name)
    motion = body.to_motion(_pinned(own, keys))
    motion = replace(motion, provenance={**motion.provenance, "declared_unit": 1.0, "declared_up": "z"})
    if mapping is None:
        chains = {"root": (motion.skeleton.names[0],), **body.roles}
        evidence = dict.fromkeys(chains, f"character.toml of {body.name}")
    else:
        mapping.check(motion.skeleton, "the map")
        chains, evidence = dict(mapping.roles), dict.fromkeys(mapping.roles, "the map")
    named = {joint for chain in chains.values() for joint in chain}
    roles = Roles(chains, evidence, tuple(joint for joint in motion.skeleton.names if joint not in named))
    axes = Axes(1.0, "z", {"unit": "keyframes", "up": "keyframes"}, {"unit": 1.0, "up": 1.0})
    return Source(path, files.sha256(path), motion, roles, axes, motion, (), own)


def _pinned(own: Trajectory, keys: Keyframes) -> Trajectory:
    """Keyframes with stated contacts kept: what was authored by eye slides a little."""
    qpos, layout = own.qpos, own.layout
    count = len(qpos) - 1 if keys.loop else len(qpos)
    clip = Clip(
        name=own.name,
        character=own.character,
        loop=keys.loop,
        duration=keys.duration,
        joints=own.joints,
        phase=np.arange(count) / (len(qpos) - 1),
        qpos=qpos[:count],
        qvel=layout.velocities(qpos, 1.0 / own.fps)[:count],
        contacts={link: flags[:count] for link, flags in own.contacts.items()},
        cycle_offset=keys.offset,
    )
    solved = refine(clip, keys.character).qpos
    end = [keys.offset.apply(solved[:1])] if keys.loop else []
    return replace(own, qpos=layout.continuous(np.concatenate([solved, *end])))


def _is_motion(path: Path) -> bool:
    return path.name.endswith(keyframes.SUFFIX) or path.suffix not in (".toml", ".md")


@contextmanager
def told_by_path(source: Source) -> Iterator[None]:
    """Errors about the motion, which knows no file, name the file the user gave."""
    try:
        yield
    except InputError as error:
        if error.where != source.motion.name:
            raise
        raise InputError(error.message, where=source.path, hint=error.hint) from error


def _neighbours(folder: Path, name: str) -> str | None:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    names = [p.name for p in folder.iterdir() if p.is_file()]
    return nearest(name, names) if names else f"the folder {folder} is empty"
