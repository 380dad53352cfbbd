"""How much of the source is left in a clip: what `retarget.quality` measures beside the source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt

from characters import kinematics
from characters.character import Character
from motion import contacts, rotation
from motion.clip import Clip, Trajectory
from motion.errors import InputError
from motion.motion import Motion
from motion.rotation import Array
from retarget.measures import Measure, Measures, unmeasured
from retarget.sampled import Sampled

JERK_RATE, JERK_CUTOFF, JERK_ORDER = 60, 10.0, 4
"""Hz, Hz, order of the Butterworth low-pass (run both ways)."""
JERK_FPS = 29.5
"""Sources slower than 30 frames/s (but for rounding in the file) do not hold a jerk."""
SHORTEST = 0.5
"""Seconds below which airborne share, skate and jerk are not measured."""
SKATE_HEIGHT = 0.025
"""Metres at which a foot's speed no longer counts as skating."""
COMPARABLE = np.deg2rad(35.0)
"""Trunks whose rest directions differ by more rest in different poses: then there is no offset to remove."""
SIDE_MARGIN = np.deg2rad(5.0)
"""A pair of limbs tells left from right only if its two sides differ by this on average."""
TRAVEL_WINDOW, TRAVEL = 0.5, 0.2
"""Direction of travel is compared over windows of this many seconds in which the body moves at least this far (m)."""

Roles = contacts.HasChains


@dataclass(frozen=True, eq=False)
class _Side:
    """The body or the source: points by role at the times of the resampled clip."""

    chains: dict[str, Array]
    """role → (count, n, 3) the chain's joints from the root outward, then the point that ends it if there is one"""
    root: Array
    """(count, 3)"""
    rest: dict[str, Array]
    """role → (n, 3) the same at rest"""

    def middle(self, limb: str, *, rest: bool = False) -> Array | None:
        """Half-way between where the left and the right limb begin."""
        chains = self.rest if rest else self.chains
        left, right = chains.get(f"left_{limb}"), chains.get(f"right_{limb}")
        return None if left is None or right is None else 0.5 * (left[..., 0, :] + right[..., 0, :])

    def across(self, limb: str, *, rest: bool = False) -> Array:
        """From where the right limb begins to where the left one does."""
        chains = self.rest if rest else self.chains
        return chains[f"left_{limb}"][..., 0, :] - chains[f"right_{limb}"][..., 0, :]

    @cached_property
    def size(self) -> float:
        """Leg (both its segments) plus trunk, metres: what lengths are divided by, taken the same way on body and source."""
        trunk = self.trunk(rest=False)
        return self.leg + (0.0 if trunk is None else float(np.median(np.linalg.norm(trunk, axis=-1))))

    @cached_property
    def leg(self) -> float:
        """Hip to knee to ankle, mean of all legs, metres; 0 without legs."""
        legs = [c for role, c in self.chains.items() if role.endswith("_leg") and c.shape[1] >= 3]
        return (
            float(np.mean([np.linalg.norm(np.diff(leg[:, :3], axis=1), axis=-1).sum(axis=1).mean() for leg in legs]))
            if legs
            else 0.0
        )

    def trunk(self, *, rest: bool) -> Array | None:
        """From between the hips to between the shoulders."""
        hips, shoulders = self.middle("leg", rest=rest), self.middle("arm", rest=rest)
        return None if hips is None or shoulders is None else shoulders - hips


def fidelity(
    clip: Clip | Trajectory | Sampled,
    character: Character,
    source: Motion,
    roles: Roles,
    *,
    interval: tuple[float, float] | None = None,
    yaw: float = 0.0,
) -> Measures:
    """Measure a clip beside its source.

    - ``airborne_error``: percentage points between the shares of time in which nothing touches the ground (source: no joint or end
      site within 3 cm of its own resting height, `motion.contacts`).
    - ``skate`` (cm/s; ``reference`` the source's): horizontal speed × clip(2 − 2^(h / 2.5 cm), 0, 1), mean over feet and frames,
      whatever the flags say. h is the height of the foot's lowest point; the source's foot is the lowest of ankle, toes and their end
      sites, each lowered by its own resting height, and its speeds and heights are scaled by leg length.
    - ``direction_error_deg`` (mean over segments and frames): angle between the directions, in the world, of hip→knee, knee→ankle,
      shoulder→elbow, elbow→wrist on body and source. A retarget aligns rest poses by bone directions, so at the matched rest
      both are equal and limbs need no correction; correcting them by the two files' rest poses would count a T- against an
      A-pose as an error. The trunk (between the hips → between the shoulders) is compared relative to its rest direction: the
      source's rest direction is carried along in the body's trunk frame (z along the trunk, y from right to left hip), unless
      the two rest directions are more than 35° apart.
    - ``jerk_ratio``: root mean square third difference at 60 Hz after a 10 Hz low-pass, over leg plus trunk length, of pelvis, head,
      hands and feet together, body over source; ``where`` is the point with the largest ratio of its own.
    - ``side``: the smaller of two shares: of frames in which the line from right to left hips (and shoulders) points to the source's
      side, and of limb pairs that are nearer in direction to the source's limb of their own side than to the other's. Pairs whose
      two sides hardly differ do not vote.
    - ``heading_error_deg``: angle between the root's horizontal displacements on body and source over half-second windows, weighted
      by the way travelled.
    - ``source_joint_speed`` (rad/s): the fastest joint of the source; what it does is allowed to the body.

    Args:
        clip: of ``character``.
        source: standardised (metres, z-up) and cleaned: what was retargeted.
        roles: of the source's joints.
        interval: seconds of the source the clip covers; by default the clip's ``provenance["interval"]``, else all of it.
        yaw: radians the result was turned about z against the source.

    Raises:
        InputError: the clip is not of this body, or the interval is outside the source.
    """
    sampled = Sampled.of(clip, character)
    if interval is None and not isinstance(clip, Sampled):
        stated = clip.provenance.get("interval")
        interval = (float(stated[0]), float(stated[1])) if stated else None
    start, stop = interval or (0.0, source.duration)
    if not -1e-6 <= start < stop <= source.duration + 1.5 / source.fps:
        raise InputError(
            f"expected an interval within {source.duration:.3f} s of the source, found {start:.3f} to {stop:.3f}",
            where=source.name,
        )
    times = start + np.arange(sampled.count) * sampled.dt * (stop - start) / max(sampled.duration, 1e-9)
    body, other = _body(sampled), _source(source, roles, times, yaw)
    found = contacts.detect(source, roles)
    measures = [
        _airborne(sampled, source, found, times),
        _skate(sampled, body, other, source, roles, found, times),
        _directions(sampled, body, other),
        _jerk(sampled, body, other, source),
        _side(sampled, body, other),
        _heading(sampled, body, other),
        _source_speed(source, roles, start, stop),
    ]
    from retarget.quality import kind  # the entry point's, which imports this module

    return Measures(kind(sampled), sampled.scale, {measure.name: measure for measure in measures})
