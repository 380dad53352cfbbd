"""What a joint's name says: side and body part, by the words of ``vocabulary.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SIDES = ("left", "right")
OTHER_SIDE = {"left": "right", "right": "left"}

_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z]+")
_VERTEBRA = re.compile(r"(?:^|[^A-Za-z])([LTC])\d{1,2}(?![0-9A-Za-z])")
_JOINED = 4
"""most tokens one word may be spread over, as in "Left Upper Leg Joint" """

_PRECEDENCE = (
    *("finger", "toe", "foot", "shank", "hand", "forearm", "thigh", "upper_arm", "hip", "leg", "arm"),
    *("clavicle", "shoulder", "wing", "tail", "spine", "thorax", "neck", "head", "hips"),
)
"""Of several parts in one name the one farthest out is meant: "LeftHandThumb1", "HeadNeckBase" """


@dataclass(frozen=True, slots=True)
class Label:
    """What one name says."""

    part: str | None = None
    """a key of ``[parts]``; None when the name says nothing"""
    side: str | None = None
    """left, right or None"""
    minor: bool = False
    """a twist, roll, end, face, finger, prop or control joint: it moves no segment of its own"""
    fore: bool | None = None
    """True, False: a front or hind limb; None: not said"""


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    sides: dict[str, str]
    parts: dict[str, str]
    minor: frozenset[str]
    fore: dict[str, bool]
    fore_legs: dict[str, bool]

    def known(self, word: str) -> bool:
        return word in self.parts or word in self.minor or word in self.fore_legs


@cache
def _vocabulary() -> _Vocabulary:
    table = tomllib.loads((Path(__file__).parent / "vocabulary.toml").read_text(encoding="utf-8"))
    limbs = table["limbs"]
    return _Vocabulary(
        sides={word: side for side, words in table["sides"].items() for word in words},
        parts={word: part for part, words in table["parts"].items() for word in words},
        minor=frozenset(table["minor"]["words"]),
        fore=dict.fromkeys(limbs["fore"], True) | dict.fromkeys(limbs["hind"], False),
        fore_legs=dict.fromkeys(limbs["fore_leg"], True) | dict.fromkeys(limbs["hind_leg"], False),
    )


def tokens(name: str) -> list[str]:
    """The letters of a name in lower-case pieces: ``mixamorig:LeftUpLeg`` → ``left up leg``; numbers are dropped."""
    base = re.split(r"[:|]", name)[-1]
    base = re.sub(r"([左右])", r" \1 ", base)
    return [t.lower() for t in _TOKEN.findall(base)]


def _split(word: str, vocabulary: _Vocabulary) -> tuple[str | None, str | None]:
    """(side, known word) of a joined word, where a side may be glued on: ``lthigh``, ``leftarm``, ``hipleft``."""
    if vocabulary.known(word):
        return None, word
    if word.endswith("s") and vocabulary.known(word[:-1]):
        return None, word[:-1]
    for side in ("left", "right", "l", "r"):
        rest = word.removeprefix(side)
        if rest != word and len(rest) > 2 and vocabulary.known(rest):
            return vocabulary.sides[side], rest
    for side in ("left", "right"):
        rest = word.removesuffix(side)
        if rest != word and vocabulary.known(rest):
            return side, rest
    return None, None


def parse(name: str) -> Label:
    """Side and part a name speaks of; an empty Label when it says nothing known."""
    vocabulary, words = _vocabulary(), tokens(name)
    side, fore, minor = None, None, False
    parts: list[str] = []
    at = 0
    while at < len(words):
        for length in range(min(_JOINED, len(words) - at), 0, -1):
            joined = "".join(words[at : at + length])
            if length == 1 and joined in vocabulary.sides:
                side = side or vocabulary.sides[joined]
                break
            if length == 1 and joined in vocabulary.fore:
                fore = vocabulary.fore[joined]
                side = side or {"l": "left", "r": "right"}.get(joined[1:])
                break
            glued, word = _split(joined, vocabulary)
            if word is None:
                continue
            side = side or glued
            minor |= word in vocabulary.minor
            fore = vocabulary.fore_legs.get(word, fore)
            parts.append("leg" if word in vocabulary.fore_legs else vocabulary.parts.get(word, ""))
            break
        else:
            length = 1
        at += length
    part = _choose([p for p in parts if p], side)
    if part is None and (vertebra := _VERTEBRA.search(name)):
        return Label("neck" if vertebra[1] == "C" else "spine", None, minor, fore)
    return Label(part, side, minor or part == "finger", fore)


def _choose(parts: list[str], side: str | None) -> str | None:
    if "weak_finger" in parts:
        parts = [p for p in parts if p != "weak_finger"]
        if not parts or "hand" in parts:
            return "finger"
    part = next((p for p in _PRECEDENCE if p in parts), None)
    if part == "thorax":
        return "clavicle" if side else "spine"
    if part == "hips" and side:
        return "hip"
    if side is None:
        return {"hip": "hips", "shoulder": "spine"}.get(part or "", part)
    return part
