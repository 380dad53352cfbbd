"""Which joint of a skeleton plays which part of a body: names first, the tree's shape where names say nothing.

A joint stands for the segment it moves (from it to its child): ``left_leg`` is thigh, shank, foot, toes. Roles are
chains of joint names from the root outward; docs/architecture.md lists the vocabulary. The last joint of ``root`` is
the pelvis.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

from motion.axes import Axes, infer_axes
from motion.errors import MimicWarning
from motion.limbs import Limbs, named_limbs
from motion.motion import Motion, Skeleton
from motion.shape import Shape
from motion.topology import add_unnamed_limbs, orient
from motion.trunk import add_tail, add_trunk, is_quadruped
from motion.vocabulary import SIDES, Label, parse

__all__ = ["ROLE_ORDER", "Axes", "Roles", "infer_axes", "infer_roles"]

ROLE_ORDER = (
    *("root", "spine", "neck", "head"),
    *(f"{side}_{part}" for part in ("clavicle", "arm", "foreleg", "wing", "leg") for side in SIDES),
    "tail",
)
"""all roles, in the order they are printed"""


@dataclass(frozen=True, slots=True)
class Roles:
    """Roles of a skeleton's joints."""

    chains: dict[str, tuple[str, ...]]
    """role → joint names from the root outward; only roles that were found"""
    evidence: dict[str, str]
    """role → ``name: …`` or ``topology: …``"""
    unassigned: tuple[str, ...] = ()
    """joints without a role: fingers, face, twist bones, helpers, props, End Sites"""

    @property
    def quadruped(self) -> bool:
        """Whether the body stands on four legs."""
        return "left_foreleg" in self.chains or "right_foreleg" in self.chains


def infer_roles(motion: Motion) -> Roles:
    """Find the roles of any skeleton's joints; nothing is assumed about unit, axes or rest pose.

    Warns (MimicWarning) where the names' left and right contradict the body's shape and motion; the names win.
    """
    shape = Shape.of(motion)
    labels = _labels(motion.skeleton)
    limbs = named_limbs(shape, labels)
    add_unnamed_limbs(shape, limbs)
    add_trunk(shape, labels, limbs)
    add_tail(shape, labels, limbs)
    quadruped = is_quadruped(shape, limbs)
    if doubt := orient(shape, limbs, quadruped=quadruped or "left_foreleg" in limbs.chains):
        warnings.warn(
            MimicWarning(f"{motion.name}: left and right may be exchanged in the names: {doubt}"), stacklevel=2
        )
    if quadruped:
        _arms_to_forelegs(limbs)
    names = motion.skeleton.names
    order = [role for role in ROLE_ORDER if limbs.chains.get(role)]
    used = {j for role in order for j in limbs.chains[role]}
    return Roles(
        chains={role: tuple(names[j] for j in limbs.chains[role]) for role in order},
        evidence={role: limbs.evidence[role] for role in order},
        unassigned=tuple(name for j, name in enumerate(names) if j not in used),
    )


def _labels(skeleton: Skeleton) -> list[Label]:
    """What each name says; an End Site says nothing, a joint that repeats its child's name is a helper of the child."""
    plain = [re.sub(r"[\W_]", "", name).lower() for name in skeleton.names]
    labels = []
    for joint, name in enumerate(skeleton.names):
        repeats = any(plain[c] == plain[joint] and not skeleton.is_end[c] for c in skeleton.children(joint))
        labels.append(Label(minor=True) if repeats or skeleton.is_end[joint] else parse(name))
    return labels


def _arms_to_forelegs(limbs: Limbs) -> None:
    for side in SIDES:
        limbs.add(f"{side}_foreleg", limbs.chains.pop(f"{side}_arm"), limbs.evidence.pop(f"{side}_arm"))
