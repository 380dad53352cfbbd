"""The reference as a table: the states of a clip are computed once, finely, and looked up while training."""

from __future__ import annotations

import numpy as np

from characters.character import Character
from motion import rotation
from motion.clip import Clip
from motion.rotation import Array
from train.state import State, state_of

FINE = 240.0
"""states a second in the table; between them everything is interpolated linearly"""


class Reference:
    """States of a clip at any time.

    Args:
        clip: the clip.
        character: its body.
        horizon: seconds after the clip's start that will be asked for.
    """

    def __init__(self, clip: Clip, character: Character, horizon: float):
        self.clip, self.layout = clip, character.layout
        steps = max(2, int(np.ceil(clip.duration * FINE)))
        self.rate = steps / clip.duration
        qpos, qvel = clip.sample(np.arange(steps + 1) / self.rate)
        qpos = self.layout.continuous(qpos)
        state = state_of(character, qpos, qvel)
        rotations = rotation.continuous(state.rotations)
        links = len(character.links)
        parts = [qpos, qvel, *(x.reshape(steps + 1, -1) for x in (state.positions, rotations))]
        parts += [x.reshape(steps + 1, -1) for x in (state.linear, state.angular, state.com, state.com_velocity)]
        self._table = np.concatenate(parts, axis=1)
        self._poses = qpos
        self._ends = np.cumsum([p.shape[1] for p in parts])
        self._links = links
        cycles = int(np.ceil(horizon / clip.duration)) + 2 if clip.loop else 1
        offset = clip.cycle_offset
        self._moved = np.stack([offset.power(n) for n in range(cycles)])
        self._turned = offset.yaw * np.arange(cycles)

    def _rows(self, time: Array, table: Array) -> tuple[Array, np.ndarray]:
        """Rows ``(N, …)`` of a table and cycle numbers ``(N,)`` at times ``(N,)``."""
        if self.clip.loop:
            cycle = np.floor(time / self.clip.duration).astype(int)
            at = (time - cycle * self.clip.duration) * self.rate
        else:
            cycle = np.zeros(len(time), dtype=int)
            at = np.clip(time, 0.0, self.clip.duration) * self.rate
        left = np.clip(at.astype(int), 0, len(table) - 2)
        share = (at - left)[:, None]
        return (1.0 - share) * table[left] + share * table[left + 1], cycle

    def __call__(self, time: Array, shift: Array | None = None) -> State:
        """States at clip times ``(N,)`` s, cycles included, moved by ``shift`` ``(N, 3)`` m."""
        rows, cycle = self._rows(time, self._table)
        count = len(rows)
        qpos, qvel, positions, rotations, linear, angular, com, com_velocity = np.split(rows, self._ends[:-1], axis=1)
        quats = self.layout.quaternions[:, None] + np.arange(4)
        qpos[:, quats] = rotation.normalize(qpos[:, quats])
        vectors = [
            v.reshape(count, -1, 3) for v in (qpos[:, :3], qvel[:, :3], positions, linear, angular, com, com_velocity)
        ]
        rotations = rotation.normalize(rotations.reshape(count, self._links, 4))
        move = self._moved[cycle]
        if self.clip.cycle_offset.yaw:
            turn = rotation.from_yaw(self._turned[cycle])
            vectors = [rotation.rotate(turn[:, None], v) for v in vectors]
            qpos[:, 3:7] = rotation.multiply(turn, qpos[:, 3:7])
            rotations = rotation.multiply(turn[:, None], rotations)
        if shift is not None:
            move = move + shift
        root, root_velocity, positions, linear, angular, com, com_velocity = vectors
        qpos[:, :3], qvel[:, :3] = root[:, 0] + move, root_velocity[:, 0]
        if not self.clip.loop:  # a one-shot holds its ends, at rest
            still = (time < 0.0) | (time > self.clip.duration)
            for v in (qvel, linear, angular, com_velocity):
                v[still] = 0.0
        return State(
            qpos, qvel, positions + move[:, None], rotations, linear, angular, com[:, 0] + move, com_velocity[:, 0]
        )

    def pose(self, time: Array) -> Array:
        """Joint part ``(N, nq − 7)`` of the pose at times ``(N,)``: what servos aim at."""
        qpos, _ = self._rows(time, self._poses)
        quats = self.layout.quaternions[1:, None] + np.arange(4)
        qpos[:, quats] = rotation.normalize(qpos[:, quats])
        return qpos[:, 7:]
