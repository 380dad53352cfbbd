"""One body imitating a clip as a gymnasium environment, for learners other than ours:
``gymnasium.make("train.gym:mimic-pipe/Imitation-v0", clip="processed/humanoid/walk")``; after ``import train.gym`` the part
before the colon may go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from train import engine, settings
from train.env import REASONS, ImitationEnv
from train.folder import Material

ID = "mimic-pipe/Imitation-v0"
SCALE = 3.0
"""an action of 1 asks a joint to differ from the looked-ahead reference by this times `EnvSettings.residual` radians"""
LOOKED_AT = 1e6
"""bound of an observation that is a number at all"""


class ImitationGym(gymnasium.Env[np.ndarray, np.ndarray]):
    """`ImitationEnv` with one body; observations are its rows, actions are scaled to ±1, both in float32.

    Args:
        clip: folder with clip.json and gains.json.
        char: the body; the clip's own by default.
        render_mode: only None: `mimic-pipe render` draws recordings.
        values: settings by dotted name, such as ``{"task.residual": 0.3, "preset": "default", "engine": "pybullet"}``.

    Raises:
        InputError: as `Material.load` and `settings.changed`.
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        clip: Path | str,
        char: str | None = None,
        render_mode: None = None,
        values: dict[str, Any] | None = None,
    ):
        self.render_mode = render_mode
        material = Material.load(Path(clip), char)
        plan = settings.changed(settings.default(material.character), values or {})
        physics = replace(plan.physics, threads=1)
        self._world = engine.make(plan.engine, material.character, material.preset(plan.preset), 1, physics)
        self._env = ImitationEnv(self._world, material.clip, plan.task, plan.seed)
        self.observation_space = spaces.Box(-LOOKED_AT, LOOKED_AT, (self._env.observation_size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (self._env.action_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; ``options={"time": seconds}`` starts it there in the clip."""
        super().reset(seed=seed)
        self._env.random = self.np_random
        time = (options or {}).get("time")
        seen = self._env.reset() if time is None else self._env.start_at(np.array([float(time)]))
        return _bounded(seen[0]), {"phase": float(self._env.phase()[0])}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A policy step; the observation is the true final one when the episode ended."""
        _, reward, terminated, truncated, final = self._env.step(SCALE * np.asarray(action)[None])
        info = {"phase": float(self._env.phase()[0]), "reason": REASONS[self._env.reason[0]]}
        return _bounded(final[0]), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def close(self) -> None:
        self._world.close()


def _bounded(seen: np.ndarray) -> np.ndarray:
    return np.clip(seen, -LOOKED_AT, LOOKED_AT)


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point="train.gym:ImitationGym")
