"""A body is a folder: every one loads, is sound and stands, and no code knows any of them."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from characters import character as characters
from characters import check, kinematics, shapes
from characters.character import INSTALLED, Character

ROOT = INSTALLED.parent
BODIES = sorted(path.parent.name for path in INSTALLED.glob("*/character.toml"))


def test_the_bodies_that_ship() -> None:
    assert BODIES == ["atlas", "dog", "dragon", "humanoid", "trex"]


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_sound(name: str) -> None:
    assert [str(f) for f in check.check(name)] == []


@pytest.mark.parametrize("name", BODIES)
def test_a_body_stands_on_its_feet(name: str) -> None:
    body = Character.load(name)
    low = shapes.link_heights(body, kinematics.forward(body, body.rest[None]))[0]
    feet = [low[body.link(foot)] for foot in body.feet]
    assert min(low) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(feet, 0.0, atol=0.01)


def test_the_dog_weighs_what_a_large_dog_does() -> None:
    found = characters.describe(Character.load("dog"))
    assert 25.0 < found["mass"] < 35.0
    assert found["ball_joints"] + found["hinge_joints"] == found["links"] - 1


def test_no_code_names_a_body() -> None:
    """But for the value an argument or an option has when none is given."""
    named = []
    for path in sorted(ROOT.rglob("*.py")):
        where = path.relative_to(ROOT)
        if where.parts[0] not in ("motion", "characters", "retarget", "train", "pipeline"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defaults = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.arguments):
                defaults |= {id(d) for d in (*node.defaults, *node.kw_defaults)}
            elif isinstance(node, ast.keyword) and node.arg == "default":
                defaults.add(id(node.value))
        named += [
            f"{where}:{node.lineno} {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and node.value in BODIES and id(node) not in defaults
        ]
    assert named == []
