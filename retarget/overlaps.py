"""Self-collision in the solve: links that overlap, though they do not at rest, push each other apart.

A place where links a and b overlap by d is the residual d + n·(Δa − Δb) of their points there, n the way out for b. It
couples two limbs of the tree, which the packed equations have no room for. So one residual for each link stands in,
d/2 + n·Δa and d/2 − n·Δb, of twice the weight: never less than the coupled one, equal to it in value and gradient where the
links are (majorisation: Hunter and Lange, *A tutorial on MM algorithms*, 2004). Steps are shorter, and end at the same place.
"""

from __future__ import annotations

import numpy as np

from characters import dynamics
from characters.character import Character
from motion.rotation import Array
from retarget.assemble import Placed, Rows

ALLOWED = 0.002
"""metres: overlaps up to this cost nothing"""
DEEPEST = 0.05
"""metres: deeper ones push no harder than this"""
EVERY = 3
"""Steps after which all frames are looked at again; between them, those that have overlapped."""


class Overlaps:
    """Where a body overlaps itself while it is being solved."""

    def __init__(self, character: Character, frames: int):
        self.character = character
        self.looked = 0
        self.seen = np.zeros(frames, dtype=bool)
        """(T,) frames that have overlapped"""

    def add(self, rows: Rows, placed: Placed, qpos: Array, weight: float, swing: dict[int, Array]) -> None:
        """Add rows for qpos ``(T, nq)``, ``weight`` per squared metre of overlap.

        Args:
            swing: foot link → (T,) how free it is, 0 in stance. A standing foot cannot give way, nor another leap over it:
                between feet prints and clearance decide, as far as either stands.
        """
        at = np.flatnonzero(self.seen) if self.looked % EVERY else np.arange(len(qpos))
        self.looked += 1
        found = dynamics.overlaps(self.character, qpos[at]).deeper(ALLOWED)
        if len(found.frame) == 0:
            return
        free = np.full((len(self.character.links), len(qpos)), -1.0)  # no foot
        for link, share in swing.items():
            free[link] = share
        frame = at[found.frame]
        self.seen[frame] = True
        depth = np.minimum(found.depth - ALLOWED, DEEPEST)
        least = free[found.links, frame[:, None]].min(axis=1)
        weights = weight * np.where(least < 0, 1.0, least)
        arm = found.point - placed.root.T[frame]
        line = np.concatenate([np.cross(arm, found.normal), found.normal], axis=1)  # the rows' coefficients
        matrix = 2.0 * weights[:, None, None] * line[:, :, None] * line[:, None, :]
        force = (weights * depth)[:, None] * line
        for link, sign in ((found.links[:, 0], -1.0), (found.links[:, 1], 1.0)):
            np.add.at(rows.matrix.transpose(0, 3, 1, 2), (link, frame), matrix)
            np.add.at(rows.vector.transpose(0, 2, 1), (link, frame), sign * force)
        np.add.at(rows.cost, frame, weights * depth**2)
