"""What the policy sees: the phase, the body in its own heading frame, and how it differs from the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from characters.character import Character
from motion import rotation
from motion.rotation import Array
from train.state import State

POSITION_CLIP = 1.0
"""metres: errors of the root's place beyond this look the same"""
VELOCITY_SCALE = 0.1
"""brings m/s and rad/s to the size of the rest before the normaliser has seen any"""


def observe(character: Character, sim: State, ref: State, phase: Array, loop: bool) -> NDArray[np.float32]:
    """Observations ``(N, O)`` in float32.

    Args:
        character: the body.
        sim: the bodies.
        ref: the reference now.
        phase: (N,) in [0, 1].
        loop: a cycle's phase is seen as sine and cosine, a one-shot's as it is.

    Contents, as `parts` says where: phase 2; root height 1; the world's up in the root's frame 3; of each link but the root
    its position 3 from the root, and of all links the linear velocity 3, in the root's heading frame; what leads from the
    body to the reference: root place 3 (heading frame, clipped), root turn 3, joints nv − 6; the same of the velocities nv.
    """
    count, layout = len(sim), character.layout
    quaternion = sim.qpos[:, 3:7]
    back = rotation.from_yaw(-rotation.yaw(quaternion))
    each = back[:, None]
    error = layout.difference(sim.qpos, ref.qpos)
    error[:, :3] = np.clip(rotation.rotate(back, error[:, :3]), -POSITION_CLIP, POSITION_CLIP)
    speed = ref.qvel - sim.qvel
    speed[:, :3] = rotation.rotate(back, speed[:, :3])
    cycle = (
        np.column_stack([np.cos(2 * np.pi * phase), np.sin(2 * np.pi * phase)])
        if loop
        else np.column_stack([phase, np.ones(count)])
    )
    parts = [
        cycle,
        sim.qpos[:, 2:3],
        rotation.rotate(rotation.conjugate(quaternion), np.array([0.0, 0.0, 1.0])),
        rotation.rotate(each, sim.positions[:, 1:] - sim.positions[:, :1]).reshape(count, -1),
        VELOCITY_SCALE * rotation.rotate(each, sim.linear).reshape(count, -1),
        error,
        VELOCITY_SCALE * speed,
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def parts(character: Character) -> dict[str, slice]:
    """Where in an observation of a body is what."""
    links, nv = len(character.links), character.layout.nv
    sizes = {
        "phase": 2,
        "height": 1,
        "up": 3,
        "places": 3 * (links - 1),
        "velocities": 3 * links,
        "error": nv,
        "speed": nv,
    }
    ends = np.cumsum(list(sizes.values())).tolist()
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


def size(character: Character) -> int:
    """Length of an observation of a body."""
    return parts(character)["speed"].stop
