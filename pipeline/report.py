"""What is known of a clip, a policy or a library of them, from their files: for a page (`report_page`) and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, RootModel

from characters.character import Character
from motion import files
from motion.clip import Clip, check_model
from motion.errors import InputError, MimicError
from motion.gains import Gains
from motion.rotation import Array
from pipeline.failures import FailureMap
from pipeline.stages import CLIP, GAINS, QUALITY
from retarget import quality
from retarget.measures import Check, Measures, Verdict
from train import folder as run_folder

PAGE = "report.html"
FORMAT, VERSION = "mimic-report", 1
EVIDENCE = ("inertia", "peak_speed", "free_torque_p95", "torque_limit_from")
"""of a joint's gains: kg·m², rad/s, N·m, and where the torque limit comes from"""


class Score(BaseModel):
    """What a page needs of one measurement in evaluation.json."""

    returns: dict[str, dict[str, float | None]]
    seconds: dict[str, float | None]
    completed: float
    joint_error: float
    place_error: float
    speed_ratio: float | None = None


class Evaluation(BaseModel):
    """What a page needs of evaluation.json."""

    engine: str
    episodes: int
    horizon: float
    normalized_return: float | None = None
    synced: Score
    free: Score | None = None
    uniform: Score | None = None
    noisy: Score | None = None
    zero: Score | None = None
    chance: Score | None = None
    rates: dict[str, Score] | None = None


class Pushed(BaseModel):
    """What a page needs of a direction in push.json."""

    by_phase: list[float]
    median: float
    worst: float
    ci95: list[float]


class Pushes(RootModel[dict[str, Pushed | str]]):
    """push.json: directions, and the engine's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One clip, with its policy if the folder has one."""

    folder: Path
    clip: Clip
    character: Character
    measures: Measures
    verdict: Verdict
    phase: dict[str, Any] | None = None
    """how the cycle was chosen (`pipeline.phase`); policies do not keep it"""
    gains: Gains | None = None
    curve: dict[str, Array] = field(default_factory=dict)
    """columns (R,) of metrics.csv"""
    evaluation: dict[str, Any] | None = None
    push: dict[str, Any] | None = None
    failures: FailureMap | None = None

    @property
    def title(self) -> str:
        return f"{self.clip.name} on {self.clip.character}"

    @property
    def failing(self) -> tuple[Check, ...]:
        """Checks that broke their limit."""
        return tuple(check for check in self.verdict.checks if check.status == "fail")

    @property
    def proof(self) -> dict[str, Any]:
        """Engine → preset → what `gains --prove` found; empty if it was not asked."""
        return {} if self.gains is None else self.gains.evidence.get("proof", {}).get("engines", {})

    def to_json(self) -> dict[str, Any]:
        """All of it but the curves' points and the pictures."""
        clip = self.clip
        data: dict[str, Any] = {
            "folder": self.folder.as_posix(),
            "name": clip.name,
            "character": clip.character,
            "loop": clip.loop,
            "duration": round(clip.duration, 4),
            "source": clip.provenance.get("source"),
            "quality": self.verdict.to_json(),
            "contacts": {link: intervals(flags, clip) for link, flags in clip.contacts.items()},
            "seam": self.phase,
        }
        if self.gains is not None:
            data["gains"] = self.gains.model_dump(include={"timestep", "presets", "evidence"})
        if self.curve:
            data["training"] = {name: _number(values[-1]) for name, values in self.curve.items()}
        data |= {"evaluation": self.evaluation, "push": self.push}
        data["failures"] = None if self.failures is None else self.failures.summary()
        return run_folder.finite({key: value for key, value in data.items() if value is not None})


def find(path: Path | str) -> list[Path]:
    """Folders with a clip.json: ``path`` itself, or those anywhere under it, by name.

    Raises:
        InputError: no such folder, or no clip in it.
    """
    path = Path(path)
    if path.name == CLIP and path.is_file():
        path = path.parent
    if not path.is_dir():
        raise InputError("no such folder", where=path, hint="name the folder of a clip or a policy, or one of many")
    if (path / CLIP).is_file():
        return [path]
    found = sorted(p.parent for p in path.rglob(CLIP) if not any(q.startswith(".") for q in p.relative_to(path).parts))
    if not found:
        raise InputError(f"expected a {CLIP} in it or in folders under it, found none", where=path, hint="retarget one")
    return found


def page_of(path: Path | str) -> Path:
    """Where the page of a folder goes by default."""
    path = Path(path)
    return (path if path.is_dir() else path.parent) / PAGE


def read(folder: Path | str) -> Entry:
    """Everything a folder's files say of its clip and policy; a clip that was never measured is measured.

    Raises:
        InputError: a file that cannot be used, a clip whose body is unknown or another.
    """
    folder = Path(folder)
    clip = Clip.load(folder / CLIP)
    character = Character.load(clip.provenance.get("character_folder", clip.character))
    if clip.joints != character.specs:
        raise InputError(
            f"clip {clip.name} is of {clip.character}, whose joints are not those of {character.name}",
            where=folder / CLIP,
            hint=f"retarget it with --char {character.name}",
        )
    try:
        measures = Measures.from_json(clip.quality)
    except (KeyError, TypeError, AttributeError):
        measures = quality.intrinsic(clip, character)
    stored = _json(folder / QUALITY) or {}
    return Entry(
        folder=folder,
        clip=clip,
        character=character,
        measures=measures,
        verdict=quality.verdict(measures),
        phase=stored.get("phase"),
        gains=Gains.load(folder / GAINS) if (folder / GAINS).exists() else None,
        curve=read_curve(folder / run_folder.METRICS),
        evaluation=_json(folder / run_folder.EVALUATION, Evaluation),
        push=_json(folder / run_folder.PUSH, Pushes),
        failures=FailureMap.of(folder),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The clips and policies of a folder."""

    path: Path
    entries: tuple[Entry, ...]
    unreadable: tuple[tuple[Path, str], ...] = ()
    """folder and what is wrong with it"""

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "folder": self.path.as_posix(),
            "clips": [entry.to_json() for entry in self.entries],
            "unreadable": [{"folder": folder.as_posix(), "error": error} for folder, error in self.unreadable],
        }


def gather(path: Path | str, told: Callable[[MimicError], None] | None = None) -> Report:
    """Read a folder, or every clip under it; a library carries on past one that cannot be read.

    Args:
        told: called with what is wrong with each that is left out.
    """
    folders = find(path)
    entries: list[Entry] = []
    unreadable: list[tuple[Path, str]] = []
    for folder in folders:
        try:
            entries.append(read(folder))
        except MimicError as problem:
            if len(folders) == 1:
                raise
            unreadable.append((folder, str(problem)))
            if told:
                told(problem)
    return Report(Path(path), tuple(entries), tuple(unreadable))


def intervals(flags: np.ndarray, clip: Clip) -> list[list[float]]:
    """Seconds [from, to] of each unbroken stretch of flags ``(P,)``."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, dtype=int), [0]])))
    return [[round(float(a) / clip.fps, 4), round(float(b) / clip.fps, 4)] for a, b in change.reshape(-1, 2)]


def read_curve(path: Path) -> dict[str, Array]:
    """Columns ``(R,)`` of a metrics.csv, an empty cell as NaN; empty if there is no such file.

    Raises:
        InputError: not a table of numbers.
    """
    if not path.exists():
        return {}
    rows = list(csv.DictReader(io.StringIO(files.read_text(path))))
    try:
        columns = list(rows[0]) if rows else []
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns}
    except (TypeError, ValueError) as error:
        raise InputError(f"expected numbers under names: {error}", where=path) from error


def _json(path: Path, model: type[BaseModel] | None = None) -> dict[str, Any] | None:
    """A file's object, after a look whether what is needed of it is there; None if there is no such file."""
    if not path.exists():
        return None
    data = files.read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"expected an object, found {type(data).__name__}", where=path)
    if model is not None:
        check_model(model, data, path)
    return data


def _number(value: float) -> float:
    return float(f"{float(value):.6g}")
