"""The gymnasium environment: gymnasium's own check, seeds, endings."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
gymnasium = pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from motion.errors import InputError  # noqa: E402
from tests.test_train import source  # noqa: E402, F401


def make(source: Path, **values):  # noqa: F811
    return gymnasium.make("train.gym:mimic-pipe/Imitation-v0", clip=source, values=values)


def test_gymnasium_finds_nothing_wrong(source: Path):  # noqa: F811
    env = make(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_an_episode_ends_by_time_or_by_falling(source: Path):  # noqa: F811
    env = make(source, **{"task.horizon": 0.5, "task.early_termination": "contact"})
    env.reset(seed=0)
    steps, truncated = 0, False
    while not truncated:
        _, reward, terminated, truncated, info = env.step(np.zeros(env.action_space.shape, dtype=np.float32))
        steps += 1
        assert not terminated
        assert 0.0 < reward <= 1.0
        assert info["reason"] == "none"
    assert steps == 15
    env.close()


def test_the_same_seed_starts_the_same(source: Path):  # noqa: F811
    env = make(source)
    first, info = env.reset(seed=3)
    env.reset(seed=4)
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    env.reset(options={"time": 0.25})
    assert env.unwrapped._env.phase()[0] == pytest.approx(0.25)
    assert 0.0 <= info["phase"] < 1.0
    env.close()


def test_a_wrong_setting_is_named(source: Path):  # noqa: F811
    with pytest.raises(InputError, match=r"no setting 'task\.residul'"):
        make(source, **{"task.residul": 1})
