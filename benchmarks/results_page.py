"""How `benchmarks.results_retarget` writes its page: tables of one clip a row, a summary, what fails and why."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Any

from characters.character import Character
from pipeline import samples
from retarget.measures import REFERENCE_HEIGHT, THRESHOLDS, Kind, Threshold

INTRODUCTION = """\
Made by `make results`; the numbers are `mimic-pipe retarget`'s own, as `retarget/quality.py` defines them. Nothing was
tuned per clip: no map was edited and no option given. A number in bold breaks its limit; – was not measured (too short,
not a loop, no travel …). Limits on lengths are scaled with the body's height. Torque ratio and root residual have no
limit: they say how far the clip asks for more than the body's torque limits and the ground can give."""

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("slide_cm_s", "slide, p95 cm/s", ".2f"),
    ("drift_cm", "drift cm", ".2f"),
    ("penetration_cm", "penetration, p95 cm", ".2f"),
    ("float_cm", "float cm", ".2f"),
    ("contact_agreement", "contacts agree %", ".1%"),
    ("airborne_error", "airborne error, points", ".1f"),
    ("skate", "skate (source) cm/s", ".1f"),
    ("direction_error_deg", "direction error °", ".1f"),
    ("jerk_ratio", "jerk ratio", ".2f"),
    ("pop", "pop", ".2f"),
    ("seam", "seam", ".2f"),
    ("seam_velocity", "seam velocity", ".2f"),
    ("limit_excess_deg", "beyond limits °", ".3f"),
    ("joint_speed_max", "fastest joint (source) rad/s", ".1f"),
    ("side", "side", ".2f"),
    ("heading_error_deg", "heading error °", ".1f"),
    ("torque_ratio", "torque ratio", ".2f"),
    ("root_residual", "root residual", ".2f"),
)
"""measure, its heading, how its number is written"""
WITH_P95 = ("slide_cm_s", "penetration_cm")


@dataclass(frozen=True, slots=True)
class Row:
    """One clip on one body."""

    clip: str
    body: str
    kind: str = ""
    """upright or floor, as the measures see the result: it decides which limits apply"""
    expected: str = ""
    """upright, floor or pose: what is known of the source"""
    frames: int = 0
    fps: float = 0.0
    loop: bool = False
    duration: float = 0.0
    measures: dict[str, dict[str, Any]] | None = None
    """as quality.json has them"""
    checks: list[dict[str, Any]] | None = None
    """the verdict's"""
    seconds: float = 0.0
    """of processor time, from file to files"""
    refused: str = ""
    """the one line, where there is no result"""

    @property
    def failed(self) -> list[str]:
        """Measures that broke a limit."""
        return list(dict.fromkeys(c["measure"] for c in self.checks or () if c["status"] == "fail"))


def cell(row: Row, name: str, form: str) -> str:
    """One measure of one clip; bold where it breaks a limit."""
    data = (row.measures or {}).get(name)
    if data is None or data["value"] is None:
        return "–"

    def number(value: float, field: str) -> str:
        text = format(value, form).removesuffix("%")
        broken = any(c["measure"] == name and c["field"] == field and c["status"] == "fail" for c in row.checks or ())
        return f"**{text}**" if broken else text

    text = number(data["value"], "value")
    if name in WITH_P95:
        text += ", " + number(data.get("p95", 0.0), "p95")
    beside = data.get("reference") if name == "skate" else None
    if name == "joint_speed_max":
        beside = (row.measures or {}).get("source_joint_speed", {}).get("value")
    return text if beside is None else f"{text} ({beside:{form}})"


def limits(kind: Kind, scale: float) -> str:
    """The row of limits for a body."""
    rows = THRESHOLDS[kind]

    def text(name: str, form: str) -> str:
        return ", ".join(limit(row, form, scale) for row in rows if row.measure == name) or "–"

    return f"| *limit, {kind}* | | | | {' | '.join(text(name, form) for name, _, form in COLUMNS)} | | |"


def limit(row: Threshold, form: str, scale: float) -> str:
    """One limit as it is written in the table."""
    value = format(row.limit * (scale if row.length else 1.0), form).removesuffix("%")
    source = (
        " or the source's" if row.raised_by else (f" + {row.per_reference:g} × source" if row.per_reference else "")
    )
    return ("≥ " if row.at_least else "≤ ") + value + source


def body_table(body: str, rows: list[Row]) -> list[str]:
    """The table of one body."""
    height = Character.load(body).height
    headings = ["clip", "kind", "frames @ fps", "result", *(h for _, h, _ in COLUMNS), "CPU s", "verdict"]
    lines = [
        f"## {body}, {height:.2f} m",
        "",
        f"| {' | '.join(headings)} |",
        f"|---|---|---|---|{'---:|' * (len(COLUMNS) + 1)}---|",
        limits("upright", height / REFERENCE_HEIGHT),
        limits("floor", height / REFERENCE_HEIGHT),
    ]
    for row in rows:
        if row.refused:
            continue
        kind = row.kind if row.kind == row.expected else f"{row.kind} (source: {row.expected})"
        cells = [row.clip, kind, f"{row.frames} @ {row.fps:g}"]
        cells.append(f"loop of {row.duration:.2f} s" if row.loop else f"one-shot, {row.duration:.1f} s")
        cells += [cell(row, name, form) for name, _, form in COLUMNS]
        cells += [f"{row.seconds:.1f}", f"**{', '.join(row.failed)}**" if row.failed else "pass"]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def summary(bodies: list[str], rows: list[Row]) -> list[str]:
    """How many pass, and which measures fail how often."""
    lines = [
        "## Summary",
        "",
        "| body | clips | pass | of the samples | of the upright | of the floor | refused | CPU |",
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    known = set(samples.sample_names())
    for body in bodies:
        mine = [r for r in rows if r.body == body]
        done = [r for r in mine if not r.refused]
        groups = (
            done,
            [r for r in done if r.clip in known],
            *([r for r in done if r.kind == k] for k in ("upright", "floor")),
        )
        shares = [f"{sum(not r.failed for r in g)} / {len(g)}" for g in groups]
        seconds = sum(r.seconds for r in mine)
        lines.append(f"| {body} | {len(done)} | {' | '.join(shares)} | {len(mine) - len(done)} | {seconds:.0f} s |")
    lines += [
        "",
        "Clips that break a limit, by measure (upright and floor), and the median over the upright clips:",
        "",
    ]
    lines.append(f"| measure | {' | '.join(f'{b}: fail | {b}: median' for b in bodies)} |")
    lines.append(f"|---|{'---:|---:|' * len(bodies)}")
    for name, heading, form in COLUMNS:
        cells = []
        for body in bodies:
            mine = [r for r in rows if r.body == body and r.measures]
            values = [r.measures.get(name, {}).get("value") for r in mine if r.measures and r.kind == "upright"]
            values = [v for v in values if v is not None]
            cells.append(f"{Counter(m for r in mine for m in r.failed)[name]}")
            cells.append(format(median(values), form).removesuffix("%") if values else "–")
        lines.append(f"| {heading.split(',')[0] if name in WITH_P95 else heading} | {' | '.join(cells)} |")
    return [*lines, ""]


def failures(rows: list[Row], notes: dict[str, str]) -> list[str]:
    """What fails, on which body, and what was seen there; what was refused."""
    lines = ["## What fails, and why", ""]
    if "introduction" in notes:
        lines += [notes["introduction"].strip(), ""]
    broken = by_clip([row for row in rows if row.failed])
    for clip, those in broken.items():
        said = "; ".join(f"{row.body}: {', '.join(row.failed)}" for row in those)
        lines.append(f"- **{clip}** ({said}). {' '.join(notes.get(clip, 'Not looked at yet.').split())}")
    stale = sorted(notes.keys() & by_clip(rows) - broken.keys())
    if stale:
        print(f"there are notes on clips that pass: {', '.join(stale)}", file=sys.stderr)
    if refused := by_clip([row for row in rows if row.refused]):
        lines += ["", "Refused:", ""]
        for clip, those in refused.items():
            lines.append(f"- **{clip}** ({', '.join(row.body for row in those)}): {those[0].refused}")
    return [*lines, ""]


def by_clip(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows under their clip's name, in order."""
    out: dict[str, list[Row]] = {}
    for row in rows:
        out.setdefault(row.clip, []).append(row)
    return out


def page(bodies: list[str], rows: list[Row], header: dict[str, str], notes: dict[str, str]) -> str:
    """The whole page. ``notes``: by clip, what was seen when looking at one that fails; ``introduction`` comes before them."""
    lines = [
        "# Retargeting: every sample and every human clip, on both bodies",
        "",
        INTRODUCTION,
        "",
        *(f"- {key}: {value}" for key, value in header.items()),
        "",
        *summary(bodies, rows),
        *failures(rows, notes),
    ]
    for body in bodies:
        lines += body_table(body, [r for r in rows if r.body == body])
    return "\n".join(lines).rstrip() + "\n"
