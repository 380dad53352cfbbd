"""A policy tried on a body it was not trained on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from characters.character import Character  # noqa: E402
from motion.clip import Clip  # noqa: E402
from motion.errors import InputError  # noqa: E402
from pipeline import cli, skills_page  # noqa: E402
from pipeline.skill import SkillList  # noqa: E402
from tests.test_train import standing, train  # noqa: E402
from train import observation, replay  # noqa: E402
from train.state import State, state_of  # noqa: E402

BENDS = (("-1", '-3.14" upper="0'), ("1", '0" upper="3.14'))
"""axis and limits of the humanoid's right knee, and those of one whose angle is counted the other way round"""


def states(body: Character, random: np.random.Generator, count: int = 5) -> State:
    """Bodies near their rest pose, moving."""
    tangent = 0.3 * random.standard_normal((count, body.layout.nv))
    qpos = body.layout.integrate(np.repeat(body.rest[None], count, axis=0), tangent)
    return state_of(body, qpos, random.standard_normal((count, body.layout.nv)))


def test_a_body_is_itself():
    body, random = Character.load("humanoid"), np.random.default_rng(0)
    translation = replay.translate(body, body, random.standard_normal(observation.size(body)))
    np.testing.assert_allclose(translation.seen, np.eye(observation.size(body)), atol=1e-12)
    np.testing.assert_allclose(translation.acted, np.eye(body.layout.nv - 6), atol=1e-12)
    assert not translation.unseen.any()


def test_what_has_no_counterpart_is_as_usual_and_on_its_reference():
    own, other, random = Character.load("humanoid"), Character.load("atlas"), np.random.default_rng(0)
    usual = np.arange(1.0, observation.size(own) + 1.0)
    translation = replay.translate(own, other, usual)
    assert translation.joints == {joint.name: joint.name for joint in own.joints if joint.name != "neck"}
    sim, ref = states(other, random), states(other, random)
    seen: np.ndarray = observation.observe(other, sim, ref, np.full(5, 0.2), True)
    known: list[np.ndarray] = []

    def act(observed: np.ndarray) -> np.ndarray:
        known.append(observed)
        return np.tile(np.arange(own.layout.nv - 6.0), (5, 1))

    action = translation.actor(act)(seen)
    part = {name: known[0][:, where] for name, where in observation.parts(own).items()}
    there = {name: seen[:, where] for name, where in observation.parts(other).items()}
    np.testing.assert_allclose(part["phase"], there["phase"], rtol=1e-6)
    np.testing.assert_allclose(part["height"], there["height"] * own.height / other.height, rtol=1e-6)
    head, neck = own.link("head"), own.layout.qvel_at[own.joint("neck")]
    expected = usual[observation.parts(own)["places"]].reshape(-1, 3)[head - 1]
    np.testing.assert_allclose(part["places"].reshape(5, -1, 3)[:, head - 1], np.tile(expected, (5, 1)))
    np.testing.assert_array_equal(part["error"][:, neck : neck + 3], 0.0)
    knee = own.layout.qvel_at[own.joint("left_knee")], other.layout.qvel_at[other.joint("left_knee")]
    np.testing.assert_allclose(part["speed"][:, knee[0]], there["speed"][:, knee[1]], rtol=1e-6)
    assert action.shape == (5, other.layout.nv - 6)
    np.testing.assert_allclose(action[:, knee[1] - 6], knee[0] - 6)


def test_a_knee_that_bends_the_other_way_round_is_turned(tmp_path: Path):
    own = Character.load("humanoid")
    shutil.copytree(own.folder, tmp_path / "mirrored")
    urdf = tmp_path / "mirrored/body.urdf"
    before, after = urdf.read_text().split('name="right_knee"')
    bend, turned = (f'<axis xyz="0 {way} 0"/><limit lower="{limits}"' for way, limits in BENDS)
    urdf.write_text(before + 'name="right_knee"' + after.replace(bend, turned, 1))
    other = Character.load(str(tmp_path / "mirrored"))
    translation = replay.translate(own, other, np.zeros(observation.size(own)))
    knee = own.layout.qvel_at[own.joint("right_knee")] - 6
    expected = np.ones(own.layout.nv - 6)
    expected[knee] = -1.0
    np.testing.assert_allclose(translation.acted, np.diag(expected), atol=1e-12)


def test_joints_of_other_names_meet_by_their_role():
    own, other = Character.load("humanoid"), Character.load("trex")
    pairs = replay.counterparts(own, other)
    assert pairs["neck"] == "head"  # the joint that moves the head
    assert pairs["left_ankle"] == "left_ankle"
    assert len(set(pairs.values())) == len(pairs)


def test_bodies_with_too_little_in_common_are_refused():
    own, other = Character.load("dragon"), Character.load("atlas")
    with pytest.raises(InputError, match=r"too little of dragon is in atlas: counterparts of 7 of its 31 joints"):
        replay.translate(own, other, np.zeros(observation.size(own)))


def test_loops_cut_at_different_moments_of_a_source_are_turned(tmp_path: Path):
    clip = Clip.load(standing("humanoid", tmp_path) / "clip.json")
    cut = [replace(clip, provenance={"source_sha256": "ab", "interval": [start, start + 1.0]}) for start in (0.5, 0.75)]
    assert replay.ahead(cut[0], cut[1]) == 0.25
    assert replay.ahead(cut[0], clip) == 0.0  # nothing is known
    own, other = Character.load("humanoid"), Character.load("atlas")
    translation = replay.translate(own, other, np.zeros(observation.size(own)), ahead=0.25)
    seen = np.zeros(observation.size(other))
    seen[:2] = 1.0, 0.0  # phase 0 there is a quarter of the policy's cycle
    np.testing.assert_allclose((translation.seen @ seen)[:2], [0.0, 1.0], atol=1e-12)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny policy of the humanoid, and the same clip on Atlas."""
    home = tmp_path_factory.mktemp("replay")
    out = home / "policies/humanoid/stand"
    train(standing("humanoid", home / "humanoid"), out)
    return out, standing("atlas", home / "atlas")


def test_a_humanoid_policy_on_atlas(tried: tuple[Path, Path], capsys):
    policy, on = tried
    found, other, translation = replay.replay(policy, on, episodes=2)
    assert other.character.name == "atlas"
    assert len(translation.joints) == 11
    assert found.synced.seconds.mean == pytest.approx(0.3)  # it stands
    assert found.synced.returns["paper-2018-weighted"].mean > 0.5
    assert cli.run(["evaluate", str(policy), "--on", str(on), "--episodes", "2", "--keep", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["normalized_return"] == found.normalized_return
    (name,), (kept,) = replay.stored(policy).keys(), replay.stored(policy).values()
    assert name == "atlas/stand"
    assert kept["joints"] == translation.joints
    assert kept["synced"]["returns"]["paper-2018-weighted"]["mean"] == found.normalized_return


def test_the_page_has_a_row_beside_the_policy_trained_there(tried: tuple[Path, Path], tmp_path: Path, monkeypatch):
    policy, on = tried
    replay.keep(policy, *replay.replay(policy, on, episodes=2))
    monkeypatch.chdir(policy.parents[2])
    paper = {"nr": 0.846, "samples": 48, "replayed": 0.013}
    rows = [
        {"char": "humanoid", "clip": "stand.bvh", "kind": "cycle"},
        {"char": "atlas", "clip": "stand.bvh", "kind": "cycle", "paper": paper},
    ]
    listed = SkillList.model_validate({"recipes": {"cycle": {"samples": 100}}, "skill": rows})
    page = tmp_path / "skills.md"
    skills_page.write(listed, page)
    (row,) = [line for line in page.read_text().splitlines() if line.startswith("| humanoid stand |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["humanoid stand", "atlas stand", "11 of 12"]
    assert cells[3].endswith("(0.013)")
    assert cells[-1] == "not trained"


def test_a_loop_is_not_tried_on_a_one_shot(tried: tuple[Path, Path], tmp_path: Path):
    once = standing("atlas", tmp_path / "once", loop=False)
    with pytest.raises(InputError, match=r"the policy's clip is a loop, stand is performed once"):
        replay.replay(tried[0], once)


def test_a_strange_replay_json_is_refused(tmp_path: Path):
    (tmp_path / "replay.json").write_text('{"format": "mimic-replay", "version": 2}')
    with pytest.raises(InputError, match="tried on other bodies"):
        replay.stored(tmp_path)


def test_keep_goes_with_on(tried: tuple[Path, Path]):
    assert cli.run(["evaluate", str(tried[0]), "--keep"]) == 2
