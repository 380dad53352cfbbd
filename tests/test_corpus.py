"""Real clips of many rigs onto both bodies, through the very stage that `mimic-pipe retarget` runs.

The whole corpus is `make results`; here is a part that takes a minute. What a clip passes here it must go on passing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import MOCAP

from motion.clip import Clip
from pipeline import stages
from pipeline.stages import Retargeted, RetargetSettings
from retarget.measures import Verdict

BODIES = ("humanoid", "atlas")
SECONDS = 5.0
"""of a clip's beginning are retargeted: enough to judge, and quick"""

GOOD = (
    "walk",
    "run",
    "jump",
    "getup_faceup",
    "cmu-mb/06_01.bvh",
    "cmu-daz/10_03.bvh",
    "cmu-blender30/10_02.bvh",
    "cmu-max/131_03.bvh",
    "perfume/B_test.bvh",
    "pymo/AV_8Walk_Meredith_HVHA_Rep1.bvh",
    "animated-drawings/wave_hello.bvh",
    "torture/bvh-toolbox__walk01.bvh",
    "cmu-mb/06_15.bvh",
)
"""samples, and files of the collection: different skeletons, units, axes, frame rates and rotation orders"""

HARD = (
    "backflip",
    "cartwheel",
    "roll",
    "spinkick",
    "cmu-mb/05_02.bvh",
    "cmu-max/131_01.bvh",
    "dfki/custom_skeleton_walk_example.bvh",
    "makehuman/zombieWalk1.bvh",
    "snu-clip/run_clip.bvh",
    "rokoko/jesse_dance.bvh",
    "torture/bvh-python__test_freebvh.bvh",
    "torture/pybvh__bvh_test1.bvh",
    "univrm/vrm10viewer_test_motion.txt",
)
"""acrobatics, pirouettes, 24 frames/s, odd skeletons: not every number is good, but these must be"""
ALWAYS = {"side", "heading_error_deg", "limit_excess_deg", "penetration_cm", "float_cm", "direction_error_deg"}


def source(name: str, samples: Path) -> Path:
    """A sample's file, or one of the collection; the test is skipped where that is absent."""
    if "/" not in name:
        return samples / f"{name}.bvh"
    if not (MOCAP / name).exists():
        pytest.skip("the mocap collection is not here (set MIMIC_MOCAP to its folder)")
    return MOCAP / name


def retargeted(path: Path, body: str, out: Path) -> Retargeted:
    settings = RetargetSettings(stop=SECONDS) if path.is_relative_to(MOCAP) else None
    return stages.retarget(path, body, out=out, name="clip", settings=settings)


def broken(verdict: Verdict, measures: set[str] | None = None) -> list[str]:
    return [str(c) for c in verdict.checks if c.status == "fail" and (measures is None or c.measure in measures)]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("name", GOOD)
def test_breaks_no_limit(name: str, body: str, samples: Path, tmp_path: Path):
    result = retargeted(source(name, samples), body, tmp_path)
    assert not broken(result.verdict)
    measured = {check.measure for check in result.verdict.checks if check.found is not None}
    assert {"slide_cm_s", "penetration_cm", "side", "direction_error_deg", "limit_excess_deg"} <= measured
    assert Clip.load(result.folder / stages.CLIP).character == body


@pytest.mark.parametrize(("name", "body"), [(name, BODIES[i % 2]) for i, name in enumerate(HARD)])
def test_keeps_sides_heading_limits_and_ground(name: str, body: str, samples: Path, tmp_path: Path):
    result = retargeted(source(name, samples), body, tmp_path)
    assert not broken(result.verdict, ALWAYS)


def test_a_kick_is_no_loop_and_a_walk_is_one(samples: Path, tmp_path: Path):
    assert not retargeted(samples / "kick.bvh", "atlas", tmp_path / "kick").clip.loop
    walk = retargeted(samples / "walk.bvh", "atlas", tmp_path / "walk").clip
    assert walk.loop
    assert walk.duration == pytest.approx(1.26, rel=0.03)
