"""Overlaps are found where they are, and opened by the joints between the links."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from characters import dynamics, kinematics
from characters.character import Character
from motion import rotation
from motion.rotation import Array
from retarget.apart import apart
from retarget.targets import Targets

FRAMES = 40


@pytest.fixture(scope="module")
def trex() -> Character:
    return Character.load("trex")


def raised(body: Character, angle: float, joint: str = "left_hip") -> Array:
    """qpos (T, nq) at rest, a ball joint bent forward and back again."""
    qpos = np.repeat(body.rest[None], FRAMES, axis=0)
    at = body.layout.qpos_at[body.joint(joint)]
    bend = angle * np.sin(np.linspace(0.0, np.pi, FRAMES))
    qpos[:, at : at + 4] = rotation.from_axis_angle(np.array([0.0, -1.0, 0.0]), bend)
    return qpos


def aimed(body: Character, qpos: Array, stands: bool = False) -> Targets:
    links = len(body.links)
    stance = {foot: np.full(len(qpos), stands) for foot in body.feet}
    return Targets(
        fps=60.0,
        qpos=qpos,
        root=qpos[:, :3],
        root_weight=np.ones(3),
        rotations=kinematics.forward(body, qpos).rotations,
        bones=np.tile([0.0, 0.0, 1.0], (links, 1)),
        across=np.ones(links),
        about=np.ones(links),
        stance=stance,
        clearance={},
    )


def test_overlaps_agree_with_the_measure(trex: Character) -> None:
    qpos = raised(trex, 0.9)
    found = dynamics.overlaps(trex, qpos)
    worst = np.zeros(FRAMES)
    np.maximum.at(worst, found.frame, found.depth)
    np.testing.assert_allclose(worst, dynamics.self_penetration(trex, qpos), atol=1e-12)
    assert worst.max() > 0.01
    assert (np.diff(found.frame) >= 0).all()
    names = {trex.links[i].name for i in found.links[found.depth.argmax()]}
    assert names == {"chest", "left_thigh"}


def test_the_normal_is_the_way_out_of_the_first_link(trex: Character) -> None:
    """Moving the second link along it by the depth leaves no overlap: seen by the sign of the thigh's direction."""
    found = dynamics.overlaps(trex, raised(trex, 0.9))
    k = int(found.depth.argmax())
    first, second = (trex.links[i].name for i in found.links[k])
    downward = found.normal[k, 2] if second == "left_thigh" else -found.normal[k, 2]
    assert {first, second} == {"chest", "left_thigh"}
    assert downward < 0  # the thigh leaves the chest below it


def test_a_body_without_overlaps_is_left_alone(trex: Character) -> None:
    targets = aimed(trex, raised(trex, 0.1))
    assert apart(trex, targets) is targets


def test_a_thigh_leaves_the_chest_smoothly(trex: Character) -> None:
    targets = aimed(trex, raised(trex, 0.9))
    done = apart(trex, targets)
    assert (
        dynamics.self_penetration(trex, done.qpos).max() < 0.004 < dynamics.self_penetration(trex, targets.qpos).max()
    )
    np.testing.assert_array_equal(done.qpos[:, :7], targets.qpos[:, :7])
    moved = trex.layout.difference(targets.qpos, done.qpos)
    assert np.abs(np.diff(moved, 2, axis=0)).max() < 0.02
    turned = kinematics.forward(trex, done.qpos).rotations
    assert rotation.angle(turned, done.rotations).max() < 1e-6


def test_a_standing_leg_leaves_it_to_the_chest(trex: Character) -> None:
    def hip(stands: bool) -> float:
        targets = aimed(trex, raised(trex, 0.9), stands)
        moved = trex.layout.difference(targets.qpos, apart(trex, targets).qpos)
        at = trex.layout.qvel_at[trex.joint("left_hip")]
        return float(np.abs(moved[:, at : at + 3]).max())

    assert hip(True) < 0.7 * hip(False)


def test_limits_hold(trex: Character) -> None:
    targets = aimed(trex, raised(trex, 1.05))
    done = apart(trex, replace(targets, fps=30.0))
    joint = trex.joints[trex.joint("left_hip")]
    at = trex.layout.qpos_at[trex.joint("left_hip")]
    swing, twist = rotation.swing_twist(done.qpos[:, at : at + 4], joint.twist_axis)
    assert np.linalg.norm(rotation.log(swing), axis=-1).max() <= joint.swing_limit
    assert (joint.lower <= twist).all()
    assert (twist <= joint.upper).all()
