"""Clips solved again: what was damaged is mended, across the wrap too; what was good stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from good_clip import Plan, jump, make_good_clip, walk

from characters import kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.clip import Clip, CycleOffset
from motion.rotation import Array
from retarget import quality
from retarget.refine import refine, stances


@pytest.fixture(scope="module", params=["humanoid", "atlas"])
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def change(a: Clip, b: Clip) -> Array:
    return np.abs(a.layout.difference(a.qpos, b.qpos))


def measured(clip: Clip, character: Character) -> dict[str, float]:
    found = quality.intrinsic(clip, character)
    return {m.name: m.value for m in found if m.value is not None}


def around(clip: Clip) -> Array:
    """The pose before and the pose after a loop's samples."""
    return np.concatenate([clip.cycle_offset.apply(clip.qpos[-1:], -1), clip.cycle_offset.apply(clip.qpos[:1], 1)])


@pytest.mark.parametrize("plan", ["walk", "jump"])
def test_a_good_clip_stays(body: Character, plan: str) -> None:
    clip = make_good_clip(body) if plan == "walk" else make_good_clip(body, jump)
    out = refine(clip, body, ballistic=False)  # this jump is pulled down at 2.4 g: see test_flight
    moved = change(clip, out)
    assert moved[:, :3].max() < 0.01  # metres: pins give way at lift-off and touch-down
    assert moved.max() < 0.05  # a millimetre or two at the foot of a nearly straight leg
    for name in ("name", "character", "loop", "duration", "joints", "cycle_offset", "provenance"):
        assert getattr(out, name) == getattr(clip, name), name
    np.testing.assert_array_equal(out.phase, clip.phase)
    assert set(out.contacts) == set(clip.contacts)


def sliding(plan: Plan) -> None:
    """Feet and body drift 8 cm to the side and back within the cycle, which still closes."""
    drift = 0.04 * (1 - np.cos(2 * np.pi * plan.times / plan.duration))
    plan.root[:, 1] += drift
    for sole in plan.soles.values():
        sole[:, 1] += drift


def sinking(plan: Plan) -> None:
    """Everything 3 cm into the ground."""
    plan.root[:, 2] -= 0.03
    for sole in plan.soles.values():
        sole[:, 2] -= 0.03


def test_sliding_feet_are_pinned(body: Character) -> None:
    clip = make_good_clip(body, damage=sliding)
    out = refine(clip, body)
    assert measured(clip, body)["slide_cm_s"] > 8.0
    assert measured(out, body)["slide_cm_s"] < 1.0
    assert measured(out, body)["drift_cm"] < 0.3
    assert measured(out, body)["seam"] < 1.5


def test_sunken_feet_are_lifted(body: Character) -> None:
    clip = make_good_clip(body, damage=sinking)
    out = refine(clip, body)
    assert measured(clip, body)["penetration_cm"] > 2.5
    assert measured(out, body)["penetration_cm"] < 0.3
    assert measured(out, body)["float_cm"] < 0.5
    assert measured(out, body)["contact_agreement"] > 0.95


@pytest.mark.parametrize("seconds", [1.2, 6.0])
def test_a_stance_across_the_wrap_is_one_print(humanoid: Character, seconds: float) -> None:
    """The foot that stands at the wrap is where the next cycle puts it, after the damage that pulled it away is mended;
    also if it stands longer than a solve looks beyond the wrap.
    """

    def passing(plan: Plan) -> None:
        """Moving to the side as it passes the wrap."""
        drift = 0.04 * np.sin(2 * np.pi * plan.times / plan.duration)
        plan.root[:, 1] += drift
        for sole in plan.soles.values():
            sole[:, 1] += drift

    clip = make_good_clip(humanoid, lambda character: walk(character, duration=seconds), damage=passing)
    (foot,) = [link for link, flags in clip.contacts.items() if flags[0] and flags[-1]]
    out = refine(clip, humanoid)
    both = np.concatenate([out.qpos[-3:], out.cycle_offset.apply(out.qpos[:3])])
    pose = kinematics.forward(humanoid, both)
    balls = shapes.support_points(humanoid)
    link = humanoid.link(foot)
    sole = np.stack([pose.points(link, p)[:, :2] for p in balls.points[balls.link == link]], axis=1)
    assert np.linalg.norm(sole - sole[:1], axis=-1).max() < 0.002


@pytest.mark.parametrize("loop", [True, False])
def test_velocities_are_those_of_the_new_poses(humanoid: Character, loop: bool) -> None:
    clip = make_good_clip(humanoid, damage=sliding) if loop else make_good_clip(humanoid, jump, damage=sinking)
    out = refine(clip, humanoid)
    expected = out.layout.velocities(out.qpos, 1 / out.fps, after=around(out) if loop else None)
    np.testing.assert_allclose(out.qvel, expected, atol=1e-9)
    assert np.abs(out.qvel - clip.qvel).max() > 0.05


def turned(clip: Clip, yaw: float) -> Clip:
    """The same clip facing elsewhere, somewhere else."""
    there = CycleOffset(np.array([3.0, -2.0, 0.0]), yaw)
    offset = CycleOffset(rotation.rotate(rotation.from_yaw(yaw), clip.cycle_offset.translation), 0.0)
    return replace(clip, qpos=there.apply(clip.qpos), cycle_offset=offset)


@pytest.mark.parametrize("yaw", [0.8, np.pi])
def test_where_a_clip_faces_does_not_matter(humanoid: Character, yaw: float) -> None:
    clip = make_good_clip(humanoid, damage=sliding)
    out, other = refine(clip, humanoid), refine(turned(clip, yaw), humanoid)
    apart = np.abs(humanoid.layout.difference(turned(out, yaw).qpos, other.qpos))
    assert apart.max() < 1e-3


def test_a_loop_that_turns_and_flies_goes_on(humanoid: Character) -> None:
    """Nothing touches anything: a body that circles in the air keeps its poses and its turn across the wrap."""
    count, yaw = 60, 1.1
    phase = np.arange(count) / count
    qpos = np.tile(humanoid.rest, (count, 1))
    qpos[:, :2] = 2 * np.stack([np.sin(yaw * phase), 1 - np.cos(yaw * phase)], axis=1)
    qpos[:, 2] += 1.0
    qpos[:, 3:7] = rotation.from_yaw(yaw * phase)
    knee = humanoid.layout.qpos_at[humanoid.joint("left_knee")]
    joint = humanoid.joints[humanoid.joint("left_knee")]
    qpos[:, knee] = 0.25 * (joint.lower + joint.upper) * (1 + 0.3 * np.sin(2 * np.pi * phase))
    offset = CycleOffset(2 * np.array([np.sin(yaw), 1 - np.cos(yaw), 0.0]), yaw)
    layout = humanoid.layout
    before = np.concatenate([offset.apply(qpos[-1:], -1), offset.apply(qpos[:1])])
    clip = Clip(
        name="circle",
        character=humanoid.name,
        loop=True,
        duration=1.0,
        joints=humanoid.specs,
        phase=phase,
        qpos=qpos,
        qvel=layout.velocities(qpos, 1 / count, after=before),
        contacts={foot: np.zeros(count, dtype=bool) for foot in humanoid.feet},
        cycle_offset=offset,
    )
    out = refine(clip, humanoid)
    assert change(clip, out).max() < 1e-3
    np.testing.assert_allclose(out.qvel, clip.qvel, atol=0.02)


def test_the_same_bytes_twice(humanoid: Character) -> None:
    clip = make_good_clip(humanoid, damage=sliding)
    assert refine(clip, humanoid).qpos.tobytes() == refine(clip, humanoid).qpos.tobytes()


def test_a_foot_that_touches_unasked_is_held(humanoid: Character) -> None:
    """Half a stance whose flags were lost: the foot still stands there, and is flagged and pinned again."""
    clip = make_good_clip(humanoid)
    foot = humanoid.feet[0]
    flags = np.asarray(clip.contacts[foot], dtype=bool)
    lost = flags.copy()
    stands = np.flatnonzero(flags)
    lost[stands[: len(stands) // 2]] = False
    cut = replace(clip, contacts={**clip.contacts, foot: lost})
    found = stances(cut, humanoid)
    assert (found[foot] == flags).mean() > 0.95
    np.testing.assert_array_equal(
        found[humanoid.feet[1]] & clip.contacts[humanoid.feet[1]], clip.contacts[humanoid.feet[1]]
    )
    out = refine(cut, humanoid)
    assert measured(out, humanoid)["contact_agreement"] > 0.97


def test_a_foot_that_touches_for_a_moment_is_let_go(humanoid: Character) -> None:
    clip = make_good_clip(humanoid)
    foot = humanoid.feet[0]
    flags = np.asarray(clip.contacts[foot], dtype=bool)
    lost = flags.copy()
    middle = int(np.flatnonzero(flags)[len(np.flatnonzero(flags)) // 2])
    lost[middle : middle + 2] = False
    np.testing.assert_array_equal(stances(replace(clip, contacts={**clip.contacts, foot: lost}), humanoid)[foot], lost)
