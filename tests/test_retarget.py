"""The whole chain on real samples: within the limits of quality on both bodies, feet down, flight kept, the same twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from motion.clip import Clip
from pipeline import stages
from pipeline.stages import Retargeted


@pytest.fixture(scope="module", params=["humanoid", "atlas"])
def walked(request: pytest.FixtureRequest, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Retargeted:
    return stages.retarget(samples / "walk.bvh", request.param, out=tmp_path_factory.mktemp("walk"))


@pytest.fixture(scope="module", params=["humanoid", "atlas"])
def ran(request: pytest.FixtureRequest, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Retargeted:
    return stages.retarget(samples / "run.bvh", request.param, out=tmp_path_factory.mktemp("run"))


def numbers(result: Retargeted) -> dict[str, float]:
    """What was found: measure, or measure and field, with lengths as for a body of 1.7 m."""
    height = {"humanoid": 1.62, "atlas": 1.82}[result.clip.character]
    found = {}
    for check in result.verdict.checks:
        if check.found is not None:
            length = check.unit in ("cm", "cm/s")
            name = check.measure if check.field == "value" else f"{check.measure} {check.field}"
            found[name] = check.found * (1.7 / height if length else 1.0)
    return found


def assert_feet_are_down(result: Retargeted) -> None:
    """The issue's limits of an upright clip, written out here: the table of quality may not drift from them."""
    found = numbers(result)
    assert found["slide_cm_s"] <= 1.0
    assert found["slide_cm_s p95"] <= 4.0
    assert found["drift_cm"] <= 0.3
    assert found["penetration_cm"] <= 1.0
    assert found["penetration_cm p95"] <= 0.3
    assert found["float_cm p95"] <= 1.0
    assert found["contact_agreement"] >= 0.95
    assert found["limit_excess_deg"] <= 0.001
    assert found["pop"] <= 2.5
    assert found["seam"] <= 1.5
    assert found["airborne_error"] <= 5.0
    assert found["direction_error_deg"] <= 12.0
    assert found["heading_error_deg"] <= 5.0
    assert found["jerk_ratio"] <= 1.2
    assert found["side"] == 1.0


def test_walk(walked: Retargeted) -> None:
    assert_feet_are_down(walked)
    assert walked.verdict.passed, walked.verdict.failed
    assert walked.clip.loop
    assert walked.clip.duration == pytest.approx(1.26, abs=0.03)
    assert numbers(walked)["airborne_share"] == 0.0
    stance = [flags.mean() for flags in walked.clip.contacts.values()]
    assert all(0.5 < share < 0.75 for share in stance)  # a walk: each foot more than half the time


def test_run_keeps_its_flight(ran: Retargeted) -> None:
    assert_feet_are_down(ran)
    assert ran.verdict.passed, ran.verdict.failed
    assert ran.clip.duration == pytest.approx(0.80, abs=0.02)
    assert numbers(ran)["airborne_share"] > 0.3
    assert all(flags.mean() < 0.45 for flags in ran.clip.contacts.values())


def test_what_was_written_is_what_was_returned(walked: Retargeted) -> None:
    back = Clip.load(walked.folder / "clip.json")
    assert back.name == "walk"
    assert back.qpos == pytest.approx(walked.clip.qpos, abs=1e-9)
    assert {p.name for p in walked.folder.iterdir()} >= {"clip.json", "trajectory.npz", "gains.json", "quality.json"}


def test_the_same_source_gives_the_same_clip(walked: Retargeted, samples: Path, tmp_path: Path) -> None:
    again = stages.retarget(samples / "walk.bvh", walked.clip.character, out=tmp_path)
    assert again.clip.qpos.tobytes() == walked.clip.qpos.tobytes()
