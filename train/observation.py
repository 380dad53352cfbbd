"""What the policy sees: the body in its own heading frame, the phase, and where the reference is from there."""

from __future__ import annotations

import numpy as np

from motion import rotation
from motion.rotation import Array
from train.state import State

POSITION_CLIP = 1.0
"""metres: errors to the reference beyond this look the same"""
VELOCITY_SCALE = 0.1
"""brings m/s and rad/s to the size of the rest before the normaliser has seen any"""


def observe(sim: State, ref: State, phase: Array, loop: bool) -> Array:
    """Observations ``(N, O)``.

    Args:
        sim: the bodies.
        ref: the reference now.
        phase: (N,) in [0, 1].
        loop: a cycle's phase is seen as sine and cosine, a one-shot's as it is.

    Contents: phase 2; root height 1; of each link, in the root's heading frame and from the root: position 3, rotation
    6 (two columns of its matrix), linear 3 and angular 3 velocity; of the reference root: position error 3 (clipped),
    heading error 2.
    """
    count = len(sim)
    heading = rotation.yaw(sim.qpos[:, 3:7])
    back = rotation.from_yaw(-heading)[:, None]
    root = sim.qpos[:, None, :3]
    turned = rotation.to_matrix(rotation.multiply(back, sim.rotations))
    error = rotation.rotate(back[:, 0], ref.qpos[:, :3] - sim.qpos[:, :3])
    ahead = rotation.yaw(ref.qpos[:, 3:7]) - heading
    cycle = (
        np.column_stack([np.cos(2 * np.pi * phase), np.sin(2 * np.pi * phase)])
        if loop
        else np.column_stack([phase, np.ones(count)])
    )
    parts = [
        cycle,
        sim.qpos[:, 2:3],
        rotation.rotate(back, sim.positions - root)[:, 1:].reshape(count, -1),
        turned[..., :2].reshape(count, -1),
        VELOCITY_SCALE * rotation.rotate(back, sim.linear).reshape(count, -1),
        VELOCITY_SCALE * rotation.rotate(back, sim.angular).reshape(count, -1),
        np.clip(error, -POSITION_CLIP, POSITION_CLIP),
        np.column_stack([np.cos(ahead), np.sin(ahead)]),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def size(links: int) -> int:
    """Length of an observation for a body of ``links`` links."""
    return 3 + 3 * (links - 1) + 12 * links + 5
