"""What happens to a body in training that its clip does not know of: pushes, other floors and masses, late and noisy servos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from characters.character import Character
from motion import rotation
from motion.errors import InputError
from motion.rotation import Array
from train.engine import Engine

PUSH_SECONDS = 0.2
"""how long a push lasts, as in the push table"""
GRAVITY = 9.81
ARRAYS = ("friction", "mass", "delay", "before", "force", "pushed")
"""of `Disturbances`, what a snapshot keeps"""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Ranges to draw from; the defaults disturb nothing."""

    push_force: float = 0.0
    """largest push at the root, in body weights: drawn evenly from 0 to this, in any horizontal direction, for 0.2 s"""
    push_interval: float = 3.0
    """mean seconds from the end of a push to the next (exponential)"""
    friction: tuple[float, float] | None = None
    """of the ground, drawn each episode; none: the engine's"""
    mass: tuple[float, float] = (1.0, 1.0)
    """factor on each link's mass and inertia, drawn each episode, each link its own"""
    latency: tuple[int, int] = (0, 0)
    """simulation steps for which the targets before still hold, drawn each episode, both ends included"""
    action_noise: float = 0.0
    """standard deviation added to every action, each step its own"""

    def __post_init__(self) -> None:
        ranges = {"mass": self.mass, "latency": self.latency, "friction": self.friction or (0.0, 0.0)}
        for name, (low, high) in ranges.items():
            if not 0.0 <= low <= high:
                raise InputError(f"{name}: expected 0 ≤ least ≤ most, got {low:g} and {high:g}")
        if self.mass[0] == 0.0:
            raise InputError("mass: a link cannot weigh nothing", hint="1 is the link's own mass")
        if self.push_force < 0.0 or self.push_interval <= 0.0 or self.action_noise < 0.0:
            raise InputError("push_force and action_noise cannot be negative, and push_interval must be positive")

    @property
    def varies(self) -> bool:
        """Whether bodies and floors differ."""
        return self.friction is not None or self.mass != (1.0, 1.0)


NONE = Disturbance()
"""an undisturbed world: what evaluations and the push table use"""


class Disturbances:
    """The disturbances of N environments. Whatever is off draws nothing, so that it changes no other random number."""

    def __init__(self, settings: Disturbance, engine: Engine):
        self.settings, self.engine = settings, engine
        self.character: Character = engine.character
        count, width = engine.count, engine.character.layout.nq - 7
        if settings.latency[1] > engine.settings.substeps:
            raise InputError(
                f"latency: at most the {engine.settings.substeps} simulation steps of a policy step,"
                f" got {settings.latency[1]}"
            )
        self.friction = np.full(count, engine.settings.friction)
        """(N,)"""
        self.mass = np.ones((count, len(self.character.links)))
        """(N, L) factors"""
        self.delay = np.zeros(count, dtype=int)
        """(N,) simulation steps"""
        self.before = np.zeros((count, width))
        """(N, nq − 7) targets of the policy step before"""
        self.force = np.zeros((count, 3))
        """(N, 3) of the push that is going on, N, world"""
        self.pushed = np.zeros(count, dtype=int)
        """(N,) policy steps this push still lasts"""

    def start(self, ids: np.ndarray, hold: Callable[[Array], Array], time: Array, random: np.random.Generator) -> None:
        """Draw what holds for a whole episode of environments ``ids`` (n,) that start at clip times ``time`` (n,).

        ``hold`` gives the targets (n, nq − 7) their servos held until then.
        """
        s, count = self.settings, len(ids)
        if s.friction is not None:
            self.friction[ids] = random.uniform(*s.friction, count)
        if s.mass != (1.0, 1.0):
            self.mass[ids] = random.uniform(*s.mass, (count, self.mass.shape[1]))
        if s.varies:
            self.engine.vary(ids, self.friction[ids], self.mass[ids])
        if s.latency[1] > 0:
            self.delay[ids] = random.integers(s.latency[0], s.latency[1] + 1, count)
            self.before[ids] = hold(time)
        self.force[ids], self.pushed[ids] = 0.0, 0

    def noise(self, action: Array, random: np.random.Generator) -> Array:
        """The action ``(N, A)`` the servos get."""
        spread = self.settings.action_noise
        return action + spread * random.standard_normal(action.shape) if spread else action

    def step(self, targets: Array, random: np.random.Generator) -> None:
        """Step the engine towards ``targets`` (N, nq − 7), pushed and late."""
        if self.settings.push_force:
            self._push(random)
        if self.settings.latency[1] > 0:
            self.engine.step(targets, self.before, self.delay)
            self.before = targets
        else:
            self.engine.step(targets)

    def _push(self, random: np.random.Generator) -> None:
        count, step = len(self.pushed), self.engine.settings.control_step
        self.pushed = np.maximum(self.pushed - 1, 0)
        draws = random.uniform(size=(3, count))
        begin = (self.pushed == 0) & (draws[0] < -np.expm1(-step / self.settings.push_interval))
        size = self.settings.push_force * self.character.mass * GRAVITY * draws[1]
        force = size[:, None] * rotation.rotate(rotation.from_yaw(2 * np.pi * draws[2]), np.array([1.0, 0.0, 0.0]))
        self.force[begin] = force[begin]
        self.pushed[begin] = max(1, round(PUSH_SECONDS / step))
        self.force[self.pushed == 0] = 0.0
        self.engine.push(self.force)

    def snapshot(self) -> dict[str, np.ndarray]:
        """What `restore` needs; empty if nothing is disturbed."""
        return {} if self.settings == NONE else {name: getattr(self, name).copy() for name in ARRAYS}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go on from a `snapshot` that has these arrays."""
        for name in self.snapshot():
            getattr(self, name)[:] = snapshot[name]
        if self.settings.varies:
            self.engine.vary(np.arange(len(self.pushed)), self.friction, self.mass)
