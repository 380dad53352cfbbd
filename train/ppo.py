"""PPO (Schulman et al. 2017) to be read top to bottom: collect, estimate advantages, improve, repeat."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motion import files
from motion.errors import InputError, SolveError
from motion.rotation import Array
from train.crew import spread
from train.env import REASONS, ImitationEnv
from train.policy import Policy

CHECKPOINT = 1
"""version of the file"""
Batch = dict[str, torch.Tensor]
"""name → (samples, …)"""


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
    """A policy in training on one environment, or on several of the same task.

    Two cores have two crews of environments, so that one is simulated while the other's states are looked at, and learn
    actor and critic at the same time. Neither looks at the other's numbers: the same seed gives the same policy.
    """

    def __init__(self, envs: ImitationEnv | Sequence[ImitationEnv], settings: PpoSettings, seed: int = 0):
        torch.manual_seed(seed)
        torch.set_num_threads(1)  # crews and networks share out the cores, not the rows of a matrix
        self.envs = list(envs) if isinstance(envs, Sequence) else [envs]
        self.settings, env = settings, self.envs[0]
        self.policy = Policy(env.observation_size, env.action_size, settings.hidden, settings.log_std)
        self.actor = [*self.policy.actor.parameters(), self.policy.log_std]
        self.critic = list(self.policy.critic.parameters())
        self.actor_optimiser = torch.optim.Adam(self.actor, lr=settings.rate, fused=True)
        self.critic_optimiser = torch.optim.Adam(self.critic, lr=settings.critic_rate, fused=True)
        self.generator = torch.Generator().manual_seed(seed + 1)
        self.rate = settings.rate
        self.samples = 0
        self._threads = ThreadPoolExecutor(len(self.envs))
        self.observations = [torch.from_numpy(env.reset()) for env in self.envs]
        self._warm_up()

    def iterate(self) -> dict[str, float]:
        """One batch: collect, learn; figures for the log."""
        start = time.perf_counter()
        batch, figures = self._collect()
        middle = time.perf_counter()
        figures |= self._learn(batch)
        figures |= {"seconds_collect": middle - start, "seconds_learn": time.perf_counter() - middle}
        return figures

    def _together(self, *tasks: Callable[[], Any]) -> list[Any]:
        """Results of tasks that do not look at each other, done side by side if there are several environments."""
        if len(self.envs) == 1:
            return [task() for task in tasks]
        running = [self._threads.submit(task) for task in tasks]
        wait(running)  # all, before an error of one ends the engines
        return [task.result() for task in running]

    def _noise(self) -> list[torch.Tensor]:
        """Normal random numbers (S, n, A) for a batch of each environment."""
        counts, size = [env.count for env in self.envs], self.envs[0].action_size
        whole = torch.randn((self.settings.steps, sum(counts), size), generator=self.generator)
        return list(whole.split(counts, dim=1))

    @torch.no_grad()
    def _warm_up(self) -> None:
        """Show the normaliser the observations of a first, random batch, so that learning does not begin with a jolt."""
        std, seen = torch.exp(self.policy.log_std), []
        for k, (env, noise) in enumerate(zip(self.envs, self._noise(), strict=True)):
            for random in noise:
                seen.append(self.observations[k])
                self.observations[k] = torch.from_numpy(env.step((std * random).numpy())[0])
        self.policy.normaliser.update(torch.cat(seen))

    def _collect(self) -> tuple[Batch, dict[str, float]]:
        """A batch of all environments, and figures of it."""
        noise = self._noise()
        parts = self._together(*(lambda k=k: self._act(k, noise[k]) for k in range(len(self.envs))))
        batches, lengths, reasons = zip(*parts, strict=True)
        counts = np.sum(reasons, axis=0)[1:].tolist()
        batch = {name: torch.cat([part[name] for part in batches], dim=1).flatten(0, 1) for name in batches[0]}
        self.samples += len(batch["old"])
        returns = batch["return"].double() / (1.0 - self.settings.gamma)
        ages = np.concatenate(lengths)
        figures = {
            "reward": float(batch.pop("reward").mean()),
            "explained": float(1 - batch["advantage"].double().var() / returns.var()),
            "episode_seconds": float(ages.mean() * self.envs[0].step_time) if len(ages) else float("nan"),
            **{f"ended_{name}": float(n) for name, n in zip(REASONS[1:], counts, strict=True)},
        }
        return batch, figures

    @torch.no_grad()
    def _act(self, k: int, noise: torch.Tensor) -> tuple[Batch, np.ndarray, np.ndarray]:
        """The batch (S, n, …) of one of the environments, ages of the episodes that ended, how many for each reason."""
        s, env, policy = self.settings, self.envs[k], self.policy
        shape = noise.shape[:2]
        seen, after, normal = (torch.empty((*shape, env.observation_size)) for _ in range(3))
        acted = torch.exp(policy.log_std) * noise
        old = -0.5 * (noise**2).sum(dim=2) - policy.log_std.sum() - policy.LOG_DENSITY * env.action_size
        reward, terminated, truncated = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
        reasons, ages = np.zeros(len(REASONS), dtype=int), [np.zeros(0, dtype=int)]
        for t in range(s.steps):
            seen[t] = self.observations[k]
            normal[t] = policy.normaliser(seen[t])
            acted[t] += policy.actor(normal[t])
            age = env.age + 1
            observation, reward[t], terminated[t], truncated[t], final = env.step(acted[t].numpy())
            after[t] = torch.from_numpy(final)
            self.observations[k] = torch.from_numpy(observation)
            ages.append(age[terminated[t] | truncated[t]])
            reasons += np.bincount(env.reason[terminated[t]], minlength=len(REASONS))
        scale = 1.0 / (1.0 - s.gamma)
        value = scale * policy.value(normal.flatten(0, 1)).reshape(shape).double().numpy()
        following = np.concatenate([value[1:], np.zeros((1, env.count))])
        ended = terminated | truncated
        ended[-1] = True
        following[ended] = scale * policy.value(policy.normaliser(after[torch.from_numpy(ended)])).numpy()
        advantage = gae(reward, value, following, terminated, ended, s.gamma, s.lam)
        arrays = {"reward": reward, "advantage": advantage, "return": (advantage + value) / scale}
        batch = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
        return batch | {"seen": seen, "normal": normal, "action": acted, "old": old}, np.concatenate(ages), reasons

    def _learn(self, batch: Batch) -> dict[str, float]:
        s, policy = self.settings, self.policy
        policy.normaliser.update(batch.pop("seen"))
        gain = batch.pop("advantage")
        batch["gain"] = (gain - gain.mean()) / (gain.std() + 1e-6)
        minibatches: list[Batch] = []
        for _ in range(s.epochs):
            order = torch.randperm(len(gain), generator=self.generator)
            epoch = {name: part.index_select(0, order) for name, part in batch.items()}
            for k in range(0, len(gain), s.minibatch):
                minibatches.append({name: part[k : k + s.minibatch] for name, part in epoch.items()})
        (kl, clipped), _ = self._together(
            lambda: self._learn_actor(minibatches), lambda: self._learn_critic(minibatches)
        )
        if kl > 1.5 * s.kl:
            self.rate = max(self.rate / 1.5, 1e-5)
        elif kl < s.kl / 1.5:
            self.rate = min(self.rate * 1.5, 1e-3)
        self.actor_optimiser.param_groups[0]["lr"] = self.rate
        std = float(torch.exp(policy.log_std.detach()).mean())
        return {"kl": kl, "clipped": clipped, "rate": self.rate, "std": std}

    def _learn_actor(self, minibatches: list[Batch]) -> tuple[float, float]:
        """Improve the actor; the mean divergence from before, and the share of samples that were clipped."""
        s, policy = self.settings, self.policy
        kl, clipped = torch.zeros(()), torch.zeros(())
        for part in minibatches:
            log_ratio = policy.log_probability(part["normal"], part["action"]) - part["old"]
            ratio, gain = torch.exp(log_ratio), part["gain"]
            surrogate = torch.min(ratio * gain, ratio.clamp(1 - s.clip, 1 + s.clip) * gain).mean()
            loss = -surrogate - s.entropy * policy.log_std.sum()
            _improve(loss, self.actor, self.actor_optimiser, s.gradient_norm)
            with torch.no_grad():
                kl += (ratio - 1 - log_ratio).mean()
                clipped += ((ratio - 1).abs() > s.clip).float().mean()
        return float(kl) / len(minibatches), float(clipped) / len(minibatches)

    def _learn_critic(self, minibatches: list[Batch]) -> None:
        """Improve the critic."""
        s, policy = self.settings, self.policy
        for part in minibatches:
            loss = s.value_weight * ((policy.value(part["normal"]) - part["return"]) ** 2).mean()
            _improve(loss, self.critic, self.critic_optimiser, s.gradient_norm)

    def save(self, path: Path) -> None:
        """Write everything that `load` needs, tensors and plain values only."""
        worlds = [
            {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in env.snapshot().items()}
            for env in self.envs
        ]
        content = {
            "version": CHECKPOINT,
            "policy": self.policy.state_dict(),
            "actor": self.actor_optimiser.state_dict(),
            "critic": self.critic_optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "rate": self.rate,
            "samples": self.samples,
            "worlds": worlds,
        }
        write_checkpoint(content, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called: bit-exact if the engine is and the environments are shared out as they were.

        Raises:
            InputError: damaged, another version, or of another body or network.
        """
        content = read_checkpoint(path)
        try:
            self.policy.load_state_dict(content["policy"])
            self.actor_optimiser.load_state_dict(content["actor"])
            self.critic_optimiser.load_state_dict(content["critic"])
            self.generator.set_state(content["generator"])
            self.rate, self.samples = content["rate"], content["samples"]
            worlds = [
                {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in world.items()}
                for world in content["worlds"]
            ]
            worlds = spread(worlds, [env.count for env in self.envs])
            seen = [env.restore(world) for env, world in zip(self.envs, worlds, strict=True)]
            self.observations = [torch.from_numpy(observation) for observation in seen]
        except (KeyError, RuntimeError, ValueError) as problem:
            text = str(problem).splitlines()[0]
            raise InputError(f"checkpoint of another training: {text}", where=path) from problem


def _improve(
    loss: torch.Tensor, parameters: list[torch.nn.Parameter], optimiser: torch.optim.Optimizer, largest: float
) -> None:
    """One step down the gradient, which is shortened to ``largest``."""
    optimiser.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest)
    if not torch.isfinite(norm):
        raise SolveError("the gradient is not a number", hint="lower --rate, or look at the clip's quality")
    optimiser.step()


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
    return _split(content) if "optimiser" in content else content


def _split(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint from when one optimiser held actor and critic, and environments were one crew."""
    both = content.pop("optimiser")
    for name, group in zip(("actor", "critic"), both["param_groups"], strict=True):
        state = {new: both["state"][old] for new, old in enumerate(group["params"]) if old in both["state"]}
        own = {**group, "params": list(range(len(group["params"]))), "fused": True, "foreach": None}
        content[name] = {"state": state, "param_groups": [own]}
    return {**content, "worlds": [content.pop("world")]}


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
