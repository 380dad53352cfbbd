"""Imitation as an environment: N copies of a body, one clip, no engine-specific line."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from motion import rotation
from motion.clip import Clip
from motion.errors import InputError
from motion.rotation import Array
from train import observation
from train.disturbance import NONE, Disturbance, Disturbances
from train.engine import Engine
from train.falling import fallen, may_touch
from train.reference import Reference
from train.reward import Errors, Measure, profile
from train.starts import Starts
from train.state import State, state_of

REASONS = ("none", "contact", "deviation", "exploded")
"""why an episode was terminated, by number"""
LONGEST = 60.0
"""seconds of an episode for which the reference is tabulated"""
EXPLODED = 100.0
"""m/s or rad/s no body reaches: the simulation broke"""


@dataclass(frozen=True, slots=True)
class EnvSettings:
    """The task."""

    reward: str = "paper-2018-weighted"
    """profile"""
    horizon: float = 20.0
    """seconds of an episode of a cyclic skill"""
    early_termination: Literal["contact", "deviation", "both", "none"] = "both"
    """contact is a fall (`train.falling`: links the clip itself puts on the ground may touch), deviation is to stray"""
    deviation_com: float = 0.5
    """metres the COM may stray"""
    deviation_root: float = 1.0
    """radians the root may turn away"""
    resync: bool = False
    """move the reference's xy onto the body at each new cycle, as the released code does"""
    start: Literal["uniform", "zero", "failure"] = "uniform"
    """phase at reset; failure: half uniform, half where episodes lately ended badly"""
    residual: float = 0.5
    """rad a unit action adds to the looked-ahead reference; 0: absolute targets around the rest pose"""
    lookahead: float = 0.1
    """seconds the reference targets are ahead, to make up for the servo's lag"""
    disturbance: Disturbance = NONE
    """pushes, friction, masses, latency and noise of the training"""

    def measured(self, loop: bool) -> EnvSettings:
        """The task by whose rule policies are measured.

        Undisturbed; the reference re-synchronised; only a fall ends an episode, if anything did in training; from anywhere
        in a loop, from the beginning of a one-shot.
        """
        ends = "none" if self.early_termination == "none" else "contact"
        start = "uniform" if loop else "zero"
        return replace(self, early_termination=ends, resync=True, start=start, disturbance=NONE)


class ImitationEnv:
    """Vectorised imitation of a clip.

    Actions are rotation vectors (ball) and angles (hinge), ``(N, nv − 6)``. A step returns observation, reward,
    terminated (fell, strayed), truncated (time is up) and the observation the ended episodes stopped at; ended
    environments are reset at once.
    """

    def __init__(self, engine: Engine, clip: Clip, settings: EnvSettings, seed: int | list[int] = 0):
        self.engine, self.clip, self.settings = engine, clip, settings
        self.character, self.layout = engine.character, engine.character.layout
        if [(j.name, j.type) for j in clip.joints] != [(j.name, j.type) for j in self.character.specs]:
            raise InputError(
                f"clip {clip.name} is of {clip.character}, whose joints are not those of {self.character.name}",
                hint=f"retarget it with --char {self.character.name}",
            )
        self.count, self.random = engine.count, np.random.default_rng(seed)
        self.measure, self.reward = Measure(self.character), profile(settings.reward)
        self.step_time = engine.settings.control_step
        self.time = np.zeros(self.count)
        """(N,) seconds on the clip's own clock, cycles included"""
        self.age = np.zeros(self.count, dtype=int)
        """(N,) policy steps since reset"""
        self.shift = np.zeros((self.count, 3))
        """(N, 3) what the reference is moved by: xy only"""
        self.horizon = settings.horizon if clip.loop else clip.duration
        self.table = Reference(clip, self.character, clip.duration + min(self.horizon, LONGEST) + 1.0)
        self._may_touch = may_touch(clip, self.character)
        self.observation_size = observation.size(self.character)
        self.action_size = self.layout.nv - 6
        self.reason = np.zeros(self.count, dtype=int)
        """(N,) why each environment was last terminated, an index into REASONS"""
        self.disturbances = Disturbances(settings.disturbance, engine)
        self.starts = Starts(settings.start, clip.duration, clip.loop)
        self.sim: State
        """the bodies after the last step, before any reset"""
        self.ref: State
        """the reference they are compared with"""
        self.when = self.time.copy()
        """(N,) seconds on the clip's clock after the last step, before any reset"""
        self.errors: Errors
        """of the last step, before any reset"""

    def reset(self) -> np.ndarray:
        """Start all episodes; observations ``(N, O)``."""
        self._start(np.arange(self.count))
        return self._observe()

    def start_at(self, time: Array) -> np.ndarray:
        """Start all episodes at clip times ``(N,)`` s; observations ``(N, O)``."""
        self._start(np.arange(self.count), time / self.clip.duration)
        return self._observe()

    def _start(self, ids: np.ndarray, phase: Array | None = None) -> None:
        if phase is None:
            phase = self.starts.draw(len(ids), self.random)
        self.time[ids] = phase * self.clip.duration
        self.age[ids] = 0
        self.shift[ids] = 0.0
        begin = self.table(self.time[ids])
        self.engine.reset(ids, begin.qpos, begin.qvel)
        self.disturbances.start(ids, self._base, self.time[ids], self.random)

    def reference(self, time: Array) -> State:
        """The reference at clip times ``(N,)``, moved by `shift`."""
        return self.table(time, self.shift)

    def targets(self, action: Array) -> Array:
        """PD targets ``(N, nq − 7)`` of an action ``(N, nv − 6)``."""
        base = self._base(self.time)
        if self.settings.residual > 0:
            action = self.settings.residual * action
        out = base.copy()
        balls = self.layout.quaternions[1:, None] + np.arange(4) - 7
        turn = rotation.exp(action[:, self.layout.quaternion_dofs[1:, None] + np.arange(3) - 6])
        out[:, balls] = rotation.normalize(rotation.multiply(base[:, balls], turn))
        out[:, self.layout.hinges - 7] += action[:, self.layout.hinge_dofs - 6]
        return out

    def _base(self, time: Array) -> Array:
        """PD targets ``(N, nq − 7)`` of a zero action at clip times ``(N,)``."""
        if self.settings.residual > 0:
            return self.table.pose(time + self.settings.lookahead)
        return np.broadcast_to(self.character.rest[7:], (len(time), self.layout.nq - 7))

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Array, np.ndarray, np.ndarray, np.ndarray]:
        """Act for one policy step.

        Returns:
            observation ``(N, O)``, reward ``(N,)``, terminated ``(N,)``, truncated ``(N,)``, final ``(N, O)``:
            the observation before any reset.
        """
        action = self.disturbances.noise(np.asarray(action, dtype=np.float64), self.random)
        self.disturbances.step(self.targets(action), self.random)
        self.time += self.step_time
        self.age += 1
        if self.settings.resync and self.clip.loop:
            self._resync()
        broken = ~np.isfinite(self.engine.qvel).all(axis=1) | (np.abs(self.engine.qvel).max(axis=1) > EXPLODED)
        if broken.any():  # a state that is not a number cannot be looked at; the episode ends where the reference is
            ids = np.flatnonzero(broken)
            back = self.table(self.time[ids], self.shift[ids])
            self.engine.reset(ids, back.qpos, back.qvel)
        sim = state_of(self.character, self.engine.qpos.copy(), self.engine.qvel.copy())
        ref = self.reference(self.time)
        self.sim, self.ref, self.when, self.errors = sim, ref, self.time.copy(), self.measure.errors(sim, ref)
        reward = self.reward(self.errors, self.measure)
        self.reason = self._terminations(sim, ref)
        self.reason[broken] = REASONS.index("exploded")
        terminated = self.reason > 0
        reward = np.where(terminated, 0.0, reward)
        truncated = ~terminated & self._time_is_up()
        phase = self.phase()
        self.starts.observe(phase, terminated)
        final = observation.observe(self.character, sim, ref, phase, self.clip.loop)
        out = final
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            self._start(ended)
            out = final.copy()
            out[ended] = self._observe(ended)
        return out, reward, terminated, truncated, final

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs to go on exactly here: arrays and strings."""
        arrays = {name: getattr(self, name).copy() for name in ("time", "age", "shift")}
        random = json.dumps(self.random.bit_generator.state)
        arrays |= self.disturbances.snapshot() | self.starts.snapshot()
        return {**arrays, "qpos": self.engine.qpos.copy(), "qvel": self.engine.qvel.copy(), "random": random}

    def restore(self, snapshot: dict[str, Any]) -> np.ndarray:
        """Go on from a `snapshot` of an environment of the same size; observations ``(N, O)``."""
        for name in ("time", "age", "shift"):
            getattr(self, name)[:] = snapshot[name]
        self.random.bit_generator.state = json.loads(snapshot["random"])
        if self.disturbances.snapshot().keys() <= snapshot.keys():
            self.disturbances.restore(snapshot)
        else:  # disturbed from now on only
            self.disturbances.start(np.arange(self.count), self._base, self.time, self.random)
        self.starts.restore(snapshot)
        self.engine.reset(np.arange(self.count), snapshot["qpos"], snapshot["qvel"])
        return self._observe()

    def phase(self) -> Array:
        """(N,) in [0, 1)."""
        return self.phase_at(self.time)

    def phase_at(self, time: Array) -> Array:
        """Phases ``(n,)`` in [0, 1) of clip times ``(n,)``."""
        phase = time / self.clip.duration
        return phase % 1.0 if self.clip.loop else np.clip(phase, 0.0, 1.0)

    def _time_is_up(self) -> np.ndarray:
        over = self.age * self.step_time >= self.horizon - 1e-9
        return over if self.clip.loop else over | (self.time >= self.clip.duration - 1e-9)

    def _observe(self, ids: np.ndarray | None = None) -> np.ndarray:
        """Observations of environments ``ids`` (n,), or of all."""
        rows = slice(None) if ids is None else ids
        sim = state_of(self.character, self.engine.qpos[rows], self.engine.qvel[rows])
        ref, phase = self.table(self.time[rows], self.shift[rows]), self.phase_at(self.time[rows])
        return observation.observe(self.character, sim, ref, phase, self.clip.loop)

    def _resync(self) -> None:
        cycle = np.floor(self.time / self.clip.duration)
        new = np.flatnonzero(cycle > np.floor((self.time - self.step_time) / self.clip.duration))
        if len(new):
            there = self.table(self.time[new])
            self.shift[new, :2] = self.engine.qpos[new, :2] - there.qpos[:, :2]

    def _terminations(self, sim: State, ref: State) -> np.ndarray:
        reason = np.zeros(self.count, dtype=int)
        how = self.settings.early_termination
        if how in ("deviation", "both"):
            turn = rotation.angle(sim.qpos[:, 3:7], ref.qpos[:, 3:7])
            away = np.linalg.norm(sim.com - ref.com, axis=1)
            strayed = (away > self.settings.deviation_com) | (turn > self.settings.deviation_root)
            reason[strayed] = REASONS.index("deviation")
        if how in ("contact", "both"):
            reason[fallen(self.character, sim, self._may_touch)] = REASONS.index("contact")
        return reason
