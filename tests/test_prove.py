"""The proof of gains: what it measures, in both engines, and that it can fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from characters.character import Character
from motion.clip import Clip
from motion.errors import InputError
from motion.gains import Gains, JointGain
from pipeline import prove
from train.engine import ENGINES

WALK = Path(__file__).parents[1] / "policies" / "humanoid" / "walk"


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def one_preset(body: Character, **changes: float) -> Gains:
    limits = body.torque_limits
    preset = {
        name: JointGain(**{"kp": 5 * limit, "kd": 0.15 * limit, "torque_limit": limit} | changes)
        for name, limit in limits.items()
    }
    return Gains(character=body.name, timestep=1 / 240, presets={"default": preset}, evidence={})


def test_engines_agree_on_the_walk(humanoid: Character):
    found = prove.prove(humanoid, Clip.load(WALK / "clip.json"), one_preset(humanoid)).engines
    assert tuple(found) == ENGINES
    one, other = (found[name]["default"] for name in ENGINES)
    assert one.passed
    assert other.passed
    assert one.lookahead == pytest.approx(0.03)
    assert one.rest_deg == pytest.approx(other.rest_deg, abs=0.05)
    for joint, error in one.tracking_by_joint.items():
        assert other.tracking_by_joint[joint] == pytest.approx(error, abs=0.5), joint
    assert one.tracking_deg == one.tracking_by_joint[one.tracking_joint] == max(one.tracking_by_joint.values())
    assert one.without_lookahead_deg > 3 * one.tracking_deg
    assert one.saturated_share == 0.0


@pytest.mark.parametrize("name", ENGINES)
def test_weak_gains_fail_and_say_why(humanoid: Character, name: str):
    clip = Clip.load(WALK / "clip.json")
    soft = prove.prove(humanoid, clip, one_preset(humanoid, kp=5.0, kd=1.0), engines=[name]).engines[name]["default"]
    assert not soft.passed
    assert soft.tracking_deg > prove.TRACKED
    faint = prove.prove(humanoid, clip, one_preset(humanoid, torque_limit=1.0), engines=[name]).engines[name]["default"]
    assert not faint.passed
    assert faint.saturated_share > 0.3


def test_quiver_is_the_fast_part():
    time = np.arange(480) / 240
    slow, fast = 0.1 * np.sin(2 * np.pi * 1.0 * time), 0.01 * np.sin(2 * np.pi * 60.0 * time)
    errors = np.stack([slow, slow + fast], axis=1)[:, None]
    left = np.sqrt((prove._fast(errors, 1 / 240)[50:-50] ** 2).mean(axis=0))[0]
    assert left[0] < 5e-4
    assert left[1] == pytest.approx(0.01 / np.sqrt(2), rel=0.1)


def test_without_an_engine_it_says_so(humanoid: Character):
    with pytest.raises(InputError, match="no engine is installed") as caught:
        prove.prove(humanoid, Clip.load(WALK / "clip.json"), one_preset(humanoid), engines=[])
    assert "pybullet" in str(caught.value.hint)


def test_the_command_keeps_the_proof_and_needs_no_torch(tmp_path: Path):
    (tmp_path / "clip.json").write_bytes((WALK / "clip.json").read_bytes())
    code = (
        "import sys\nfrom pipeline.cli import cli\n"
        f"code = cli.main(['gains', {str(tmp_path)!r}, '--prove', '--json'], standalone_mode=False)\n"
        "sys.exit(9 if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=WALK.parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "gains.json").read_text())
    proof = printed["evidence"]["proof"]
    assert proof["clip"] == "walk"
    for name in ENGINES:
        assert set(proof["engines"][name]) == {"soft", "default", "stiff"}
        assert proof["engines"][name]["default"]["passed"]
        assert proof["engines"][name]["default"]["tracking_deg"] < prove.TRACKED
