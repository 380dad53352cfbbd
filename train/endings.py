"""Why episodes end early: when in the clip, for what reason, leaning which way, on which feet."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from motion import rotation
from motion.rotation import Array
from train.env import REASONS, ImitationEnv
from train.falling import touching


@dataclass(frozen=True, slots=True)
class Ending:
    """One episode that was terminated."""

    phase: float
    """of the clip, in [0, 1]"""
    seconds: float
    """into the episode"""
    reason: str
    """of `train.env.REASONS`"""
    lean: tuple[float, float]
    """forward and left in the reference's heading frame, rad: how far the root has tilted away from the reference's"""
    stance: tuple[str, ...]
    """feet on the ground"""


@dataclass(slots=True)
class Endings:
    """Endings as they come, or counted by phase."""

    each: list[Ending] = field(default_factory=list)

    def add(self, env: ImitationEnv, which: np.ndarray, seconds: Array) -> None:
        """Note that environments ``which`` (N,) bool were terminated in the last step, ``seconds`` (N,) into the episode."""
        ids = np.flatnonzero(which)
        if not len(ids):
            return
        sim = env.sim.rows(ids)
        tilt = lean(sim.qpos[:, 3:7], env.ref.qpos[ids, 3:7])
        phase = env.phase_at(env.when[ids])
        low = touching(env.character, sim)
        feet = [i for i, link in enumerate(env.character.links) if link.name in env.character.feet]
        for row, i in enumerate(ids):
            stance = tuple(env.character.links[foot].name for foot in feet if low[row, foot])
            where = float(tilt[row, 0]), float(tilt[row, 1])
            self.each.append(Ending(float(phase[row]), float(seconds[i]), REASONS[env.reason[i]], where, stance))

    def histogram(self, bins: int = 20) -> dict[str, list[int]]:
        """Reason → endings in each of ``bins`` equal parts of the clip; reasons that did not occur are left out."""
        out: dict[str, list[int]] = {}
        for reason in REASONS[1:]:
            phases = [ending.phase for ending in self.each if ending.reason == reason]
            if phases:
                out[reason] = np.histogram(phases, bins=bins, range=(0.0, 1.0))[0].tolist()
        return out


def lean(turned: Array, reference: Array) -> Array:
    """Tilt ``(n, 2)`` in rad from rotations ``reference`` (n, 4) to ``turned`` (n, 4): forward and left, heading frame.

    A turn about the world's vertical is no tilt.
    """
    turn = rotation.log(rotation.multiply(turned, rotation.conjugate(reference)))
    back = rotation.from_yaw(-rotation.yaw(reference))
    about = rotation.rotate(back, turn)
    return np.stack([about[:, 1], -about[:, 0]], axis=1)  # a turn about y (left) tips the body forward
