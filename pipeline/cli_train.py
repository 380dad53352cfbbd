"""The commands of training. torch is imported by the command that runs, so `--help` does not wait for it."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import console

if TYPE_CHECKING:
    from train.evaluate import Evaluation

PATH = click.Path(path_type=Path)
LINE_EVERY = 5.0
"""seconds between lines where there is no terminal"""
engine = click.option("--engine", type=click.Choice(["mujoco"]), help="Physics.  [default: mujoco, or the run's]")
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
@click.option("--samples", default=1_200_000, show_default=True, type=click.IntRange(1), help="Policy steps in all.")
@click.option("--environments", default=128, show_default=True, type=click.IntRange(1), help="Bodies side by side.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1), help="Simulation threads.")
@click.option("--preset", default="soft", show_default=True, help="Preset of gains.json.")
@click.option("--reward", default="paper-2018-weighted", show_default=True, help="Reward profile.")
@click.option(
    "--early-termination",
    type=click.Choice(["contact", "deviation", "both", "none"]),
    default="both",
    show_default=True,
    help="What ends an episode early.",
)
@click.option("--resume", is_flag=True, help="Go on from the run folder's checkpoint.")
@engine
@episodes
@seed
@as_json
def train(
    clip: Path,
    out: Path | None,
    char: str | None,
    samples: int,
    environments: int,
    threads: int,
    preset: str,
    reward: str,
    early_termination: str,
    resume: bool,
    engine: str | None,
    episodes: int,
    seed: int,
    as_json: bool,
) -> int:
    """Train a policy that performs CLIP: a folder with clip.json and gains.json."""
    from train import run

    folder = clip.parent if clip.name == run.CLIP else clip
    base = run.RunSettings()
    settings = replace(
        base,
        engine=engine or base.engine,
        preset=preset,
        environments=environments,
        samples=samples,
        seed=seed,
        episodes=episodes,
        physics=replace(base.physics, threads=threads),
        task=replace(base.task, reward=reward, early_termination=early_termination),
    )
    if out is None:
        material = run.Material.load(folder, char)
        out = Path("policies") / material.character.name / material.clip.name
    console.note(f"training into {out}: {environments} bodies, {threads} threads, {samples:,} samples, seed {seed}")
    found = run.train(folder, out, settings, Progress(samples), resume=resume)
    _show(found, as_json)
    return 0


@click.command()
@click.argument("policy", type=PATH)
@engine
@episodes
@seed
@as_json
def evaluate(policy: Path, engine: str | None, episodes: int, seed: int, as_json: bool) -> int:
    """Measure the policy of a run folder: normalised return, with and without moving the reference along."""
    from train import run

    _show(run.evaluate_folder(policy, engine_name=engine, episodes=episodes, seed=seed), as_json)
    return 0


@click.command()
@click.argument("policy", type=PATH)
@click.option("--largest", default=1000.0, show_default=True, help="Newtons at which the scan ends.")
@engine
@as_json
def push(policy: Path, largest: float, engine: str | None, as_json: bool) -> int:
    """Push the policy of a run folder at the pelvis for 0.2 s, harder and harder, in 8 phases of the cycle."""
    from train import run

    found = run.push_folder(policy, engine_name=engine, largest=largest)
    if as_json:
        console.emit_json(
            {name: {"median": s.median, "worst": s.worst, "by_phase": s.by_phase} for name, s in found.items()}
        )
        return 0
    rows = [(name, s.median, s.worst, s.by_phase) for name, s in found.items()]
    console.table(
        ("direction", "median N", "worst N", "by phase"), rows, title="largest force survived, 9 of 10 trials"
    )
    return 0


class Progress:
    """A live line on a terminal's stderr, a line now and then elsewhere."""

    def __init__(self, samples: int):
        self.samples, self.last, self.start, self.first = samples, 0.0, time.monotonic(), None

    def __call__(self, figures: dict[str, float]) -> None:
        now, done = time.monotonic(), figures["samples"]
        if self.first is None:
            self.first = (now, done)
        live = sys.stderr.isatty()
        if now - self.last < (0.5 if live else LINE_EVERY) and done < self.samples:
            return
        self.last = now
        speed = (done - self.first[1]) / (now - self.first[0]) if now > self.first[0] else 0.0
        left = (self.samples - done) / speed if speed else float("nan")
        text = (
            f"{done / self.samples:4.0%}  {done:9,.0f} samples  {speed:6,.0f}/s  reward {figures['reward']:.3f}"
            f"  episodes {figures['episode_seconds']:5.1f} s  {left:5.0f} s left"
        )
        print(
            f"\r{text}" if live else text, end="" if live and done < self.samples else "\n", file=sys.stderr, flush=True
        )


def _show(found: Evaluation, as_json: bool) -> None:
    from train.run import finite

    if as_json:
        console.emit_json(finite(found.to_json()))
        return
    rows = []
    named = {"NR": found.synced, "NR_free": found.free, "zero residual": found.zero, "random actions": found.chance}
    for name, score in named.items():
        returns = [f"{mean.mean:.3f} ± {mean.ci95:.3f}" for mean in score.returns.values()]
        rows.append((name, *returns, f"{score.seconds.mean:.1f}", f"{score.completed:.0%}", score.speed_ratio))
    columns = ("", *found.synced.returns, "seconds", "completed", "speed")
    console.table(columns, rows, title=f"{found.engine}, {found.episodes} episodes of {found.horizon:g} s")
