"""Reports: one page that needs nothing else, verdicts first, a picture of each fault; the same as JSON."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from good_clip import make_good_clip

from characters.character import Character
from motion.errors import InputError
from motion.files import read_json, write_json
from pipeline import cli, failures, report, report_page, report_plots
from retarget import gains, quality
from train.endings import Ending

EVALUATION = {
    "engine": "mujoco",
    "episodes": 32,
    "horizon": 20.0,
    "normalized_return": 0.9,
    "synced": {
        "returns": {"paper-2018": {"mean": 0.91234, "ci95": 0.001}},
        "seconds": {"mean": 20.0, "ci95": None},
        "completed": 1.0,
        "speed_ratio": 1.0,
        "joint_error": 2.0,
        "place_error": 0.01,
        "falls": [],
    },
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good walk with gains and a policy's files, and one whose foot is turned so that it sinks."""
    folder = tmp_path_factory.mktemp("library")
    body = Character.load("humanoid")
    clip = make_good_clip(body)
    sunk = clip.qpos.copy()
    sunk[:, 2] -= 0.05
    for name, one in {"walk": clip, "<sunk>": replace(clip, qpos=sunk)}.items():
        measures = quality.intrinsic(one, body)
        found = {"passed": not quality.verdict(measures).failed, **measures.to_json()}
        one = replace(one, name=name, quality=found)
        (folder / name).mkdir()
        one.save(folder / name / "clip.json")
        gains.derive(body, one).save(folder / name / "gains.json")
    write_json(folder / "walk" / "evaluation.json", EVALUATION)
    push = {"median": 100.0, "worst": 80.0, "ci95": [90.0, 110.0], "by_phase": [80.0, 100.0, 120.0, 100.0]}
    write_json(folder / "walk" / "push.json", {"engine": "mujoco", "forward": push})
    (folder / "walk" / "metrics.csv").write_text(
        "samples,reward,ended_contact,seconds\n4096,0.5,3,1.0\n8192,0.75,,2.0\n"
    )
    some_map(20).save(folder / "walk")
    return folder


def some_map(count: int, **changed: object) -> failures.FailureMap:
    """Endings around phase 0.97 and across the wrap, leaning left, most of them on the right foot."""
    endings = tuple(
        Ending((0.9 + 0.01 * k) % 1.0, 3.0, "contact", (0.1, 1.0), ("right_foot",) if k % 4 else ())
        for k in range(count)
    )
    values = {"episodes": 64, "seconds": 20.0, "engine": "mujoco", "push_force": 0.5, "loop": True, **changed}
    return failures.FailureMap(endings, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def html(library: Path) -> str:
    return report_page.page(report.gather(library))


def test_the_page_needs_nothing_from_outside_and_escapes_names(html: str) -> None:
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert not re.search(r"<script|@import|url\(", html)
    assert "&lt;sunk&gt; on humanoid" in html
    assert "<sunk>" not in html


def test_verdicts_come_first(html: str) -> None:
    assert html.index("1 of 2 pass") < html.index("✗ fail") < html.index("<img")


def test_every_failing_measure_links_to_its_picture(library: Path, html: str) -> None:
    entries = report.gather(library).entries
    (number,) = [k for k, entry in enumerate(entries) if entry.failing]
    faults = {check.measure for check in entries[number].failing if check.time is not None}
    assert "penetration_cm" in faults
    for name in faults:
        assert f'href="#c{number}-{name}"' in html
        assert html.count(f'<figure id="c{number}-{name}"><img') == 1


def test_links_lead_somewhere(html: str) -> None:
    anchors = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'href="#([^"]+)"', html)) <= anchors


def test_a_policys_figures_are_told(html: str) -> None:
    for text in ("0.912 ± 0.001", "0.01 million samples", "90–110", "Where episodes end", "kp N·m/rad"):
        assert text in html


def test_gains_tell_their_proof(library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    shutil.copytree(library / "walk", folder)
    data = read_json(folder / "gains.json")
    tried = {"passed": False, "rest_deg": 1.25, "rest_joint": "neck", "tracking_deg": 2.0}
    data["evidence"]["proof"] = {"engines": {"mujoco": {"default": tried}}}
    write_json(folder / "gains.json", data)
    gathered = report.gather(folder)
    assert gathered.to_json()["clips"][0]["gains"]["evidence"]["proof"]["engines"]["mujoco"]["default"] == tried
    text = report_page.page(gathered)
    assert "1.25" in text
    assert text.count("✗ fail") == 2  # in the summary and in the table of the proof


def test_json_holds_the_same(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", str(library), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert not (library / report.PAGE).exists()
    walk = next(clip for clip in data["clips"] if clip["name"] == "walk")
    assert walk["quality"]["passed"]
    assert walk["training"]["reward"] == 0.75
    assert walk["training"]["ended_contact"] is None
    assert walk["failures"]["ended"] == 20
    assert walk["contacts"]["left_foot"][0][0] >= 0.0


def test_a_bad_clip_does_not_hide_the_others(library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(library / "walk", tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "clip.json").write_text("{")
    assert cli.run(["report", str(tmp_path)]) == 3
    out, err = capsys.readouterr()
    assert Path(out.strip()) == tmp_path / report.PAGE
    assert "bad/clip.json:1" in err
    assert "Could not be read" in (tmp_path / report.PAGE).read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.csv", "samples,reward\n1,much\n", "expected numbers under names"),
        ("evaluation.json", "[]", "expected an object, found list"),
        ("evaluation.json", '{"synced": 5}', "missing key engine"),
        ("push.json", "{", "not valid JSON"),
        ("push.json", '{"forward": 3}', "forward"),
        ("failures.json", '{"format": "mimic-failures", "version": 2}', "expected a mimic-failures of version 1"),
    ],
)
def test_a_broken_file_is_named(library: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = tmp_path / "walk"
    shutil.copytree(library / "walk", folder)
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        report.gather(folder)
    assert name in (raised.value.where or "")


def test_a_folder_without_clips(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a clip\.json in it"):
        report.gather(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        report.gather(tmp_path / "nowhere")


def test_a_map_finds_the_window_across_the_wrap() -> None:
    found = some_map(20)
    first, last, inside = found.window()
    assert first == pytest.approx(0.90)
    assert last == pytest.approx(1.09)
    assert inside == 20
    sentence = found.sentence()
    assert "20 ended early" in sentence
    assert "between phases 0.90 and 0.09 across the wrap" in sentence
    assert "leaning left (20)" in sentence
    assert "with right foot last on the ground (15)" in sentence
    assert "pushes of up to 0.5 body weights" in sentence
    assert some_map(20, loop=False).window()[2] == 10
    assert some_map(0, push_force=0.0).sentence().endswith("none ended early.")


@pytest.mark.parametrize(
    ("lean", "name"),
    [
        ((1.0, 0.0), "forward"),
        ((-1.0, 0.05), "back"),
        ((0.0, -1.0), "right"),
        ((-0.5, -0.5), "back right"),
        ((0.01, 0.0), "upright"),
    ],
)
def test_a_lean_has_a_name(lean: tuple[float, float], name: str) -> None:
    found = replace(some_map(1), endings=(Ending(0.5, 1.0, "contact", lean, ()),))
    assert found.directions() == [name]


def test_a_map_is_kept_and_drawn(tmp_path: Path, library: Path) -> None:
    found = some_map(20)
    found.save(tmp_path)
    again = failures.FailureMap.of(tmp_path)
    assert again is not None
    assert again.endings == found.endings
    assert again.summary() == found.summary()
    clip = report.read(library / "walk").clip
    page = report_plots.failure_page(found, clip)
    histogram, leans = page.axes[0], page.axes[1]
    assert sum(patch.get_height() for patch in histogram.patches) == 20
    assert sum(len(points.get_offsets()) for points in leans.collections) == 20


def test_falls_of_an_evaluation_are_a_map_too(tmp_path: Path, library: Path) -> None:
    shutil.copy(library / "walk" / "clip.json", tmp_path)
    assert failures.FailureMap.of(tmp_path) is None
    fall = {"phase": 0.5, "seconds": 1.0, "reason": "contact", "lean": [0.5, 0.0], "stance": ["left_foot"]}
    write_json(tmp_path / "evaluation.json", {**EVALUATION, "synced": {"falls": [fall] * 20}})
    found = failures.FailureMap.of(tmp_path)
    assert found is not None
    assert (len(found.endings), found.push_force, found.loop) == (20, 0.0, True)


def test_the_seam_is_drawn_without_a_jump(library: Path) -> None:
    page = report_plots.seam_page(report.read(library / "walk").clip)
    for line in page.axes[0].lines[1:]:
        steps = np.abs(np.diff(np.asarray(line.get_ydata(), dtype=float)))
        middle = len(steps) // 2
        assert steps[middle - 1 : middle + 1].max() <= max(3 * np.median(steps), 0.5)


def test_the_feet_that_stood_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bodies: one stands on its left foot, then flies and falls; the other stands on both and goes on."""
    body = Character.load("humanoid")
    links = [link.name for link in body.links]
    left, right = links.index("left_foot"), links.index("right_foot")
    low = np.zeros((2, len(links)), dtype=bool)
    monkeypatch.setattr(failures, "touching", lambda _character, _state: low)
    env = SimpleNamespace(character=body, count=2, reason=np.zeros(2, dtype=int), sim=None)
    watch = failures.LastStance("mujoco")
    watch.begin(env, np.array([10, 10]))  # type: ignore[arg-type]
    low[0, left] = low[1, left] = low[1, right] = True
    watch.add(env, np.ones(2, dtype=bool))  # type: ignore[arg-type]
    low[0] = False
    env.reason = np.array([1, 0])
    watch.add(env, np.ones(2, dtype=bool))  # type: ignore[arg-type]
    watch.add(env, np.array([False, True]))  # type: ignore[arg-type]
    assert watch.last == [("left_foot",)]
