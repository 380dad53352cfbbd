"""What a policy is worth: normalised returns, beside those of doing nothing and of chance, and what disturbs it.

`NR` moves the reference's xy onto the body at each new cycle, as the code released with DeepMimic does; `NR_free` never
moves it. A one-shot starts from phase 0. What tells a controller from a balancing act is measured by the rule of `NR`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from characters.character import Character
from motion.clip import Clip
from motion.gains import JointGain
from motion.rotation import Array
from train import engine
from train.engine import EngineSettings
from train.env import EnvSettings, ImitationEnv
from train.policy import Policy
from train.recording import Recorder
from train.score import REPORTED, Actor, Mean, Score, score

__all__ = ["REPORTED", "Actor", "Evaluation", "Mean", "Score", "actor", "evaluate"]
RANDOM_STD = 1.0
"""of the random policy's unit actions"""
OTHER_RATES = (120, 480)
"""Hz the physics is stepped at besides its own: a policy that leans on one integrator's errors fails at another"""


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
    """NR"""
    free: Score
    """NR_free"""
    zero: Score
    """a zero residual, synced"""
    chance: Score
    """random actions, synced"""
    uniform: Score | None = None
    """a one-shot from anywhere in the clip, each episode over its own possible steps; none for a loop"""
    noisy: Score | None = None
    """with the policy's own exploration noise"""
    rates: dict[str, Score] = field(default_factory=dict)
    """Hz of the physics → score"""
    kept: dict[str, float] = field(default_factory=dict)
    """share of `normalized_return` kept: free, noisy, and at each other rate"""

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
    noisy: Actor | None = None,
    record: Path | None = None,
    other_rates: tuple[int, ...] = OTHER_RATES,
) -> Evaluation:
    """Score an actor, and a zero residual and chance beside it.

    Args:
        act: the actor, trained with this ``task``: residual and lookahead are its.
        episodes: at least 32 for a figure to be quoted.
        profile: whose return is `normalized_return`.
        noisy: the actor with its exploration noise; without it that is not measured.
        record: file for the poses of NR's episodes (`train.recording`).
        other_rates: Hz of the physics that are tried besides its own.
    """
    synced = task.measured(clip.loop)
    physics = physics or EngineSettings(self_collision=character.self_collision)
    random, size = np.random.default_rng(seed), character.layout.nv - 6
    recorder = Recorder(engine_name) if record else None
    rates: dict[str, Score] = {}

    @contextmanager
    def world(settings: EngineSettings) -> Iterator[Callable[..., Score]]:
        """Scores of an actor by a rule, under one physics."""
        made = engine.make(engine_name, character, gains, episodes, settings)

        def under(who: Actor, rule: EnvSettings = synced, recorder: Recorder | None = None) -> Score:
            return score(who, ImitationEnv(made, clip, rule, seed), recorder)

        try:
            yield under
        finally:
            made.close()

    with world(physics) as under:
        scores: dict[str, Any] = {
            "synced": under(act, recorder=recorder),
            "free": under(act, replace(synced, resync=False)),
            "zero": under(lambda seen: np.zeros((len(seen), size))),
            "chance": under(lambda seen: RANDOM_STD * random.standard_normal((len(seen), size))),
            "uniform": None if clip.loop else under(act, replace(synced, start="uniform")),
            "noisy": under(noisy) if noisy else None,
        }
    if recorder is not None and record is not None:
        recorder.recording().save(record)
    for hertz in other_rates:
        with world(at_rate(physics, hertz)) as under:
            rates[str(hertz)] = under(act)
    nr = scores["synced"].returns[profile]
    disturbed = {"free": scores["free"], "noisy": scores["noisy"]} | {f"{hertz} Hz": s for hertz, s in rates.items()}
    return Evaluation(
        engine=engine_name,
        episodes=episodes,
        horizon=task.horizon if clip.loop else clip.duration,
        profile=profile,
        normalized_return=nr.mean,
        ci95=nr.ci95,
        **scores,
        rates=rates,
        kept={name: s.returns[profile].mean / max(nr.mean, 1e-9) for name, s in disturbed.items() if s is not None},
    )


def at_rate(physics: EngineSettings, hertz: float) -> EngineSettings:
    """The same physics and policy rate with another rate of the simulation."""
    substeps = max(1, round(physics.control_step * hertz))
    return replace(physics, timestep=physics.control_step / substeps, substeps=substeps)
