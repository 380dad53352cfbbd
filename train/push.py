"""How hard a policy can be pushed: DeepMimic's table (0.2 s at the pelvis), by direction and by phase of the cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from motion import rotation
from motion.rotation import Array
from train.env import ImitationEnv

DIRECTIONS = {"forward": (1.0, 0.0, 0.0), "left": (0.0, 1.0, 0.0), "right": (0.0, -1.0, 0.0)}
"""in the root's heading frame"""
PHASES, TRIALS, NEEDED = 8, 10, 9
"""phases of the cycle a push begins at; trials of each; trials without a fall that count as survived"""
DURATION, WATCHED, STEP = 0.2, 5.0, 20.0
"""seconds of force; seconds without a fall after it; newtons between forces"""
LONGEST = DURATION + WATCHED + 1.0
"""seconds of a trial after one cycle to settle"""
SPREAD = 0.02
"""share of the cycle the trials of one phase are spread over: the policy is deterministic, so equal trials would agree"""


@dataclass(frozen=True, slots=True)
class Survived:
    """Largest force survived with every smaller one, in one direction."""

    by_phase: tuple[float, ...]
    """newtons, for the `PHASES` beginnings"""
    median: float
    worst: float
    capped: bool
    """the scan ended at its largest force"""


def scan(
    act: Callable[[Array], Array], make: Callable[[int], ImitationEnv], largest: float = 1000.0
) -> dict[str, Survived]:
    """Push harder and harder until it falls.

    Args:
        act: observations (N, O) → actions (N, A), deterministic.
        make: an environment of N bodies that ends an episode by contact only; its reference is re-synchronised.
        largest: newtons at which to stop.
    """
    env = make(PHASES * TRIALS * len(DIRECTIONS))
    names = list(DIRECTIONS)
    phase = np.tile(np.repeat(np.arange(PHASES), TRIALS), len(names))
    direction = np.repeat(np.array([DIRECTIONS[name] for name in names]), PHASES * TRIALS, axis=0)
    survived = np.zeros((len(names), PHASES))
    alive = np.ones((len(names), PHASES), dtype=bool)
    force = 0.0
    while alive.any() and force < largest:
        force += STEP
        stands = _trial(act, env, phase, direction, force).reshape(len(names), PHASES, TRIALS).sum(axis=2) >= NEEDED
        alive &= stands
        survived[alive] = force
    return {
        name: Survived(tuple(row.tolist()), float(np.median(row)), float(row.min()), bool(open_.any()))
        for name, row, open_ in zip(names, survived, alive, strict=True)
    }


def _trial(
    act: Callable[[Array], Array], env: ImitationEnv, phase: np.ndarray, direction: Array, force: float
) -> np.ndarray:
    """(N,) whether each body is up `WATCHED` seconds after its push."""
    step, count = env.step_time, env.count
    spread = np.tile(np.linspace(0, SPREAD, TRIALS), count // TRIALS)
    begin = (phase / PHASES + spread) * env.clip.duration
    settle = env.clip.duration if env.clip.loop else 0.0
    observation = env.start_at(begin)
    up = np.ones(count, dtype=bool)
    pushed = (settle, settle + DURATION)
    for k in range(round((settle + DURATION + WATCHED) / step)):
        now = (k + 0.5) * step
        on = pushed[0] <= now < pushed[1]
        heading = rotation.from_yaw(rotation.yaw(env.engine.qpos[:, 3:7]))
        env.engine.push(force * rotation.rotate(heading, direction) if on else np.zeros((count, 3)))
        observation, _, terminated, _, _ = env.step(act(observation))
        up &= ~terminated
        if not up.any():
            break
    env.engine.push(np.zeros((count, 3)))
    return up
