"""Samples a second of training, learning included, and where the time goes: ``python benchmarks/bench_train.py``.

A shipped policy's clip is learnt from scratch. One sample is one policy step (1/30 s, 8 simulation steps) of one body. Wall
time and processor time (workers included) are given, for other work on the machine stretches the first. Each row runs in a
process of its own, so that its memory is its own: the largest resident sizes of the process and its workers together.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CLIP = ROOT / "policies/humanoid/walk"
COLUMNS = (
    "engine     threads  self-collision  samples/s  µs processor time: in all  learner  simulation and the rest  MB"
)


def measure(name: str, threads: int, environments: int, self_collision: bool, batches: int) -> dict[str, float]:
    """Train a few batches in this process."""
    from train import crew
    from train.engine import EngineSettings
    from train.env import ImitationEnv
    from train.folder import Material
    from train.ppo import Ppo
    from train.settings import RunSettings

    physics = EngineSettings(threads=threads, self_collision=self_collision)
    settings = RunSettings(engine=name, environments=environments, physics=physics)
    envs = crew.muster(Material.load(CLIP), settings, ImitationEnv)
    ppo = Ppo(envs, settings.learning)
    ppo.iterate()
    wall, cpu, learn = time.perf_counter(), processor_seconds(), 0.0
    for _ in range(batches):
        learn += ppo.iterate()["seconds_learn"]
    count = batches * ppo.settings.steps * environments
    wall, cpu = time.perf_counter() - wall, processor_seconds() - cpu
    size = resident_kilobytes()
    crew.dismiss(envs)
    return {"rate": count / wall, "cpu": 1e6 * cpu / count, "share": learn / wall, "megabytes": size / 1024}


def family() -> list[int]:
    """This process and its children."""
    me = os.getpid()
    children = Path(f"/proc/{me}/task/{me}/children")
    return [me, *(int(child) for child in children.read_text().split())] if children.exists() else [me]


def processor_seconds() -> float:
    """Processor time of the family so far."""
    total = 0.0
    for process in family():
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def resident_kilobytes() -> float:
    """Sum of the largest resident sizes of the family; pages shared between them count each time."""
    lines = [line for process in family() for line in Path(f"/proc/{process}/status").read_text().splitlines()]
    return sum(float(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def start_seconds(threads: int) -> float:
    """Seconds from `mimic-pipe train` to the end of its first batch, less the batch itself; nothing is left on disk."""
    out = Path(tempfile.mkdtemp()) / "run"
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "train", str(CLIP), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    options = ["--threads", str(threads), "--samples", "100000000"]
    process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "%" in line:
                break
        first = time.perf_counter() - start
    finally:
        process.kill()
        process.wait()
    rows = (out / "metrics.csv").read_text().splitlines()
    shutil.rmtree(out.parent)
    return first - float(dict(zip(rows[0].split(","), rows[1].split(","), strict=True))["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", nargs="*", default=["mujoco", "pybullet"])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--environments", type=int, default=128)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(**json.loads(options.row))))
        return
    print(COLUMNS)
    for name in options.engine:
        for threads in options.threads:
            for hits in (False, True):
                row = {"name": name, "threads": threads, "environments": options.environments}
                row |= {"self_collision": hits, "batches": options.batches}
                command = [sys.executable, __file__, "--row", json.dumps(row)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                share = f"{found['share']:7.0%}  {1 - found['share']:23.0%}"
                print(
                    f"{name:9}  {threads:7}  {'on' if hits else 'off':14}  {found['rate']:9,.0f}  {found['cpu']:25.0f}"
                    f"  {share}  {found['megabytes']:4.0f}",
                    flush=True,
                )
    print(f"from the command to learning: {start_seconds(max(options.threads)):.1f} s")


if __name__ == "__main__":
    main()
