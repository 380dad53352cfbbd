"""Calm trunks, springs and scaled turns by hand-computed numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from characters.character import INSTALLED, Character
from characters.definition import FollowEntry, SteadyEntry
from motion import rotation
from motion.errors import InputError
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
    """Upside down nothing is taken away, and the way there is one smooth full turn."""
    tilt = np.linspace(0.0, 2 * np.pi, 200)
    turns = rotation.exp(np.array([[0.0, 1.0, 0.0]]) * tilt[:, None])
    out = secondary.steady(turns, SteadyEntry(level=0.8), FPS)
    over = (tilt > 2.1) & (tilt < 2 * np.pi - 2.1)
    assert rotation.angle(out[over], turns[over]).max() < 1e-6
    steps = rotation.log(rotation.relative(out[:-1], out[1:]))[:, 1]
    assert steps.sum() == pytest.approx(2 * np.pi)
    assert steps.min() > 0
    assert steps.max() < 3.0 * tilt[1]


def test_a_bow_is_levelled():
    bow = rotation.exp(np.array([[0.0, np.deg2rad(85.0), 0.0]]))
    up = rotation.rotate(secondary.steady(bow, SteadyEntry(level=0.8), FPS), secondary.UP)[0, 2]
    assert np.arccos(up) < np.deg2rad(55.0)


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


FLAP = """
format = "mimic-keyframes"
version = 1
character = "dragon"
loop = {loop}
duration = 0.5

[[pose]]
time = 0
[pose.joints]
left_wing_inner = [20, 0, 0]
left_wing_outer = -20

[[pose]]
time = 0.25
[pose.joints]
left_wing_inner = [-20, 0, 0]
left_wing_outer = 0
"""


@pytest.fixture
def flapping(tmp_path: Path) -> Path:
    """A copy of the dragon whose left wing plays keyframes."""
    folder = tmp_path / "flapper"
    shutil.copytree(INSTALLED / "dragon", folder)
    (folder / "flap.keyframes.toml").write_text(FLAP.format(loop="true"))
    path = folder / "character.toml"
    text = path.read_text().replace('left_wing = "follow"', 'left_wing = "keyframes"')
    path.write_text(text + '\n[keyframes]\nleft_wing = "flap.keyframes.toml"\n')
    return folder


def played(body: Body, stride: float) -> tuple[np.ndarray, np.ndarray]:
    """How far ``(T,)`` the left wing's first joint is turned up, and its last is folded."""
    chain = body.chains["left_wing"]
    first = body.character.joints[chain[0]]
    carrier = rotation.from_yaw(0.3 * TIMES)
    moves = secondary.played(body, "left_wing", chain, carrier, stride, FPS)
    assert list(moves) == [body.link(j) for j in chain]
    turn = rotation.log(rotation.relative(rotation.multiply(carrier, first.rotation), moves[first.child]))
    last = body.character.joints[chain[-1]]
    held = rotation.multiply(moves[last.parent], last.rotation)
    return turn[:, 0], rotation.log(rotation.relative(held, moves[last.child])) @ last.axis


def test_a_chain_plays_its_keyframes(flapping: Path) -> None:
    """Whatever carries it; 0.5 s become 0.6 in a stride of 0.6, 0.45 in one of 0.9."""
    body = Body(Character.load(flapping))
    for stride, period in ((0.0, 0.5), (0.6, 0.6), (0.9, 0.45)):
        up, fold = played(body, stride)
        at = np.round(period * FPS * np.array([0, 0.5, 1, 1.5, 2])).astype(int)
        np.testing.assert_allclose(np.rad2deg(up[at]), [20, -20, 20, -20, 20], atol=0.05)
        np.testing.assert_allclose(np.rad2deg(fold[at]), [-20, 0, -20, 0, -20], atol=0.05)


def test_a_one_shot_stays_at_its_end(flapping: Path) -> None:
    (flapping / "flap.keyframes.toml").write_text(FLAP.format(loop="false"))
    up, _ = played(Body(Character.load(flapping)), 1.3)
    np.testing.assert_allclose(np.rad2deg(up[30:]), -20, atol=1e-6)


def test_keyframes_of_a_body_without_the_joints(flapping: Path) -> None:
    text = (
        FLAP.format(loop="true")
        .replace('"dragon"', '"trex"')
        .replace("left_wing_inner = [20, 0, 0]", "tail_1 = [0, 5, 0]")
        .replace("left_wing_inner = [-20, 0, 0]", "tail_1 = [0, 0, 0]")
    )
    (flapping / "flap.keyframes.toml").write_text("".join(x for x in text.splitlines(True) if "outer" not in x))
    with pytest.raises(InputError, match="for trex, which has no ball left_wing_inner"):
        played(Body(Character.load(flapping)), 0.0)
