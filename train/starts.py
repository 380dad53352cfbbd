"""Where in the clip episodes begin: DeepMimic's reference-state initialisation, even or weighted by failure."""

from __future__ import annotations

import numpy as np

from motion.errors import InputError, nearest
from motion.rotation import Array

STARTS = ("uniform", "zero", "failure")
BIN = 0.1
"""seconds of a phase bin"""
LEAD = 0.5
"""seconds before a failure from which it is practised: what went wrong began earlier than the fall"""
EVEN = 0.5
"""share of the starts that stay evenly spread, so that no phase is forgotten"""
MEMORY = 300.0
"""policy steps after which what was counted has faded to 1/e: about ten batches"""
ARRAYS = ("visits", "failures")
"""of `Starts`, what a snapshot keeps"""


class Starts:
    """Draws start phases. ``failure`` draws a phase bin by the recent rate of terminations in and shortly after it.

    Args:
        kind: one of `STARTS`.
        duration: seconds of the clip.
        loop: phases before 0 are those before 1.
    """

    def __init__(self, kind: str, duration: float, loop: bool):
        if kind not in STARTS:
            raise InputError(f"no start {kind!r}", hint=nearest(kind, STARTS))
        self.kind, self.loop = kind, loop
        self.count = max(1, round(duration / BIN))
        self.lead = min(round(LEAD / duration * self.count), self.count - 1)
        self.visits = np.zeros(self.count)
        """(B,) recent policy steps in each bin"""
        self.failures = np.zeros(self.count)
        """(B,) recent terminations in each bin"""

    def observe(self, phase: Array, terminated: np.ndarray) -> None:
        """Count a policy step at phases ``(N,)`` in [0, 1], and which of them ended badly ``(N,)``."""
        if self.kind != "failure":
            return
        at = np.minimum((phase * self.count).astype(int), self.count - 1)
        for total, rows in ((self.visits, at), (self.failures, at[terminated])):
            total *= np.exp(-1.0 / MEMORY)
            total += np.bincount(rows, minlength=self.count)

    def shares(self) -> Array:
        """(B,) probability of each bin, sum 1."""
        rate = self.failures / np.maximum(self.visits, 1.0)
        ahead = rate.copy()
        for k in range(1, self.lead + 1):
            later = np.roll(rate, -k)
            if not self.loop:
                later[-k:] = 0.0
            ahead += later
        even = np.full(self.count, 1.0 / self.count)
        return EVEN * even + (1.0 - EVEN) * ahead / ahead.sum() if ahead.any() else even

    def draw(self, count: int, random: np.random.Generator) -> Array:
        """Phases ``(count,)`` in [0, 1)."""
        uniform = random.uniform(0.0, 1.0, count)
        if self.kind == "zero":
            return np.zeros(count)
        if self.kind == "uniform":
            return uniform
        bins = np.searchsorted(np.cumsum(self.shares())[:-1], uniform, side="right")
        return (bins + random.uniform(0.0, 1.0, count)) / self.count

    def snapshot(self) -> dict[str, np.ndarray]:
        """What `restore` needs."""
        return {name: getattr(self, name).copy() for name in ARRAYS} if self.kind == "failure" else {}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go on from a `snapshot`; one of another kind of start has counted nothing."""
        for name in self.snapshot().keys() & snapshot.keys():
            getattr(self, name)[:] = snapshot[name]
