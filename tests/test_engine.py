"""The MuJoCo engine against formulas: free fall, a servo at rest, torque limits, pushes, determinism."""

# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from characters.character import Character
from motion import rotation
from motion.errors import InputError
from motion.gains import JointGain
from train import engine
from train.engine import EngineSettings
from train.engine_mujoco import MujocoEngine, build

GRAVITY = 9.81


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def gains(character: Character, limit: float | None = None) -> dict[str, JointGain]:
    limits = {joint.name: limit or character.torque_limits[joint.name] for joint in character.joints}
    return {name: JointGain(kp=5 * tau, kd=0.25 * tau, torque_limit=tau) for name, tau in limits.items()}


def make(character: Character, count: int = 2, **settings) -> MujocoEngine:
    made = engine.make("mujoco", character, gains(character), count, EngineSettings(threads=1, **settings))
    assert isinstance(made, MujocoEngine)
    return made


def rest(character: Character, count: int, height: float = 0.0) -> np.ndarray:
    qpos = np.repeat(character.rest[None], count, axis=0)
    qpos[:, 2] += height
    return qpos


def test_mass_is_the_bodys(humanoid: Character):
    model = build(humanoid, gains(humanoid), EngineSettings())
    assert float(model.body_mass.sum()) == pytest.approx(humanoid.mass, rel=1e-6)
    assert model.nq == humanoid.layout.nq


def test_armature_is_the_implicit_part_of_damping_and_nothing_else(humanoid: Character):
    settings, own = EngineSettings(timestep=1 / 480), gains(humanoid)
    model = build(humanoid, own, settings)
    assert (model.dof_armature[:6] == 0).all()
    for j, joint in enumerate(humanoid.joints):
        first = humanoid.layout.qvel_at[j]
        width = 3 if joint.type == "ball" else 1
        np.testing.assert_allclose(model.dof_armature[first : first + width], own[joint.name].kd / 480, rtol=1e-12)


def test_free_fall(humanoid: Character):
    world = make(humanoid)
    qpos = rest(humanoid, 2, 10.0)
    world.reset(np.arange(2), qpos, np.zeros((2, humanoid.layout.nv)))
    steps = 15
    for _ in range(steps):
        world.step(qpos[:, 7:])
    n, dt = steps * world.settings.substeps, world.settings.timestep
    # semi-implicit Euler: v = −g·n·dt, z = −g·dt²·n(n + 1)/2
    np.testing.assert_allclose(world.qvel[:, 2], -GRAVITY * n * dt, rtol=1e-6)
    np.testing.assert_allclose(qpos[:, 2] - world.qpos[:, 2], GRAVITY * dt**2 * n * (n + 1) / 2, rtol=1e-6)


def test_servos_turn_joints_to_their_targets_in_the_air(humanoid: Character):
    world = make(humanoid, 1)
    qpos = rest(humanoid, 1, 50.0)
    target = qpos.copy()
    tangent = np.zeros((1, humanoid.layout.nv))
    tangent[0, 6:] = np.random.default_rng(0).uniform(-0.4, 0.4, humanoid.layout.nv - 6)
    knees = [humanoid.layout.qvel_at[humanoid.joint(f"{side}_knee")] for side in ("left", "right")]
    elbows = [humanoid.layout.qvel_at[humanoid.joint(f"{side}_elbow")] for side in ("left", "right")]
    tangent[0, knees], tangent[0, elbows] = -0.3, 0.3
    target = humanoid.layout.integrate(target, tangent)
    world.reset(np.arange(1), qpos, np.zeros((1, humanoid.layout.nv)))
    for _ in range(30):
        world.step(target[:, 7:])
    left = humanoid.layout.difference(world.qpos, target)[0, 6:]
    assert np.abs(left).max() < 0.01


def test_a_torque_limit_counts_spring_and_damping_together(humanoid: Character):
    model = build(humanoid, gains(humanoid, limit=7.0), EngineSettings())
    assert (model.actuator_forcerange == [-7.0, 7.0]).all()
    assert (model.actuator_biasprm[:, 2] < 0).all()  # damping is in the limited force
    assert (model.dof_damping == 0).all()


def test_a_push_moves_the_centre_of_mass_by_its_impulse(humanoid: Character):
    from train.state import state_of

    world = make(humanoid)
    qpos = rest(humanoid, 2, 50.0)
    world.reset(np.arange(2), qpos, np.zeros((2, humanoid.layout.nv)))
    force = np.array([[0.0, 0.0, 0.0], [100.0, -50.0, 0.0]])
    world.push(force)
    for _ in range(6):
        world.step(qpos[:, 7:])
    got = state_of(humanoid, world.qpos, world.qvel).com_velocity
    np.testing.assert_allclose(got[:, :2], force[:, :2] * 0.2 / humanoid.mass, atol=1e-3)
    world.push(np.zeros((2, 3)))
    for _ in range(6):
        world.step(qpos[:, 7:])
    after = state_of(humanoid, world.qpos, world.qvel).com_velocity
    np.testing.assert_allclose(after[:, :2], got[:, :2], atol=1e-3)


def test_standing_bodies_stay_on_the_ground(humanoid: Character):
    world = make(humanoid)
    qpos = rest(humanoid, 2)
    world.reset(np.arange(2), qpos, np.zeros((2, humanoid.layout.nv)))
    for _ in range(15):
        world.step(qpos[:, 7:])
    np.testing.assert_allclose(world.qpos[:, 2], qpos[:, 2], atol=0.02)


def test_environments_do_not_touch_each_other_and_steps_repeat_exactly(humanoid: Character):
    random = np.random.default_rng(1)
    start, speed = rest(humanoid, 4, 0.02), random.normal(scale=0.5, size=(4, humanoid.layout.nv))

    def run(rows: list[int]) -> np.ndarray:
        world = make(humanoid, len(rows))
        world.reset(np.arange(len(rows)), start[rows], speed[rows])
        for _ in range(10):
            world.step(start[rows, 7:])
        return world.qpos.copy()

    together = run([0, 1, 2, 3])
    np.testing.assert_array_equal(together, run([0, 1, 2, 3]))
    np.testing.assert_array_equal(together[2:3], run([2]))


def test_unknown_engine_and_missing_gain_are_named(humanoid: Character):
    with pytest.raises(InputError) as caught:
        engine.make("mujocco", humanoid, gains(humanoid), 1)
    assert "mujoco" in str(caught.value.hint)
    some = gains(humanoid)
    del some["left_knee"]
    with pytest.raises(InputError, match="left_knee"):
        engine.make("mujoco", humanoid, some, 1)


def test_overload_is_where_mujoco_clamps_a_servo(humanoid: Character):
    layout, random = humanoid.layout, np.random.default_rng(0)
    world, qpos = make(humanoid, 3), rest(humanoid, 3, 0.1)
    turn = np.concatenate([np.zeros((3, 6)), random.normal(0, 0.3, (3, layout.nv - 6))], axis=1)
    world.reset(np.arange(3), qpos, random.normal(0, 1.0, (3, layout.nv)))
    start = world._state.copy()
    world.step(layout.integrate(qpos, turn)[:, 7:])
    over = world.overload()
    assert over.shape == (3, 8, len(humanoid.joints))
    assert 0.05 < over.mean() < 0.95
    data = mujoco.MjData(world.model)
    for env in range(3):
        data.ctrl[:] = world._control[env, 0, : world.model.nu]
        for step in range(8):
            state = world._out[env, step - 1] if step else start[env]
            mujoco.mj_setState(world.model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
            mujoco.mj_forward(world.model, data)
            clamped = np.abs(data.actuator_force) >= world.model.actuator_forcerange[:, 1]
            assert np.logical_or.reduceat(clamped, layout.qvel_at - 6).tolist() == over[env, step].tolist()


def test_a_servo_at_its_limit_does_not_shake():
    """Links light beside their damping, asked for more than their torque: they turn no faster than their targets ask."""
    character = Character.load("dragon")
    limits = {joint.name: character.mass * GRAVITY * character.height * 0.28 for joint in character.joints}
    own = {name: JointGain(kp=10 * tau, kd=0.5 * tau, torque_limit=tau) for name, tau in limits.items()}
    world = engine.make("mujoco", character, own, 8, EngineSettings(threads=1))
    world.reset(np.arange(8), rest(character, 8), np.zeros((8, character.layout.nv)))
    random, fastest = np.random.default_rng(0), 0.0
    for _ in range(15):
        turn = rotation.exp(0.2 * random.standard_normal((8, int(character.layout.ball.sum()), 3)))
        targets = rest(character, 8)[:, 7:]
        balls = character.layout.quaternions[1:, None] + np.arange(4) - 7
        targets[:, balls] = rotation.multiply(targets[:, balls], turn)
        world.step(targets)
        fastest = max(fastest, float(np.abs(world.qvel).max()))
    assert fastest < 15.0  # rad/s
