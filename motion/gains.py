"""PD gains by joint name and their file, ``gains.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from motion import files
from motion.clip import FileModel, check_model


class JointGain(FileModel):
    """Gains of one joint, N·m/rad, N·m·s/rad and N·m; a ball joint's hold for each axis."""

    kp: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    kd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    torque_limit: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class EngineProof(FileModel):
    """How a preset did in an engine, with the root held in the air. Errors are RMS over time, of the worst joint."""

    passed: bool
    """within what `pipeline.prove` allows"""
    rest_deg: float
    """off the rest pose"""
    rest_joint: str
    tracking_deg: float
    """off the clip"""
    tracking_joint: str
    tracking_by_joint: dict[str, float]
    lookahead: float
    """seconds by which the targets ran ahead of the clip"""
    without_lookahead_deg: float
    quiver_deg: float
    """the part of both errors that is faster than about 20 Hz"""
    saturated_share: float
    """of the simulation steps at the torque limit"""


class Proof(FileModel):
    """What ``gains.json`` keeps of a trial in the engines."""

    clip: str
    timestep: float
    engines: dict[str, dict[str, EngineProof]]
    """engine → preset"""


class Gains(FileModel):
    """Content of ``gains.json``."""

    format: Literal["mimic-gains"] = "mimic-gains"
    version: Literal[1] = 1
    character: str
    timestep: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    presets: dict[str, dict[str, JointGain]]
    evidence: dict[str, Any]

    def save(self, path: Path | str) -> None:
        """Write ``gains.json``."""
        files.write_json(path, self.model_dump())

    @classmethod
    def load(cls, path: Path | str) -> Gains:
        """Read ``gains.json``; InputError if it is not one."""
        return check_model(cls, files.read_json(path), path)
