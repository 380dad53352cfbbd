"""What the stages give back: values with a JSON form, an exit code and a word for a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from characters.character import Character
from characters.check import Finding
from characters.infer import Inferred
from motion import contacts
from motion.clip import Clip
from motion.contacts import Contacts
from pipeline.phase import PhaseReport
from pipeline.sources import Source
from retarget.measures import Measures, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """What a motion file holds and how it was understood."""

    source: Source
    found: Contacts

    def to_json(self) -> dict[str, Any]:
        source, motion = self.source, self.source.motion
        return {
            "file": str(source.path),
            "sha256": source.sha256,
            "format": source.raw.provenance.get("format"),
            "frames": len(source.raw),
            "fps": round(source.raw.fps, 4),
            "duration": round(source.raw.duration, 4),
            "joints": int((~motion.skeleton.is_end).sum()),
            "height": round(contacts.body_height(motion, source.roles), 3),
            "unit": source.axes.unit,
            "up": source.axes.up,
            "unit_evidence": source.axes.evidence.get("unit", ""),
            "up_evidence": source.axes.evidence.get("up", ""),
            "loop": motion.loop,
            "stance": {role: round(float(flags.mean()), 3) for role, flags in self.found.flags.items()},
            "airborne": round(float(self.found.airborne.mean()), 3),
            "mended": list(source.mended),
            "roles": {
                role: {"joints": list(chain), "evidence": source.roles.evidence.get(role, "")}
                for role, chain in source.roles.chains.items()
            },
            "unassigned": list(source.roles.unassigned),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Ingested:
    """A motion read and cleaned, and where it was written."""

    path: Path
    source: Source

    def to_json(self) -> dict[str, Any]:
        motion = self.source.motion
        return {
            "path": str(self.path),
            "name": motion.name,
            "frames": len(motion),
            "fps": round(motion.fps, 4),
            "unit": self.source.axes.unit,
            "up": self.source.axes.up,
            "mended": list(self.source.mended),
        }


@dataclass(frozen=True, slots=True)
class RetargetSettings:
    """What a user may decide about a retargeting; None: the source says, or the motion."""

    map_file: Path | None = None
    """an edited map.toml"""
    start: float | None = None
    """seconds of the source file"""
    stop: float | None = None
    """seconds of the source file"""
    loop: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what was decided."""
        decided = {"from": self.start, "to": self.stop, "loop": self.loop}
        return {key: value for key, value in decided.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Retargeted:
    """A finished retargeting, or a cycle chosen again."""

    folder: Path
    clip: Clip
    report: PhaseReport
    verdict: Verdict
    mended: tuple[str, ...]
    exit_code: int = 0

    @property
    def status(self) -> str:
        return "good" if self.verdict.passed else "poor"

    @property
    def remark(self) -> str:
        return ", ".join(self.verdict.failed)

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "name": self.clip.name,
            "character": self.clip.character,
            "loop": self.clip.loop,
            "duration": round(self.clip.duration, 4),
            "mended": list(self.mended),
            "verdict": self.status,
            "failed": list(self.verdict.failed),
            "phase": self.report.to_json(),
            "quality": self.verdict.to_json(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Created:
    """A character made of a URDF."""

    character: Character
    found: Inferred
    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        return 1 if any(finding.severity == "problem" for finding in self.findings) else 0

    def to_json(self) -> dict[str, Any]:
        roles = {
            role: {"joints": list(chain), "evidence": self.found.evidence[role]}
            for role, chain in self.found.roles.items()
        }
        return {
            "folder": str(self.character.folder),
            "name": self.character.name,
            "mass": round(self.character.mass, 3),
            "height": round(self.character.height, 3),
            "roles": roles,
            "feet": list(self.found.feet),
            "idle": list(self.found.idle),
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """A clip and what its measures say."""

    file: Path
    clip: Clip
    measures: Measures
    verdict: Verdict

    @property
    def status(self) -> str:
        return "pass" if self.verdict.passed else "fail"

    @property
    def exit_code(self) -> int:
        return 0 if self.verdict.passed else 1

    @property
    def remark(self) -> str:
        return ", ".join(self.verdict.failed)

    def to_json(self) -> dict[str, Any]:
        name = {"file": str(self.file), "name": self.clip.name, "character": self.clip.character}
        return {**name, **self.verdict.to_json(), "measures": self.measures.to_json()["measures"]}
