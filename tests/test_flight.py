"""Flights: a body in the air falls freely, and only such a body is moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from good_clip import jump, make_good_clip

from characters import kinematics
from characters.character import Character
from motion.rotation import Array
from pipeline import stages
from retarget import flight
from retarget.refine import refine

FPS, GRAVITY = 120.0, 9.81
STAND, FLY = 60, 60
"""frames on the ground before and after; frames in the air"""


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def lifted(character: Character, lift: Array) -> Array:
    """The rest pose, ``lift`` (T,) metres up."""
    qpos = np.repeat(character.rest[None], len(lift), axis=0)
    qpos[:, 2] += lift
    return qpos


def parabola() -> Array:
    """Height of a body thrown up and caught after half a second, by the formula ½·g·t·(T − t)."""
    time = np.arange(1, FLY + 1) / FPS
    air = 0.5 * GRAVITY * time * ((FLY + 1) / FPS - time)
    return np.concatenate([np.zeros(STAND), air, np.zeros(STAND)])


def acceleration(character: Character, qpos: Array, fps: float = FPS) -> Array:
    """(T − 2, 3) m/s² of the centre of mass."""
    centre = kinematics.centre_of_mass(character, kinematics.forward(character, qpos))
    return np.diff(centre, 2, axis=0) * fps**2


def test_a_ballistic_flight_stays(humanoid: Character) -> None:
    qpos = lifted(humanoid, parabola())
    out = flight.mend(humanoid, qpos, FPS)
    assert out.airborne[STAND + 2 : STAND + FLY - 2].all()
    assert not out.airborne[:STAND].any()
    assert not out.airborne[-STAND:].any()
    assert out.moved < 1e-3  # metres


def test_noise_in_flight_goes(humanoid: Character) -> None:
    random = np.random.default_rng(0)
    qpos = lifted(humanoid, parabola())
    qpos[STAND + 5 : STAND + FLY - 5, :3] += 0.002 * random.standard_normal((FLY - 10, 3))
    out = flight.mend(humanoid, qpos, FPS)
    middle = slice(STAND + 5, STAND + FLY - 7)
    before, after = (
        np.linalg.norm(acceleration(humanoid, q) + [0, 0, GRAVITY], axis=1)[middle] for q in (qpos, out.qpos)
    )
    assert before.mean() > 30.0  # m/s²: two millimetres of noise are 4 g
    assert after.max() < 3.0
    assert out.after < 0.1 * out.before
    assert out.moved < 0.01
    np.testing.assert_array_equal(out.qpos[:, 3:], qpos[:, 3:])
    np.testing.assert_allclose(out.qpos[: STAND - 10], qpos[: STAND - 10], atol=1e-3)


def test_a_body_that_hovers_is_left(humanoid: Character) -> None:
    """Some captures hold a body in the air: there is no fall to restore."""
    lift = np.concatenate([np.zeros(STAND), np.full(FLY, 0.3), np.zeros(STAND)])
    qpos = lifted(humanoid, lift)
    out = flight.mend(humanoid, qpos, FPS)
    assert not out.airborne.any()
    np.testing.assert_array_equal(out.qpos, qpos)


def test_refining_makes_a_jump_fall_freely_and_says_so(humanoid: Character) -> None:
    """The synthetic jump is pulled down at 2.4 g at its top."""
    clip = make_good_clip(humanoid, jump)
    out = refine(clip, humanoid)
    told = out.provenance["flight"]
    assert told["acceleration_error_before"] > 10.0
    assert told["acceleration_error_after"] < 0.5 * told["acceleration_error_before"]
    air = slice(round(0.6 * clip.fps), round(0.9 * clip.fps))  # of the half second aloft from 0.5 to 1.0 s
    before, after = (
        np.linalg.norm(acceleration(humanoid, q, clip.fps) + [0, 0, GRAVITY], axis=1)[air].mean()
        for q in (clip.qpos, out.qpos)
    )
    assert after < 0.5 * before
    assert "flight" not in refine(clip, humanoid, ballistic=False).provenance


def test_a_runs_clip_tells_of_its_flights(samples: Path, tmp_path: Path) -> None:
    result = stages.retarget(samples / "run.bvh", "humanoid", out=tmp_path)
    told = result.clip.provenance["flight"]
    assert 0.2 < told["share"] < 0.6
    assert told["moved_m"] < 0.05
    found = {check.measure: check.found for check in result.verdict.checks}
    assert found["root_residual"] < 1.0  # body weights; 2.6 with its flights as they were captured
