"""Forward kinematics: frames per second on one core, beside the figures measured for other code.

python benchmarks/bench_fk.py [character …]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from characters import kinematics, shapes
from characters.character import Character

OTHERS = "22 joints: frames-last numpy 251,000 · batched matmul 52,000 · bvhio 5,900 frames/s"
REPEATS = 9
LINKS = 22
SIZES = (64, 1_800, 20_000)


def chains(folder: Path) -> Character:
    """A body of 22 links with 21 ball joints, in four chains."""
    inertial = '<inertial><mass value="1"/><inertia ixx=".1" iyy=".1" izz=".1" ixy="0" ixz="0" iyz="0"/></inertial>'
    links = [f'<link name="link{i}">{inertial}</link>' for i in range(LINKS)]
    joints = [
        f'<joint name="joint{i}" type="spherical"><origin xyz="0 .01 .1"/><parent link="link{max(i - 4, 0)}"/>'
        f'<child link="link{i}"/></joint>'
        for i in range(1, LINKS)
    ]
    (folder / "body.urdf").write_text("\n".join(['<robot name="chains">', *links, *joints, "</robot>"]))
    (folder / "character.toml").write_text('description = "22 links"\nfeet = []\nroles = {}\n')
    return Character.load(folder)


def rate(frames: int, function: Callable[..., object], *arguments: object) -> float:
    """Frames per second of processor time, median of several runs."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return frames / max(float(np.median(times)), 1e-9)


def main(names: list[str]) -> None:
    rng = np.random.default_rng(0)
    print("frames/s   links  frames           FK    heights   jacobian")
    with tempfile.TemporaryDirectory() as folder:
        bodies = [*(Character.load(name) for name in names), chains(Path(folder))]
    for body in bodies:
        links = len(body.links)
        for size in SIZES:
            tangent = 0.5 * rng.normal(size=(size, body.layout.nv))
            qpos = body.layout.integrate(np.tile(body.rest, (size, 1)), tangent)
            pose = kinematics.forward(body, qpos)
            fk = rate(size, kinematics.forward, body, qpos)
            height = rate(size, shapes.heights, body, pose)
            columns = rate(size, kinematics.jacobian, body, pose, links - 1, pose.positions[:, -1])
            name = body.name if body.shapes else "chains"
            shown = f"{height:>10,.0f}" if body.shapes else f"{'–':>10}"
            print(f"{name:<10} {links:>5} {size:>7,} {fk:>12,.0f} {shown} {columns:>10,.0f}")
    print(f"others, {OTHERS}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["humanoid", "atlas"])
