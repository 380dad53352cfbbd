"""A training on files from end to end, in seconds: run folder, resume, export, evaluation, bad input."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from characters.character import Character  # noqa: E402
from motion.clip import Clip, CycleOffset  # noqa: E402
from motion.errors import InputError  # noqa: E402
from motion.gains import Gains, JointGain  # noqa: E402
from train import run, settings  # noqa: E402
from train.engine import EngineSettings  # noqa: E402
from train.env import EnvSettings  # noqa: E402
from train.ppo import PpoSettings, load_policy  # noqa: E402
from train.settings import RunSettings  # noqa: E402

SMALL = RunSettings(
    environments=8,
    samples=8 * 8 * 3,
    episodes=2,
    physics=EngineSettings(threads=1),
    task=EnvSettings(horizon=1.0),
    learning=PpoSettings(steps=8, minibatch=32, hidden=(16,)),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The humanoid standing still for a second, as a loop."""
    body = Character.load("humanoid")
    count = 60
    clip = Clip(
        "stand",
        body.name,
        True,
        1.0,
        body.specs,
        np.arange(count) / count,
        np.repeat(body.rest[None], count, axis=0),
        np.zeros((count, body.layout.nv)),
        {},
        CycleOffset(np.zeros(3), 0.0),
    )
    preset = {
        j.name: JointGain(
            kp=5 * body.torque_limits[j.name],
            kd=0.25 * body.torque_limits[j.name],
            torque_limit=body.torque_limits[j.name],
        )
        for j in body.joints
    }
    clip.save(tmp_path / "stand" / "clip.json")
    Gains(character=body.name, timestep=1 / 240, presets={"soft": preset}, evidence={}).save(
        tmp_path / "stand" / "gains.json"
    )
    return tmp_path / "stand"


def train(source: Path, out: Path, settings: RunSettings = SMALL, **options):
    return run.train(source, out, settings, lambda figures: None, **options)


def resume(out: Path, **values):
    return run.resume(out, values, lambda figures: None)


def test_a_run_folder_holds_everything(source: Path, tmp_path: Path):
    out = tmp_path / "policy"
    found = train(source, out)
    inputs, curve = {"config.json", "clip.json", "gains.json"}, {"metrics.csv", "tensorboard"}
    results = {"checkpoint.pt", "policy.pt", "policy.onnx", "evaluation.json"}
    assert {path.name for path in out.iterdir()} == inputs | curve | results
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["samples"]) for row in rows] == [64, 128, 192]
    written = json.loads((out / "evaluation.json").read_text())
    assert written["normalized_return"] == found.normalized_return
    assert set(written["synced"]["returns"]) == {"paper-2018", "paper-2018-weighted"}
    assert settings.load(out) == SMALL
    again = run.evaluate_folder(out, episodes=2)
    assert again.normalized_return == found.normalized_return


def test_resuming_equals_never_having_stopped(source: Path, tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(source, whole)
    train(source, parts, replace(SMALL, samples=64))
    resume(parts, samples=SMALL.samples)
    a, b = load_policy(whole / "checkpoint.pt"), load_policy(parts / "checkpoint.pt")
    for (name, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    metrics = [[row[:3] for row in csv.reader((folder / "metrics.csv").open())] for folder in (whole, parts)]
    assert metrics[0] == metrics[1]


def test_the_exported_policy_is_the_policy(source: Path, tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "policy"
    train(source, out)
    policy = load_policy(out / "checkpoint.pt")
    seen = np.random.default_rng(0).normal(size=(5, len(policy.normaliser.mean))).astype(np.float32)
    session = onnxruntime.InferenceSession(str(out / "policy.onnx"))
    (action,) = session.run(["action"], {"observation": seen})
    with torch.no_grad():
        expected = policy(torch.from_numpy(seen)).numpy()
    np.testing.assert_allclose(action, expected, atol=1e-5)


def test_a_run_is_not_overwritten(source: Path, tmp_path: Path):
    train(source, tmp_path / "policy")
    with pytest.raises(InputError) as caught:
        train(source, tmp_path / "policy")
    assert "--resume" in str(caught.value.hint)


def test_a_damaged_checkpoint_is_one_line(source: Path, tmp_path: Path):
    out = tmp_path / "policy"
    train(source, out)
    whole = (out / "checkpoint.pt").read_bytes()
    (out / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged checkpoint"):
        resume(out)
    with pytest.raises(InputError, match="damaged checkpoint"):
        run.evaluate_folder(out)


def test_gains_of_another_body_or_without_the_preset_are_refused(source: Path, tmp_path: Path):
    with pytest.raises(InputError) as caught:
        train(source, tmp_path / "policy", replace(SMALL, preset="sofd"))
    assert "soft" in str(caught.value.hint)
    gains = Gains.load(source / "gains.json")
    gains.model_copy(update={"character": "atlas"}).save(source / "gains.json")
    with pytest.raises(InputError, match="expected gains of humanoid, found those of atlas"):
        train(source, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_help_does_not_wait_for_torch():
    code = (
        "import sys, click; from pipeline import cli_train; group = click.Group(); cli_train.register(group);"
        "group.main(['train', '--help'], standalone_mode=False); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'mujoco', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert "--resume" in done.stdout
