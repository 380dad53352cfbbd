"""What reference-state initialisation and early termination are worth: DeepMimic's ablation, of any clip."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from motion import files
from pipeline.skill import Reporter, Say
from pipeline.skills_page import NONE, PLAIN, WEIGHTED, interval, markdown
from train import folder, run, settings
from train.settings import Values

PAGE = Path("docs/results/ablation.md")
RESULT = "ablation.json"
"""in a run folder: its evaluation by the rule of all"""
VARIANTS: dict[str, tuple[str, Values]] = {
    "rsi-et": ("both", {"task.start": "uniform", "task.early_termination": "both"}),
    "et": ("ET only", {"task.start": "zero", "task.early_termination": "both"}),
    "rsi": ("RSI only", {"task.start": "uniform", "task.early_termination": "none"}),
    "neither": ("neither", {"task.start": "zero", "task.early_termination": "none"}),
}
"""folder → what it is called, and its settings"""
PAPER = {
    "backflip": (0.791, 0.730, 0.379),
    "sideflip": (0.823, 0.717, 0.355),
    "spinkick": (0.848, 0.858, 0.358),
    "walk": (0.980, 0.981, 0.974),
}
"""NR of the first three of `VARIANTS`, of Peng et al. 2018"""
COLUMNS = ("training", "seed", "NR weighted", "NR plain", "NR_free weighted", "without a fall", "seconds up")
HEAD = """# What starting anywhere and stopping early are worth

{clip} on {body}, {samples:,} samples a training, written by
`{command}`.
RSI: episodes start anywhere in the clip, not at its beginning. ET: an episode ends with a fall or when the body strays,
not only with its time. All are measured alike, in {episodes} episodes from anywhere, over with a fall. {paper}
"""
COMMAND = "mimic-pipe ablate {source} --samples {samples} --seeds {seeds}"


def ablate(
    source: Path,
    out: Path,
    samples: int,
    seeds: tuple[int, ...],
    report: Reporter,
    say: Say,
    *,
    threads: int = 1,
    episodes: int = 32,
    values: Values | None = None,
    page: Path = PAGE,
) -> list[tuple[str, ...]]:
    """Train and measure each variant with each seed, and write the page; what is done already is not done again.

    Args:
        source: folder with clip.json and gains.json.
        out: folder of the run folders.
        report: as of `skill.perform`.
        values: settings of all of them.

    Returns:
        the rows of the table.
    """
    material = folder.Material.load(source)
    base = settings.changed(settings.default(material.character), {"physics.threads": threads, **(values or {})})
    clip = material.clip.name
    head = HEAD.format(
        clip=clip,
        body=material.character.name,
        samples=samples,
        command=COMMAND.format(source=source, samples=samples, seeds=",".join(str(seed) for seed in seeds)),
        episodes=episodes,
        paper=f"Peng et al. 2018, NR: {_paper(clip)}." if clip in PAPER else "",
    )
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in VARIANTS}
    for seed in seeds:
        for name, (_, own) in VARIANTS.items():
            at = out / f"{name}-{seed}"
            say(f"{name}, seed {seed}: {at}")
            plan = settings.changed(base, {**own, "samples": samples, "seed": seed, "episodes": 2})
            found[name][seed] = _one(source, at, plan, report, episodes)
            files.write_text(page, head + "\n" + markdown(COLUMNS, _rows(found)))
    return _rows(found)


def _one(source: Path, out: Path, plan: settings.RunSettings, report: Reporter, episodes: int) -> dict[str, Any]:
    """The evaluation of one training, by the rule that a fall ends an episode."""
    if (out / RESULT).exists():
        return files.read_json(out / RESULT)
    watch = report(plan.samples, plan.task.horizon)
    if (out / folder.CHECKPOINT).exists():
        run.resume(out, {"samples": plan.samples}, watch)
    else:
        run.train(source, out, plan, watch)
    found = run.evaluate_folder(out, episodes=episodes, values={"task.early_termination": "contact"})
    files.write_json(out / RESULT, folder.finite(found.to_json()))
    return files.read_json(out / RESULT)


def _rows(found: dict[str, dict[int, dict[str, Any]]]) -> list[tuple[str, ...]]:
    """A row a training, and the median of several seeds."""
    rows = []
    for name, by_seed in found.items():
        title = VARIANTS[name][0]
        for seed, each in by_seed.items():
            synced, free = each["synced"], each["free"]
            measured = [synced["returns"][WEIGHTED], synced["returns"][PLAIN], free["returns"][WEIGHTED]]
            ends = (f"{synced['completed']:.0%}", f"{synced['seconds']['mean']:.1f}")
            rows.append((title, str(seed), *(interval(each) for each in measured), *ends))
        if len(by_seed) > 1:
            nr = [each["synced"]["returns"][WEIGHTED]["mean"] for each in by_seed.values()]
            rows.append((title, "median", f"{statistics.median(nr):.3f}", *[NONE] * 4))
    return rows


def _paper(clip: str) -> str:
    titles = [title for title, _ in VARIANTS.values()]
    return ", ".join(f"{title} {nr:.3f}" for title, nr in zip(titles, PAPER[clip], strict=False))
