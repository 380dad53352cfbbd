"""Limbs by shape, where names say nothing: symmetric pairs in the tree, their segments, and which side is left.

Everything is measured on sampled poses, not on the rest pose: files exist whose rest pose is all bones along one axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motion.limbs import Limbs
from motion.rotation import Array
from motion.shape import EPS, Shape, unit
from motion.vocabulary import OTHER_SIDE, SIDES

SYMMETRY = 0.25
"""largest mismatch of two limbs' bone lengths, as a share of their length; captured bodies differ by up to 0.1"""
LIMB_REACH = 0.35
"""shortest limb, as a share of the longest: eyes, breasts and fingers are shorter"""
STRAIGHT = 0.985
"""a segment of several joints (twist bones) keeps at least this share of its arc length: it kinks by 10° at most"""
FIRST_BONE = 0.12
"""a bone shorter than this share of a segment does not begin it: it leads from the trunk to the limb"""
SAME_PLACE = 0.05
"""a joint nearer than this share of the segment before it stands where that segment already ended"""
PARSIMONY = 0.85
"""worth of a joint passed over as a twist bone: in a T-pose everything on an arm's line could be one"""
LONG_END, NO_END = 0.6, 0.02
"""a hand or foot is rarely longer, and never shorter, than these shares of the two segments together"""
CLEAR_VOTE = 0.6
"""`left_vote` beyond which the shape contradicts the names loudly enough to say so"""
CLEAR_CROSSING = 0.5
"""mean cosine between the lines across hips and shoulders beyond which they contradict each other"""
MOST_JOINTS = 40
"""longest chain looked at as a limb"""
LEG_SPREAD, ARM_SPREAD = 0.3, 0.4
"""spread of log(thigh / shank) and log(upper arm / forearm) over captured rigs, whose wrists are sometimes misplaced"""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two limbs that mirror each other below one joint."""

    attach: int
    limbs: tuple[list[int], list[int]]
    """joints from the first below ``attach`` to the tip, the longest way"""
    reach: float


def _mismatch(shape: Shape, a: list[int], b: list[int]) -> float:
    la, lb = shape.lengths[a], shape.lengths[b]
    size = max(len(la), len(lb))
    la, lb = np.pad(la, (0, size - len(la))), np.pad(lb, (0, size - len(lb)))
    return float(np.abs(la - lb).sum() / max(0.5 * (la.sum() + lb.sum()), EPS))


def symmetric_pairs(shape: Shape) -> list[Pair]:
    """Pairs of limbs of like bone lengths below a common joint, the longest first, none inside another."""
    found: list[tuple[float, float, Pair]] = []
    for attach, children in enumerate(shape.children):
        for i, a in enumerate(children):
            for b in children[i + 1 :]:
                limbs = shape.limb(a), shape.limb(b)
                reach = float(min(shape.reach[a], shape.reach[b]))
                near = (
                    abs(shape.lengths[a] - shape.lengths[b])
                    <= SYMMETRY * max(shape.lengths[a], shape.lengths[b]) + 0.02 * reach
                )
                mismatch = _mismatch(shape, *limbs)
                if reach > EPS and near and mismatch < SYMMETRY and 2 < len(limbs[0]) <= MOST_JOINTS:
                    found.append((reach * (1 - mismatch), reach, Pair(attach, limbs, reach)))
    pairs: list[Pair] = []
    for _, reach, pair in sorted(found, key=lambda f: -f[0]):
        if pairs and reach < LIMB_REACH * pairs[0].reach:
            continue
        roots = [limb[0] for p in pairs for limb in p.limbs]
        if not any(shape.under(limb[0], r) for r in roots for limb in pair.limbs):
            pairs.append(pair)
    return pairs


def _fan(shape: Shape, limb: list[int]) -> int:
    """Index in a limb of the joint where it fans out (a hand, a foot); its last index when it never does."""
    for at, joint in enumerate(limb[:-1]):
        rest = shape.reach[limb[at + 1]]
        side = [shape.reach[c] for c in shape.children[joint] if c != limb[at + 1]]
        if side and max(side) > 0.4 * rest:
            return at
    return len(limb) - 1


def segments(shape: Shape, pair: Pair, *, arm: bool) -> tuple[int, int, int] | None:
    """Which joints of two limbs begin their long segments and their end (thigh, shank, foot), as indices into a limb.

    The two segments are rigid (their length does not change), of similar length, and make up most of the limb; the
    joint between them bends. Where an arm fans out, that is the hand.
    """
    both: dict[tuple[int, int, int], float] = {}
    for to_end in (False, True):
        scores = [_segment_scores(shape, limb, arm=arm, to_end=to_end) for limb in pair.limbs]
        both = both or {at: scores[0][at] + scores[1][at] for at in scores[0] if at in scores[1]}
    if not both:
        return None
    i, j, k = max(both, key=lambda at: both[at])
    limb = pair.limbs[0]
    nearby = SAME_PLACE * shape.lengths[limb[j + 1 : k + 1]].sum()
    while k > j + 1 and shape.lengths[limb[k]] < nearby:
        k -= 1
    return i, j, k


def _segment_scores(shape: Shape, limb: list[int], *, arm: bool, to_end: bool) -> dict[tuple[int, int, int], float]:
    """How well each choice of three joints of a limb fits, higher is better; impossible ones are left out.

    Args:
        to_end: the third may be an End Site, for bodies without hands.
    """
    fan = _fan(shape, limb)
    arc = np.concatenate([[0.0], np.cumsum(shape.lengths[limb[1:]])])
    whole = max(arc[-1] + shape.lengths[limb[0]], EPS)

    def straight(a: int, b: int) -> bool:
        length = arc[b] - arc[a]
        if length < EPS or arc[a + 1] - arc[a] < FIRST_BONE * length:
            return False
        return b == a + 1 or bool(np.min(shape.span(limb[a], limb[b])) >= STRAIGHT * length)

    scores = {}
    for j in range(1, len(limb) - 1):
        ends = [k for k in range(j + 1, fan + 1) if straight(j, k) and (to_end or not shape.is_end[limb[k]])]
        for i in (i for i in range(j) if straight(i, j)):
            for k in ends:
                ratio = np.log((arc[j] - arc[i]) / (arc[k] - arc[j]))
                bend = min(float(np.ptp(shape.bend(limb[i], limb[j], limb[k]))), 1.0)
                rest = (arc[-1] - arc[k]) / (arc[k] - arc[i])
                score = (arc[k] - arc[i]) / whole * (1 + bend)
                score *= np.exp(-0.5 * (ratio / (ARM_SPREAD if arm else LEG_SPREAD)) ** 2)
                score *= PARSIMONY ** (k - i - 2)
                score *= np.exp(-max(rest - LONG_END, 0.0)) * (1.0 if rest > NO_END else 0.5)
                scores[i, j, k] = float(score)
    hands = {at: score for at, score in scores.items() if arm and at[2] == fan < len(limb) - 1}
    return hands or scores


def left_vote(shape: Shape, legs: list[list[int]], arms: list[list[int]], *, quadruped: bool) -> tuple[float, str]:
    """How much says that the first leg is the left one: > 0 it is, < 0 it is the right one; beyond ±0.3 is clear.

    The first leg is supposed left, which makes the body's forward direction; votes are whether toes point there, knees
    bend there, elbows bend away, and the body travels there. Upright bodies have their trunk for up, four-legged
    ones their legs, and then the trunk points forward. World axes are not used: lying and tumbling bodies vote too.

    Args:
        legs: (thigh, shank, foot, …, tip) of two legs; the tip may be an End Site.
        arms: (upper arm, forearm, hand, …) of two arms, or empty.
    """
    p = shape.positions
    hips = 0.5 * (p[:, legs[0][0]] + p[:, legs[1][0]])
    feet = 0.5 * (p[:, legs[0][:3][-1]] + p[:, legs[1][:3][-1]])
    top = 0.5 * (p[:, arms[0][0]] + p[:, arms[1][0]]) if arms else 2 * hips - feet
    up = unit(hips - feet) if quadruped else unit(top - hips)
    forward = unit(np.cross(p[:, legs[0][0]] - p[:, legs[1][0]], up))

    def along(vectors: Array) -> float:
        return float(np.mean(np.einsum("fi,fi->f", vectors, forward)))

    def off_line(chain: list[int]) -> Array:
        a, b, c = (p[:, j] for j in chain[:3])
        line = unit(c - a)
        out = b - a - np.einsum("fi,fi->f", b - a, line)[:, None] * line
        return out / np.maximum(np.linalg.norm(c - a, axis=-1), EPS)[:, None]

    votes: dict[str, float] = {}
    if quadruped:
        votes["trunk"] = 3.0 * along(unit(top - hips))
    else:
        tips = [unit(p[:, leg[-1]] - p[:, leg[2]]) for leg in legs if len(leg) > 3]
        if tips:
            votes["toes"] = 2.0 * sum(along(t) for t in tips) / len(tips)
        bends = [off_line(leg) for leg in legs if len(leg) > 2]
        if bends:
            votes["knees"] = float(np.clip(10.0 * sum(along(b) for b in bends) / len(bends), -1.5, 1.5))
        bends = [off_line(arm) for arm in arms if len(arm) > 2]
        if bends:
            votes["elbows"] = float(np.clip(-2.0 * sum(along(b) for b in bends) / len(bends), -0.5, 0.5))
    steps = np.diff(hips, axis=0)
    travelled = np.linalg.norm(steps, axis=-1).sum()
    if travelled > np.linalg.norm(top[0] - hips[0]):
        votes["travel"] = 0.5 * float(np.einsum("fi,fi->", steps, forward[1:]) / travelled)
    which = max(votes, key=lambda v: abs(votes[v]), default="nothing")
    return sum(votes.values()), which


def add_unnamed_limbs(shape: Shape, limbs: Limbs) -> None:
    """Add to ``limbs`` the legs and arms that are missing: a named limb's mirror image, else symmetric pairs.

    Legs hang nearer the root than arms do. Sides are arbitrary until `orient` settles them.
    """
    pairs = symmetric_pairs(shape)
    for role in ("leg", "arm"):
        if role == "arm" and "left_foreleg" in limbs.chains:
            continue
        missing = [side for side in SIDES if f"{side}_{role}" not in limbs.chains]
        taken = {j for chain in limbs.chains.values() for j in chain}
        if len(missing) == 1:
            _add_mirror(shape, limbs, pairs, missing[0], role)
        elif missing:
            free = [p for p in pairs if not any(taken & set(shape.subtree(limb[0])) for limb in p.limbs)]
            if role == "leg":
                free.sort(key=lambda p: (shape.depth[p.attach], -p.reach))
            _add_pair(shape, limbs, free, role)


def _add_pair(shape: Shape, limbs: Limbs, free: list[Pair], role: str) -> None:
    for pair in free:
        at = segments(shape, pair, arm=role == "arm")
        if at is None:
            continue
        for limb, side in zip(pair.limbs, SIDES, strict=True):
            chain = [limb[i] for i in at if not shape.is_end[limb[i]]]
            if role == "arm" and at[0] > 0:
                limbs.add(f"{side}_clavicle", limb[: at[0]], "topology: between trunk and upper arm")
            if role == "leg":
                chain += _forefoot(shape, limb, at[2])
            limbs.add(f"{side}_{role}", chain, "topology: one of two mirrored limbs")
        return


def _forefoot(shape: Shape, limb: list[int], foot: int) -> list[int]:
    """The joint after the foot, if the foot does not fan out."""
    after = limb[foot + 1 : foot + 2]
    return [j for j in after if not shape.is_end[j] and _fan(shape, limb) > foot]


def _add_mirror(shape: Shape, limbs: Limbs, pairs: list[Pair], side: str, role: str) -> None:
    """Add the limb that mirrors the named one of the other side."""
    named = limbs.chains[f"{OTHER_SIDE[side]}_{role}"]
    for pair in pairs:
        for limb, other in (pair.limbs, pair.limbs[::-1]):
            at = [limb.index(j) for j in named if j in limb]
            if len(at) == len(named) and len(other) > at[-1]:
                limbs.add(f"{side}_{role}", [other[i] for i in at], f"topology: mirrors the {OTHER_SIDE[side]} one")
                return


def orient(shape: Shape, limbs: Limbs, *, quadruped: bool) -> str | None:
    """Settle left and right of the limbs that have no name; limbs are swapped in place.

    Returns:
        what in the shape contradicts the names' left and right, or None. Names are never overruled.
    """
    pairs = [role for role in ("leg", "arm") if all(f"{side}_{role}" in limbs.chains for side in SIDES)]
    named = [role for role in pairs if any(limbs.evidence[f"{side}_{role}"].startswith("name") for side in SIDES)]

    def across(role: str) -> Array:
        left, right = (shape.positions[:, limbs.chains[f"{side}_{role}"][0]] for side in SIDES)
        return unit(left - right)

    agree = float(np.mean(np.einsum("fi,fi->f", across("leg"), across("arm")))) if len(pairs) == 2 else 1.0
    if len(pairs) == 2 and agree < 0 and len(named) < 2:
        _swap(limbs, "arm" if named != ["arm"] else "leg")
    if "leg" not in pairs:
        return None
    legs = [_with_tip(shape, limbs.chains[f"{side}_leg"]) for side in SIDES]
    arms = [limbs.chains[f"{side}_arm"] for side in SIDES] if "arm" in pairs else []
    vote, which = left_vote(shape, legs, arms, quadruped=quadruped)
    if not named:
        for role in pairs:
            if vote < 0:
                _swap(limbs, role)
            for side in SIDES:
                limbs.evidence[f"{side}_{role}"] += f"; {side} by the {which} (vote {abs(vote):.1f})"
        return None
    if len(named) == 2 and agree < -CLEAR_CROSSING:
        return "left arm and left leg are on opposite sides of the body"
    if vote < -CLEAR_VOTE:
        return f"the {which} point the other way (vote {vote:.1f})"
    return None


def _swap(limbs: Limbs, role: str) -> None:
    for part in ("arm", "clavicle") if role == "arm" else ("leg",):
        left, right = f"left_{part}", f"right_{part}"
        if left in limbs.chains and right in limbs.chains:
            limbs.chains[left], limbs.chains[right] = limbs.chains[right], limbs.chains[left]
            limbs.evidence[left], limbs.evidence[right] = limbs.evidence[right], limbs.evidence[left]


def _with_tip(shape: Shape, leg: list[int]) -> list[int]:
    """A leg with the farthest point after its last joint (an End Site too)."""
    return leg + shape.limb(leg[-1])[-1:] if shape.children[leg[-1]] else leg
