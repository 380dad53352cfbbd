"""Keyframes: a body's sparse poses in a ``NAME.keyframes.toml``.

A pose that does not name a joint says nothing about it, and a joint that no pose names stays at rest. Angles are degrees;
a ball joint's ``[x, y, z]`` is a rotation vector (the axis, its length the angle) in the axes of the joint's frame.
"""

from __future__ import annotations

import math
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from characters import kinematics
from characters.character import Character
from characters.definition import Number, Positive, Vector
from characters.tracks import ROOT, Interpolation, Keyframes, Track
from motion import files, rotation
from motion.clip import CycleOffset, FileModel, check_model
from motion.errors import InputError, nearest
from motion.rotation import Array

SUFFIX = ".keyframes.toml"
SLACK = np.deg2rad(0.5)
"""radians by which a key may pass a joint's limit: files are written in rounded degrees"""

Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]


class RootEntry(FileModel):
    position: Annotated[Vector | None, Field(description="metres, away from where the root stands at rest")] = None
    rotation: Annotated[Vector | None, Field(description="rotation vector, degrees")] = None


class PoseEntry(FileModel):
    time: Annotated[Number, Field(ge=0, description="seconds")]
    root: RootEntry = RootEntry()
    joints: Annotated[
        dict[str, float | list[float]], Field(description="hinge → degrees, ball → rotation vector in degrees")
    ] = {}


class OffsetEntry(FileModel):
    translation: Annotated[Vector, Field(description="metres a cycle; z is 0")] = [0.0, 0.0, 0.0]
    yaw: Annotated[Number, Field(description="degrees a cycle")] = 0.0


class KeyframesFile(FileModel):
    """Schema of ``NAME.keyframes.toml``."""

    format: Literal["mimic-keyframes"]
    version: Literal[1]
    character: Annotated[str, Field(description="name of the body, or its folder, as seen from this file")]
    description: str = ""
    loop: bool
    duration: Annotated[Positive, Field(description="seconds of one cycle, or of the one-shot")]
    cycle_offset: Annotated[OffsetEntry, Field(description="how the root moves on, evenly, in one cycle")] = (
        OffsetEntry()
    )
    mirrored: Annotated[bool, Field(description="the poses are half a cycle; the other half is their mirror image")] = (
        False
    )
    interpolation: Interpolation = "smooth"
    monotone: Annotated[list[str], Field(description="joints that must not swing past their keys")] = []
    contacts: Annotated[
        dict[str, list[Interval]], Field(description="link → [from, to] seconds it stands; may run past a loop's end")
    ] = {}
    pose: Annotated[list[PoseEntry], Field(min_length=1)]


def load(path: Path | str) -> Keyframes:
    """Read a keyframe file and the body it is of.

    Raises:
        InputError: with file and line: not TOML, an unknown key, joint or link, a value of the wrong kind or beyond a
            joint's limit, times that do not increase, a contact outside the motion.
    """
    return _Reader(Path(path)).read()


def is_keyframes(path: Path | str) -> bool:
    """Whether a file is meant as keyframes."""
    return Path(path).suffix == ".toml"


def name_of(path: Path | str) -> str:
    """The motion's name: the file's, without its suffixes."""
    return Path(path).name.removesuffix(SUFFIX).removesuffix(".toml")


class _Mirror:
    """Left and right of a body exchanged, by its roles."""

    def __init__(self, character: Character):
        self.character = character
        self.joints = {joint.name: joint.name for joint in character.joints}
        for role, chain in character.roles.items():
            other = role.replace("left_", "right_") if role.startswith("left_") else role.replace("right_", "left_")
            self.joints |= dict(zip(chain, character.roles.get(other, chain), strict=False))
        links = {character.links[j.child].name: j.name for j in character.joints}
        child = {joint: link for link, joint in links.items()}
        self.links = {link: child[self.joints[joint]] for link, joint in links.items()}
        self.turns = kinematics.forward(character, character.zero[None]).rotations[0]

    def values(self, track: str, values: Array) -> Array:
        """Mirrored values (K, w) of a track, as its partner's."""
        if track == "root position":
            return values * np.array([1.0, -1.0, 1.0])
        if track == "root rotation":
            return _reflected(values)
        mine, other = (self.character.joints[self.character.joint(n)] for n in (track, self.joints[track]))
        here, there = self.turns[mine.child], self.turns[other.child]
        if mine.type == "hinge":
            axis = rotation.rotate(here, mine.axis) * np.array([-1.0, 1.0, -1.0])
            return values * np.sign(axis @ rotation.rotate(there, other.axis))
        world = _reflected(rotation.multiply(rotation.multiply(here, values), rotation.conjugate(here)))
        return rotation.multiply(rotation.multiply(rotation.conjugate(there), world), there)


def _reflected(q: Array) -> Array:
    """Rotations (…, 4) seen in the mirror of the x–z plane."""
    return q * np.array([1.0, -1.0, 1.0, -1.0])


class _Reader:
    """One file, and where in it a name stands."""

    def __init__(self, path: Path):
        self.path = path
        self.lines = files.read_text(path).splitlines()
        try:
            content = tomllib.loads("\n".join(self.lines))
        except tomllib.TOMLDecodeError as error:
            message, _, at = str(error).partition(" (at line ")
            line = at.partition(",")[0]
            raise InputError(
                f"not valid TOML: {message}", where=f"{path}:{line}" if line.isdigit() else path
            ) from error
        try:
            self.file = check_model(KeyframesFile, content, path)
        except InputError as error:
            place = re.search(r"(?:pose\.(\d+)\.?)?([\w.]*)", error.message.removeprefix("unknown key "))
            pose, keys = (place[1], place[2].split(".")) if place else (None, [])
            where = self.where(*keys[-1:], pose=None if pose is None else int(pose)) if pose or keys[0] else path
            raise InputError(error.message, where=where, hint=error.hint) from error
        self.character = self._body(self.file.character)

    def read(self) -> Keyframes:
        file = self.file
        yaw = math.radians(file.cycle_offset.yaw)
        translation = np.array(file.cycle_offset.translation)
        if not file.loop and (yaw or translation.any() or file.mirrored):
            key = "mirrored" if file.mirrored else "cycle_offset"
            raise InputError(f"{key} is for loops", where=self.where(key))
        if translation[2]:
            raise InputError(f"cycle_offset: expected z = 0, found {translation[2]:g}", where=self.where("translation"))
        if file.mirrored and (yaw or translation[1]):
            raise InputError(
                "mirrored: a cycle that turns or goes sideways has no mirrored half",
                where=self.where("mirrored"),
                hint="give the poses of the whole cycle",
            )
        times = self._times()
        for joint in file.monotone:
            self._check(joint, [j.name for j in self.character.joints], "joint", self.where("monotone"))
        tracks = self._tracks(times)
        contacts = {link: self._intervals(link, spans) for link, spans in file.contacts.items()}
        if file.mirrored:
            mirror = _Mirror(self.character)
            tracks = {name: self._whole(name, tracks, mirror) for name in self._named(tracks, mirror)}
            half = 0.5 * file.duration
            for link, spans in list(contacts.items()):
                other = mirror.links.get(link, link)
                contacts[other] = contacts.get(other, ()) + tuple((a + half, b + half) for a, b in spans)
        return Keyframes(
            name=name_of(self.path),
            path=self.path,
            character=self.character,
            loop=file.loop,
            duration=file.duration,
            offset=CycleOffset(translation, yaw),
            tracks=tracks,
            contacts=contacts,
        )

    def where(self, *names: str, pose: int | None = None) -> str:
        """The file and the first line with all the names, within a pose if one is given."""
        lines = [line.partition("#")[0] for line in self.lines]
        heads = [n for n, line in enumerate(lines) if line.replace(" ", "").startswith("[[pose]]")]
        first, last = 0, len(lines)
        if pose is not None and pose < len(heads):
            first, last = heads[pose], heads[pose + 1] if pose + 1 < len(heads) else len(lines)
        for number in range(first, last):
            if all(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", lines[number]) for name in names):
                return f"{self.path}:{number + 1}"
        return str(self.path) if pose is None else f"{self.path}:{first + 1}"

    def _body(self, name: str) -> Character:
        """The character of that name, or in that folder as seen from the file."""
        beside = self.path.parent / name
        try:
            return Character.load(beside if len(Path(name).parts) > 1 and beside.is_dir() else name)
        except InputError as error:
            if error.where is not None:
                raise
            raise InputError(error.message, where=self.where("character"), hint=error.hint) from error

    def _check(self, name: str, valid: list[str], what: str, where: str) -> None:
        if name not in valid:
            raise InputError(f"no {what} {name} in {self.character.name}", where=where, hint=nearest(name, valid))

    def _times(self) -> list[float]:
        """Seconds of the poses, checked to increase and to lie within the motion."""
        file = self.file
        times = [pose.time for pose in file.pose]
        for k, (before, after) in enumerate(pairwise(times), 1):
            if not before < after:
                raise InputError(
                    f"expected times that increase, found {after:g} after {before:g}", where=self.where("time", pose=k)
                )
        end = file.duration * (0.5 if file.mirrored else 1.0)
        if times[-1] > end or (file.loop and times[-1] == end):
            what = f"below {end:g} s, " if file.loop else f"up to {end:g} s, "
            raise InputError(
                f"expected times {what}found {times[-1]:g}",
                where=self.where("time", pose=len(times) - 1),
                hint="a loop's end is its first pose again; mirrored, so is its middle" if file.loop else None,
            )
        return times

    def _tracks(self, times: list[float]) -> dict[str, Track]:
        """The keys as the file states them."""
        keys: dict[str, list[tuple[float, Array]]] = {}
        names = [joint.name for joint in self.character.joints]
        for k, (time, pose) in enumerate(zip(times, self.file.pose, strict=True)):
            if pose.root.position is not None:
                keys.setdefault(ROOT[0], []).append((time, np.array(pose.root.position)))
            if pose.root.rotation is not None:
                keys.setdefault(ROOT[1], []).append((time, rotation.exp(np.deg2rad(pose.root.rotation))))
            for name, value in pose.joints.items():
                self._check(name, names, "joint", self.where(name, pose=k))
                keys.setdefault(name, []).append((time, self._value(name, value, self.where(name, pose=k))))
        return {
            name: Track(
                np.array([time for time, _ in found]),
                np.array([value for _, value in found]),
                "monotone" if name in self.file.monotone else self.file.interpolation,
            )
            for name, found in keys.items()
        }

    def _value(self, name: str, value: float | list[float], where: str) -> Array:
        """A joint's value in radians or as a quaternion, checked against its limits."""
        joint = self.character.joints[self.character.joint(name)]
        given = np.deg2rad(np.atleast_1d(np.array(value, dtype=np.float64)))
        kind = "[x, y, z] in degrees, for a ball" if joint.type == "ball" else "one number of degrees, for a hinge"
        if isinstance(value, list) != (joint.type == "ball") or given.shape != ((3,) if joint.type == "ball" else (1,)):
            raise InputError(f"{name}: expected {kind}, found {value}", where=where)
        if not np.isfinite(given).all():
            raise InputError(f"{name}: expected finite degrees, found {value}", where=where)
        if joint.type == "hinge":
            self._within(name, "", float(given[0]), joint.lower, joint.upper, where)
            return given
        q = rotation.exp(given)
        swing, twist = rotation.swing_twist(q, joint.twist_axis)
        self._within(name, "twist ", float(twist), joint.lower, joint.upper, where)
        self._within(name, "swing ", float(rotation.angle(rotation.IDENTITY, swing)), 0.0, joint.swing_limit, where)
        return q

    def _within(self, name: str, what: str, angle: float, lower: float, upper: float, where: str) -> None:
        if not lower - SLACK <= angle <= upper + SLACK:
            limits = f"{math.degrees(lower):.0f}° to {math.degrees(upper):.0f}°"
            raise InputError(f"{name}: expected a {what}within {limits}, found {math.degrees(angle):.0f}°", where=where)

    def _intervals(self, link: str, spans: list[list[float]]) -> tuple[tuple[float, float], ...]:
        """A link's stances, checked."""
        body, where = self.character, self.where(link)
        shaped = [body.links[i].name for i in sorted({shape.link for shape in body.shapes})]
        self._check(link, shaped, "link with a collision shape", where)
        for start, stop in spans:
            most = start + self.file.duration if self.file.loop else self.file.duration
            if not (0 <= start < stop <= most and start <= self.file.duration):
                raise InputError(
                    f"{link}: expected 0 ≤ from < to within {self.file.duration:g} s, found {start:g} and {stop:g}",
                    where=where,
                    hint="a stance across a loop's end runs past the duration, such as [1.8, 2.3] of 2.0"
                    if self.file.loop
                    else None,
                )
        return tuple((start, stop) for start, stop in spans)

    def _named(self, tracks: dict[str, Track], mirror: _Mirror) -> list[str]:
        """Tracks with keys of their own, or of their partner."""
        return list(dict.fromkeys([*tracks, *(mirror.joints.get(name, name) for name in tracks)]))

    def _whole(self, name: str, tracks: dict[str, Track], mirror: _Mirror) -> Track:
        """A track over the whole cycle: its own half and its partner's, mirrored."""
        partner = mirror.joints.get(name, name)
        own, other = tracks.get(name), tracks.get(partner)
        times = [] if own is None else [own.times]
        values = [] if own is None else [own.values]
        if other is not None:
            times.append(other.times + 0.5 * self.file.duration)
            values.append(mirror.values(partner, other.values))
        either = own or other
        assert either is not None
        return Track(np.concatenate(times), np.concatenate(values), either.interpolation)
