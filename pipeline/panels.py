"""The curves beside a moving picture: feet, torque, reward terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from characters.character import Character
from motion.clip import Clip, Trajectory
from motion.rotation import Array
from retarget import feasibility
from retarget.sampled import Sampled

SLIDE = "slide in contact"
HARDEST = 3
"""joints whose torque is drawn by name"""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Curves that share an axis."""

    title: str
    unit: str
    """empty for a ratio"""
    seconds: Array
    """(N,)"""
    curves: dict[str, Array]
    """name → (N,), NaN where there is nothing to show"""
    limit: float | None = None
    """a value not to be passed"""


def of_clip(what: Clip | Trajectory, character: Character) -> tuple[Panel, ...]:
    """Foot height, slide of what is on the ground, and the torque an inverse dynamics asks for."""
    sampled = Sampled.of(what, character)
    seconds = np.asarray(np.arange(sampled.count) * sampled.dt, dtype=np.float64)
    feet = {character.links[link].name: ground for link, ground in sampled.ground.items()}
    feet = {name: feet[name] for name in character.feet if name in feet}
    heights = {name: 100 * ground.lowest[: sampled.count] for name, ground in feet.items()}
    slides = {}
    for name, ground in feet.items():
        slide = np.where(sampled.stance(name), 100 * ground.slide / sampled.dt, 0.0)
        slides[name] = np.append(slide, slide[-1:])[: sampled.count]
    panels = [
        Panel("foot height", "cm", seconds, heights, 0.0),
        Panel(SLIDE, "cm/s", seconds, slides),
    ]
    if sampled.count >= feasibility.LEAST:
        frames = np.arange(0, sampled.count, feasibility.EVERY)
        ratio, _ = feasibility.torques(sampled, frames)
        panels.append(torque(seconds[frames], ratio, [joint.name for joint in character.joints]))
    return tuple(panels)


def torque(seconds: Array, ratio: Array, names: list[str]) -> Panel:
    """Torque over limit ``(N, J)`` (NaN without a limit) of the hardest working joints."""
    worst = np.nan_to_num(ratio).max(axis=0, initial=0.0)
    hardest = np.argsort(-worst)[:HARDEST]
    return Panel("torque over its limit", "", seconds, {names[j]: ratio[:, j] for j in hardest}, 1.0)


def of_source(seconds: Array, heights: dict[str, Array]) -> tuple[Panel, ...]:
    """Foot height of a skeleton: limb → (N,) metres."""
    return (Panel("height of a foot's lowest joint", "cm", seconds, {n: 100 * h for n, h in heights.items()}, 0.0),)
