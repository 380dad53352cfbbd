"""A report as one HTML page: no script, nothing fetched, pictures inside. Verdicts first."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from pipeline import picture, plots, report_plots
from pipeline.console import show
from pipeline.report import EVIDENCE, Entry, Report
from pipeline.scene import Beside
from retarget.measures import Check

WIDE, NARROW = 1200, 900
"""pixels, a strip of poses on a page of one clip and of many"""
SIGNS = {"pass": "✓", "fail": "✗"}
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:0 auto;padding:0 20px 60px}
h1{font-size:26px;margin:26px 0 4px}h2{font-size:21px;margin:34px 0 6px;border-top:1px solid #ccc;padding-top:18px}
h3{font-size:16px;margin:22px 0 6px}table{border-collapse:collapse;font-size:14px}
th,td{text-align:left;white-space:nowrap;padding:3px 14px 3px 0;border-bottom:1px solid #e6e6e6;vertical-align:top}
td:last-child{white-space:normal;min-width:16em}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
th{color:#555;font-weight:600;white-space:normal;vertical-align:bottom;max-width:9em}
img{max-width:100%;height:auto}figure img{max-height:560px;width:auto}
figure{display:inline-block;margin:6px 12px 6px 0;vertical-align:top}
figcaption{font-size:13px;color:#555;max-width:420px}a{color:#0072B2}
.pass{color:#0072B2;font-weight:600}.fail{color:#B54A00;font-weight:600}.faint{color:#666}
figure:target{outline:3px solid #E69F00}.wide{overflow-x:auto}summary{cursor:pointer;color:#0072B2;margin:8px 0}
"""

Rows = Iterable[Sequence[object]]
Progress = Callable[[int, int], None]


class Markup(str):
    """Text that is HTML already."""


def page(
    report: Report,
    beside: Callable[[Entry], Beside | None] = lambda _: None,
    told: Progress | None = None,
) -> str:
    """The whole page.

    Args:
        beside: an entry's source, drawn above the body; None draws none.
        told: called with entries done and in all.
    """
    entries = report.entries
    title = entries[0].title if len(entries) == 1 else report.path.name or str(report.path)
    parts = [f"<h1>{escape(title)}</h1>", _summary(report)]
    for number, entry in enumerate(entries):
        parts.append(_entry(entry, number, beside(entry), many=len(entries) > 1))
        if told:
            told(number + 1, len(entries))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head><body>'
        f"{''.join(parts)}</body></html>\n"
    )


def _summary(report: Report) -> str:
    """A row for each clip, with its verdict and a link."""
    passed = sum(entry.verdict.passed for entry in report.entries)
    rows = []
    for number, entry in enumerate(report.entries):
        nr = entry.evaluation and entry.evaluation.get("normalized_return")
        shape = f"{'loop' if entry.clip.loop else 'one-shot'} of {entry.clip.duration:.2f} s"
        proof = _proof_passed(entry)
        rows.append(
            (
                _link(f"#c{number}", entry.clip.name),
                entry.clip.character,
                _status("pass" if entry.verdict.passed else "fail"),
                ", ".join(entry.verdict.failed),
                shape,
                None if proof is None else _status("pass" if proof else "fail"),
                None if nr is None else f"{nr:.3f}",
            )
        )
    columns = ("clip", "body", "quality", "fails", "shape", "gains proved", "NR")
    text = f"<p>{passed} of {len(rows)} pass every limit.</p>" if len(rows) > 1 else ""
    unreadable = [(folder, error) for folder, error in report.unreadable]
    bad = f"<h3>Could not be read</h3>{_table(('folder', 'why'), unreadable)}" if unreadable else ""
    return f"{text}{_table(columns, rows)}{bad}"


def _entry(entry: Entry, number: int, source: Beside | None, *, many: bool) -> str:
    key = f"c{number}"
    clip = entry.clip
    poses = picture.strip(clip, entry.character, source=source, width=NARROW if many else WIDE, frames=8)
    poses = picture.png(poses, colours=picture.PAGE_COLOURS)
    verdict = entry.verdict
    answer = "passes every limit" if verdict.passed else f"fails {', '.join(verdict.failed)}"
    article = "an" if verdict.kind[0] in "aeiou" else "a"
    head = (
        f'<h2 id="{key}">{escape(entry.title)}</h2>'
        f"<p>{_status('pass' if verdict.passed else 'fail')} as {article} {verdict.kind} clip: {escape(answer)}.</p>"
        f"{_image(poses, 'image/png', 'poses at even times; a link in orange is flagged as a contact')}"
        f"<h3>Quality</h3>{_quality(entry, key)}"
    )
    rest = [
        ("Contacts, heights and speeds", _figure(plots.clip_page(clip, entry.character), "curves over time")),
        ("Seam", _seam(entry)),
        ("Gains", _gains(entry)),
        ("Training", _training(entry)),
        ("Evaluation", _evaluation(entry)),
        ("Pushes", _pushes(entry)),
        ("Where episodes end", _failures(entry)),
        ("Where it comes from", _origin(entry)),
    ]
    body = "".join(f"<h3>{title}</h3>{text}" for title, text in rest if text)
    return head + (
        f"<details><summary>everything else of {escape(entry.title)}</summary>{body}</details>" if many else body
    )


def _quality(entry: Entry, key: str) -> str:
    """Every limit with what was found; a failing one links to the picture of its worst instant."""
    rows, pictures, drawn = [], [], set()
    for check in sorted(entry.verdict.checks, key=lambda check: check.status != "fail"):
        name = check.measure if check.field == "value" else f"{check.measure} {check.field}"
        limit = None if check.limit is None else f"{'≥' if check.at_least else '≤'} {show(float(check.limit))}"
        time: object = None if check.time is None else f"{check.time:.2f} s"
        if check.status == "fail" and check.time is not None:
            anchor = f"{key}-{check.measure}"
            time = _link(f"#{anchor}", f"{time}, see")
            if anchor not in drawn:
                drawn.add(anchor)
                pictures.append(_fault(entry, check, anchor))
        unit = check.unit
        rows.append((_status(check.status), name, _Number(check.found), limit, unit, check.where, time, check.meaning))
    columns = ("", "measure", "found", "limit", "unit", "worst at", "time", "meaning")
    return _table(columns, rows) + "".join(pictures)


def _fault(entry: Entry, check: Check, anchor: str) -> str:
    assert check.time is not None
    image = picture.still(entry.clip, entry.character, check.time, mark=check.where)
    caption = f"{check.measure} {show(check.found)} {check.unit} at {check.time:.2f} s" + (
        f", {check.where}" if check.where else ""
    )
    return _image(image, "image/png", caption, anchor)


def _seam(entry: Entry) -> str:
    phase = entry.phase or {}
    text = f"<p>{escape(str(phase['reason']))}.</p>" if "reason" in phase else ""
    before, after = phase.get("seam_before"), phase.get("seam_after")
    if before and after:
        rows = [(name, _Number(before.get(name)), _Number(after.get(name))) for name in before]
        text += _table(("seam, 1 is no seam", "as cut", "closed"), rows)
    if candidates := phase.get("candidates"):
        columns = [name for name in candidates[0] if name != "rank"]
        rows = [[_cell(row.get(name)) for name in columns] for row in candidates]
        text += f"<p>Candidates:</p>{_table(columns, rows)}"
    if entry.clip.loop:
        text += _figure(report_plots.seam_page(entry.clip), "speed of the joints that change most at the wrap")
    return text or "<p>A one-shot: it has no seam.</p>"


def _gains(entry: Entry) -> str:
    if entry.gains is None:
        return ""
    presets = entry.gains.presets
    default = next((name for name in ("default", *presets) if name in presets), None)
    evidence = entry.gains.evidence.get("joints", {})
    rows = []
    for joint, gain in presets.get(default or "", {}).items():
        why = evidence.get(joint, {})
        rule = why.get("rule", {}).get(default, {})
        because = "; ".join(f"{name}: {text}" for name, text in rule.items())
        known = [_cell(why.get(name)) for name in EVIDENCE]
        rows.append((joint, _Number(gain.kp), _Number(gain.kd), _Number(gain.torque_limit), *known, because))
    columns = ("joint", "kp N·m/rad", "kd N·m·s/rad", "limit N·m", "inertia kg·m²", "peak speed rad/s")
    columns += ("torque needed in the air, p95 N·m", "limit from", "rule")
    text = f"<p>Preset {escape(str(default))}; others: {escape(', '.join(p for p in presets if p != default))}.</p>"
    text += _table(columns, rows)
    proof = [
        (engine, preset, _status("pass" if found["passed"] else "fail"), *(_cell(found.get(c)) for c in PROOF))
        for engine, tried in entry.proof.items()
        for preset, found in tried.items()
    ]
    if not proof:
        command = f"mimic-pipe gains {entry.folder.as_posix()} --prove"
        return f'{text}<p class="faint">Not tried in the engines: <code>{escape(command)}</code> does.</p>'
    columns = ("engine", "preset", "", *(name.replace("_", " ") for name in PROOF))
    return f"{text}<p>Tried with the root held in the air; RMS of the worst joint:</p>{_table(columns, proof)}"


PROOF = (
    "rest_deg",
    "rest_joint",
    "tracking_deg",
    "tracking_joint",
    "without_lookahead_deg",
    "quiver_deg",
    "saturated_share",
)
"""of an engine's proof, what is shown"""


def _proof_passed(entry: Entry) -> bool | None:
    """Whether the default gains passed in every engine; None if they were not tried."""
    tried = [found["default"]["passed"] for found in entry.proof.values() if "default" in found]
    return all(tried) if tried else None


def _training(entry: Entry) -> str:
    if not len(entry.curve.get("samples", ())):
        return ""
    samples, seconds = entry.curve["samples"][-1], entry.curve.get("seconds", [float("nan")])[-1]
    text = f"<p>{samples / 1e6:.2f} million samples in {seconds / 60:.1f} minutes.</p>"
    return text + _figure(report_plots.curve_page(entry.curve), "training curve")


def _evaluation(entry: Entry) -> str:
    found = entry.evaluation
    if not found:
        return ""
    named = {"NR": "synced", "NR_free": "free", "from anywhere": "uniform", "own noise": "noisy"}
    scores = {label: found.get(key) for label, key in named.items()}
    scores |= {f"{hertz} Hz": score for hertz, score in (found.get("rates") or {}).items()}
    scores |= {f"NR in {name}": other.get("synced") for name, other in (found.get("other_engines") or {}).items()}
    scores |= {"zero residual": found.get("zero"), "random actions": found.get("chance")}
    scores = {label: score for label, score in scores.items() if score}
    profiles = list(dict.fromkeys(profile for score in scores.values() for profile in score["returns"]))
    rows = []
    for label, score in scores.items():
        returns = [_mean(score["returns"].get(profile)) for profile in profiles]
        seconds, place = score["seconds"]["mean"], 100 * score["place_error"]
        figures = (seconds, 100 * score["completed"], score.get("speed_ratio"), score["joint_error"], place)
        rows.append((label, *returns, *(_Number(value) for value in figures)))
    columns = ("", *profiles, "seconds", "without a fall %", "speed ratio", "joint error °", "place error cm")
    text = f"<p>{found['engine']}, {found['episodes']} episodes of {found['horizon']:g} s.</p>{_table(columns, rows)}"
    joints = (found["synced"].get("overload") or {}).get("joints")
    if joints:
        text += _figure(report_plots.overload_page(joints), "share of steps beyond the torque limit")
    return text


def _pushes(entry: Entry) -> str:
    if not entry.push:
        return ""
    weight = 9.81 * entry.character.mass
    rows = []
    for name, found in entry.push.items():
        if isinstance(found, dict) and "by_phase" in found:
            interval = "–".join(f"{bound:.0f}" for bound in found["ci95"])
            median = found["median"]
            rows.append((name, _Number(median), interval, _Number(median / weight), _Number(found["worst"])))
    columns = ("direction", "median N", "95 % interval N", "body weights", "worst phase N")
    return _table(columns, rows) + _figure(report_plots.push_page(entry.push), "largest push survived by phase")


def _failures(entry: Entry) -> str:
    if entry.failures is None:
        if entry.evaluation is None:
            return ""
        command = f"mimic-pipe report {entry.folder.as_posix()} --failures"
        return f'<p class="faint">Hardly any episode ended: <code>{escape(command)}</code> pushes until enough do.</p>'
    figure = report_plots.failure_page(entry.failures, entry.clip) if entry.failures.endings else None
    text = f"<p>{escape(entry.failures.sentence())}</p>"
    return text + (_figure(figure, "endings by phase, lean and stance") if figure else "")


def _origin(entry: Entry) -> str:
    told = entry.clip.provenance
    rows = [(name, told[name]) for name in ("source", "interval", "map", "settings", "version") if told.get(name)]
    rows += [("mended", sentence) for sentence in told.get("cleaned", ())]
    return _table(("", ""), rows)


class _Number(float):
    """A number in a table: aligned to the right. None becomes no number."""

    def __new__(cls, value: float | None) -> Any:
        return None if value is None else super().__new__(cls, value)


def _cell(value: object) -> object:
    return _Number(value) if isinstance(value, float) else value


def _mean(found: dict[str, float] | None) -> str | None:
    if not found or found["mean"] is None:
        return None
    return f"{found['mean']:.3f}" + ("" if found["ci95"] is None else f" ± {found['ci95']:.3f}")


def _table(columns: Sequence[str], rows: Rows) -> str:
    def cell(value: object) -> str:
        text = (
            value
            if isinstance(value, Markup)
            else escape(show(float(value)) if isinstance(value, _Number) else show(value))
        )
        return f'<td class="n">{text}</td>' if isinstance(value, _Number) else f"<td>{text}</td>"

    lines = [list(row) for row in rows]
    numeric = [any(isinstance(line[k], _Number) for line in lines) for k in range(len(columns))]
    head = "".join(f"<th{' class=n' if n else ''}>{escape(c)}</th>" for c, n in zip(columns, numeric, strict=True))
    body = "".join(f"<tr>{''.join(cell(value) for value in line)}</tr>" for line in lines)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _status(status: str) -> Markup:
    kind = status if status in SIGNS else "faint"
    return Markup(f'<span class="{kind}">{SIGNS.get(status, "")} {escape(status)}</span>')


def _link(to: str, text: str) -> Markup:
    return Markup(f'<a href="{escape(to)}">{escape(text)}</a>')


def _figure(figure: Figure, alt: str) -> str:
    text = plots.encoded(figure, ".svg").decode()
    text = re.sub(r"<metadata>.*?</metadata>|<!DOCTYPE.*?>|<!--.*?-->", "", text, flags=re.DOTALL)
    return f'<div><img alt="{escape(alt)}" src="{_data(text.encode(), "image/svg+xml")}"></div>'


def _image(content: bytes, kind: str, caption: str, anchor: str | None = None) -> str:
    name = "" if anchor is None else f' id="{escape(anchor)}"'
    image = f'<img alt="{escape(caption)}" src="{_data(content, kind)}">'
    return f"<figure{name}>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
