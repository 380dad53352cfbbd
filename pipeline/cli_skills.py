"""The commands of the results table: one skill from end to end, all of them, and the shipped policies measured again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from motion.errors import MimicError
from pipeline import console
from pipeline.cli_train import Progress, engine, episodes, film, seed, usable_processors

if TYPE_CHECKING:
    from train.evaluate import Evaluation

PATH = click.Path(path_type=Path)
SAME = 0.02
"""an NR further than this from the one that ships (and outside both intervals) is another"""
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
threads = click.option("--threads", type=click.IntRange(1), help="Simulation threads.  [default: one a processor]")
assignments = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting of a training."
)


def register(group: click.Group) -> None:
    """Add the commands to a group."""
    for command in (skill, skills, evaluate_all, ablate):
        group.add_command(command)


@click.command()
@click.argument("file")
@click.option("--char", default="humanoid", show_default=True, help="Character: a name or a folder.")
@click.option("--name", help="Name of the clip.  [default: the file's name]")
@click.option("--out", type=PATH, help="Run folder.  [default: policies/CHARACTER/CLIP]")
@click.option("--samples", type=click.IntRange(1), help="Policy steps in all.  [default: the recipe's]")
@assignments
@click.option("--force", is_flag=True, help="Train although the clip fails validation.")
@threads
@as_json
def skill(
    file: str,
    char: str,
    name: str | None,
    out: Path | None,
    samples: int | None,
    assignments: tuple[str, ...],
    force: bool,
    threads: int | None,
    as_json: bool,
) -> int:
    """From a motion FILE to a policy: retarget, validate, train, evaluate, push. What is done already is not done again."""
    from pipeline import skill as chain
    from train import settings

    values = settings.parse(assignments) | ({} if samples is None else {"samples": samples})
    threads = threads or usable_processors()
    done = chain.perform(
        file, char, Progress, console.note, name=name, out=out, threads=threads, values=values, force=force, film=film
    )
    if as_json:
        from motion import files

        console.emit_json({"folder": str(done), "evaluation": files.read_json(done / "evaluation.json")})
    else:
        print(done)
    return 0


@click.command()
@click.argument("names", nargs=-1, metavar="[CHARACTER/CLIP...]")
@click.option("--list", "path", type=PATH, help="The list.  [default: train/skills.toml]")
@click.option("--table", "only_table", is_flag=True, help="Train nothing: write the page from what there is.")
@threads
@as_json
def skills(names: tuple[str, ...], path: Path | None, only_table: bool, threads: int | None, as_json: bool) -> int:
    """Perform the skills of a list, all or those named, and write docs/results/skills.md."""
    from motion.errors import InputError, nearest
    from pipeline import skill as chain
    from pipeline import skills_page

    listed = chain.SkillList.load(path or chain.LIST)
    wanted = {f"{entry.char}/{entry.title}": entry for entry in listed.skill}
    for name in names:
        if name not in wanted:
            raise InputError(f"no skill {name!r} in the list", hint=nearest(name, wanted))
    worst = 0
    for name, entry in wanted.items():
        if only_table or (names and name not in names):
            continue
        try:
            chain.perform(
                entry.clip,
                entry.char,
                Progress,
                console.note,
                name=entry.name,
                threads=threads or usable_processors(),
                film=film,
                listed=listed,
            )
        except MimicError as problem:  # the next skill may well go
            console.error(problem)
            worst = max(worst, problem.exit_code)
        skills_page.write(listed)
    rows = skills_page.write(listed)
    if as_json:
        for row in rows:
            console.emit_json(dict(zip(skills_page.RESULTS, row, strict=True)))
    else:
        console.table(skills_page.RESULTS, rows)
        print(skills_page.PAGE)
    return worst


@click.command(name="evaluate-all")
@click.argument("folder", type=PATH, default=Path("policies"))
@engine
@episodes
@click.option("--elsewhere", default=8, show_default=True, type=click.IntRange(1), help="Episodes in the other engine.")
@seed
@as_json
def evaluate_all(folder: Path, engine: str | None, episodes: int, elsewhere: int, seed: int, as_json: bool) -> int:
    """Measure every policy under FOLDER again, in both engines; exit code 1 if one is not what its files say."""
    from motion.errors import InputError
    from train import engine as engines
    from train import run, settings
    from train.folder import POLICY, finite, stored_evaluation

    found = sorted(path.parent for path in folder.rglob(POLICY))
    if not found:
        raise InputError("no policies there", where=folder)
    rows, same = [], True
    for policy in found:
        for name in engines.ENGINES if engine is None else (engine,):
            count = episodes if name == settings.load(policy).engine else min(episodes, elsewhere)
            start = time.monotonic()
            with console.working(f"evaluating {policy} in {name}"):
                now = run.evaluate_folder(
                    policy,
                    engine_name=name,
                    episodes=count,
                    seed=seed,
                    values={"physics.threads": usable_processors()},
                    thorough=False,
                )
            took = console.duration(time.monotonic() - start)
            before = stored_evaluation(policy, name)
            told, agrees = _against(now, before)
            same &= agrees
            rows.append((str(policy.relative_to(folder)), *told, "same" if agrees else "differs", count, took))
            if as_json:
                console.emit_json({"policy": str(policy), "agrees": agrees, **finite(now.to_json())})
    if not as_json:
        columns = ("policy", "engine", "NR", "NR_free", "plain NR", "NR that ships", "", "episodes", "took")
        console.table(columns, rows)
    return 0 if same else 1


def whole_numbers(_: click.Context, option: click.Parameter, value: str) -> tuple[int, ...]:
    """``0,1,2`` as numbers."""
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"expected numbers such as 0,1,2, found {value!r}", param=option) from None


@click.command()
@click.argument("clip", type=PATH)
@click.option("--out", type=PATH, help="Folder of the trainings.  [default: runs/ablation/CHARACTER/CLIP]")
@click.option("--samples", default=1_600_000, show_default=True, type=click.IntRange(1), help="Of each training.")
@click.option("--seeds", default="0", show_default=True, callback=whole_numbers, help="Such as 0,1,2.")
@assignments
@episodes
@threads
@as_json
def ablate(
    clip: Path,
    out: Path | None,
    samples: int,
    seeds: tuple[int, ...],
    assignments: tuple[str, ...],
    episodes: int,
    threads: int | None,
    as_json: bool,
) -> int:
    """Train CLIP with and without starts from anywhere (RSI) and early termination (ET); docs/results/ablation.md."""
    from pipeline import ablation
    from train import settings
    from train.folder import Material

    if out is None:
        found = Material.load(clip)
        out = Path("runs/ablation") / found.character.name / found.clip.name
    rows = ablation.ablate(
        clip,
        out,
        samples,
        seeds,
        Progress,
        console.note,
        threads=threads or usable_processors(),
        episodes=episodes,
        values=settings.parse(assignments),
    )
    if as_json:
        for row in rows:
            console.emit_json(dict(zip(ablation.COLUMNS, row, strict=True)))
    else:
        console.table(ablation.COLUMNS, rows)
        print(ablation.PAGE)
    return 0


def _against(now: Evaluation, before: dict | None) -> tuple[tuple[str, ...], bool]:
    """Cells of a row, and whether the evaluation says what the one that ships says, if there is one."""
    synced, free = now.synced.returns[now.profile], now.free.returns[now.profile]
    plain = now.synced.returns["paper-2018"]
    cells = [now.engine, *(f"{mean.mean:.3f} ± {mean.ci95:.3f}" for mean in (synced, free, plain))]
    if before is None:
        return (*cells, "–"), True
    shipped = before["synced"]["returns"][now.profile]
    slack = max(SAME, synced.ci95 if synced.ci95 == synced.ci95 else 0.0, shipped["ci95"] or 0.0)
    return (*cells, f"{shipped['mean']:.3f}"), abs(synced.mean - shipped["mean"]) <= slack
