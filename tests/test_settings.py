"""Settings of a training: names, values, stages, and what changes when it is resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from motion.errors import InputError
from train import settings
from train.settings import RunSettings, Stage, changed, parse, resumed


def test_every_setting_is_reached_by_its_name():
    given = (
        "task.residual=0.3",
        "task.early_termination=none",
        "task.disturbance.push_force=0.5",
        "learning.hidden=[64, 32]",
        "physics.self_collision=true",
        "samples=5000",
    )
    plan = changed(RunSettings(), parse(given))
    assert (plan.task.residual, plan.task.early_termination, plan.task.disturbance.push_force) == (0.3, "none", 0.5)
    assert (plan.learning.hidden, plan.physics.self_collision, plan.samples) == ((64, 32), True, 5000)
    assert plan.learning.gamma == RunSettings().learning.gamma


@pytest.mark.parametrize(
    ("given", "said", "hint"),
    [
        ("task.residul=1", "no setting 'task.residul'", "task.residual"),
        ("reward=paper-2018", "no setting 'reward'", "task.reward"),
        ("task=1", "no setting 'task'", ""),
        ("task.residual", "expected KEY=VALUE", "task.residual=0.3"),
        ("task.residual=much", "task.residual: input should be a valid number", ""),
        ("task.early_termination=fall", "'contact', 'deviation', 'both' or 'none'", ""),
        ("learning.gamma=NaN", "learning.gamma: expected a finite number", ""),
        ("environments=0", "environments: input should be greater than 0, found 0", ""),
        ("learning.minibatch=0", "learning.minibatch: input should be greater than or equal to 1, found 0", ""),
        ("learning.gamma=1.5", "learning.gamma: input should be less than 1, found 1.5", ""),
        ("learning.gamma=1", "learning.gamma: input should be less than 1", ""),
        ("learning.lam=-0.1", "learning.lam: input should be greater than or equal to 0", ""),
        ("learning.hidden=[64, 0]", "learning.hidden.1: input should be greater than or equal to 1, found 0", ""),
        ("task.residual=-0.5", "task.residual: input should be greater than or equal to 0, found -0.5", ""),
        ("task.horizon=0", "task.horizon: input should be greater than 0", ""),
        ("physics.timestep=-0.004", "physics.timestep: input should be greater than 0", ""),
        ("physics.threads=0", "physics.threads: input should be greater than or equal to 1", ""),
        ("task.disturbance.push_force=-1", "push_force and action_noise cannot be negative", ""),
    ],
)
def test_what_cannot_be_set_is_said_in_a_line(given: str, said: str, hint: str):
    with pytest.raises(InputError) as caught:
        changed(RunSettings(), parse((given,)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hint in (caught.value.hint or "")


def test_every_number_has_its_range():
    known = {*settings.RANGES, "environments", "samples", "seed", "episodes"}
    for name in settings.names():
        value = settings.value_of(RunSettings(), name)
        if isinstance(value, int | float) and not isinstance(value, bool) and "disturbance" not in name:
            assert name in known
    assert known <= set(settings.names())


def test_a_stage_that_cannot_be_is_found_at_once():
    plan = {"stages": [{"after": 0.5, "set": {"learning.gamma": 1.5}}]}
    with pytest.raises(InputError, match=r"my\.json: stages: learning\.gamma: input should be less than 1"):
        settings.from_json(plan, "my.json")


def test_config_json_comes_back_as_it_was(tmp_path: Path):
    plan = replace(RunSettings(samples=7), stages=(Stage(0.5, {"task.reward": "paper-2018"}),))
    plan = resumed(plan, 4, {"learning.kl": 0.02})
    settings.save(plan, tmp_path)
    assert settings.load(tmp_path) == plan
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["format"], written["version"]) == ("mimic-config", 1)


@pytest.mark.parametrize(
    ("key", "content", "said", "hint"),
    [
        ("task", {"residul": 0.3}, "unknown key task.residul", "residual"),
        ("smaples", 3, "unknown key smaples", "samples"),
        ("stages", [{"after": 0.5, "ste": {}}], "unknown key stages.ste", "set"),
        ("stages", [{"after": 0.5, "set": {"task.rewrad": 1}}], "no setting 'task.rewrad'", "task.reward"),
        ("stages", [{"after": 0.5, "set": {"samples": 1}}], "samples cannot change in a stage", ""),
        ("version", 2, "expected version 1", ""),
    ],
)
def test_a_strange_config_is_refused(tmp_path: Path, key: str, content: object, said: str, hint: str):
    (tmp_path / "config.json").write_text(json.dumps({key: content}))
    with pytest.raises(InputError) as caught:
        settings.load(tmp_path)
    assert said in str(caught.value)
    assert hint in (caught.value.hint or "")


def test_stages_add_up():
    plan = replace(
        RunSettings(samples=1000),
        stages=(Stage(0.25, {"learning.kl": 0.02}), Stage(0.6, {"task.reward": "paper-2018"})),
    )
    assert plan.borders() == [250, 600, 1000]
    assert plan.at(249) == plan
    assert (plan.at(250).learning.kl, plan.at(250).task.reward) == (0.02, "paper-2018-weighted")
    assert (plan.at(600).learning.kl, plan.at(600).task.reward) == (0.02, "paper-2018")


def test_more_samples_do_not_take_a_stage_back():
    plan = replace(RunSettings(samples=1000), stages=(Stage(0.6, {"task.reward": "paper-2018"}), Stage(0.9, {})))
    longer = resumed(plan, 700, {"samples": 4000})
    assert longer.at(700).task.reward == "paper-2018"
    assert longer.borders() == [3600, 4000]
    (change,) = longer.history
    assert (change.samples, change.set, change.was) == (700, {"samples": 4000}, {"samples": 1000})


def test_resuming_with_the_same_settings_changes_nothing():
    plan = RunSettings(samples=1000)
    assert resumed(plan, 700, {"samples": 1000, "task.residual": 0.5}) is plan


@pytest.mark.parametrize("name", ["environments", "learning.log_std"])
def test_what_the_checkpoint_holds_cannot_change(name: str):
    with pytest.raises(InputError, match=f"{name} cannot change once a training has begun"):
        resumed(RunSettings(), 700, {name: 1})
