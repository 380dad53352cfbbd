"""Rewards against numbers worked out by hand, all five profiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from characters.character import Character
from motion import rotation
from motion.errors import InputError
from train import reward
from train.state import State, state_of

PROFILES = ["paper-2018", "paper-2018-weighted", "release-2021", "pybullet-port", "mimickit"]


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


@pytest.fixture(scope="module")
def measure(humanoid: Character) -> reward.Measure:
    return reward.Measure(humanoid)


def zero_errors(joints: int, ends: int) -> reward.Errors:
    one = np.zeros(1)
    return reward.Errors(
        pose=np.zeros((1, 1 + joints)),
        velocity=np.zeros((1, 1 + joints)),
        ends=np.zeros((1, ends)),
        ends_heading=np.zeros((1, ends)),
        root_position=one,
        root_rotation=one,
        root_velocity=one,
        root_angular=one,
        com=one,
        com_velocity=one,
    )


def value(name: str, measure: reward.Measure, **changed: object) -> float:
    errors = replace(zero_errors(len(measure.weights) - 1, 4), **changed)
    return float(reward.profile(name)(errors, measure)[0])


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("paper-2018", 1.0),
        ("paper-2018-weighted", 1.0),
        ("release-2021", 1.0),
        ("pybullet-port", 0.9),
        ("mimickit", 1.0),
    ],
)
def test_without_error_each_profile_is_the_sum_of_its_weights(name: str, best: float, measure: reward.Measure):
    assert value(name, measure) == pytest.approx(best)


ONE_KNEE = np.zeros((1, 13))
ONE_KNEE[0, 1 + Character.load("humanoid").joint("right_knee")] = 0.09  # 0.3 rad; the release weighs a knee .3 of 4.8
ROOT_ONLY = np.zeros((1, 13))
ROOT_ONLY[0, 0] = 0.04  # root turned by 0.2 rad


def test_the_releases_joint_weights_are_normalised(humanoid: Character, measure: reward.Measure):
    # root 1, chest .5, neck .3; each side hip .5, knee .3, ankle .2, shoulder .3, elbow .2: 4.8 in all
    table = {"root": 1, "chest": 0.5, "neck": 0.3, "hip": 0.5, "knee": 0.3, "ankle": 0.2, "shoulder": 0.3, "elbow": 0.2}
    names = ["root"] + [joint.name.removeprefix("left_").removeprefix("right_") for joint in humanoid.joints]
    np.testing.assert_allclose(measure.weights * 4.8, [table[name] for name in names])


@pytest.mark.parametrize(
    ("name", "changed", "expected"),
    [
        # .65 exp(−2 · .09) + .35
        ("paper-2018", {"pose": ONE_KNEE}, 0.65 * 0.835270211 + 0.35),
        # the root counts in the pose sum: .65 exp(−2 · .04) + .35
        ("paper-2018", {"pose": ROOT_ONLY}, 0.65 * 0.923116346 + 0.35),
        # .1 exp(−.1 · 9) + .9
        ("paper-2018", {"velocity": ONE_KNEE * 100}, 0.1 * 0.406569660 + 0.9),
        # two ends 0.1 m off: .15 exp(−40 · .02) + .85
        ("paper-2018", {"ends": np.array([[0.01, 0.01, 0, 0]])}, 0.15 * 0.449328964 + 0.85),
        ("paper-2018", {"com": np.array([0.04])}, 0.1 * 0.670320046 + 0.9),
        # .65 exp(−2 · .09 · .3/4.8) + .35 = .65 exp(−.01125) + .35
        ("paper-2018-weighted", {"pose": ONE_KNEE}, 0.65 * 0.988813044 + 0.35),
        # .65 exp(−2 · .04 / 4.8) + .35
        ("paper-2018-weighted", {"pose": ROOT_ONLY}, 0.65 * 0.983471454 + 0.35),
        ("paper-2018-weighted", {"ends": np.array([[0.01, 0.01, 0, 0]])}, 0.15 * 0.449328964 + 0.85),
        # root, 12 joints and 2 fixed hands are 15: .5 exp(−2 · 15/15 · .005625) + .5
        ("release-2021", {"pose": ONE_KNEE}, 0.5 * 0.988813044 + 0.5),
        # .05 exp(−.1 · 15/15 · .5625) + .95
        ("release-2021", {"velocity": ONE_KNEE * 100}, 0.05 * 0.945302760 + 0.95),
        # .15 exp(−10 · .02) + .85, in the heading frame only
        ("release-2021", {"ends_heading": np.array([[0.01, 0.01, 0, 0]])}, 0.15 * 0.818730753 + 0.85),
        ("release-2021", {"ends": np.array([[0.01, 0.01, 0, 0]])}, 1.0),
        # root: .01 + .1 · .04 + .01 · 1 + .001 · 4 = .028 → .2 exp(−.14) + .8
        (
            "release-2021",
            {
                "root_position": np.array([0.01]),
                "root_rotation": np.array([0.04]),
                "root_velocity": np.array([1.0]),
                "root_angular": np.array([4.0]),
            },
            0.2 * 0.869358235 + 0.8,
        ),
        # .1 exp(−10 · .1 · .25) + .9; the COM's place does not count
        ("release-2021", {"com_velocity": np.array([0.25])}, 0.1 * 0.778800783 + 0.9),
        ("release-2021", {"com": np.array([0.25])}, 1.0),
        # no J/15: .5 exp(−2 · .005625) + .4
        ("pybullet-port", {"pose": ONE_KNEE}, 0.5 * 0.988813044 + 0.4),
        # the mean of four ends: .15 exp(−40 · .005) + .75
        ("pybullet-port", {"ends": np.array([[0.01, 0.01, 0, 0]])}, 0.15 * 0.818730753 + 0.75),
        ("pybullet-port", {"root_rotation": np.array([0.4])}, 0.2 * 0.818730753 + 0.7),
        ("pybullet-port", {"com": np.array([0.25])}, 0.9),
        # .5 exp(−.25 · .09) + .5
        ("mimickit", {"pose": ONE_KNEE}, 0.5 * 0.977751237 + 0.5),
        # the root does not count in pose and velocity
        ("mimickit", {"pose": ROOT_ONLY}, 1.0),
        ("mimickit", {"velocity": ROOT_ONLY * 100}, 1.0),
        # .1 exp(−.01 · 9) + .9
        ("mimickit", {"velocity": ONE_KNEE * 100}, 0.1 * 0.913931185 + 0.9),
        # .15 exp(−5 · (.01 + .1 · .04)) + .85
        ("mimickit", {"root_position": np.array([0.01]), "root_rotation": np.array([0.04])}, 0.15 * 0.932393820 + 0.85),
        # .1 exp(−1 · (.25 + .1 · 1)) + .9
        ("mimickit", {"root_velocity": np.array([0.25]), "root_angular": np.array([1.0])}, 0.1 * 0.704688090 + 0.9),
        ("mimickit", {"ends_heading": np.array([[0.01, 0.01, 0, 0]])}, 0.15 * 0.818730753 + 0.85),
    ],
)
def test_each_term_by_hand(name: str, changed: dict, expected: float, measure: reward.Measure):
    assert value(name, measure, **changed) == pytest.approx(expected, abs=1e-8)


def standing(humanoid: Character, **joints: float) -> State:
    qpos, qvel = humanoid.rest[None].copy(), np.zeros((1, humanoid.layout.nv))
    for name, angle in joints.items():
        qpos[0, humanoid.layout.qpos_at[humanoid.joint(name)]] = angle
    return state_of(humanoid, qpos, qvel)


def test_errors_are_squared_angles_joint_by_joint(humanoid: Character, measure: reward.Measure):
    errors = measure.errors(standing(humanoid), standing(humanoid, right_knee=-0.3))
    expected = np.zeros(13)
    expected[1 + humanoid.joint("right_knee")] = 0.09
    np.testing.assert_allclose(errors.pose[0], expected, atol=1e-12)


def test_ends_are_ankles_and_wrists(humanoid: Character, measure: reward.Measure):
    names = [humanoid.links[i].name for i in measure.links]
    assert sorted(names) == ["left_foot", "left_forearm", "right_foot", "right_forearm"]
    errors = measure.errors(standing(humanoid), standing(humanoid, right_elbow=np.pi / 2))
    wrist = names.index("right_forearm")
    # the forearm, .258947 m to the wrist, a quarter turn away
    assert errors.ends[0, wrist] == pytest.approx(2 * 0.258947**2, abs=1e-6)
    assert np.delete(errors.ends[0], wrist) == pytest.approx(np.zeros(3), abs=1e-12)


def test_heading_frame_ignores_place_and_heading_but_not_height(humanoid: Character, measure: reward.Measure):
    here = standing(humanoid)
    qpos = here.qpos.copy()
    qpos[0, :3] += [2.0, -1.0, 0.0]
    qpos[0, 3:7] = rotation.from_yaw(np.float64(0.7))
    away = state_of(humanoid, qpos, here.qvel)
    errors = measure.errors(here, away)
    np.testing.assert_allclose(errors.ends_heading, 0.0, atol=1e-12)
    assert errors.ends.min() > 1.0
    qpos[0, 2] += 0.1
    raised = measure.errors(here, state_of(humanoid, qpos, here.qvel))
    np.testing.assert_allclose(raised.ends_heading, 0.01, atol=1e-12)  # heights are above the ground, not from the root


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(InputError) as caught:
        reward.profile("paper-2019")
    assert "paper-2018" in str(caught.value.hint)


@pytest.mark.parametrize("name", PROFILES)
def test_a_reward_stays_within_zero_and_one_for_wild_states(name: str, humanoid: Character, measure: reward.Measure):
    random = np.random.default_rng(3)
    qpos = humanoid.layout.integrate(
        np.repeat(humanoid.rest[None], 50, axis=0), random.normal(size=(50, humanoid.layout.nv))
    )
    sim = state_of(humanoid, qpos, random.normal(scale=20, size=(50, humanoid.layout.nv)))
    values = reward.profile(name)(measure.errors(sim, standing(humanoid).rows(np.zeros(50, int))), measure)
    assert values.shape == (50,)
    assert (values >= 0).all()
    assert (values <= 1).all()
