"""Two- and four-legged sources on T-Rex, dragon and dog: ``docs/results/morphologies.md`` with a strip of poses for every clip.

python -m benchmarks.results_morphologies [--char C] [--only SUBSTRING]

A whole run writes the page and its pictures; with --char or --only the table is printed instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.results_retarget import MOCAP, ROOT, machine, versions
from characters.character import Character
from motion import files
from motion.clip import Clip
from motion.errors import MimicError, MimicWarning
from pipeline import samples, stages

PAGE = ROOT / "docs" / "results" / "morphologies.md"
PICTURES = ROOT / "docs" / "images" / "morphologies"
HUMAN = (
    *("walk", "run", "jump", "kick", "spinkick", "dance_a"),
    *("cmu-mb/cmu_12_01_walk.bvh", "cmu-mb/walk.bvh", "cmu-max/jumping_jacks.bvh", "rokoko/jesse_dance.bvh"),
)
DOG = tuple(f"dog-tencent/{name}.bvh" for name in ("dog_walk", "dog_run", "dog_idle", "dog_quad_walkrun_007"))
KEYS = ".keyframes.toml"
BODIES = {
    "trex": (*HUMAN, f"trex_walk{KEYS}"),
    "dragon": (*HUMAN, *DOG, f"dragon_walk{KEYS}"),
    "dog": ("walk", "run", *DOG),
}
DRAWN = ("walk", "run", "jump", "spinkick", "cmu-mb/walk.bvh", "cmu-max/jumping_jacks.bvh", *DOG[:2])
"""clips that are shown; each also on the other body where that has it"""
COLUMNS: tuple[tuple[str, str, float | None], ...] = (
    ("slide_cm_s", "slide cm/s", 1.5),
    ("penetration_cm", "penetration cm", 1.0),
    ("float_cm", "float p95 cm", 1.5),
    ("limit_excess_deg", "beyond limits °", 0.001),
    ("self_penetration_cm", "self-penetration cm", 1.0),
    ("pop", "pop", 2.5),
    ("jerk_ratio", "jerk ratio", 1.5),
    ("torque_ratio", "torque ratio", None),
    ("root_residual", "root residual", None),
    ("joint_speed_max", "fastest joint rad/s", None),
)
"""measure, heading, and the limit it is held to here"""
INTRODUCTION = """\
Human and dog motion on bodies that are neither, by `python -m benchmarks.results_morphologies`. One command per clip:
no map was edited and no option given. Two legs drive the T-Rex's by the path of their feet; the dragon's forefeet
follow the hind feet a quarter of the stride later in a walk, cross-wise at once in a run, together otherwise
(`[gait]` of its character.toml), and so do the dog's; a dog as a source drives all four. Tail and wings hang on springs.
The keyframe walks are on the body they are written for. A number in bold breaks the limit; – was not measured. Torque
ratio, root residual and speed have no limit here. *Stance* is each foot's share of the clip, *footfalls* the order of
the middles of stance (L, R: left, right; F, H: fore, hind)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One clip on one body."""

    body: str
    clip: str
    refused: str = ""
    made: Clip | None = None
    picture: Path | None = None

    @property
    def measures(self) -> dict[str, dict[str, Any]]:
        return (self.made.quality or {}).get("measures", {}) if self.made else {}


def feet(clip: Clip, character: Character) -> tuple[str, str]:
    """Stance shares and the order of footfalls, of legs that step once in the clip or oftener."""
    shares, middles = [], {}
    for role, chain in character.roles.items():
        names = {character.links[character.joints[character.joint(name)].child].name for name in chain}
        for foot in names & set(clip.contacts):
            flags = np.asarray(clip.contacts[foot])
            side = role[0].upper()
            name = side + ("F" if role.endswith("foreleg") else "H") if len(character.feet) > 2 else side
            shares.append(f"{name} {flags.mean():.0%}")
            if 0 < flags.mean() < 1 and np.count_nonzero(np.diff(flags.astype(int), append=flags[0]) == 1) == 1:
                turn = np.angle(np.mean(np.exp(2j * np.pi * np.flatnonzero(flags) / len(flags)))) / (2 * np.pi)
                middles[name] = turn % 1.0
    if not clip.loop or len(middles) < len(character.feet):
        return ", ".join(shares), "–"
    first = middles["LH"] if "LH" in middles else middles["L"]
    order = sorted(middles, key=lambda n: round((middles[n] - first) % 1.0, 2) % 1.0)
    return ", ".join(shares), " → ".join(f"{n} {(middles[n] - first) % 1.0:.2f}" for n in order)


def measure(body: str, clip: str, folder: Path, draw: bool) -> Row:
    """Retarget one clip, and draw it."""
    path = MOCAP / clip if "/" in clip else folder / "raw" / f"{clip}.bvh"
    path = ROOT / "raw_mocap" / clip if clip.endswith(KEYS) else path
    name = clip.removesuffix(KEYS).removesuffix(".bvh").replace("/", "_")
    if not path.exists():
        return Row(body, clip, refused="the mocap collection is not here")
    try:
        done = stages.retarget(path, body, out=folder / "processed", name=name)
    except MimicError as error:
        return Row(body, clip, refused=error.message)
    picture = None
    if draw and clip in DRAWN:
        PICTURES.mkdir(parents=True, exist_ok=True)
        picture = stages.render(done.folder, PICTURES / f"{body}_{name}.png")
    return Row(body, clip, made=done.clip, picture=picture)


def cells(row: Row, character: Character) -> list[str]:
    """One line of the table."""
    if row.made is None:
        return [row.clip, row.refused, *["–"] * (len(COLUMNS) + 2)]
    out = [row.clip, f"loop of {row.made.duration:.2f} s" if row.made.loop else f"one-shot, {row.made.duration:.1f} s"]
    for name, _, limit in COLUMNS:
        value = row.measures.get(name, {}).get("value")
        text = "–" if value is None else f"{value + 0.0:.2f}"
        out.append(f"**{text}**" if value is not None and limit is not None and value > limit else text)
    return [*out, *feet(row.made, character)]


def broken(rows: list[Row]) -> list[str]:
    """A line for every clip that breaks a limit."""
    out = []
    for row in rows:
        values = [(h, row.measures.get(name, {}).get("value"), limit) for name, h, limit in COLUMNS]
        worse = [f"{h} {v:.2f}" for h, v, limit in values if v is not None and limit is not None and v > limit]
        if worse:
            out.append(f"- {row.body}, {row.clip}: {', '.join(worse)}")
    return out or ["- none"]


def page(rows: list[Row]) -> str:
    """The whole page."""
    lines = ["# Other morphologies: T-Rex, dragon and dog", "", INTRODUCTION, ""]
    lines += [f"- measured on: {machine()}", f"- with: {versions()}", ""]
    lines += ["## What still breaks a limit", "", *broken(rows), ""]
    for body in dict.fromkeys(row.body for row in rows):
        character = Character.load(body)
        mine = [row for row in rows if row.body == body]
        lines += [f"## {body}", "", f"| clip | result | {' | '.join(h for _, h, _ in COLUMNS)} | stance | footfalls |"]
        lines.append(f"|---|---|{'---:|' * len(COLUMNS)}---|---|")
        limits = " | ".join("" if limit is None else f"≤ {limit:g}" for _, _, limit in COLUMNS)
        lines.append(f"| *limit* | | {limits} | | |")
        lines += [f"| {' | '.join(cells(row, character))} |" for row in mine]
        lines.append("")
        for row in mine:
            if row.picture is not None:
                shown = row.picture.relative_to(ROOT / "docs").as_posix()
                lines += [f"### {row.clip}", "", f"![{row.clip} above, {body} below](../{shown})", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="quality of the retargeting onto T-Rex, dragon and dog")
    parser.add_argument("--char", choices=list(BODIES), help="only this body")
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="only clips whose name contains this")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", MimicWarning)
    whole = not arguments.char and not arguments.only
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        samples.write_samples(folder / "raw")
        for body, clips in BODIES.items():
            for clip in clips:
                if arguments.char in (None, body) and arguments.only in clip:
                    rows.append(measure(body, clip, folder, whole))
                    print(f"{body:7s} {clip}  {rows[-1].refused or 'done'}", file=sys.stderr, flush=True)
    if whole:
        files.write_text(PAGE, page(rows))
    else:
        print(page(rows))


if __name__ == "__main__":
    main()
