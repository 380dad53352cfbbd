"""Mending what capture and conversion leave behind, on a standardised motion; every mend says what it did.

Each mend is a function ``Motion → (Motion, sentences)``: where nothing is wrong it returns the very motion it was given
and no sentence. `clean` runs them in an order in which none undoes another, so cleaning twice changes nothing more.
Left alone on purpose: fast motion, impacts, and a loop's difference between its last and first pose (`pipeline.phase`
closes it) unless a joint pops there. The pops themselves are found and mended in `pipeline.pops`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from motion import contacts, rotation
from motion.contacts import HasChains
from motion.motion import Motion
from motion.rotation import Array
from pipeline import halfturns, pops

Mended = tuple[Motion, tuple[str, ...]]

UNIT_TOLERANCE = 1e-6
"""Norms off by more than this are mended; less is rounding."""
CALIBRATION_SECONDS = 0.15
"""A calibration pose at the start is left, blended or not, within this time (and 3 frames)."""
CALIBRATION_TRAVEL = 0.07
"""Leaving it moves the joints by this share of the body's reach on average …"""
CALIBRATION_RATIO = 4.0
"""… and this many times faster than anything in the next `SETTLED_SECONDS`."""
SETTLED_SECONDS = 0.25
FLOOR_TOLERANCE = 1e-3
"""metres; the ground is not moved by less"""


def clean(motion: Motion, roles: HasChains) -> Mended:
    """Mend a standardised motion (metres, z-up).

    Args:
        roles: `motion.roles.Roles`; feet, hands and knees are taken from its ``chains``.

    Returns:
        The mended motion, its provenance naming the mends under ``"cleaned"``, and one sentence a mend.
    """
    done: tuple[str, ...] = ()
    for mend in (unit_quaternions, drop_calibration, halfturns.mend_half_turns, pops.mend_spikes, pops.mend_pops):
        motion, said = mend(motion)
        done += said
    motion, said = ground(motion, roles)
    done += said
    if not done:
        return motion, ()
    before = tuple(motion.provenance.get("cleaned", ()))
    return replace(motion, provenance={**motion.provenance, "cleaned": [*before, *done]}), done


def unit_quaternions(motion: Motion) -> Mended:
    """Make quaternions unit and sign-continuous in time."""
    error = np.abs(np.linalg.norm(motion.rotations, axis=-1) - 1.0)
    dots = np.einsum("tji,tji->tj", motion.rotations[1:], motion.rotations[:-1])
    flips = np.count_nonzero((dots < 0.0).any(axis=1))
    said = []
    rotations = motion.rotations
    if error.max() > UNIT_TOLERANCE:
        frame, joint = np.unravel_index(error.argmax(), error.shape)
        said.append(
            f"normalised {np.count_nonzero((error > UNIT_TOLERANCE).any(axis=1))} frames of quaternions, "
            f"the worst off by {error.max():.3g} ({motion.skeleton.names[joint]}, frame {frame})"
        )
        rotations = rotation.normalize(rotations)
    if flips:
        said.append(f"made the signs of quaternions continuous at {flips} frames")
        rotations = rotation.continuous(rotations)
    return (replace(motion, rotations=rotations), tuple(said)) if said else (motion, ())


def calibration_frames(motion: Motion) -> int:
    """How many frames at the start belong to a T- or A-pose from which the motion jumps, 0 for most files.

    Converters put one calibration frame before a take; smoothing exporters blend it into the first few. The posture
    (joint positions in the root's frame) then moves a long way within `CALIBRATION_SECONDS` and is calm afterwards.
    """
    lead = max(round(CALIBRATION_SECONDS * motion.fps), 3)
    settled = max(round(SETTLED_SECONDS * motion.fps), 3)
    if len(motion) < lead + 2:
        return 0
    positions, rotations = motion.slice(0, min(len(motion), lead + settled + 1)).forward()
    posture = rotation.rotate(rotation.conjugate(rotations[:, :1]), positions - positions[:, :1])
    step = np.linalg.norm(np.diff(posture, axis=0), axis=-1).mean(axis=1) / max(_reach(motion), 1e-9)
    calm = step[lead:].max()
    burst = np.flatnonzero(step[:lead] > 2.0 * calm)
    if len(burst) == 0:
        return 0
    count = int(burst[-1]) + 1
    left = np.linalg.norm(posture[count] - posture[0], axis=-1).mean() / max(_reach(motion), 1e-9)
    return count if left > CALIBRATION_TRAVEL and step[:count].max() > CALIBRATION_RATIO * calm else 0


def drop_calibration(motion: Motion) -> Mended:
    """Drop the frames `calibration_frames` finds."""
    count = calibration_frames(motion)
    if count == 0:
        return motion, ()
    kept = replace(motion.slice(count, len(motion)), loop=motion.loop)
    plural = "" if count == 1 else "s"
    return kept, (f"dropped {count} calibration frame{plural} at the start, from which the motion jumps",)


def ground(motion: Motion, roles: HasChains) -> Mended:
    """Move the motion up or down by one constant, so that the ground its stances show (`motion.contacts`) is z = 0.

    A ground that drifts in time (video-made clips, slopes) keeps its drift about that level, or cleaning would turn stairs
    into a plane unasked; retargeting follows `motion.contacts.Contacts.level`. Flight keeps its height.
    """
    level = contacts.detect(motion, roles).ground
    if abs(level) < FLOOR_TOLERANCE:
        return motion, ()
    way = "raised" if level < 0 else "lowered"
    said = f"{way} the clip by {1000 * abs(level):.0f} mm so that the ground its stances show is z = 0"
    return replace(motion, root_positions=motion.root_positions - np.array([0.0, 0.0, level])), (said,)


def _reach(motion: Motion) -> float:
    """Longest way along the bones from the root to any joint, metres."""
    length = np.linalg.norm(motion.skeleton.offsets, axis=-1)
    if motion.translations is not None:
        length = np.linalg.norm(motion.translations, axis=-1).max(axis=0)
    total: Array = np.zeros(len(length))
    for joint in range(1, len(length)):
        total[joint] = total[motion.skeleton.parents[joint]] + length[joint]
    return float(total.max())
