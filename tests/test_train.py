"""A training on files from end to end, in seconds: run folder, resume, export, evaluation, bad input."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from characters.character import Character  # noqa: E402
from motion.clip import Clip, CycleOffset  # noqa: E402
from motion.errors import InputError, SolveError  # noqa: E402
from motion.gains import Gains, JointGain  # noqa: E402
from pipeline import cli, cli_train  # noqa: E402
from train import folder, run, settings  # noqa: E402
from train.engine import EngineSettings  # noqa: E402
from train.env import EnvSettings  # noqa: E402
from train.ppo import PpoSettings, load_policy  # noqa: E402
from train.settings import RunSettings  # noqa: E402

SMALL = RunSettings(
    environments=8,
    samples=8 * 8 * 3,
    episodes=2,
    physics=EngineSettings(threads=1),
    task=EnvSettings(horizon=0.3),
    learning=PpoSettings(steps=8, minibatch=32, hidden=(16,)),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The humanoid standing still for a second, as a loop."""
    return standing("humanoid", tmp_path / "stand")


def standing(char: str, out: Path, *, loop: bool = True) -> Path:
    """A folder with the clip of a body that stands still for a second, and gains."""
    body = Character.load(char)
    count = 60
    clip = Clip(
        "stand",
        body.name,
        loop,
        1.0,
        body.specs,
        np.arange(count) / (count if loop else count - 1),
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
    clip.save(out / "clip.json")
    Gains(character=body.name, timestep=1 / 240, presets={"soft": preset}, evidence={}).save(out / "gains.json")
    return out


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


@pytest.mark.parametrize("threads", [1, 2])
def test_resuming_equals_never_having_stopped(source: Path, tmp_path: Path, threads: int):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    chosen = replace(SMALL, physics=EngineSettings(threads=threads))
    train(source, whole, chosen)
    train(source, parts, replace(chosen, samples=64))
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


def test_a_clip_of_another_body_is_refused(source: Path, tmp_path: Path):
    with pytest.raises(InputError, match="clip stand is of humanoid, whose joints are not those of atlas") as caught:
        train(source, tmp_path / "policy", char="atlas")
    assert "retarget it with --char atlas" in str(caught.value.hint)
    assert not (tmp_path / "policy").exists()


def test_gains_that_miss_a_joint_are_refused(source: Path, tmp_path: Path):
    gains = Gains.load(source / "gains.json")
    short = {name: gain for name, gain in gains.presets["soft"].items() if name != "left_knee"}
    gains.model_copy(update={"presets": {"soft": short}}).save(source / "gains.json")
    with pytest.raises(InputError, match="gains miss joint 'left_knee'"):
        train(source, tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_a_clip_that_failed_validation_needs_force(source: Path, tmp_path: Path):
    clip = Clip.load(source / "clip.json")
    replace(clip, quality={"passed": False, "failed": ["seam", "pop"]}).save(source / "clip.json")
    with pytest.raises(InputError, match="clip stand failed validation: seam, pop") as caught:
        train(source, tmp_path / "policy")
    assert "--force" in str(caught.value.hint)
    assert not (tmp_path / "policy").exists()
    train(source, tmp_path / "policy", force=True)


def test_a_body_that_explodes_is_found_before_learning(source: Path, tmp_path: Path):
    gains = Gains.load(source / "gains.json")
    wild = {name: JointGain(kp=1e9, kd=0.0, torque_limit=1e9) for name in gains.presets["soft"]}
    gains.model_copy(update={"presets": {"soft": wild}}).save(source / "gains.json")
    with pytest.raises(SolveError, match=r"humanoid explodes at a timestep of 1/240 s: \d of 8 bodies") as caught:
        train(source, tmp_path / "policy")
    assert "--preset" in str(caught.value.hint)
    assert not (tmp_path / "policy").exists()


class Interrupter:
    """Presses Ctrl-C when a batch is reported."""

    def __init__(self, batch: int):
        self.left = batch

    def __call__(self, figures: dict[str, float]) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_saves_and_the_rest_is_as_if_it_had_not_been(source: Path, tmp_path: Path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(source, whole)
    with pytest.raises(KeyboardInterrupt, match="interrupted after 64 samples; the checkpoint is saved, --resume"):
        run.train(source, parts, SMALL, Interrupter(1))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resume(parts)
    a, b = load_policy(whole / "checkpoint.pt").state_dict(), load_policy(parts / "checkpoint.pt").state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_ctrl_c_on_the_command_line(source: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(cli_train.Progress, "__call__", lambda self, figures: os.kill(os.getpid(), signal.SIGINT))
    small = ("environments=8", "learning.steps=8", "learning.minibatch=32", "learning.hidden=[16]")
    given = [part for assignment in small for part in ("--set", assignment)]
    out = tmp_path / "policy"
    assert cli.run(["train", str(source), "--out", str(out), "--threads", "1", *given]) == 130
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1] == "interrupted after 64 samples; the checkpoint is saved, --resume goes on"
    assert settings.load(out).physics.threads == 1
    assert not list(out.glob(".*"))
    assert load_policy(out / "checkpoint.pt")


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(source: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "policy"
    train(source, out, replace(SMALL, samples=64))
    before = (out / "checkpoint.pt").read_bytes()
    with limited(20_000), pytest.raises(InputError, match="cannot write") as caught:
        resume(out, samples=256)
    assert "disk full" in str(caught.value.hint)
    assert (out / "checkpoint.pt").read_bytes() == before
    assert not list(out.glob(".*.part"))
    resume(out, samples=128)


@contextmanager
def limited(size: int):
    """No file of this process may grow beyond ``size`` bytes: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_stages_change_the_settings_on_the_way(source: Path, tmp_path: Path):
    out = tmp_path / "policy"
    staged = replace(SMALL, stages=(settings.Stage(0.5, {"task.reward": "paper-2018", "learning.gamma": 0.9}),))
    train(source, out, staged)
    with (out / "metrics.csv").open() as file:
        assert [float(row["samples"]) for row in csv.DictReader(file)] == [64, 128, 192]
    plain = tmp_path / "plain"
    train(source, plain)
    rewards = [[row["reward"] for row in csv.DictReader((folder / "metrics.csv").open())] for folder in (out, plain)]
    assert rewards[0][:2] == rewards[1][:2]
    assert rewards[0][2] < rewards[1][2]  # the plain sums of the last stage give less


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"task.disturbance.push_force": 0.5, "task.disturbance.friction": [0.5, 1.0], "task.start": "failure"}),
        ({"task.disturbance.push_force": 0.5, "task.start": "failure"}, {"task.disturbance.push_force": 0.0}),
        ({"task.start": "failure"}, {"task.start": "uniform"}),
    ],
)
def test_a_stage_turns_disturbances_and_starts_on_or_off(source: Path, tmp_path: Path, first: dict, then: dict):
    out = tmp_path / "policy"
    train(source, out, settings.changed(replace(SMALL, stages=(settings.Stage(0.5, then),)), first))
    with (out / "metrics.csv").open() as file:
        assert [float(row["samples"]) for row in csv.DictReader(file)] == [64, 128, 192]


def test_the_curve_says_where_episodes_are_cut_short(source: Path, tmp_path: Path):
    out = tmp_path / "policy"
    strict = replace(
        SMALL.task, start="zero", deviation_com=1e-9
    )  # every first step strays: phase 1/30 of a second's clip
    train(source, out, replace(SMALL, task=strict))
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["fall_phase"]) for row in rows] == [0.025] * 3
    assert [float(row["ended_deviation"]) for row in rows] == [64.0] * 3


def test_what_resuming_changes_is_kept(source: Path, tmp_path: Path):
    out = tmp_path / "policy"
    train(source, out, replace(SMALL, samples=64))
    resume(out, **{"samples": 128, "task.residual": 0.25})
    (change,) = settings.load(out).history
    assert (change.samples, change.was) == (64, {"samples": 64, "task.residual": 0.5})
    assert settings.load(out).task.residual == 0.25


def test_what_ships_is_enough_to_evaluate(source: Path, tmp_path: Path):
    out, shipped = tmp_path / "policy", tmp_path / "shipped"
    found = train(source, out)
    folder.ship(out, shipped)
    ours = {"config.json", "clip.json", "gains.json", "metrics.csv", "policy.pt", "policy.onnx", "evaluation.json"}
    assert {path.name for path in shipped.iterdir()} == ours
    folder.ship(out, out)
    assert {path.name for path in out.iterdir()} == ours
    assert run.evaluate_folder(out, episodes=2).normalized_return == found.normalized_return
    with pytest.raises(InputError, match="the policy there is finished") as caught:
        resume(out)
    assert "--config" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"expected a finished training with config\.json"):
        folder.ship(source, shipped)


def test_a_thinned_curve_keeps_its_end():
    text = "samples,reward\n" + "".join(f"{k},{k / 3:.8g}\n" for k in range(1, 1001))
    rows = list(csv.DictReader(folder.thinned(text, 100).splitlines()))
    assert len(rows) == 100
    assert rows[-1] == {"samples": "1000", "reward": "333.33"}


def test_tensorboard_reads_the_curve(source: Path, tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "policy"
    train(source, out, replace(SMALL, samples=64))
    resume(out, samples=192)
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    with (out / "metrics.csv").open() as file:
        rows = [(int(row["samples"]), float(row["reward"])) for row in csv.DictReader(file)]
    read = [(event.step, event.value) for event in events.Scalars("reward")]
    assert [step for step, _ in read] == [step for step, _ in rows] == [64, 128, 192]
    np.testing.assert_allclose([value for _, value in read], [value for _, value in rows], rtol=1e-5)
    assert "episodes/contact" in events.Tags()["scalars"]


def test_help_does_not_wait_for_torch():
    code = (
        "import sys, click; from pipeline import cli_train; group = click.Group(); cli_train.register(group);"
        "group.main(['train', '--help'], standalone_mode=False); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'mujoco', 'numpy')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert "--resume" in done.stdout
