"""The unit and the up axis of a motion whose file does not say them: from the body's size, posture and ground."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from motion import rotation
from motion.errors import InputError, MimicWarning
from motion.motion import UP_TO_Z, Motion
from motion.rotation import Array
from motion.shape import EPS, Shape, unit

LEG_SHARE = 0.491
"""thigh and shank over body height, 0.245 + 0.246: Winter, *Biomechanics and Motor Control of Human Movement*"""
UNITS = (
    # metres, name, shortest and tallest body believed: decades are likely, so children and giants are let in
    (1.0, "metres", 1.2, 2.2),
    (0.1, "decimetres", 1.2, 2.2),
    (0.01, "centimetres", 1.2, 2.2),
    (0.001, "millimetres", 1.2, 2.2),
    (0.3048, "feet", 1.5, 1.95),
    (0.0254 / 0.45, "inches / 0.45, the CMU collection's unit", 1.5, 1.95),
    (0.0254, "inches", 1.5, 1.95),
)
"""no height in file units fits two of them"""
USUAL_HEIGHT = 1.7
"""metres given to a body that is of no known unit"""
USUAL_ANIMAL_LEG = 0.5
"""metres: a four-legged body gets the decade that brings its hind legs nearest to this"""
DECADES = (1.0, 0.1, 0.01, 0.001)
FLOOR_BAND, FLOOR_SPEED = 0.04, 0.25
"""a lowest point rests on the ground: so near the usual lowest level, in heights, and so slow, in heights a second"""
FLOOR_FRAMES, FEWEST_FRAMES = 200, 10
"""steps looked at for the ground; the fewest that tell anything"""
REST_WEIGHT = 0.3
"""a rest pose is a hint at most: files exist whose rest pose lies"""
REST_UPRIGHT = 0.8
"""cosine of trunk to hips-over-feet from which a rest pose is a standing body and not bones along one axis"""

UPSIDE_DOWN = 0.7
"""a body that stands on its head by this much, on average, stands in a file whose up axis is negative"""


class HasChains(Protocol):
    """What the axes need of `motion.roles.Roles`."""

    @property
    def chains(self) -> dict[str, tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class Axes:
    """How a file's numbers become metres and z-up (the arguments of `motion.motion.standardise`)."""

    unit: float
    """metres per file unit"""
    up: str
    """x, y or z"""
    evidence: dict[str, str] = field(default_factory=dict)
    """a sentence each for ``unit`` and ``up``"""
    confidence: dict[str, float] = field(default_factory=dict)
    """0 to 1 each for ``unit`` and ``up``; 1 is declared"""


def infer_axes(motion: Motion, roles: HasChains) -> Axes:
    """Unit and up axis of a motion; ``declared_unit`` (metres) and ``declared_up`` in its provenance win.

    Warns (MimicWarning) where the body stands on its head along the up axis found: the file's up is then negative.

    Raises:
        InputError: a declared unit or axis that cannot be.
    """
    shape = Shape.of(motion)
    legs = _legs(motion, roles, shape)
    leg, size = _size(shape, legs)
    four = "left_foreleg" in roles.chains or "right_foreleg" in roles.chains
    scale, why_unit, sure_unit = _unit(size, leg, human=leg > EPS and not four)
    up, why_up, sure_up = _up(motion, roles, shape, legs, size)
    declared = motion.provenance.get("declared_unit")
    if declared is not None:
        if isinstance(declared, bool) or not isinstance(declared, (int, float)) or not 0 < declared < np.inf:
            raise InputError(f"expected the declared unit in metres, found {declared!r}", where=motion.name)
        scale, why_unit, sure_unit = float(declared), "declared", 1.0
    declared = motion.provenance.get("declared_up")
    if declared is not None:
        if declared not in UP_TO_Z:
            raise InputError(f"expected the declared up axis to be x, y or z, found {declared!r}", where=motion.name)
        up, why_up, sure_up = str(declared), "declared", 1.0
    return Axes(scale, up, {"unit": why_unit, "up": why_up}, {"unit": sure_unit, "up": sure_up})


def standing_height(motion: Motion, roles: HasChains) -> float:
    """Height of the body a motion is of, in its unit, whatever it does: from its legs, or else its longest path of bones."""
    shape = Shape.of(motion)
    return _size(shape, _legs(motion, roles, shape))[1]


def _size(shape: Shape, legs: list[list[int]]) -> tuple[float, float]:
    """Thigh and shank, and the height of the body, in the file's unit."""
    leg = float(np.mean([np.median(shape.span(c[0], c[1]) + shape.span(c[1], c[2])) for c in legs])) if legs else 0.0
    return leg, leg / LEG_SHARE if leg > EPS else float(shape.reach[0])


def _legs(motion: Motion, roles: HasChains, shape: Shape) -> list[list[int]]:
    """(thigh, shank, foot) of the legs there are; a leg without a foot joint ends at its tip."""
    chains = [roles.chains.get(f"{side}_leg", ()) for side in ("left", "right")]
    legs = [[motion.skeleton.index(name) for name in chain[:3]] for chain in chains if len(chain) >= 2]
    return [leg if len(leg) == 3 else leg + shape.limb(leg[-1])[-1:] for leg in legs]


def _unit(size: float, leg: float, *, human: bool) -> tuple[float, str, float]:
    if human:
        for metres, name, low, high in UNITS:
            if low <= size * metres <= high:
                said = f"thigh and shank of {leg:.4g} are those of a body of {size * metres:.2f} m in {name}"
                return metres, said, 0.95 if metres in DECADES else 0.8
        return (
            USUAL_HEIGHT / size,
            f"thigh and shank of {leg:.4g} fit no known unit; the body is taken to be {USUAL_HEIGHT} m tall",
            0.4,
        )
    if leg > EPS:
        metres = min(DECADES, key=lambda m: abs(np.log(leg * m / USUAL_ANIMAL_LEG)))
        return metres, f"four legs of {leg:.4g}, taken to be {leg * metres:.2f} m long", 0.3
    if size > EPS:
        metres = min(DECADES, key=lambda m: abs(np.log(size * m / USUAL_HEIGHT)))
        return metres, f"no legs found; a skeleton of {size:.4g}, taken to be {size * metres:.2f} m large", 0.1
    return 1.0, "a skeleton without size; metres are assumed", 0.0


def _up(motion: Motion, roles: HasChains, shape: Shape, legs: list[list[int]], size: float) -> tuple[str, str, float]:
    """Votes of posture (feet → head), ground (a level at which points rest) and rest pose for each axis."""
    if size <= EPS:
        return "y", "a skeleton without size; y is assumed", 0.0
    posture = np.mean(_body_axis(motion, roles, shape.positions, legs), axis=0)
    floor = _floor(motion, size)
    rest = _rest_axis(motion, roles, legs)
    votes = posture + (floor - floor.mean()) + REST_WEIGHT * rest
    axis = int(np.argmax(votes))
    if legs and -posture.min() > max(votes[axis], UPSIDE_DOWN):
        axis = int(np.argmin(posture))
        warnings.warn(
            MimicWarning(
                f"{motion.name}: the body stands head down along {'xyz'[axis]}; its up axis seems to be −{'xyz'[axis]}"
            ),
            stacklevel=4,
        )
    ordered = np.sort(votes)
    said = [f"the body is upright along it by {posture[axis]:.2f} on average"]
    if np.ptp(floor) > 0:
        said.append(f"points rest at its lowest level in {floor[axis]:.0%} of the frames")
    if rest[axis] > REST_UPRIGHT:
        said.append("the rest pose stands along it")
    return "xyz"[axis], "; ".join(said), float(np.clip(ordered[-1] - ordered[-2], 0.0, 0.95))


def _body_axis(motion: Motion, roles: HasChains, positions: Array, legs: list[list[int]]) -> Array:
    """(F, 3) unit vectors from feet to head, from feet to hips for four legs, from root to head or tip without legs."""
    names = roles.chains
    middle = next((motion.skeleton.index(names[r][-1]) for r in ("head", "neck", "spine") if names.get(r)), None)
    if not legs:
        return unit(positions[:, middle if middle is not None else -1] - positions[:, 0])
    feet = np.mean([positions[:, leg[2]] for leg in legs], axis=0)
    if middle is None or "left_foreleg" in names or "right_foreleg" in names:
        return unit(np.mean([positions[:, leg[0]] for leg in legs], axis=0) - feet)
    return unit(positions[:, middle] - feet)


def _floor(motion: Motion, size: float) -> Array:
    """(3,) share of the frames in which the lowest point along each axis rests at the usual lowest level."""
    if len(motion) < FEWEST_FRAMES:
        return np.zeros(3)
    rows = np.unique(np.linspace(0, len(motion) - 2, FLOOR_FRAMES).astype(int))
    both = np.concatenate([rows, rows + 1])
    translations = None if motion.translations is None else motion.translations[both]
    some = replace(
        motion, root_positions=motion.root_positions[both], rotations=motion.rotations[both], translations=translations
    )
    now, after = np.split(some.forward()[0], 2)
    out = np.zeros(3)
    for axis in range(3):
        lowest = now[..., axis].argmin(axis=1)
        at = np.arange(len(rows)), lowest
        level = now[(*at, axis)]
        speed = np.linalg.norm(after[at] - now[at], axis=-1) * motion.fps / size
        near = np.abs(level - np.percentile(level, 10)) < FLOOR_BAND * size
        out[axis] = np.mean(near & (speed < FLOOR_SPEED))
    return out


def _rest_axis(motion: Motion, roles: HasChains, legs: list[list[int]]) -> Array:
    """(3,) feet → head of the rest pose where it is a standing body; else zero."""
    if not legs:
        return np.zeros(3)
    rest = replace(
        motion,
        root_positions=motion.root_positions[:1],
        rotations=np.tile(rotation.IDENTITY, (1, len(motion.skeleton), 1)),
        translations=None,
    )
    positions = rest.forward()[0]
    axis = _body_axis(motion, roles, positions, legs)[0]
    over = unit(np.mean([positions[0, leg[0]] - positions[0, leg[2]] for leg in legs], axis=0))
    return axis if axis @ over > REST_UPRIGHT else np.zeros(3)
