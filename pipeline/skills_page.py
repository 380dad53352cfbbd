"""docs/results/skills.md: what every skill of the list is worth, made of the figures beside the policies."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from characters.character import Character
from motion import files
from motion.clip import Clip
from pipeline.skill import QUALITY, Entry, SkillList
from train import folder, replay, settings

PAGE = Path("docs/results/skills.md")
WEIGHTED, PLAIN = "paper-2018-weighted", "paper-2018"
NONE = "–"
PREDICTORS = ("torque_ratio", "contact_agreement", "root_residual")
"""measures of feasibility that are held against what training achieved"""
GRAVITY = 9.81
TURN = 0.5
"""turns about an axis from which a skill is said to turn about it"""
ENOUGH = 5
"""rows from which a rank correlation is given"""
HEAD = """# Skills

Every skill of `train/skills.toml`, written by `make skills` from the files in `policies/`; `make evaluate-all` measures
the policies again. NR is the mean share of the reward possible in 32 episodes, 0 after a fall: *weighted* by the
release's joint weights (`paper-2018-weighted`) and *plain* (`paper-2018`); the published figure does not say which it
is. NR moves the reference's place onto the body at each new cycle, as the release does, NR_free never. ± is half a 95 %
interval over episodes of one policy, not over trainings. Pushes are newtons at the pelvis for 0.2 s, the median over 8
phases of the largest survived, also in the body's weights W. In brackets: Peng et al. 2018. – was not measured, or not
published.
"""
REPLAYED = """## Without retraining

Policies on bodies they were not trained on: `mimic-pipe evaluate POLICY --on CLIP --keep`. What is seen and done is
translated joint by joint, by role and name; a joint without a counterpart follows its reference. Beside it a zero
residual, which follows the reference with every joint, and the policy trained on that body.
"""
RESULTS = (
    "skill",
    "body",
    "NR weighted (paper)",
    "NR plain",
    "NR_free weighted",
    "NR_free plain",
    "other engine: NR, NR_free weighted",
    "without a fall",
    "zero residual",
    "turns",
    "million samples (paper)",
    "minutes",
    "pushed forward, sideways (paper)",
)
REPLAYS = (
    "policy of",
    "on",
    "joints matched",
    "NR weighted (paper)",
    "seconds",
    "without a fall",
    "zero residual there",
    "NR weighted of the policy trained there",
)
FEASIBILITY = ("skill", "body", "validation", *PREDICTORS, "NR weighted", "NR_free weighted")


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What is known of a trained skill."""

    entry: Entry
    evaluation: dict[str, Any]
    push: dict[str, Any] | None
    quality: dict[str, Any]
    samples: int
    minutes: float

    @classmethod
    def read(cls, entry: Entry) -> Figures | None:
        """The figures of a row; None if it is not trained."""
        at = entry.figures
        if not (at / folder.EVALUATION).exists():
            return None
        clip, push = at / folder.CLIP, at / folder.PUSH
        rows = list(csv.DictReader(io.StringIO(files.read_text(at / folder.METRICS))))
        return cls(
            entry,
            files.read_json(at / folder.EVALUATION),
            files.read_json(push) if push.exists() else None,
            Clip.load(clip).quality if clip.exists() else files.read_json(at / QUALITY),
            int(rows[-1]["samples"]) if rows else settings.load(at).samples,
            float(rows[-1]["seconds"]) / 60 if rows else math.nan,
        )

    def nr(self, rule: str = "synced", profile: str = WEIGHTED, engine: str | None = None) -> dict[str, float] | None:
        """Mean and ci95 under a rule (synced, free, zero); in the engine of the training, or in another."""
        found = self.evaluation if engine is None else self.evaluation.get(folder.ELSEWHERE, {}).get(engine)
        return None if found is None else found[rule]["returns"][profile]

    def measure(self, name: str) -> float | None:
        """A measure of the clip's quality."""
        return self.quality.get("measures", {}).get(name, {}).get("value")


def write(listed: SkillList | None = None, page: Path = PAGE) -> list[tuple[str, ...]]:
    """Write the page; returns the rows of its first table."""
    listed = listed or SkillList.load()
    found = [(entry, Figures.read(entry)) for entry in listed.skill]
    rows = [result_row(entry, figures) for entry, figures in found]
    trained = [figures for _, figures in found if figures is not None]
    parts = [HEAD, markdown(RESULTS, rows), "## Does feasibility predict?\n", _predicts(trained)]
    parts.append(markdown(FEASIBILITY, [_feasibility_row(figures) for figures in trained]))
    if replays := [row for entry, _ in found for row in _replay_rows(listed, entry)]:
        parts += [REPLAYED, markdown(REPLAYS, replays)]
    if noted := [entry for entry in listed.skill if entry.notes or entry.reason]:
        parts.append("## Notes\n")
        parts.append("".join(_note(entry) for entry in noted))
    files.write_text(page, "\n".join(parts))
    return rows


def result_row(entry: Entry, figures: Figures | None) -> tuple[str, ...]:
    """A row of the first table."""
    paper = entry.paper
    published = (None, None) if paper is None else (paper.nr, paper.samples)
    if figures is None:
        cells = (entry.title, entry.char, _beside("not trained", published[0]), *[NONE] * (len(RESULTS) - 3))
        return cells[:10] + (_beside(NONE, published[1]), NONE, _pushes(None, entry))
    others = [
        f"{engine}: {interval(figures.nr('synced', engine=engine))}, {interval(figures.nr('free', engine=engine))}"
        for engine in figures.evaluation.get(folder.ELSEWHERE, {})
    ]
    synced = figures.evaluation["synced"]
    return (
        entry.title,
        entry.char,
        _beside(interval(figures.nr()), published[0]),
        interval(figures.nr(profile=PLAIN)),
        interval(figures.nr("free")),
        interval(figures.nr("free", PLAIN)),
        "; ".join(others) or NONE,
        f"{synced['completed']:.0%}",
        interval(figures.nr("zero")),
        _turns(synced),
        _beside(f"{figures.samples / 1e6:.2f}", published[1]),
        f"{figures.minutes:.0f}",
        _pushes(figures.push, entry),
    )


def _replay_rows(listed: SkillList, entry: Entry) -> list[tuple[str, ...]]:
    """A row for each body a skill's policy was tried on untrained."""
    rows = []
    for name, tried in replay.stored(entry.figures).items():
        char, title = name.split("/", 1)
        there = listed.entry(char, title)
        trained = None if there is None else Figures.read(there)
        paper = None if there is None or there.paper is None else there.paper.replayed
        joints, synced = tried["joints"], tried["synced"]
        rows.append(
            (
                f"{entry.char} {entry.title}",
                f"{char} {title}",
                f"{len(joints)} of {len(Character.load(entry.char).joints)}",
                _beside(interval(synced["returns"][WEIGHTED]), paper),
                f"{synced['seconds']['mean']:.1f} of {tried['horizon']:g}",
                f"{synced['completed']:.0%}",
                interval(tried["zero"]["returns"][WEIGHTED]),
                "not trained" if trained is None else interval(trained.nr()),
            )
        )
    return rows


def _feasibility_row(figures: Figures) -> tuple[str, ...]:
    passed = figures.quality.get("passed")
    verdict = {True: "pass", False: "fail: " + ", ".join(figures.quality.get("failed", ())), None: NONE}[passed]
    measures = [figures.measure(name) for name in PREDICTORS]
    shown = [NONE if value is None else f"{value:.2f}" for value in measures]
    return (
        figures.entry.title,
        figures.entry.char,
        verdict,
        *shown,
        interval(figures.nr()),
        interval(figures.nr("free")),
    )


def _predicts(trained: list[Figures]) -> str:
    """Rank correlation of each measure with NR, over the trained rows."""
    said = []
    for name in PREDICTORS:
        pairs = [(figures.measure(name), (figures.nr() or {}).get("mean")) for figures in trained]
        known = np.array([pair for pair in pairs if None not in pair], dtype=float)
        if len(known) >= ENOUGH and np.ptp(known, axis=0).all():
            found = stats.spearmanr(known[:, 0], known[:, 1])
            said.append(f"{name} {found.statistic:+.2f} (p = {found.pvalue:.2f}, {len(known)} rows)")
    if not said:
        return (
            f"Measured before training, beside what training achieved. Fewer than {ENOUGH} rows: no correlation yet.\n"
        )
    return f"Measured before training, beside what training achieved. Rank correlation with NR: {'; '.join(said)}.\n"


def _note(entry: Entry) -> str:
    said = [part for part in (f"departs from its recipe: {entry.reason}" if entry.reason else "", entry.notes) if part]
    return f"- **{entry.title}** on {entry.char}: {'. '.join(said)}.\n"


def interval(found: dict[str, float] | None) -> str:
    """A mean and half its 95 % interval."""
    if found is None or found["mean"] is None:
        return NONE
    return f"{found['mean']:.3f}" + ("" if found["ci95"] is None else f" ± {found['ci95']:.3f}")


def _beside(own: str, published: float | None) -> str:
    if published is None:
        return own
    return f"{own} ({published:.3f})" if published < 1 else f"{own} ({published:g})"


def _pushes(push: dict[str, Any] | None, entry: Entry) -> str:
    """Forward, and the weaker of left and right; in newtons and in the body's weights."""
    own = NONE
    if push is not None:
        forces = (push["forward"]["median"], min(push["left"]["median"], push["right"]["median"]))
        weight = GRAVITY * Character.load(entry.char).mass
        own = ", ".join(f"{force:.0f} = {force / weight:.2f} W" for force in forces)
    paper = entry.paper
    if paper is None or paper.forward is None:
        return own
    return f"{own} ({paper.forward:.0f}, {paper.sideways:.0f})"


def _turns(score: dict[str, Any]) -> str:
    """Whole turns of the root about the axes the reference turns about, over the reference's."""
    told = [
        f"{axis} {turns['performed']:.2f} of {turns['possible']:.2f}"
        for axis, turns in score.get("turns", {}).items()
        if abs(turns["possible"]) >= TURN
    ]
    return ", ".join(told) or NONE


def markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
