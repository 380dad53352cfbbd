"""Which source joint drives which role, at what weight: always inferred, printable, editable (``map.toml``)."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from motion import files
from motion.clip import FileModel, check_model
from motion.errors import InputError, nearest
from motion.motion import Skeleton
from motion.roles import ROLE_ORDER


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """The proposal a user can edit: source joints by role, with unit, up axis and weights."""

    roles: dict[str, tuple[str, ...]]
    """role → source joints from the root outward"""
    unit: float
    """metres per file unit"""
    up: str
    """the file's up axis, x, y or z"""
    weights: dict[str, float] = field(default_factory=dict)
    """role → factor on its targets; 1 where absent, 0 leaves the role to the rest pose"""
    evidence: dict[str, str] = field(default_factory=dict)
    """role → why, for the reader"""

    def weight(self, role: str) -> float:
        """Factor on a role's targets."""
        return self.weights.get(role, 1.0)

    def check(self, skeleton: Skeleton, where: str) -> None:
        """InputError if the map names a joint the source does not have."""
        for role, chain in self.roles.items():
            for name in chain:
                if name not in skeleton.names:
                    raise InputError(
                        f"role {role} names joint {name!r}, which the source does not have",
                        where=where,
                        hint=nearest(name, skeleton.names),
                    )

    def to_toml(self, comment: str = "") -> str:
        """The text of ``map.toml``."""
        lines = [f"# {line}" for line in comment.splitlines()]
        lines += ['format = "mimic-map"', "version = 1", f"unit = {self.unit!r}  # metres per file unit"]
        lines += [
            f'up = "{self.up}"',
            "",
            "[roles]  # role = source joints from the root outward; delete a line to leave it undriven",
        ]
        for role, chain in self.roles.items():
            why = f"  # {self.evidence[role]}" if role in self.evidence else ""
            lines.append(f"{role} = [{', '.join(json.dumps(name, ensure_ascii=False) for name in chain)}]{why}")
        lines += ["", "[weights]  # factor on a role's targets, 1 where absent"]
        lines += [f"{role} = {value!r}" for role, value in self.weights.items()]
        return "\n".join(lines) + "\n"

    def save(self, path: Path | str, comment: str = "") -> None:
        """Write ``map.toml`` atomically."""
        files.write_text(path, self.to_toml(comment))

    @classmethod
    def load(cls, path: Path | str) -> Mapping:
        """Read ``map.toml``.

        Raises:
            InputError: not TOML, an unknown key or role, a wrong type.
        """
        try:
            data = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"not valid TOML: {error}", where=path) from error
        file = check_model(MapFile, data, path)
        for role in (*file.roles, *file.weights):
            if role not in ROLE_ORDER:
                raise InputError(f"unknown role {role}", where=path, hint=nearest(role, ROLE_ORDER))
        return cls(roles={k: tuple(v) for k, v in file.roles.items()}, unit=file.unit, up=file.up, weights=file.weights)


class MapFile(FileModel):
    """Schema of ``map.toml``."""

    format: Literal["mimic-map"]
    version: Literal[1]
    unit: Annotated[float, Field(gt=0, allow_inf_nan=False, description="metres per file unit")]
    up: Literal["x", "y", "z"]
    roles: Annotated[dict[str, list[str]], Field(description="role → source joints from the root outward")]
    weights: Annotated[
        dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]], Field(description="role → factor on its targets")
    ] = {}
