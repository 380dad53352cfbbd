"""From a trajectory to a phase-normalised clip: choose the cycle, close its seam, sample it uniformly.

A cycle's root moves on by `CycleOffset`; what else differs between its two ends is closed in the tangent space of the
pose: the pose mismatch is spread evenly over the cycle, the velocity mismatch fades out near the ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline

from characters import kinematics
from characters.character import Character
from motion import rotation
from motion.clip import NO_OFFSET, Clip, CycleOffset, Layout, Trajectory
from motion.cycle import Cycle, find_cycles, pose_features
from motion.errors import InputError
from motion.rotation import Array


@dataclass(frozen=True, slots=True)
class PhaseSettings:
    """How a cycle is cut and closed."""

    least_rate: float = 120.0
    """samples per second of a clip from a slow source"""
    most_rate: float = 120.0
    """samples per second of a clip from a fast one"""
    straight: float = np.deg2rad(5.0)
    """radians; a cycle that turns less is meant to go straight on; twice this for a clip that is one cycle, whose ends
    were joined by hand, where a cycle within a longer clip has its turn measured between like moments"""
    fade: float = 0.15
    """seconds over which a velocity mismatch fades out at each end, at most a quarter of the cycle"""


@dataclass(frozen=True, slots=True)
class Seam:
    """How a loop goes on across its wrap, on its own samples."""

    step: float
    """the step across the wrap over the mean of the steps before and after"""
    velocity: float
    """the larger second difference at the wrap over the clip's 95th percentile"""

    def to_json(self) -> dict[str, float]:
        """As plain numbers."""
        return {"step": round(self.step, 3), "velocity": round(self.velocity, 3)}


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """What was chosen and why."""

    loop: bool
    reason: str
    """one sentence"""
    start: float
    """seconds into the trajectory"""
    stop: float
    """seconds; of a loop, the pose here is the first one of the next cycle"""
    seam_before: Seam | None = None
    """of a loop as cut"""
    seam_after: Seam | None = None
    """of the clip"""
    cycle_offset: CycleOffset = NO_OFFSET
    candidates: tuple[Cycle, ...] = field(default=())
    """best first; empty where none were looked for"""

    @property
    def period(self) -> float:
        """Seconds of one cycle, or of the whole one-shot."""
        return self.stop - self.start

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and strings."""
        return {
            "loop": self.loop,
            "reason": self.reason,
            "start": round(self.start, 4),
            "stop": round(self.stop, 4),
            "period": round(self.period, 4),
            "seam_before": None if self.seam_before is None else self.seam_before.to_json(),
            "seam_after": None if self.seam_after is None else self.seam_after.to_json(),
            "yaw_deg": round(float(np.rad2deg(self.cycle_offset.yaw)), 2),
            "translation": self.cycle_offset.translation.round(4).tolist(),
            "candidates": [cycle.to_json() for cycle in self.candidates],
        }


def phase(
    trajectory: Trajectory,
    character: Character,
    *,
    loop: bool | None = None,
    cycle: tuple[float, float] | None = None,
    rate: float | None = None,
    refine: Callable[[Clip], Clip] | None = None,
    settings: PhaseSettings | None = None,
) -> tuple[Clip, PhaseReport]:
    """Make a clip of a trajectory.

    Args:
        loop: True makes a loop, of the whole trajectory where no cycle is found; False a one-shot; None goes by what
            the source says and, if it says nothing, by the cycles found.
        cycle: seconds (A, B): loop this stretch; the pose at B is the first one of the next cycle.
        rate: samples per second; by default the trajectory's, kept between `PhaseSettings.least_rate` and `most_rate`.
        refine: applied to the clip, to put the contacts right that closing and resampling moved.

    Raises:
        InputError: a cycle outside the trajectory or too short; a cycle and ``loop=False``; a loop of under four frames.
    """
    settings = settings or PhaseSettings()
    rate = rate or float(np.clip(trajectory.fps, settings.least_rate, settings.most_rate))
    cut, reason, candidates = _choose(trajectory, character, loop, cycle)
    if cut is None:
        clip, offset, before = _one_shot(trajectory, rate), NO_OFFSET, None
    else:
        clip, before = _closed(trajectory, cut, rate, settings)
        offset = clip.cycle_offset
    clip = clip if refine is None else refine(clip)
    start, stop = cut or (0.0, clip.duration)
    after = None if before is None else seam(clip.layout, clip.qpos, offset)
    report = PhaseReport(cut is not None, reason, start, stop, before, after, offset, candidates)
    return clip, report


def seam(layout: Layout, qpos: Array, offset: CycleOffset) -> Seam:
    """Seam of a loop's samples (P, nq), which the offset carries on to the next cycle.

    A pose's size is the norm of `Layout.difference`: radians, and metres of the root.
    """
    steps = layout.difference(qpos, np.concatenate([qpos[1:], offset.apply(qpos[:1])]))
    steps = np.concatenate([steps, layout.difference(offset.apply(qpos[:1]), offset.apply(qpos[1:2]))])
    size, second = np.linalg.norm(steps, axis=1), np.linalg.norm(np.diff(steps, axis=0), axis=1)
    usual = 0.5 * (size[-3] + size[-1])
    p95 = float(np.percentile(second[:-2], 95))
    return Seam(float(size[-2] / max(usual, 1e-9)), float(second[-2:].max() / max(p95, 1e-9)))


def _choose(
    trajectory: Trajectory, character: Character, loop: bool | None, cycle: tuple[float, float] | None
) -> tuple[tuple[float, float] | None, str, tuple[Cycle, ...]]:
    """The stretch to loop (seconds) or None for a one-shot, why, and the candidates."""
    whole, frames = (0.0, trajectory.duration), len(trajectory.qpos)
    if cycle is not None:
        if loop is False:
            raise InputError(
                "expected a cycle or no loop, found both", where=trajectory.name, hint="drop --cycle or --no-loop"
            )
        start, stop = cycle
        if not (0.0 <= start < stop <= trajectory.duration + 0.5 / trajectory.fps):
            raise InputError(
                f"expected a cycle within 0:{trajectory.duration:.3f} s, found {start:g}:{stop:g}",
                where=trajectory.name,
            )
        if (stop - start) * trajectory.fps < 3:
            raise InputError(
                f"expected a cycle of at least 3 frames, found {start:g}:{stop:g} s", where=trajectory.name
            )
        return (start, min(stop, trajectory.duration)), f"looped from {start:g} to {stop:g} s as asked", ()
    if loop is False:
        return None, "kept as a one-shot as asked", ()
    if loop and frames < 4:
        raise InputError(f"expected at least 4 frames to loop, found {frames}", where=trajectory.name)
    if loop is None and trajectory.loop is False:
        return None, "kept as a one-shot: its source says that it does not loop", ()
    if trajectory.loop and frames >= 4:
        return whole, "looped as a whole: its source says that it is one cycle", ()
    positions = kinematics.forward(character, trajectory.qpos).positions
    features = pose_features(positions, trajectory.qpos[:, 3:7], trajectory.fps)
    candidates = tuple(find_cycles(features, trajectory.contacts, trajectory.fps))
    if candidates and candidates[0].rejected is None:
        best = candidates[0]
        reason = (
            f"cycle of {best.period:.2f} s by {best.evidence}: it has a seam of {best.seam:.2f} "
            f"and explains {best.coverage:.0%} of the moving frames"
        )
        return (best.start, best.stop), reason, candidates
    why = (
        f"the best candidate, {candidates[0].period:.2f} s, has {candidates[0].rejected}"
        if candidates
        else "nothing repeats"
    )
    if loop:
        return whole, f"looped as a whole as asked; no cycle was found: {why}", candidates
    return None, f"kept as a one-shot: no cycle was found: {why}", candidates


class _Curve:
    """A trajectory as a twice continuously differentiable curve through its frames."""

    def __init__(self, trajectory: Trajectory):
        self.layout, self.fps = trajectory.layout, trajectory.fps
        self.duration = trajectory.duration
        frames = self.layout.continuous(trajectory.qpos)
        self.spline = CubicSpline(np.arange(len(frames)) / self.fps, frames) if len(frames) > 1 else None
        self.frames = frames

    def at(self, seconds: Array) -> Array:
        """qpos (N, nq); quaternions are splined as numbers and normalised."""
        if self.spline is None:
            return np.repeat(self.frames, len(seconds), axis=0)
        qpos = self.spline(np.clip(seconds, 0.0, self.duration))
        index = self.layout.quaternions[:, None] + np.arange(4)
        qpos[:, index] = rotation.normalize(qpos[:, index])
        return qpos

    def velocity(self, seconds: float, step: float) -> Array:
        """Time derivative (nv,): central, or from one side where the trajectory ends, both of second order."""
        before, after = seconds - step >= -1e-9, seconds + step <= self.duration + 1e-9
        way = step if after or not before else -step
        here, near, far = self.at(np.array([seconds, seconds + way, seconds + 2 * way]))[:, None]
        if before and after:
            back = self.at(np.array([seconds - step]))
            return self.layout.difference(back, near)[0] / (2 * step)
        return (4 * self.layout.difference(here, near) - self.layout.difference(here, far))[0] / (2 * way)


def _closed(
    trajectory: Trajectory, cut: tuple[float, float], rate: float, settings: PhaseSettings
) -> tuple[Clip, Seam]:
    """The stretch as a closed loop, and the seam it had as cut."""
    layout, curve = trajectory.layout, _Curve(trajectory)
    period = cut[1] - cut[0]
    count = max(int(np.ceil(period * rate - 1e-6)), 4)
    share = np.arange(count + 1) / count
    times = cut[0] + share * period
    qpos = curve.at(times)
    qpos[:, :2] -= qpos[0, :2]
    whole = period > trajectory.duration - 1.5 / trajectory.fps
    offset = _cycle_offset(qpos[0], qpos[-1], settings.straight * (2.0 if whole else 1.0))
    before = seam(layout, qpos[:-1], offset)
    step = min(max(1.0 / trajectory.fps, 1.0 / settings.most_rate), period / 8)
    speeds = curve.velocity(cut[0], step), curve.velocity(cut[1], step)
    qpos = _close(layout, qpos, *speeds, offset, share * period, min(settings.fade, period / 4))
    qpos = layout.continuous(qpos[:-1])
    around = np.concatenate([offset.apply(qpos[-1:], -1), offset.apply(qpos[:1])])
    clip = Clip(
        name=trajectory.name,
        character=trajectory.character,
        loop=True,
        duration=period,
        joints=trajectory.joints,
        phase=share[:-1],
        qpos=qpos,
        qvel=layout.velocities(qpos, period / count, after=around),
        contacts=_contacts(trajectory, times[:-1]),
        cycle_offset=offset,
        provenance=trajectory.provenance,
        quality=trajectory.quality,
    )
    return clip, before


def _cycle_offset(first: Array, last: Array, straight: float) -> CycleOffset:
    """Turn about z and translation in the plane that bring the first pose (nq,) nearest to the last."""
    turn = rotation.multiply(last[3:7], rotation.conjugate(first[3:7]))
    yaw = float(rotation.yaw(turn))
    yaw = 0.0 if abs(yaw) < straight else yaw
    translation = last[:3] - rotation.rotate(rotation.from_yaw(np.float64(yaw)), first[:3])
    translation[2] = 0.0
    return CycleOffset(translation, yaw)


def _close(
    layout: Layout, qpos: Array, start: Array, stop: Array, offset: CycleOffset, times: Array, fade: float
) -> Array:
    """Samples (P + 1, nq) changed so that the last one is the first of the next cycle, and so is its velocity.

    With Δ from the moved first pose to the last, a correction runs evenly from Δ/2 to −Δ/2; its velocity is the same at
    both ends. A second one, zero at the ends, takes half of what is then left between the velocities off each, by
    cubics that vanish within ``fade`` seconds.

    Args:
        start: (nv,) velocity at the first sample; ``stop`` at the last.
        times: (P + 1,) seconds from the first sample.
    """
    gap = layout.difference(offset.apply(qpos[:1]), qpos[-1:])[0]
    qpos = layout.integrate(qpos, (0.5 - times / times[-1])[:, None] * gap)
    start, stop = _turned(layout, start, 0.5 * gap), _turned(layout, stop, -0.5 * gap)
    onward = rotation.from_yaw(np.float64(offset.yaw))
    start[:3] = rotation.rotate(onward, start[:3])
    late = stop - start
    early = late.copy()
    early[:3] = rotation.rotate(rotation.conjugate(onward), late[:3])

    def cubic(away: Array) -> Array:
        return np.where(away < fade, 0.5 * away * (1.0 - away / fade) ** 2, 0.0)[:, None]

    return layout.integrate(qpos, cubic(times) * early + cubic(times[-1] - times) * late)


def _turned(layout: Layout, velocity: Array, tangent: Array) -> Array:
    """A velocity (nv,) in the frames of a pose that moves on by a tangent (nv,)."""
    out, index = velocity.copy(), layout.quaternion_dofs[:, None] + np.arange(3)
    out[index] = rotation.rotate(rotation.conjugate(rotation.exp(tangent[index])), velocity[index])
    return out


def _contacts(trajectory: Trajectory, times: Array) -> dict[str, np.ndarray]:
    """Contacts at times (N,): those of a frame; between frames only where both stand, as the foot still moves otherwise."""
    at, last = times * trajectory.fps, len(trajectory.qpos) - 1
    before = np.clip(np.floor(at + 1e-6).astype(int), 0, last)
    after = np.clip(np.ceil(at - 1e-6).astype(int), 0, last)
    flags = {link: np.asarray(f, dtype=bool) for link, f in trajectory.contacts.items()}
    return {link: f[before] & f[after] for link, f in flags.items()}


def _one_shot(trajectory: Trajectory, rate: float) -> Clip:
    """The whole trajectory, uniformly sampled."""
    if len(trajectory.qpos) < 2:
        raise InputError(
            "expected a motion of at least two frames, found a single pose",
            where=trajectory.name,
            hint="inspect and map show what a pose can tell",
        )
    count = max(round(trajectory.duration * rate), 1)
    times = np.linspace(0.0, trajectory.duration, count + 1)
    qpos = trajectory.layout.continuous(_Curve(trajectory).at(times))
    qpos[:, :2] -= qpos[0, :2]
    return Clip(
        name=trajectory.name,
        character=trajectory.character,
        loop=False,
        duration=trajectory.duration,
        joints=trajectory.joints,
        phase=np.arange(count + 1) / count,
        qpos=qpos,
        qvel=trajectory.layout.velocities(qpos, trajectory.duration / count),
        contacts=_contacts(trajectory, times),
        cycle_offset=NO_OFFSET,
        provenance=trajectory.provenance,
        quality=trajectory.quality,
    )
