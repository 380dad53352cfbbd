"""What a policy did, pose by pose, on file; and its normalised return computed again from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from characters.character import Character
from motion import files
from motion.clip import Clip
from motion.errors import InputError
from motion.rotation import Array
from train.env import REASONS, ImitationEnv
from train.falling import fallen, may_touch
from train.reference import Reference
from train.reward import PROFILES, Measure
from train.state import state_of

FORMAT, VERSION = "mimic-recording", 1
ARRAYS = ("episode", "step", "time", "qpos", "qvel", "possible")
WORDS = ("character", "clip", "engine", "early_termination")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """R poses of E episodes, each from its start to its fall or end, in the order they happened."""

    episode: np.ndarray
    """(R,) 0 … E − 1"""
    step: np.ndarray
    """(R,) policy steps since the start, 0 the start itself"""
    time: Array
    """(R,) seconds on the clip's clock, cycles included"""
    qpos: Array
    """(R, nq)"""
    qvel: Array
    """(R, nv)"""
    possible: np.ndarray
    """(E,) policy steps an episode could have had"""
    character: str
    clip: str
    engine: str
    early_termination: str
    """what ended an episode: contact or none"""
    joints: tuple[str, ...]
    """in the order of qpos"""
    step_time: float
    """seconds of a policy step"""
    resync: bool
    """whether the reference's xy was moved onto the body at each new cycle"""

    def save(self, path: Path | str) -> None:
        """Write it as npz, atomically."""
        arrays = {name: np.asarray(getattr(self, name)) for name in self.__slots__}
        files.write_npz(path, {"format": np.array(FORMAT), "version": np.array(VERSION), **arrays})

    @classmethod
    def load(cls, path: Path | str) -> Recording:
        """Read it; InputError if it is no recording."""
        data = files.read_npz(path)
        if str(data.get("format")) != FORMAT or int(data.get("version", -1)) != VERSION:
            raise InputError(f"expected a {FORMAT} of version {VERSION}", where=path)
        missing = [name for name in cls.__slots__ if name not in data]
        if missing:
            raise InputError(f"recording without {', '.join(missing)}", where=path)
        values: dict[str, Any] = {name: data[name] for name in ARRAYS} | {name: str(data[name]) for name in WORDS}
        values |= {"joints": tuple(data["joints"].tolist()), "step_time": float(data["step_time"])}
        return cls(**values, resync=bool(data["resync"]))


class Recorder:
    """Collects a recording while `train.score.score` runs."""

    def __init__(self, engine: str):
        self.engine = engine
        self._rows: list[tuple[np.ndarray, np.ndarray, Array, Array, Array]] = []

    def begin(self, env: ImitationEnv, possible: np.ndarray) -> None:
        """The start of one episode in each environment."""
        self.env, self.possible, self.count = env, possible, 0
        self._keep(np.ones(env.count, dtype=bool), env.time, env.engine.qpos, env.engine.qvel)

    def add(self, env: ImitationEnv, going: np.ndarray) -> None:
        """The state after a step of the environments ``going`` (N,) bool, also that of a fall."""
        self.count += 1
        self._keep(going & (env.reason != REASONS.index("exploded")), env.when, env.sim.qpos, env.sim.qvel)

    def _keep(self, which: np.ndarray, time: Array, qpos: Array, qvel: Array) -> None:
        ids = np.flatnonzero(which)
        self._rows.append((ids, np.full(len(ids), self.count), time[ids], qpos[ids], qvel[ids]))

    def recording(self) -> Recording:
        """What was collected."""
        env = self.env
        episode, step, time, qpos, qvel = (np.concatenate(part) for part in zip(*self._rows, strict=True))
        return Recording(
            episode,
            step,
            time,
            qpos,
            qvel,
            self.possible,
            character=env.character.name,
            clip=env.clip.name,
            engine=self.engine,
            joints=tuple(joint.name for joint in env.character.joints),
            step_time=env.step_time,
            resync=env.settings.resync,
            early_termination=env.settings.early_termination,
        )


def normalized_returns(recording: Recording, clip: Clip, character: Character, profile: str) -> Array:
    """Normalised returns ``(E,)`` of a recording's episodes, from its poses alone."""
    table = Reference(clip, character, float(recording.time.max()) + 1.0)
    measure, may = Measure(character), may_touch(clip, character)
    total, shift = np.zeros(len(recording.possible)), np.zeros((len(recording.possible), 3))
    up = np.ones(len(recording.possible), dtype=bool)
    for step in range(1, int(recording.step.max()) + 1):
        rows = np.flatnonzero(recording.step == step)
        episode, time = recording.episode[rows], recording.time[rows]
        sim = state_of(character, recording.qpos[rows], recording.qvel[rows])
        if recording.resync and clip.loop:
            cycle = np.floor(time / clip.duration)
            new = cycle > np.floor((time - recording.step_time) / clip.duration)
            shift[episode[new], :2] = (sim.qpos - table(time).qpos)[new, :2]
        if recording.early_termination != "none":
            up[episode[fallen(character, sim, may)]] = False
        reward = PROFILES[profile](measure.errors(sim, table(time, shift[episode])), measure)
        total[episode] += np.where(up[episode], reward, 0.0)
    return total / recording.possible
