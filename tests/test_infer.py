"""Making a character of a URDF, and saying what is wrong with one."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import pybullet_data
import pytest

from characters import check, infer
from characters.character import Character
from characters.check import Finding
from motion.errors import InputError, MimicWarning
from pipeline import cli

ROOT = Path(__file__).parents[1]
SHIPPED = Path(pybullet_data.getDataPath())
LAIKAGO, LAIKAGO_Y = SHIPPED / "laikago/laikago_toes_zup.urdf", SHIPPED / "laikago/laikago.urdf"
A1, ALIENGO, CHEETAH = (
    SHIPPED / "a1/a1.urdf",
    SHIPPED / "aliengo/aliengo.urdf",
    SHIPPED / "mini_cheetah/mini_cheetah.urdf",
)
HUMANOID = SHIPPED / "humanoid/humanoid.urdf"
BUNDLED = ["humanoid", "atlas", "trex", "dragon", "dog"]

pytestmark = pytest.mark.filterwarnings("ignore::motion.errors.MimicWarning")


def problems(found: list[Finding]) -> list[str]:
    return [str(finding) for finding in found if finding.severity == "problem"]


@pytest.mark.parametrize("name", BUNDLED)
def test_roles_and_feet_of_our_bodies_are_found_as_declared(name: str) -> None:
    body = Character.load(name)
    found = infer.infer(body)
    assert found.roles == body.roles
    assert set(found.feet) == set(body.feet)
    assert infer.axes(body, "z") == ("z", 1.0)


@pytest.mark.parametrize(
    ("urdf", "leg"),
    [
        (A1, ("RL_upper_joint", "RL_lower_joint")),
        (ALIENGO, ("RL_upper_joint", "RL_lower_joint")),
        (LAIKAGO, ("RL_upper_leg_2_hip_motor_joint", "RL_lower_leg_2_upper_leg_joint")),
    ],
)
def test_a_robot_dog_becomes_a_character(tmp_path: Path, urdf: Path, leg: tuple[str, ...]) -> None:
    body, found = infer.create(urdf, tmp_path / "dog")
    assert body.roles["left_leg"] == leg
    assert set(body.roles) == {"left_leg", "right_leg", "left_foreleg", "right_foreleg"}
    assert len(body.feet) == 4
    assert all("geometry" in reason for reason in found.evidence.values())
    assert not problems(check.check(tmp_path / "dog"))
    assert not problems(check.check(urdf))
    original = Character.load(tmp_path / "dog")
    assert original.height == pytest.approx(body.height)


def test_a_y_up_body_four_times_too_large_is_stood_up(tmp_path: Path) -> None:
    body, found = infer.create(HUMANOID, tmp_path / "human")
    text = (tmp_path / "human/character.toml").read_text()
    assert 'up = "y"' in text
    assert 1.4 < body.height < 2.0  # 1.62 m with the factor of 0.25 its users know
    assert found.roles["left_leg"] == ("left_hip", "left_knee", "left_ankle")
    assert found.roles["right_arm"] == ("right_shoulder", "right_elbow")
    assert body.joints[body.joint("left_hip")].swing_limit < 2.0
    assert not problems(check.check(tmp_path / "human"))


def test_a_character_is_not_overwritten_and_a_bad_urdf_leaves_nothing(tmp_path: Path) -> None:
    infer.create(A1, tmp_path / "a1")
    with pytest.raises(InputError, match="already"):
        infer.create(ALIENGO, tmp_path / "a1")
    with pytest.raises(InputError) as caught:
        infer.create(LAIKAGO_Y, tmp_path / "broken")
    assert str(caught.value.where) == f"{LAIKAGO_Y}:3"
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize(
    ("urdf", "words"),
    [
        (LAIKAGO_Y, ["link chassis moves but has no inertia", "stand with y up"]),
        (CHEETAH, ["thigh_fr: no rigid body has the principal inertias"]),
        (HUMANOID, ["stand with y up", "too large for its mass"]),
    ],
)
def test_what_is_wrong_with_shipped_bodies_is_found(urdf: Path, words: list[str]) -> None:
    found = check.check(urdf)
    assert all(any(word in told for told in problems(found)) for word in words), problems(found)
    assert all(finding.fix for finding in found)


@pytest.mark.parametrize("name", BUNDLED)
def test_our_bodies_are_sound(name: str) -> None:
    assert check.check(name) == []


def _edited(folder: Path, name: str, pattern: str, new: str, file: str = "body.urdf") -> Path:
    """A copy of a bundled body with the first match of a pattern changed."""
    shutil.copytree(Path(Character.load(name).folder), folder / name)
    path = folder / name / file
    text, count = re.subn(pattern, new, path.read_text(), count=1, flags=re.DOTALL)
    assert count == 1
    path.write_text(text)
    return folder / name


@pytest.mark.parametrize(
    ("pattern", "new", "file", "words"),
    [
        (r'(<link name="left_shin">.*?<mass value=")[^"]+', r"\g<1>0", "body.urdf", "link left_shin moves but has no"),
        (r'(<link name="left_shin">.*?ixx=")[^"]+', r"\g<1>9", "body.urdf", "no rigid body has"),
        (r'(<link name="left_shin">.*?<mass value=")[^"]+', r"\g<1>9", "body.urdf", "the links weigh 9 and"),
        (r'(<link name="chest">.*?<inertial>\s*<origin [^>]*?)(/?>)', r'\1 rpy="0.3 0 0"\2', "body.urdf", "turned"),
        (r"feet = \[[^]]*\]", 'feet = ["right_foot", "chest"]', "character.toml", "the foot chest hangs"),
        (r'left_leg = \["left_hip"', 'left_leg = ["left_hipp"', "character.toml", "no joint left_hipp"),
        (r'"left_ankle"\]', "]", "character.toml", "no role names the joint left_ankle"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, pattern: str, new: str, file: str, words: str) -> None:
    folder = _edited(tmp_path, "humanoid", pattern, new, file)
    found = check.check(folder)
    assert any(words in told for told in problems(found)), [str(finding) for finding in found]


def test_free_hinges_and_overlaps_are_told_as_advice() -> None:
    advice = [str(finding) for finding in check.check(LAIKAGO) if finding.severity == "advice"]
    assert any("hinges without limits" in told for told in advice)
    assert any("overlap at rest" in told for told in advice)


def test_the_commands_tell_and_exit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MimicWarning)
        assert cli.run(["characters", "check", str(CHEETAH)]) == 1
        assert "fix: " in capsys.readouterr().out
        assert cli.run(["characters", "new", str(A1), "--out", str(tmp_path / "a1"), "--json"]) == 0
        done = json.loads(capsys.readouterr().out)
        assert done["roles"]["right_foreleg"]["joints"] == ["FR_upper_joint", "FR_lower_joint"]
        assert cli.run(["characters", "check", str(tmp_path / "a1"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["passed"]
        assert cli.run(["characters", "check", "nobody"]) == 3
        assert cli.run(["characters", "new", str(tmp_path / "none.urdf")]) == 3
