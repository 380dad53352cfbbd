"""Reading a character's folder: body.urdf, and character.toml that says what the body's parts are."""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from characters import mesh, urdf
from characters.body import Body, Frame, Joint
from motion import rotation
from motion.clip import FileModel, check_model
from motion.errors import InputError, nearest
from motion.rotation import Array

URDF, TOML = "body.urdf", "character.toml"
SHORTEST_BONE = 1e-6
"""metres; a shorter one has no direction"""

SIDED = ("clavicle", "arm", "leg", "wing", "foreleg")
ROLES = ("spine", "neck", "head", "tail", *(f"{side}_{limb}" for limb in SIDED for side in ("left", "right")))
"""the vocabulary of roles (docs/architecture.md)"""

Policy = Literal["hold", "follow", "keyframes"]
Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=False, gt=0, allow_inf_nan=False)]
Vector = Annotated[list[Number], Field(min_length=3, max_length=3)]


class FrameEntry(FileModel):
    link: str
    position: Vector = [0.0, 0.0, 0.0]
    role: str | None = None


class LimitEntry(FileModel):
    swing: Annotated[float, Field(strict=False, gt=0, le=math.pi)] = math.pi
    twist: Annotated[list[Number], Field(min_length=2, max_length=2)] = [-math.pi, math.pi]
    axis: Vector | None = None


class FootEntry(FileModel):
    """Whose foot a leg follows, and how much later."""

    source: Annotated[str, Field(description="the source's leg")]
    phase: Annotated[float, Field(strict=False, ge=0, lt=1, description="delay, as a share of the stride")] = 0.0


class GaitEntry(FileModel):
    """What a leg follows that the source does not have, by the gait of the source's two legs."""

    walk: Annotated[FootEntry, Field(description="left and right in turn, one of them always down")]
    run: Annotated[FootEntry, Field(description="in turn, with flights")]
    leap: Annotated[FootEntry, Field(description="together, or no steps at all")]


class SteadyEntry(FileModel):
    """How much calmer than the source a part of the trunk is."""

    time: Annotated[float, Field(strict=False, ge=0, lt=10, description="seconds, s.d. of the smoothing")] = 0.0
    level: Annotated[float, Field(strict=False, ge=0, le=1, description="share of pitch and roll taken away")] = 0.0


class DriveEntry(FileModel):
    """A role that the source has under another name, or drives only in part."""

    source: Annotated[str, Field(description="the source's limb")]
    gain: Annotated[float, Field(strict=False, gt=0, le=1, description="share of its turns against the trunk")] = 1.0


class FollowEntry(FileModel):
    """A chain of damped springs that hangs on what carries it."""

    frequency: Annotated[float, Field(strict=False, gt=0, le=10, description="Hz, of every joint")] = 1.5
    damping: Annotated[float, Field(strict=False, gt=0, le=5, description="share of critical damping")] = 0.8
    sway: Annotated[float, Field(strict=False, ge=0, le=10, description="factor on what accelerations do")] = 1.0


class CharacterFile(FileModel):
    """Schema of ``character.toml``."""

    description: str
    up: Annotated[Literal["x", "y", "z"], Field(description="up axis of the URDF")] = "z"
    scale: Annotated[Positive, Field(description="factor on the URDF's lengths; masses are kept")] = 1.0
    feet: Annotated[list[str], Field(description="links the body stands on")]
    ground: Annotated[list[str] | None, Field(description="links that may touch the ground; the feet if missing")] = (
        None
    )
    self_collision: bool = False
    roles: Annotated[dict[str, list[str]], Field(description="role → joints from the root outward")]
    end_effectors: Annotated[
        dict[str, FrameEntry], Field(description="name → place on a link, and the chain it ends")
    ] = {}
    limits: Annotated[dict[str, LimitEntry], Field(description="ball joint → swing and twist limits, radians")] = {}
    torque_limits: Annotated[
        dict[str, Positive], Field(description="joint → N·m; the URDF's effort where missing")
    ] = {}
    pose_weights: Annotated[dict[str, Number], Field(description="root or joint → weight in the pose reward")] = {}
    undriven: Annotated[dict[str, Policy], Field(description="role → what a chain does that no source drives")] = {}
    follow: Annotated[dict[str, FollowEntry], Field(description="role → how a chain that follows does it")] = {}
    keyframes: Annotated[
        dict[str, str],
        Field(description="role → the keyframe file, seen from this one, that moves a chain by keyframes"),
    ] = {}
    steady: Annotated[dict[str, SteadyEntry], Field(description="root or trunk role → how calm it is kept")] = {}
    gait: Annotated[dict[str, GaitEntry], Field(description="leg → whose foot it follows where a source lacks it")] = {}
    drive: Annotated[dict[str, DriveEntry], Field(description="role → the source's limb that moves it")] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A folder's two files, checked against each other."""

    file: CharacterFile
    body: Body
    """its ball joints with their limits"""
    roles: dict[str, tuple[str, ...]]
    end_effectors: dict[str, Frame]
    torque_limits: dict[str, float]
    keyframes: dict[str, Path]
    """role → file"""
    sha256: str


def read(folder: Path) -> Definition:
    """Read and check a character's folder.

    Raises:
        InputError: with file and line: not TOML or URDF, an unknown key, a name the URDF does not have.
    """
    return _Reader(folder).read()


class _Reader:
    """The files of one folder, and where in them a name stands."""

    def __init__(self, folder: Path):
        self.urdf, self.path = folder / URDF, folder / TOML
        try:
            self.content = self.path.read_bytes()
            self.text = self.content.decode("utf-8")
            self.file = check_model(CharacterFile, tomllib.loads(self.text), self.path)
        except OSError as error:
            raise InputError(f"cannot read: {error.strerror or error}", where=self.path) from error
        except UnicodeDecodeError as error:
            raise InputError("expected UTF-8 text, found bytes that are not", where=self.path) from error
        except tomllib.TOMLDecodeError as error:
            message, _, at = str(error).partition(" (at line ")
            line = at.partition(",")[0]
            where = f"{self.path}:{line}" if line.isdigit() else self.path
            raise InputError(f"not valid TOML: {message}", where=where) from error
        self.body = urdf.read(self.urdf, up=self.file.up, scale=self.file.scale)
        self.joints = [joint.name for joint in self.body.joints]
        self.links = [link.name for link in self.body.links]

    def read(self) -> Definition:
        file, body = self.file, self.body
        roles = {role: self.chain(role, names) for role, names in file.roles.items()}
        for name in (*file.feet, *(file.ground or [])):
            self.check(name, self.links, "link")
            if not any(shape.link == self.links.index(name) for shape in body.shapes):
                raise InputError(f"link {name} has no collision shape to stand on", where=self.where(name))
        for name in (*file.limits, *file.torque_limits):
            self.check(name, self.joints, "joint")
        for name in file.pose_weights:
            self.check(name, ["root", *self.joints], "joint")
        for name in (*file.undriven, *file.follow, *file.keyframes, *file.gait, *file.drive):
            self.check(name, roles, "role")
        for name in file.steady:
            self.check(name, ["root", *roles], "role")
        feet = [foot for gait in file.gait.values() for foot in (gait.walk, gait.run, gait.leap)]
        for entry in (*feet, *file.drive.values()):
            self.check(entry.source, ROLES, "role")
        ends = {name: self.end_effector(name, entry, roles) for name, entry in file.end_effectors.items()}
        joints = tuple(self.limited(joint, roles, ends) for joint in body.joints)
        efforts = {joint.name: joint.effort for joint in joints if 0 < joint.effort < math.inf}
        torques = {**efforts, **file.torque_limits}
        return Definition(
            file=file,
            body=replace(body, joints=joints),
            roles=roles,
            end_effectors=ends,
            torque_limits={name: torques[name] for name in self.joints if name in torques},
            keyframes=self.keyframes(),
            sha256=self.digest(),
        )

    def keyframes(self) -> dict[str, Path]:
        """Keyframe files by role, checked to be there."""
        stated = {role: self.path.parent / name for role, name in self.file.keyframes.items()}
        for role, path in stated.items():
            if not path.is_file():
                raise InputError(
                    f"keyframes of {role}: no such file: {path}", where=self.where(role, self.file.keyframes[role])
                )
        for role, policy in self.file.undriven.items():
            if policy == "keyframes" and role not in stated:
                raise InputError(
                    f'{role} moves by "keyframes", but none are named',
                    where=self.where(role, "keyframes"),
                    hint=f'[keyframes]\n{role} = "NAME.keyframes.toml"',
                )
        return stated

    def digest(self) -> str:
        """sha256 of all that makes the body: its two files, and the meshes and keyframes they name."""
        content = self.urdf.read_bytes()
        named = [*mesh.named(content.decode("utf-8", "replace"), self.path.parent), *self.keyframes().values()]
        parts = [content, self.content, *(path.read_bytes() for path in dict.fromkeys(named))]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def where(self, *names: str) -> str:
        """The file, and the first line that has all the names."""
        for number, line in enumerate(self.text.splitlines(), 1):
            if all(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line.partition("#")[0]) for name in names):
                return f"{self.path}:{number}"
        return str(self.path)

    def check(self, name: str, valid: Iterable[str], what: str) -> None:
        if name not in valid:
            raise InputError(f"no {what} {name}", where=self.where(name), hint=nearest(name, valid))

    def chain(self, role: str, names: list[str]) -> tuple[str, ...]:
        """The joints of a role, checked to lead outward."""
        self.check(role, ROLES, "role")
        if not names:
            raise InputError(f"role {role}: expected at least one joint, found none", where=self.where(role))
        for name in names:
            self.check(name, self.joints, "joint")
        for inner, outer in pairwise(names):
            link = self.body.joints[self.joints.index(outer)].parent
            carrier = self.body.joints[self.joints.index(inner)].child
            while link > 0 and link != carrier:
                link = self.body.links[link].parent
            if link != carrier:
                raise InputError(
                    f"role {role}: {outer} does not hang on {inner}",
                    where=self.where(role, outer),
                    hint="list joints from the root outward",
                )
        return tuple(names)

    def end_effector(self, name: str, entry: FrameEntry, roles: dict[str, tuple[str, ...]]) -> Frame:
        """A frame on a link, or on a link merged into another."""
        if entry.link not in self.body.frames:
            raise InputError(
                f"no link {entry.link}", where=self.where(name, entry.link), hint=nearest(entry.link, self.body.frames)
            )
        if entry.role is not None:
            self.check(entry.role, roles, "role")
        base = self.body.frames[entry.link]
        position = base.position + rotation.rotate(base.rotation, self.file.scale * np.array(entry.position))
        return Frame(name, base.link, position, base.rotation, entry.role)

    def limited(self, joint: Joint, roles: dict[str, tuple[str, ...]], ends: dict[str, Frame]) -> Joint:
        """A ball joint with its twist axis and limits."""
        entry = self.file.limits.get(joint.name)
        if joint.type == "hinge":
            if entry is not None:
                raise InputError(
                    f"{joint.name} is a hinge; its limits stand in the URDF", where=self.where(joint.name, "twist")
                )
            return joint
        entry = entry or LimitEntry()
        lower, upper = entry.twist
        if not -math.pi <= lower < upper <= math.pi:
            raise InputError(
                f"twist of {joint.name}: expected −π ≤ lower < upper ≤ π, found {lower:g} and {upper:g}",
                where=self.where(joint.name, "twist"),
            )
        axis = self.bone(joint, roles, ends) if entry.axis is None else np.array(entry.axis)
        if not np.linalg.norm(axis) > SHORTEST_BONE:
            raise InputError(
                f"axis of {joint.name}: expected a direction, found zero", where=self.where(joint.name, "axis")
            )
        axis = rotation.unit(axis)
        return replace(joint, axis=axis, twist_axis=axis, lower=lower, upper=upper, swing_limit=entry.swing)

    def bone(self, joint: Joint, roles: dict[str, tuple[str, ...]], ends: dict[str, Frame]) -> Array:
        """Direction of the bone a joint moves, in its link's frame.

        It leads to the first of these that is away from the joint: the next joint of its chain, the chain's end effector, the
        mean of the joints and end effectors the link carries, its centre of mass, the middle of its shapes. A link that is
        centred on its joint altogether keeps the URDF's axis.
        """
        carried = [following for following in self.body.joints if following.parent == joint.child]
        on_link = [frame for frame in ends.values() if frame.link == joint.child]
        after = {outer for chain in roles.values() for inner, outer in pairwise(chain) if inner == joint.name}
        all_carried = [following.origin for following in carried] + [frame.position for frame in on_link]
        shapes = [shape.position for shape in self.body.shapes if shape.link == joint.child]
        candidates = [
            *(following.origin for following in carried if following.name in after),
            *(frame.position for frame in on_link if frame.role and roles[frame.role][-1] == joint.name),
            *([np.mean(all_carried, axis=0)] if all_carried else []),
            self.body.links[joint.child].com,
            *([np.mean(shapes, axis=0)] if shapes else []),
        ]
        return next((place for place in candidates if np.linalg.norm(place) > SHORTEST_BONE), joint.axis)
