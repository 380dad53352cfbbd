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
