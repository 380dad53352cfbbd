"""How long a body keeps up with its clip before anything is learnt, by preset and exploration noise:
``python benchmarks/bench_servos.py processed/dragon/walk …`` (by default the clips of all policies that ship).

The servos follow the looked-ahead reference, with Gaussian noise on every action; an episode ends by fall or deviation, as in
training. A preset that does worse under noise than without has servos that shake; one that always does badly is too weak.
Speed is the joints' root mean square over every simulation step: the reference's own is beside the clip's name.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from train import engine  # noqa: E402
from train.engine import EngineSettings  # noqa: E402
from train.env import EnvSettings, ImitationEnv  # noqa: E402
from train.folder import Material  # noqa: E402

BODIES, SECONDS = 48, 2.0
NOISE = (0.0, 0.1)
"""standard deviations of an action"""


def survey(folder: Path, preset: str, noise: float) -> tuple[float, float, float]:
    """Mean seconds until the end (at most `SECONDS`), mean reward while up, rms joint speed in rad/s."""
    material = Material.load(folder)
    physics = EngineSettings(threads=1, substeps=1, self_collision=material.character.self_collision)
    hold = EngineSettings().substeps
    world = engine.make("mujoco", material.character, material.preset(preset), BODIES, physics)
    env = ImitationEnv(world, material.clip, EnvSettings())
    env.reset()
    random = np.random.default_rng(0)
    up, reward, life, speed = np.ones(BODIES, dtype=bool), 0.0, 0, []
    for step in range(round(SECONDS / env.step_time)):
        if step % hold == 0:
            action = noise * random.standard_normal((BODIES, env.action_size))
        _, each, terminated, _, _ = env.step(action)
        up &= ~terminated
        reward, life = reward + float(each[up].sum()), life + int(up.sum())
        if up.any():
            speed.append(float((env.sim.qvel[up, 6:] ** 2).mean()))
    return life * env.step_time / BODIES, reward / max(life, 1), float(np.sqrt(np.mean(speed)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="clip or policy folders")
    folders = parser.parse_args().folders or sorted(path.parent for path in (ROOT / "policies").rglob("policy.onnx"))
    print("| clip (its own joint speed, rad/s) | preset | noise | seconds of 2 | reward a step | joint speed, rad/s |")
    print("|---|---|---|---|---|---|")
    for folder in folders:
        material = Material.load(folder)
        own = float(np.sqrt((material.clip.qvel[:, 6:] ** 2).mean()))
        for preset in material.gains.presets:
            for noise in NOISE:
                seconds, reward, speed = survey(folder, preset, noise)
                title = f"{material.character.name} {material.clip.name} ({own:.2f})"
                print(f"| {title} | {preset} | {noise:g} | {seconds:.2f} | {reward:.3f} | {speed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
