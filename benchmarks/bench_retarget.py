"""How fast a human clip becomes a body's motion, and how much memory a long one takes.

python benchmarks/bench_retarget.py [character …] [--repeat N] [--profile] [--memory FRAMES | --no-memory]

The clip is the sample walk, tiled to 1,800 frames at 120 and at 30 frames/s, so that it runs anywhere; beside it, where
the mocap collection is at hand, the first 1,800 frames of captured ones. Frames per second of processor time on one core,
median of the repetitions. "whole" is the retarget step: contacts, targets, the solve; what follows it is
listed behind. Last, in a process of its own, what memory a long file takes.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from characters.character import Character
from motion import contacts, rotation
from motion.clip import Clip
from motion.errors import MimicWarning
from motion.motion import Motion, resample
from motion.roles import Roles
from pipeline import loops, phase, samples, sources
from retarget import quality, targets
from retarget.mapping import Mapping
from retarget.refine import refine
from retarget.retarget import retarget
from retarget.solve import solve

FRAMES, RATES, LONG = 1_800, (120.0, 30.0), 100_000
GOALS = {"humanoid": 2_000, "atlas": 2_000, "trex": 900, "dragon": 500}
"""frames/s of the whole step"""
CAPTURED = ("cmu-mb/01_01.bvh", "cmu-daz/13.bvh")
"""of the mocap collection: jumps and turns; a dance"""
MOCAP = Path(os.environ.get("MIMIC_MOCAP", Path(__file__).resolve().parents[2] / "shared" / "mocap"))
STAGES = ("contacts", "targets", "solve", "whole", "phase", "refine", "quality")

T = TypeVar("T")


def walk(folder: Path) -> tuple[Motion, Roles]:
    """The sample walk, read and cleaned."""
    source = sources.read(samples.write_samples(folder, ["walk"])[0])
    return source.motion, source.roles


def tiled(cycle: Motion, fps: float, frames: int) -> Motion:
    """A one-shot of ``frames`` frames of a looping motion, gone round as often as it takes."""
    cycle = resample(cycle, fps)
    count = len(cycle) - 1
    turn, at = np.divmod(np.arange(frames), count)
    _, qpos = loops.as_qpos(cycle)
    root = loops.cycle_offset(cycle).apply(qpos[at, :7], turn)
    rotations = cycle.rotations[at].copy()
    rotations[:, 0] = root[:, 3:]
    return replace(cycle, root_positions=root[:, :3], rotations=rotation.continuous(rotations), loop=None)


class Clock:
    """Seconds of processor time, and calls, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    def time(self, stage: str, function: Callable[..., T], *arguments: object) -> T:
        """Call a function and add what it takes to a stage."""
        start = time.process_time()
        result = function(*arguments)
        self.seconds[stage] += time.process_time() - start
        return result


def run(motion: Motion, roles: Roles, character: Character) -> dict[str, float]:
    """Seconds of each stage for one motion."""
    clock = Clock()
    found = clock.time("contacts", contacts.detect, motion, roles)
    goal = clock.time(
        "targets",
        lambda: targets.build(motion, roles.chains, character, found.flags, found.resting_height, level=found.level),
    )
    clock.time("solve", solve, character, goal)
    clock.seconds["whole"] = sum(clock.seconds.values())
    trajectory = retarget(motion, Mapping(dict(roles.chains), 1.0, "z"), character, found)

    def refined(clip: Clip) -> Clip:
        return clock.time("refine", refine, clip, character)

    clip, report = clock.time("phase", lambda: phase.phase(trajectory, character, refine=refined))
    clock.seconds["phase"] -= clock.seconds["refine"]
    interval = (report.start, report.stop)
    clock.time("quality", quality.intrinsic, clip, character)
    clock.time("quality", lambda: quality.fidelity(clip, character, motion, roles, interval=interval))
    return clock.seconds


def step(motion: Motion, roles: Roles, character: Character) -> None:
    """The retarget step alone."""
    retarget(motion, Mapping(dict(roles.chains), 1.0, "z"), character, contacts.detect(motion, roles))


def clips(folder: Path) -> dict[str, tuple[Motion, Roles]]:
    """The clips to time, by what they are called in the table."""
    cycle, roles = walk(folder)
    out = {f"walk, tiled, {fps:.0f} fps": (tiled(cycle, fps, FRAMES), roles) for fps in RATES}
    for name in CAPTURED:
        if (MOCAP / name).exists():
            source = sources.read(MOCAP / name)
            motion = source.motion.slice(0, FRAMES)
            out[f"{name}, {motion.fps:.0f} fps"] = (motion, source.roles)
    return out


def speed(names: list[str], repeat: int) -> None:
    """Print the table of frames per second."""
    with tempfile.TemporaryDirectory() as folder:
        todo = clips(Path(folder))
    slowest: dict[str, float] = {}
    print(f"frames/s of {FRAMES:,} frames, one core, processor time, median of {repeat}")
    print(f"{'clip':26s} {'onto':9s}" + "".join(f"{stage:>10s}" for stage in STAGES))
    for name in names:
        character = Character.load(name)
        for label, (motion, roles) in todo.items():
            run(motion.slice(0, 60), roles, character)  # imports, caches
            runs = [run(motion, roles, character) for _ in range(repeat)]
            rates = {s: len(motion) / max(statistics.median(r[s] for r in runs), 1e-9) for s in STAGES}
            print(f"{label:26s} {name:9s}" + "".join(f"{rates[stage]:10,.0f}" for stage in STAGES), flush=True)
            slowest[name] = min(slowest.get(name, np.inf), rates["whole"])
    for name, rate in slowest.items():
        if name in GOALS:
            met = "met" if rate >= GOALS[name] else "MISSED"
            print(f"goal on {name}: {GOALS[name]:,} frames/s of the whole step: {met}, {rate:,.0f} where it is slowest")
    print("others: GMR 198–240 · PyBullet IK 121 · PyRoki 31 · holosoma 3.7 frames/s")


def profile(name: str) -> None:
    """Print where the step's time goes."""
    with tempfile.TemporaryDirectory() as folder:
        cycle, roles = walk(Path(folder))
    motion, character = tiled(cycle, RATES[0], FRAMES), Character.load(name)
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(step, motion, roles, character)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def memory(name: str, frames: int) -> None:
    """Print how much more memory a long clip takes than a short one, in the retarget step. Peaks only rise: the short one
    goes first."""
    with tempfile.TemporaryDirectory() as folder:
        cycle, roles = walk(Path(folder))
    character = Character.load(name)
    print(f"{'frames':>8s} {'onto':9s} {'motion, MB':>11s} {'peak RSS, MB':>13s} {'frames/s':>9s}")
    for count in (frames // 10, frames):
        motion = tiled(cycle, RATES[0], count)
        start = time.process_time()
        step(motion, roles, character)
        rate = count / (time.process_time() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        size = (motion.rotations.nbytes + motion.root_positions.nbytes) / 1e6
        print(f"{count:8,d} {name:9s} {size:11,.0f} {peak:13,.0f} {rate:9,.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="retargeting speed")
    parser.add_argument("characters", nargs="*", default=list(GOALS), help=f"bodies (default: {' '.join(GOALS)})")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each clip")
    parser.add_argument("--profile", action="store_true", help="where the time of the first character's goes, instead")
    parser.add_argument("--memory", type=int, metavar="FRAMES", help="peak memory for a clip so long, instead")
    parser.add_argument("--no-memory", action="store_true", help="leave the long file out")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", MimicWarning)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.profile:
        profile(arguments.characters[0])
    elif arguments.memory:
        memory(arguments.characters[0], arguments.memory)
    else:
        speed(arguments.characters, arguments.repeat)
        if not arguments.no_memory:
            print(flush=True)
            subprocess.run([sys.executable, __file__, "atlas", "--memory", str(LONG)], check=True)


if __name__ == "__main__":
    main()
