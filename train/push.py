"""How hard a policy can be pushed: DeepMimic's table (0.2 s at the pelvis), by direction and by phase of the cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
RESAMPLES = 2000
"""of the phases, for the interval of their median"""
GROUPS = len(DIRECTIONS) * PHASES
"""pushes that are tried together, each in `TRIALS` bodies"""


@dataclass(frozen=True, slots=True)
class Survived:
    """Largest force survived with every smaller one, in one direction."""

    by_phase: tuple[float, ...]
    """newtons, for the `PHASES` beginnings"""
    median: float
    worst: float
    ci95: tuple[float, float]
    """of the median, by resampling the phases"""
    capped: bool
    """the scan ended at its largest force"""

    @classmethod
    def of(cls, by_phase: Array, largest: float) -> Survived:
        rows = np.random.default_rng(0).integers(0, len(by_phase), (RESAMPLES, len(by_phase)))
        low, high = np.quantile(np.median(by_phase[rows], axis=1), (0.025, 0.975))
        whole = tuple(by_phase.tolist())
        interval = (float(low), float(high))
        return cls(whole, float(np.median(by_phase)), min(whole), interval, bool((by_phase >= largest).any()))


class _Scan:
    """Which force each of the `GROUPS` (direction, phase) is pushed with next: upward, until one is not survived."""

    def __init__(self, largest: float, begin: float):
        self.last = int(largest // STEP)
        self.stands: list[dict[int, bool]] = [{} for _ in range(GROUPS)]
        self.first = max(1, min(round(begin / STEP), self.last))

    def survived(self, group: int) -> int:
        """Steps of force survived with every smaller one that was tried."""
        stands = self.stands[group]
        at = self.first - 1 if stands.get(self.first) else 0
        while stands.get(at + 1):
            at += 1
        return at

    def open(self, group: int) -> bool:
        """Whether the group's next force is not tried yet."""
        at = self.survived(group)
        return at < self.last and (at + 1) not in self.stands[group]

    def next(self) -> list[tuple[int, int]]:
        """(group, steps of force) to try together: one of each open group; as groups close, more of those that are left."""
        groups = [g for g in range(GROUPS) if self.open(g)]
        if not any(self.stands):
            return [(g, self.first) for g in groups]
        each = GROUPS // max(len(groups), 1)
        wanted = [(g, self.survived(g) + 1 + k) for k in range(each) for g in groups]
        return [(g, force) for g, force in wanted if force <= self.last and force not in self.stands[g]]


def scan(
    act: Callable[[Array], Array],
    make: Callable[[int], ImitationEnv],
    largest: float = 1000.0,
    begin: float = STEP,
) -> dict[str, Survived]:
    """Push harder and harder until it falls.

    Args:
        act: observations (N, O) → actions (N, A), deterministic.
        make: an environment of N bodies that ends an episode by contact only; its reference is re-synchronised.
        largest: newtons at which to stop.
        begin: newtons to begin at, such as where the scan of an earlier policy ended; smaller forces are tried only where
            this one is not survived.
    """
    env = make(GROUPS * TRIALS)
    settled = _settle(act, env)
    plan = _Scan(largest, begin)
    while wanted := plan.next():
        stands = _trial(act, env, settled, wanted)
        for (group, force), stood in zip(wanted, stands, strict=True):
            plan.stands[group][force] = bool(stood)
    found = STEP * np.array([plan.survived(group) for group in range(GROUPS)]).reshape(len(DIRECTIONS), PHASES)
    return {name: Survived.of(row, STEP * plan.last) for name, row in zip(DIRECTIONS, found, strict=True)}


def _settle(act: Callable[[Array], Array], env: ImitationEnv) -> dict[str, Any]:
    """The states, group by group, in which pushes begin: a loop's after one cycle, a one-shot's on its reference.

    A body that falls before it is pushed has ``fell``.
    """
    phase = np.repeat(np.arange(PHASES), TRIALS) / PHASES + np.tile(np.linspace(0, SPREAD, TRIALS), PHASES)
    observation = env.start_at(np.tile(phase, len(DIRECTIONS)) * env.clip.duration)
    fell = np.zeros(env.count, dtype=bool)
    for _ in range(round(env.clip.duration / env.step_time) if env.clip.loop else 0):
        observation, _, terminated, _, _ = env.step(act(observation))
        fell |= terminated
    return {**env.snapshot(), "fell": fell}


def _trial(
    act: Callable[[Array], Array], env: ImitationEnv, settled: dict[str, Any], wanted: list[tuple[int, int]]
) -> np.ndarray:
    """(W,) whether `NEEDED` of the `TRIALS` bodies of each group and force wanted are up `WATCHED` seconds after the push.

    A one-shot is watched until its end.
    """
    group, steps = np.array(wanted + [wanted[0]] * (GROUPS - len(wanted))).T
    rows = (group[:, None] * TRIALS + np.arange(TRIALS)).ravel()
    force = np.array(list(DIRECTIONS.values()))[group // PHASES] * (STEP * steps[:, None])
    force = np.repeat(force, TRIALS, axis=0)
    observation = env.restore(
        {k: v[rows] if isinstance(v, np.ndarray) and len(v) == env.count else v for k, v in settled.items()}
    )
    up, over = ~settled["fell"][rows], np.zeros(env.count, dtype=bool)
    pushing, watched = round(DURATION / env.step_time), round((DURATION + WATCHED) / env.step_time)
    for k in range(watched):
        if k < pushing:
            heading = rotation.from_yaw(rotation.yaw(env.engine.qpos[:, 3:7]))
            env.engine.push(rotation.rotate(heading, force))
        elif k == pushing:
            env.engine.push(np.zeros((env.count, 3)))
        observation, _, terminated, truncated, _ = env.step(act(observation))
        up &= ~terminated | over
        over |= truncated
        lost = (~up).reshape(GROUPS, TRIALS).sum(axis=1) > TRIALS - NEEDED
        if (lost | over.reshape(GROUPS, TRIALS).all(axis=1)).all():
            break
    env.engine.push(np.zeros((env.count, 3)))
    return (up.reshape(GROUPS, TRIALS).sum(axis=1) >= NEEDED)[: len(wanted)]
