"""What can be shown of the paths a user names: each clip, motion and policy under them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from characters import keyframes
from characters.character import Character
from motion import files, formats
from motion.clip import Clip, Trajectory
from motion.errors import InputError
from pipeline import sources, stages, takes
from pipeline.takes import Take

CLIP, CONFIG = "clip.json", "config.json"
"""a folder with the first is a clip, with both a policy"""
Kind = Literal["clip", "motion", "policy"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to show."""

    name: str
    """unlike all others of the list"""
    path: Path
    kind: Kind
    among: tuple[Entry, ...] = ()
    """what is shown side by side under this name"""

    def load(self) -> Take:
        """What is shown of it; of a policy the clip it performs.

        Raises:
            InputError: it cannot be read.
        """
        if self.among:
            return takes.together([entry.load() for entry in self.among])
        if self.kind == "motion":
            if self.path.suffix == ".npz" and "qpos" in files.read_npz(self.path):
                return _take(Trajectory.load(self.path))
            source = sources.read(self.path)
            return takes.of_motion(source.motion, source.roles) if source.own is None else _take(source.own)
        return _take(Clip.load(self.path / CLIP if self.path.is_dir() else self.path))


def _take(what: Clip | Trajectory) -> Take:
    folder = what.provenance.get("character_folder", what.character)
    return takes.of_clip(what, Character.load(folder), stages.beside(what))


def find(paths: Iterable[Path]) -> tuple[Entry, ...]:
    """Everything under paths: clips, clip folders, motion files, keyframes, policy folders, and folders of these.

    Raises:
        InputError: a path is not there, is nothing that moves, or a folder without any.
    """
    found: list[tuple[Path, Kind]] = []
    for path in paths:
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                raise InputError(
                    "expected clips, motions or policies, found none",
                    where=path,
                    hint="`mimic-pipe retarget FILE --char C` makes a clip",
                )
            found += inside
        elif path.suffix == ".json" and path.exists():
            found.append((path, "clip"))
        else:
            path = sources.find(path)
            if not _moves(path):
                formats.recognise(path)  # raises, saying what a motion looks like
            found.append((path, "motion"))
    return tuple(Entry(name, path, kind) for name, (path, kind) in zip(_names(found), found, strict=True))


def together(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """All of them side by side, then each."""
    return (Entry("side by side", Path(), "clip", entries), *entries) if len(entries) > 1 else entries


def _inside(folder: Path) -> list[tuple[Path, Kind]]:
    """Of a folder: itself, if it is a clip's or a policy's, else what is in it and its folders."""
    if (folder / CLIP).is_file():
        return [(folder, "policy" if (folder / CONFIG).is_file() else "clip")]
    out: list[tuple[Path, Kind]] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            out += _inside(path)
        elif _moves(path):
            out.append((path, "motion"))
    return out


def _moves(path: Path) -> bool:
    """Whether a file is keyframes, a trajectory or of a known motion format."""
    if path.suffix == ".toml":
        return path.name.endswith(keyframes.SUFFIX)
    if path.suffix == ".npz":
        return True
    try:
        formats.recognise(path)
    except InputError:
        return False
    return True


def _names(found: list[tuple[Path, Kind]]) -> list[str]:
    """A short name for each: as many of its last folders as tell it from the others; of a clip or policy its body's, too."""
    parts = [path.resolve().parts for path, _ in found]
    least = [1 if kind == "motion" else 3 if path.name == CLIP else 2 for path, kind in found]
    depth, names = 0, list[str]()
    while len(set(names)) < len(set(parts)):
        depth += 1
        names = ["/".join(own[-max(depth, most) :]) for own, most in zip(parts, least, strict=True)]
    seen: dict[str, int] = {}
    for i, name in enumerate(names):  # the same path named twice
        seen[name] = seen.get(name, 0) + 1
        names[i] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names
