"""map.toml: what is written is read back, and every slip of an editing hand is named."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from characters.character import Character
from motion.errors import InputError
from motion.motion import Skeleton
from pipeline import stages
from retarget.mapping import MapFile, Mapping

TEXT = """\
format = "mimic-map"
version = 1
unit = 0.01
up = "y"

[roles]
root = ["Hips"]
left_leg = ["LeftUpLeg", "LeftLeg", "LeftFoot"]

[weights]
left_leg = 0.5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "map.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_map_by_hand(tmp_path: Path) -> None:
    mapping = Mapping.load(written(tmp_path, TEXT))
    assert mapping.roles == {"root": ("Hips",), "left_leg": ("LeftUpLeg", "LeftLeg", "LeftFoot")}
    assert (mapping.unit, mapping.up) == (0.01, "y")
    assert mapping.weight("left_leg") == 0.5
    assert mapping.weight("root") == 1.0


@pytest.mark.parametrize(
    "name", ["mixamorig:Hips", 'a "quoted" name', "back\\slash", "Hüfte 腰", "tab\tin", "x.y[0]#z"]
)
def test_round_trip_of_any_joint_name(tmp_path: Path, name: str) -> None:
    mapping = Mapping({"root": (name, "b"), "tail": ()}, 0.0254, "z", {"tail": 0.25}, {"root": "name: hips"})
    mapping.save(tmp_path / "map.toml", "two lines\nof comment")
    text = (tmp_path / "map.toml").read_text("utf-8")
    assert text.startswith("# two lines\n# of comment\n")
    assert "# name: hips" in text
    back = Mapping.load(tmp_path / "map.toml")
    assert (back.roles, back.unit, back.up, back.weights) == (mapping.roles, mapping.unit, mapping.up, mapping.weights)


def test_the_inferred_map_of_a_sample_is_read_back(tmp_path: Path, samples: Path) -> None:
    mapping, comment = stages.map_(samples / "walk.bvh", "humanoid")
    mapping.save(tmp_path / "map.toml", comment)
    back = Mapping.load(tmp_path / "map.toml")
    assert back.roles == mapping.roles
    assert (back.unit, back.up) == (mapping.unit, mapping.up)
    assert set(Character.load("humanoid").roles) <= set(back.roles)


@pytest.mark.parametrize(
    ("old", "new", "text", "hint"),
    [
        ("unit = 0.01", "units = 0.01", "unknown key units", "did you mean unit"),
        ("unit = 0.01\n", "", "missing key unit", None),
        ("unit = 0.01", "unit = 0.0", "unit: input should be greater than 0, found 0.0", None),
        ("unit = 0.01", "unit = inf", "unit: input should be a finite number, found inf", None),
        ("unit = 0.01", 'unit = "cm"', "unit: input should be a valid number, found 'cm'", None),
        ('up = "y"', 'up = "Y"', "up: input should be 'x', 'y' or 'z', found 'Y'", None),
        ("version = 1", "version = 2", "version: input should be 1, found 2", None),
        ("mimic-map", "mimic-clip", "format: input should be 'mimic-map', found 'mimic-clip'", None),
        ('root = ["Hips"]', 'root = "Hips"', "roles.root: input should be a valid list, found 'Hips'", None),
        ('["Hips"]', "[7]", "roles.root.0: input should be a valid string, found 7", None),
        ("left_leg = [", "left_lag = [", "unknown role left_lag", "did you mean left_leg"),
        ("left_leg = 0.5", "leftleg = 0.5", "unknown role leftleg", "did you mean left_leg"),
        ("left_leg = 0.5", "left_leg = -1.0", "weights.left_leg: input should be greater than or equal to 0", None),
        ("left_leg = 0.5", "left_leg = nan", "weights.left_leg: ", None),
    ],
)
def test_slips_are_named(tmp_path: Path, old: str, new: str, text: str, hint: str | None) -> None:
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new))
    with pytest.raises(InputError) as caught:
        Mapping.load(path)
    assert str(caught.value).startswith(f"{path}: {text}")
    assert (caught.value.hint or "").startswith(hint or "")
    assert (caught.value.hint is None) == (hint is None)


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"[roles", "not valid TOML: "), (b"unit = 1\nunit = 2\n", "not valid TOML: "), (b"\xff\xfe", "not valid TOML: ")],
)
def test_what_is_not_toml_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "map.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Mapping.load(path)
    assert str(caught.value).startswith(f"{path}: {text}")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(InputError, match="cannot read"):
            Mapping.load(path)


def test_a_joint_the_source_lacks_is_named_with_the_nearest() -> None:
    skeleton = Skeleton(("Hips", "LeftUpLeg"), np.array([-1, 0]), np.zeros((2, 3)), np.zeros(2, bool))
    mapping = Mapping({"root": ("Hips",), "left_leg": ("LeftUpleg",)}, 1.0, "z")
    with pytest.raises(InputError) as caught:
        mapping.check(skeleton, "walk.bvh")
    assert str(caught.value) == "walk.bvh: role left_leg names joint 'LeftUpleg', which the source does not have"
    assert caught.value.hint == "did you mean LeftUpLeg?"
    Mapping({"root": ("Hips",)}, 1.0, "z").check(skeleton, "walk.bvh")


def test_the_schema_knows_what_is_written() -> None:
    """Every key of the file is in the schema that `mimic-pipe schema map` prints."""
    schema: dict[str, Any] = MapFile.model_json_schema()
    assert set(tomllib.loads(Mapping({"root": ("a",)}, 1.0, "z").to_toml())) == set(schema["properties"])
