"""The middle of the body: root, spine, neck, head and tail, from the limbs that hang on it and from names."""

from __future__ import annotations

import numpy as np

from motion.limbs import Limbs, said
from motion.shape import Shape, unit
from motion.vocabulary import SIDES, Label

LYING_TRUNK = 0.6
"""cosine between the trunk and the way from feet to hips below which a trunk counts as horizontal"""
GROUNDED_HANDS = 0.7
"""hands at least this share of the way from hips to feet stand on the ground"""
FORELEG_RATIO = 0.85
"""arms this long, as a share of the legs, are forelegs even without a tail (a human's are 0.65 to 0.75)"""
TAIL_REACH = 0.3
"""shortest unnamed tail, as a share of a leg"""


def add_trunk(shape: Shape, labels: list[Label], limbs: Limbs) -> None:
    """Add root, spine, neck and head to ``limbs``.

    The root is the way down to the joint both thighs hang on, the spine the way from there to the joint both arms hang
    on, the neck the way from there to the head; names move the borders where they say so.
    """
    root = _root(shape, labels, limbs)
    limbs.add("root", root, _why(labels, root, "the joint both thighs hang on, else the first one"))
    pelvis = root[-1]
    arms = [_arm_base(limbs, side) for side in SIDES]
    held = [a for a in arms if a is not None]
    head = _named_head(shape, labels, limbs)
    if len(held) == 2:
        chest = shape.common(held)
    elif head is not None:
        spines = [j for j in shape.path(pelvis, head) if labels[j].part == "spine"]
        chest = spines[-1] if spines else pelvis
    else:
        spines = [j for j, label in enumerate(labels) if label.part == "spine" and not label.minor and j not in root]
        chest = spines[-1] if spines else pelvis
    if head is None and len(held) == 2 and (head_path := _unnamed_head(shape, labels, limbs, chest, held)):
        head = head_path[-1]
    spine = [j for j in shape.path(pelvis, chest) if not labels[j].minor and j not in root]
    neck = (
        []
        if head is None or chest == head
        else [j for j in shape.path(chest, head)[:-1] if not labels[j].minor or labels[j].part == "neck"]
    )
    first = next((i for i, j in enumerate(spine) if labels[j].part == "neck"), len(spine))
    spine, neck = spine[:first], spine[first:] + neck
    if any(labels[j].part == "neck" for j in neck):
        while neck and labels[neck[0]].part == "spine":
            spine.append(neck.pop(0))
    limbs.add("spine", spine, _why(labels, spine, "between the thighs' and the arms' joint"))
    limbs.add("neck", neck, _why(labels, neck, "between the arms' joint and the head"))
    if head is not None:
        limbs.add("head", [head], _why(labels, [head], "the end of the middle branch above the arms"))


def _why(labels: list[Label], chain: list[int], shape_says: str) -> str:
    return said(labels, chain) if any(labels[j].part for j in chain) else f"topology: {shape_says}"


def _arm_base(limbs: Limbs, side: str) -> int | None:
    for part in ("clavicle", "arm"):
        if chain := limbs.chains.get(f"{side}_{part}"):
            return chain[0]
    return None


def _root(shape: Shape, labels: list[Label], limbs: Limbs) -> list[int]:
    thighs = [limbs.chains[f"{side}_leg"][0] for side in SIDES if f"{side}_leg" in limbs.chains]
    named = next((j for j, label in enumerate(labels) if label.part == "hips" and not label.minor), 0)
    chain = shape.ancestors(shape.common(thighs) if len(thighs) == 2 else named)
    while labels[chain[-1]].part == "spine" and any(labels[j].part == "hips" for j in chain[:-1]):
        chain.pop()
    return chain


def _named_head(shape: Shape, labels: list[Label], limbs: Limbs) -> int | None:
    used = {j for chain in limbs.chains.values() for j in chain}
    heads = [
        j
        for j, label in enumerate(labels)
        if label.part == "head" and label.side is None and not label.minor and j not in used
    ]
    return min(heads, key=lambda j: shape.depth[j], default=None)


def _unnamed_head(shape: Shape, labels: list[Label], limbs: Limbs, chest: int, arms: list[int]) -> list[int]:
    """Joints from above the chest to the head: the longest branch that is neither arm nor named otherwise."""
    used = [chain[0] for chain in limbs.chains.values() if chain]
    branches = [
        c
        for c in shape.children[chest]
        if not shape.is_end[c] and not any(shape.under(u, c) for u in used + arms) and (not labels[c].minor)
    ]
    if not branches:
        return []
    branch = max(branches, key=lambda c: (labels[c].part == "neck", shape.reach[c]))
    path = [j for j in shape.limb(branch) if not shape.is_end[j] and not labels[j].minor]
    fan = next((i for i, j in enumerate(path) if len(shape.children[j]) > 1), len(path) - 1)
    return path[: fan + 1]


def add_tail(shape: Shape, labels: list[Label], limbs: Limbs) -> None:
    """Add the tail the names speak of; a tail with a side is an ornament."""
    tails = [j for j, label in enumerate(labels) if label.part == "tail" and label.side is None and not label.minor]
    if tails:
        chain = [j for j in shape.limb(tails[0]) if j in tails]
        limbs.add("tail", chain, _why(labels, chain, ""))


def is_quadruped(shape: Shape, limbs: Limbs) -> bool:
    """Whether the arms are forelegs: the trunk lies, the hands are as low as the feet, and no human is built so.

    Posture alone would take a crawling human for a dog; the build is a tail or long arms.
    """
    if any(f"{side}_{role}" not in limbs.chains for side in SIDES for role in ("leg", "arm")):
        return False
    p = shape.positions
    legs, arms = ([limbs.chains[f"{side}_{role}"] for side in SIDES] for role in ("leg", "arm"))
    hips, feet = (0.5 * (p[:, legs[0][k]] + p[:, legs[1][k]]) for k in (0, -1))
    top, hands = (0.5 * (p[:, arms[0][k]] + p[:, arms[1][k]]) for k in (0, -1))
    down = unit(feet - hips)
    trunk = float(np.median(np.einsum("fi,fi->f", unit(top - hips), -down)))
    low = float(np.median(np.einsum("fi,fi->f", hands - hips, down) / np.linalg.norm(feet - hips, axis=-1)))
    if trunk > LYING_TRUNK or low < GROUNDED_HANDS:
        return False
    ratio = sum(_length(shape, a) for a in arms) / max(sum(_length(shape, leg) for leg in legs), 1e-9)
    pelvis = limbs.chains["root"][-1]
    others = [
        c
        for c in shape.children[pelvis]
        if not any(shape.under(chain[0], c) for chain in limbs.chains.values() if chain)
    ]
    tail = "tail" in limbs.chains or any(shape.reach[c] > TAIL_REACH * _length(shape, legs[0]) for c in others)
    return tail or ratio > FORELEG_RATIO


def _length(shape: Shape, chain: list[int]) -> float:
    return float(shape.lengths[chain[1:]].sum())
