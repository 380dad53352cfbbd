"""PPO (Schulman et al. 2017) to be read top to bottom: collect, estimate advantages, improve, repeat."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motion import files
from motion.errors import InputError, SolveError
from motion.rotation import Array
from train.env import REASONS, ImitationEnv
from train.policy import Policy

CHECKPOINT = 1
"""version of the file"""


@dataclass(frozen=True, slots=True)
class PpoSettings:
    """Learning; the defaults walk the humanoid 20 s after 0.4 M samples."""

    steps: int = 32
    """policy steps a batch, each environment"""
    gamma: float = 0.97
    lam: float = 0.85
    clip: float = 0.2
    epochs: int = 4
    minibatch: int = 512
    rate: float = 3e-4
    """Adam's step of the actor at the start"""
    critic_rate: float = 1e-3
    """Adam's step of the critic, which no divergence limits"""
    kl: float = 0.05
    """the step size follows this divergence a batch"""
    log_std: float = -1.9
    entropy: float = 0.0
    hidden: tuple[int, ...] = (256, 128)
    value_weight: float = 0.5
    gradient_norm: float = 1.0


def gae(
    reward: Array, value: Array, following: Array, terminated: np.ndarray, ended: np.ndarray, gamma: float, lam: float
) -> Array:
    """Generalised advantage estimates ``(S, N)`` (Schulman et al. 2016).

    Args:
        reward: (S, N).
        value: (S, N) of the observations acted on.
        following: (S, N) of the true next observations, before any reset.
        terminated: (S, N) the future is worth nothing.
        ended: (S, N) terminated or truncated: the next row is another episode.
    """
    delta = reward + gamma * np.where(terminated, 0.0, following) - value
    out = np.zeros_like(delta)
    running = np.zeros(delta.shape[1])
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + gamma * lam * np.where(ended[t], 0.0, running)
        out[t] = running
    return out


class Ppo:
    """A policy in training on one environment."""

    def __init__(self, env: ImitationEnv, settings: PpoSettings, seed: int = 0):
        torch.manual_seed(seed)
        self.env, self.settings = env, settings
        self.policy = Policy(env.observation_size, env.action_size, settings.hidden, settings.log_std)
        self.optimiser = torch.optim.Adam(
            [
                {"params": [*self.policy.actor.parameters(), self.policy.log_std], "lr": settings.rate},
                {"params": self.policy.critic.parameters(), "lr": settings.critic_rate},
            ]
        )
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.rate = settings.rate
        self.samples = 0
        self.observation = torch.from_numpy(env.reset())
        self._warm_up()

    def iterate(self) -> dict[str, float]:
        """One batch: collect, learn; figures for the log."""
        start = time.perf_counter()
        batch, figures = self._collect()
        middle = time.perf_counter()
        figures |= self._learn(batch)
        figures |= {"seconds_collect": middle - start, "seconds_learn": time.perf_counter() - middle}
        return figures

    @torch.no_grad()
    def _warm_up(self) -> None:
        """Show the normaliser the observations of a first, random batch, so that learning does not begin with a jolt."""
        policy, std = self.policy, torch.exp(self.policy.log_std)
        seen = []
        for _ in range(self.settings.steps):
            seen.append(self.observation)
            noise = std * torch.randn((self.env.count, self.env.action_size), generator=self.generator)
            self.observation = torch.from_numpy(self.env.step(noise.numpy())[0])
        policy.normaliser.update(torch.cat(seen))

    @torch.no_grad()
    def _collect(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        s, env, policy = self.settings, self.env, self.policy
        shape = (s.steps, env.count)
        seen = torch.empty((*shape, env.observation_size))
        after = torch.empty((*shape, env.observation_size))
        acted = torch.empty((*shape, env.action_size))
        reward, terminated, truncated = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
        reasons = np.zeros(len(REASONS))
        ages: list[np.ndarray] = []
        std = torch.exp(policy.log_std)
        for t in range(s.steps):
            seen[t] = self.observation
            mean = policy(self.observation)
            acted[t] = mean + std * torch.randn(mean.shape, generator=self.generator)
            age = env.age + 1
            observation, reward[t], terminated[t], truncated[t], final = env.step(acted[t].numpy())
            after[t] = torch.from_numpy(final)
            self.observation = torch.from_numpy(observation)
            ended = terminated[t] | truncated[t]
            if ended.any():
                ages.append(age[ended])
                reasons += np.bincount(env.reason[terminated[t]], minlength=len(REASONS))
        self.samples += s.steps * env.count
        normal = policy.normaliser(seen)
        scale = 1.0 / (1.0 - s.gamma)
        value = scale * policy.value(normal.flatten(0, 1)).reshape(shape).double().numpy()
        following = np.concatenate([value[1:], np.zeros((1, env.count))])
        ended = terminated | truncated
        ended[-1] = True
        apart = torch.from_numpy(ended)
        following[ended] = scale * policy.value(policy.normaliser(after[apart])).numpy()
        advantage = gae(reward, value, following, terminated, ended, s.gamma, s.lam)
        batch = {
            "normal": normal.flatten(0, 1),
            "action": acted.flatten(0, 1),
            "advantage": torch.from_numpy(advantage.astype(np.float32)).flatten(),
            "return": torch.from_numpy(((advantage + value) / scale).astype(np.float32)).flatten(),
            "seen": seen.flatten(0, 1),
        }
        batch["old"] = policy.log_probability(batch["normal"], batch["action"])
        lengths = np.concatenate(ages) if ages else np.zeros(0)
        figures = {
            "reward": float(reward.mean()),
            "explained": float(1 - np.var(advantage) / np.var(advantage + value)),
            "episode_seconds": float(lengths.mean() * env.step_time) if len(lengths) else float("nan"),
            **{f"ended_{name}": float(n) for name, n in zip(REASONS[1:], reasons[1:], strict=True)},
        }
        return batch, figures

    def _learn(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        s, policy = self.settings, self.policy
        advantage = batch["advantage"]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
        count, kl, clipped, steps = len(advantage), 0.0, 0.0, 0
        for _ in range(s.epochs):
            order = torch.randperm(count, generator=self.generator)
            for rows in order.split(s.minibatch):
                normal = batch["normal"][rows]
                logp = policy.log_probability(normal, batch["action"][rows])
                log_ratio = logp - batch["old"][rows]
                ratio = torch.exp(log_ratio)
                gain = advantage[rows]
                surrogate = torch.min(ratio * gain, ratio.clamp(1 - s.clip, 1 + s.clip) * gain).mean()
                value_loss = ((policy.value(normal) - batch["return"][rows]) ** 2).mean()
                loss = -surrogate + s.value_weight * value_loss - s.entropy * policy.log_std.sum()
                self.optimiser.zero_grad()
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_([*policy.actor.parameters(), policy.log_std], s.gradient_norm)
                torch.nn.utils.clip_grad_norm_(policy.critic.parameters(), s.gradient_norm)
                if not torch.isfinite(norm):
                    raise SolveError("the gradient is not a number", hint="lower --rate, or look at the clip's quality")
                self.optimiser.step()
                with torch.no_grad():
                    kl += float((ratio - 1 - log_ratio).mean())
                    clipped += float(((ratio - 1).abs() > s.clip).float().mean())
                    steps += 1
        kl /= steps
        policy.normaliser.update(batch["seen"])
        if kl > 1.5 * s.kl:
            self.rate = max(self.rate / 1.5, 1e-5)
        elif kl < s.kl / 1.5:
            self.rate = min(self.rate * 1.5, 1e-3)
        self.optimiser.param_groups[0]["lr"] = self.rate
        return {
            "kl": kl,
            "clipped": clipped / steps,
            "rate": self.rate,
            "std": float(torch.exp(policy.log_std.detach()).mean()),
        }

    def save(self, path: Path) -> None:
        """Write everything that `load` needs, tensors and plain values only."""
        world = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in self.env.snapshot().items()}
        content = {
            "version": CHECKPOINT,
            "policy": self.policy.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "rate": self.rate,
            "samples": self.samples,
            "world": world,
        }
        write_checkpoint(content, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called: bit-exact if the engine is.

        Raises:
            InputError: damaged, another version, or of another body or network.
        """
        content = read_checkpoint(path)
        try:
            self.policy.load_state_dict(content["policy"])
            self.optimiser.load_state_dict(content["optimiser"])
            self.generator.set_state(content["generator"])
            self.rate, self.samples = content["rate"], content["samples"]
            world = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in content["world"].items()}
            self.observation = torch.from_numpy(self.env.restore(world))
        except (KeyError, RuntimeError, ValueError) as problem:
            text = str(problem).splitlines()[0]
            raise InputError(f"checkpoint of another training: {text}", where=path) from problem


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values. Through memory: on a full disk torch's own writer hides the cause."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with files.atomic(path) as file:
        file.write(buffer.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; InputError if it is none."""
    try:
        content = torch.load(path, weights_only=True)
    except FileNotFoundError as problem:
        raise InputError("no such checkpoint", where=path, hint="`mimic-pipe train CLIP` makes one") from problem
    except Exception as problem:  # torch has no single error for a damaged file
        raise InputError("damaged checkpoint", where=path, hint="train again, or take an older one") from problem
    if not isinstance(content, dict) or content.get("version") != CHECKPOINT:
        raise InputError(f"expected a checkpoint of version {CHECKPOINT}", where=path)
    return content


def load_policy(path: Path) -> Policy:
    """The policy of a checkpoint; its sizes are those of its weights."""
    weights = read_checkpoint(path)["policy"]
    layers = [weights[key].shape for key in weights if key.startswith("actor.") and key.endswith(".weight")]
    policy = Policy(layers[0][1], layers[-1][0], tuple(shape[0] for shape in layers[:-1]))
    policy.load_state_dict(weights)
    return policy.eval()


def train(ppo: Ppo, samples: int, report: Callable[[int, dict[str, float]], None]) -> None:
    """Iterate until ``samples`` have been seen; ``report(samples so far, figures)`` after each batch."""
    while ppo.samples < samples:
        figures = ppo.iterate()
        report(ppo.samples, figures)
