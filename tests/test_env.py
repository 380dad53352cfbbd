"""The environment: starts, endings and their reasons, cycles, targets, the reference's table."""

from __future__ import annotations

import numpy as np
import pytest

from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip, CycleOffset
from motion.errors import InputError
from train.engine import EngineSettings
from train.env import REASONS, EnvSettings, ImitationEnv
from train.reference import Reference
from train.state import state_of


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def walk(character: Character, *, loop: bool = True, yaw: float = 0.0) -> Clip:
    """One second of swinging limbs while the root moves 1 m: enough of a clip for tests."""
    layout, count = character.layout, 60
    phase = np.arange(count) / (count if loop else count - 1)
    tangent = np.zeros((count, layout.nv))
    tangent[:, 6:] = 0.3 * np.sin(2 * np.pi * phase[:, None] + np.arange(layout.nv - 6))
    tangent[:, 0] = 0.0 if yaw else phase
    qpos = layout.integrate(np.repeat(character.rest[None], count, axis=0), tangent)
    qpos[:, 3:7] = rotation.from_yaw(yaw * phase)
    offset = CycleOffset(np.array([0.0 if yaw else 1.0, 0.0, 0.0]), yaw) if loop else NO_OFFSET
    around = np.concatenate([offset.apply(qpos[-1:], -1), offset.apply(qpos[:1], 1)]) if loop else None
    qvel = layout.velocities(qpos, 1 / 60 if loop else 1 / 59, after=around)
    return Clip("swing", character.name, loop, 1.0, character.specs, phase, layout.continuous(qpos), qvel, {}, offset)


class Ghost:
    """An engine without physics: bodies go where a test says, and stay there otherwise."""

    def __init__(self, character: Character, count: int):
        self.character, self.count, self.settings = character, count, EngineSettings()
        self.qpos = np.repeat(character.rest[None], count, axis=0)
        self.qvel = np.zeros((count, character.layout.nv))
        self.next: tuple[np.ndarray, np.ndarray] | None = None
        self.targets: np.ndarray | None = None

    def reset(self, ids, qpos, qvel):
        self.qpos[ids], self.qvel[ids] = qpos, qvel

    def step(self, targets, before=None, delay=None):
        self.targets, self.before, self.delay = targets, before, delay
        if self.next is not None:
            self.qpos[:], self.qvel[:] = self.next

    def vary(self, ids, friction, mass): ...

    def push(self, force): ...

    def overload(self) -> np.ndarray | None:
        return None

    def close(self): ...


def make(character: Character, clip: Clip, count: int = 5, **settings) -> tuple[ImitationEnv, Ghost]:
    ghost = Ghost(character, count)
    return ImitationEnv(ghost, clip, EnvSettings(**settings), seed=1), ghost


def follow(env: ImitationEnv, ghost: Ghost) -> None:
    """Put the bodies where the reference will be after the next step."""
    there = env.reference(env.time + env.step_time)
    ghost.next = there.qpos, there.qvel


def act(env: ImitationEnv):
    return env.step(np.zeros((env.count, env.action_size)))


@pytest.mark.parametrize("yaw", [0.0, 0.8])
def test_the_table_is_the_clip(humanoid: Character, yaw: float):
    clip = walk(humanoid, yaw=yaw)
    table = Reference(clip, humanoid, 10.0)
    time = np.random.default_rng(0).uniform(0, 9, 200)
    qpos, qvel = clip.sample(time)
    exact, got = state_of(humanoid, qpos, qvel), table(time)
    np.testing.assert_allclose(humanoid.layout.difference(got.qpos, qpos), 0, atol=2e-4)
    np.testing.assert_allclose(got.positions, exact.positions, atol=2e-4)
    np.testing.assert_allclose(rotation.angle(got.rotations, exact.rotations), 0, atol=1e-3)
    np.testing.assert_allclose(got.linear, exact.linear, atol=2e-2)
    np.testing.assert_allclose(got.com, exact.com, atol=2e-4)


def test_episodes_start_on_the_reference_all_over_the_cycle(humanoid: Character):
    env, ghost = make(humanoid, walk(humanoid), 200)
    env.reset()
    assert np.histogram(env.time, bins=4, range=(0, 1))[0].min() > 25
    there = env.reference(env.time)
    np.testing.assert_array_equal(ghost.qpos, there.qpos)
    np.testing.assert_array_equal(ghost.qvel, there.qvel)


def test_a_perfect_body_earns_one_a_step_and_is_cut_off_by_the_clock(humanoid: Character):
    env, ghost = make(humanoid, walk(humanoid), horizon=2.0)
    env.reset()
    for step in range(60):
        follow(env, ghost)
        _, reward, terminated, truncated, _ = act(env)
        np.testing.assert_allclose(reward, 1.0, atol=1e-9)
        assert not terminated.any()
        assert truncated.all() == (step == 59)
    assert (env.age == 0).all()


def test_a_one_shot_ends_with_its_clip_from_wherever_it_began(humanoid: Character):
    env, ghost = make(humanoid, walk(humanoid, loop=False), start="uniform")
    env.reset()
    left = np.ceil((1.0 - env.time) / env.step_time - 1e-9)
    life = np.zeros(env.count)
    done = np.zeros(env.count, dtype=bool)
    for _ in range(31):
        follow(env, ghost)
        _, _, terminated, truncated, _ = act(env)
        assert not terminated.any()
        life += ~done
        done |= truncated
    np.testing.assert_array_equal(life, left)


def fallen(env: ImitationEnv) -> tuple[np.ndarray, np.ndarray]:
    """Bodies that lie on the ground at the reference's place."""
    there = env.reference(env.time + env.step_time)
    qpos = there.qpos.copy()
    qpos[:, 2] = 0.05
    qpos[:, 3:7] = rotation.exp(np.array([0.0, 1.5, 0.0]))
    return qpos, np.zeros_like(there.qvel)


@pytest.mark.parametrize(
    ("how", "reason"), [("contact", "contact"), ("both", "contact"), ("deviation", "deviation"), ("none", None)]
)
def test_a_fall_ends_the_episode_as_the_settings_say(humanoid: Character, how: str, reason: str | None):
    env, ghost = make(humanoid, walk(humanoid), early_termination=how)
    env.reset()
    ghost.next = fallen(env)
    _, reward, terminated, truncated, _ = act(env)
    if reason is None:
        assert not terminated.any()
        return
    assert terminated.all()
    assert not truncated.any()
    assert [REASONS[r] for r in env.reason] == [reason] * env.count
    assert (reward == 0).all()


def test_the_final_observation_is_that_of_the_fall_not_of_the_new_start(humanoid: Character):
    env, ghost = make(humanoid, walk(humanoid))
    env.reset()
    ghost.next = fallen(env)
    observation, _, _, _, final = act(env)
    height = 2  # after the two of the phase
    np.testing.assert_allclose(final[:, height], 0.05, atol=1e-6)
    assert (observation[:, height] > 0.5).all()


def test_a_body_that_leaves_the_reference_by_more_than_half_a_metre_has_strayed(humanoid: Character):
    env, ghost = make(humanoid, walk(humanoid), early_termination="deviation")
    env.reset()
    follow(env, ghost)
    assert ghost.next is not None
    ghost.next[0][:, 1] += np.array([0.0, 0.4, 0.49, 0.51, 2.0])
    _, _, terminated, _, _ = act(env)
    np.testing.assert_array_equal(terminated, [False, False, False, True, True])


def test_a_broken_simulation_ends_its_episode_alone(humanoid: Character):
    env, ghost = make(humanoid, walk(humanoid))
    env.reset()
    follow(env, ghost)
    assert ghost.next is not None
    ghost.next[1][2] = np.nan
    observation, reward, terminated, _, _ = act(env)
    np.testing.assert_array_equal(terminated, [False, False, True, False, False])
    assert REASONS[env.reason[2]] == "exploded"
    assert np.isfinite(observation).all()
    assert np.isfinite(reward).all()


def test_resync_moves_the_reference_onto_the_body_at_each_new_cycle_and_only_then(humanoid: Character):
    clip = walk(humanoid)
    env, ghost = make(humanoid, clip, resync=True, early_termination="none")
    env.reset()
    env.time[:] = 0.91
    for _ in range(2):
        follow(env, ghost)
        assert ghost.next is not None
        ghost.next[0][:, 1] += 0.2
        act(env)
        np.testing.assert_array_equal(env.shift, 0.0)
    follow(env, ghost)
    assert ghost.next is not None
    ghost.next[0][:, 1] += 0.2
    _, reward, *_ = act(env)
    assert (env.time > 1.0).all()
    np.testing.assert_allclose(env.shift[:, 1], 0.2, atol=1e-3)
    np.testing.assert_allclose(reward, 1.0, atol=1e-3)  # only xy had been wrong


def test_a_zero_residual_aims_at_the_reference_ahead_and_an_action_turns_it(humanoid: Character):
    clip = walk(humanoid)
    env, ghost = make(humanoid, clip, lookahead=0.1, residual=0.5)
    env.reset()
    ahead, _ = clip.sample(env.time + 0.1)
    act(env)
    assert ghost.targets is not None
    np.testing.assert_allclose(ghost.targets, ahead[:, 7:], atol=1e-3)
    knee = humanoid.joint("left_knee")
    action = np.zeros((env.count, env.action_size))
    action[:, humanoid.layout.qvel_at[knee] - 6] = 1.0
    ahead, _ = clip.sample(env.time + 0.1)
    env.step(action)
    assert ghost.targets is not None
    column = humanoid.layout.qpos_at[knee] - 7
    np.testing.assert_allclose(ghost.targets[:, column], ahead[:, 7 + column] + 0.5, atol=1e-3)


def test_observations_do_not_depend_on_place_and_heading(humanoid: Character):
    from train import observation

    clip = walk(humanoid)
    qpos, qvel = clip.sample(np.array([0.2, 0.5]))
    there, speed = clip.sample(np.array([0.25, 0.55]))
    turn, move = rotation.from_yaw(np.float64(1.1)), np.array([3.0, -2.0, 0.0])

    def moved(q: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q, v = q.copy(), v.copy()
        q[:, :3], q[:, 3:7] = rotation.rotate(turn, q[:, :3]) + move, rotation.multiply(turn, q[:, 3:7])
        v[:, :3] = rotation.rotate(turn, v[:, :3])
        return q, v

    phase = np.array([0.2, 0.5])
    here = [state_of(humanoid, q, v) for q, v in ((qpos, qvel), (there, speed))]
    away = [state_of(humanoid, *moved(q, v)) for q, v in ((qpos, qvel), (there, speed))]
    a = observation.observe(humanoid, here[0], here[1], phase, True)
    b = observation.observe(humanoid, away[0], away[1], phase, True)
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert a.shape == (2, observation.size(humanoid))


def test_a_clip_of_another_body_is_refused(humanoid: Character):
    with pytest.raises(InputError, match="joints are not those of atlas"):
        make(Character.load("atlas"), walk(humanoid))
