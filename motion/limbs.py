"""Limbs by name: from what single names say to chains of upper segment, lower segment, end.

The same word means different segments in different naming schemes ("LeftLeg" is the shank below a "LeftUpLeg", the
thigh above a "LeftKnee"; "LeftShoulder" is the clavicle above a "LeftArm", the upper arm above a "LeftElbow"), so a
word is read together with its neighbours on the same side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from motion.shape import Shape
from motion.vocabulary import SIDES, Label

EXTRA_BEND = np.radians(25.0)
"""a further joint between shank and foot is a segment of its own (a hock) if it bends this far, else a twist bone"""
TOE_DOMINANCE = 1.5
"""of two toes the one this many times longer than the other stands for the forefoot; of more, none does"""
SEGMENT_SHARE = 0.5
"""an unnamed joint counts as the next one of a limb if it is this share of the known segment away"""


@dataclass(slots=True)
class Limbs:
    """Chains of joint indices by role, and why."""

    chains: dict[str, list[int]] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)

    def add(self, role: str, chain: list[int], evidence: str) -> None:
        self.chains[role], self.evidence[role] = chain, evidence


class _Names:
    """Joints by part on one side, outward from the root."""

    def __init__(self, shape: Shape, labels: list[Label], side: str, fore: bool | None):
        self.shape, self.labels = shape, labels
        self.own = [
            j
            for j, label in enumerate(labels)
            if label.side == side and not label.minor and (fore is None or bool(label.fore) == fore)
        ]

    def all(self, *parts: str, below: int | None = None) -> list[int]:
        return [
            j
            for j in self.own
            if self.labels[j].part in parts and (below is None or (j != below and self.shape.under(j, below)))
        ]

    def first(self, *parts: str, below: int | None = None) -> int | None:
        return next(iter(self.all(*parts, below=below)), None)


def named_limbs(shape: Shape, labels: list[Label]) -> Limbs:
    """Legs, forelegs, arms, clavicles and wings the names speak of, for both sides where they are found."""
    limbs = Limbs()
    for side in SIDES:
        leg = _leg(shape, labels, side, fore=False)
        if len(leg) >= 2:
            limbs.add(f"{side}_leg", leg, said(labels, leg))
        foreleg = _leg(shape, labels, side, fore=True)
        if len(foreleg) >= 2:
            limbs.add(f"{side}_foreleg", foreleg, said(labels, foreleg))
        clavicle, arm = _arm(shape, labels, side)
        if len(arm) >= 2:
            limbs.add(f"{side}_arm", arm, said(labels, arm))
            if clavicle:
                limbs.add(f"{side}_clavicle", clavicle, said(labels, clavicle))
        wings = _Names(shape, labels, side, None).all("wing")
        if wings:
            chain = [j for j in wings if shape.under(wings[-1], j)]
            limbs.add(f"{side}_wing", chain, said(labels, chain))
    return limbs


def said(labels: list[Label], chain: list[int]) -> str:
    """Evidence for a chain by the parts its joints' names mean, repetitions told once."""
    parts = [labels[j].part or "(next in the chain)" for j in chain]
    return "name: " + ", ".join(p for i, p in enumerate(parts) if i == 0 or p != parts[i - 1])


def _leg(shape: Shape, labels: list[Label], side: str, *, fore: bool) -> list[int]:
    names = _Names(shape, labels, side, fore)
    hips, legs = names.all("hip"), names.all("leg")
    thigh, shank = names.first("thigh"), names.first("shank")
    if thigh is None and hips:
        between = [j for j in legs if shank is not None and shape.under(shank, j) and shape.under(j, hips[0])]
        thigh = between[0] if between else next(h for h in reversed(hips) if shape.under(h, hips[0]))
    elif thigh is None and legs:
        thigh = legs[0]
    if thigh is not None and (shank is None or not shape.under(shank, thigh) or shank == thigh):
        shank = names.first("shank", "leg", below=thigh)
    foot = names.first("foot", below=shank if shank is not None else thigh)
    if foot is None:
        foot = names.first("toe", below=shank if shank is not None else thigh)
    chain = _complete(shape, [thigh, shank, foot])
    if len(chain) < 3:
        return chain
    thigh, shank, foot = chain
    extra = [j for j in names.all("leg", "shank", below=shank) if j != foot and shape.under(foot, j)]
    extra = [j for j in extra if np.max(shape.bend(int(shape.parents[j]), j, _towards(shape, j, foot))) > EXTRA_BEND]
    return [thigh, shank, *extra, foot, *_toes(names, foot)]


def _toes(names: _Names, foot: int) -> list[int]:
    """The one chain of toe joints that continues the foot; none where toes fan out."""
    shape, chain = names.shape, []
    while True:
        below = names.all("toe", "foot", below=chain[-1] if chain else foot)
        nearest = [j for j in below if not any(j != k and shape.under(j, k) for k in below)]
        nearest.sort(key=lambda j: -shape.reach[j])
        if len(nearest) not in (1, 2) or (
            len(nearest) == 2 and shape.reach[nearest[0]] < TOE_DOMINANCE * shape.reach[nearest[1]]
        ):
            return chain
        chain.append(nearest[0])


def _arm(shape: Shape, labels: list[Label], side: str) -> tuple[list[int], list[int]]:
    names = _Names(shape, labels, side, None)
    clavicles, shoulders, arms = names.all("clavicle"), names.all("shoulder"), names.all("arm")
    upper, forearm = names.first("upper_arm"), names.first("forearm")
    if upper is None and arms:
        first = next((s for s in reversed(shoulders) if shape.under(arms[0], s)), None)
        lone = (
            forearm is None and len(arms) == 1 and not clavicles and not _between(names, arms[0], names.first("hand"))
        )
        upper = first if lone and first is not None else arms[0]
    elif upper is None and shoulders:
        upper = next(s for s in reversed(shoulders) if shape.under(s, shoulders[0]))
    if upper is not None and (forearm is None or not shape.under(forearm, upper)):
        forearm = names.first("forearm", "arm", below=upper)
    hand = names.first("hand", below=forearm if forearm is not None else upper)
    chain = _complete(shape, [upper, forearm, hand])
    clavicle = [j for j in clavicles + shoulders if chain and j != chain[0] and shape.under(chain[0], j)]
    return sorted(clavicle), chain


def _between(names: _Names, top: int, joint: int | None) -> list[int]:
    """Joints between two that may be segments."""
    path = [] if joint is None else names.shape.path(top, joint)[:-1]
    return [j for j in path if not names.labels[j].minor]


def _towards(shape: Shape, joint: int, tip: int) -> int:
    """The child of ``joint`` on the way to ``tip``."""
    return next(c for c in shape.children[joint] if shape.under(tip, c))


def _complete(shape: Shape, chain: list[int | None]) -> list[int]:
    """Upper segment, lower segment and end of a limb of which two are known; fewer are returned as they are."""
    upper, lower, end = chain
    if upper is not None and lower is not None and end is None:
        for joint in shape.limb(lower)[1:]:
            if not shape.is_end[joint] and np.median(shape.span(lower, joint)) > SEGMENT_SHARE * np.median(
                shape.span(upper, lower)
            ):
                return [upper, lower, joint]
    elif upper is None and lower is not None and end is not None:
        for joint in shape.ancestors(lower)[-2:0:-1]:
            if np.median(shape.span(joint, lower)) > SEGMENT_SHARE * np.median(shape.span(lower, end)):
                return [joint, lower, end]
    elif upper is not None and lower is None and end is not None:
        between = shape.path(upper, end)[:-1]
        if between:
            middle = min(between, key=lambda j: abs(np.median(shape.span(upper, j)) - np.median(shape.span(j, end))))
            return [upper, middle, end]
    return [j for j in (upper, lower, end) if j is not None]
