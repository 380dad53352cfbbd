"""Overlaps are found where they are, and the solve opens them."""

from __future__ import annotations

import numpy as np
import pytest

from characters import dynamics, kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.rotation import Array
from retarget.assemble import Placed, Rows, Tree
from retarget.overlaps import ALLOWED, DEEPEST, Overlaps
from retarget.solve import SolveSettings, solve
from retarget.targets import Targets

FRAMES = 40
OFF = SolveSettings(self_overlap=0.0)


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


def aimed(body: Character, qpos: Array) -> Targets:
    """Targets that ask for qpos (T, nq) with no foot on the ground."""
    pose = kinematics.forward(body, qpos)
    above = shapes.link_heights(body, pose)
    return Targets(
        fps=60.0,
        qpos=qpos,
        root=qpos[:, :3],
        root_weight=np.full(3, 4.0),
        rotations=pose.rotations,
        bones=np.tile([0.0, 0.0, 1.0], (len(body.links), 1)),
        across=np.ones(len(body.links)),
        about=np.ones(len(body.links)),
        stance={foot: np.zeros(len(qpos), dtype=bool) for foot in body.feet},
        clearance={foot: above[:, body.link(foot)] for foot in body.feet},
    )


def rows_at(body: Character, qpos: Array, weight: float, swing: dict[int, Array] | None = None) -> Rows:
    rows = Rows(len(body.links), len(qpos))
    Overlaps(body, len(qpos)).add(rows, Placed.of(kinematics.forward(body, qpos)), qpos, weight, swing or {})
    return rows


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


def test_the_force_is_the_gradient_of_the_cost(trex: Character) -> None:
    """By finite differences of the cost along the hip's pitch, at a frame well inside."""
    qpos, step, weight = raised(trex, 0.9)[FRAMES // 2 : FRAMES // 2 + 1], 1e-5, 100.0
    at = trex.layout.qvel_at[trex.joint("left_hip")]
    move = np.zeros((1, trex.layout.nv))
    move[:, at + 1] = step
    cost = [rows_at(trex, trex.layout.integrate(qpos, s * move), weight).cost[0] for s in (-1.0, 1.0)]
    tree = Tree(trex)
    columns = tree.columns(Placed.of(kinematics.forward(trex, qpos)))
    _, right = rows_at(trex, qpos, weight).normal_equations(tree, columns)
    slope = 0.5 * (cost[1] - cost[0]) / (2 * step)
    assert abs(slope) > 1e-3
    assert right[at + 1, 0] == pytest.approx(-slope, rel=0.05)


def test_a_body_without_overlaps_is_left_alone(trex: Character) -> None:
    rows = rows_at(trex, raised(trex, 0.1), 1.0)
    assert not rows.matrix.any()
    assert not rows.vector.any()
    assert not rows.cost.any()
    targets = aimed(trex, raised(trex, 0.1))
    np.testing.assert_array_equal(solve(trex, targets).qpos, solve(trex, targets, OFF).qpos)


def test_a_thigh_leaves_the_chest_smoothly(trex: Character) -> None:
    targets = aimed(trex, raised(trex, 0.9))
    without, done = solve(trex, targets, OFF).qpos, solve(trex, targets).qpos
    assert dynamics.self_penetration(trex, without).max() > 0.01
    assert dynamics.self_penetration(trex, done).max() < ALLOWED + 0.002
    moved = trex.layout.difference(without, done)
    assert np.abs(np.diff(moved, 2, axis=0)).max() < 0.02


def test_between_feet_prints_decide_while_one_stands() -> None:
    """Legs turned inward until the feet overlap: they push each other apart only as far as both swing."""
    body = Character.load("atlas")
    qpos = np.repeat(body.rest[None], FRAMES, axis=0)
    for joint, angle in (("left_hip", -0.1), ("right_hip", 0.1)):
        at = body.layout.qpos_at[body.joint(joint)]
        qpos[:, at : at + 4] = rotation.from_axis_angle(np.array([1.0, 0.0, 0.0]), np.float64(angle))
    left, right = (body.link(foot) for foot in body.feet)
    found = dynamics.overlaps(body, qpos).deeper(ALLOWED)
    between = np.isin(found.links, (left, right)).all(axis=1)
    assert between.any()
    pushed = np.bincount(found.frame, np.where(between, np.minimum(found.depth - ALLOWED, DEEPEST) ** 2, 0.0), FRAMES)
    free = {left: np.linspace(0.0, 1.0, FRAMES), right: np.linspace(0.0, 0.5, FRAMES)}
    whole, part = (rows_at(body, qpos, 1.0, swing).cost for swing in ({}, free))
    np.testing.assert_allclose(whole - part, pushed * (1.0 - free[right]), atol=1e-12)
