"""How one actor does in one environment: returns, tracking, rotations, torque, and how episodes end.

NR is the return over the policy steps possible: a step is worth at most 1, and nothing after a fall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from motion import rotation
from motion.rotation import Array
from train.endings import Ending, Endings
from train.env import REASONS, ImitationEnv
from train.recording import Recorder
from train.reward import PROFILES

Actor = Callable[[Array], Array]
"""observations (N, O) → actions (N, A)"""
REPORTED = ("paper-2018-weighted", "paper-2018")
"""profiles of every evaluation; the published figures do not say which of the two they are"""
CI95 = 1.96
STAYS = 0.1
"""metres: a reference that moves less has no speed to compare with"""
AXES = ("roll", "pitch", "yaw")
"""of the root: about its x, y and z axis"""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over episodes."""

    mean: float
    ci95: float
    """half the width of the 95 % interval"""

    @classmethod
    def of(cls, values: Array) -> Mean:
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        return cls(float(np.mean(values)), CI95 * spread / float(np.sqrt(len(values))))


@dataclass(frozen=True, slots=True)
class Apart:
    """How far a link is from the reference's, mean over steps while up and over episodes."""

    cm: float
    degrees: float


@dataclass(frozen=True, slots=True)
class Turns:
    """Whole turns of the root about one of its own axes, mean over episodes: a high return is not yet a flip."""

    performed: float
    """while up"""
    possible: float
    """of the reference, over the whole episode"""


@dataclass(frozen=True, slots=True)
class Overload:
    """Servos that ask, spring and damping together, for more than their torque limit."""

    substeps: float
    """share of the simulation steps in which any joint's does; nan if the engine cannot say"""
    joints: dict[str, float]
    """the same joint by joint, of those that do"""


@dataclass(frozen=True, slots=True)
class Score:
    """How one actor did under one rule."""

    returns: dict[str, Mean]
    """profile → normalised return"""
    seconds: Mean
    """until the fall or the end"""
    completed: float
    """share of the episodes without a fall"""
    speed_ratio: float
    """distance of the root over the reference's in the same time; nan if the reference stays"""
    place_error: float
    """metres between the centres of mass, mean while up"""
    joint_error: float
    """degrees, mean over joints, while up"""
    tracking: dict[str, Apart]
    """link → its error in the world"""
    turns: dict[str, Turns]
    """axis of the root → turns"""
    overload: Overload
    endings: dict[str, int]
    """reason → episodes"""
    falls: list[Ending]
    """each of them"""


class _Tally:
    """Sums over the steps of N episodes while they last."""

    def __init__(self, env: ImitationEnv):
        count, links = env.count, len(env.character.links)
        self.env = env
        self.returns = {name: np.zeros(count) for name in REPORTED}
        self.life = np.zeros(count, dtype=int)
        self.place, self.joints, self.travelled = np.zeros(count), np.zeros(count), np.zeros(count)
        self.away, self.turned = np.zeros((count, links)), np.zeros((count, links))
        self.turns = np.zeros((count, 3))
        self.begin, self.root = env.engine.qpos[:, :2].copy(), env.engine.qpos[:, 3:7].copy()
        self.over = np.zeros(len(env.character.joints))
        self.any_over, self.substeps = 0.0, 0
        self.endings = Endings()

    def add(self, going: np.ndarray) -> None:
        """Count the last step of the environments ``going`` (N,) bool."""
        env = self.env
        sim, ref = env.sim.rows(going), env.ref.rows(going)
        for name, total in self.returns.items():
            total[going] += PROFILES[name](env.errors, env.measure)[going]
        self.life[going] += 1
        self.place[going] += np.sqrt(env.errors.com[going])
        self.joints[going] += np.degrees(np.sqrt(env.errors.pose[going, 1:])).mean(axis=1)
        self.travelled[going] = np.linalg.norm(sim.qpos[:, :2] - self.begin[going], axis=1)
        self.away[going] += 100.0 * np.linalg.norm(sim.positions - ref.positions, axis=-1)
        self.turned[going] += np.degrees(rotation.angle(sim.rotations, ref.rotations))
        self.turns[going] += turn(self.root[going], sim.qpos[:, 3:7])
        self.root[going] = sim.qpos[:, 3:7]
        over = env.engine.overload()
        if over is not None:
            self.substeps += over[going].shape[0] * over.shape[1]
            self.any_over += over[going].any(axis=-1).sum()
            self.over += over[going].sum(axis=(0, 1))

    def overload(self) -> Overload:
        if not self.substeps:
            return Overload(float("nan"), {})
        shares = self.over / self.substeps
        joints = {j.name: float(s) for j, s in zip(self.env.character.joints, shares, strict=True) if s > 0}
        return Overload(float(self.any_over / self.substeps), joints)


def turn(a: Array, b: Array) -> Array:
    """Turns ``(N, 3)`` about the root's own axes that lead from rotations ``a`` to ``b`` ``(N, 4)``."""
    return rotation.log(rotation.relative(a, b)) / (2 * np.pi)


def possible_steps(env: ImitationEnv) -> np.ndarray:
    """(N,) policy steps from the environments' present times to the end of their episodes."""
    steps = round(env.horizon / env.step_time)
    left = np.ceil((env.clip.duration - env.time) / env.step_time - 1e-9).astype(int)
    return np.full(env.count, steps) if env.clip.loop else np.maximum(left, 1)


def score(act: Actor, env: ImitationEnv, recorder: Recorder | None = None) -> Score:
    """One episode in each of the environment's copies."""
    observation = env.reset()
    start, possible = env.time.copy(), possible_steps(env)
    tally = _Tally(env)
    up = np.ones(env.count, dtype=bool)
    if recorder is not None:
        recorder.begin(env, possible)
    for step in range(int(possible.max())):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if recorder is not None:
            recorder.add(env, up)
        tally.endings.add(env, up & terminated, np.full(env.count, (step + 1) * env.step_time))
        tally.add(up & ~terminated)
        up &= ~terminated & ~truncated
        if not up.any():
            break
    return _summary(tally, start, possible)


def _summary(tally: _Tally, start: Array, possible: np.ndarray) -> Score:
    env, life = tally.env, tally.life
    lived = np.maximum(life, 1)
    moved = env.table(start + life * env.step_time).qpos[:, :2] - env.table(start).qpos[:, :2]
    expected = np.linalg.norm(moved, axis=1).sum()
    links = [link.name for link in env.character.links]
    away, turned = ((total / lived[:, None]).mean(axis=0) for total in (tally.away, tally.turned))
    turns = np.stack([tally.turns.mean(axis=0), _reference_turns(env, start, possible)], axis=1)
    reasons = [ending.reason for ending in tally.endings.each]
    return Score(
        returns={name: Mean.of(total / possible) for name, total in tally.returns.items()},
        seconds=Mean.of(life * env.step_time),
        completed=float((life >= possible).mean()),
        speed_ratio=float(tally.travelled.sum() / expected) if expected > STAYS * env.count else float("nan"),
        place_error=float((tally.place / lived).mean()),
        joint_error=float((tally.joints / lived).mean()),
        tracking={name: Apart(float(a), float(t)) for name, a, t in zip(links, away, turned, strict=True)},
        turns={axis: Turns(float(a), float(b)) for axis, (a, b) in zip(AXES, turns, strict=True)},
        overload=tally.overload(),
        endings={name: reasons.count(name) for name in REASONS[1:]},
        falls=tally.endings.each,
    )


def _reference_turns(env: ImitationEnv, start: Array, possible: np.ndarray) -> Array:
    """Mean turns ``(3,)`` of the reference from clip times ``start`` (N,) over ``possible`` (N,) policy steps."""
    total = np.zeros(3)
    before = env.table(start).qpos[:, 3:7]
    for step in range(1, int(possible.max()) + 1):
        now = env.table(start + np.minimum(step, possible) * env.step_time).qpos[:, 3:7]
        total += turn(before, now).mean(axis=0)
        before = now
    return total
