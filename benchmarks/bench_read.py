"""How fast a BVH file becomes a Motion, beside the packages it stands on: ``python benchmarks/bench_read.py``.

The file is made here: 22,500 frames, 66 channels (a root of 6 and 20 joints of 3), about 15 MB. Frames per second of
processor time on one core, so that other work on the machine counts little; median of the repetitions, the contenders
taking turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from motion.formats import bvh
from motion.motion import Motion, Skeleton
from motion.rotation import from_euler

FRAMES, JOINTS, GOAL = 22_500, 21, 150_000


def example(frames: int) -> Motion:
    """Four chains of five joints that swing smoothly, no two alike."""
    rng = np.random.default_rng(0)
    seconds = np.arange(frames)[:, None, None] / 120.0
    angles = np.sin(seconds * rng.uniform(1, 6, (JOINTS, 3)) + rng.uniform(0, 6, (JOINTS, 3)))
    parents = np.array([-1] + [0 if i % 5 == 0 else i for i in range(20)])
    return Motion(
        "example",
        Skeleton(
            tuple(f"joint{i}" for i in range(JOINTS)), parents, rng.normal(size=(JOINTS, 3)), np.zeros(JOINTS, bool)
        ),
        120.0,
        np.cumsum(rng.normal(size=(frames, 3)), axis=0) * 0.01,
        from_euler("zxy", angles),
    )


def pandas_alone(path: Path) -> None:
    """The rows as a table of floats, nothing checked."""
    import pandas as pd

    pd.read_csv(path, sep=r"\s+", header=None, dtype=np.float64, skiprows=5 + header_lines(path))


def header_lines(path: Path) -> int:
    """Lines before MOTION, less two."""
    with path.open() as file:
        return next(i for i, line in enumerate(file) if line.startswith("MOTION")) - 2


def bvhio_alone(path: Path) -> None:
    """bvhio's own keyframes, an object each."""
    import bvhio

    bvhio.readAsBvh(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description="BVH reading speed")
    parser.add_argument(
        "--repeat", type=int, default=7, help="measurements of each (bvhio: one on a tenth of the file)"
    )
    parser.add_argument("--all-cores", action="store_true", help="wall-clock time with as many threads as pandas likes")
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.all_cores else time.process_time
    if not arguments.all_cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    with tempfile.TemporaryDirectory() as folder:
        whole, tenth = Path(folder) / "whole.bvh", Path(folder) / "tenth.bvh"
        bvh.write(whole, example(FRAMES))
        bvh.write(tenth, example(FRAMES // 10))
        contenders: dict[str, tuple[Callable[[Path], object], Path, int, int]] = {
            "motion.formats.bvh.read": (bvh.read, whole, FRAMES, arguments.repeat),
            "pandas.read_csv, rows alone": (pandas_alone, whole, FRAMES, arguments.repeat),
            "bvhio.readAsBvh": (bvhio_alone, tenth, FRAMES // 10, 1),
        }
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for read, path, _, _ in contenders.values():
            read(tenth if path is tenth else path)  # imports, caches
        for turn in range(arguments.repeat):
            for name, (read, path, frames, repeat) in contenders.items():
                if turn < repeat:
                    start = clock()
                    read(path)
                    rates[name].append(frames / (clock() - start))
        size = whole.stat().st_size / 1e6
    ours = statistics.median(rates["motion.formats.bvh.read"])
    cores = "all cores, wall clock" if arguments.all_cores else "one core, processor time"
    print(f"BVH, {FRAMES} frames, 66 channels, {size:.1f} MB, {cores}")
    print(f"{'reader':30s} {'frames/s':>10s} {'best':>10s} {'runs':>5s} {'ours is':>8s}")
    for name, values in rates.items():
        median = statistics.median(values)
        print(f"{name:30s} {median:10,.0f} {max(values):10,.0f} {len(values):5d} {ours / median:7.2f}x")
    print(f"goal: {GOAL:,} frames/s: {'met' if ours >= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
