"""Is a clip good, and is it what it says it is: measured again from the file, the body and, if given, the source."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from characters.character import Character
from motion.clip import Clip
from motion.errors import InputError
from pipeline import sources
from retarget import quality
from retarget.measures import Check, Measure, Measures, Status, Verdict
from retarget.sampled import Sampled

CHANGED = 0.02
"""A stored measure further than this share from the one measured now was not measured on this clip."""
NEGLIGIBLE = 0.005
"""… unless both differ by less than this, in the measure's unit: files round."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What was measured and what it means."""

    measures: Measures | None
    """None if the clip does not fit the body"""
    verdict: Verdict
    source_sha256: str | None = None
    """of the file fidelity was measured against"""
    content_sha256: str | None = None
    """of the clip's motion that was measured, see `content`"""

    @property
    def passed(self) -> bool:
        return self.verdict.passed

    def quality(self) -> dict[str, Any]:
        """What a clip keeps as its ``quality``: measures, verdict, and the hashes of what they were measured on."""
        measured = {} if self.measures is None else self.measures.to_json()
        hashes = {"source_sha256": self.source_sha256, "content_sha256": self.content_sha256}
        outcome = {"passed": self.passed, "failed": list(self.verdict.failed)}
        return {**measured, **outcome, **{key: digest for key, digest in hashes.items() if digest is not None}}

    def to_json(self) -> dict[str, Any]:
        """The content of ``quality.json``: `quality` and every check."""
        return {**self.quality(), **self.verdict.to_json()}


def content(clip: Clip) -> str:
    """Hex SHA-256 of what a clip's file says of the motion, to the decimals it keeps."""
    digest = hashlib.sha256(repr((clip.loop, round(clip.duration, 9), clip.joints)).encode())
    turn = np.array([*clip.cycle_offset.translation, clip.cycle_offset.yaw])
    for values, decimals in ((turn, 9), (clip.qpos, 9), (clip.qvel, 7)):
        digest.update((np.round(values, decimals) + 0.0).tobytes())  # + 0.0: no negative zeros
    for link, flags in sorted(clip.contacts.items()):
        digest.update(link.encode() + np.asarray(flags, dtype=bool).tobytes())
    return digest.hexdigest()


def measure(clip: Clip, character: Character, source: sources.Source | None = None) -> Validation:
    """Measure a clip on its body, beside its source if given, and hold it against the limits.

    Raises:
        InputError: the clip's joints or links are not the character's; its ``provenance["interval"]`` (seconds of the
            source it covers) lies outside the source.
    """
    sampled = Sampled.of(clip, character)
    measures = quality.intrinsic(sampled, character)
    if source is not None:
        interval = clip.provenance.get("interval")
        measures |= quality.fidelity(
            sampled, character, source.motion, source.roles, interval=None if interval is None else tuple(interval)
        )
    return Validation(measures, quality.verdict(measures), None if source is None else source.sha256, content(clip))


def validate(
    clip_path: Path | str, character: str | Path | None = None, source: Path | str | None = None
) -> Validation:
    """Measure a ``clip.json`` again and hold it against the limits, its body, its source and what it says of itself.

    Args:
        character: name or folder; by default the clip's own.
        source: the motion file it was made from; without it fidelity is not checked.

    Beside the measures' checks there are ``character`` (the body is the one the clip was made for), ``joints``,
    ``source`` (the file is the one the clip was made from) and ``stored_quality`` (measuring again gives what the
    clip says of itself: it was not changed since).

    Raises:
        InputError: no clip, no such character, an unreadable source.
    """
    clip = Clip.load(clip_path)
    body = Character.load(character or clip.character)
    if clip.joints != body.specs:
        return Validation(None, Verdict("unknown", (_joints(clip, body),)))
    read = None if source is None else sources.read(source)
    identity = [_body(clip, body), _identity("joints", "pass", "the clip's joints are the body's")]
    if read is not None:
        same = clip.provenance.get("source_sha256", read.sha256) == read.sha256
        detail = None if same else f"{Path(read.path).name} is not the file the clip was made from"
        identity.append(_identity("source", "pass" if same else "fail", "the source is the clip's own", detail))
    try:
        found = measure(clip, body, read)
    except InputError as error:
        raise InputError(error.message, where=error.where or clip_path, hint=error.hint) from error
    assert found.measures is not None
    stored = _stored(clip)
    identity.append(_unchanged(clip, stored, found))
    verdict = found.verdict
    if read is None and stored is not None and (fastest := stored.by_name.get("source_joint_speed")) is not None:
        verdict = quality.verdict(found.measures | replace(stored, by_name={fastest.name: fastest}))
    return replace(found, verdict=replace(verdict, checks=(*identity, *verdict.checks)))


def _identity(name: str, status: Status, meaning: str, detail: str | None = None) -> Check:
    return Check(name, "value", None, None, False, "", status, meaning, detail)


def _joints(clip: Clip, body: Character) -> Check:
    ours, theirs = {(j.name, j.type) for j in clip.joints}, {(j.name, j.type) for j in body.specs}
    odd = sorted(name for name, _ in ours ^ theirs)
    detail = (
        f"{body.name} and the clip differ in {', '.join(odd[:5])}" if odd else f"{body.name} has another joint order"
    )
    return _identity("joints", "fail", "the clip's joints are the body's", detail)


def _body(clip: Clip, body: Character) -> Check:
    meaning = "the body is the one the clip was made for"
    made_for = clip.provenance.get("character_sha256")
    if clip.character != body.name:
        return _identity("character", "fail", meaning, f"made for {clip.character}, not {body.name}")
    if made_for is None:
        return _identity("character", "not checked", meaning, "the clip does not name the body's hash")
    if made_for != body.sha256:
        detail = f"made for {body.name} {made_for[:12]}, this one is {body.sha256[:12]}"
        return _identity("character", "fail", meaning, detail)
    return _identity("character", "pass", meaning)


def _stored(clip: Clip) -> Measures | None:
    """The measures the clip says it has; None if it says none."""
    try:
        return Measures.from_json(clip.quality)
    except (KeyError, TypeError, AttributeError):
        return None


def _unchanged(clip: Clip, stored: Measures | None, found: Validation) -> Check:
    meaning = "measuring again gives what the clip says of itself"
    if stored is None or found.measures is None:
        return _identity("stored_quality", "not checked", meaning, "the clip says nothing of its quality")
    if clip.quality.get("content_sha256", found.content_sha256) != found.content_sha256:
        return _identity("stored_quality", "fail", meaning, "the motion was changed since it was measured")
    changed = [m.name for m in stored if m.name in found.measures and _differs(m, found.measures[m.name])]
    if changed:
        return _identity("stored_quality", "fail", meaning, f"the clip says otherwise: {', '.join(changed)}")
    return _identity("stored_quality", "pass", meaning)


def _differs(stored: Measure, found: Measure) -> bool:
    for before, now in ((stored.value, found.value), (stored.p95, found.p95)):
        if (before is None) != (now is None):
            return True
        if before is not None and now is not None and abs(before - now) > max(CHANGED * abs(now), NEGLIGIBLE):
            return True
    return False
