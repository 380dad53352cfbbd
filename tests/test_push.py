"""The push table on bodies whose strength is known."""

from __future__ import annotations

import numpy as np

from tests.test_env import Ghost, humanoid, walk  # noqa: F401
from train import push
from train.env import EnvSettings, ImitationEnv


class Strong(Ghost):
    """Follows the reference until it is pushed harder than it can bear, then lies down for good."""

    def __init__(self, character, count, env_of):
        super().__init__(character, count)
        self.env_of, self.lying = env_of, np.zeros(count, dtype=bool)
        self.times: list[float] = []

    def reset(self, ids, qpos, qvel):
        super().reset(ids, qpos, qvel)
        if len(ids) == self.count:
            self.lying[:] = False

    def push(self, force):
        if np.abs(force).max() > 0:
            self.times.append(float(self.env_of().age.max()) * self.env_of().step_time)
        # 100 N forward or backward, 60 N sideways, 20 N less in the first phase
        bears = np.where(np.abs(force[:, 0]) > np.abs(force[:, 1]), 100.0, 60.0)
        bears -= 20.0 * (np.arange(self.count) // push.TRIALS % push.PHASES == 0)
        self.lying |= np.linalg.norm(force, axis=1) > bears

    def step(self, targets, before=None, delay=None):
        env = self.env_of()
        there = env.reference(env.time + env.step_time)
        self.qpos[:], self.qvel[:] = there.qpos, there.qvel
        self.qpos[self.lying, 2] = 0.0


def test_the_largest_force_survived_by_direction_and_phase(humanoid, monkeypatch):  # noqa: F811
    monkeypatch.setattr(push, "WATCHED", 0.2)
    made: list[ImitationEnv] = []

    def make(count: int) -> ImitationEnv:
        settings = EnvSettings(early_termination="contact", horizon=push.LONGEST + 1.0)
        made.append(ImitationEnv(Strong(humanoid, count, lambda: made[0]), walk(humanoid), settings))
        return made[0]

    size = humanoid.layout.nv - 6
    found = push.scan(lambda seen: np.zeros((len(seen), size)), make, largest=140.0)
    assert found["forward"].by_phase == (80.0, *[100.0] * 7)
    assert found["left"].by_phase == found["right"].by_phase == (40.0, *[60.0] * 7)
    assert (found["forward"].median, found["forward"].worst, found["forward"].capped) == (100.0, 80.0, False)
    ghost = made[0].engine
    assert isinstance(ghost, Strong)
    # after one cycle, for 0.2 s
    assert min(ghost.times) >= 1.0 - 1e-9
    assert max(ghost.times) < 1.2
