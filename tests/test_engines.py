"""The engines against formulas and against each other, on every body; PyBullet's workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from characters import kinematics
from characters.character import Character
from motion import rotation
from motion.errors import SolveError
from motion.gains import JointGain
from motion.rotation import Array
from pipeline import cli_train
from train import engine
from train.engine import ENGINES, EngineSettings
from train.engine_mujoco import MujocoEngine
from train.engine_pybullet import PybulletEngine, pybullet
from train.state import state_of

GRAVITY = 9.81
BODIES = ("humanoid", "atlas", "trex", "dragon")
IN_AIR = 20.0
LIMP = JointGain(kp=1e-9, kd=0.0, torque_limit=1e-9)

SKEW = """<robot name="skew">
<link name="base"><inertial><mass value="2"/><inertia ixx=".02" iyy=".03" izz=".04" ixy=".004" ixz="-.003" iyz=".002"/>
</inertial><collision><geometry><sphere radius=".1"/></geometry></collision></link>
<link name="arm"><inertial><origin xyz=".1 -.05 .2" rpy=".5 .4 -.3"/><mass value="1"/>
<inertia ixx=".005" iyy=".02" izz=".022" ixy="0" ixz="0" iyz="0"/></inertial></link>
<link name="rod"><inertial><origin xyz="0 0 -.3"/><mass value="1"/>
<inertia ixx=".01" iyy=".01" izz=".01" ixy="0" ixz="0" iyz="0"/></inertial></link>
<joint name="ball" type="spherical"><origin xyz="0 .1 .1" rpy=".3 -.2 .8"/><parent link="base"/><child link="arm"/></joint>
<joint name="hinge" type="continuous"><origin xyz="0 -.1 0"/><axis xyz="0 1 0"/><parent link="base"/><child link="rod"/></joint>
</robot>"""
"""a ball joint whose child's principal axes are askew, and a pendulum"""


@pytest.fixture(scope="module")
def skew(tmp_path_factory: pytest.TempPathFactory) -> Character:
    folder = tmp_path_factory.mktemp("skew")
    (folder / "body.urdf").write_text(SKEW)
    (folder / "character.toml").write_text('description = "two links"\nfeet = ["base"]\n[roles]\n')
    return Character.load(folder)


@pytest.fixture(scope="module", params=[*BODIES, "skew"])
def body(request: pytest.FixtureRequest, skew: Character) -> Character:
    return skew if request.param == "skew" else Character.load(request.param)


def servos(body: Character, kp: float = 200.0, kd: float = 10.0, limit: float = 1e4) -> dict[str, JointGain]:
    return {joint.name: JointGain(kp=kp, kd=kd, torque_limit=limit) for joint in body.joints}


def make(name: str, body: Character, count: int, gains: dict[str, JointGain] | None = None, **settings):
    gains = gains or {joint.name: LIMP for joint in body.joints}
    return engine.make(name, body, gains, count, EngineSettings(**{"threads": 1, **settings}))


def posed(body: Character, count: int, seed: int = 0, height: float = IN_AIR) -> tuple[Array, Array]:
    """Random poses well inside the hinges' limits, and velocities."""
    random, layout = np.random.default_rng(seed), body.layout
    tangent = random.uniform(-0.3, 0.3, (count, layout.nv))
    tangent[:, :2] = 0.0
    hinges = [joint for joint in body.joints if joint.type == "hinge"]
    middle = [0.5 * (j.lower + j.upper) if np.isfinite(j.lower + j.upper) else 0.0 for j in hinges]
    tangent[:, layout.hinge_dofs] = np.array(middle) + 0.1 * tangent[:, layout.hinge_dofs]
    qpos = body.rest.copy()
    qpos[2] += height
    return layout.integrate(np.repeat(qpos[None], count, axis=0), tangent), random.normal(size=(count, layout.nv))


def after(
    world: engine.Engine, qpos: Array, qvel: Array, steps: int, target: Array | None = None
) -> tuple[Array, Array]:
    try:
        world.reset(np.arange(len(qpos)), qpos, qvel)
        for _ in range(steps):
            world.step(qpos[:, 7:] if target is None else target)
        return world.qpos.copy(), world.qvel.copy()
    finally:
        world.close()


def test_the_command_line_offers_every_engine():
    assert cli_train.ENGINES == ENGINES


@pytest.mark.parametrize("name", ENGINES)
def test_reset_puts_bodies_where_they_are_read(name: str, body: Character):
    qpos, qvel = posed(body, 2)
    got = after(make(name, body, 2), qpos, qvel, 0)
    np.testing.assert_allclose(body.layout.difference(got[0], qpos), 0.0, atol=1e-12)
    np.testing.assert_allclose(got[1], qvel)


def test_pybullet_has_the_masses_and_the_kinematics_of_the_character(body: Character):
    world = make("pybullet", body, 1)
    assert isinstance(world, PybulletEngine)
    assert world._worlds is not None
    own = world._worlds.bodies[0]
    qpos, qvel = posed(body, 1, height=0.0)
    world.reset(np.arange(1), qpos, qvel)
    world._worlds._read()
    np.testing.assert_allclose(body.layout.difference(world.qpos, qpos), 0.0, atol=1e-12)
    np.testing.assert_allclose(world.qvel, qvel, atol=1e-12)
    masses = [pybullet.getDynamicsInfo(own.id, link, physicsClientId=own.client)[0] for link in own.links]
    np.testing.assert_allclose(masses, [link.mass for link in body.links], rtol=1e-12)
    states = pybullet.getLinkStates(own.id, own.joints, computeForwardKinematics=1, physicsClientId=own.client)
    expected = kinematics.forward(body, qpos).positions[0, 1:]
    np.testing.assert_allclose([state[4] for state in states], expected, atol=1e-6)
    world.close()


def test_limp_bodies_tumble_alike(body: Character):
    """Mass matrix, gravity and gyroscopic terms in one: the same motion, with the same integrator, from the same state."""
    qpos, qvel = posed(body, 3)
    one, other = (after(make(name, body, 3, timestep=1 / 960), qpos, qvel, 4) for name in ENGINES)
    assert np.abs(body.layout.difference(qpos, one[0])).max() > 0.05
    np.testing.assert_allclose(body.layout.difference(one[0], other[0]), 0.0, atol=1e-5)
    np.testing.assert_allclose(one[1], other[1], atol=1e-3)


@pytest.mark.parametrize("name", ENGINES)
def test_free_fall(name: str):
    humanoid = Character.load("humanoid")
    qpos, _ = posed(humanoid, 1)
    got, speed = after(make(name, humanoid, 1, servos(humanoid)), qpos, np.zeros((1, humanoid.layout.nv)), 15)
    n, dt = 15 * 8, 1 / 240
    fallen = state_of(humanoid, qpos, speed).com - state_of(humanoid, got, speed).com
    np.testing.assert_allclose(fallen[:, 2], GRAVITY * dt**2 * n * (n + 1) / 2, rtol=1e-4)
    np.testing.assert_allclose(fallen[:, :2], 0.0, atol=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_a_pendulum_swings_as_the_formula_says(name: str, skew: Character):
    """Held by its root, a rod of 1 kg at .3 m with .01 kg·m²: ω² = m·g·l / (I + m·l²)."""
    omega = np.sqrt(GRAVITY * 0.3 / (0.01 + 0.09))
    qpos = skew.rest[None].copy()
    qpos[0, 2] += IN_AIR
    at = skew.layout.qpos_at[skew.joint("hinge")]
    qpos[0, at] = 0.02
    gains = {"ball": servos(skew)["ball"], "hinge": LIMP}
    steps = round(2 * np.pi / omega * 0.75 * 960 / 8)
    world = make(name, skew, 1, gains, timestep=1 / 960, fixed_root=True)
    got, _ = after(world, qpos, np.zeros((1, skew.layout.nv)), steps)
    assert got[0, at] == pytest.approx(0.02 * np.cos(omega * steps * 8 / 960), abs=1e-4)
    np.testing.assert_allclose(got[0, :7], qpos[0, :7], atol=1e-6)


def test_servos_take_bodies_to_the_same_poses(body: Character):
    qpos, qvel = posed(body, 2)
    qvel[:, :6] = 0.0
    goal, _ = posed(body, 2, seed=1)
    gains = {joint.name: JointGain(kp=30.0, kd=4.0, torque_limit=60.0) for joint in body.joints}

    def run(name: str, steps: int) -> Array:
        world = make(name, body, 2, gains, timestep=1 / 960, fixed_root=True)
        return after(world, qpos, qvel, steps, goal[:, 7:])[0]

    for steps in (3, 12):
        one, other = (run(name, steps) for name in ENGINES)
        np.testing.assert_allclose(body.layout.difference(one, other), 0.0, atol=0.01)


@pytest.mark.parametrize("name", ENGINES)
def test_torque_is_limited(name: str, skew: Character):
    """A servo far from its target turns a free pair of links with its limit, no more: here about the rod's own inertia."""
    gains = {"ball": LIMP, "hinge": JointGain(kp=1000.0, kd=0.1, torque_limit=0.02)}
    qpos = skew.rest[None].copy()
    qpos[0, 2] += IN_AIR
    at = skew.layout.qvel_at[skew.joint("hinge")]
    target = qpos[:, 7:].copy()
    target[0, at - 6 + 1] = 1.0
    world = make(name, skew, 1, gains, fixed_root=True, timestep=1 / 960, substeps=16)
    _, speed = after(world, qpos, np.zeros((1, skew.layout.nv)), 1, target)
    assert speed[0, at] == pytest.approx(0.02 / 0.1 * 16 / 960, rel=0.01)


@pytest.mark.parametrize("name", ENGINES)
def test_hinges_stop_at_their_limits_and_come_back(name: str):
    humanoid = Character.load("humanoid")
    at = humanoid.layout.qpos_at[humanoid.joint("left_knee")]
    qpos = humanoid.rest[None].copy()
    qpos[0, 2] += IN_AIR
    qpos[0, at] = humanoid.joints[humanoid.joint("left_knee")].upper + 0.2
    world = make(name, humanoid, 1, servos(humanoid, kp=1.0, kd=0.1), fixed_root=True)
    got, _ = after(world, qpos, np.zeros((1, humanoid.layout.nv)), 15)
    assert got[0, at] < humanoid.joints[humanoid.joint("left_knee")].upper + 0.02


def test_pybullet_stands_with_feet_lighter_than_their_damping():
    """Without contacts in the servo's prediction the ankles would give way: kd·Δt is several times a foot's inertia."""
    humanoid = Character.load("humanoid")
    qpos, qvel = np.repeat(humanoid.rest[None], 1, axis=0), np.zeros((1, humanoid.layout.nv))
    lean = qpos.copy()
    lean[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), 0.02)
    for start in (qpos, lean):
        one, other = (
            after(make(name, humanoid, 1, servos(humanoid, 400.0, 20.0)), start, qvel, 12)[0] for name in ENGINES
        )
        np.testing.assert_allclose(one[:, :3], other[:, :3], atol=0.01)
        assert rotation.angle(one[:, 3:7], other[:, 3:7])[0] < 0.02


def test_pybullet_varies_pushes_and_delays_as_mujoco_does():
    humanoid = Character.load("humanoid")
    links, layout = len(humanoid.links), humanoid.layout
    qpos, _ = posed(humanoid, 3)
    goal, _ = posed(humanoid, 3, seed=1)
    found = []
    for name in ENGINES:
        world = make(name, humanoid, 3, servos(humanoid))
        heavier = np.stack([np.full(links, 2.0), np.ones(links)])
        world.vary(np.array([0, 2]), np.array([0.5, 0.5]), 3.0 * heavier)
        world.vary(np.array([0, 2]), np.array([0.5, 0.5]), heavier)
        world.reset(np.arange(3), qpos, np.zeros((3, layout.nv)))
        world.push(np.array([[90.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 45.0, 0.0]]))
        for _ in range(6):
            world.step(goal[:, 7:], qpos[:, 7:], np.array([0, 8, 4]))
        found.append((world.qpos.copy(), state_of(humanoid, world.qpos, world.qvel).com_velocity))
        world.close()
    (one, speed), (other, speed_other) = found
    impulse = np.array([[90.0 / 2, 0.0], [0.0, 0.0], [0.0, 45.0]]) * 0.2 / humanoid.mass
    np.testing.assert_allclose(speed[:, :2], impulse, atol=4e-3)
    np.testing.assert_allclose(speed_other[:, :2], impulse, atol=4e-3)
    np.testing.assert_allclose(layout.difference(one, other), 0.0, atol=0.05)


def test_friction_is_the_grounds_in_both():
    humanoid = Character.load("humanoid")
    qpos = np.repeat(humanoid.rest[None], 2, axis=0)
    qvel = np.zeros((2, humanoid.layout.nv))
    qvel[:, 0] = 1.0
    speeds = []
    for name in ENGINES:
        world = make(name, humanoid, 2, servos(humanoid, 400.0, 20.0), friction=0.3)
        world.vary(np.array([1]), np.array([0.1]), np.ones((1, len(humanoid.links))))
        speeds.append(state_of(humanoid, *after(world, qpos, qvel, 3)).com_velocity[:, 0])
    np.testing.assert_allclose(speeds[0], 1.0 - np.array([0.3, 0.1]) * GRAVITY * 0.1, atol=0.08)
    np.testing.assert_allclose(speeds[1], speeds[0], atol=0.08)


# --- PyBullet's workers


def test_workers_find_what_one_process_finds(skew: Character):
    qpos, qvel = posed(skew, 5)
    goal, _ = posed(skew, 5, seed=1)
    alone = after(make("pybullet", skew, 5, servos(skew)), qpos, qvel, 3, goal[:, 7:])
    world = make("pybullet", skew, 5, servos(skew), threads=2)
    world.reset(np.array([0, 3]), qpos[[0, 3]] * 0 + skew.rest, 0 * qvel[[0, 3]])
    together = after(world, qpos, qvel, 3, goal[:, 7:])
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])


def test_a_killed_worker_is_one_error_not_a_hang(skew: Character):
    world = make("pybullet", skew, 2, threads=2)
    assert isinstance(world, PybulletEngine)
    os.kill(world._workers[1].process.pid or 0, signal.SIGKILL)
    with pytest.raises(SolveError, match=r"pybullet: a worker process ended \(exit code -9\)") as caught:
        world.step(np.repeat(skew.rest[None, 7:], 2, axis=0))
    assert "--resume" in str(caught.value.hint)
    world.close()


def test_workers_end_with_their_parent():
    code = (
        "import os, signal\nfrom characters.character import Character\nfrom motion.gains import JointGain\n"
        "from train import engine\nfrom train.engine import EngineSettings\n"
        "if __name__ == '__main__':\n"
        "    body = Character.load('humanoid')\n"
        "    gains = {j.name: JointGain(kp=1, kd=1, torque_limit=1) for j in body.joints}\n"
        "    world = engine.make('pybullet', body, gains, 2, EngineSettings(threads=2))\n"
        "    print(*(worker.process.pid for worker in world._workers), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    deadline = time.monotonic() + 10.0
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_importing_pybullet_says_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import train.engine_pybullet"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_settings_are_the_same_in_both():
    humanoid = Character.load("humanoid")
    base = EngineSettings(threads=1)
    for name, kind in zip(ENGINES, (MujocoEngine, PybulletEngine), strict=True):
        world = engine.make(name, humanoid, servos(humanoid), 1, replace(base, self_collision=True))
        assert isinstance(world, kind)
        assert (world.count, world.settings.self_collision) == (1, True)
        world.close()
