"""What training asks of a physics engine, and the choice of one. Everything else in train/ is engine-blind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from characters.character import Character
from motion.errors import InputError, nearest
from motion.gains import JointGain
from motion.rotation import Array

ENGINES = ("mujoco", "pybullet")


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Physics the same in every engine."""

    timestep: float = 1 / 240
    """seconds of one simulation step"""
    substeps: int = 8
    """simulation steps of one policy step: 30 Hz"""
    friction: float = 0.9
    """of the ground"""
    self_collision: bool = False
    """links collide with each other (character.toml's `self_collision` decides by default)"""
    threads: int = 2
    """simulation threads or worker processes; a training shares them out between two crews (`train.crew`)"""
    fixed_root: bool = False
    """the root stays where `Engine.reset` puts it: servos are tried out on a body held in the air"""

    @property
    def control_step(self) -> float:
        """Seconds of one policy step."""
        return self.timestep * self.substeps


class Engine(Protocol):
    """Many copies of one body under physics, stepped together.

    Coordinates are the project's (MuJoCo's): root velocity linear in the world, angular in the body.
    """

    character: Character
    settings: EngineSettings
    count: int
    """N environments"""
    qpos: Array
    """(N, nq) now"""
    qvel: Array
    """(N, nv) now"""

    def reset(self, ids: np.ndarray, qpos: Array, qvel: Array) -> None:
        """Put environments ``ids`` (n,) into states ``(n, nq)``, ``(n, nv)``."""
        ...

    def step(self, targets: Array, before: Array | None = None, delay: np.ndarray | None = None) -> None:
        """One policy step towards PD targets ``(N, nq − 7)``: a unit quaternion per ball, an angle per hinge.

        For the first ``delay`` (N,) of its simulation steps the targets ``before`` (N, nq − 7) still hold.
        """
        ...

    def vary(self, ids: np.ndarray, friction: Array, mass: Array) -> None:
        """From now on: the ground's friction ``(n,)`` and factors ``(n, L)`` on the links' masses and inertias."""
        ...

    def push(self, force: Array) -> None:
        """Force ``(N, 3)`` in N, world, at the root link's COM, on every substep until the next call."""
        ...

    def overload(self) -> np.ndarray | None:
        """(N, S, J) whether a joint's servo, spring and damping together, asked for more than its torque limit.

        In each of the S simulation steps of the last policy step; None if the engine cannot say.
        """
        ...

    def close(self) -> None:
        """Free processes and memory."""
        ...


def make(
    name: str,
    character: Character,
    gains: dict[str, JointGain],
    count: int,
    settings: EngineSettings | None = None,
    *,
    aside: bool = False,
) -> Engine:
    """An engine by name.

    Args:
        aside: other threads of this process shall get on while it simulates, even if it does so on a single one.

    Raises:
        InputError: no such engine, or gains that miss a joint of the body.
    """
    settings = settings or EngineSettings(self_collision=character.self_collision)
    for joint in character.joints:
        if joint.name not in gains:
            raise InputError(
                f"gains miss joint {joint.name!r} of {character.name}",
                where="gains",
                hint="derive them again with `mimic-pipe gains CLIP`",
            )
    if name == "mujoco":
        from train.engine_mujoco import MujocoEngine

        return MujocoEngine(character, gains, count, settings)
    if name == "pybullet":
        from train.engine_pybullet import PybulletEngine

        return PybulletEngine(character, gains, count, settings, aside=aside)
    raise InputError(f"no engine {name!r}", hint=nearest(name, ENGINES))
