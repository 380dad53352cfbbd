"""The commands of training. torch is imported by the command that runs, so `--help` does not wait for it."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from motion.errors import MimicError
from pipeline import console

if TYPE_CHECKING:
    from train.evaluate import Evaluation

PATH = click.Path(path_type=Path)
FORCE = click.FloatRange(20.0)
"""newtons"""
FALL_BINS = 10
"""parts of the clip in which falls are told"""
LINE_EVERY = 5.0
"""seconds between lines where there is no terminal"""
ENGINES = ("mujoco", "pybullet")
engine = click.option("--engine", type=click.Choice(ENGINES), help="Physics.  [default: the training's]")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
episodes = click.option("--episodes", default=32, show_default=True, type=click.IntRange(1), help="Episodes a figure.")
seed = click.option("--seed", default=0, show_default=True, type=int)


def register(group: click.Group) -> None:
    """Add the commands to a group."""
    for command in (train, evaluate, push):
        group.add_command(command)


@click.command()
@click.argument("clip", type=PATH)
@click.option("--out", type=PATH, help="Run folder.  [default: policies/CHARACTER/CLIP]")
@click.option("--char", help="Character: a name or a folder.  [default: the clip's]")
@click.option("--config", type=PATH, help="A config.json to start from.  [default: the defaults]")
@click.option("--samples", type=click.IntRange(1), help="Policy steps in all.  [default: 1200000]")
@click.option("--environments", type=click.IntRange(1), help="Bodies side by side.  [default: 128]")
@click.option("--threads", type=click.IntRange(1), help="Simulation threads.  [default: one a processor]")
@click.option("--preset", help="Preset of gains.json.  [default: soft]")
@click.option("--reward", help="Reward profile.  [default: paper-2018-weighted]")
@click.option(
    "--early-termination",
    type=click.Choice(["contact", "deviation", "both", "none"]),
    help="What ends an episode early.  [default: both]",
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting: task.residual=0.3.")
@click.option("--resume", is_flag=True, help="Go on from the run folder's checkpoint, with what is given changed.")
@click.option("--force", is_flag=True, help="Train on a clip that failed validation.")
@click.option("--engine", type=click.Choice(ENGINES), help="Physics.  [default: mujoco, or the run's]")
@click.option("--episodes", type=click.IntRange(1), help="Episodes of the final evaluation.  [default: 32]")
@click.option("--seed", type=click.IntRange(0), help="Of everything random.  [default: 0]")
@as_json
def train(
    clip: Path,
    out: Path | None,
    char: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    resume: bool,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Train a policy that performs CLIP: a folder with clip.json and gains.json."""
    from pipeline import lock
    from train import folder, run, settings

    source = clip.parent if clip.name == folder.CLIP else clip
    material = folder.Material.load(source, char)
    out = out or Path("policies") / material.character.name / material.clip.name
    given = {_SETTINGS.get(name, name): value for name, value in options.items() if value is not None}
    values = {**given, **settings.parse(assignments)}
    if resume:
        if config is not None:
            raise click.UsageError("--resume goes on with the run folder's own config.json; change it with --set")
        plan = settings.load(out)
        progress = Progress(values.get("samples", plan.samples), plan.task.horizon)
        console.note(f"going on with {out}")
        with lock.claim(out):
            found = run.resume(out, values, progress, film=film)
        _show(found, as_json)
        return 0
    base = settings.default(material.character) if config is None else replace(settings.load(config), history=())
    plan = settings.changed(base, {"physics.threads": usable_processors(), **values})
    console.note(
        f"training into {out}: {plan.environments} bodies, {plan.physics.threads} threads, "
        f"{plan.learning.steps * plan.environments:,} samples a batch, {plan.samples:,} in all, seed {plan.seed}"
    )
    progress = Progress(plan.samples, plan.task.horizon)
    with lock.claim(out):
        found = run.train(source, out, plan, progress, char=char, force=force, film=film)
    _show(found, as_json)
    return 0


_SETTINGS = {"threads": "physics.threads", "reward": "task.reward", "early_termination": "task.early_termination"}
"""option → setting, where the names differ"""


def usable_processors() -> int:
    """Of this process: a container may have been given fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@click.command()
@click.argument("policy", type=PATH)
@engine
@episodes
@seed
@click.option("--record", type=PATH, metavar="F.npz", help="File for the poses of NR's episodes, step by step.")
@click.option(
    "--on", type=PATH, metavar="CLIP", help="Try it, untrained, on another body: a folder with clip and gains."
)
@click.option("--keep", is_flag=True, help="With --on: keep the figures in POLICY/replay.json, for the skills table.")
@as_json
def evaluate(
    policy: Path,
    engine: str | None,
    episodes: int,
    seed: int,
    record: Path | None,
    on: Path | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Measure the policy of a run folder: normalised return, with and without moving the reference along."""
    from train import replay, run

    if on is None:
        if keep:
            raise click.UsageError("--keep goes with --on")
        _show(run.evaluate_folder(policy, engine_name=engine, episodes=episodes, seed=seed, record=record), as_json)
        return 0
    tried = replay.replay(policy, on, engine_name=engine, episodes=episodes, seed=seed, record=record)
    if keep:
        replay.keep(policy, *tried)
    matched = ", ".join(a if a == b else f"{a} → {b}" for a, b in tried[2].joints.items())
    console.note(f"on {tried[1].character.name}, joints matched: {matched}")
    _show(tried[0], as_json)
    return 0


@click.command()
@click.argument("policy", type=PATH)
@click.option("--largest", default=1000.0, show_default=True, type=FORCE, help="Newtons at which the scan ends.")
@click.option("--begin", type=FORCE, help="Newtons to begin at, such as an earlier policy's.  [default: 80]")
@click.option("--every", is_flag=True, help="Try every force from there on in steps of 20 N; else some are skipped.")
@engine
@as_json
def push(policy: Path, largest: float, begin: float | None, every: bool, engine: str | None, as_json: bool) -> int:
    """Push the policy of a run folder at the pelvis for 0.2 s, harder and harder, in 8 phases of the cycle.

    Forces are multiples of 20 N: 20 N less than what is told was survived, 20 N more was too much. Smaller ones that were
    skipped are taken to be survived.
    """
    from train import run
    from train.push import BEGIN, STRIDE

    begin, stride = BEGIN if begin is None else begin, 1 if every else STRIDE
    found = run.push_folder(policy, engine_name=engine, largest=largest, begin=begin, stride=stride)
    if as_json:
        console.emit_json({name: asdict(survived) for name, survived in found.items()})
        return 0
    rows = [(name, s.median, s.ci95, s.worst, s.by_phase) for name, s in found.items()]
    columns = ("direction", "median N", "95 %", "worst N", "by phase")
    console.table(columns, rows, title="largest force survived, 9 of 10 trials")
    return 0


def film(folder: Path) -> None:
    """A film of the policy so far; a training does not end because it could not be drawn."""
    from pipeline import performance

    try:
        performance.film(folder)
    except MimicError as problem:
        console.error(problem)


class Progress:
    """A live line on a terminal's stderr, a line now and then elsewhere."""

    def __init__(self, samples: int, horizon: float):
        self.samples, self.horizon, self.last = samples, horizon, 0.0
        self.first: tuple[float, float] | None = None

    def __call__(self, figures: dict[str, float]) -> None:
        now, done = time.monotonic(), figures["samples"]
        if self.first is None:
            self.first = (now, done)
        live = sys.stderr.isatty()
        if now - self.last < (0.5 if live else LINE_EVERY) and done < self.samples:
            return
        self.last = now
        speed = (done - self.first[1]) / (now - self.first[0]) if now > self.first[0] else math.nan
        pace = "" if math.isnan(speed) else f"{speed:6,.0f}/s"
        text = (
            f"{min(done / self.samples, 1.0):4.0%}  {done:9,.0f} samples  {pace:8}  NR ≈ {self.estimate(figures):.2f}"
            f"  reward {figures['reward']:.3f}  {self.ends(figures)}"
            f"  {console.duration(max(self.samples - done, 0.0) / speed)} left"
        )
        end = "" if live and done < self.samples else "\n"
        print(f"\r\x1b[K{text}" if live else text, end=end, file=sys.stderr, flush=True)

    def estimate(self, figures: dict[str, float]) -> float:
        """Normalised return: the mean reward of a step times the share of an episode lived, noise included."""
        seconds = figures["episode_seconds"]
        lived = self.horizon if math.isnan(seconds) else min(seconds, self.horizon)  # nan: no episode ended
        return figures["reward"] * lived / self.horizon

    @staticmethod
    def ends(figures: dict[str, float]) -> str:
        """How long the episodes that ended in the batch were, and what ended most of those cut short."""
        seconds = figures["episode_seconds"]
        reasons = {name[6:]: count for name, count in figures.items() if name.startswith("ended_") and count}
        if math.isnan(seconds):
            return "no episode ended"
        if not reasons:
            return f"episodes {seconds:4.1f} s, to their end"
        worst = max(reasons, key=lambda name: reasons[name])
        share = f"{reasons[worst]:.0f} of {sum(reasons.values()):.0f} cut short by {worst}"
        return f"episodes {seconds:4.1f} s, {share}, most at phase {figures['fall_phase']:.2f}"


def _show(found: Evaluation, as_json: bool) -> None:
    from train.endings import Endings
    from train.folder import finite

    if as_json:
        console.emit_json(finite(found.to_json()))
        return
    named = {
        "NR": found.synced,
        "NR_free": found.free,
        "NR from anywhere": found.uniform,
        "own noise": found.noisy,
        **{f"{hertz} Hz": score for hertz, score in found.rates.items()},
        "zero residual": found.zero,
        "random actions": found.chance,
    }
    rows = []
    for name, score in named.items():
        if score is not None:
            returns = [f"{mean.mean:.3f} ± {mean.ci95:.3f}" for mean in score.returns.values()]
            rows.append((name, *returns, f"{score.seconds.mean:.1f}", f"{score.completed:.0%}", score.speed_ratio))
    columns = ("", *found.synced.returns, "seconds", "completed", "speed")
    console.table(columns, rows, title=f"{found.engine}, {found.episodes} episodes of {found.horizon:g} s")
    best = found.synced
    turns = [f"{axis} {t.performed:.2f} of {t.possible:.2f}" for axis, t in best.turns.items()]
    tracking = f"{best.joint_error:.1f}° a joint, {100 * best.place_error:.1f} cm of the centre of mass"
    over = f"{best.overload.substeps:.2%} of the simulation steps"
    falls = [f"{reason} {counts}" for reason, counts in Endings(list(best.falls)).histogram(FALL_BINS).items()]
    facts = [("apart from the reference", tracking), ("turns", turns), ("servos beyond their limit", over)]
    console.facts([*facts, ("falls by tenth of the clip", falls or "none")])
