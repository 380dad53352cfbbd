"""`docs/results/gains_training.md` again: the humanoid's walk learnt with derived gains and with DeepMimic's hand-set ones.

The same seeds and samples for each; what is trained already is not trained again (run folders under `runs/gains`).
``python -m benchmarks.results_gains_training --samples 800000 --seeds 0,1,2``
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.results_gains import hand_set
from pipeline import stages
from pipeline.cli_train import Progress
from train import folder, run, settings

PAGE, RUNS = Path("docs/results/gains_training.md"), Path("runs/gains")
PRESETS = ("soft", "default", "hand-set")
POINTS = 8
"""columns of the curve"""
HEAD = """\
# Learning with derived and with hand-set gains

The humanoid's walk, {samples:,} samples a training, seeds {seeds}, written by `python -m benchmarks.results_gains_training
--samples {samples} --seeds {seeds}`, {today}. *soft* and *default* are what `mimic-pipe gains` derives from body and clip;
*hand-set* are those of the humanoid released with DeepMimic (kd = kp / 10). All else is alike: the recipe's defaults,
MuJoCo at 240 Hz.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=800_000)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--presets", nargs="*", default=PRESETS, choices=PRESETS)
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    source = stages.retarget("walk.bvh", "humanoid", out=RUNS / "clip", name="walk").folder
    _with_hand_set(source)
    folders = {(p, s): _trained(source, p, s, options.samples) for s in seeds for p in options.presets}
    head = HEAD.format(samples=options.samples, seeds=options.seeds, today=date.today().isoformat())
    PAGE.write_text(head + "\n" + "\n".join(_page(folders, options.samples)) + "\n", encoding="utf-8")
    print(PAGE)


def _with_hand_set(source: Path) -> None:
    """The hand-set gains as one more preset of the clip's."""
    material = folder.Material.load(source)
    presets = {**material.gains.presets, "hand-set": hand_set(material.character)}
    material.gains.model_copy(update={"presets": presets}).save(source / folder.GAINS)


def _trained(source: Path, preset: str, seed: int, budget: int) -> Path:
    """The run folder of one training, gone on with where it stopped."""
    out = RUNS / f"{preset}-{seed}"
    material = folder.Material.load(source)
    plan = settings.changed(
        settings.default(material.character),
        {"physics.threads": 1, "preset": preset, "seed": seed, "samples": budget},
    )
    print(out, file=sys.stderr)
    watch = Progress(plan.samples, plan.task.horizon)
    if (out / folder.EVALUATION).exists():
        return out
    if (out / folder.CHECKPOINT).exists():
        run.resume(out, {}, watch)
    else:
        run.train(source, out, plan, watch)
    return out


def _page(folders: dict[tuple[str, int], Path], budget: int) -> Iterator[str]:
    points = [round(budget * (k + 1) / POINTS) for k in range(POINTS)]
    yield (
        "| gains | seed | NR weighted | NR plain | NR_free weighted | 20 s after M samples | "
        + " | ".join(f"reward at {p / 1e6:.2f} M" for p in points)
        + " |"
    )
    yield "|---" * (6 + POINTS) + "|"
    final: dict[str, list[float]] = {}
    for (preset, seed), out in folders.items():
        found = folder.stored_evaluation(out, "mujoco")
        assert found is not None
        synced, free = found["synced"]["returns"], found["free"]["returns"]
        numbers = (synced["paper-2018-weighted"], synced["paper-2018"], free["paper-2018-weighted"])
        with (out / folder.METRICS).open(encoding="utf-8", newline="") as file:
            curve = [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(file)]
        whole = next((f"{r['samples'] / 1e6:.2f}" for r in curve if r["episode_seconds"] >= 19.9), "–")
        at = [min(curve, key=lambda row, p=p: abs(row["samples"] - p))["reward"] for p in points]
        cells = [f"{n['mean']:.3f}" for n in numbers] + [whole] + [f"{value:.3f}" for value in at]
        final.setdefault(preset, []).append(numbers[0]["mean"])
        yield f"| {preset} | {seed} | " + " | ".join(cells) + " |"
    yield ""
    medians = ", ".join(f"{preset} {statistics.median(values):.3f}" for preset, values in final.items())
    yield f"Median NR (weighted) over the seeds: {medians}."


if __name__ == "__main__":
    main()
