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
        self.env_of, self.lying, self.first = env_of, np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        self.times: list[float] = []
        self.forces: set[float] = set()

    def reset(self, ids, qpos, qvel):
        super().reset(ids, qpos, qvel)
        if len(ids) == self.count:
            self.lying[:] = False
            self.first = self.env_of().time % 1.0 < 0.05

    def push(self, force):
        size = np.linalg.norm(force, axis=1)
        if size.max() > 0:
            self.times.append(float(self.env_of().age.max()) * self.env_of().step_time)
            self.forces |= set(np.round(size, 6))
        # 100 N forward or backward, 60 N sideways, 20 N less in the first phase
        bears = np.where(np.abs(force[:, 0]) > np.abs(force[:, 1]), 100.0, 60.0)
        bears -= 20.0 * self.first
        self.lying |= size > bears + 1e-6

    def step(self, targets, before=None, delay=None):
        env = self.env_of()
        there = env.reference(env.time + env.step_time)
        self.qpos[:], self.qvel[:] = there.qpos, there.qvel
        self.qpos[self.lying, 2] = 0.0


def pushed(character, monkeypatch, loop: bool = True, ghost: type[Strong] = Strong, **options):
    monkeypatch.setattr(push, "WATCHED", 0.2)
    made: list[ImitationEnv] = []

    def make(count: int) -> ImitationEnv:
        settings = EnvSettings(early_termination="contact", horizon=push.LONGEST + 1.0)
        body = ghost(character, count, lambda: made[0])
        env = object.__new__(ImitationEnv)
        made.append(env)
        env.__init__(body, walk(character, loop=loop), settings)
        return env

    found = push.scan(lambda seen: np.zeros((len(seen), character.layout.nv - 6)), make, **options)
    engine = made[0].engine
    assert isinstance(engine, Strong)
    return found, engine


def test_the_largest_force_survived_by_direction_and_phase(humanoid, monkeypatch):  # noqa: F811
    found, ghost = pushed(humanoid, monkeypatch, largest=140.0)
    assert found["forward"].by_phase == (80.0, *[100.0] * 7)
    assert found["left"].by_phase == found["right"].by_phase == (40.0, *[60.0] * 7)
    forward = found["forward"]
    assert (forward.median, forward.worst, forward.ci95, forward.capped) == (100.0, 80.0, (100.0, 100.0), False)
    # after one cycle, for 0.2 s
    assert min(ghost.times) >= 1.0 - 1e-9
    assert max(ghost.times) < 1.2


def test_a_scan_may_begin_where_an_earlier_one_ended(humanoid, monkeypatch):  # noqa: F811
    found, ghost = pushed(humanoid, monkeypatch, largest=140.0, begin=80.0)
    assert found["forward"].by_phase == (80.0, *[100.0] * 7)
    assert found["left"].by_phase == (40.0, *[60.0] * 7)
    assert ghost.forces >= {20.0, 40.0, 60.0, 80.0, 100.0, 120.0}  # the smaller ones where 80 N was too much


class Weak(Strong):
    """Survives 100 N, but not `holes` below it."""

    holes: tuple[float, ...] = ()

    def push(self, force):
        super().push(force)
        self.lying |= np.isin(np.round(np.linalg.norm(force, axis=1), 6), self.holes)


def test_forces_skipped_on_the_way_up_are_tried_next_to_what_is_found(humanoid, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Weak, "holes", (80.0,))
    found, _ = pushed(humanoid, monkeypatch, ghost=Weak, begin=20.0, stride=4)
    assert found["forward"].by_phase == (60.0,) * 8
    monkeypatch.setattr(Weak, "holes", (40.0,))
    found, ghost = pushed(humanoid, monkeypatch, ghost=Weak, begin=20.0, stride=1)
    assert found["forward"].by_phase == (20.0,) * 8
    assert ghost.forces == {20.0, 40.0}


def test_strides_find_what_every_force_finds_in_fewer_trials():
    rng = np.random.default_rng(0)
    bears = rng.integers(0, 26, push.GROUPS)
    trials = {}
    for stride in (1, push.STRIDE):
        plan = push._Scan(500.0, stride * push.STEP, stride)
        trials[stride] = 0
        while wanted := plan.next():
            assert len(set(wanted)) == len(wanted) <= push.GROUPS
            trials[stride] += 1
            for group, force in wanted:
                plan.stands[group][force] = bool(force <= bears[group])
        assert [plan.survived(group) for group in range(push.GROUPS)] == np.minimum(bears, 25).tolist()
        for group, most in enumerate(bears.tolist()):  # both neighbours were tried
            assert {most - 1, most, most + 1} & set(range(1, 26)) <= plan.stands[group].keys()
    assert trials[push.STRIDE] < 0.7 * trials[1]


def test_a_scan_stops_at_its_largest_force_and_says_so(humanoid, monkeypatch):  # noqa: F811
    found, ghost = pushed(humanoid, monkeypatch, largest=60.0)
    assert found["forward"].by_phase == (60.0,) * 8
    assert found["forward"].capped
    assert max(ghost.forces) == 60.0


def test_a_one_shot_is_pushed_on_its_reference_and_watched_to_its_end(humanoid, monkeypatch):  # noqa: F811
    found, ghost = pushed(humanoid, monkeypatch, loop=False, largest=120.0)
    assert found["forward"].by_phase == (80.0, *[100.0] * 7)
    assert min(ghost.times) == 0.0


def test_the_interval_of_the_median_is_that_of_the_phases():
    assert push.Survived.of(np.array([20.0, 40.0, 0.0, 60.0, 40.0, 40.0, 20.0, 60.0]), 100.0).worst == 0.0
    low, high = push.Survived.of(np.array([0.0] * 4 + [100.0] * 4), 200.0).ci95
    assert (low, high) == (0.0, 100.0)
