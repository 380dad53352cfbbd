"""Mass matrix, inverse dynamics, self-penetration, and where the shapes are."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from characters import dynamics, kinematics, shapes
from characters.body import Shape
from characters.character import Character
from motion import rotation

GRAVITY = 9.81


@pytest.fixture(params=["humanoid", "atlas"])
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def random_poses(body: Character, count: int, spread: float = 0.8) -> np.ndarray:
    tangent = spread * np.random.default_rng(1).normal(size=(count, body.layout.nv))
    return body.layout.integrate(np.tile(body.rest, (count, 1)), tangent)


def test_model_has_our_order(body: Character) -> None:
    model = dynamics.model(body)
    names = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, i + 1) for i in range(len(body.links))]
    assert names == [link.name for link in body.links]
    assert (model.nq, model.nv) == (body.layout.nq, body.layout.nv)
    np.testing.assert_array_equal(model.jnt_qposadr[1:], body.layout.qpos_at)
    np.testing.assert_array_equal(model.jnt_dofadr[1:], body.layout.qvel_at)
    assert not model.dof_armature.any()
    assert not model.dof_damping.any()
    hinges = [i for i, joint in enumerate(body.joints) if joint.type == "hinge"]
    np.testing.assert_allclose(model.jnt_range[1:][hinges, 0], body.lower[hinges])
    assert dynamics.model(body) is model


def test_mass_matrix_is_the_sum_over_links(body: Character) -> None:
    """M = Σ m JᵀJ at the centres of mass + Σ JᵀIJ: our Jacobians against MuJoCo's composite-rigid-body pass."""
    qpos = random_poses(body, 5)
    pose = kinematics.forward(body, qpos)
    expected = np.zeros((5, body.layout.nv, body.layout.nv))
    for i, link in enumerate(body.links):
        found = kinematics.jacobian(body, pose, i, pose.points(i, link.com))
        turn = rotation.to_matrix(pose.rotations[:, i])
        inertia = turn @ link.inertia @ turn.transpose(0, 2, 1)
        linear, angular = found[:, :3], found[:, 3:]
        expected += link.mass * linear.transpose(0, 2, 1) @ linear
        expected += angular.transpose(0, 2, 1) @ inertia @ angular
    matrix = dynamics.mass_matrix(body, qpos)
    np.testing.assert_allclose(matrix, expected, atol=1e-9 * body.mass)
    np.testing.assert_allclose(matrix, matrix.transpose(0, 2, 1))
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_standing_still_needs_the_weight(body: Character) -> None:
    zero = np.zeros((1, body.layout.nv))
    force = dynamics.inverse_dynamics(body, body.rest[None], zero, zero)[0]
    np.testing.assert_allclose(force[:3], [0, 0, body.mass * GRAVITY], atol=1e-9)
    arm = kinematics.centre_of_mass(body, kinematics.forward(body, body.rest[None]))[0] - body.rest[:3]
    np.testing.assert_allclose(force[3:6], np.cross(arm, [0, 0, body.mass * GRAVITY]), atol=1e-8)


def test_free_fall_needs_nothing(body: Character) -> None:
    qpos = random_poses(body, 4)
    velocity, acceleration = np.zeros((4, body.layout.nv)), np.zeros((4, body.layout.nv))
    acceleration[:, 2] = -GRAVITY
    np.testing.assert_allclose(dynamics.inverse_dynamics(body, qpos, velocity, acceleration), 0, atol=1e-8)


def test_inverse_dynamics_undoes_forward_dynamics(body: Character) -> None:
    rng = np.random.default_rng(5)
    qpos, qvel = random_poses(body, 3), rng.normal(size=(3, body.layout.nv))
    force = 20 * rng.normal(size=(3, body.layout.nv))
    model = dynamics.model(body)
    data = mujoco.MjData(model)
    qacc = np.zeros_like(qvel)
    for t in range(3):
        data.qpos[:], data.qvel[:], data.qfrc_applied[:] = qpos[t], qvel[t], force[t]
        mujoco.mj_forward(model, data)
        qacc[t] = data.qacc
    np.testing.assert_allclose(dynamics.inverse_dynamics(body, qpos, qvel, qacc), force, atol=1e-6)


def test_beyond_a_limit_no_force_appears(body: Character) -> None:
    """Limits belong to the solver; a calculator must not push back."""
    qpos = body.rest.copy()
    knee = body.joint("left_knee")
    qpos[body.layout.qpos_at[knee]] = body.upper[knee] + 0.5
    zero = np.zeros((1, body.layout.nv))
    force = dynamics.inverse_dynamics(body, qpos[None], zero, zero)[0]
    assert abs(force[body.layout.qvel_at[knee]]) < body.mass * GRAVITY * 0.1


def test_self_penetration(body: Character) -> None:
    """Nothing at rest; a leg pulled through the other by known depth."""
    qpos = np.stack([body.rest, body.rest])
    hip = body.joint("left_hip")
    at = body.layout.qpos_at[hip]
    qpos[1, at : at + 4] = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), -0.3)
    depth = dynamics.self_penetration(body, qpos)
    assert depth[0] == 0.0
    assert 0.01 < depth[1] < 0.2


def one_shape(body: Character, kind: str, size: tuple[float, float, float]) -> Character:
    """The body with a single tilted shape on its last link."""
    turn = rotation.exp(np.array([0.4, -0.7, 0.2]))
    shape = Shape(len(body.links) - 1, kind, np.array([0.1, -0.05, 0.2]), turn, np.array(size))  # type: ignore[arg-type]
    return replace(body, shapes=(shape,))


@pytest.mark.parametrize(
    ("kind", "size", "tolerance"),
    [
        ("sphere", (0.2, 0.0, 0.0), 1e-9),
        ("capsule", (0.1, 0.5, 0.0), 1e-9),
        ("box", (0.1, 0.3, 0.5), 1e-9),
        ("cylinder", (0.1, 0.5, 0.0), 0.02 * 0.1),
    ],
)
def test_heights_equal_mujocos_distance_to_the_floor(
    body: Character, kind: str, size: tuple[float, float, float], tolerance: float
) -> None:
    single = one_shape(body, kind, size)
    qpos = random_poses(single, 12, spread=1.5)
    qpos[:, 2] += 3.0
    heights = shapes.link_heights(single, kinematics.forward(single, qpos))
    assert np.isinf(heights[:, :-1]).all()
    spec = dynamics.spec(single)
    spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
    model = spec.compile()
    data = mujoco.MjData(model)
    floor = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, "floor")
    for t in range(len(qpos)):
        data.qpos[:] = qpos[t]
        mujoco.mj_kinematics(model, data)
        distance = mujoco.mj_geomDistance(model, data, floor, 1 - floor, 20.0, np.zeros(6))
        assert heights[t, -1] == pytest.approx(distance, abs=max(tolerance, 1e-6))


def test_a_rolling_ball_does_not_slide(body: Character) -> None:
    radius, angle = 0.2, 1e-4
    ball = replace(body, shapes=(Shape(0, "sphere", np.zeros(3), rotation.IDENTITY, np.array([radius, 0.0, 0.0])),))
    qpos = np.tile(body.zero, (3, 1))
    qpos[:, 0] = radius * angle * np.arange(3)
    qpos[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle * np.arange(3))
    moved = shapes.displacements(ball, kinematics.forward(ball, qpos))
    assert np.abs(moved).max() < radius * angle**2
    qpos[:, 3:7] = rotation.IDENTITY
    moved = shapes.displacements(ball, kinematics.forward(ball, qpos))
    np.testing.assert_allclose(moved, np.tile([radius * angle, 0, 0], (2, 1, 1)), atol=1e-15)


def test_displacements_follow_a_sole(body: Character) -> None:
    """A body moved sideways without turning moves every point alike."""
    qpos = np.tile(body.rest, (2, 1))
    qpos[1, :2] += [0.03, -0.04]
    pose = kinematics.forward(body, qpos)
    moved = shapes.displacements(body, pose)
    assert moved.shape == (1, len(body.support.link), 3)
    np.testing.assert_allclose(moved, np.broadcast_to([0.03, -0.04, 0], moved.shape), atol=1e-12)
    np.testing.assert_allclose(shapes.lowest_points(body, pose)[..., 2], shapes.heights(body, pose), atol=1e-12)
