"""Keyframes: what a file means, that the curve is smooth, and that wrong files are refused by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from characters import keyframes, kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.errors import InputError
from pipeline import sources, stages

RAW = Path(__file__).parents[1] / "raw_mocap"
AUTHORED = ["trex_walk", "dragon_walk", "dragon_flap", "wave"]

HEAD = """format = "mimic-keyframes"
version = 1
character = "humanoid"
loop = true
duration = 1.2
"""
POSES = """
[[pose]]
time = 0
root.position = [0, 0.02, -0.01]
[pose.joints]
left_knee = -10
left_hip = [0, -20, 5]
[[pose]]
time = 0.5
joints.left_knee = -50
joints.left_hip = [0, 15, 0]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "step.keyframes.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_motion_passes_through_its_keys(tmp_path: Path) -> None:
    keys = keyframes.load(write(tmp_path, HEAD + POSES))
    body, qpos = keys.character, keys.at(np.array([0.0, 0.5]))
    knee, hip = (body.layout.qpos_at[body.joint(name)] for name in ("left_knee", "left_hip"))
    assert np.rad2deg(qpos[:, knee]) == pytest.approx([-10, -50])
    assert np.rad2deg(rotation.log(qpos[:, hip : hip + 4])) == pytest.approx(np.array([[0, -20, 5], [0, 15, 0]]))
    assert qpos[0, :3] - body.rest[:3] == pytest.approx([0, 0.02, -0.01])
    still = body.layout.qpos_at[body.joint("right_knee")]
    assert (qpos[:, still] == 0).all()  # no pose names it


@pytest.mark.parametrize("yaw", [0.0, 40.0, 360.0])
def test_a_loop_goes_on_twice_differentiable(tmp_path: Path, yaw: float) -> None:
    offset = f"cycle_offset = {{ translation = [0.8, 0.1, 0], yaw = {yaw} }}\n"
    keys = keyframes.load(write(tmp_path, HEAD + offset + POSES))
    step = 1e-3
    times = keys.duration + np.arange(-3, 4) * step
    layout = keys.character.layout
    qpos = keys.at(times)
    steps = layout.difference(qpos[:-1], qpos[1:]) / step
    assert np.abs(np.diff(steps, 2, axis=0)).max() < 1e-2  # a jump of acceleration would show as ≥ its size × step
    later, now = keys.at(np.array([0.3 + keys.duration])), keys.at(np.array([0.3]))
    assert layout.difference(keys.offset.apply(now), later) == pytest.approx(np.zeros((1, layout.nv)), abs=1e-9)


def test_a_one_shot_begins_and_ends_at_rest_and_holds(tmp_path: Path) -> None:
    keys = keyframes.load(write(tmp_path, HEAD.replace("true", "false") + POSES))
    qpos = keys.at(np.array([0.0, 1e-4, 0.5, 0.8, 1.2, 2.0]))
    speed = keys.character.layout.difference(qpos[0], qpos[1]) / 1e-4
    assert np.abs(speed).max() < 1e-2
    assert qpos[2:] == pytest.approx(np.repeat(qpos[2:3], 4, axis=0))  # nothing is said after the last key


def test_monotone_joints_stay_between_their_keys(tmp_path: Path) -> None:
    poses = "".join(
        f"[[pose]]\ntime = {t}\njoints.left_knee = {a}\n" for t, a in ((0, -10), (0.2, -10), (0.4, -90), (0.7, -90))
    )
    free = keyframes.load(write(tmp_path, HEAD + poses))
    held = keyframes.load(write(tmp_path, HEAD + 'monotone = ["left_knee"]\n' + poses))
    at = free.character.layout.qpos_at[free.character.joint("left_knee")]
    times = np.linspace(0, 1.2, 200)
    assert np.rad2deg(free.at(times)[:, at]).min() < -92
    angles = np.rad2deg(held.at(times)[:, at])
    assert angles.min() >= -90 - 1e-9
    assert angles.max() <= -10 + 1e-9


@pytest.mark.parametrize("name", ["humanoid", "trex", "dragon"])
def test_mirrored_halves_are_mirror_images(tmp_path: Path, name: str) -> None:
    text = HEAD.replace("humanoid", name).replace("duration = 1.2", "duration = 1.2\nmirrored = true")
    text += "cycle_offset.translation = [1, 0, 0]\n[contacts]\nleft_foot = [[0, 0.7]]\n"
    text += "[[pose]]\ntime = 0\nroot = { position = [0, 0.03, 0], rotation = [3, 2, 1] }\n"
    text += (
        "joints.left_hip = [6, -20, 4]\njoints.right_knee = -15\n[[pose]]\ntime = 0.3\njoints.left_hip = [0, 5, 0]\n"
    )
    keys = keyframes.load(write(tmp_path, text))
    body = keys.character
    first, second = (kinematics.forward(body, keys.at(np.array([t]))) for t in (0.1, 0.7))
    flip = np.array([1.0, -1.0, 1.0])
    for joint in body.joints:
        if not joint.name.startswith("left_"):
            continue
        other = body.joints[body.joint(joint.name.replace("left_", "right_"))].child
        expected = first.positions[0, joint.child] * flip + [0.5, 0, 0]
        assert second.positions[0, other] == pytest.approx(expected, abs=1e-9)
    assert keys.contacts["right_foot"] == (pytest.approx((0.6, 1.3)),)
    flags = keys.flags(np.array([0.05, 0.2, 0.65, 1.25]))
    assert flags["right_foot"].tolist() == [True, False, True, True]  # its stance runs on past the loop's end


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("left_knee = -10", "left_kne = -10"), 11, ["no joint left_kne", "left_knee"]),
        (("left_knee = -10", "left_knee = 25"), 11, ["left_knee", "-180° to 0°", "25°"]),
        (("left_knee = -10", "left_knee = [1, 2, 3]"), 11, ["one number"]),
        (("left_hip = [0, -20, 5]", "left_hip = 4"), 12, ["[x, y, z]"]),
        (("left_hip = [0, -20, 5]", "left_hip = [0, -170, 5]"), 12, ["swing", "170°"]),
        (("left_hip = [0, -20, 5]", "left_hip = [0, nan, 5]"), 12, ["finite"]),
        (("time = 0.5", "time = 0"), 14, ["increase"]),
        (("time = 0.5", "time = 1.2"), 14, ["below 1.2 s"]),
        (("time = 0.5", "time = 0.5\nspeed = 2"), 15, ["unknown key", "speed"]),
        (('"humanoid"', '"humanid"'), 3, ["no character humanid", "humanoid"]),
        (("loop = true", "loop = maybe"), 4, ["not valid TOML"]),
        (("loop = true", "lop = true"), 4, ["unknown key lop", "loop"]),
        (("duration = 1.2", "duration = -1.2"), 5, ["duration"]),
        (("duration = 1.2", "duration = 1.2\ncontacts.left_fot = [[0, 1]]"), 6, ["left_fot", "left_foot"]),
        (("duration = 1.2", "duration = 1.2\ncontacts.left_foot = [[1, 0.5]]"), 6, ["0 ≤ from < to"]),
        (("duration = 1.2", "duration = 1.2\nmonotone = ['knee']"), 6, ["no joint knee"]),
        (("loop = true", "loop = false\ncycle_offset.yaw = 3"), 5, ["for loops"]),
        (("duration = 1.2", "duration = 1.2\nmirrored = true\ncycle_offset.yaw = 30"), 6, ["mirrored"]),
    ],
)
def test_wrong_files_are_refused_by_line(tmp_path: Path, change: tuple[str, str], line: int, words: list[str]) -> None:
    path = write(tmp_path, (HEAD + POSES).replace(*change))
    with pytest.raises(InputError) as caught:
        keyframes.load(path)
    assert str(caught.value.where) == f"{path}:{line}"
    told = f"{caught.value} {caught.value.hint}"
    assert all(word in told for word in words), told


@pytest.mark.parametrize("name", AUTHORED)
def test_authored_keyframes_nearly_stand_where_they_say(name: str) -> None:
    keys = keyframes.load(RAW / f"{name}.keyframes.toml")
    trajectory = keys.trajectory()
    heights = shapes.link_heights(keys.character, kinematics.forward(keys.character, trajectory.qpos))
    for link, stands in trajectory.contacts.items():
        assert stands.any()
        assert np.abs(heights[stands, keys.character.link(link)]).max() < 0.04


def test_walks_are_gaits_that_animals_use() -> None:
    dragon = keyframes.load(RAW / "dragon_walk.keyframes.toml")
    order = sorted(dragon.contacts, key=lambda foot: dragon.contacts[foot][0][0] % dragon.duration)
    assert order == ["left_foot", "left_forefoot", "right_foot", "right_forefoot"]  # a lateral sequence
    trex = keyframes.load(RAW / "trex_walk.keyframes.toml")
    for keys, duration in ((dragon, 1.5), (trex, 2.0)):
        assert keys.duration == duration
        share = [stands.mean() for stands in keys.flags(np.linspace(0, duration, 100)).values()]
        assert min(share) > 0.3


def test_keyframes_go_through_retarget_onto_their_own_body(tmp_path: Path) -> None:
    done = stages.retarget(RAW / "trex_walk.keyframes.toml", "trex", out=tmp_path)
    assert done.verdict.passed, done.verdict.failed
    assert done.clip.name == "trex_walk"
    assert done.clip.loop
    assert done.clip.duration == pytest.approx(2.0)
    assert done.clip.cycle_offset.translation[0] == pytest.approx(1.1)


def test_keyframes_are_a_source_for_other_bodies() -> None:
    source = sources.read(RAW / "trex_walk.keyframes.toml")
    body = Character.load("trex")
    assert source.roles.chains["left_leg"] == body.roles["left_leg"]
    assert source.motion.loop
    assert source.motion.root_positions[0, 2] == pytest.approx(body.rest[2], abs=0.1)


def test_edited_keyframes_may_be_retargeted_again(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + "contacts.left_foot = [[0, 1.2]]\ncontacts.right_foot = [[0, 1.2]]\n" + POSES)
    stages.ingest(path, out=tmp_path / "out")
    path.write_text(path.read_text().replace("-50", "-40"))
    stages.ingest(path, out=tmp_path / "out")
    other = tmp_path / "elsewhere"
    other.mkdir()
    with pytest.raises(InputError, match="another source"):
        stages.ingest(write(other, path.read_text().replace("-40", "-30")), out=tmp_path / "out")


def test_the_example_in_the_docs_is_a_keyframe_file(tmp_path: Path) -> None:
    example = (RAW.parent / "docs/keyframes.md").read_text("utf-8").split("```toml\n")[1].split("```")[0]
    keys = keyframes.load(write(tmp_path, example))
    elbow = keys.character.layout.qpos_at[keys.character.joint("right_elbow")]
    assert np.rad2deg(keys.at(np.array([0.0, 1.0, 2.0]))[:, elbow]) == pytest.approx([10, 70, 10])
