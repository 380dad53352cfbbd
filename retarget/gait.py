"""Which foot of the source each leg of a body follows, how much later, and where that puts the body's foot.

A leg the source has follows its own foot. One it lacks (a dragon's foreleg, of a human) follows another foot by a share of the
stride, as the character declares for a walk, a run and a leap: with a quarter of the stride after the hind leg of its side
the footfalls are those of the lateral sequence walk, with the other side's at once those of the trot (Hildebrand, *Symmetrical
gaits of horses*, 1965).
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

from motion import cycle, rotation
from motion.rotation import Array
from retarget.source import Source, slow

if TYPE_CHECKING:
    from retarget.body import Body

Kind = Literal["walk", "run", "leap"]
IN_TURN = (0.25, 0.75)
"""Feet that strike within this part of each other's stride strike in turn."""
STEADY = 0.5
"""Length of the mean of the strikes' phases as unit vectors, from which on they have a phase at all."""
FLIGHT = 0.15
"""share of the time without a foot on the ground from which on a gait is a run"""
SHORTEST, LONGEST = 0.25, 3.0
"""seconds of a stride: feet that strike at other intervals do not walk"""
APART = 0.35
"""share of their distance at rest that hind and forefoot of a side keep between them"""
SHORTEST_STEP = 0.5
"""share of the source's stride that is left, however short the trunk"""
NARROWEST, SOFT = 0.7, 0.25
"""share of its distance from the middle at rest that a foot keeps, and of that, over which it is led there"""
ASIDE_TIME = 0.2
"""seconds, standard deviation of the smoothing of what leads it"""
PLANTED = 0.3
"""share of the leg: a stance whose foot would stray further than this is not brought to one place"""

BEARING = 0.007
"""metres: a point this far above a foot's lowest one bears 1/e as much"""


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """The source's foot that a leg follows."""

    role: str
    """the source's leg"""
    index: np.ndarray | None = None
    """(T,) the source's frame that counts in each frame; None: the frame itself"""

    def take(self, values: Array) -> Array:
        """Values ``(T, …)`` of the source's leg as this leg follows them."""
        return values if self.index is None else values[self.index]


@dataclass(frozen=True, slots=True)
class Gait:
    """How the source's two legs step."""

    kind: Kind
    stride: float
    """seconds from a strike to the next one of the same foot; 0 for a leap"""


def drives(source: Source, body: Body, contacts: AbstractMapping[str, np.ndarray]) -> dict[str, Drive]:
    """Which leg of the source each leg of the body follows; a leg that follows none is missing."""
    fps, frames = source.motion.fps, len(source.motion)
    out: dict[str, Drive] = {}
    gait = None
    for role in body.chains:
        declared = body.character.gait.get(role)
        if role in source.feet:
            out[role] = Drive(role)
        elif declared is not None:
            gait = gait or recognise(source, contacts)
            entry = getattr(declared, gait.kind)
            if entry.source in source.feet:
                late = round(entry.phase * gait.stride * fps)
                out[role] = Drive(entry.source, delayed(frames, late, round(gait.stride * fps)))
    return out


def delayed(frames: int, late: int, stride: int) -> np.ndarray:
    """Frames ``(T,)`` that are ``late`` behind; before the first one, those of the same phase in the first stride."""
    index = np.arange(frames) - late
    return np.clip(np.where(index < 0, index + stride, index), 0, frames - 1)


def recognise(source: Source, contacts: AbstractMapping[str, np.ndarray]) -> Gait:
    """The gait of the source's two legs, from when its feet strike; the stride from its cycle where they strike too rarely."""
    fps = source.motion.fps
    flags = [np.asarray(contacts[role], dtype=bool) for role in source.legs if role in contacts]
    if len(flags) < 2:
        return Gait("leap", 0.0)
    strikes = [np.flatnonzero(np.diff(f.astype(int)) == 1) / fps for f in flags]
    if min(len(s) for s in strikes) == 0:
        return Gait("leap", 0.0)
    gaps = np.concatenate([np.diff(s) for s in strikes])
    gaps = gaps[(gaps > SHORTEST) & (gaps < LONGEST)]
    stride = float(np.median(gaps)) if len(gaps) else _period(source, contacts)
    if stride <= 0:
        return Gait("leap", 0.0)
    apart = (strikes[1][:, None] - strikes[0]).ravel()
    near = apart[np.abs(apart) < stride]
    mean = np.exp(2j * np.pi * near / stride).mean() if len(near) else 0.0
    phase = float(np.angle(mean)) / (2 * np.pi) % 1.0
    if abs(mean) < STEADY or not IN_TURN[0] <= phase <= IN_TURN[1]:
        return Gait("leap", 0.0)
    first, last = (np.flatnonzero(np.any(flags, axis=0))[i] for i in (0, -1))
    flight = 1.0 - np.any(flags, axis=0)[first : last + 1].mean()
    return Gait("run" if flight > FLIGHT else "walk", stride)


def stride(source: Source, contacts: AbstractMapping[str, np.ndarray]) -> float:
    """Seconds of the source's stride, or of its cycle if it does not step; 0 if it has neither."""
    return recognise(source, contacts).stride or _period(source, contacts)


def _period(source: Source, contacts: AbstractMapping[str, np.ndarray]) -> float:
    """Seconds of the source's cycle; 0 if it has none that a stride could be."""
    features = cycle.pose_features(source.positions, source.rotations[:, source.pelvis], source.motion.fps)
    found = [c.period for c in cycle.find_cycles(features, dict(contacts), source.motion.fps) if c.rejected is None]
    return next((p for p in found if SHORTEST < p < LONGEST), 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Girdle:
    """Where legs begin, on the source and on the body."""

    source: Array
    """(T, 3) half-way between the source's two joints"""
    body: Array
    """(T, 3) the same of the body"""
    side: Array
    """(T, 3) level, away from the middle, of the body"""


def feet(
    source: Source,
    body: Body,
    plan: AbstractMapping[str, Drive],
    placed: tuple[Array, Array],
    stance: AbstractMapping[str, np.ndarray],
    scale: float,
    ground: AbstractMapping[str, Array],
    turns: AbstractMapping[str, Array],
) -> dict[str, Array]:
    """Where the feet of the body belong.

    The source's foot from the middle of its hips, scaled, is carried over to the body's hips (or shoulders), moved by what
    sets a standing body's foot apart from a standing source's. Where that would drag a foot that stands, because it stands
    later than the source's, the foot stays at the middle of its stance, and the swings between join up.

    Args:
        plan: leg → what it follows.
        placed: positions (T, L, 3) and rotations (T, L, 4) of the body's links above the legs.
        stance: foot link → (T,) bool.
        scale: metres of the body per metre of the source.
        ground: leg → (T,) metres of the foot's joint above where it is when standing.
        turns: leg → (T, 4) world rotation of its foot; of a stump none.

    Returns:
        leg → (T, 3) world position of the joint that moves the foot.
    """
    positions, rotations = placed
    trunk = rotation.multiply(rotations[:, 0], rotation.conjugate(body.rotations[0]))
    out = {}
    for role, drive in plan.items():
        girdle, rest = _girdle(source, body, role, drive, positions)
        foot, stands = body.foot(role), body.foot_position(role)
        theirs = source.standing(drive.role)
        offset = stands - rest - scale * theirs
        offset[2] = 0.0
        path = source.positions[:, source.feet[drive.role]] - girdle.source
        if drive.index is not None:
            path = rotation.rotate(trunk, drive.take(rotation.rotate(rotation.conjugate(trunk), path)))
        path = girdle.body + scale * path + rotation.rotate(trunk, offset)
        path = _beside(path, girdle, NARROWEST * float(abs(stands - rest)[1]), ASIDE_TIME * source.motion.fps)
        path[:, 2] = ground[role] + stands[2]
        if drive.index is not None:
            most = PLANTED * float(np.linalg.norm(stands - rest))
            roll = rolled(body, foot, turns[role]) if role in turns else 0.0
            path[:, :2] = planted(path[:, :2], stance[foot], most, roll)
        out[role] = path
    return out


def _beside(path: Array, girdle: Girdle, least: float, sigma: float) -> Array:
    """A foot's path ``(T, 3)`` that keeps to its own side of its girdle, softly, so that feet do not tread on each other.

    What leads it aside is smoothed over ``sigma`` frames: a foot that stands is not to follow the hips' sway.
    """
    side = rotation.unit(slow(girdle.side, sigma))
    out = np.einsum("ti,ti->t", path - girdle.body, side)
    soft = max(SOFT * least, 1e-6)
    wider = least + soft * np.logaddexp(0.0, (out - least) / soft)
    return path + slow(wider - out, sigma)[:, None] * side


def stride_share(body: Body, paths: AbstractMapping[str, Array], trunk: Array) -> float:
    """How much of the source's stride a trunk between two pairs of legs is long enough for.

    Args:
        paths: leg → (T, 3) world.
        trunk: (T, 4) the way it faces.
    """
    share = 1.0
    for side in ("left", "right"):
        fore, hind = f"{side}_foreleg", f"{side}_leg"
        if fore not in paths or hind not in paths:
            continue
        ahead = rotation.rotate(rotation.conjugate(trunk), paths[fore] - paths[hind])[:, 0]
        at = [body.foot_position(role)[0] for role in (fore, hind)]
        apart = at[0] - at[1]
        share = min(share, (1.0 - APART) * apart / max(apart - float(ahead.min()), 1e-9))
    return max(share, SHORTEST_STEP)


def _girdle(source: Source, body: Body, role: str, drive: Drive, positions: Array) -> tuple[Girdle, Array]:
    """The girdle a leg hangs on, and where it is on the body at rest ``(3,)``."""
    pair = [r for r in body.chains if _limb(r) == _limb(role)]
    joints = [body.link(body.chains[r][0]) for r in pair]
    theirs = [source.chains[r][0] for r in source.feet if _limb(r) == _limb(drive.role)]
    middle = positions[:, joints].mean(axis=1)
    outward = (positions[:, body.link(body.chains[role][0])] - middle) * np.array([1.0, 1.0, 0.0])
    girdle = Girdle(source.positions[:, theirs].mean(axis=1), middle, rotation.unit(outward))
    return girdle, body.positions[joints].mean(axis=0)


def _limb(role: str) -> str:
    return role.split("_", 1)[-1]


def rolled(body: Body, foot: str, turn: Array) -> Array:
    """How far ``(T, 2)`` the sole of a foot ``turn`` (T, 4) lies from where it would if it stood flat, its joint the same.

    A heel that rises about the toes draws them back under it unless the joint moves on.
    """
    link, support = body.character.link(foot), body.character.support
    points, radius = (of[support.link == link] for of in (support.points, support.radius))
    placed = rotation.rotate(turn[:, None], points)
    height = placed[..., 2] - radius
    weight = np.exp((height.min(axis=1, keepdims=True) - height) / BEARING)
    heading = rotation.yaw(rotation.multiply(turn, rotation.conjugate(body.rotations[link])))
    flat = rotation.rotate(rotation.from_yaw(heading)[:, None], rotation.rotate(body.rotations[link], points))
    return np.einsum("tk,tki->ti", weight, (placed - flat)[..., :2]) / weight.sum(axis=1)[:, None]


def planted(path: Array, stands: np.ndarray, most: float, roll: Array | float = 0.0) -> Array:
    """A path ``(T, 2)`` that rests while its foot stands ``(T,)``, smoothly joined by the swings in between.

    Args:
        most: metres; a stance that strays further than this is left as it is.
        roll: (T, 2) of the sole, see `rolled`: it rests, and the path gives way.
    """
    track = path + roll
    moved = np.zeros_like(path)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], stands.astype(int), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        part = track[start:stop]
        if np.ptp(part, axis=0).max() <= most:
            moved[start:stop] = part.mean(axis=0) - part
    known = np.flatnonzero(stands)
    if len(known) == 0:
        return path
    if len(known) > 1:
        between = PchipInterpolator(known, moved[known])(np.clip(np.arange(len(path)), known[0], known[-1]))
        moved = np.where(stands[:, None], moved, between)
    return path + moved
