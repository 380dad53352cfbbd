"""Disturbances of training: what is drawn, what the engine makes of it, and that a snapshot keeps all of it."""

from __future__ import annotations

import numpy as np
import pytest

from characters.character import Character
from motion.errors import InputError
from tests.test_engine import gains, make, rest
from tests.test_env import Ghost, humanoid, walk  # noqa: F401
from train import engine
from train.disturbance import GRAVITY, Disturbance, Disturbances
from train.engine import EngineSettings
from train.env import EnvSettings, ImitationEnv
from train.state import state_of

ALL = Disturbance(
    push_force=0.5, push_interval=0.3, friction=(0.4, 1.2), mass=(0.8, 1.2), latency=(0, 6), action_noise=0.1
)


class Pushed(Ghost):
    """Writes down every push."""

    def __init__(self, character: Character, count: int):
        super().__init__(character, count)
        self.forces: list[np.ndarray] = []

    def push(self, force):
        self.forces.append(force.copy())


def test_pushes_are_horizontal_of_a_fifth_of_a_second_and_as_rare_as_asked(humanoid: Character):  # noqa: F811
    ghost = Pushed(humanoid, 64)
    world = Disturbances(Disturbance(push_force=0.6, push_interval=1.0), ghost)
    random = np.random.default_rng(0)
    for _ in range(600):
        world.step(ghost.qpos[:, 7:], random)
    force = np.array(ghost.forces)
    size = np.linalg.norm(force, axis=-1)
    most = 0.6 * humanoid.mass * GRAVITY
    assert (force[..., 2] == 0).all()
    assert size.max() <= most
    assert size[size > 0].mean() == pytest.approx(most / 2, rel=0.1)
    assert np.abs(force.sum(axis=(0, 1))).max() < 0.1 * size.sum()  # no preferred direction
    begins = (size[1:] > 0) & (np.abs(force[1:] - force[:-1]).max(axis=-1) > 0)
    assert (size > 0).sum() / begins.sum() == pytest.approx(6, rel=0.05)
    assert size.size / 30 / begins.sum() == pytest.approx(1.2, rel=0.1)  # 1 s apart and 0.2 s long


def test_what_is_off_draws_nothing(humanoid: Character):  # noqa: F811
    def state(disturbance: Disturbance):
        env = ImitationEnv(Ghost(humanoid, 3), walk(humanoid), EnvSettings(disturbance=disturbance), seed=4)
        env.reset()
        env.step(np.zeros((3, env.action_size)))
        return env.random.bit_generator.state

    plain = np.random.default_rng(4)
    plain.uniform(0, 1, 3)
    assert state(Disturbance()) == plain.bit_generator.state
    assert state(ALL) != plain.bit_generator.state


def test_friction_and_mass_reach_the_simulation_of_their_environment_alone(humanoid: Character):  # noqa: F811
    world = make(humanoid, 3)
    qpos, qvel = rest(humanoid, 3), np.zeros((3, humanoid.layout.nv))
    qvel[:, 0] = 1.0
    ones = np.ones((2, len(humanoid.links)))
    world.vary(np.array([1, 2]), np.array([0.0, 0.9]), ones)
    world.reset(np.arange(3), qpos, qvel)
    for _ in range(4):
        world.step(qpos[:, 7:])
    speed = state_of(humanoid, world.qpos, world.qvel).com_velocity[:, 0]
    assert speed[1] == pytest.approx(1.0, abs=1e-3)
    assert speed[0] == speed[2] < 0.9
    world.vary(np.array([1, 2]), np.array([0.9, 0.9]), np.stack([2 * ones[0], ones[1]]))
    world.reset(np.arange(3), rest(humanoid, 3, 50.0), np.zeros_like(qvel))
    world.push(np.tile([90.0, 0.0, 0.0], (3, 1)))
    for _ in range(6):
        world.step(qpos[:, 7:])
    speed = state_of(humanoid, world.qpos, world.qvel).com_velocity[:, 0]
    np.testing.assert_allclose(speed, 90.0 * 0.2 / humanoid.mass * np.array([1.0, 0.5, 1.0]), rtol=1e-3)


def test_a_late_target_acts_after_its_delay(humanoid: Character):  # noqa: F811
    old, new = rest(humanoid, 4, 50.0)[:, 7:], rest(humanoid, 4, 50.0)[:, 7:].copy()
    knee = humanoid.layout.qpos_at[humanoid.joint("left_knee")] - 7
    new[:, knee] -= 0.5

    def bent(step) -> np.ndarray:
        world = make(humanoid, 4)
        world.reset(np.arange(4), rest(humanoid, 4, 50.0), np.zeros((4, humanoid.layout.nv)))
        step(world)
        return world.qpos[:, 7 + knee].copy()

    late = bent(lambda world: world.step(new, old, np.array([0, 3, 7, 8])))
    assert (np.diff(late) > 0.001).all()
    assert late[0] == bent(lambda world: world.step(new))[0]
    assert late[3] == bent(lambda world: world.step(old))[0]


def test_a_snapshot_of_a_disturbed_world_goes_on_to_the_bit(humanoid: Character):  # noqa: F811
    def world(seed: int) -> ImitationEnv:
        physics = EngineSettings(threads=1)
        made = engine.make("mujoco", humanoid, gains(humanoid), 4, physics)
        return ImitationEnv(made, walk(humanoid), EnvSettings(start="failure", disturbance=ALL), seed)

    first, second = world(0), world(1)
    first.reset()
    second.reset()
    actions = 0.2 * np.random.default_rng(2).standard_normal((20, 4, first.action_size))
    for action in actions[:10]:
        first.step(action)
    assert first.disturbances.force.any()
    assert first.starts.visits.any()
    second.restore(first.snapshot())
    for action in actions[10:]:
        for a, b in zip(first.step(action), second.step(action), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.engine.qpos, second.engine.qpos)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"friction": (0.9, 0.5)}, "friction"), ({"mass": (0.0, 1.0)}, "mass"), ({"push_force": -1.0}, "push_force")],
)
def test_ranges_that_make_no_sense_are_refused(wrong: dict, said: str):
    with pytest.raises(InputError, match=said):
        Disturbance(**wrong)


def test_a_latency_longer_than_a_policy_step_is_refused(humanoid: Character):  # noqa: F811
    with pytest.raises(InputError, match="at most the 8"):
        Disturbances(Disturbance(latency=(0, 9)), Ghost(humanoid, 1))
