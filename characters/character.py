"""Character: a body and what we need to know to move it. A character is a folder with body.urdf and character.toml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from characters import definition, kinematics, shapes
from characters.body import Frame, Joint, Link, Shape
from characters.definition import TOML, URDF, DriveEntry, FollowEntry, GaitEntry, Policy, SteadyEntry
from characters.definition import CharacterFile as CharacterFile
from motion import rotation
from motion.clip import JointSpec, Layout, Trajectory
from motion.errors import InputError, nearest
from motion.motion import Motion, Skeleton
from motion.rotation import Array

HERE, INSTALLED = Path("characters"), Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Character:
    """A body, its roles and its limits."""

    name: str
    folder: Path
    description: str
    sha256: str
    """of body.urdf and character.toml, and of the meshes and keyframes they name"""
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
    follow: dict[str, FollowEntry]
    """role → how a chain that follows does it"""
    keyframes: dict[str, Path]
    """role → the file that moves a chain by keyframes"""
    steady: dict[str, SteadyEntry]
    """root or role → how calm it is kept"""
    gait: dict[str, GaitEntry]
    """leg → whose foot it follows where the source lacks it"""
    drive: dict[str, DriveEntry]
    """role → the source's limb that moves it"""

    @classmethod
    def load(cls, name_or_folder: str | Path) -> Character:
        """Load a character by name (./characters first, then the installed ones) or by folder.

        Raises:
            InputError: no such character, or a file that does not fit, with file and line where known.
        """
        folder = find(name_or_folder)
        found = definition.read(folder)
        file, body = found.file, found.body
        return cls(
            name=folder.resolve().name,
            folder=folder.resolve(),
            description=file.description,
            sha256=found.sha256,
            links=body.links,
            joints=body.joints,
            shapes=body.shapes,
            visuals=body.visuals,
            frames=body.frames,
            roles=found.roles,
            feet=tuple(file.feet),
            ground=tuple(file.feet if file.ground is None else file.ground),
            end_effectors=found.end_effectors,
            torque_limits=found.torque_limits,
            pose_weights={name: file.pose_weights.get(name, 1.0) for name in ("root", *(j.name for j in body.joints))},
            self_collision=file.self_collision,
            undriven=dict(file.undriven),
            follow=dict(file.follow),
            keyframes=found.keyframes,
            steady=dict(file.steady),
            gait=dict(file.gait),
            drive=dict(file.drive),
        )

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


def find(name_or_folder: str | Path) -> Path:
    """The folder of a character: ./characters first, then the installed ones, then the path itself."""
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
