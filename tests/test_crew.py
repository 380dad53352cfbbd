"""Crews of environments that take turns: the same seed gives the same bytes, and a training may go on with other crews."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train import crew  # noqa: E402
from train.env import ImitationEnv  # noqa: E402
from train.folder import Material  # noqa: E402
from train.ppo import Ppo, PpoSettings, read_checkpoint, write_checkpoint  # noqa: E402
from train.settings import RunSettings, changed  # noqa: E402

WALK = Path(__file__).resolve().parents[1] / "policies" / "humanoid" / "walk"
BASE = RunSettings(environments=7, learning=PpoSettings(steps=6, minibatch=16, hidden=(16,)))


@pytest.fixture(scope="module")
def material() -> Material:
    return Material.load(WALK)


def learner(material: Material, threads: int, **values) -> Ppo:
    settings = changed(BASE, {"physics.threads": threads, **values})
    return Ppo(crew.muster(material, settings, ImitationEnv), settings.learning, settings.seed)


def learnt(ppo: Ppo, batches: int = 2) -> list[float]:
    """Figures that tell whether everything was the same."""
    try:
        rewards = [ppo.iterate()["reward"] for _ in range(batches)]
    finally:
        crew.dismiss(ppo.envs)
    return [*rewards, *(float(weights.detach().double().sum()) for weights in ppo.policy.parameters())]


def test_crews_share_the_environments_and_the_threads(material: Material):
    ppo = learner(material, 2)
    assert [env.count for env in ppo.envs] == [3, 4]
    assert [env.engine.settings.threads for env in ppo.envs] == [1, 1]
    assert not np.array_equal(ppo.envs[0].time, ppo.envs[1].time[:3])
    crew.dismiss(ppo.envs)
    assert len(crew.muster(material, changed(BASE, {"physics.threads": 1}), ImitationEnv)) == 1
    assert len(crew.muster(material, changed(BASE, {"environments": 1}), ImitationEnv)) == 1


def test_the_same_seed_gives_the_same_bytes(material: Material):
    one, other = (learnt(learner(material, 2)) for _ in range(2))
    assert one == other
    assert one != learnt(learner(material, 2, seed=1))


def test_pybullet_too(material: Material):
    one, other = (learnt(learner(material, 2, engine="pybullet", environments=2), 1) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_training_goes_on_with_other_crews(material: Material, tmp_path: Path, before: int, after: int):
    first, then = learner(material, before), learner(material, after)
    first.iterate()
    first.save(tmp_path / "checkpoint.pt")
    then.load(tmp_path / "checkpoint.pt")
    for name in ("time", "age"):
        one, other = (np.concatenate([getattr(env, name) for env in ppo.envs]) for ppo in (first, then))
        np.testing.assert_array_equal(one, other)
    one, other = (torch.cat(ppo.observations) for ppo in (first, then))
    torch.testing.assert_close(one, other)
    crew.dismiss(first.envs)
    assert np.isfinite(learnt(then, 1)).all()


def test_crews_that_are_new_draw_numbers_of_their_own(material: Material):
    ppo = learner(material, 1)
    apart = crew.spread([ppo.envs[0].snapshot()], [3, 4])
    assert [len(snapshot["qpos"]) for snapshot in apart] == [3, 4]
    assert apart[0]["random"] != apart[1]["random"]
    crew.dismiss(ppo.envs)


def test_a_checkpoint_of_the_first_layout_goes_on_as_it_would_have(material: Material, tmp_path: Path):
    """One optimiser with a group for the actor and one for the critic, one world."""
    ppo = learner(material, 1)
    ppo.iterate()
    ppo.save(tmp_path / "new.pt")
    content = read_checkpoint(tmp_path / "new.pt")
    actor, critic = content.pop("actor"), content.pop("critic")
    count = len(actor["param_groups"][0]["params"])
    moved = {count + key: value for key, value in critic["state"].items()}
    groups = [actor["param_groups"][0], {**critic["param_groups"][0], "params": sorted(moved)}]
    content["optimiser"] = {"state": actor["state"] | moved, "param_groups": groups}
    content["world"] = content.pop("worlds")[0]
    write_checkpoint(content, tmp_path / "old.pt")
    crew.dismiss(ppo.envs)
    found = []
    for name in ("new.pt", "old.pt"):
        again = learner(material, 1)
        again.load(tmp_path / name)
        found.append(learnt(again, 1))
    assert found[0] == found[1]
