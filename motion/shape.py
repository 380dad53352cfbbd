"""A skeleton in some of its poses: tree paths and distances, free of unit, axes and rest pose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from motion.motion import Motion
from motion.rotation import Array

FRAMES = 64
"""poses looked at: enough to see every joint bend, whatever the clip's length"""
SHRUNK = 0.5
"""share of the offsets' length below which a body moved by position channels counts as shrunk"""
EPS = 1e-9
"""lengths below this are zero"""


@dataclass(frozen=True, eq=False)
class Shape:
    """A skeleton in some of its poses."""

    positions: Array
    """(F, J, 3) joints in the world, file unit"""
    parents: np.ndarray
    """(J,) as in Skeleton"""
    is_end: np.ndarray
    """(J,) bool"""

    @classmethod
    def of(cls, motion: Motion) -> Shape:
        """Shape of up to ``FRAMES`` poses spread over the motion.

        Positions given for joints are left aside where they shrink the body: some files count them from the offsets.
        """
        rows = np.unique(np.linspace(0, len(motion) - 1, FRAMES).astype(int))
        some = replace(
            motion,
            root_positions=motion.root_positions[rows],
            rotations=motion.rotations[rows],
            translations=None if motion.translations is None else motion.translations[rows],
        )
        shape = cls(some.forward()[0], motion.skeleton.parents, motion.skeleton.is_end)
        if some.translations is not None:
            rigid = cls(replace(some, translations=None).forward()[0], motion.skeleton.parents, motion.skeleton.is_end)
            if shape.lengths.sum() < SHRUNK * rigid.lengths.sum():
                return rigid
        return shape

    @cached_property
    def children(self) -> list[list[int]]:
        """(J,) lists of child joints."""
        out: list[list[int]] = [[] for _ in self.parents]
        for joint, parent in enumerate(self.parents[1:], start=1):
            out[parent].append(joint)
        return out

    @cached_property
    def lengths(self) -> Array:
        """(J,) bone from the parent, median over the poses; 0 for the root."""
        bones = self.positions - self.positions[:, np.maximum(self.parents, 0)]
        return np.median(np.linalg.norm(bones, axis=-1), axis=0)

    @cached_property
    def reach(self) -> Array:
        """(J,) longest path of bones down from a joint, its own bone included."""
        out = self.lengths.copy()
        for joint in range(len(self.parents) - 1, -1, -1):
            below = [out[c] for c in self.children[joint]]
            out[joint] = self.lengths[joint] + max(below, default=0.0)
        return out

    @cached_property
    def depth(self) -> np.ndarray:
        """(J,) joints between a joint and the root."""
        out = np.zeros(len(self.parents), int)
        for joint, parent in enumerate(self.parents[1:], start=1):
            out[joint] = out[parent] + 1
        return out

    def ancestors(self, joint: int) -> list[int]:
        """A joint and its ancestors, outward from the root."""
        out = [joint]
        while self.parents[out[-1]] >= 0:
            out.append(int(self.parents[out[-1]]))
        return out[::-1]

    def common(self, joints: list[int]) -> int:
        """The deepest joint that is an ancestor of (or is) every one of ``joints``."""
        paths = [self.ancestors(j) for j in joints]
        return [a for a in paths[0] if all(a in p for p in paths)][-1]

    def path(self, top: int, joint: int) -> list[int]:
        """Joints from below ``top`` down to ``joint``, which may itself not be below ``top``."""
        shared = self.common([top, joint])
        return [j for j in self.ancestors(joint) if j not in self.ancestors(shared)]

    def limb(self, joint: int) -> list[int]:
        """The longest path down from a joint, itself included."""
        out = [joint]
        while self.children[out[-1]]:
            out.append(max(self.children[out[-1]], key=lambda c: self.reach[c]))
        return out

    def subtree(self, joint: int) -> list[int]:
        """A joint and all joints below it."""
        return [j for j in range(joint, len(self.parents)) if self.under(j, joint)]

    def under(self, joint: int, ancestor: int) -> bool:
        """Whether a joint is below another (or is it)."""
        return ancestor in self.ancestors(joint)

    def bend(self, a: int, b: int, c: int) -> Array:
        """(F,) radians between the directions a → b and b → c."""
        u, v = self.positions[:, b] - self.positions[:, a], self.positions[:, c] - self.positions[:, b]
        return np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), np.einsum("fi,fi->f", u, v))

    def span(self, a: int, b: int) -> Array:
        """(F,) distance between two joints."""
        return np.linalg.norm(self.positions[:, b] - self.positions[:, a], axis=-1)


def unit(vectors: Array) -> Array:
    """Vectors (…, 3) scaled to length 1; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), EPS)
