"""Stable PD servos (Tan, Liu and Turk, *Stable proportional-derivative controllers*, 2011) for engines that have none.

The spring pulls from where the joint will be after the step, the damping acts on the velocity it will have then; both follow
from the body's own mass matrix. What contacts and limits did in the last step is taken to act on: without that, a foot
whose inertia is small beside its damping would be predicted to give way, and its servo would hardly push off the ground.
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
        """(nv − 6,) N·m"""
        self._damping = np.concatenate([np.full(6, HELD if fixed_root else 0.0), self.kd])

    def torque(self, qpos: Array, qvel: Array, target: Array, was: Array, applied: Array) -> Array:
        """Torques ``(N, nv − 6)`` in N·m for one simulation step, before they are limited.

        Args:
            target: (N, nq − 7).
            was: (N, nv) qvel one step earlier, NaN where that is unknown.
            applied: (N, nv − 6) torques of that step.
        """
        layout, step = self.character.layout, self.timestep
        aim = np.concatenate([qpos[:, :7], target], axis=1)
        error = layout.difference(qpos, aim)[:, 6:] - step * qvel[:, 6:]
        spring = self.kp * error
        none = np.zeros((len(qpos), 6))
        acceleration = dynamics.implicit_acceleration(
            self.character,
            qpos,
            qvel,
            np.concatenate([none, spring], axis=1),
            self._damping,
            step,
            was=was,
            applied=np.concatenate([none, applied], axis=1),
        )
        return spring - self.kd * (qvel[:, 6:] + step * acceleration[:, 6:])
