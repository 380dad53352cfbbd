"""Stable PD servos (Tan, Liu and Turk, *Stable proportional-derivative controllers*, 2011) for engines that have none.

The spring pulls from where the joint will be after the step, the damping acts on the velocity it will have then; both follow
from the body's own mass matrix, contacts left out. The torque limit holds for spring and damping together.
"""

from __future__ import annotations

import numpy as np

from characters import dynamics
from characters.character import Character
from motion.gains import JointGain
from motion.rotation import Array

HELD = 1e12
"""N·s/m and N·m·s/rad on a fixed root: it does not move"""


class Servo:
    """The servos of a body's joints.

    Args:
        timestep: seconds of a simulation step.
        fixed_root: the root does not give way to the joints' torques.
    """

    def __init__(self, character: Character, gains: dict[str, JointGain], timestep: float, *, fixed_root: bool = False):
        self.character, self.timestep = character, timestep
        widths = np.where(character.layout.ball, 3, 1)
        own = [gains[joint.name] for joint in character.joints]
        self.kp = np.repeat([gain.kp for gain in own], widths)
        self.kd = np.repeat([gain.kd for gain in own], widths)
        self.limit = np.repeat([gain.torque_limit for gain in own], widths)
        self._damping = np.concatenate([np.full(6, HELD if fixed_root else 0.0), self.kd])

    def torque(self, qpos: Array, qvel: Array, target: Array) -> Array:
        """Torques ``(N, nv − 6)`` in N·m for targets ``(N, nq − 7)``, to be held for one simulation step."""
        layout, step = self.character.layout, self.timestep
        aim = np.concatenate([qpos[:, :7], target], axis=1)
        error = layout.difference(qpos, aim)[:, 6:] - step * qvel[:, 6:]
        spring = self.kp * error
        torque = np.concatenate([np.zeros((len(qpos), 6)), spring], axis=1)
        acceleration = dynamics.implicit_acceleration(self.character, qpos, qvel, torque, self._damping, step)
        whole = spring - self.kd * (qvel[:, 6:] + step * acceleration[:, 6:])
        return np.clip(whole, -self.limit, self.limit)
