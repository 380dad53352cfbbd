"""Scores of bodies whose deeds are known, endings, recordings and the evaluation around them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip
from motion.errors import InputError
from tests.test_engine import gains
from tests.test_env import Ghost, humanoid, walk  # noqa: F401
from train import engine
from train.endings import Ending, Endings, lean
from train.engine import EngineSettings
from train.env import EnvSettings, ImitationEnv
from train.recording import Recorder, Recording, normalized_returns
from train.score import REPORTED, score


class Follower(Ghost):
    """Does what the reference does; from ``falls`` seconds of the clip on it lies on its back."""

    def __init__(self, character: Character, count: int, falls: float = np.inf):
        super().__init__(character, count)
        self.falls = falls
        self.env: ImitationEnv | None = None

    def step(self, targets, before=None, delay=None):
        assert self.env is not None
        time = self.env.time + self.env.step_time
        there = self.env.reference(time)
        self.qpos[:], self.qvel[:] = there.qpos, there.qvel
        down = time > self.falls + 1e-9
        self.qpos[down, 2] = 0.05
        self.qpos[down, 3:7] = rotation.exp(np.array([0.0, -1.5, 0.0]))

    def overload(self) -> np.ndarray | None:
        over = np.zeros((self.count, 4, len(self.character.joints)), dtype=bool)
        over[:, 0, 2] = over[:, 0, 3] = over[:, 1, 3] = True
        return over


def world(character: Character, clip: Clip, falls: float = np.inf, count: int = 6, **settings) -> ImitationEnv:
    ghost = Follower(character, count, falls)
    ghost.env = ImitationEnv(ghost, clip, EnvSettings(**settings), seed=3)
    return ghost.env


def nothing(seen: np.ndarray) -> np.ndarray:
    return np.zeros((len(seen), 28))


def flip(character: Character) -> Clip:
    """A second in the air with a whole backward turn and a quarter turn to the left after it, as a one-shot."""
    count = 61
    share = np.linspace(0.0, 1.0, count)
    qpos = np.repeat(character.rest[None], count, axis=0)
    qpos[:, 2] += 2.0
    back = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), -4 * np.pi * np.minimum(share, 0.5))
    qpos[:, 3:7] = rotation.multiply(rotation.from_yaw(np.pi * np.maximum(share - 0.5, 0.0)), back)
    layout = character.layout
    qpos = layout.continuous(qpos)
    qvel = layout.velocities(qpos, 1 / 60)
    return Clip("flip", character.name, False, 1.0, character.specs, share, qpos, qvel, {}, NO_OFFSET)


def test_a_perfect_body_scores_one_with_no_error(humanoid: Character):  # noqa: F811
    found = score(nothing, world(humanoid, walk(humanoid), horizon=2.0, early_termination="contact"))
    for name in REPORTED:
        assert found.returns[name].mean == pytest.approx(1.0, abs=1e-6)
        assert found.returns[name].ci95 == pytest.approx(0.0, abs=1e-6)
    assert found.seconds.mean == pytest.approx(2.0)
    assert found.completed == 1.0
    assert found.speed_ratio == pytest.approx(1.0, abs=1e-6)
    assert max(apart.cm for apart in found.tracking.values()) < 1e-2
    assert list(found.tracking) == [link.name for link in humanoid.links]
    assert found.falls == []


def test_nothing_is_earned_after_a_fall_and_every_possible_step_counts(humanoid: Character):  # noqa: F811
    clip = walk(humanoid, loop=False)
    found = score(nothing, world(humanoid, clip, falls=0.5, start="zero", early_termination="contact"))
    assert found.returns["paper-2018"].mean == pytest.approx(0.5, abs=1e-9)  # 15 of 30 steps
    assert found.completed == 0.0
    env = world(humanoid, clip, falls=0.5, count=200, start="uniform", early_termination="contact")
    found = score(nothing, env)
    # begun at t, (.5 − t)/(1 − t) of the possible steps are earned, none past the middle: ½ ∫₀¹ … = 1 − ½ − ½ ln 2
    assert found.returns["paper-2018"].mean == pytest.approx(0.5 - 0.5 * np.log(2), abs=0.03)
    assert found.endings["contact"] == 200


def test_endings_tell_when_why_which_way_and_on_what(humanoid: Character):  # noqa: F811
    found = score(
        nothing, world(humanoid, walk(humanoid), falls=1.5, count=1, horizon=3.0, early_termination="contact")
    )
    (ending,) = found.falls
    assert ending.reason == "contact"
    assert ending.phase == pytest.approx(0.5, abs=0.04)
    assert ending.lean[0] == pytest.approx(-1.5, abs=1e-6)
    assert ending.lean[1] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("heading", [0.0, 2.0])
def test_a_lean_is_seen_from_where_the_reference_faces(heading: float):
    upright = rotation.from_yaw(np.array([heading]))
    forward = rotation.multiply(upright, rotation.exp(np.array([[0.0, 0.3, 0.0]])))
    left = rotation.multiply(upright, rotation.exp(np.array([[-0.3, 0.0, 0.0]])))
    np.testing.assert_allclose(lean(forward, upright), [[0.3, 0.0]], atol=1e-12)
    np.testing.assert_allclose(lean(left, upright), [[0.0, 0.3]], atol=1e-12)


def test_endings_by_phase():
    endings = Endings(
        [Ending(p, 1.0, r, (0.0, 0.0), ()) for p, r in ((0.1, "contact"), (0.12, "contact"), (1.0, "exploded"))]
    )
    assert endings.histogram(4) == {"contact": [2, 0, 0, 0], "exploded": [0, 0, 0, 1]}


def test_turns_are_counted_about_each_axis(humanoid: Character):  # noqa: F811
    clip = flip(humanoid)
    found = score(nothing, world(humanoid, clip, start="zero", early_termination="contact"))
    assert found.turns["pitch"].performed == pytest.approx(-1.0, abs=1e-2)
    assert found.turns["pitch"].possible == pytest.approx(-1.0, abs=1e-2)
    assert found.turns["yaw"].performed == pytest.approx(0.25, abs=1e-2)
    half = score(nothing, world(humanoid, clip, falls=0.25, start="zero", early_termination="contact"))
    assert half.turns["pitch"].performed == pytest.approx(-0.5, abs=0.04)  # 8 of 15 steps of turning
    assert half.turns["pitch"].possible == pytest.approx(-1.0, abs=1e-2)


def test_overload_is_a_share_of_simulation_steps(humanoid: Character):  # noqa: F811
    found = score(nothing, world(humanoid, walk(humanoid), horizon=1.0)).overload
    names = [joint.name for joint in humanoid.joints]
    assert found.substeps == pytest.approx(0.5)
    assert found.joints == {names[2]: pytest.approx(0.25), names[3]: pytest.approx(0.5)}
    silent = ImitationEnv(Ghost(humanoid, 2), walk(humanoid), EnvSettings(horizon=0.2))
    assert np.isnan(score(nothing, silent).overload.substeps)


@pytest.mark.parametrize("loop", [True, False])
def test_returns_recomputed_from_a_recording_agree(humanoid: Character, tmp_path: Path, loop: bool):  # noqa: F811
    clip = walk(humanoid, loop=loop)
    made = engine.make("mujoco", humanoid, gains(humanoid), 4, EngineSettings(threads=1))
    env = ImitationEnv(made, clip, EnvSettings(horizon=3.0, resync=True, early_termination="contact"), seed=0)
    recorder = Recorder("mujoco")
    found = score(nothing, env, recorder)
    recorder.recording().save(tmp_path / "record.npz")
    read = Recording.load(tmp_path / "record.npz")
    for name in REPORTED:
        again = normalized_returns(read, clip, humanoid, name)
        assert again.mean() == pytest.approx(found.returns[name].mean, rel=1e-9)
    assert 0.05 < found.returns[REPORTED[0]].mean < 0.95
    assert (read.step == 0).sum() == 4
    assert read.joints == tuple(joint.name for joint in humanoid.joints)
    assert read.qpos.shape == (len(read.episode), humanoid.layout.nq)


def test_a_file_that_is_no_recording_is_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", qpos=np.zeros(3))
    with pytest.raises(InputError, match="mimic-recording"):
        Recording.load(tmp_path / "other.npz")


@pytest.mark.parametrize("loop", [True, False])
def test_an_evaluation_says_what_is_kept_when_disturbed(humanoid: Character, tmp_path: Path, loop: bool):  # noqa: F811
    pytest.importorskip("torch")
    from train.evaluate import evaluate

    clip = walk(humanoid, loop=loop)
    record = tmp_path / "record.npz"
    body, task, physics = gains(humanoid), EnvSettings(horizon=0.5), EngineSettings(threads=1)
    found = evaluate(nothing, humanoid, clip, body, task, physics=physics, episodes=2, noisy=nothing, record=record)
    assert set(found.kept) == {"free", "noisy", "120 Hz", "480 Hz"}
    assert found.kept["noisy"] == pytest.approx(1.0)
    assert (found.uniform is None) == loop
    start = Recording.load(record).time[:2]
    assert (start == 0.0).all() == (not loop)
    json.dumps(found.to_json())
    assert found.rates["120"].overload.substeps >= 0.0
