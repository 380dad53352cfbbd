"""Calm trunks, springs and scaled turns by hand-computed numbers."""

from __future__ import annotations

import numpy as np
import pytest

from characters.character import Character
from characters.definition import FollowEntry, SteadyEntry
from motion import rotation
from retarget import secondary
from retarget.body import Body

FPS = 120.0
TIMES = np.arange(1200) / FPS


def yawing(amplitude: float, frequency: float) -> np.ndarray:
    return rotation.from_yaw(amplitude * np.sin(2 * np.pi * frequency * TIMES))


def wave(values: np.ndarray, frequency: float) -> complex:
    """Complex amplitude of a frequency in the second half of values (T,), sine = real."""
    half = slice(len(values) // 2, None)
    return complex(2j * np.mean(values[half] * np.exp(-2j * np.pi * frequency * TIMES[half])))


def test_level_takes_pitch_and_roll_and_keeps_yaw():
    turns = rotation.multiply(rotation.from_yaw(np.full(3, 0.7)), rotation.exp(np.array([[0.2, 0.3, 0.0]] * 3)))
    level = secondary.steady(turns, SteadyEntry(level=1.0), FPS)
    np.testing.assert_allclose(rotation.rotate(level, secondary.UP), [[0, 0, 1]] * 3, atol=1e-12)
    half = secondary.steady(turns, SteadyEntry(level=0.5), FPS)
    tilts = [np.arccos(rotation.rotate(t, secondary.UP)[:, 2]) for t in (turns, half)]
    np.testing.assert_allclose(tilts[1], 0.5 * tilts[0], rtol=1e-9)
    np.testing.assert_array_equal(secondary.steady(turns, SteadyEntry(), FPS), turns)


def test_a_somersault_stays_one():
    turns = rotation.exp(np.array([[0.0, 1.0, 0.0]]) * np.linspace(1.1, 2 * np.pi - 1.1, 50)[:, None])
    assert rotation.angle(secondary.steady(turns, SteadyEntry(level=1.0), FPS), turns).max() < 1e-6


def test_smoothing_damps_a_wave_as_a_gaussian_does():
    """exp(−(ωσ)²/2)."""
    out = secondary.steady(yawing(0.1, 2.0), SteadyEntry(time=0.1), FPS)
    expected = 0.1 * np.exp(-((2 * np.pi * 2.0 * 0.1) ** 2) / 2)
    assert np.abs(rotation.yaw(out))[300:900].max() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("frequency", "damping"), [(1.0, 0.5), (2.0, 1.0)])
def test_a_spring_at_its_own_frequency_lags_a_quarter(frequency: float, damping: float):
    """H(iω₀) = 1 / (2iζ)."""
    entry = FollowEntry(frequency=frequency, damping=damping)
    late = wave(rotation.yaw(secondary.lagging(yawing(0.1, frequency), entry, FPS)), frequency)
    early = wave(rotation.yaw(yawing(0.1, frequency)), frequency)
    assert late / early == pytest.approx(1 / (2j * damping), abs=0.02)


def test_a_steady_force_bends_by_its_share_of_the_stiffness():
    entry = FollowEntry(frequency=2.0, damping=0.7)
    out = secondary.swayed(np.full((1200, 3), 3.0), entry, FPS)
    np.testing.assert_allclose(out[-1], 3.0 / (2 * np.pi * 2.0) ** 2, rtol=1e-6)


@pytest.mark.parametrize("body", ["trex", "dragon"])
def test_a_still_tail_hangs_at_rest(body: str):
    shape = Body(Character.load(body))
    carrier = np.tile(shape.rotations[0], (100, 1))
    for link, turns in secondary.follow(
        shape, shape.chains["tail"], carrier, np.zeros((100, 3)), FollowEntry(), FPS
    ).items():
        assert rotation.angle(turns, shape.rotations[link]).max() < 1e-6


def test_a_tail_lags_more_toward_its_tip_and_keeps_its_limits():
    body = Body(Character.load("trex"))
    still, joints = np.zeros((len(TIMES), 3)), [body.character.joints[j] for j in body.chains["tail"]]
    entry = FollowEntry(frequency=1.5, damping=0.7)
    moved = secondary.follow(body, body.chains["tail"], yawing(0.1, 0.8), still, entry, FPS)
    phases = np.unwrap([np.angle(wave(rotation.yaw(moved[j.child]), 0.8)) for j in joints])
    assert (np.diff(phases) < -0.1).all()
    assert phases[0] < -0.1
    wild = secondary.follow(body, body.chains["tail"], yawing(3.0, 2.0), still, entry, FPS)
    before = yawing(3.0, 2.0)
    for joint in joints:
        bend = rotation.angle(rotation.relative(before, wild[joint.child]), rotation.IDENTITY)
        assert bend.max() <= secondary.ROOM * joint.swing_limit + 1e-6
        before = wild[joint.child]


def test_a_falling_body_leaves_its_tail_above():
    body = Body(Character.load("trex"))
    fall = np.tile([0.0, 0.0, -9.81], (200, 1))
    carrier = np.tile(body.rotations[0], (200, 1))
    moved = secondary.follow(body, body.chains["tail"], carrier, fall, FollowEntry(), FPS)
    tip = body.link(body.chains["tail"][-1])
    back = rotation.rotate(moved[tip][-1], np.array([-1.0, 0.0, 0.0]))
    assert back[2] > 0.1


def test_accelerations_of_a_parabola():
    path = np.outer(TIMES[:200] ** 2, [0.0, 0.0, -4.905])
    np.testing.assert_allclose(secondary.accelerations(path, FPS)[50:150], [[0, 0, -9.81]] * 100, atol=1e-6)
    np.testing.assert_array_equal(secondary.accelerations(path[:3], FPS), np.zeros((3, 3)))


def test_scaled_turns_go_on_past_half_a_turn():
    angle = np.linspace(0.0, 1.5 * np.pi, 100)
    out = secondary.scaled(rotation.from_yaw(angle), 0.5)
    np.testing.assert_allclose(np.unwrap(rotation.yaw(out)), 0.5 * angle, atol=1e-9)
