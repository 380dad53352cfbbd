"""A skill, from a motion file to a policy that ships: retarget, validate, train, evaluate, push, from where it stopped."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from characters.character import Character
from motion import files
from motion.clip import Clip, FileModel, check_model
from motion.errors import InputError, nearest
from pipeline import lock, sources, stages
from train import engine, folder, run, settings
from train.settings import RunSettings, Stage, Values, changed

LIST = Path(settings.__file__).parent / "skills.toml"
POLICIES, RUNS = Path("policies"), Path("runs")
"""where skills go that ship, and those that do not"""
FIGURES_ONLY = Path("docs/results/figures")
"""where of the latter the figures go"""
SHARE = 0.2
"""of the published samples that a skill may take"""
Kind = Literal["cycle", "one_shot", "floor"]
Say = Callable[[str], None]
"""told what is being done, a line each"""
Reporter = Callable[[int, float], run.Report]
"""makes, of a number of samples and an episode's seconds, what is told of each batch"""


FIGURES = (folder.CONFIG, folder.EVALUATION, folder.PUSH, folder.METRICS)
QUALITY = "quality.json"


def title_of(file: Path) -> str:
    """Name of the clip that comes of a motion file."""
    return file.name.removesuffix(".keyframes.toml") if file.name.endswith(".keyframes.toml") else file.stem


class StageEntry(FileModel):
    """Settings that hold from a share of the samples on."""

    after: Annotated[float, Field(ge=0, lt=1)]
    set: dict[str, Any]


class Recipe(FileModel):
    """How all skills of a kind are trained."""

    samples: Annotated[int, Field(gt=0)]
    set: dict[str, Any] = {}
    stages: list[StageEntry] = []


class Paper(FileModel):
    """What Peng et al. 2018 report."""

    nr: float
    samples: Annotated[float, Field(gt=0, description="millions")]
    forward: Annotated[float | None, Field(description="newtons survived for 0.2 s")] = None
    sideways: float | None = None
    replayed: Annotated[float | None, Field(description="NR of the humanoid's policy on this body")] = None


class Entry(FileModel):
    """A row of the list."""

    char: str
    clip: Annotated[str, Field(description="a motion file; a bare name is looked for in raw_mocap/")]
    kind: Kind
    name: str | None = None
    samples: Annotated[int | None, Field(gt=0)] = None
    set: dict[str, Any] = {}
    force: Annotated[bool, Field(description="train although the clip fails validation")] = False
    reason: Annotated[str | None, Field(description="why this skill departs from the recipe of its kind")] = None
    paper: Paper | None = None
    ships: bool = True
    notes: Annotated[str, Field(description="what was tried, what it lacks")] = ""

    @property
    def title(self) -> str:
        """Name of the clip."""
        return self.name or title_of(Path(self.clip))

    @property
    def run(self) -> Path:
        """Folder of its training."""
        return (POLICIES if self.ships else RUNS) / self.char / self.title

    @property
    def figures(self) -> Path:
        """Folder of what is known of it: the training's, or, of one that does not ship, its figures alone."""
        return (POLICIES if self.ships else FIGURES_ONLY) / self.char / self.title


class SkillList(FileModel):
    """Content of ``skills.toml``."""

    recipes: dict[Kind, Recipe]
    skill: list[Entry]

    @classmethod
    def load(cls, path: Path = LIST) -> SkillList:
        """Read a list.

        Raises:
            InputError: unreadable, an unknown key or setting, a departure from the recipe without a reason, a budget over
                a fifth of the paper's.
        """
        try:
            listed = check_model(cls, tomllib.loads(files.read_text(path)), path)
        except tomllib.TOMLDecodeError as problem:
            raise InputError(f"not valid TOML: {problem}", where=path) from problem
        for entry in listed.skill:
            where = f"{path}: {entry.char} {entry.title}"
            if entry.kind not in listed.recipes:
                raise InputError(f"no recipe for {entry.kind}", where=where, hint=nearest(entry.kind, listed.recipes))
            if (entry.set or entry.force or entry.samples) and not entry.reason:
                raise InputError(f"departs from the recipe for {entry.kind} without a reason", where=where)
            budget = listed.settings(entry).samples
            if entry.paper is not None and budget > SHARE * 1e6 * entry.paper.samples:
                raise InputError(f"{budget:,} samples are more than a fifth of the paper's", where=where)
        return listed

    def entry(self, char: str, title: str) -> Entry | None:
        """The row of a clip on a body."""
        return next((entry for entry in self.skill if (entry.char, entry.title) == (char, title)), None)

    def settings(self, entry: Entry, base: RunSettings | None = None) -> RunSettings:
        """How a skill is trained: the recipe of its kind, then what it sets itself."""
        recipe = self.recipes[entry.kind]
        values = {**recipe.set, "samples": entry.samples or recipe.samples, **entry.set}
        stages = tuple(Stage(stage.after, stage.set) for stage in recipe.stages)
        plan = replace(changed(base or RunSettings(), values, LIST), stages=stages)
        plan.at(plan.samples)  # a stage that cannot be is found now, not in an hour
        return plan


def kind_of(clip: Clip) -> Kind:
    """The recipe for a clip that is not in the list."""
    return "floor" if clip.quality.get("kind") == "floor" else "cycle" if clip.loop else "one_shot"


def perform(
    file: Path | str,
    char: str,
    report: Reporter,
    say: Say,
    *,
    name: str | None = None,
    out: Path | None = None,
    threads: int = 1,
    values: Values | None = None,
    force: bool = False,
    film: run.Film | None = None,
    listed: SkillList | None = None,
) -> Path:
    """The whole chain for one skill; what is done already is not done again.

    Args:
        out: run folder; by default that of the list, or policies/CHAR/CLIP.
        values: settings beside the recipe's.
        force: train although the clip fails validation.

    Returns:
        the run folder.

    Raises:
        InputError, SolveError: as `stages.retarget` and `run.train`.
    """
    listed = listed or SkillList.load()
    character = Character.load(char)
    clip_folder = retargeted(file, character, char, name, say)
    material = folder.Material.load(clip_folder, char)
    entry = listed.entry(character.name, material.clip.name)
    if entry is None:
        entry = Entry(char=character.name, clip=str(file), kind=kind_of(material.clip), name=material.clip.name)
    out = out or entry.run
    say(f"{character.name} {material.clip.name}: recipe for {entry.kind}, into {out}")
    with lock.claim(out):
        finished = (out / folder.EVALUATION).exists() and (out / folder.WEIGHTS).exists()
        if not finished and (out / folder.CHECKPOINT).exists():
            plan = settings.load(out)
            run.resume(out, values or {}, report(plan.samples, plan.task.horizon), film=film)
        elif not finished:
            base = changed(settings.default(character), {"physics.threads": threads})
            plan = changed(listed.settings(entry, base), values or {})
            watch = report(plan.samples, plan.task.horizon)
            run.train(clip_folder, out, plan, watch, char=char, force=force or entry.force, film=film)
        measure(out, say)
        folder.ship(out, out)
    if not entry.ships:
        figures_only(out, entry.figures)
    return out


def retargeted(file: Path | str, character: Character, char: str, name: str | None, say: Say) -> Path:
    """The folder of the clip: retargeted now, unless it was from this very file onto this very body."""
    source = sources.find(file)
    title = name or title_of(source)
    clip_folder = stages.PROCESSED / character.name / title
    if (clip_folder / folder.CLIP).exists():
        origin = Clip.load(clip_folder / folder.CLIP).provenance
        if origin.get("source_sha256") == files.sha256(source) and origin.get("character_sha256") == character.sha256:
            return clip_folder
    say(f"retargeting {source} onto {character.name}")
    done = stages.retarget(source, char, name=name)
    say(f"clip {done.status}: {done.remark or 'within all limits'}")
    return done.folder


def measure(out: Path, say: Say) -> None:
    """Evaluate the policy in every engine and push it, where that was not done yet."""
    kept = files.read_json(out / folder.EVALUATION)
    for name in engine.ENGINES:
        if name != kept["engine"] and name not in kept.get(folder.ELSEWHERE, {}):
            say(f"evaluating in {name}")
            found = run.evaluate_folder(out, engine_name=name, episodes=kept["episodes"], thorough=False)
            folder.write_evaluation(out, found.to_json(), kept["engine"])
    if not (out / folder.PUSH).exists():
        say("pushing")
        folder.write_push(out, run.push_folder(out), kept["engine"])


def figures_only(out: Path, target: Path) -> None:
    """Keep what a policy that may not ship was worth, and none of the motion it was made from."""
    for name in FIGURES:
        if (out / name).exists():
            files.write_text(target / name, files.read_text(out / name))
    clip = Clip.load(out / folder.CLIP)
    files.write_json(target / QUALITY, clip.quality)
