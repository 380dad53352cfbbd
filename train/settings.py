"""What a training is made of, as config.json keeps it: settings, stages that change them on the way, changes made since."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from characters.character import Character
from motion import files
from motion.errors import InputError, nearest
from train.engine import EngineSettings
from train.env import EnvSettings
from train.ppo import PpoSettings

CONFIG = "config.json"
HEADER = {"format": "mimic-config", "version": 1}
FIXED = ("environments", "seed", "learning.hidden", "learning.log_std")
"""what the checkpoint of a training that has begun holds already"""
POSITIVE, NOT_NEGATIVE, COUNT, SHARE = Field(gt=0), Field(ge=0), Field(ge=1), Field(ge=0, le=1)
RANGES = {
    "physics.timestep": POSITIVE,
    "physics.substeps": COUNT,
    "physics.friction": NOT_NEGATIVE,
    "physics.threads": COUNT,
    "task.horizon": POSITIVE,
    "task.deviation_com": POSITIVE,
    "task.deviation_root": POSITIVE,
    "task.residual": NOT_NEGATIVE,
    "task.lookahead": NOT_NEGATIVE,
    "learning.steps": COUNT,
    "learning.gamma": Field(ge=0, lt=1),  # returns are scaled by 1 − γ
    "learning.lam": SHARE,
    "learning.clip": POSITIVE,
    "learning.epochs": COUNT,
    "learning.minibatch": COUNT,
    "learning.rate": POSITIVE,
    "learning.critic_rate": POSITIVE,
    "learning.kl": POSITIVE,
    "learning.log_std": Field(ge=-10, le=2),
    "learning.entropy": NOT_NEGATIVE,
    "learning.value_weight": NOT_NEGATIVE,
    "learning.gradient_norm": POSITIVE,
}
"""what numbers make sense, of the settings that others define; disturbances know their own"""
Values = dict[str, Any]
"""dotted name of a setting, such as ``task.residual``, → its value"""


@dataclass(frozen=True, slots=True)
class Stage:
    """Settings that hold from some point of a training on."""

    after: Annotated[float, Field(ge=0, lt=1)]
    """share of the samples"""
    set: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What a resumed training was told to do differently."""

    samples: int
    """done when it was"""
    set: Values
    was: Values


@dataclass(frozen=True, slots=True)
class RunSettings:
    """A whole training, as config.json keeps it."""

    engine: str = "mujoco"
    preset: str = "soft"
    """of gains.json"""
    environments: Annotated[int, Field(gt=0)] = 128
    samples: Annotated[int, Field(gt=0)] = 1_200_000
    """policy steps of all environments together"""
    seed: Annotated[int, Field(ge=0)] = 0
    episodes: Annotated[int, Field(gt=0)] = 32
    """of the final evaluation"""
    physics: EngineSettings = field(default_factory=EngineSettings)
    task: EnvSettings = field(default_factory=EnvSettings)
    learning: PpoSettings = field(default_factory=PpoSettings)
    stages: tuple[Stage, ...] = ()
    """in order; each adds to those before it"""
    history: tuple[Change, ...] = ()

    def at(self, samples: int) -> RunSettings:
        """The settings that hold when ``samples`` are done, stages applied."""
        settings = self
        for stage in self.stages:
            if samples >= stage.after * self.samples:
                settings = changed(settings, stage.set, "a stage")
        return settings

    def borders(self) -> list[int]:
        """Numbers of samples at which a stage begins or the training ends, ascending."""
        return sorted({math.ceil(stage.after * self.samples) for stage in self.stages} - {0}) + [self.samples]


def default(character: Character) -> RunSettings:
    """The settings a training of a body begins with."""
    return RunSettings(physics=EngineSettings(self_collision=character.self_collision))


@cache
def names(kind: type = RunSettings) -> tuple[str, ...]:
    """The dotted names of all settings that have a single value."""
    found: list[str] = []
    hints = get_type_hints(kind)
    for each in fields(kind):
        if is_dataclass(hints[each.name]):
            found += [f"{each.name}.{name}" for name in names(hints[each.name])]
        elif each.name not in ("stages", "history"):
            found.append(each.name)
    return tuple(found)


def value_of(settings: RunSettings, name: str) -> Any:
    """The value under a dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def parse(assignments: tuple[str, ...]) -> Values:
    """``("task.residual=0.3", …)`` as values; what is not JSON is text.

    Raises:
        InputError: no ``=``, or no such setting.
    """
    values: Values = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"expected KEY=VALUE, found {text!r}", where="--set", hint="such as task.residual=0.3")
        _known(name, "--set")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def changed(settings: RunSettings, values: Values, where: object = "--set") -> RunSettings:
    """The settings with some of them replaced.

    Raises:
        InputError: an unknown name, with the nearest ones, or a value that does not fit.
    """
    data = asdict(settings)
    for name, value in values.items():
        _known(name, where)
        *path, last = name.split(".")
        inner = data
        for part in path:
            inner = inner[part]
        inner[last] = value
    return from_json(data, where)


def resumed(settings: RunSettings, done: int, values: Values) -> RunSettings:
    """The settings a training goes on with after ``done`` samples; what changes is recorded in its history.

    Stages that have begun become plain settings, so that a larger budget does not take them back.

    Raises:
        InputError: as `changed`; a setting that cannot change any more.
    """
    now = settings.at(done)
    new = {name: value for name, value in values.items() if changed(now, {name: value}) != now}
    if not new:
        return settings
    for name in FIXED:
        if name in new:
            raise InputError(
                f"{name} cannot change once a training has begun (it is {value_of(settings, name)!r})",
                where="--set",
                hint="train anew with --out",
            )
    later = tuple(stage for stage in settings.stages if done < stage.after * settings.samples)
    change = Change(done, new, {name: value_of(now, name) for name in new})
    return replace(changed(now, new), stages=later, history=(*settings.history, change))


def save(settings: RunSettings, folder: Path) -> None:
    """Write config.json."""
    files.write_json(folder / CONFIG, {**HEADER, **asdict(settings)})


def load(path: Path) -> RunSettings:
    """Read a config.json, or that of a run folder; a header may be missing."""
    path = path / CONFIG if path.is_dir() or not path.suffix else path
    data = files.read_json(path)
    if not isinstance(data, dict):
        raise InputError("expected the settings of a training", where=path)
    for key, expected in HEADER.items():
        if data.pop(key, expected) != expected:
            raise InputError(f"expected {key} {expected}", where=path)
    return from_json(data, path)


def from_json(data: Values, where: object) -> RunSettings:
    """Settings of nested JSON; what is missing has its default.

    Raises:
        InputError: an unknown key, with the nearest ones, or a value that does not fit.
    """
    _check_keys(data, RunSettings, "", where)
    try:
        settings = TypeAdapter(RunSettings).validate_python(data)
    except ValidationError as problem:
        raise _misfit(problem, "", where) from problem
    for name in names():
        value = value_of(settings, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}: expected a finite number, found {value}", where=where)
    for name, check in _ranges().items():
        try:
            check.validate_python(value_of(settings, name))
        except ValidationError as problem:
            raise _misfit(problem, name, where) from problem
    plan = replace(settings, stages=())
    for stage in settings.stages:  # what cannot be is found now, not in an hour
        for name in stage.set:
            _known(name, f"{where}: stages")
            if name in FIXED or name == "samples":
                raise InputError(f"{name} cannot change in a stage", where=where)
        plan = changed(plan, stage.set, f"{where}: stages")
    return settings


def _misfit(problem: ValidationError, name: str, where: object) -> InputError:
    """The first thing wrong with the setting ``name``, or with all of them if it is empty."""
    first = problem.errors()[0]
    key = ".".join([name] * bool(name) + [str(part) for part in first["loc"]])
    return InputError(f"{key}: {first['msg'].lower()}, found {first['input']!r}", where=where)


@cache
def _ranges() -> dict[str, TypeAdapter[Any]]:
    checks: dict[str, Any] = {name: Annotated[float, limits] for name, limits in RANGES.items()}
    checks["learning.hidden"] = tuple[Annotated[int, COUNT], ...]
    return {name: TypeAdapter(kind) for name, kind in checks.items()}


def _known(name: str, where: object) -> None:
    if name not in names():
        raise InputError(f"no setting {name!r}", where=where, hint=nearest(name, names()))


def _check_keys(data: Any, kind: Any, prefix: str, where: object) -> None:
    """Every key at every depth is a field of the dataclass it stands for."""
    if get_origin(kind) is tuple and isinstance(data, list | tuple):
        for each in data:
            _check_keys(each, get_args(kind)[0], prefix, where)
    if not is_dataclass(kind) or not isinstance(data, dict):
        return
    hints = get_type_hints(kind)
    for key, value in data.items():
        if key not in hints:
            raise InputError(f"unknown key {prefix}{key}", where=where, hint=nearest(key, hints))
        _check_keys(value, hints[key], f"{prefix}{key}.", where)
