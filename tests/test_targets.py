"""What the body should do: the same for the same motion, whatever rest pose, size or heading tells it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from good_clip import BodyRoles
from rest_poses import STAND, along_x, arms_raised, facing, flipped, moved, performance, retold, rolled, scaled

from characters import kinematics
from characters.character import Character
from motion import contacts, rotation
from motion.clip import CycleOffset, Trajectory
from motion.errors import InputError
from motion.motion import Motion, Skeleton
from motion.rotation import Array
from pipeline.halfturns import mend_half_turns
from retarget import limbs, source, targets
from retarget.mapping import Mapping
from retarget.retarget import retarget

SOURCE = Character.load("humanoid")
ROLES = BodyRoles.of(SOURCE)
PERFORMED = performance(SOURCE)
MOTION = SOURCE.to_motion(PERFORMED)


@pytest.fixture(scope="module", params=["humanoid", "atlas"])
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


def onto(character: Character, motion: Motion, weights: dict[str, float] | None = None) -> Trajectory:
    mapping = Mapping(dict(ROLES.chains), 1.0, "z", weights or {})
    return retarget(motion, mapping, character, contacts.detect(motion, ROLES))


@pytest.fixture(scope="module")
def told(body: Character) -> Trajectory:
    """The performance on the body, told by the skeleton as it is."""
    return onto(body, MOTION)


def apart(character: Character, a: Trajectory, b: Trajectory) -> float:
    """Largest difference in any coordinate, rad or m."""
    return float(np.abs(character.layout.difference(a.qpos, b.qpos)).max())


# --- the same motion told differently


REST_POSES = {
    "T": arms_raised(np.pi / 2),
    "A": arms_raised(np.pi / 4),
    "all along x": along_x,
    "rolled anyhow": rolled,
    "facing away": facing(2.0),
}


@pytest.mark.parametrize("name", REST_POSES)
def test_rest_poses_tell_the_same_motion(body: Character, told: Trajectory, name: str) -> None:
    motion = retold(MOTION, REST_POSES[name](MOTION.skeleton))
    np.testing.assert_allclose(motion.forward()[0], MOTION.forward()[0], atol=1e-9)
    assert not np.allclose(motion.skeleton.offsets, MOTION.skeleton.offsets)
    assert apart(body, told, onto(body, motion)) < 1e-3


@pytest.mark.parametrize("size", [0.6, 1.3])
def test_size_does_not_matter(body: Character, told: Trajectory, size: float) -> None:
    assert apart(body, told, onto(body, scaled(MOTION, size))) < 1e-3


@pytest.mark.parametrize("yaw", [0.9, -2.5])
def test_a_turned_source_turns_the_body(body: Character, told: Trajectory, yaw: float) -> None:
    other = onto(body, moved(MOTION, yaw, np.array([3.0, -1.0, 0.0])))
    turned = replace(told, qpos=CycleOffset(np.zeros(3), yaw).apply(told.qpos))
    assert apart(body, turned, other) < 1e-3


@pytest.mark.parametrize("limb", ["leg", "arm"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_limb_rolled_half_a_turn_does_not_flip(body: Character, told: Trajectory, side: str, limb: str) -> None:
    """Through the whole file, as against its rest pose: the joint below makes up for it and no point moves."""
    upper, lower = ROLES.chains[f"{side}_{limb}"][:2]
    motion = flipped(MOTION, upper, lower, slice(None))
    np.testing.assert_allclose(motion.forward()[0], MOTION.forward()[0], atol=1e-9)
    assert apart(body, told, onto(body, motion)) < 1e-3


@pytest.mark.parametrize("limb", ["leg", "arm"])
def test_a_limb_that_flips_for_a_while_does_not_show(body: Character, told: Trajectory, limb: str) -> None:
    upper, lower = ROLES.chains[f"left_{limb}"][:2]
    mended, said = mend_half_turns(flipped(MOTION, upper, lower, slice(70, 110)))
    assert len(said) == 2
    assert apart(body, told, onto(body, mended)) < 0.15  # the flips hold a frame of real motion too


# --- what the motion means


def test_a_body_copies_itself() -> None:
    """Its own motion comes back: exactly but for the source's smoothing and the feet's prints."""
    out = onto(SOURCE, MOTION)
    layout = SOURCE.layout
    change = np.abs(layout.difference(PERFORMED.qpos, out.qpos))
    change[:, :2] = 0.0  # begins at the origin
    legs = [layout.qvel_at[SOURCE.joint(j)] for r in ("left_leg", "right_leg") for j in SOURCE.roles[r]]
    others = np.setdiff1d(np.arange(layout.nv), np.add.outer(legs, np.arange(3)))
    assert change[:, others].max() < 0.05
    assert change.max() < 0.25


def joints_of(character: Character, trajectory: Trajectory, role: str) -> Array:
    """(T, 3, 3) the places of the first three joints of a limb, the tip of the second segment if it has but two."""
    pose = kinematics.forward(character, trajectory.qpos)
    chain = [character.joints[character.joint(name)].child for name in character.roles[role]][:3]
    places = [pose.positions[:, link] for link in chain]
    if len(places) < 3:
        tip = next(f for f in character.end_effectors.values() if f.link == chain[-1])
        places.append(pose.points(tip.link, tip.position))
    return np.stack(places, axis=1)


def in_pelvis(trajectory: Trajectory, vectors: Array) -> Array:
    """World vectors (T, …, 3) as the pelvis sees them: x ahead, y to the left."""
    pelvis = rotation.conjugate(trajectory.qpos[:, 3:7])
    return rotation.rotate(pelvis.reshape((len(pelvis),) + (1,) * (vectors.ndim - 2) + (4,)), vectors)


@pytest.mark.parametrize("side", ["left", "right"])
def test_knees_and_elbows_bend_the_human_way(body: Character, told: Trajectory, side: str) -> None:
    """The knee points ahead of the line from hip to ankle, the elbow behind the one from shoulder to hand."""
    for role, ahead in ((f"{side}_leg", 1.0), (f"{side}_arm", -1.0)):
        places = joints_of(body, told, role)
        middle = in_pelvis(told, places[:, 1] - 0.5 * (places[:, 0] + places[:, 2]))
        bent = np.linalg.norm(np.cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 1]), axis=-1) > 0.01
        assert bent.mean() > 0.5
        assert (ahead * middle[bent, 0] > 0).all(), role


def test_left_stays_left_and_forward_forward(body: Character, told: Trajectory) -> None:
    for limb in ("leg", "arm"):
        left, right = (joints_of(body, told, f"{side}_{limb}") for side in ("left", "right"))
        assert (in_pelvis(told, left - right)[..., 1] > 0).all(), limb
    assert told.qpos[-1, 0] - told.qpos[0, 0] > 1.0
    assert abs(told.qpos[-1, 1] - told.qpos[0, 1]) < 0.1


def test_limbs_point_where_the_sources_do(body: Character, told: Trajectory) -> None:
    """Arms: their directions are copied; degrees between them, at the worst frame."""
    ours, theirs = joints_of(body, told, "left_arm"), joints_of(SOURCE, PERFORMED, "left_arm")
    for k in (0, 1):
        a, b = (rotation.unit(p[:, k + 1] - p[:, k]) for p in (ours, theirs))
        assert np.rad2deg(np.arccos(np.clip(np.einsum("ti,ti->t", a, b), -1, 1))).max() < 5.0


def test_the_stride_is_that_of_the_bodys_legs(body: Character, told: Trajectory) -> None:
    """Distances scale with leg length, hip to ankle."""

    def leg(character: Character) -> float:
        joints = [character.joints[character.joint(name)] for name in character.roles["left_leg"][1:3]]
        return float(sum(np.linalg.norm(joint.origin) for joint in joints))

    for side in ("left", "right"):  # from a foot's first stance to its last; the pelvis may lean ahead or behind
        stands = np.flatnonzero(told.contacts[f"{side}_foot"])
        first, last = stands[len(stands) // 50], stands[-1 - len(stands) // 50]
        ankles = [
            joints_of(character, t, f"{side}_leg")[[first, last], 2, :2]
            for character, t in ((body, told), (SOURCE, PERFORMED))
        ]
        travelled = [np.linalg.norm(end - start) for start, end in ankles]
        assert travelled[1] > 1.0
        assert travelled[0] / travelled[1] == pytest.approx(leg(body) / leg(SOURCE), rel=0.01)


def test_stances_are_kept(body: Character, told: Trajectory) -> None:
    """The feet that the source's contacts name, on the body's own foot links."""
    found = contacts.detect(MOTION, ROLES).flags
    assert set(told.contacts) == set(body.feet)
    for foot, flags in told.contacts.items():
        agree = flags == found["left_leg" if "left" in foot else "right_leg"]
        assert agree.mean() > 0.9, foot


def test_a_straight_body_stands_straight(body: Character) -> None:
    """No limb bends, so nothing but anatomy says which way its hinge looks: thighs and arms are not rolled."""
    out = onto(body, MOTION.slice(0, STAND))
    rest = np.tile(body.rest, (STAND, 1))
    assert np.abs(body.layout.difference(rest, out.qpos)[:, 3:]).max() < 0.2


# --- weights


def rest_error(character: Character, trajectory: Trajectory, joint: str) -> float:
    """Largest turn of a joint away from its rest, rad."""
    k = character.joint(joint)
    at, width = character.layout.qvel_at[k], 3 if character.joints[k].type == "ball" else 1
    rest = np.tile(character.rest, (len(trajectory.qpos), 1))
    difference = character.layout.difference(rest, trajectory.qpos)[:, at : at + width]
    return float(np.linalg.norm(difference, axis=1).max())


@pytest.mark.parametrize(("role", "moves"), [("left_arm", "right_arm"), ("head", "spine"), ("spine", "left_arm")])
def test_a_role_of_weight_zero_rests(role: str, moves: str) -> None:
    out = onto(SOURCE, MOTION, {role: 0.0})
    for joint in SOURCE.roles[role]:
        assert rest_error(SOURCE, out, joint) < 0.25, joint
    assert rest_error(SOURCE, out, SOURCE.roles[moves][0]) > 0.3
    driven = onto(SOURCE, MOTION)
    assert rest_error(SOURCE, driven, SOURCE.roles[role][0]) > 0.3


def test_weights_scale_the_pull() -> None:
    found = contacts.detect(MOTION, ROLES)
    plain = targets.build(MOTION, ROLES.chains, SOURCE, found.flags, found.resting_height)
    heavy = targets.build(
        MOTION, ROLES.chains, SOURCE, found.flags, found.resting_height, weights={"left_arm": 3.0, "head": 5.0}
    )
    for role, factor in (("left_arm", 3.0), ("head", 5.0), ("right_arm", 1.0), ("spine", 1.0)):
        link = SOURCE.joints[SOURCE.joint(SOURCE.roles[role][0])].child
        assert heavy.across[link] == pytest.approx(factor * plain.across[link])
        assert heavy.about[link] == pytest.approx(factor * plain.about[link])


# --- the parts


def test_flexion_axis_by_hand() -> None:
    """A thigh along x whose shank bends towards y turns about z, in the thigh's own frame."""
    bend = np.linspace(0.0, 1.5, 30)
    turn = rotation.from_axis_angle(np.array([1.0, 0, 0]), np.linspace(0, 2, 30))
    upper = rotation.rotate(turn, [1.0, 0, 0])
    lower = rotation.rotate(turn, np.stack([np.cos(bend), np.sin(bend), 0 * bend], axis=1))
    z = np.array([0.0, 0, 1])
    np.testing.assert_allclose(limbs.flexion_axis(turn, (upper, lower), z), z, atol=1e-9)
    aside = limbs.flexion_axis(turn, (upper, lower), np.array([0.0, 1, 0]))
    assert aside @ z > 0.99  # the motion knows better than a guess at right angles
    np.testing.assert_allclose(limbs.flexion_axis(turn, (upper, lower), -z), z, atol=0.1)


def test_flexion_axis_of_a_straight_limb_is_the_guess() -> None:
    upper = np.tile([1.0, 0, 0], (20, 1))
    lower = rotation.unit(upper + 0.05 * np.random.default_rng(0).normal(size=(20, 3)))
    guess = rotation.unit([0.0, 1, 2])
    still = np.tile(rotation.IDENTITY, (20, 1))
    np.testing.assert_allclose(limbs.flexion_axis(still, (upper, lower), guess), guess, atol=1e-9)


def test_a_knee_that_bends_against_nature_takes_the_guess() -> None:
    """Left and right exchanged: the bend contradicts the hips and the rest pose alike."""
    bend = np.full(20, 0.8)
    upper = np.tile([0.0, 0, -1], (20, 1))
    lower = np.stack([np.sin(bend), 0 * bend, -np.cos(bend)], axis=1)  # the shank forward, as an elbow bends
    still, left = np.tile(rotation.IDENTITY, (20, 1)), np.array([0.0, 1, 0])
    taken = limbs.flexion_axis(still, (upper, lower), left, sideways=np.tile(left, (20, 1)))
    np.testing.assert_allclose(taken, left, atol=1e-9)


def test_the_steady_axis_does_not_see_a_flip() -> None:
    """The carried axis flips for a while; where the limb is bent its own plane holds it, where straight its neighbours do."""
    count = 200
    bend = 0.9 * (np.sin(np.linspace(0, 6 * np.pi, count)) > 0)
    upper = np.tile([0.0, 0, -1], (count, 1))
    lower = np.stack([-np.sin(bend), 0 * bend, -np.cos(bend)], axis=1)
    carried = np.tile([0.0, 1, 0], (count, 1))
    carried[60:90] *= -1.0
    axis = rotation.unit(limbs.steady_axis(carried, (upper, lower), 60.0))
    assert (axis @ [0.0, 1, 0]).min() > 0.999


def test_two_bones_reach_where_they_should() -> None:
    rng = np.random.default_rng(0)
    step, axis = 0.5 * rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    step *= (rng.uniform(0.15, 0.85, 60) / np.linalg.norm(step, axis=1))[:, None]
    upper, lower = limbs.two_bone(step, 0.5, 0.4, axis)
    np.testing.assert_allclose(0.5 * upper + 0.4 * lower, step, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1.0, atol=1e-12)
    assert (np.einsum("ti,ti->t", np.cross(upper, lower), axis) > 0).all()  # bent about the axis, not against it


def test_two_bones_point_at_what_is_out_of_reach() -> None:
    step = np.array([[3.0, 0, 0]])
    upper, lower = limbs.two_bone(step, 0.5, 0.4, np.array([[0.0, 0, 1]]))
    assert (0.5 * upper + 0.4 * lower)[0, 0] > 0.89
    assert upper[0, 0] > 0.95
    assert lower[0, 0] > 0.95


def test_intervals() -> None:
    flags = np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)
    assert targets.intervals(flags) == [(0, 2), (4, 5), (6, 7)]
    assert targets.intervals(np.zeros(3, bool)) == []
    assert targets.intervals(np.ones(3, bool)) == [(0, 3)]


# --- what cannot be retargeted


@pytest.mark.parametrize(
    ("missing", "text"),
    [("root", "no root (hips) joint was found"), ("left_leg", "two legs of at least hip and knee are needed")],
)
def test_a_source_without_hips_or_legs_is_refused(missing: str, text: str) -> None:
    chains = {role: chain for role, chain in ROLES.chains.items() if role != missing}
    with pytest.raises(InputError) as caught:
        source.Source(MOTION, chains)
    assert str(caught.value) == f"performance: {text}"
    assert "map" in str(caught.value.hint)


def test_a_limb_without_an_end_is_refused() -> None:
    skeleton = Skeleton(
        ("hips", "l_thigh", "l_shank", "r_thigh", "r_shank"),
        np.array([-1, 0, 1, 0, 3]),
        np.array([[0, 0, 0], [0, 0.1, 0], [0, 0, -0.4], [0, -0.1, 0], [0, 0, -0.4]]),
        np.zeros(5, dtype=bool),
    )
    motion = Motion("legs", skeleton, 30.0, np.zeros((5, 3)), np.tile(rotation.IDENTITY, (5, 5, 1)))
    chains = {"root": ("hips",), "left_leg": ("l_thigh", "l_shank"), "right_leg": ("r_thigh", "r_shank")}
    with pytest.raises(InputError, match="joint 'l_shank' ends a limb but has no end point"):
        source.Source(motion, chains).direction("left_leg", 1)


def test_a_map_with_a_joint_the_source_lacks_is_refused() -> None:
    mapping = Mapping({**ROLES.chains, "head": ("nek",)}, 1.0, "z")
    with pytest.raises(InputError, match="role head names joint 'nek'") as caught:
        retarget(MOTION, mapping, SOURCE, contacts.detect(MOTION, ROLES))
    assert str(caught.value.hint).startswith("did you mean neck")


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_few_frames_are_retargeted_too(body: Character, frames: int) -> None:
    out = onto(body, MOTION.slice(2 * STAND, 2 * STAND + frames))
    assert len(out.qpos) == frames
    np.testing.assert_allclose(np.linalg.norm(body.layout.quats(out.qpos), axis=-1), 1.0, atol=1e-9)
