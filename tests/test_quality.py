"""The measures: against hand-computed numbers, and that they leave open what they cannot know."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from good_clip import BodyRoles, jump, make_good_clip, source_of, walk

from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip, CycleOffset, Trajectory
from motion.errors import InputError
from motion.rotation import Array
from retarget import quality
from retarget.measures import THRESHOLDS, Measure, Measures, Threshold, verdict
from retarget.sampled import Sampled, longest

BODIES = ("humanoid", "atlas")


@pytest.fixture(scope="module", params=BODIES)
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def trajectory(character: Character, qpos: Array, fps: float = 60.0, **flags: np.ndarray) -> Trajectory:
    return Trajectory("test", character.name, character.specs, fps, qpos, flags)


def standing(character: Character, seconds: float = 1.0) -> Array:
    return np.repeat(character.rest[None], round(60 * seconds) + 1, axis=0)


def measured(character: Character, qpos: Array) -> Measures:
    flags = {foot: np.ones(len(qpos), dtype=bool) for foot in character.feet}
    return quality.intrinsic(trajectory(character, qpos, **flags), character)


# ---------------------------------------------------------------- resampling


def test_resampling_is_smooth(humanoid: Character) -> None:
    """A sine of 2 Hz at 60 Hz: its acceleration at 120 Hz is the formula's; linear interpolation would be off by 100 %."""
    knee = humanoid.layout.qpos_at[humanoid.joint("left_knee")]
    dof = humanoid.layout.qvel_at[humanoid.joint("left_knee")]
    t = np.arange(121) / 60
    qpos = np.repeat(humanoid.rest[None], len(t), axis=0)
    qpos[:, knee] = np.sin(2 * np.pi * 2 * t)
    sampled = Sampled.of(trajectory(humanoid, qpos), humanoid)
    fine = np.arange(sampled.count) * sampled.dt
    assert sampled.dt == pytest.approx(1 / 120)
    np.testing.assert_allclose(sampled.qpos[:, knee], np.sin(4 * np.pi * fine), atol=1e-4)
    acceleration = -((4 * np.pi) ** 2) * np.sin(4 * np.pi * fine)
    np.testing.assert_allclose(sampled.derivatives[1][12:-12, dof], acceleration[12:-12], atol=0.02 * (4 * np.pi) ** 2)


def test_a_loop_that_turns_goes_on_across_its_wrap(humanoid: Character) -> None:
    """Walking a circle: root speed and turning rate are the same in every frame, the first and last included."""
    count, yaw = 72, np.pi / 3
    theta = yaw * np.arange(count) / count
    qpos = np.repeat(humanoid.rest[None], count, axis=0)
    qpos[:, 0], qpos[:, 1] = np.cos(theta), np.sin(theta)
    qpos[:, 3:7] = rotation.from_yaw(theta)
    offset = CycleOffset(np.zeros(3), yaw)
    clip = Clip(
        *("circle", humanoid.name, True, 1.2, humanoid.specs, np.arange(count) / count, qpos),
        *(np.zeros((count, humanoid.layout.nv)), {}, offset),
    )
    qvel, qacc = Sampled.of(clip, humanoid).derivatives
    np.testing.assert_allclose(np.linalg.norm(qvel[:, :2], axis=1), yaw / 1.2, rtol=1e-4)
    np.testing.assert_allclose(qvel[:, 5], yaw / 1.2, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(qacc[:, :2], axis=1), (yaw / 1.2) ** 2, rtol=1e-2)


def test_a_step_stands_only_between_flagged_samples(humanoid: Character) -> None:
    flags = np.array([True, True, False, True, True, True])
    clip = trajectory(humanoid, np.repeat(humanoid.rest[None], 6, axis=0), left_foot=flags)
    stance = Sampled.of(clip, humanoid).stance("left_foot")
    assert stance.tolist() == [True, True, False, False, False, False, True, True, True, True]


def test_longest_run() -> None:
    assert longest(np.array([0, 1, 0, 1, 1, 0], dtype=bool)) == 3
    assert longest(np.zeros(3, dtype=bool)) == 0


# ---------------------------------------------------------------- the ground


@pytest.mark.parametrize("plan", [walk, jump])
def test_a_good_clip_passes(body: Character, plan) -> None:
    clip = make_good_clip(body, plan)
    source, roles = source_of(clip, body), BodyRoles.of(body)
    found = quality.verdict(quality.intrinsic(clip, body) | quality.fidelity(clip, body, source, roles))
    assert found.passed, [str(check) for check in found.checks if check.status == "fail"]
    assert found.kind == "upright"


def test_a_steady_slide_is_its_speed(humanoid: Character) -> None:
    qpos = standing(humanoid)
    qpos[:, 1] += 0.05 * np.arange(61) / 60
    found = measured(humanoid, qpos)
    assert found["slide_cm_s"].value == pytest.approx(5.0, rel=1e-6)
    assert found["slide_cm_s"].p95 == pytest.approx(5.0, rel=1e-6)
    assert found["drift_cm"].value == pytest.approx(5.0, rel=1e-6)


def test_a_foot_that_slides_back_has_not_drifted(humanoid: Character) -> None:
    qpos = standing(humanoid)
    qpos[:, 1] += 0.02 * np.sin(2 * np.pi * np.arange(61) / 60)
    found = measured(humanoid, qpos)
    assert found["drift_cm"].value == pytest.approx(0.0, abs=1e-6)
    assert found["slide_cm_s"].value == pytest.approx(8.0, rel=1e-2)


def test_drift_is_one_stance_across_the_wrap(humanoid: Character) -> None:
    """A stance of half a cycle, cut by the wrap of a clip that turns 90° a cycle, drifts 1 cm along the body's own x."""
    count = 60
    share = np.arange(count) / count
    theta = np.interp(share, [0.0, 0.3, 0.7, 1.0], [0.0, 0.0, np.pi / 2, np.pi / 2])
    qpos = np.repeat(humanoid.rest[None], count, axis=0)
    ahead = 0.05 * (np.minimum(share, 0.25) + np.maximum(share - 0.75, 0.0))
    qpos[:, 0] = np.where(share < 0.5, ahead, 0.0)
    qpos[:, 1] = np.where(share < 0.5, 0.0, ahead)
    qpos[:, 3:7] = rotation.from_yaw(theta)
    last = np.array([0.0, 0.025, 0.0])
    flags = (share <= 0.2) | (share >= 0.8)
    clip = Clip(
        *("turn", humanoid.name, True, 1.0, humanoid.specs, share, qpos, np.zeros((count, humanoid.layout.nv))),
        *({"left_foot": flags, "right_foot": flags}, CycleOffset(last, np.pi / 2)),
    )
    found = quality.intrinsic(clip, humanoid)
    assert found["drift_cm"].samples == 2
    assert found["drift_cm"].value == pytest.approx(5.0 * 0.4, rel=0.05)


def test_a_rolling_ball_does_not_slide(tmp_path: Path) -> None:
    (tmp_path / "body.urdf").write_text(
        '<robot name="ball"><link name="ball">'
        '<inertial><mass value="1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
        '<collision><geometry><sphere radius="0.5"/></geometry></collision></link></robot>'
    )
    (tmp_path / "character.toml").write_text('description = "a ball"\nfeet = ["ball"]\n[roles]\n')
    ball = Character.load(tmp_path)
    qpos = standing(ball)
    angle = 2.0 * np.arange(61) / 60
    qpos[:, 0] = 0.5 * angle
    assert measured(ball, qpos)["slide_cm_s"].value == pytest.approx(100.0)
    qpos[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), angle)
    assert measured(ball, qpos)["slide_cm_s"].value == pytest.approx(0.0, abs=0.02)


def test_height_above_and_below_the_ground(humanoid: Character) -> None:
    qpos = standing(humanoid)
    qpos[:, 2] += np.where(np.arange(61) < 30, 0.004, -0.007)
    found = measured(humanoid, qpos)
    assert found["float_cm"].value == pytest.approx(0.4, abs=0.05)
    assert found["penetration_cm"].p95 == pytest.approx(0.7, abs=0.02)
    assert found["penetration_cm"].where in humanoid.feet


def test_agreement_counts_both_kinds_of_error(humanoid: Character) -> None:
    """One foot of two is not flagged for half of the time: three quarters agree."""
    flags = np.ones(61, dtype=bool)
    half = np.arange(61) < 30
    clip = trajectory(humanoid, standing(humanoid), left_foot=half, right_foot=flags)
    found = quality.intrinsic(clip, humanoid)["contact_agreement"]
    assert found.value == pytest.approx(0.75, abs=0.01)
    assert found.where == "left_foot"
    assert found.time == pytest.approx(0.5, abs=0.02)


def test_airborne_and_kind(humanoid: Character) -> None:
    qpos = standing(humanoid)
    qpos[:30, 2] += 0.05
    sampled = Sampled.of(trajectory(humanoid, qpos), humanoid)
    assert sampled.airborne.mean() == pytest.approx(0.5, abs=0.02)
    assert sampled.kind == "upright"
    lying = standing(humanoid)
    lying[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.pi / 2)
    lying[:, 2] = 0.12
    assert Sampled.of(trajectory(humanoid, lying), humanoid).kind == "floor"


# ---------------------------------------------------------------- time and joints


def joint_clip(character: Character, angle: Array) -> Measures:
    qpos = np.repeat(character.rest[None], len(angle), axis=0)
    qpos[:, character.layout.qpos_at[character.joint("left_elbow")]] = angle
    return measured(character, qpos)


def test_pop_of_a_jump_and_of_a_spike(humanoid: Character) -> None:
    steady = 0.5 + 0.05 * np.arange(40)
    assert joint_clip(humanoid, steady)["pop"].value == pytest.approx(1.0)
    jumped = steady + 0.2 * (np.arange(40) >= 20)
    found = joint_clip(humanoid, jumped)["pop"]
    assert found.value == pytest.approx(5.0)
    assert (found.where, found.frame) == ("left_elbow", 20)
    spiked = steady + 0.3 * (np.arange(40) == 20)
    assert joint_clip(humanoid, spiked)["pop"].value == pytest.approx(0.5 * (0.35 + 0.25) / 0.05)


def test_stillness_is_no_pop(humanoid: Character) -> None:
    rng = np.random.default_rng(1)
    assert joint_clip(humanoid, 0.5 + 1e-4 * rng.standard_normal(60))["pop"].value < 0.5
    turning = 0.5 + 0.4 * np.cos(2 * np.pi * np.arange(60) / 60)
    assert joint_clip(humanoid, turning)["pop"].value < 1.5


def test_limits_of_hinges_and_balls(humanoid: Character) -> None:
    qpos = standing(humanoid)
    knee = humanoid.joints[humanoid.joint("right_knee")]
    qpos[7, humanoid.layout.qpos_at[humanoid.joint("right_knee")]] = knee.upper + 0.1
    found = measured(humanoid, qpos)["limit_excess_deg"]
    assert found.value == pytest.approx(np.rad2deg(0.1))
    assert (found.where, found.frame) == ("right_knee", 7)
    neck = humanoid.joints[humanoid.joint("neck")]
    at = humanoid.layout.qpos_at[humanoid.joint("neck")]
    qpos = standing(humanoid)
    qpos[3, at : at + 4] = rotation.from_axis_angle(neck.twist_axis, neck.upper + 0.2)
    assert measured(humanoid, qpos)["limit_excess_deg"].value == pytest.approx(np.rad2deg(0.2))
    across = rotation.unit(np.cross(neck.twist_axis, [1.0, 0.0, 0.0]))
    qpos[3, at : at + 4] = rotation.from_axis_angle(across, neck.swing_limit + 0.3)
    assert measured(humanoid, qpos)["limit_excess_deg"].value == pytest.approx(np.rad2deg(0.3))


def test_joint_speed(humanoid: Character) -> None:
    found = joint_clip(humanoid, 0.2 + 0.1 * np.arange(20))["joint_speed_max"]
    assert found.value == pytest.approx(6.0)
    assert found.where == "left_elbow"


# ---------------------------------------------------------------- physics


def test_standing_falling_and_hanging(body: Character) -> None:
    found = measured(body, standing(body))
    assert found["root_residual"].value < 1e-3
    assert found["torque_ratio"].value < 0.2
    t = np.arange(61) / 60
    falling = standing(body)
    falling[:, 2] += 1.0 + 4.0 * t - 0.5 * 9.81 * t**2
    assert measured(body, falling)["root_residual"].value < 1e-3
    hanging = standing(body)
    hanging[:, 2] += 1.0
    assert measured(body, hanging)["root_residual"].value == pytest.approx(1.0, rel=1e-2)


def test_a_push_needs_friction(tmp_path: Path) -> None:
    """A box shaken sideways at 0.5 g is held by friction; at 1.5 g some 0.5 / √2 body weights are left over."""
    (tmp_path / "body.urdf").write_text(
        '<robot name="box"><link name="box"><inertial><origin xyz="0 0 -0.84"/><mass value="10"/>'
        '<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
        '<collision><geometry><box size="1 1 1.7"/></geometry></collision></link></robot>'
    )
    (tmp_path / "character.toml").write_text('description = "a box"\nfeet = ["box"]\n[roles]\n')
    box = Character.load(tmp_path)
    pulse = 2 * np.pi * 9.0
    found = []
    for share in (0.5, 1.5):
        qpos = standing(box)
        qpos[:, 0] += share * 9.81 / pulse**2 * np.sin(pulse * np.arange(61) / 60)
        found.append(measured(box, qpos)["root_residual"].value)
    assert found[0] < 0.05
    assert 0.2 < found[1] < 0.4


def test_arms_through_the_body(humanoid: Character) -> None:
    qpos = standing(humanoid)
    assert measured(humanoid, qpos)["self_penetration_cm"].value == 0.0
    at = humanoid.layout.qpos_at[humanoid.joint("left_shoulder")]
    qpos[:, at : at + 4] = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), -1.0)
    assert measured(humanoid, qpos)["self_penetration_cm"].value > 2.0


# ---------------------------------------------------------------- beside the source


def beside(clip: Clip, character: Character, original: Clip) -> Measures:
    return quality.fidelity(clip, character, source_of(original, character), BodyRoles.of(character))


def test_a_copy_is_faithful(body: Character) -> None:
    clip = make_good_clip(body)
    found = beside(clip, body, clip)
    assert found["direction_error_deg"].value == pytest.approx(0.0, abs=1e-3)
    assert found["jerk_ratio"].value == pytest.approx(1.0, abs=1e-2)
    assert found["side"].value == 1.0
    assert found["heading_error_deg"].value == pytest.approx(0.0, abs=1e-6)
    skate = found["skate"]
    assert skate.reference == pytest.approx(skate.value, rel=0.05)


def test_direction_error_is_the_angle(humanoid: Character) -> None:
    """Both upper arms 30° off: 4 of 9 segments (the forearms turn along)."""
    clip = make_good_clip(humanoid)
    qpos = clip.qpos.copy()
    for side in ("left", "right"):
        at = humanoid.layout.qpos_at[humanoid.joint(f"{side}_shoulder")]
        turn = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.deg2rad(30.0))
        qpos[:, at : at + 4] = rotation.multiply(turn, qpos[:, at : at + 4])
    found = beside(replace(clip, qpos=qpos), humanoid, clip)["direction_error_deg"]
    assert found.value == pytest.approx(30.0 * 4 / 9, rel=1e-3)
    assert found.where is not None
    assert found.where.endswith("arm")


def test_the_trunk_is_compared_from_rest_to_rest(humanoid: Character) -> None:
    """A source whose shoulders sit 5 cm further forward at rest is followed without error; a bent trunk is not."""
    clip = make_good_clip(humanoid)
    source = source_of(clip, humanoid)
    skeleton = source.skeleton
    offsets = skeleton.offsets.copy()
    for side in ("left", "right"):
        offsets[skeleton.index(f"{side}_shoulder"), 0] += 0.05
    moved = replace(source, skeleton=replace(skeleton, offsets=offsets))
    found = quality.fidelity(clip, humanoid, moved, BodyRoles.of(humanoid))
    assert found["direction_error_deg"].value == pytest.approx(0.0, abs=0.05)
    qpos = clip.qpos.copy()
    at = humanoid.layout.qpos_at[humanoid.joint("chest")]
    qpos[:, at : at + 4] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), 0.3)
    bent = beside(replace(clip, qpos=qpos), humanoid, clip)["direction_error_deg"]
    assert bent.value is not None
    assert bent.value > 1.0


def test_directions_across_morphologies(humanoid: Character) -> None:
    """A standing T-Rex points as a standing human does: legs as wholes and trunk from rest to rest, arms not at all."""
    trex, clip = Character.load("trex"), make_good_clip(humanoid)
    source = source_of(replace(clip, qpos=np.repeat(humanoid.rest[None], len(clip.qpos), axis=0)), humanoid)
    qpos = np.repeat(trex.rest[None], round(60 * source.duration) + 1, axis=0)

    def found(values: Array) -> Measure:
        made = quality.fidelity(trajectory(trex, values), trex, source, BodyRoles.of(humanoid))
        return made["direction_error_deg"]

    still = found(qpos)
    assert still.value == pytest.approx(0.0, abs=0.5)
    assert still.samples == 3 * (round(120 * source.duration) + 1)
    at = trex.layout.qpos_at[trex.joint("left_hip")]
    swung = qpos.copy()
    swung[:, at : at + 4] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.deg2rad(30.0))
    assert found(swung).value == pytest.approx(30.0 / 3, abs=0.5)
    assert found(swung).where == "left leg"
    pitched = qpos.copy()
    pitched[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), np.deg2rad(30.0))
    assert found(pitched).value == pytest.approx(30.0, abs=0.5)


def test_heading_error_is_the_angle(humanoid: Character) -> None:
    clip = make_good_clip(humanoid)
    turn = rotation.from_yaw(np.deg2rad(8.0))
    qpos = clip.qpos.copy()
    qpos[:, :3] = rotation.rotate(turn, qpos[:, :3])
    qpos[:, 3:7] = rotation.multiply(turn, qpos[:, 3:7])
    offset = CycleOffset(rotation.rotate(turn, clip.cycle_offset.translation), 0.0)
    found = beside(replace(clip, qpos=qpos, cycle_offset=offset), humanoid, clip)
    assert found["heading_error_deg"].value == pytest.approx(8.0, abs=1e-3)


def test_jitter_shows_as_jerk(humanoid: Character) -> None:
    clip = make_good_clip(humanoid)
    qpos = clip.qpos.copy()
    qpos[:, 2] += 0.002 * np.sin(2 * np.pi * 10 * clip.duration * clip.phase)
    found = beside(replace(clip, qpos=qpos), humanoid, clip)["jerk_ratio"]
    assert found.value is not None
    assert found.value > 1.2
    assert found.where in ("pelvis", "head")


def test_a_held_pose_has_no_jerk_to_compare_with(humanoid: Character) -> None:
    """The rounding of a file is not motion; a centimetre's sway is."""
    still = trajectory(humanoid, np.tile(humanoid.rest, (120, 1)))
    noise = np.random.default_rng(0).normal(scale=1e-9, size=still.qpos.shape[0])
    for sway, measured in ((noise, False), (0.01 * np.sin(np.arange(120) / 5), True)):
        qpos = still.qpos.copy()
        qpos[:, 1] += sway
        original = replace(still, qpos=qpos)
        source = humanoid.to_motion(original)
        found = quality.fidelity(original, humanoid, source, BodyRoles.of(humanoid))["jerk_ratio"]
        assert (found.value is not None) == measured, found
        assert found.note == (None if measured else "the source holds a pose")


def test_a_stretch_of_the_source(humanoid: Character) -> None:
    """The second half of a jump beside its own stretch is faithful, beside the first half it is not."""
    whole = make_good_clip(humanoid, jump)
    half = len(whole.qpos) // 2
    part = trajectory(humanoid, whole.qpos[half:], whole.fps)
    source, roles = source_of(whole, humanoid), BodyRoles.of(humanoid)
    stretch = (half / whole.fps, whole.duration)
    same = quality.fidelity(part, humanoid, source, roles, interval=stretch)
    other = quality.fidelity(part, humanoid, source, roles, interval=(0.0, stretch[1] - stretch[0]))
    assert same["direction_error_deg"].value == pytest.approx(0.0, abs=1e-3)
    assert other["direction_error_deg"].value > 1.0
    with pytest.raises(InputError, match="expected an interval within"):
        quality.fidelity(part, humanoid, source, roles, interval=(1.0, 3.0))


# ---------------------------------------------------------------- what is left open, and the verdict


def test_too_little_is_not_measured(humanoid: Character) -> None:
    clip = trajectory(humanoid, standing(humanoid)[:4])
    found = quality.intrinsic(clip, humanoid)
    for name in ("slide_cm_s", "drift_cm", "float_cm", "pop", "seam", "seam_velocity"):
        assert found[name].value is None, name
        assert found[name].note, name
    assert not any(check.status == "fail" and check.found is None for check in quality.verdict(found).checks)
    made = make_good_clip(humanoid, jump)
    slow = replace(source_of(made, humanoid), fps=10.0)
    beside_slow = quality.fidelity(made, humanoid, slow, BodyRoles.of(humanoid))
    assert beside_slow["jerk_ratio"].value is None
    assert beside_slow["heading_error_deg"].value is None


def test_without_a_source_fidelity_is_not_checked(humanoid: Character) -> None:
    found = quality.verdict(quality.intrinsic(make_good_clip(humanoid), humanoid))
    status = {check.measure: check.status for check in found.checks}
    assert status["direction_error_deg"] == status["side"] == status["skate"] == "not checked"


def test_a_clip_of_another_body_is_refused(humanoid: Character) -> None:
    with pytest.raises(InputError, match="joints are not those of atlas"):
        quality.intrinsic(make_good_clip(humanoid), Character.load("atlas"))
    clip = replace(make_good_clip(humanoid), contacts={"left_fot": np.zeros(72, dtype=bool)}, cycle_offset=NO_OFFSET)
    with pytest.raises(InputError, match="left_fot") as caught:
        quality.intrinsic(clip, humanoid)
    assert "left_foot" in (caught.value.hint or "")


def test_limits_scale_with_height_and_source() -> None:
    def check(measure: Measure, row: Threshold, scale: float = 1.0, *others: Measure) -> tuple[str, float | None]:
        everything = {m.name: m for m in (measure, *others)}
        found = verdict(Measures("upright", scale, everything), (row,)).checks[0]
        return found.status, found.limit

    long = Threshold("slide_cm_s", 1.0, "", length=True)
    assert check(Measure("slide_cm_s", 1.5), long) == ("fail", 1.0)
    assert check(Measure("slide_cm_s", 1.5), long, 2.0) == ("pass", 2.0)
    skate = Threshold("skate", 0.5, "", length=True, per_reference=1.1)
    assert check(Measure("skate", 2.0, reference=2.0), skate) == ("pass", pytest.approx(2.7))
    fast = next(row for row in THRESHOLDS["upright"] if row.measure == "joint_speed_max")
    assert check(Measure("joint_speed_max", 25.0), fast)[0] == "fail"
    assert check(Measure("joint_speed_max", 25.0), fast, 1.0, Measure("source_joint_speed", 30.0))[0] == "pass"
    agree = Threshold("contact_agreement", 0.95, "", at_least=True)
    assert check(Measure("contact_agreement", 0.9), agree)[0] == "fail"
    assert check(Measure("contact_agreement", None), agree)[0] == "not measured"
    assert check(Measure("pop", 1.0), agree)[0] == "not checked"


def test_measures_survive_json(humanoid: Character) -> None:
    found = quality.intrinsic(make_good_clip(humanoid), humanoid)
    again = Measures.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert again["slide_cm_s"].value == pytest.approx(found["slide_cm_s"].value, rel=1e-5)


def test_a_long_clip_takes_seconds(humanoid: Character) -> None:
    """1,800 frames; the limit leaves room for a busy machine."""
    clip = make_good_clip(humanoid)
    cycles = [clip.cycle_offset.apply(clip.qpos, n) for n in range(25)]
    flags = {link: np.tile(f, 25) for link, f in clip.contacts.items()}
    long = trajectory(humanoid, np.concatenate(cycles), clip.fps, **flags)
    began = time.process_time()
    found = quality.intrinsic(long, humanoid)
    assert time.process_time() - began < 6.0
    assert found["slide_cm_s"].samples > 3000
