"""What a policy is worth: normalised returns, beside those of doing nothing and of chance.

NR is the return over the policy steps possible: a step is worth at most 1, and nothing after a fall. `NR` moves the
reference's xy onto the body at each new cycle, as the code released with DeepMimic does; `NR_free` never moves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from characters.character import Character
from motion.clip import Clip
from motion.gains import JointGain
from motion.rotation import Array
from train import engine
from train.disturbance import NONE
from train.engine import EngineSettings
from train.env import REASONS, EnvSettings, ImitationEnv
from train.policy import Policy
from train.reward import PROFILES

Actor = Callable[[Array], Array]
"""observations (N, O) → actions (N, A)"""
REPORTED = ("paper-2018-weighted", "paper-2018")
"""profiles of every evaluation; the published figures do not say which of the two they are"""
CI95 = 1.96
STAYS = 0.1
"""metres: a reference that moves less has no speed to compare with"""
RANDOM_STD = 1.0
"""of the random policy's unit actions"""


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
    endings: dict[str, int]
    """reason → episodes"""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything `evaluation.json` says."""

    engine: str
    episodes: int
    horizon: float
    """seconds possible"""
    profile: str
    """of `normalized_return`"""
    normalized_return: float
    ci95: float
    synced: Score
    free: Score
    zero: Score
    """a zero residual, synced"""
    chance: Score
    """random actions, synced"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def actor(policy: Policy, noise: float = 0.0, seed: int = 0) -> Actor:
    """A policy as an actor, without its noise or with ``noise`` times its standard deviation."""
    generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def act(observation: Array) -> Array:
        mean = policy(torch.from_numpy(observation))
        if noise:
            mean = mean + noise * torch.exp(policy.log_std) * torch.randn(mean.shape, generator=generator)
        return mean.numpy()

    return act


def score(act: Actor, env: ImitationEnv) -> Score:
    """One episode in each of the environment's copies."""
    steps = round(env.horizon / env.step_time)
    count = env.count
    observation = env.reset()
    begin, start = env.engine.qpos[:, :2].copy(), env.time.copy()
    up = np.ones(count, dtype=bool)
    returns = {name: np.zeros(count) for name in REPORTED}
    life, possible = np.zeros(count, dtype=int), np.full(count, steps)
    place, joints, travelled = np.zeros(count), np.zeros(count), np.zeros(count)
    endings = np.zeros(len(REASONS), dtype=int)
    for step in range(steps):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        endings += np.bincount(env.reason[up & terminated], minlength=len(REASONS))
        going = up & ~terminated
        for name, total in returns.items():
            total[going] += PROFILES[name](env.errors, env.measure)[going]
        life[going] += 1
        place[going] += np.sqrt(env.errors.com[going])
        joints[going] += np.degrees(np.sqrt(env.errors.pose[going, 1:])).mean(axis=1)
        travelled[going] = np.linalg.norm(env.sim.qpos[going, :2] - begin[going], axis=1)
        possible[up & truncated] = step + 1
        up = going & ~truncated
        if not up.any():
            break
    lived = np.maximum(life, 1)
    moved = env.table(start + life * env.step_time).qpos[:, :2] - env.table(start).qpos[:, :2]
    expected = np.linalg.norm(moved, axis=1).sum()
    return Score(
        returns={name: Mean.of(total / possible) for name, total in returns.items()},
        seconds=Mean.of(life * env.step_time),
        completed=float((life >= possible).mean()),
        speed_ratio=float(travelled.sum() / expected) if expected > STAYS * count else float("nan"),
        place_error=float((place / lived).mean()),
        joint_error=float((joints / lived).mean()),
        endings={name: int(n) for name, n in zip(REASONS[1:], endings[1:], strict=True)},
    )


def evaluate(
    act: Actor,
    character: Character,
    clip: Clip,
    gains: dict[str, JointGain],
    task: EnvSettings,
    *,
    engine_name: str = "mujoco",
    physics: EngineSettings | None = None,
    episodes: int = 32,
    profile: str = REPORTED[0],
    seed: int = 0,
) -> Evaluation:
    """Score an actor, and a zero residual and chance beside it.

    Args:
        act: the actor, trained with this ``task``: residual and lookahead are its.
        episodes: at least 32 for a figure to be quoted.
        profile: whose return is `normalized_return`.
    """
    ends = "none" if task.early_termination == "none" else "contact"
    synced = replace(task, early_termination=ends, resync=True, disturbance=NONE)
    world = engine.make(engine_name, character, gains, episodes, physics)
    try:

        def under(who: Actor, settings: EnvSettings) -> Score:
            return score(who, ImitationEnv(world, clip, settings, seed))

        random = np.random.default_rng(seed)
        size = character.layout.nv - 6
        with_sync = under(act, synced)
        return Evaluation(
            engine=engine_name,
            episodes=episodes,
            horizon=task.horizon if clip.loop else clip.duration,
            profile=profile,
            normalized_return=with_sync.returns[profile].mean,
            ci95=with_sync.returns[profile].ci95,
            synced=with_sync,
            free=under(act, replace(synced, resync=False)),
            zero=under(lambda o: np.zeros((len(o), size)), synced),
            chance=under(lambda o: RANDOM_STD * random.standard_normal((len(o), size)), synced),
        )
    finally:
        world.close()
