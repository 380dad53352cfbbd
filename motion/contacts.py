"""Which feet, hands and knees of a source motion stand on the ground, and where that ground is.

A foot stands where one of its points is within `ContactSettings.height` of its own resting height and slides slower
than `ContactSettings.speed`: the body contact that the result is judged by, asked of the source. Files put the ground
anywhere and video-made ones let it drift, so its level is taken from the stances themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy import ndimage

from motion import rotation
from motion.motion import Motion
from motion.rotation import Array

LEG_SHARE = 0.49
"""hip to ankle over body height of a human (Winter, *Biomechanics and Motor Control of Human Movement*: 0.245 + 0.246)"""
REFERENCE_HEIGHT = 1.7
"""metres; the lengths in the settings are those of a body of this height"""


class HasChains(Protocol):
    """What contact detection needs of `motion.roles.Roles`."""

    @property
    def chains(self) -> dict[str, tuple[str, ...]]:
        """role → joint names from the root outward"""
        ...


@dataclass(frozen=True, slots=True)
class ContactSettings:
    """Lengths in metres and speeds in m/s for a body 1.7 m tall; both scale with the body."""

    height: float = 0.02
    """a point this far above its resting height still touches"""
    speed: float = 0.3
    """a point sliding slower than this stands"""
    hysteresis: float = 0.2
    """a contact lasts while below (1 + this) times both limits, if it is below (1 − this) times both at some frame"""
    duration: float = 0.05
    """seconds; shorter contacts and shorter gaps are noise, and so are single frames"""
    airborne: float = 0.03
    """a body with every point further than this above its resting height flies"""
    window: float = 0.035
    """seconds over which a speed is measured, at least one frame"""
    blur: float = 0.01
    """seconds, standard deviation of the smoothing of positions before anything is measured"""
    still: float = 0.15
    """a point slower than this in space may be standing: evidence of the ground"""
    evidence: float = 0.1
    """seconds of standing that tell the ground; with fewer, faster feet are asked too"""
    upright: float = 0.45
    """hips higher than this share of the leg above the feet: the feet carry the body"""
    thickness: float = 0.1
    """a joint other than a foot's lies at most this high when the flesh around it touches the ground"""
    drift: float = 0.03
    """stance levels that wander further than this, once smoothed, say that the ground drifts or climbs"""
    drift_time: float = 0.6
    """seconds, standard deviation of the smoothing of stance levels"""


@dataclass(frozen=True, slots=True, eq=False)
class Contacts:
    """What touches the ground, frame by frame."""

    flags: dict[str, np.ndarray]
    """leg role → (T,) bool: the foot stands"""
    hands: dict[str, np.ndarray]
    """arm role → (T,) bool: the hand rests on the ground"""
    knees: dict[str, np.ndarray]
    """leg role → (T,) bool: the knee rests on the ground"""
    airborne: np.ndarray
    """(T,) bool: nothing touches"""
    resting_height: dict[str, float]
    """joint → metres above the ground when resting on it: a foot point when standing, another joint when lying"""
    ground: float
    """metres: where the ground is in the motion's own z"""
    level: Array = field(repr=False)
    """(T,) metres: the ground under the body; `ground` everywhere unless the stances say that it drifts"""


def detect(motion: Motion, roles: HasChains, *, settings: ContactSettings | None = None) -> Contacts:
    """Find the contacts of a standardised motion (metres, z-up).

    Args:
        roles: legs are ``left_leg`` … ``right_foreleg`` = (hip, knee, ankle, toe …), arms ``left_arm`` = (shoulder,
            elbow, wrist). What hangs below an ankle or a wrist, End Sites too, belongs to that foot or hand.

    Without any stance the ground is taken just below the lowest joints of the clip.
    """
    settings = settings or ContactSettings()
    positions, rotations = motion.forward()
    blur = settings.blur * motion.fps
    if blur > 0.3 and len(motion) > 1:
        positions = ndimage.gaussian_filter1d(positions, blur, axis=0, mode="nearest")
    legs = {role: chain for role, chain in roles.chains.items() if role.endswith("leg")}
    arms = {role: chain for role, chain in roles.chains.items() if role.endswith("_arm")}
    feet = {role: _beyond(motion, chain) for role, chain in legs.items()}
    scale = body_height(motion, roles, positions) / REFERENCE_HEIGHT
    slide, speed = _speeds(positions, motion.fps, settings)
    still = speed < settings.still * scale

    hips = [motion.skeleton.index(chain[0]) for chain in legs.values()]
    ground, level = _ground(positions[..., 2], speed, list(feet.values()), hips, motion.fps, settings, scale)
    heights = positions[..., 2] - level[:, None]
    resting = _resting_heights(heights, still, list(feet.values()), settings, scale)
    clearance = heights - resting

    def contact(joints: list[int], sole: Array | None = None) -> np.ndarray:
        above, sliding = clearance[:, joints], slide[:, joints]
        if sole is not None:
            above = np.column_stack([above, sole[:, 2] - level - resting[joints].min()])
            sliding = np.column_stack([sliding, _speeds(sole[:, None], motion.fps, settings)[0]])
        worse = np.maximum(above / (settings.height * scale), sliding / (settings.speed * scale)).min(axis=1)
        return _held(worse, motion.fps, settings)

    soles = {
        r: _sole(positions, rotations, j, clearance, still, resting, settings.height * scale) for r, j in feet.items()
    }
    nearest = np.column_stack(
        [clearance, *(s[:, 2] - level - resting[feet[r]].min() for r, s in soles.items())],
    ).min(axis=1)
    return Contacts(
        flags={role: contact(joints, soles[role]) for role, joints in feet.items()},
        hands={role: contact(_beyond(motion, chain)) for role, chain in arms.items()},
        knees={role: contact([motion.skeleton.index(chain[1])]) for role, chain in legs.items() if len(chain) > 2},
        airborne=nearest > settings.airborne * scale,
        resting_height={name: float(h) for name, h in zip(motion.skeleton.names, resting, strict=True)},
        ground=float(ground),
        level=level,
    )


def body_height(motion: Motion, roles: HasChains, positions: Array | None = None) -> float:
    """Standing height in metres that a human with these legs has; 1.7 without legs.

    Args:
        positions: (T, J, 3) world positions of all joints, if at hand.
    """
    if positions is None:
        positions, _ = motion.forward()
    lengths = []
    for role, chain in roles.chains.items():
        if role.endswith("_leg") and len(chain) > 2:
            at = positions[:, [motion.skeleton.index(name) for name in chain[:3]]]
            lengths.append(np.median(np.linalg.norm(np.diff(at, axis=1), axis=-1).sum(axis=1)))
    return float(np.mean(lengths)) / LEG_SHARE if lengths and np.mean(lengths) > 0 else REFERENCE_HEIGHT


def _beyond(motion: Motion, chain: tuple[str, ...]) -> list[int]:
    """Joints of a hand or foot: the third joint of a limb (the last one of a shorter limb) and all below it."""
    members = [motion.skeleton.index(chain[min(2, len(chain) - 1)])]
    for joint in range(members[0] + 1, len(motion.skeleton)):
        if motion.skeleton.parents[joint] in members:
            members.append(joint)
    return members


def _speeds(positions: Array, fps: float, settings: ContactSettings) -> tuple[Array, Array]:
    """Horizontal speed (T, J) and speed in space (T, J) of points (T, J, 3).

    A speed is the smaller one of those before and after the frame, so that strike and lift-off stay sharp.
    """
    frames = len(positions)
    if frames == 1:
        return np.zeros(positions.shape[:2]), np.zeros(positions.shape[:2])
    width = min(max(1, round(settings.window * fps)), frames // 2)
    step = (positions[width:] - positions[:-width]) * (fps / width)
    edge = np.full((width, positions.shape[1]), np.inf)

    def smaller(speed: Array) -> Array:
        return np.minimum(np.concatenate([speed, edge]), np.concatenate([edge, speed]))

    return smaller(np.linalg.norm(step[..., :2], axis=-1)), smaller(np.linalg.norm(step, axis=-1))


def _ground(
    z: Array, speed: Array, feet: list[list[int]], hips: list[int], fps: float, settings: ContactSettings, scale: float
) -> tuple[float, Array]:
    """Ground level in the file's z, and that level frame by frame (T,): where the lowest points of carrying feet stand.

    The slowest feet that are enough tell it, those under an upright body before those of a crouching one.
    """
    frames = np.arange(len(z))
    if feet:
        lowest = np.stack([np.array(joints)[z[:, joints].argmin(axis=1)] for joints in feet])
        height, moving = z[frames, lowest], speed[frames, lowest]
        support = height < height.min(axis=0) + 0.05 * scale
        leg = LEG_SHARE * REFERENCE_HEIGHT * scale
        upright = support & (z[:, hips].mean(axis=1) - height > settings.upright * leg)
        others = np.setdiff1d(np.arange(z.shape[1]), np.concatenate(feet))
        crouching = support & (height < z[:, others].min(axis=1, initial=np.inf) - settings.height * scale)
        least = max(3, settings.evidence * fps)
        for carrying in (upright, crouching):
            for slower in (1, 2, 4):
                standing = np.where(carrying & (moving < slower * settings.still * scale), height, np.inf).min(axis=0)
                at = np.isfinite(standing)
                if at.sum() >= min(least, len(z)):
                    ground = _lowest_mode(standing[at], 0.01 * scale)
                    level = ground + _drift(frames[at] / fps, standing[at] - ground, frames / fps, settings)
                    wanders = np.ptp(level) > settings.drift * scale
                    return ground, level if wanders else np.full(len(z), ground)
    ground = float(np.percentile(z.min(axis=1), 5)) - settings.airborne * scale
    return ground, np.full(len(z), ground)


def _lowest_mode(values: Array, width: float) -> float:
    """The lowest of the heights where values gather: a peak of their density at least a third of the highest."""
    grid = np.arange(values.min() - 3 * width, values.max() + 3 * width, width / 4)
    density = ndimage.gaussian_filter1d(
        np.histogram(values, np.append(grid, grid[-1] + width / 4))[0].astype(float), 4.0
    )
    inner = density[1:-1]
    peaks = 1 + np.flatnonzero((inner >= density[:-2]) & (inner >= density[2:]) & (inner >= density.max() / 3))
    peak = grid[peaks[0]] + width / 8 if len(peaks) else float(np.median(values))
    near = values[np.abs(values - peak) < 1.5 * width]
    return float(np.median(near)) if len(near) else float(peak)


def _drift(times: Array, deviations: Array, at: Array, settings: ContactSettings) -> Array:
    """Smoothed deviations (N,) of stances from the ground: medians of short bins, averaged with Gaussian weights over time.

    Where stances are few, the ground itself outweighs them.
    """
    width = settings.drift_time / 3
    bins = np.floor(times / width).astype(int)
    groups = np.split(np.arange(len(bins)), np.flatnonzero(np.diff(bins)) + 1)
    centres = np.array([times[g].mean() for g in groups])
    medians = np.array([np.median(deviations[g]) for g in groups])
    knots = np.arange(at[0], at[-1] + width, width)
    distance = ((knots[:, None] - centres) / settings.drift_time) ** 2
    distance -= distance.min(axis=1, keepdims=True)  # far from any stance the nearest one counts
    weights = np.exp(-0.5 * distance)
    return np.interp(at, knots, weights @ medians / (weights.sum(axis=1) + 0.3))


def _resting_heights(
    heights: Array, still: np.ndarray, feet: list[list[int]], settings: ContactSettings, scale: float
) -> Array:
    """Height (J,) of each joint above the ground when it rests there; 0 for one that never comes near."""
    low = np.where(still & (heights < settings.thickness * scale), heights, np.nan)
    floor = np.percentile(heights, 2, axis=0)
    resting = np.where(floor < settings.thickness * scale, floor, 0.0)
    enough = np.isfinite(low).sum(axis=0) > 2
    resting[enough] = np.nanpercentile(low[:, enough], 25, axis=0)
    for joints in feet:
        standing = heights[:, joints].min(axis=1) < 0.03 * scale
        for joint in joints:
            rows = standing & still[:, joint]
            if rows.sum() > 2:
                resting[joint] = np.percentile(heights[rows, joint], 25)
            elif standing.sum() > 2:
                resting[joint] = np.percentile(heights[standing, joint], 25)
    return resting


def _sole(
    positions: Array,
    rotations: Array,
    joints: list[int],
    clearance: Array,
    still: np.ndarray,
    resting: Array,
    near: float,
) -> Array:
    """A point (T, 3) under the ankle at the height of the sole, fixed to the foot: most rigs have no heel of their own."""
    ankle = joints[0]
    drop = max(resting[ankle] - resting[joints].min(), 0.0)
    flat = still[:, ankle] & (np.abs(clearance[:, joints]) < near).all(axis=1)
    if not flat.any():
        flat = clearance[:, ankle] <= clearance[:, ankle].min() + 0.5 * near
    down = rotation.rotate(rotation.conjugate(rotations[flat, ankle]), np.array([0.0, 0.0, -1.0])).mean(axis=0)
    return positions[:, ankle] + rotation.rotate(rotations[:, ankle], drop * rotation.unit(down))


def _held(worse: Array, fps: float, settings: ContactSettings) -> np.ndarray:
    """Contact flags (T,) from how near each frame is to its limits (T,), where 1 is at the limit."""
    loose, strict = worse < 1 + settings.hysteresis, worse < 1 - settings.hysteresis
    runs, _ = ndimage.label(loose)
    flags = np.isin(runs, np.unique(runs[strict & loose])) & loose
    least = max(settings.duration * fps, 2.0)
    return _without_short(~_without_short(~flags, least), least)


def _without_short(flags: np.ndarray, least: float) -> np.ndarray:
    """Flags (T,) without inner runs of True shorter than ``least`` frames; a run at an end may go on outside the clip."""
    runs, count = ndimage.label(flags)
    lengths = np.bincount(runs, minlength=count + 1)
    keep = lengths >= least
    keep[[runs[0], runs[-1]]] = True
    keep[0] = False
    return keep[runs]
