"""A training from a clip's folder to a run folder: settings, metrics, checkpoints, policy, evaluation."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from characters.character import Character
from motion import files
from motion.clip import Clip
from motion.errors import InputError, nearest
from motion.gains import Gains, JointGain
from train import engine, push
from train.disturbance import NONE
from train.engine import EngineSettings
from train.env import EnvSettings, ImitationEnv
from train.evaluate import Evaluation, actor, evaluate
from train.export import export
from train.ppo import Ppo, PpoSettings, load_policy

CONFIG, CLIP, GAINS, METRICS = "config.json", "clip.json", "gains.json", "metrics.csv"
CHECKPOINT, POLICY, EVALUATION = "checkpoint.pt", "policy.onnx", "evaluation.json"
SAVE_EVERY = 60.0
"""seconds between checkpoints"""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """A whole training, as config.json keeps it."""

    engine: str = "mujoco"
    preset: str = "soft"
    """of gains.json"""
    environments: int = 128
    samples: int = 1_200_000
    """policy steps of all environments together"""
    seed: int = 0
    episodes: int = 32
    """of the final evaluation"""
    physics: EngineSettings = field(default_factory=EngineSettings)
    task: EnvSettings = field(default_factory=EnvSettings)
    learning: PpoSettings = field(default_factory=PpoSettings)


Report = Callable[[dict[str, float]], None]
"""called after each batch with its figures, ``samples`` and ``seconds`` among them"""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a training works on."""

    character: Character
    clip: Clip
    gains: Gains

    @classmethod
    def load(cls, folder: Path, char: str | None = None) -> Material:
        """Read clip.json and gains.json of a folder (or of the folder of a clip.json)."""
        folder = folder.parent if folder.name == CLIP else folder
        clip = Clip.load(folder / CLIP)
        gains = Gains.load(folder / GAINS)
        character = Character.load(char or clip.character)
        if gains.character != character.name:
            raise InputError(
                f"expected gains of {character.name}, found those of {gains.character}", where=folder / GAINS
            )
        return cls(character, clip, gains)

    def preset(self, name: str) -> dict[str, JointGain]:
        """Gains of a preset; InputError with the nearest names if there is none."""
        if name not in self.gains.presets:
            raise InputError(f"no preset {name!r} in the gains", hint=nearest(name, self.gains.presets))
        return self.gains.presets[name]


def train(source: Path, out: Path, settings: RunSettings, report: Report, *, resume: bool = False) -> Evaluation:
    """Train a policy and leave the run folder ``out``.

    Args:
        source: folder with clip.json and gains.json.
        resume: go on from the checkpoint in ``out``; its settings hold, but for ``samples``.

    Raises:
        InputError: a clip or gains that do not fit; a run is there already and ``resume`` is not wanted.
        SolveError: the learning broke; the last good checkpoint is kept.
    """
    if resume:
        settings = replace(read_settings(out), samples=settings.samples)
        source = out
    elif (out / CHECKPOINT).exists():
        raise InputError(
            "a run is there already", where=out, hint="--resume goes on with it; --out takes another folder"
        )
    material = Material.load(source)
    gains = material.preset(settings.preset)
    settings = replace(settings, physics=replace(settings.physics, self_collision=material.character.self_collision))
    world = engine.make(settings.engine, material.character, gains, settings.environments, settings.physics)
    try:
        env = ImitationEnv(world, material.clip, settings.task, settings.seed)
        ppo = Ppo(env, settings.learning, settings.seed)
        if resume:
            ppo.load(out / CHECKPOINT)
        else:
            files.write_json(out / CONFIG, asdict(settings))
            material.clip.save(out / CLIP)
            material.gains.save(out / GAINS)
        _loop(ppo, out, settings.samples, report)
    finally:
        world.close()
    policy = ppo.policy.eval()
    export(policy, out / POLICY)
    found = _evaluate(material, settings, load_policy(out / CHECKPOINT), settings.engine, settings.episodes)
    files.write_json(out / EVALUATION, finite(found.to_json()))
    return found


def _loop(ppo: Ppo, out: Path, samples: int, report: Report) -> None:
    """Learn until ``samples``, a row of metrics.csv a batch, a checkpoint a minute."""
    start = saved = time.monotonic()
    rows = _kept_rows(out / METRICS, ppo.samples)
    before = float(rows[-1]["seconds"]) if rows else 0.0
    with (out / METRICS).open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        ppo.save(out / CHECKPOINT)  # a folder that cannot be written to is found now, not after a minute
        while ppo.samples < samples:
            figures = {"samples": 0.0, **ppo.iterate()}
            figures |= {"samples": float(ppo.samples), "seconds": before + time.monotonic() - start}
            if writer is None:
                writer = csv.DictWriter(file, list(figures))
                writer.writeheader()
                writer.writerows(rows)
            writer.writerow({key: f"{value:.8g}" for key, value in figures.items()})
            file.flush()
            if time.monotonic() - saved > SAVE_EVERY:
                ppo.save(out / CHECKPOINT)
                saved = time.monotonic()
            report(figures)
    ppo.save(out / CHECKPOINT)


def _kept_rows(path: Path, samples: int) -> list[dict[str, str]]:
    """Rows of an earlier part of the run, up to its checkpoint."""
    if not samples or not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if float(row["samples"]) <= samples]


def read_settings(folder: Path) -> RunSettings:
    """The settings a run folder was made with."""
    try:
        return TypeAdapter(RunSettings).validate_python(files.read_json(folder / CONFIG))
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{key}: {first['msg'].lower()}", where=folder / CONFIG) from problem


def evaluate_folder(folder: Path, *, engine_name: str | None = None, episodes: int = 32, seed: int = 0) -> Evaluation:
    """Evaluate the policy of a run folder, in the engine it was trained in or in another."""
    settings = replace(read_settings(folder), seed=seed)
    policy = load_policy(folder / CHECKPOINT)
    return _evaluate(Material.load(folder), settings, policy, engine_name or settings.engine, episodes)


def push_folder(folder: Path, *, engine_name: str | None = None, largest: float = 1000.0) -> dict[str, push.Survived]:
    """Scan the pushes the policy of a run folder survives."""
    settings, material = read_settings(folder), Material.load(folder)
    gains, task = material.preset(settings.preset), settings.task
    task = replace(task, early_termination="none" if task.early_termination == "none" else "contact", resync=True)
    task = replace(task, horizon=push.LONGEST + material.clip.duration, disturbance=NONE)

    def make(count: int) -> ImitationEnv:
        name = engine_name or settings.engine
        world = engine.make(name, material.character, gains, count, settings.physics)
        return ImitationEnv(world, material.clip, task, settings.seed)

    return push.scan(actor(load_policy(folder / CHECKPOINT)), make, largest)


def _evaluate(material: Material, settings: RunSettings, policy: Any, engine_name: str, episodes: int) -> Evaluation:
    return evaluate(
        actor(policy),
        material.character,
        material.clip,
        material.preset(settings.preset),
        settings.task,
        engine_name=engine_name,
        physics=settings.physics,
        episodes=episodes,
        profile=settings.task.reward,
        seed=settings.seed + 1,
    )


def finite(value: Any) -> Any:
    """JSON has no NaN: what could not be measured is null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and value != value else value
