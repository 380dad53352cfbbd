"""The learner: advantages by hand, endings, the normaliser, determinism."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.policy import Normaliser, Policy  # noqa: E402
from train.ppo import Ppo, PpoSettings, gae  # noqa: E402

NO = np.zeros((3, 1), dtype=bool)


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def test_gae_by_hand():
    # γ = .5, λ = .5. δ = (1 + .5·4 − 2, 0 + .5·6 − 4, 2 + .5·8 − 6) = (1, −1, 0)
    # A₂ = 0, A₁ = −1 + .25·0 = −1, A₀ = 1 + .25·(−1) = .75
    got = gae(column(1, 0, 2), column(2, 4, 6), column(4, 6, 8), NO, NO, gamma=0.5, lam=0.5)
    np.testing.assert_allclose(got[:, 0], [0.75, -1.0, 0.0])


def test_a_termination_is_worth_nothing_afterwards():
    # the middle step falls: δ₁ = 0 − 4 = −4, and nothing flows back from A₂ = 0
    fell = NO.copy()
    fell[1] = True
    got = gae(column(1, 0, 2), column(2, 4, 6), column(4, 6, 8), fell, fell, gamma=0.5, lam=0.5)
    np.testing.assert_allclose(got[:, 0], [1 + 0.25 * -4.0, -4.0, 0.0])


def test_a_truncation_bootstraps_from_the_final_observation():
    # the middle step runs out of time in a state worth 10: δ₁ = 0 + .5·10 − 4 = 1; the next row is another episode
    over = NO.copy()
    over[1] = True
    got = gae(column(1, 0, 2), column(2, 4, 6), column(4, 10, 8), NO, over, gamma=0.5, lam=0.5)
    np.testing.assert_allclose(got[:, 0], [1 + 0.25 * 1.0, 1.0, 0.0])


def test_the_normaliser_merges_batches_as_if_they_were_one():
    random = torch.Generator().manual_seed(0)
    data = 3.0 + 2.0 * torch.randn((500, 4), generator=random)
    norm = Normaliser(4)
    for part in data.split(123):
        norm.update(part)
    torch.testing.assert_close(norm.mean, data.mean(dim=0), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm.var, data.var(dim=0, correction=0), atol=1e-3, rtol=0)


def test_log_probability_is_that_of_a_normal_distribution():
    torch.manual_seed(0)
    policy = Policy(5, 3, (8,), log_std=-0.7)
    normal, action = torch.randn(6, 5), torch.randn(6, 3)
    expected = torch.distributions.Normal(policy.actor(normal), float(np.exp(-0.7))).log_prob(action).sum(dim=1)
    torch.testing.assert_close(policy.log_probability(normal, action), expected)


class Pointer:
    """The smallest task: the reward is highest where the action equals a number that is seen; episodes are 8 steps."""

    count, observation_size, action_size, step_time = 64, 2, 1, 0.1

    def __init__(self, seed: int = 0):
        self.random = np.random.default_rng(seed)
        self.age = np.zeros(self.count, dtype=int)
        self.reason = np.zeros(self.count, dtype=int)

    def reset(self) -> np.ndarray:
        self.age[:] = self.random.integers(0, 8, self.count)
        return self._look()

    def _look(self) -> np.ndarray:
        self.goal = self.random.uniform(-1, 1, self.count)
        return np.column_stack([self.goal, np.ones(self.count)]).astype(np.float32)

    def step(self, action: np.ndarray):
        reward = np.exp(-4 * (action[:, 0] - self.goal) ** 2)
        self.age += 1
        over = self.age >= 8
        self.age[over] = 0
        seen = self._look()
        return seen, reward, np.zeros(self.count, dtype=bool), over, seen


def learn(seed: int, iterations: int = 25) -> list[float]:
    ppo = Ppo(Pointer(seed), PpoSettings(steps=16, minibatch=256, hidden=(32,), log_std=-1.0, rate=1e-3), seed)  # pyright: ignore[reportArgumentType]
    return [ppo.iterate()["reward"] for _ in range(iterations)]


def test_the_return_rises():
    rewards = learn(0)
    assert rewards[0] < 0.5
    assert np.mean(rewards[-3:]) > 0.7


def test_the_same_seed_learns_the_same():
    assert learn(3, 4) == learn(3, 4)
    assert learn(3, 4) != learn(4, 4)
