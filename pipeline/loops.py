"""A looping source with its neighbouring cycles around it, so that contacts and solve see no end where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from motion import rotation
from motion.clip import CycleOffset, JointSpec, Layout, Trajectory
from motion.motion import Motion
from pipeline.phase import seam

CONTEXT = 1.0
"""seconds of the neighbouring cycles on each side, at most one cycle"""
SEAM = 2.0
"""A source whose wrap is a longer step than this times its neighbours' only claims to be a cycle: to join it would invent
motion, which is left to `pipeline.phase` once the feet are known."""
FADE = 0.3
"""seconds at each end of a cycle over which what differs between its ends is shared out"""
STRAIGHT = np.deg2rad(10.0)
"""a cycle that turns less goes straight on, as in `pipeline.phase` for a source that is one cycle"""


@dataclass(frozen=True, slots=True, eq=False)
class Surrounded:
    """A motion between parts of its own neighbouring cycles."""

    motion: Motion
    pad: int
    """frames before and after the motion itself; 0 where it does not repeat"""

    def middle(self, trajectory: Trajectory) -> Trajectory:
        """The part of a trajectory of `motion` that belongs to the motion itself, beginning at the origin."""
        if self.pad == 0:
            return trajectory
        own = slice(self.pad, len(self.motion) - self.pad)
        qpos = trajectory.qpos[own].copy()
        qpos[:, :2] -= qpos[0, :2]
        return replace(
            trajectory, qpos=qpos, contacts={link: flags[own] for link, flags in trajectory.contacts.items()}
        )


def surround(motion: Motion) -> Surrounded:
    """Put parts of the cycles before and after around a standardised motion that is one cycle and joins on to itself.

    Its last frame is the first one of the next cycle; what differs between them is closed. A motion that does not loop, or
    whose own seam is a jump, is left as it is.
    """
    count = len(motion) - 1
    if not motion.loop or count < 4:
        return Surrounded(motion, 0)
    offset = cycle_offset(motion)
    layout, qpos = as_qpos(motion)
    if seam(layout, qpos[:-1], offset).step > SEAM:
        return Surrounded(motion, 0)
    motion = joined(motion, offset)
    qpos = as_qpos(motion)[1]
    pad = min(count, round(CONTEXT * motion.fps))
    cycle, at = np.divmod(np.arange(-pad, count + 1 + pad), count)
    root = offset.apply(qpos[at, :7], cycle)
    rotations = motion.rotations[at].copy()
    rotations[:, 0] = root[:, 3:]
    moved = replace(
        motion,
        root_positions=root[:, :3],
        rotations=rotation.continuous(rotations),
        translations=None if motion.translations is None else motion.translations[at],
    )
    return Surrounded(moved, pad)


def joined(motion: Motion, offset: CycleOffset) -> Motion:
    """A looping motion whose last frame is its first one moved on: what differs is shared out near the two ends."""
    layout, qpos = as_qpos(motion)
    gap = layout.difference(offset.apply(qpos[:1]), qpos[-1:])[0]
    fade = max(min(FADE * motion.fps, 0.5 * len(motion)), 1.0)
    away = np.clip(np.arange(len(motion)) / fade, 0.0, 1.0)
    share = 0.5 * (1.0 - away) ** 2 * (1.0 + 2.0 * away)
    qpos = layout.integrate(qpos, (share - share[::-1])[:, None] * gap)
    joints = [j for j in range(1, len(motion.skeleton)) if not motion.skeleton.is_end[j]]
    rotations = motion.rotations.copy()
    rotations[:, 0] = qpos[:, 3:7]
    rotations[:, joints] = qpos[:, 7:].reshape(len(motion), len(joints), 4)
    return replace(motion, root_positions=qpos[:, :3], rotations=rotation.continuous(rotations))


def cycle_offset(motion: Motion) -> CycleOffset:
    """How the root moves on from a looping motion's first frame to its last, on level ground."""
    turn = rotation.multiply(motion.rotations[-1, 0], rotation.conjugate(motion.rotations[0, 0]))
    yaw = float(rotation.yaw(turn))
    yaw = yaw if abs(yaw) >= STRAIGHT else 0.0
    shift = motion.root_positions[-1] - rotation.rotate(rotation.from_yaw(yaw), motion.root_positions[0])
    return CycleOffset(shift * np.array([1.0, 1.0, 0.0]), yaw)


def as_qpos(motion: Motion) -> tuple[Layout, np.ndarray]:
    """A motion's joints as ball joints: their layout and qpos (T, nq)."""
    joints = [j for j in range(1, len(motion.skeleton)) if not motion.skeleton.is_end[j]]
    layout = Layout(tuple(JointSpec(motion.skeleton.names[j], "ball") for j in joints))
    balls = motion.rotations[:, joints].reshape(len(motion), -1)
    return layout, np.concatenate([motion.root_positions, motion.rotations[:, 0], balls], axis=1)
