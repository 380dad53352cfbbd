"""A film of what a policy does, its reference beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from motion.clip import Trajectory
from pipeline import picture
from pipeline.scene import Beside
from train import run
from train.folder import FILM, Material

SECONDS = 4.0
SIZE, RATE = (480, 270), 15.0
"""pixels and pictures a second: small enough to ship"""


def film(folder: Path, out: Path | None = None, *, seconds: float = SECONDS, engine: str | None = None) -> Path:
    """Film the policy of a run folder from the clip's start; ``film.gif`` beside it by default.

    Raises:
        InputError: no policy there, or the film cannot be written.
    """
    material = Material.load(folder)
    recording = run.record_folder(folder, seconds, engine_name=engine)
    character, clip = material.character, material.clip
    reference, _ = clip.sample(recording.time)

    def moves(qpos: np.ndarray) -> Trajectory:
        return Trajectory(clip.name, character.name, character.specs, 1.0 / recording.step_time, qpos, {})

    source = Beside(character.to_motion(moves(reference)), 0.0, character.height)
    out = out or folder / FILM
    return picture.render(moves(recording.qpos), character, out, source=source, size=SIZE, fps=RATE)
