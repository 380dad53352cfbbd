"""What counts as a fall: a link touches the ground that this body may not, and this clip does not, put there."""

from __future__ import annotations

import numpy as np

from characters import kinematics, shapes
from characters.character import Character
from motion.clip import Clip
from train.state import State

NEAR = 0.03
"""metres: a link that comes this close in the clip may touch. A walking shin is 4 cm up at the ankle and may not"""
LYING = 0.10
"""metres: where the trunk comes this close, as in rolls, crawls and get-ups, lying is no fall and every link may touch"""
TALL = 1.7
"""metres of the body these lengths are for; they scale with height"""
TOUCH = 0.005
"""metres: a link whose lowest point is below this touches the ground"""
RATE = 120.0
"""poses a second that are looked at"""


def may_touch(clip: Clip, character: Character) -> np.ndarray:
    """(L,) whether a link may touch the ground: by the body's definition, the clip's contacts, or the clip's poses."""
    touches = {name for name, flags in clip.contacts.items() if np.any(flags)}
    allowed = touches | set(character.feet) | set(character.ground)
    qpos, _ = clip.sample(np.linspace(0.0, clip.duration, max(2, round(RATE * clip.duration))))
    lowest = shapes.link_heights(character, kinematics.forward(character, qpos)).min(axis=0)
    scale = character.height / TALL
    spine = {character.joints[character.joint(name)].child for name in character.roles.get("spine", ())}
    if lowest[sorted({0} | spine)].min() < LYING * scale:
        return np.ones(len(character.links), dtype=bool)
    return np.array([link.name in allowed for link in character.links]) | (lowest < NEAR * scale)


def touching(character: Character, state: State) -> np.ndarray:
    """(N, L) whether a link touches the ground."""
    return shapes.link_heights(character, kinematics.Pose(state.positions, state.rotations)) < TOUCH


def fallen(character: Character, state: State, may: np.ndarray) -> np.ndarray:
    """(N,) whether a link touches the ground that may not, by `may_touch` (L,)."""
    return np.any(touching(character, state) & ~may, axis=1)
