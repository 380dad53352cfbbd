"""Stable PD by formulas, on one link and on a body."""

from __future__ import annotations

import numpy as np
import pytest

from characters import dynamics
from characters.character import Character
from motion.gains import JointGain
from train.servo import Servo

STEP = 1 / 240


@pytest.fixture(scope="module")
def body() -> Character:
    return Character.load("humanoid")


def servo(body: Character, kp: float, kd: float, **options: bool) -> Servo:
    return Servo(body, {j.name: JointGain(kp=kp, kd=kd, torque_limit=1.0) for j in body.joints}, STEP, **options)


def state(body: Character, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    tangent = random.uniform(-0.3, 0.3, (4, body.layout.nv))
    return body.layout.integrate(np.repeat(body.rest[None], 4, axis=0), tangent), random.normal(
        size=(4, body.layout.nv)
    )


def unknown(qvel: np.ndarray) -> dict[str, np.ndarray]:
    return {"was": np.full_like(qvel, np.nan), "applied": np.zeros_like(qvel)}


def test_implicit_acceleration_solves_its_equation(body: Character):
    qpos, qvel = state(body)
    damping = np.linspace(0.0, 20.0, body.layout.nv)
    torque = np.random.default_rng(1).normal(size=qvel.shape)
    got = dynamics.implicit_acceleration(body, qpos, qvel, torque, damping, STEP, **unknown(qvel))
    bias = dynamics.inverse_dynamics(body, qpos, qvel, np.zeros_like(qvel))
    mass = dynamics.mass_matrix(body, qpos)
    left = np.einsum("tij,tj->ti", mass + STEP * np.diag(damping), got)
    np.testing.assert_allclose(left, torque - damping * qvel - bias, atol=1e-8)


def test_what_the_last_step_does_not_explain_acts_on(body: Character):
    """A body that an unknown force held still, its servos off, is held still by it again."""
    qpos, _ = state(body)
    still = np.zeros((4, body.layout.nv))
    damping = np.zeros(body.layout.nv)
    free = dynamics.implicit_acceleration(body, qpos, still, still, damping, STEP, **unknown(still))
    assert np.abs(free[:, 2] + 9.81).max() < 1e-9
    held = dynamics.implicit_acceleration(body, qpos, still, still, damping, STEP, was=still, applied=still)
    np.testing.assert_allclose(held, 0.0, atol=1e-9)


def test_without_motion_a_spring_is_a_spring(body: Character):
    """At rest under forces in balance the servo gives kp times the error, however large its damping."""
    qpos, _ = state(body)
    still = np.zeros((4, body.layout.nv))
    tangent = np.zeros_like(still)
    tangent[:, 6:] = 0.01
    target = body.layout.integrate(qpos, tangent)
    own = servo(body, 100.0, 500.0)
    applied = np.full_like(still[:, 6:], 1.0)
    got = own.torque(qpos, still, target[:, 7:], still, applied)
    np.testing.assert_allclose(got, 1.0, rtol=1e-6)


def test_the_torque_is_that_of_the_velocity_to_come(body: Character):
    qpos, qvel = state(body)
    own = servo(body, 300.0, 40.0)
    nan = np.full_like(qvel, np.nan)
    torque = own.torque(qpos, qvel, qpos[:, 7:], nan, np.zeros_like(qvel[:, 6:]))
    whole = np.concatenate([np.zeros((4, 6)), torque], axis=1)
    none = np.zeros(body.layout.nv)
    then = qvel + STEP * dynamics.implicit_acceleration(body, qpos, qvel, whole, none, STEP, **unknown(qvel))
    expected = 300.0 * -STEP * qvel[:, 6:] - 40.0 * then[:, 6:]
    np.testing.assert_allclose(torque, expected, atol=1e-6)


def test_a_fixed_root_does_not_give_way(body: Character):
    qpos, qvel = state(body)
    qvel[:, :6] = 0.0
    target, nan = np.repeat(body.rest[None, 7:], 4, axis=0), np.full_like(qvel, np.nan)
    loose, fixed = (
        servo(body, 300.0, 40.0, fixed_root=held).torque(qpos, qvel, target, nan, np.zeros_like(qvel[:, 6:]))
        for held in (False, True)
    )
    assert np.abs(loose - fixed).max() > 0.1
