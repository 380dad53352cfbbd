"""Character: a body and what we need to know to move it. A character is a folder with body.urdf and character.toml."""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from characters import kinematics, shapes, urdf
from characters.body import Body, Frame, Joint, Link, Shape
from motion import rotation
from motion.clip import FileModel, JointSpec, Layout, Trajectory, check_model
from motion.errors import InputError, nearest
from motion.motion import Motion, Skeleton
from motion.rotation import Array

URDF, TOML = "body.urdf", "character.toml"
HERE, INSTALLED = Path("characters"), Path(__file__).parent

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


@dataclass(frozen=True, eq=False)
class Character:
    """A body, its roles and its limits."""

    name: str
    folder: Path
    description: str
    sha256: str
    """of body.urdf and character.toml"""
    links: tuple[Link, ...]
    """link 0 is the root; link i > 0 is moved by joint i − 1"""
    joints: tuple[Joint, ...]
    """depth-first, in the order of the URDF's joints"""
    shapes: tuple[Shape, ...]
    """collision shapes"""
    visuals: tuple[Shape, ...]
    """what to draw"""
    frames: dict[str, Frame]
    """every URDF link name, merged ones too → where it is"""
    roles: dict[str, tuple[str, ...]]
    """role → joint names from the root outward; a joint stands for the segment it moves"""
    feet: tuple[str, ...]
    """links the body stands on"""
    ground: tuple[str, ...]
    """links that may touch the ground"""
    end_effectors: dict[str, Frame]
    """name → frame; its role says which chain it ends"""
    torque_limits: dict[str, float]
    """joint → N·m; a joint without a stated limit is missing"""
    pose_weights: dict[str, float]
    """``root`` and every joint → weight in the pose reward"""
    self_collision: bool
    undriven: dict[str, Policy]
    """role → what a chain does that no source drives"""

    @classmethod
    def load(cls, name_or_folder: str | Path) -> Character:
        """Load a character by name (./characters first, then the installed ones) or by folder.

        Raises:
            InputError: no such character, or a file that does not fit, with file and line where known.
        """
        return _load(_find(name_or_folder))

    @cached_property
    def specs(self) -> tuple[JointSpec, ...]:
        """The joints as files name them."""
        return tuple(JointSpec(joint.name, joint.type) for joint in self.joints)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.specs)

    @cached_property
    def support(self) -> shapes.Support:
        """Support balls of the collision shapes."""
        return shapes.support(self.shapes)

    @cached_property
    def mass(self) -> float:
        """kg"""
        return sum(link.mass for link in self.links)

    @cached_property
    def _extent(self) -> tuple[float, float]:
        """Lowest and highest z of the shapes with the root at the origin and all joints at zero."""
        zero = kinematics.forward(self, self.zero[None])
        balls = self.support
        if len(balls.link) == 0:
            z = zero.positions[0, :, 2]
            return float(z.min()), float(z.max())
        z = shapes.centres(self, zero)[0, :, 2]
        return float((z - balls.radius).min()), float((z + balls.radius).max())

    @property
    def height(self) -> float:
        """Metres from the lowest to the highest point of the shapes at rest."""
        low, high = self._extent
        return high - low

    @property
    def zero(self) -> Array:
        """(nq,) root at the origin, all joints at zero."""
        qpos = np.zeros(self.layout.nq)
        qpos[self.layout.quaternions] = 1.0
        return qpos

    @property
    def rest(self) -> Array:
        """(nq,) all joints at zero, upright, the lowest point at z = 0."""
        qpos = self.zero
        qpos[2] = -self._extent[0]
        return qpos

    @cached_property
    def lower(self) -> Array:
        """(J,) lower limits of hinge angles and of the balls' twists, radians"""
        return np.array([joint.lower for joint in self.joints])

    @cached_property
    def upper(self) -> Array:
        """(J,) upper limits of hinge angles and of the balls' twists, radians"""
        return np.array([joint.upper for joint in self.joints])

    @cached_property
    def parents(self) -> np.ndarray:
        """(L,) index of each link's parent, −1 for the root."""
        return np.array([link.parent for link in self.links])

    @cached_property
    def ancestry(self) -> np.ndarray:
        """(L, L) bool: [i, j] is True where link j is link i or carries it."""
        out = np.eye(len(self.links), dtype=bool)
        for i in range(1, len(self.links)):
            out[i] |= out[self.links[i].parent]
        return out

    def chain(self, link: int) -> list[int]:
        """Indices of the joints between the root and a link, from the root outward."""
        return [int(i) - 1 for i in np.flatnonzero(self.ancestry[link]) if i > 0]

    def joint(self, name: str) -> int:
        """Index of a joint; InputError with the nearest names if there is none."""
        return _index(name, [joint.name for joint in self.joints], "joint", self.name)

    def link(self, name: str) -> int:
        """Index of a link; InputError with the nearest names if there is none."""
        return _index(name, [link.name for link in self.links], "link", self.name)

    def to_motion(self, trajectory: Trajectory) -> Motion:
        """A trajectory of this body as a Motion, so that it can be a source for any other body.

        The skeleton's rest pose is the body at zero; joint 0 is called like the root link, End Sites stand at the end
        effectors (at the centre of mass of an outermost link that has none).
        """
        if tuple(trajectory.joints) != self.specs:
            raise InputError(
                f"expected the joints of {self.name}, found those of {trajectory.character}", where=trajectory.name
            )
        rest = kinematics.forward(self, self.zero[None])
        places, turns = rest.positions[0], rest.rotations[0]
        pose = kinematics.forward(self, trajectory.qpos)
        turned = rotation.multiply(pose.rotations, rotation.conjugate(turns))
        names = [self.links[0].name] + [joint.name for joint in self.joints]
        parents, offsets, local = [-1], [np.zeros(3)], [turned[:, 0]]
        for joint in self.joints:
            parents.append(joint.parent)
            offsets.append(places[joint.child] - places[joint.parent])
            local.append(rotation.relative(turned[:, joint.parent], turned[:, joint.child]))
        ends = list(self.end_effectors.values())
        ended = {frame.link for frame in ends} | set(self.parents.tolist())
        ends += [Frame("com", i, link.com) for i, link in enumerate(self.links) if i not in ended]
        for frame in ends:
            end = f"{names[frame.link]}_end"
            names.append(end if end not in names else f"{end}_{frame.name}")
            parents.append(frame.link)
            offsets.append(rotation.rotate(turns[frame.link], frame.position))
            local.append(np.broadcast_to(rotation.IDENTITY, (len(trajectory.qpos), 4)))
        is_end = np.arange(len(names)) >= len(self.links)
        return Motion(
            name=trajectory.name,
            skeleton=Skeleton(tuple(names), np.array(parents), np.array(offsets), is_end),
            fps=trajectory.fps,
            root_positions=trajectory.qpos[:, :3],
            rotations=rotation.continuous(np.stack(local, axis=1)),
            loop=trajectory.loop,
            provenance=dict(trajectory.provenance),
        )


def available() -> list[str]:
    """Names of the characters in ./characters and of the installed ones."""
    return sorted({path.parent.name for base in (HERE, INSTALLED) for path in base.glob(f"*/{URDF}")})


def describe(character: Character) -> dict[str, Any]:
    """A character's figures and names, ready for JSON."""
    balls = sum(joint.type == "ball" for joint in character.joints)
    return {
        "name": character.name,
        "description": character.description,
        "folder": str(character.folder),
        "links": len(character.links),
        "mass": round(character.mass, 3),
        "height": round(character.height, 3),
        "dof": character.layout.nv,
        "ball_joints": balls,
        "hinge_joints": len(character.joints) - balls,
        "joints": {joint.name: joint.type for joint in character.joints},
        "roles": {role: list(names) for role, names in character.roles.items()},
        "feet": list(character.feet),
        "end_effectors": {name: character.links[frame.link].name for name, frame in character.end_effectors.items()},
        "torque_limits": character.torque_limits,
        "sha256": character.sha256,
    }


def _index(name: str, valid: list[str], what: str, where: object) -> int:
    if name not in valid:
        raise InputError(f"no {what} {name}", where=where, hint=nearest(name, valid))
    return valid.index(name)


def _find(name_or_folder: str | Path) -> Path:
    folder = Path(name_or_folder)
    if len(folder.parts) == 1:
        for base in (HERE, INSTALLED):
            if (base / folder / URDF).is_file():
                return base / folder
    if (folder / URDF).is_file():
        return folder
    if folder.is_dir():
        raise InputError(f"expected {URDF} and {TOML} in the folder, found no {URDF}", where=folder)
    raise InputError(f"no character {name_or_folder}", hint=nearest(folder.name, available()))


def _load(folder: Path) -> Character:
    path = folder / TOML
    try:
        content = path.read_bytes()
        file = check_model(CharacterFile, tomllib.loads(content.decode("utf-8")), path)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
    except UnicodeDecodeError as error:
        raise InputError("expected UTF-8 text, found bytes that are not", where=path) from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", where=path) from error
    body = urdf.read(folder / URDF, up=file.up, scale=file.scale)
    joint_names, link_names = [joint.name for joint in body.joints], [link.name for link in body.links]
    roles = {role: _chain(path, role, names, body) for role, names in file.roles.items()}
    for link in (*file.feet, *(file.ground or [])):
        _index(link, link_names, "link", path)
        if not any(shape.link == link_names.index(link) for shape in body.shapes):
            raise InputError(f"link {link} has no collision shape to stand on", where=path)
    for key, table in (("limits", file.limits), ("torque_limits", file.torque_limits)):
        for name in table:
            _index(name, joint_names, f"joint (in {key})", path)
    for name in file.pose_weights:
        _index(name, ["root", *joint_names], "joint (in pose_weights)", path)
    for role in file.undriven:
        _index(role, list(roles), "role (in undriven)", path)
    ends = {
        name: _end_effector(path, name, entry, body, roles, file.scale) for name, entry in file.end_effectors.items()
    }
    efforts = {joint.name: joint.effort for joint in body.joints if 0 < joint.effort < math.inf}
    return Character(
        name=folder.resolve().name,
        folder=folder,
        description=file.description,
        sha256=hashlib.sha256((folder / URDF).read_bytes() + content).hexdigest(),
        links=body.links,
        joints=tuple(_limited(path, joint, body, roles, ends, file.limits.get(joint.name)) for joint in body.joints),
        shapes=body.shapes,
        visuals=body.visuals,
        frames=body.frames,
        roles=roles,
        feet=tuple(file.feet),
        ground=tuple(file.feet if file.ground is None else file.ground),
        end_effectors=ends,
        torque_limits={
            name: {**efforts, **file.torque_limits}[name]
            for name in joint_names
            if name in efforts | file.torque_limits
        },
        pose_weights={name: file.pose_weights.get(name, 1.0) for name in ("root", *joint_names)},
        self_collision=file.self_collision,
        undriven=dict(file.undriven),
    )


def _chain(path: Path, role: str, names: list[str], body: Body) -> tuple[str, ...]:
    """The joints of a role, checked to lead outward."""
    _index(role, list(ROLES), "role", path)
    valid = [joint.name for joint in body.joints]
    if not names:
        raise InputError(f"role {role}: expected at least one joint", where=path)
    indices = [_index(name, valid, f"joint (in role {role})", path) for name in names]
    for inner, outer in pairwise(indices):
        link = body.joints[outer].parent
        while link > 0 and link != body.joints[inner].child:
            link = body.links[link].parent
        if link != body.joints[inner].child:
            raise InputError(
                f"role {role}: {valid[outer]} does not hang on {valid[inner]}",
                where=path,
                hint="list joints from the root outward",
            )
    return tuple(names)


def _end_effector(
    path: Path, name: str, entry: FrameEntry, body: Body, roles: dict[str, tuple[str, ...]], scale: float
) -> Frame:
    """A frame on a link, or on a link merged into another."""
    if entry.link not in body.frames:
        raise InputError(
            f"end effector {name}: no link {entry.link}", where=path, hint=nearest(entry.link, body.frames)
        )
    if entry.role is not None:
        _index(entry.role, list(roles), f"role (of end effector {name})", path)
    base = body.frames[entry.link]
    position = base.position + rotation.rotate(base.rotation, scale * np.array(entry.position))
    return Frame(name, base.link, position, base.rotation, entry.role)


def _limited(
    path: Path,
    joint: Joint,
    body: Body,
    roles: dict[str, tuple[str, ...]],
    ends: dict[str, Frame],
    entry: LimitEntry | None,
) -> Joint:
    """A ball joint with its twist axis and limits."""
    if joint.type == "hinge":
        if entry is not None:
            raise InputError(f"limits: {joint.name} is a hinge; its limits stand in the URDF", where=path)
        return joint
    entry = entry or LimitEntry()
    lower, upper = entry.twist
    if not -math.pi <= lower < upper <= math.pi:
        raise InputError(
            f"limits: {joint.name}: expected −π ≤ lower < upper ≤ π, found {lower:g} and {upper:g}", where=path
        )
    axis = _bone(joint, body, roles, ends) if entry.axis is None else np.array(entry.axis)
    if not np.linalg.norm(axis) > 1e-9:
        raise InputError(f"limits: {joint.name}: the bone has no direction", where=path, hint="give it an axis")
    axis = rotation.unit(axis)
    return replace(joint, axis=axis, twist_axis=axis, lower=lower, upper=upper, swing_limit=entry.swing)


def _bone(joint: Joint, body: Body, roles: dict[str, tuple[str, ...]], ends: dict[str, Frame]) -> Array:
    """Direction of the bone a joint moves, in its link's frame.

    It leads to the next joint of its chain, else to the chain's end effector, else to the mean of the joints and end
    effectors the link carries, else to its centre of mass.
    """
    inside = [chain for chain in roles.values() if joint.name in chain]
    for chain in inside:
        after = chain[chain.index(joint.name) + 1 :][:1]
        for following in body.joints:
            if following.name in after and following.parent == joint.child:
                return following.origin
    for frame in ends.values():
        if frame.link == joint.child and frame.role is not None and roles[frame.role][-1] == joint.name:
            return frame.position
    carried = [following.origin for following in body.joints if following.parent == joint.child]
    carried += [frame.position for frame in ends.values() if frame.link == joint.child]
    return np.mean(carried, axis=0) if carried else body.links[joint.child].com
