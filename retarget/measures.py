"""What a quality measure is, how good is good enough, and the verdict. DESIGN's list as data; the measuring is in
`retarget.quality`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Kind = Literal["upright", "floor"]
Status = Literal["pass", "fail", "not measured", "not checked", "no limit"]

REFERENCE_HEIGHT = 1.7
"""Metres: the stature the length thresholds are written for; a body's are scaled by its height over this."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number about a clip, and where it is at its worst."""

    name: str
    value: float | None
    """the measure as `retarget.quality` defines it; None: not measured"""
    unit: str = ""
    p95: float | None = None
    """95th percentile, where the definition has one"""
    worst: float | None = None
    """the single worst sample, where it is not the value itself"""
    reference: float | None = None
    """the same of the source, where the limit depends on it"""
    where: str | None = None
    """link, joint or segment of the worst sample"""
    time: float | None = None
    """seconds from the clip's start of the worst sample"""
    frame: int | None = None
    """the clip's own sample nearest to it"""
    samples: int = 0
    """how many numbers went into the value"""
    note: str | None = None
    """why it is not measured, or how it was"""

    def to_json(self) -> dict[str, Any]:
        """Only what is known, rounded to six significant digits."""
        data = {key: value for key, value in asdict(self).items() if key not in ("name",) and value is not None}
        data |= {key: float(f"{value:.6g}") for key, value in data.items() if isinstance(value, float)}
        return {"value": None, **data}


def unmeasured(name: str, note: str, *, unit: str = "", samples: int = 0) -> Measure:
    """A measure there was too little to take from; never 0."""
    return Measure(name, None, unit, samples=samples, note=note)


@dataclass(frozen=True, slots=True)
class Measures:
    """All measures of one clip on one body."""

    kind: Kind
    """upright, or floor (roll, crawl, get-up): decides which limits apply"""
    scale: float
    """the body's height over `REFERENCE_HEIGHT`; length limits are multiplied by it"""
    by_name: dict[str, Measure] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Measure:
        return self.by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __iter__(self) -> Iterator[Measure]:
        return iter(self.by_name.values())

    def __or__(self, other: Measures) -> Measures:
        """Both, the right one winning; kind and scale of the left."""
        return replace(self, by_name={**self.by_name, **other.by_name})

    def to_json(self) -> dict[str, Any]:
        """As ``quality.json`` and a clip's ``quality`` hold it."""
        return {
            "kind": self.kind,
            "scale": round(self.scale, 6),
            "measures": {name: measure.to_json() for name, measure in self.by_name.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Measures:
        """The inverse of `to_json`; keys beside these three are ignored.

        Raises:
            KeyError, TypeError: not the content `to_json` writes.
        """
        return cls(
            data["kind"], data["scale"], {name: Measure(name, **entry) for name, entry in data["measures"].items()}
        )


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit on one number of one measure."""

    measure: str
    limit: float
    meaning: str
    """one sentence a user can act on"""
    field: Literal["value", "p95"] = "value"
    at_least: bool = False
    """the number must not be below the limit; otherwise not above"""
    length: bool = False
    """a length or speed: the limit is scaled with the body's height"""
    per_reference: float = 0.0
    """this times the source's own number is added to the limit"""
    raised_by: str | None = None
    """the limit rises to the value of this measure: what the source does is allowed"""


_ALWAYS = (
    Threshold("pop", 2.5, "no step is much longer than the ones around it"),
    Threshold("seam", 1.5, "the step across the loop's wrap is as long as the ones around it"),
    Threshold("seam_velocity", 1.5, "the velocity does not jump at the loop's wrap"),
    # files keep nine decimals: an angle on its limit may come back 1e-7 degrees beyond it
    Threshold("limit_excess_deg", 0.001, "every joint stays within its limits"),
    Threshold(
        "joint_speed_max",
        20.0,
        "no joint turns faster than 20 rad/s where the source does not",
        raised_by="source_joint_speed",
    ),
    Threshold("side", 0.95, "left stays left", at_least=True),
    Threshold("heading_error_deg", 5.0, "the body travels in the source's direction"),
)

THRESHOLDS: dict[Kind, tuple[Threshold, ...]] = {
    "upright": (
        Threshold("slide_cm_s", 1.0, "feet that stand do not slide", length=True),
        Threshold("slide_cm_s", 4.0, "feet that stand hardly ever slide", field="p95", length=True),
        Threshold("drift_cm", 0.3, "a foot ends its stance where it began it", length=True),
        Threshold("penetration_cm", 1.0, "nothing sinks into the ground", length=True),
        Threshold("penetration_cm", 0.3, "nothing stays in the ground", field="p95", length=True),
        Threshold("float_cm", 1.0, "feet that stand touch the ground", field="p95", length=True),
        Threshold(
            "contact_agreement", 0.95, "feet touch the ground when the source's do, and only then", at_least=True
        ),
        *_ALWAYS,
        Threshold("airborne_error", 5.0, "flights are kept"),
        Threshold("skate", 0.5, "feet skate no more than the source's", length=True, per_reference=1.1),
        Threshold("direction_error_deg", 12.0, "limbs and trunk point where the source's do"),
        Threshold("jerk_ratio", 1.2, "the motion is as smooth as the source"),
    ),
    "floor": (
        Threshold("penetration_cm", 2.0, "nothing sinks into the ground", length=True),
        *_ALWAYS,
    ),
}
"""How good is good enough, by kind of clip, lengths for a body of `REFERENCE_HEIGHT`. A measure without a row is
reported only."""


@dataclass(frozen=True, slots=True)
class Check:
    """One limit applied to one clip."""

    measure: str
    field: str
    found: float | None
    limit: float | None
    at_least: bool
    unit: str
    status: Status
    meaning: str
    where: str | None = None
    time: float | None = None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.measure}: {self.status}" + (f" ({self.where})" if self.where else "")
        name = self.measure if self.field == "value" else f"{self.measure} {self.field}"
        limit = "" if self.limit is None else f" (limit {'≥' if self.at_least else '≤'} {self.limit:.3g})"
        place = "".join(
            (f" at {self.time:.2f} s" if self.time is not None else "", f", {self.where}" if self.where else "")
        )
        return f"{name} {self.found:.3g} {self.unit}".rstrip() + limit + place + f": {self.status}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: passed, and every limit beside what was found."""

    kind: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """No limit is broken. What was not measured or not checked breaks none."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the measures that broke a limit."""
        return tuple(dict.fromkeys(check.measure for check in self.checks if check.status == "fail"))

    def to_json(self) -> dict[str, Any]:
        """``{"passed", "kind", "failed", "checks"}``."""
        return {
            "passed": self.passed,
            "kind": self.kind,
            "failed": list(self.failed),
            "checks": [{k: v for k, v in asdict(check).items() if v is not None} for check in self.checks],
        }


def verdict(measures: Measures, thresholds: tuple[Threshold, ...] | None = None) -> Verdict:
    """Hold measures against limits.

    Args:
        measures: of one clip; what is absent (fidelity without a source) counts as not checked.
        thresholds: the rows to apply; by default those of the clip's kind.
    """
    rows = THRESHOLDS[measures.kind] if thresholds is None else thresholds
    checks = [_check(row, measures) for row in rows]
    limited = {row.measure for row in rows}
    for measure in measures:
        if measure.name not in limited:
            status: Status = "no limit" if measure.value is not None else "not measured"
            checks.append(
                Check(
                    measure.name,
                    "value",
                    measure.value,
                    None,
                    False,
                    measure.unit,
                    status,
                    "",
                    measure.where,
                    measure.time,
                )
            )
    return Verdict(measures.kind, tuple(checks))


def _check(row: Threshold, measures: Measures) -> Check:
    measure = measures.by_name.get(row.measure)
    limit = row.limit * (measures.scale if row.length else 1.0)
    if measure is None:
        return Check(row.measure, row.field, None, limit, row.at_least, "", "not checked", row.meaning)
    if row.raised_by is not None and row.raised_by in measures:
        limit = max(limit, measures[row.raised_by].value or 0.0)
    limit += row.per_reference * (measure.reference or 0.0)
    found: float | None = getattr(measure, row.field)
    if found is None:
        status: Status = "not measured"
    else:
        status = "pass" if (found >= limit if row.at_least else found <= limit) else "fail"
    return Check(
        row.measure,
        row.field,
        found,
        limit,
        row.at_least,
        measure.unit,
        status,
        row.meaning,
        measure.where,
        measure.time,
    )
