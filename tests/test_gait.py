"""Legs that follow a foot: reach, gaits from two legs, and whole walks, runs and jumps on T-Rex and dragon."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pybullet_data
import pytest

from characters import kinematics
from characters.character import Character
from characters.infer import create
from motion import rotation
from motion.clip import Clip
from motion.errors import InputError
from pipeline import stages
from retarget import gait, limits, reach
from retarget.body import Body

FPS = 100.0
LEGS = [("trex", "left_leg"), ("dragon", "right_leg"), ("dragon", "left_foreleg")]


def stepping(left: list[tuple[float, float]], right: list[tuple[float, float]], seconds: float) -> gait.Gait:
    """The gait of feet that stand from … to (seconds)."""
    times = np.arange(round(seconds * FPS)) / FPS
    contacts = {
        leg: np.any([(times >= a) & (times < b) for a, b in stances], axis=0)
        for leg, stances in (("left_leg", left), ("right_leg", right))
    }
    source = SimpleNamespace(legs=list(contacts), motion=SimpleNamespace(fps=FPS))
    return gait.recognise(source, contacts)  # pyright: ignore[reportArgumentType]


def test_a_walk_has_a_foot_down_always():
    left = [(k + 0.0, k + 0.6) for k in range(4)]
    right = [(k + 0.5, k + 1.1) for k in range(-1, 4)]
    found = stepping(left, right, 4.0)
    assert found.kind == "walk"
    assert found.stride == pytest.approx(1.0)


def test_a_run_flies():
    left = [(0.7 * k + 0.1, 0.7 * k + 0.3) for k in range(4)]
    right = [(a + 0.35, b + 0.35) for a, b in left]
    found = stepping(left, right, 3.2)
    assert found.kind == "run"
    assert found.stride == pytest.approx(0.7, abs=0.011)


def test_feet_together_leap():
    stances = [(k + 0.1, k + 0.5) for k in range(4)]
    assert stepping(stances, stances, 4.0).kind == "leap"


def test_standing_is_no_gait():
    assert stepping([(-1.0, 9.0)], [(-1.0, 9.0)], 3.0) == gait.Gait("leap", 0.0)


def test_delay_begins_in_the_stride_before():
    np.testing.assert_array_equal(gait.delayed(6, 2, 4), [2, 3, 0, 1, 2, 3])
    np.testing.assert_array_equal(gait.delayed(3, 0, 0), [0, 1, 2])


def test_planted_feet_rest_and_swings_join():
    times = np.arange(100) / FPS
    path = np.column_stack([times + 0.02 * np.sin(9 * times), 0.1 * times])
    stands = (np.arange(100) % 50 > 20) & (np.arange(100) % 50 < 35)
    out = gait.planted(path, stands, most=0.5)
    for a, b in ((21, 35), (71, 85)):
        np.testing.assert_allclose(out[a:b], path[a:b].mean(axis=0)[None].repeat(b - a, axis=0), atol=1e-12)
    assert np.abs(np.diff(out, axis=0)).max() < 0.1
    np.testing.assert_array_equal(gait.planted(path, stands, most=0.01), path)


def test_a_heel_that_rises_moves_its_joint_on_and_leaves_the_toes_where_they_stand():
    dragon = Body(Character.load("dragon"))
    link = dragon.character.link("left_forefoot")
    pitch = rotation.exp(np.linspace(0.0, 0.8, 30)[:, None] * np.array([0.0, 1.0, 0.0]))
    turn = rotation.multiply(pitch, dragon.rotations[link])
    roll = gait.rolled(dragon, "left_forefoot", turn)
    np.testing.assert_allclose(roll[0], 0.0, atol=1e-12)
    assert roll[-1, 0] < -0.02
    still = np.ones(30, dtype=bool)
    path = gait.planted(np.tile([1.0, 0.2], (30, 1)), still, most=0.5, roll=roll)
    assert np.ptp(path + roll, axis=0).max() < 1e-12
    assert path[-1, 0] > path[0, 0]


@pytest.mark.parametrize(("name", "role"), LEGS)
def test_a_leg_reaches(name: str, role: str):
    """Forward kinematics of the whole body with the leg's turns: the foot is where it was wanted."""
    body = Body(Character.load(name))
    character, leg = body.character, reach.Leg(body, role)
    assert reach.follows_foot(body, role)
    rng = np.random.default_rng(0)
    length = rng.uniform(leg.lengths[0], leg.lengths[-1], 40)
    way = rotation.unit(rotation.unit(leg.rest) + rng.uniform(-0.7, 0.7, (40, 3)))
    carrier = rotation.exp(rng.uniform(-1.0, 1.0, (40, 3)))
    wanted = length[:, None] * way
    turns = leg.reach(carrier, wanted)
    assert set(turns) == set(leg.links[:-1])
    end = np.zeros((40, 3))
    for link, joint in zip(leg.links, leg.joints[1:], strict=False):
        end = end + rotation.rotate(turns[link], joint.origin)
    np.testing.assert_allclose(end, wanted, atol=2e-3)
    for k, joint in enumerate(leg.joints[1:-1]):
        local = rotation.relative(rotation.multiply(turns[leg.links[k]], joint.rotation), turns[joint.child])
        angle = rotation.swing_twist(local, joint.axis)[1]
        assert (angle > joint.lower - 1e-9).all()
        assert (angle < joint.upper + 1e-9).all()
    assert character.joints[body.chains[role][0]].child == leg.links[0]


@pytest.mark.parametrize(("name", "role"), LEGS)
def test_rest_is_rest(name: str, role: str):
    body = Body(Character.load(name))
    leg = reach.Leg(body, role)
    at = kinematics.forward(body.character, body.character.rest[None])
    foot = at.positions[:, leg.links[-1]] - at.positions[:, leg.links[0]]
    for link, turn in leg.reach(at.rotations[:, leg.carrier], foot).items():
        assert rotation.angle(turn, at.rotations[:, link])[0] < 0.02


def test_straight_legs_copy_directions():
    for name in ("humanoid", "atlas"):
        body = Body(Character.load(name))
        assert not any(reach.follows_foot(body, role) for role in ("left_leg", "right_leg"))


def test_crouch_brings_standing_feet_into_reach():
    leg = reach.Leg(Body(Character.load("trex")), "left_leg")
    longest = reach.EASY * leg.lengths[-1]
    assert leg.crouch(np.array([[0.0, 0.0, -0.9 * longest]])) == 0.0
    assert leg.crouch(np.array([[0.6 * longest, 0.0, -0.9 * longest]])) == pytest.approx(0.1 * longest)
    assert leg.crouch(np.array([[2.0, 0.0, -2.0]])) == pytest.approx(reach.LOWEST * leg.lengths[-1])


def test_strides_are_as_long_as_the_trunk_allows():
    """Hind and forefoot a side come as near as `APART` of their distance at rest, where their paths would meet."""
    body = Body(Character.load("dragon"))
    roles = [f"{side}_{limb}" for side in ("left", "right") for limb in ("foreleg", "leg")]
    at = {role: body.positions[body.link(body.foot_chain(role)[-1])] for role in roles}
    swing = np.outer(np.sin(np.linspace(0, 6.3, 200)), [1.0, 0.0, 0.0])
    level = np.tile(rotation.IDENTITY, (200, 1))
    short = {role: at[role] + 0.1 * swing * (1 if "fore" in role else -1) for role in roles}
    assert gait.stride_share(body, short, level) == 1.0
    apart = at["left_foreleg"][0] - at["left_leg"][0]
    met = {role: at[role] + 0.5 * apart * swing * (1 if "fore" in role else -1) for role in roles}
    assert gait.stride_share(body, met, level) == pytest.approx(1.0 - gait.APART, abs=1e-3)
    only = {role: path for role, path in met.items() if role.endswith("_leg")}
    assert gait.stride_share(body, only, level) == 1.0


def test_a_misspelt_gait_is_told(tmp_path: Path):
    folder = Path(stages.bodies.INSTALLED) / "dragon"
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    toml = tmp_path / "character.toml"
    text = toml.read_text("utf-8")
    assert 'leap = { source = "right_leg" }' in text
    toml.write_text(text.replace('leap = { source = "right_leg" }', 'leap = { source = "right_lag" }'), "utf-8")
    with pytest.raises(InputError, match="no role right_lag"):
        Character.load(tmp_path)


@pytest.fixture(scope="module")
def made(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Clip, dict]]:
    """Walk, run and jump on both bodies."""
    folder = tmp_path_factory.mktemp("clips")
    out = {}
    for body, name in (("trex", "walk"), ("trex", "jump"), ("dragon", "walk"), ("dragon", "run")):
        done = stages.retarget(samples / f"{name}.bvh", body, out=folder)
        out[f"{body} {name}"] = (done.clip, done.clip.quality["measures"])
    return out


LIMITS = {
    "slide_cm_s": 1.5,
    "penetration_cm": 1.0,
    "float_cm": 1.5,
    "self_penetration_cm": 1.0,
    "pop": 2.5,
    "jerk_ratio": 1.5,
}
"""what docs/results/morphologies.md holds every clip to"""


@pytest.mark.parametrize("name", ["trex walk", "trex jump", "dragon walk", "dragon run"])
def test_clips_keep_the_limits(made: dict[str, tuple[Clip, dict]], name: str):
    _, measures = made[name]
    for measure, limit in LIMITS.items():
        assert measures[measure]["value"] <= limit, measure
    assert measures["limit_excess_deg"]["value"] < 1e-3


@pytest.mark.parametrize("body", ["trex", "dragon"])
def test_every_leg_stands_a_third_of_a_walk(made: dict[str, tuple[Clip, dict]], body: str):
    clip, _ = made[f"{body} walk"]
    assert set(clip.contacts) == set(Character.load(body).feet)
    for foot, flags in clip.contacts.items():
        assert np.mean(flags) >= 0.3, foot


@pytest.mark.parametrize("body", ["trex", "dragon"])
def test_a_walk_is_within_the_torques_and_each_foot_stands_once_a_stride(made: dict[str, tuple[Clip, dict]], body: str):
    clip, measures = made[f"{body} walk"]
    assert measures["torque_ratio"]["value"] <= 1.0
    for foot, flags in clip.contacts.items():
        assert np.count_nonzero(np.diff(np.asarray(flags, dtype=int), append=int(flags[0])) == 1) == 1, foot


def lag(clip: Clip, foot: str, behind: str) -> float:
    """Share of the cycle by which one foot's stance comes after another's."""
    middle = [
        np.angle(np.mean(np.exp(2j * np.pi * np.flatnonzero(flags) / len(flags))))
        for flags in (np.asarray(clip.contacts[behind]), np.asarray(clip.contacts[foot]))
    ]
    return float((middle[1] - middle[0]) / (2 * np.pi) % 1.0)


def test_footfalls_of_a_lateral_sequence_walk(made: dict[str, tuple[Clip, dict]]):
    """Left hind, left fore, right hind, right fore, a quarter of the stride apart."""
    clip, _ = made["dragon walk"]
    feet = ("left_foot", "left_forefoot", "right_foot", "right_forefoot")
    for quarter, foot in enumerate(feet):
        assert lag(clip, foot, "left_foot") == pytest.approx(quarter / 4, abs=0.06) or quarter == 0


def test_footfalls_of_a_trot(made: dict[str, tuple[Clip, dict]]):
    clip, _ = made["dragon run"]
    assert lag(clip, "right_foot", "left_foot") == pytest.approx(0.5, abs=0.06)
    for fore, hind in (("left_forefoot", "right_foot"), ("right_forefoot", "left_foot")):
        assert abs((lag(clip, fore, hind) + 0.5) % 1.0 - 0.5) < 0.06


@pytest.mark.parametrize("body", ["trex", "dragon"])
def test_tail_and_wings_move(made: dict[str, tuple[Clip, dict]], body: str):
    clip, _ = made[f"{body} walk"]
    character = Character.load(body)
    pose = kinematics.forward(character, clip.qpos)
    for role in ("tail", "left_wing", "right_wing"):
        for name in character.roles.get(role, ())[:1]:
            link = character.joints[character.joint(name)].child
            local = rotation.relative(pose.rotations[:, character.links[link].parent], pose.rotations[:, link])
            assert np.rad2deg(rotation.angle(local, rotation.mean(local))).max() > 1.0, name


def test_feet_keep_to_their_own_side() -> None:
    """A path that crosses the middle is led aside; one that stays out is hardly touched; the other axes not at all."""
    path = np.column_stack([np.linspace(0, 1, 50), np.linspace(0.4, -0.4, 50), np.full(50, -0.7)])
    girdle = gait.Girdle(np.zeros((50, 3)), np.zeros((50, 3)), np.tile([0.0, 1.0, 0.0], (50, 1)))
    kept = gait._beside(path, girdle, 0.1, 1.0)
    np.testing.assert_array_equal(kept[:, [0, 2]], path[:, [0, 2]])
    assert kept[:, 1].min() > 0.09  # the smoothing takes a little
    assert (np.diff(kept[:, 1]) < 0).all()
    np.testing.assert_allclose(kept[:5, 1], path[:5, 1], atol=1e-4)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Body:
    """A robot dog, whose shank ends in a ball: there is no ankle."""
    folder = tmp_path_factory.mktemp("robot") / "a1"
    create(Path(pybullet_data.getDataPath()) / "a1" / "a1.urdf", folder)
    return Body(Character.load(folder))


def test_a_leg_without_a_foot_reaches_with_its_end(robot: Body) -> None:
    for role in ("left_leg", "right_foreleg"):
        assert robot.stump(role)
        assert reach.follows_foot(robot, role)
        assert robot.leg_length(role) == pytest.approx(0.4)  # thigh and shank of 0.2 m
        leg = reach.Leg(robot, role)
        assert 0.0 < leg.lengths[0] < leg.lengths[-1] < 0.4
        target = np.array([[0.05, 0.02, -0.3], [-0.1, 0.0, -0.25]])
        turns = leg.reach(np.tile(rotation.IDENTITY, (2, 1)), target)
        knee = robot.character.joints[robot.chains[role][1]]
        thigh, shank = turns[leg.links[0]], turns[knee.child]
        end = rotation.rotate(thigh, knee.origin) + rotation.rotate(shank, robot.sole(role))
        np.testing.assert_allclose(end, target, atol=2e-3)


def test_new_quadrupeds_step_with_all_legs(robot: Body) -> None:
    walks = {role: (entry.walk.source, entry.walk.phase) for role, entry in robot.character.gait.items()}
    assert walks == {"left_foreleg": ("left_leg", 0.25), "right_foreleg": ("right_leg", 0.25)}


def test_a_foot_slows_down_before_its_limit_and_is_left_alone_well_inside():
    paw = Character.load("dragon").joints[Character.load("dragon").joint("left_foreleg_paw")]
    turns = np.linspace(0.0, 2.0 * paw.swing_limit, 200)
    eased = limits.ease_ball(paw, rotation.exp(turns[:, None] * np.array([0.0, 1.0, 0.0])))
    angle = np.linalg.norm(rotation.log(eased), axis=1)
    free = turns < limits.EASE * paw.swing_limit
    np.testing.assert_allclose(angle[free], turns[free], atol=1e-9)
    assert angle.max() <= paw.swing_limit
    assert np.abs(np.diff(angle, 2)).max() < 0.1 * np.diff(turns)[0]
