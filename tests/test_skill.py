"""The chain from a motion to a shipped policy, the list of skills, its table, and the policies that ship."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from characters.character import Character  # noqa: E402
from motion import files  # noqa: E402
from motion.clip import Clip  # noqa: E402
from motion.errors import InputError  # noqa: E402
from pipeline import ablation, cli, performance, skill, skills_page  # noqa: E402
from pipeline.skill import Entry, SkillList  # noqa: E402
from tests.test_train import source  # noqa: E402, F401
from train import engine, folder, run, settings  # noqa: E402
from train.env import ImitationEnv  # noqa: E402
from train.evaluate import actor  # noqa: E402
from train.ppo import load_policy  # noqa: E402
from train.push import Survived  # noqa: E402
from train.score import score  # noqa: E402

ROOT = Path(__file__).parents[1]
SMALL = {
    "environments": 8,
    "samples": 64,
    "episodes": 2,
    "task.horizon": 0.3,
    "learning.steps": 8,
    "learning.minibatch": 32,
    "learning.hidden": [16],
}
SHIPPED = sorted(path.parent for path in (ROOT / "policies").glob("*/*/policy.onnx"))


# ------------------------------------------------------------------ the list


def test_the_list_is_sound_and_covers_the_paper():
    listed = SkillList.load()
    names = [(entry.char, entry.title) for entry in listed.skill]
    assert len(set(names)) == len(names)
    first = ["walk", "run", "spinkick", "backflip"]
    assert names[:4] == [("humanoid", name) for name in first]
    assert {("atlas", "walk"), ("trex", "walk"), ("dragon", "walk"), ("trex", "trex_walk")} <= set(names)
    for entry in listed.skill:
        assert entry.kind in listed.recipes
        plan = listed.settings(entry)
        assert plan.at(plan.samples).samples == plan.samples
        assert entry.ships or "shared" in entry.clip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('char = "humanoid"\nclip = "walk.bvh"\nkind = "cycle"\nsamples = 5', "without a reason"),
        ('char = "humanoid"\nclip = "walk.bvh"\nkind = "cycle"\nforce = true', "without a reason"),
        ('char = "humanoid"\nclip = "walk.bvh"\nkind = "cycle"\npaper = {nr = 1.0, samples = 0.4}', "a fifth"),
        ('char = "humanoid"\nclip = "walk.bvh"\nkind = "floor"', "no recipe for floor"),
        ('char = "humanoid"\nclip = "walk.bvh"\nkidn = "cycle"', "unknown key skill.0.kidn"),
        ('char = "a"\nclip = "b"\nkind = "cycle"\nreason = "r"\nset = {"task.rewrad" = 1}', "no setting 'task.rewrad'"),
        ("char = ", "not valid TOML"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "skills.toml"
    path.write_text(f"[recipes.cycle]\nsamples = 100_000\n\n[[skill]]\n{text}\n")
    with pytest.raises(InputError) as caught:
        SkillList.load(path)
    assert said in str(caught.value)


def test_a_skill_adds_to_its_recipe():
    listed = SkillList.model_validate(
        {
            "recipes": {"cycle": {"samples": 100, "set": {"task.residual": 0.3, "learning.kl": 0.02}}},
            "skill": [
                {
                    "char": "a",
                    "clip": "x/b.keyframes.toml",
                    "kind": "cycle",
                    "set": {"task.residual": 0.2},
                    "reason": "r",
                }
            ],
        }
    )
    (entry,) = listed.skill
    plan = listed.settings(entry)
    assert (plan.samples, plan.task.residual, plan.learning.kl) == (100, 0.2, 0.02)
    assert (entry.title, entry.run) == ("b", Path("policies/a/b"))
    assert entry.model_copy(update={"ships": False}).run == Path("runs/a/b")


# ------------------------------------------------------------------ the chain


@pytest.fixture
def at_home(source: Path, tmp_path: Path, monkeypatch) -> Path:  # noqa: F811
    """A working folder where the motion stand.bvh was retargeted before, and pushing is a matter of no time."""
    home = tmp_path / "home"
    (home / "raw_mocap").mkdir(parents=True)
    (home / "raw_mocap/stand.bvh").write_text("not read: it was retargeted already")
    clip = Clip.load(source / "clip.json")
    origin = {
        "source_sha256": files.sha256(home / "raw_mocap/stand.bvh"),
        "character_sha256": Character.load("humanoid").sha256,
    }
    replace(clip, provenance=origin).save(home / "processed/humanoid/stand/clip.json")
    (home / "processed/humanoid/stand/gains.json").write_bytes((source / "gains.json").read_bytes())
    monkeypatch.chdir(home)
    monkeypatch.setattr(engine, "ENGINES", ("mujoco",))
    survived = Survived.of(np.full(8, 60.0), 1000.0)
    monkeypatch.setattr(run, "push_folder", lambda out: dict.fromkeys(("forward", "left", "right"), survived))
    return home


def perform(said: list[str], **options) -> Path:
    return skill.perform("stand.bvh", "humanoid", lambda *_: lambda figures: None, said.append, values=SMALL, **options)


def test_the_whole_chain_and_where_it_stopped(at_home: Path, monkeypatch):
    said: list[str] = []
    out = perform(said)
    assert out == Path("policies/humanoid/stand")
    ours = {"config.json", "clip.json", "gains.json", "metrics.csv", "policy.pt", "policy.onnx"}
    assert {path.name for path in out.iterdir()} == ours | {"evaluation.json", "push.json"}
    assert "recipe for cycle" in said[0]
    plan = settings.load(out)
    assert (plan.environments, plan.samples, plan.physics.threads) == (8, 64, 1)

    evaluated = (out / "evaluation.json").read_bytes()
    monkeypatch.setattr(run, "train", None)
    monkeypatch.setattr(run, "resume", None)
    (out / "push.json").unlink()
    said.clear()
    perform(said)
    assert said[1:] == ["pushing"]
    assert json.loads((out / "push.json").read_text())["left"]["median"] == 60.0
    assert (out / "evaluation.json").read_bytes() == evaluated


def test_an_interrupted_training_goes_on(at_home: Path):
    def watch(samples: int, horizon: float) -> run.Report:
        def report(figures: dict[str, float]) -> None:
            raise KeyboardInterrupt

        return report

    with pytest.raises(KeyboardInterrupt):
        skill.perform("stand.bvh", "humanoid", watch, lambda line: None, values={**SMALL, "samples": 128})
    out = perform([])
    assert settings.load(out).samples == 64  # what was asked for the second time
    assert (out / "push.json").exists()


def test_another_source_is_retargeted_again(at_home: Path):
    (at_home / "raw_mocap/stand.bvh").write_text("another motion")
    with pytest.raises(InputError, match=r"stand\.bvh"):
        perform([])


def test_what_may_not_ship_leaves_its_figures(at_home: Path):
    entry = Entry(char="humanoid", clip="stand.bvh", kind="cycle", ships=False)
    recipes = SkillList.load().recipes
    listed = SkillList(recipes=recipes, skill=[entry])
    out = perform([], listed=listed)
    assert out == Path("runs/humanoid/stand")
    kept = {path.name for path in Path("docs/results/figures/humanoid/stand").iterdir()}
    assert kept == {"config.json", "evaluation.json", "push.json", "metrics.csv", "quality.json"}
    (row,) = skills_page.write(listed)
    assert row[0] == "stand"
    assert row[3] != "–"


# ------------------------------------------------------------------ the table


def test_the_page_tells_what_is_trained_and_what_is_not(at_home: Path):
    out = perform([])
    clip = Clip.load(out / "clip.json")
    measured = {"torque_ratio": {"value": 0.5}, "root_residual": {"value": 1.25}, "contact_agreement": {"value": 1.0}}
    replace(clip, quality={"passed": False, "failed": ["pop"], "measures": measured}).save(out / "clip.json")
    paper = {"nr": 0.985, "samples": 61, "forward": 240, "sideways": 300}
    rows = [
        {"char": "humanoid", "clip": "stand.bvh", "kind": "cycle", "paper": paper, "notes": "stands"},
        {"char": "atlas", "clip": "walk.bvh", "kind": "cycle", "paper": {"nr": 0.988, "samples": 44}},
    ]
    listed = SkillList.model_validate({"recipes": {"cycle": {"samples": 100}}, "skill": rows})
    stand, walk = (dict(zip(skills_page.RESULTS, row, strict=True)) for row in skills_page.write(listed))
    nr = files.read_json(out / "evaluation.json")["synced"]["returns"]["paper-2018-weighted"]
    assert stand["NR weighted (paper)"] == f"{nr['mean']:.3f} ± {nr['ci95']:.3f} (0.985)"
    assert stand["million samples (paper)"] == "0.00 (61)"
    assert stand["pushed forward, sideways (paper)"] == "60 = 0.14 W, 60 = 0.14 W (240, 300)"
    assert walk["NR weighted (paper)"] == "not trained (0.988)"
    assert walk["million samples (paper)"] == "– (44)"
    assert walk["pushed forward, sideways (paper)"] == "–"
    page = Path("docs/results/skills.md").read_text()
    assert "| stand | humanoid | fail: pop | 0.50 | 1.00 | 1.25 |" in page
    assert "- **stand** on humanoid: stands." in page


# ------------------------------------------------------------------ measured again


def test_evaluate_all_says_when_a_policy_is_not_what_its_files_say(at_home: Path, capsys):
    out = perform([])
    assert cli.run(["evaluate-all", "policies", "--episodes", "2", "--engine", "mujoco"]) == 0
    assert "humanoid/stand" in capsys.readouterr().out
    kept = files.read_json(out / "evaluation.json")
    kept["synced"]["returns"]["paper-2018-weighted"] = {"mean": 0.0, "ci95": 0.01}
    files.write_json(out / "evaluation.json", kept)
    assert cli.run(["evaluate-all", "policies", "--episodes", "2", "--engine", "mujoco"]) == 1
    assert "differs" in capsys.readouterr().out
    assert cli.run(["evaluate-all", "processed"]) == 3


def test_a_film_of_a_policy(at_home: Path):
    import imageio.v3 as iio

    out = perform([])
    film = performance.film(out, seconds=0.4)
    assert film == out / "film.gif"
    pictures = iio.imread(film)
    assert pictures.shape[1:] == (270, 480, 3)
    assert len(pictures) == 7


def test_an_ablation_is_a_table_and_is_not_done_twice(at_home: Path, monkeypatch):
    clip = at_home / "processed/humanoid/stand"
    monkeypatch.setattr(ablation, "VARIANTS", {name: ablation.VARIANTS[name] for name in ("rsi-et", "rsi")})

    def ablate() -> list[tuple[str, ...]]:
        return ablation.ablate(
            clip, Path("runs"), 64, (0, 1), lambda *_: lambda figures: None, lambda line: None, episodes=2, values=SMALL
        )

    rows = ablate()
    assert [row[:2] for row in rows] == [
        ("both", "0"),
        ("both", "1"),
        ("both", "median"),
        ("RSI only", "0"),
        ("RSI only", "1"),
        ("RSI only", "median"),
    ]
    trained = settings.load(Path("runs/rsi-1"))
    assert (trained.seed, trained.task.early_termination, trained.task.start) == (1, "none", "uniform")
    assert ablation.PAGE.read_text().count("| RSI only |") == 3
    monkeypatch.setattr(run, "train", None)
    assert ablate() == rows


@pytest.mark.parametrize("name", engine.ENGINES)
@pytest.mark.parametrize("policy", SHIPPED[:3], ids=lambda path: "-".join(path.parts[-2:]))
def test_a_shipped_policy_performs(policy: Path, name: str):
    """Three seconds of a few episodes; `make evaluate-all` does the whole."""
    plan, material = settings.load(policy), folder.Material.load(policy)
    now = plan.at(plan.samples)
    task = replace(now.task.measured(material.clip.loop), horizon=3.0)
    physics = replace(now.physics, threads=1)
    world = engine.make(name, material.character, material.preset(now.preset), 4, physics)
    try:
        found = score(actor(load_policy(folder.weights(policy))), ImitationEnv(world, material.clip, task, 0))
    finally:
        world.close()
    stored = folder.stored_evaluation(policy, name)
    least = 0.5 if stored is None else 0.85 * stored["synced"]["returns"]["paper-2018-weighted"]["mean"]
    assert found.returns["paper-2018-weighted"].mean >= least
