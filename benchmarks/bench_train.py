"""Samples a second of training, learning included, and where the time goes: ``python benchmarks/bench_train.py``.

The humanoid stands at its rest pose; the policy learns to hold it. One sample is one policy step (1/30 s, 8 simulation
steps) of one body. Wall time and processor time are given, for other work on the machine stretches the first.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from characters.character import Character
from motion.clip import Clip, CycleOffset
from motion.gains import JointGain
from train import engine
from train.engine import EngineSettings
from train.env import EnvSettings, ImitationEnv
from train.ppo import Ppo, PpoSettings


def stand(body: Character) -> Clip:
    """A second of standing, as a loop."""
    count = 60
    qpos = np.repeat(body.rest[None], count, axis=0)
    still = np.zeros((count, body.layout.nv))
    phase = np.arange(count) / count
    return Clip("stand", body.name, True, 1.0, body.specs, phase, qpos, still, {}, CycleOffset(np.zeros(3), 0.0))


def measure(name: str, threads: int, environments: int, self_collision: bool, batches: int) -> None:
    """Print one row."""
    body = Character.load("humanoid")
    limits = {joint.name: body.torque_limits[joint.name] for joint in body.joints}
    gains = {j: JointGain(kp=2.5 * limit, kd=0.13 * limit, torque_limit=limit) for j, limit in limits.items()}
    physics = EngineSettings(threads=threads, self_collision=self_collision)
    world = engine.make(name, body, gains, environments, physics)
    ppo = Ppo(ImitationEnv(world, stand(body), EnvSettings()), PpoSettings())
    ppo.iterate()
    wall, cpu, rows = time.perf_counter(), time.process_time(), []
    for _ in range(batches):
        rows.append(ppo.iterate())
    count = batches * ppo.settings.steps * environments
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    collect, learn = (sum(row[key] for row in rows) / wall for key in ("seconds_collect", "seconds_learn"))
    hits = "on" if self_collision else "off"
    print(
        f"{name:9} threads {threads}  bodies {environments:4}  self-collision {hits:3}  {count / wall:7,.0f} samples/s"
        f"  {1e6 * cpu / count:5.0f} µs processor time a sample  collect {collect:.0%} learn {learn:.0%}",
        flush=True,
    )
    world.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="mujoco")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--environments", type=int, default=128)
    parser.add_argument("--batches", type=int, default=5)
    options = parser.parse_args()
    for threads in options.threads:
        for self_collision in (False, True):
            measure(options.engine, threads, options.environments, self_collision, options.batches)


if __name__ == "__main__":
    main()
