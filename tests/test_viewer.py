"""What the viewer and the saved page show, without a browser: figures, curves, the list, a running policy, errors."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from characters.character import Character
from characters.kinematics import forward
from motion import rotation
from motion.clip import Clip
from motion.errors import InputError
from pipeline import cli, page, panels, playlist, solids, sources, takes
from pipeline.scene import Beside

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "policies" / "humanoid" / "walk"


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip.load(POLICY / "clip.json")


@pytest.fixture(scope="module")
def body() -> Character:
    return Character.load("humanoid")


@pytest.fixture(scope="module")
def take(clip: Clip, body: Character) -> takes.Take:
    return takes.of_clip(clip, body)


def test_parts_are_where_forward_kinematics_puts_them(clip: Clip, body: Character, take: takes.Take):
    pose = forward(body, clip.qpos)
    for frame in (0, 7, take.frames - 1):
        positions, rotations, _ = take.at(take.main, frame / take.fps)
        np.testing.assert_allclose(positions, pose.positions[frame], atol=1e-9)
        assert rotation.angle(rotations, pose.rotations[frame]).max() < 1e-6
    between, turned, _ = take.at(take.main, 7.5 / take.fps)
    np.testing.assert_allclose(between, 0.5 * (pose.positions[7] + pose.positions[8]), atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), 1.0)


def test_contacts_are_the_clips(clip: Clip, body: Character, take: takes.Take):
    for name, flags in clip.contacts.items():
        np.testing.assert_array_equal(take.main.lit[:, body.link(name)], flags)
    others = [i for i, link in enumerate(body.links) if link.name not in clip.contacts]
    assert not take.main.lit[:, others].any()


def test_meshes_are_closed_and_as_large_as_their_shapes(body: Character):
    expected = {"sphere": lambda s: 4 / 3 * np.pi * s[0] ** 3, "box": np.prod}
    expected["capsule"] = lambda s: 4 / 3 * np.pi * s[0] ** 3 + np.pi * s[0] ** 2 * s[1]
    expected["cylinder"] = lambda s: np.pi * s[0] ** 2 * s[1]
    seen = set()
    for shape in (*body.shapes, *Character.load("atlas").shapes, *Character.load("trex").shapes):
        mesh = solids.of_shape(shape)
        a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
        volume = np.einsum("fi,fi->", a, np.cross(b, c)) / 6  # that of the outside: faces turn anticlockwise
        if shape.kind in expected:
            assert volume == pytest.approx(expected[shape.kind](shape.size), rel=0.06)
        assert volume > 0
        seen.add(shape.kind)
    assert {"sphere", "capsule", "box"} <= seen


def test_a_cylinder_has_flat_ends_and_its_volume():
    mesh = solids.cylinder(0.5, 2.0)
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    assert np.einsum("fi,fi->", a, np.cross(b, c)) / 6 == pytest.approx(np.pi * 0.5**2 * 2.0, rel=0.03)
    assert np.abs(mesh.vertices[:, 2]).max() == 1.0


def test_a_bone_leads_from_joint_to_joint():
    mesh = solids.bone(np.array([0.0, -0.3, 0.4]), 0.02)
    ends = mesh.vertices @ np.array([0.0, -0.6, 0.8])
    assert (ends.min(), ends.max()) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.5))


def test_a_source_keeps_its_pose_stands_on_the_ground_and_lights_its_feet(samples: Path):
    source = sources.read(samples / "walk.bvh")
    take = takes.of_motion(source.motion, source.roles)
    layer, (positions, _) = take.main, source.motion.forward()
    shift = layer.positions[:, 0] - positions[:, 0]
    np.testing.assert_allclose(
        layer.positions - positions, np.broadcast_to(shift[:1, None], positions.shape), atol=1e-9
    )
    assert 0 < layer.positions[..., 2].min() < 0.05
    lit = {name for name, on in zip(layer.names, layer.lit.any(axis=0), strict=True) if on}
    assert lit
    assert lit <= {name for role, chain in source.roles.chains.items() if role.endswith("leg") for name in chain[2:]}


def test_a_loop_with_its_source_beside_it_goes_on_without_a_jump(clip: Clip, body: Character, samples: Path):
    source = sources.read(samples / "walk.bvh")
    take = takes.of_clip(clip, body, Beside(source.motion, 0.0, source.height))
    for layer in take.layers:
        step = np.diff(layer.path, axis=0)
        again = rotation.rotate(rotation.from_yaw(np.float64(layer.cycle.yaw)), layer.path[0]) + layer.cycle.translation
        assert np.linalg.norm(again - layer.path[-1]) < 2 * np.linalg.norm(step, axis=1).max()
    beside = take.layers[0].path[0] + take.layers[0].aside - take.main.path[0]
    assert np.hypot(*beside[:2]) > 0.5 * body.height


def test_bodies_together_move_as_each_does_alone(take: takes.Take, clip: Clip):
    other = playlist.Entry("wave", ROOT / "raw_mocap" / "wave.keyframes.toml", "motion").load()
    both = takes.together([take, other])
    assert both.duration == pytest.approx(max(take.duration, other.duration), abs=1 / 60)
    frame = both.frames - 1  # cycles later
    qpos, _ = clip.sample(np.array([round(frame / both.fps * clip.fps) / clip.fps]))
    np.testing.assert_allclose(both.layers[0].positions[frame, 0], qpos[0, :3], atol=1e-9)
    assert not np.allclose(both.layers[0].aside, both.layers[1].aside)


def test_curves_say_what_they_are(take: takes.Take, clip: Clip, body: Character):
    found = {panel.title: panel for panel in take.panels()}
    assert set(found) == {"foot height", panels.SLIDE, "torque over its limit"}
    heights = found["foot height"]
    assert (heights.unit, found[panels.SLIDE].unit) == ("cm", "cm/s")
    assert set(heights.curves) == set(body.feet)
    name = body.feet[0]
    stands = np.asarray(clip.contacts[name], dtype=bool)
    nearest = np.round(heights.seconds * clip.fps).astype(int) % len(stands)
    assert np.abs(heights.curves[name][stands[nearest]]).max() < 2.0 < heights.curves[name].max()
    assert found["torque over its limit"].limit == 1.0


def test_the_list_names_everything_under_a_folder_once(tmp_path: Path):
    for name in ("one", "two"):
        folder = tmp_path / name / "walk"
        folder.mkdir(parents=True)
        shutil.copy(POLICY / "clip.json", folder)
    shutil.copy(POLICY / "config.json", tmp_path / "two" / "walk")
    shutil.copy(ROOT / "raw_mocap" / "wave.keyframes.toml", tmp_path)
    (tmp_path / "notes.txt").write_text("nothing that moves")
    found = playlist.find([tmp_path])
    assert {(entry.name, entry.kind) for entry in found} == {
        ("one/walk", "clip"),
        ("two/walk", "policy"),
        ("wave.keyframes.toml", "motion"),
    }
    twice = playlist.find([tmp_path / "one", tmp_path / "one"])
    assert len({entry.name for entry in twice}) == 2
    assert playlist.together(found)[0].name == "side by side"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda folder: folder / "missing.bvh", "no such file"),
        (lambda folder: folder, "expected clips, motions or policies, found none"),
        (lambda folder: folder / "notes.txt", "notes.txt"),
    ],
)
def test_what_cannot_be_shown_is_one_line(make, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "notes.txt").write_text("nothing that moves")
    assert cli.run(["view", str(make(tmp_path))]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert word in captured.err.splitlines()[0]
    assert "Traceback" not in captured.err


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("viser", reason="the viewer is an extra")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["view", str(POLICY / "clip.json"), "--port", str(port)]) == 3
    captured = capsys.readouterr()
    assert f"127.0.0.1:{port}" in captured.err.splitlines()[0]
    assert "--port" in captured.err
    assert captured.out == ""


def page_of(text: str) -> tuple[dict, bytes]:
    """The header and the numbers of a saved page."""
    head = re.search(r'<script type="application/json" id="head">(.*?)</script>', text, re.DOTALL)
    data = re.search(r'<script type="text/plain" id="data">(.*?)</script>', text, re.DOTALL)
    assert head is not None
    assert data is not None
    return json.loads(head[1]), gzip.decompress(base64.b64decode(data[1]))


def test_a_saved_page_holds_the_poses_and_fetches_nothing(
    clip: Clip, body: Character, take: takes.Take, tmp_path: Path
):
    path = tmp_path / "walk.html"
    assert cli.run(["view", str(POLICY / "clip.json"), "--save", str(path)]) == 0
    text = path.read_text("utf-8")
    assert not re.search(r"https?://|src=|<link|@import|url\(", text)
    assert "default-src 'none'" in text
    head, data = page_of(text)
    (shown,) = head["takes"]
    layer = shown["layers"][-1]

    def array(place: list) -> np.ndarray:
        kind, start, size = place
        return np.frombuffer(data, page.KINDS[kind], size, start)

    every = round(clip.fps / shown["fps"])
    count, expected = len(body.links), forward(body, clip.qpos[::every])
    positions = layer["unit"] * array(layer["positions"]).reshape(-1, count, 3)
    positions[..., :2] += array(layer["path"]).reshape(-1, 1, 2)
    np.testing.assert_allclose(positions, expected.positions, atol=2e-4)
    rotations = rotation.normalize(array(layer["rotations"]).reshape(-1, count, 4))
    assert rotation.angle(rotations, expected.rotations).max() < 1e-3
    np.testing.assert_array_equal(array(layer["lit"]).reshape(-1, count), take.main.lit[::every])
    assert shown["duration"] == pytest.approx(clip.duration)
    assert [panel["unit"] for panel in shown["panels"]] == ["cm", "cm/s", ""]


def test_names_cannot_break_out_of_a_page(take: takes.Take):
    text = page.text([replace(take, name="</script><script>alert(1)</script>{{data}}", panels=tuple)])
    assert "<script>alert" not in text
    assert page_of(text)[0]["takes"][0]["name"].startswith("</script>")


@pytest.fixture(scope="module")
def live():
    pytest.importorskip("torch", reason="policies need torch")
    from pipeline.live import Live

    live = Live(POLICY, seconds=4.0)
    yield live
    live.close()


def test_a_policy_performs_beside_its_reference(live, clip: Clip):
    while live.done < 20:
        live.reach(20)
    ghost, body = live.take.layers
    assert (ghost.name, body.name) == ("reference", "body")
    reference, _ = clip.sample(np.arange(21) / live.take.fps)
    np.testing.assert_allclose(ghost.positions[:21, 0], reference[:, :3], atol=1e-6)
    assert 0 < np.linalg.norm(body.positions[20] - ghost.positions[20], axis=1).max() < 0.3
    assert live.fell is None
    titles = [panel.title for panel in live.panels()]
    assert titles[:3] == ["foot height", panels.SLIDE, "torque over its limit"]
    terms = live.panels()[3].curves
    assert 0.5 < sum(values[20] for values in terms.values()) <= 1.0


def test_a_push_goes_on_from_where_it_is_given(live):
    while live.done < 40:
        live.reach(40)
    alone = live.take.main.positions[40].copy()
    live.go_back(20)
    while live.done < 40:
        live.reach(40)
    np.testing.assert_allclose(live.take.main.positions[40], alone, atol=1e-6)  # undisturbed, it does the same again
    live.go_back(20)
    live.push("left", 1500.0)
    while live.done < 40 and not live.over:
        live.reach(40)
    assert np.linalg.norm(live.force(22)) == pytest.approx(1500.0)
    assert not live.force(20 + 7).any()
    pushed = live.take.main.positions[min(40, live.done), 0] - alone[0]
    assert pushed[1] > 0.2  # the walk goes along x
    while not live.over:
        live.reach(live.frames)
    assert live.fell is not None
    assert live.fell > 20
    live.go_back(0)
    assert live.fell is None


def test_a_viewer_plays_scrubs_and_switches():
    pytest.importorskip("viser", reason="the viewer is an extra")
    from pipeline.viewer import Viewer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths = [POLICY / "clip.json", ROOT / "raw_mocap" / "wave.keyframes.toml"]
    viewer = Viewer(playlist.find(paths), host="127.0.0.1", port=port)
    try:
        viewer.advance(0.25)
        assert viewer.seconds == pytest.approx(0.25)
        viewer.draw()
        node = viewer.stage.node("body", 3)
        expected = viewer.take.at(viewer.take.main, 0.25)
        np.testing.assert_allclose(node.position, expected[0][3], atol=1e-6)
        np.testing.assert_allclose(node.wxyz, expected[1][3], atol=1e-6)
        viewer.seek(0.5)
        viewer.advance(1.0)
        assert (viewer.seconds, viewer.playing) == (0.5, False)
        second = list(viewer.entries)[1]
        viewer.open(second)
        assert viewer.seconds == 0.0
        assert viewer.take.main.label == "humanoid"
        viewer.entries["gone"] = playlist.Entry("gone", Path("gone.bvh"), "motion")
        viewer.open("gone")  # told in the page; the one before stays
        assert viewer.take.main.label == "humanoid"
    finally:
        viewer.stop()


def test_nothing_is_served_where_nothing_can_be():
    pytest.importorskip("viser", reason="the viewer is an extra")
    from pipeline.viewer import check_address

    with pytest.raises(InputError, match="cannot serve there"):
        check_address("203.0.113.7", 8080)


def test_a_chart_that_shows_other_curves_is_relabelled_not_replaced():
    """The joints nearest to their torque limits change while a policy runs; a loading page must not lose the chart."""
    pytest.importorskip("viser", reason="the viewer is an extra")
    from pipeline.charts import Charts
    from pipeline.panels import Panel

    made = []

    class Gui:
        def add_folder(self, title: str):
            return contextlib.nullcontext()

        def add_uplot(self, data, series, **others):
            made.append(SimpleNamespace(data=data, series=series, remove=made.clear, **others))
            return made[-1]

    def panel(count: int, *names: str) -> Panel:
        seconds = np.arange(count) / 30
        return Panel("torque over its limit", "", seconds, {name: np.sin(seconds) for name in names}, 1.0)

    now = [panel(10, "chest", "neck")]
    charts = Charts(cast(Any, Gui()))
    charts.show(cast(Any, SimpleNamespace(kind="policy", duration=20.0, panels=lambda: tuple(now))))
    charts.mark(0.1)
    (chart,) = made
    now[:] = [panel(20, "left_knee", "neck")]
    charts.mark(0.5)
    assert len(made) == 1
    assert made[0] is chart
    assert [each.get("label") for each in chart.series] == ["s", "left_knee", "neck", "limit", "now"]
    assert len(chart.data[0]) == 22
    now[:] = [panel(30, "left_knee")]
    charts.mark(0.9)
    assert len(made) == 1
    assert made[0] is not chart
