"""The policy: an observation normaliser, a Gaussian actor and a critic, in torch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Running mean and variance of observations, kept with the weights (Chan et al. 1979 for the merge)."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float = 5.0):
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.tensor(1e-4))

    def update(self, batch: Tensor) -> None:
        """Take in a batch (B, O)."""
        var, mean = torch.var_mean(batch, dim=0, correction=0)
        total = self.count + len(batch)
        delta = mean - self.mean
        m2 = self.var * self.count + var * len(batch) + delta**2 * self.count * len(batch) / total
        self.mean += delta * len(batch) / total
        self.var.copy_(m2 / total)
        self.count.copy_(total)

    def forward(self, x: Tensor) -> Tensor:
        """Observations (B, O), zero mean, unit variance, clipped."""
        return ((x - self.mean) / torch.sqrt(self.var + 1e-4)).clamp(-self.clip, self.clip)


def mlp(sizes: list[int], last: float) -> nn.Sequential:
    """SiLU layers, orthogonal weights; the last layer's are scaled by ``last``.

    A small last layer matters: an untrained net of gain 1 is a jagged function of the jittering velocities, and unlearning
    it costs a critic its first 100,000 samples (measured: TD error 3.1 against 0.9, explained variance .60 against .83).
    """
    layers: list[nn.Module] = []
    for k, (a, b) in enumerate(pairwise(sizes)):
        layer = nn.Linear(a, b)
        final = k == len(sizes) - 2
        nn.init.orthogonal_(layer.weight, last if final else 1.0)
        nn.init.zeros_(layer.bias)
        layers += [layer] if final else [layer, nn.SiLU()]
    return nn.Sequential(*layers)


class Policy(nn.Module):
    """Actor and critic on normalised observations; one log-std per action."""

    LOG_DENSITY = 0.9189385332046727
    """½ log 2π"""

    def __init__(self, observations: int, actions: int, hidden: tuple[int, ...] = (256, 128), log_std: float = -2.2):
        super().__init__()
        self.normaliser = Normaliser(observations)
        self.actor = mlp([observations, *hidden, actions], 0.01)
        self.critic = mlp([observations, *hidden, 1], 0.01)
        self.log_std = nn.Parameter(torch.full((actions,), log_std))

    def forward(self, observation: Tensor) -> Tensor:
        """Mean action (B, A) of observations (B, O): what is exported."""
        return self.actor(self.normaliser(observation))

    def value(self, normal: Tensor) -> Tensor:
        """Value (B,) of normalised observations."""
        return self.critic(normal)[:, 0]

    def log_probability(self, normal: Tensor, action: Tensor) -> Tensor:
        """Log density (B,) of actions (B, A)."""
        mean = self.actor(normal)
        z = (action - mean) * torch.exp(-self.log_std)
        return -0.5 * (z**2).sum(dim=1) - self.log_std.sum() - self.LOG_DENSITY * mean.shape[1]
