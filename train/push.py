"""How hard a policy can be pushed: DeepMimic's table (0.2 s at the pelvis), by direction and by phase of the cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
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
STRIDE, BEGIN = 4, 80.0
"""steps of force from one trial to the next on the way up; newtons of the first"""


@dataclass(frozen=True, slots=True)
class Survived:
    """Largest force survived in one direction, with every smaller one that was tried; 20 N less was, 20 N more was too much."""

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
    """Which forces each of the `GROUPS` (direction, phase) is pushed with next: in strides until one is not survived, then
    between the last two, and the neighbour below what is found. All in steps of force."""

    def __init__(self, largest: float, begin: float, stride: int):
        self.last, self.stride = int(largest // STEP), stride
        self.stands: list[dict[int, bool]] = [{} for _ in range(GROUPS)]
        self.first = max(1, min(round(begin / STEP), self.last))

    def not_survived(self, group: int) -> int:
        """The smallest force that was not survived; one beyond the last if there is none."""
        return min((force for force, stood in self.stands[group].items() if not stood), default=self.last + 1)

    def survived(self, group: int) -> int:
        """The largest force that was, below the smallest that was not; 0 if there is none."""
        beyond = self.not_survived(group)
        return max((force for force, stood in self.stands[group].items() if stood and force < beyond), default=0)

    def between(self, group: int) -> list[int]:
        """Forces that may move what is known of a group, the most telling first."""
        low, high = self.survived(group), self.not_survived(group)
        if not self.stands[group]:
            return [self.first]
        if high > self.last:
            return sorted({*range(low + self.stride, self.last + 1, self.stride), self.last} - {low})
        inside = list(range(low + 1, high))
        return inside if self.stride == 1 else sorted(inside, key=lambda force: abs(2 * force - low - high))

    def below(self, group: int) -> list[int]:
        """Forces not tried below the largest survived, from there downward."""
        return [force for force in range(self.survived(group) - 1, 0, -1) if force not in self.stands[group]]

    def next(self) -> list[tuple[int, int]]:
        """(group, force) to try together; places that are left go to forces skipped, which may yet be found too much."""
        open_ones, spare = [], []
        for group in range(GROUPS):
            telling, below = self.between(group), self.below(group)
            neighbour = below[:1] if below[:1] == [self.survived(group) - 1] else []
            if needed := telling + neighbour:
                open_ones.append([(group, force) for force in needed])
            spare.append([(group, force) for force in below[len(neighbour) :]])
        if not open_ones:
            return []
        return (_by_turns(open_ones) + _by_turns(spare))[:GROUPS]


def _by_turns(queues: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """The first of each, then the second of each, …"""
    return [each for turn in zip_longest(*queues) for each in turn if each is not None]


def scan(
    act: Callable[[Array], Array],
    make: Callable[[int], ImitationEnv],
    largest: float = 1000.0,
    begin: float = BEGIN,
    stride: int = STRIDE,
) -> dict[str, Survived]:
    """Push harder and harder until it falls.

    Args:
        act: observations (N, O) → actions (N, A), deterministic.
        make: an environment of N bodies that ends an episode by contact only; its reference is re-synchronised.
        largest: newtons at which to stop.
        begin: newtons to begin at, such as where the scan of an earlier policy ended; smaller forces are tried only where
            this one is not survived.
        stride: steps of `STEP` from one force to the next until one is too much. A body that survives a force is taken to
            survive the smaller ones that were skipped, except those that were tried all the same; 1 skips none.
    """
    env = make(GROUPS * TRIALS)
    settled = _settle(act, env)
    plan = _Scan(largest, begin, stride)
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
