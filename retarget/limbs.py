"""How a limb bends: the axis of its middle joint, found in the motion, and two bones that reach a point."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

from motion import rotation
from motion.rotation import Array

FORWARD, LEFT, UP = np.eye(3)
CARRIED = 0.05
"""Weight of the axis carried by the upper segment's rotation beside 1 for the plane of a well bent limb."""
AXIS_TIME = 0.04
"""seconds over which the flexion axis is smoothed"""
FIRM = 0.1
"""Mean sine of a bend that is no noise, though the rest pose would have it the other way."""
STRETCH = 0.998
"""share of its length a leg is stretched to"""
STRAIGHT = 0.15
"""Sine of the bend below which a knee or elbow says nothing about its axis."""


def flexion_in_reference(direction: Array, toward: Array) -> Array:
    """Axis about which a limb pointing along ``direction`` (3,) bends ``toward`` (3,)."""
    axis = np.cross(direction, toward)
    if np.linalg.norm(axis) < 0.2:
        axis = np.cross(direction, UP)
    return rotation.unit(axis)


def flexion_axis(upper: Array, directions: tuple[Array, Array], prior: Array, sideways: Array | None = None) -> Array:
    """The axis about which a limb bends, in its upper segment's frame.

    Args:
        upper: (T, 4) world rotation of the upper segment.
        directions: (T, 3) each, world directions of upper and lower segment.
        prior: (3,) the anatomical guess in the upper segment's frame, used as far as the limb stays straight.
        sideways: (T, 3) or None. World direction about which the limb bends in nature, if there is one (knees: to the
            left): a bend the other way is a wrong left/right.

    Returns:
        (3,) unit axis; turning the upper direction about it by a positive angle gives the bent lower one.
    """
    bend = np.cross(*directions)
    sine = np.linalg.norm(bend, axis=-1)
    bend = np.where((sine > STRAIGHT)[:, None], bend, 0.0)
    local = rotation.rotate(rotation.conjugate(upper), bend)
    total = local.mean(axis=0) + 0.02 * prior
    if total @ prior < -0.2 * np.linalg.norm(total):  # against the rest pose: noise, or the files' roll is not its
        natural = sideways is None or np.einsum("ti,ti->t", bend, sideways).mean() > 0
        if np.linalg.norm(total) < FIRM or not natural:
            total = prior
    return rotation.unit(total)


def steady_axis(carried: Array, directions: tuple[Array, Array], fps: float) -> Array:
    """The flexion axis in the world over time: the limb's own plane where it bends, the carried axis where it is straight.

    Mocap flips or shakes the turn about a straight limb, which no eye sees; a hinge would swing the whole limb by it.

    Args:
        carried: (T, 3) the axis as the upper segment's rotation carries it.
        directions: (T, 3) each, world directions of upper and lower segment.

    Returns:
        (T, 3) the smoothest axis near both (‖ä‖² penalised), not normalised, not exactly perpendicular to the bone.
    """
    frames = len(carried)
    plane = np.cross(*directions)
    sine = np.linalg.norm(plane, axis=-1)
    plane = plane / np.maximum(sine, 1e-9)[:, None]
    jumps = np.concatenate([[1.0], np.where(np.einsum("ti,ti->t", carried[1:], carried[:-1]) < 0, -1.0, 1.0)])
    sign = np.cumprod(jumps)
    carried = carried * (sign if sign.sum() >= 0 else -sign)[:, None]  # a flip is a glitch; most frames are right
    bent = np.clip(sine / np.sin(np.deg2rad(40.0)), 0.0, 1.0) ** 2
    if frames < 5:
        return carried + bent[:, None] * plane
    weight = bent * (np.einsum("ti,ti->t", plane, carried) > -0.5) + CARRIED
    goal = ((weight - CARRIED)[:, None] * plane + CARRIED * carried) / weight[:, None]
    stiff = (AXIS_TIME * fps) ** 4 * CARRIED
    bands = np.zeros((3, frames))
    bands[0] = weight
    bands[0, :-2] += stiff
    bands[0, 1:-1] += 4 * stiff
    bands[0, 2:] += stiff
    bands[1, :-2] -= 2 * stiff
    bands[1, 1:-1] -= 2 * stiff
    bands[2, :-2] += stiff
    return solveh_banded(bands, weight[:, None] * goal, lower=True)


def limb_frame(direction: Array, axis: Array) -> Array:
    """Rotation ``(…, 4)`` of the frame with x along the bone and z nearest to the flexion axis."""
    return rotation.from_frame(direction, axis)


def natural_bend(role: str) -> Array:
    """Which way, in a standing body, a limb's middle joint bends: knees backward, elbows forward."""
    return -FORWARD if role.endswith("leg") and not role.endswith("foreleg") else FORWARD


def two_bone(step: Array, upper: float, lower: float, axis: Array) -> tuple[Array, Array]:
    """Directions ``(T, 3)`` of two segments of lengths ``upper`` and ``lower`` that lead along ``step`` ``(T, 3)``.

    They bend about ``axis`` ``(T, 3)`` (positive from the upper to the lower one); what is out of reach is pointed at.
    """
    way = rotation.unit(step)
    reach = np.clip(np.linalg.norm(step, axis=-1), abs(upper - lower) + 1e-6, STRETCH * (upper + lower))
    normal = rotation.unit(axis - np.einsum("ti,ti->t", axis, way)[:, None] * way)
    cosine = (upper**2 + reach**2 - lower**2) / (2 * upper * reach)
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    first = rotation.rotate(rotation.from_axis_angle(normal, -angle), way)
    return first, rotation.unit(reach[:, None] * way - upper * first)
