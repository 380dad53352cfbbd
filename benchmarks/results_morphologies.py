"""Two- and four-legged sources on T-Rex, dragon and dog: ``docs/results/morphologies.md`` with a strip of poses for every clip.

python -m benchmarks.results_morphologies [--char C] [--only SUBSTRING]

A whole run writes the page and its pictures; with --char or --only the table is printed instead.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from scipy import signal

from benchmarks.results_retarget import MOCAP, ROOT, machine, versions
from characters import kinematics
from characters.character import Character
from motion import files, rotation
from motion.clip import Clip
from motion.errors import MimicError, MimicWarning
from pipeline import samples, stages

PAGE = ROOT / "docs" / "results" / "morphologies.md"
PICTURES = ROOT / "docs" / "images" / "morphologies"
HUMAN = (
    *("walk", "run", "spin", "jump", "kick", "spinkick", "dance_a"),
    *("cmu-mb/cmu_12_01_walk.bvh", "cmu-mb/walk.bvh", "cmu-max/jumping_jacks.bvh", "rokoko/jesse_dance.bvh"),
    *("cmu-blender30/37_01.bvh", "cmu-blender30/10_02.bvh", "snu-clip/run_clip.bvh"),
    *("makehuman/zombieWalk1.bvh", "imusim/16_15.bvh", "animated-drawings/dab.bvh"),
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
WALKS = (
    *("walk", "cmu-mb/cmu_12_01_walk.bvh", "cmu-mb/walk.bvh", "cmu-blender30/37_01.bvh", "makehuman/zombieWalk1.bvh"),
    *("imusim/16_15.bvh", DOG[0], f"trex_walk{KEYS}", f"dragon_walk{KEYS}"),
)
"""clips held to `TORQUE` and `STANCE` too"""
TORQUE, STANCE = 1.0, 0.3
"""greatest torque over limit (p95), least share of the cycle a foot stands"""
SHORT_GAP = 0.1
"""seconds: a foot that is up for less than this has not stepped"""
LONGEST_LAG = 1.0
"""seconds by which a tail's last joint is looked for behind its first"""
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
ratio has a limit in walks alone (1), as has *stance*, each foot's share of the clip (30 %); root residual and speed have
none. *Footfalls* are the order of the middles of stance in a loop of one stride (L, R: left, right; F, H: fore, hind),
and the gait they make. *Tail*: range of its tip's heading against the root's, and how much later its last joint bends
than its first; *wings*: greatest range of a wing's joint."""


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


def stances(clip: Clip, character: Character) -> dict[str, np.ndarray]:
    """Flags of the feet by short name (LF, RH …), a foot that is up for a moment taken as standing on."""
    out = {}
    for role, chain in character.roles.items():
        names = {character.links[character.joints[character.joint(name)].child].name for name in chain}
        for foot in names & set(clip.contacts):
            side = role[0].upper()
            name = side + ("F" if role.endswith("foreleg") else "H") if len(character.feet) > 2 else side
            out[name] = bridged(np.asarray(clip.contacts[foot], dtype=bool), round(SHORT_GAP * clip.fps), clip.loop)
    return out


def bridged(flags: np.ndarray, gap: int, loop: bool) -> np.ndarray:
    """Flags ``(P,)`` with gaps shorter than ``gap`` closed, across the wrap of a loop too."""
    if flags.all() or not flags.any():
        return flags
    start = int(np.argmax(flags)) if loop else 0
    out = np.roll(flags, -start)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], out, [loop]]).astype(int)))
    for a, b in zip(edges[::2], edges[1::2], strict=False):
        if b - a < gap and (loop or a > 0):
            out[a:b] = True
    return np.roll(out, start)


def feet(clip: Clip, character: Character) -> tuple[str, str]:
    """Stance shares, and the order of footfalls with the gait's name, of legs that all step once in the clip."""
    walks, shares, middles = _walks(clip), [], {}
    for name, flags in stances(clip, character).items():
        share = f"{name} {flags.mean():.0%}"
        shares.append(f"**{share}**" if walks and flags.mean() < STANCE else share)
        if 0 < flags.mean() < 1 and np.count_nonzero(np.diff(flags.astype(int), append=int(flags[0])) == 1) == 1:
            turn = np.angle(np.mean(np.exp(2j * np.pi * np.flatnonzero(flags) / len(flags)))) / (2 * np.pi)
            middles[name] = turn % 1.0
    if not clip.loop or len(middles) < len(character.feet):
        return ", ".join(shares), "–"
    first = middles["LH"] if "LH" in middles else middles["L"]
    order = sorted(middles, key=lambda n: round((middles[n] - first) % 1.0, 2) % 1.0)
    text = " → ".join(f"{n} {(middles[n] - first) % 1.0:.2f}" for n in order)
    return ", ".join(shares), text + (f" ({gait_name(middles)})" if "LH" in middles else "")


def gait_name(middles: dict[str, float]) -> str:
    """A quadruped's gait from the middles of stance, in cycles (Hildebrand, *Symmetrical gaits of horses*, 1965)."""
    apart = {pair: (middles[pair[1]] - middles[pair[0]]) % 1.0 for pair in (("LH", "RH"), ("LF", "RF"), ("LH", "LF"))}
    sides = [abs(apart[pair] - 0.5) for pair in (("LH", "RH"), ("LF", "RF"))]
    if min(sides) > 0.35:
        return "bound"
    if max(sides) > 0.2:
        return "gallop" if min(sides) > 0.2 else "no gait"
    names = ("pace", "lateral sequence", "trot", "diagonal sequence")
    return names[round(apart[("LH", "LF")] * 4) % 4]


def hangers(clip: Clip, character: Character) -> tuple[str, str]:
    """How far the tail swings and lags (degrees, seconds), and the wings' joints move (degrees)."""
    pose, tail, wings = kinematics.forward(character, clip.qpos), "–", "–"
    if chain := character.roles.get("tail"):
        ends = [character.joints[character.joint(name)] for name in (chain[0], chain[-1])]
        first, last = (rotation.relative(pose.rotations[:, e.parent], pose.rotations[:, e.child]) for e in ends)
        whole = rotation.relative(pose.rotations[:, 0], pose.rotations[:, ends[1].child])
        bend, wave = (signal.detrend(np.unwrap(rotation.yaw(turn))) for turn in (first, last))
        most = min(round(LONGEST_LAG * clip.fps), len(wave) // 2)
        match = [float(np.dot(bend[: len(wave) - k], wave[k:])) for k in range(most)]
        if clip.loop:
            match = [float(np.dot(bend, np.roll(wave, -k))) for k in range(most)]
        swing = np.rad2deg(np.ptp(np.unwrap(rotation.yaw(whole))))
        tail = f"{swing:.0f}°, {int(np.argmax(match)) / clip.fps:.2f} s"
    ranges = []
    for role in ("left_wing", "right_wing"):
        for name in character.roles.get(role, ()):
            joint, at = character.joint(name), character.layout.qpos_at[character.joint(name)]
            if character.joints[joint].type == "hinge":
                ranges.append(np.ptp(clip.qpos[:, at]))
            else:
                ranges.append(np.ptp(rotation.log(clip.qpos[:, at : at + 4]), axis=0).max())
    return tail, f"{np.rad2deg(max(ranges)):.0f}°" if ranges else wings


def _walks(clip: Clip) -> bool:
    return any(clip.name == _named(walk) for walk in WALKS)


def _named(clip: str) -> str:
    return clip.removesuffix(KEYS).removesuffix(".bvh").replace("/", "_")


def measure(body: str, clip: str, folder: Path, draw: bool) -> Row:
    """Retarget one clip, and draw it."""
    path = MOCAP / clip if "/" in clip else folder / "raw" / f"{clip}.bvh"
    path = ROOT / "raw_mocap" / clip if clip.endswith(KEYS) else path
    name = _named(clip)
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
        return [row.clip, row.refused, *["–"] * (len(COLUMNS) + 4)]
    out = [row.clip, f"loop of {row.made.duration:.2f} s" if row.made.loop else f"one-shot, {row.made.duration:.1f} s"]
    for name, _, limit in limits(row.made):
        value = row.measures.get(name, {}).get("value")
        text = "–" if value is None else f"{value + 0.0:.2f}"
        out.append(f"**{text}**" if value is not None and limit is not None and value > limit else text)
    return [*out, *feet(row.made, character), *hangers(row.made, character)]


def limits(clip: Clip) -> list[tuple[str, str, float | None]]:
    """`COLUMNS` as they hold for a clip."""
    return [(n, h, TORQUE if n == "torque_ratio" and _walks(clip) else limit) for n, h, limit in COLUMNS]


def broken(rows: list[Row]) -> list[str]:
    """A line for every clip that breaks a limit."""
    out = []
    for row in rows:
        if row.made is None:
            continue
        values = [(h, row.measures.get(name, {}).get("value"), limit) for name, h, limit in limits(row.made)]
        worse = [f"{h} {v:.2f}" for h, v, limit in values if v is not None and limit is not None and v > limit]
        shares, order = feet(row.made, Character.load(row.body))
        worse += [f"stance {share}" for share in re.findall(r"\*\*(.+?)\*\*", shares)]
        worse += ["footfalls of no gait"] if "(no gait)" in order else []
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
        lines += [
            f"## {body}",
            "",
            f"| clip | result | {' | '.join(h for _, h, _ in COLUMNS)} | stance | footfalls | tail | wings |",
        ]
        lines.append(f"|---|---|{'---:|' * len(COLUMNS)}---|---|---|---|")
        allowed = " | ".join("" if limit is None else f"≤ {limit:g}" for _, _, limit in COLUMNS)
        lines.append(f"| *limit* | | {allowed} | | | | |")
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
