"""Where a pose sequence repeats: candidates for the cycle of a clip, on any body.

Two sources of candidates. *Recurrence*: one period of motion is followed by a like one; its length is read from the
self-similarity of pose and velocity and from the strikes of one foot. *Closing*: the clip is a single cycle, and its end
runs on into its start. Candidates pass a gate on the seam and are then ordered by coverage, the share of the clip
that the cycle explains: the smallest seam alone finds tiny false loops. Of lengths that explain the same, the shortest
is the fundamental period.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline

from motion import rotation
from motion.rotation import Array

VELOCITY_TIME = 0.1
"""seconds; velocities times this weigh like positions"""
SEARCH_RATE = 30.0
"""frames per second of the search; seams are measured against steps of this length, whatever the clip's own rate"""
CUT_RATE = 100.0
"""frames per second at which cuts are tried; slower clips are interpolated"""
ALIKE = 0.7
"""a cycle with this share of the best one's coverage explains the clip alike"""
WORTH = 0.25
"""a closing cut may have this much more seam for keeping more of the clip"""
CALM = 0.4
"""weight of the acceleration at a cut against its seam: where everything changes, nothing joins well"""
STILL = 0.02
"""m/s, averaged over the joints: slower is standing, whatever the clip"""
KEPT = 0.98
"""share of the variance that recurrence is sought in"""
MOST_STARTS = 4000
"""starts tried for one length"""
BLUR = 0.016
"""seconds, standard deviation of the smoothing under the velocities"""


@dataclass(frozen=True, slots=True)
class CycleSettings:
    """What counts as a cycle."""

    shortest: float = 0.3
    """seconds"""
    longest: float = 6.0
    """seconds"""
    unlike: float = 0.2
    """a period followed by one this unlike it does not recur; 0 is the same, 1 is as unlike as any two frames"""
    seam: float = 1.5
    """largest seam of a cycle"""
    near: float = 0.25
    """a frame this unlike its nearest in the cycle is still explained by it"""
    coverage: float = 0.5
    """share of the moving frames that a cycle has to explain, if it recurs"""
    whole: float = 0.75
    """the same for a cycle that never recurs: the clip is that cycle"""
    moving: float = 0.3
    """frames slower than this share of the clip's 90th percentile of speed are at rest"""
    liveliness: float = 0.3
    """least variance within a cycle, over the variance of the clip's moving frames"""
    most: int = 8
    """candidates returned"""


@dataclass(frozen=True, slots=True)
class Cycle:
    """A stretch of a clip that can be repeated."""

    start: float
    """seconds from the clip's first frame"""
    stop: float
    """seconds; the pose here is the pose at the start, one cycle on"""
    period: float
    """seconds, stop − start"""
    seam: float
    """mismatch of pose or velocity between start and stop over the clip's 95th percentile of steps (second differences)
    at 30 frames per second, the larger one"""
    coverage: float
    """share of the clip's moving frames that have a like frame in the cycle"""
    unlike: float
    """of the cycle and what follows it: 0 is the same, 1 is as unlike as two frames at random; 0 for a closing cycle"""
    score: float
    """coverage, a little less for a longer period; 0 when rejected"""
    evidence: str
    """``recurrence``, ``strikes of ROLE`` or ``closing``"""
    rejected: str | None = None
    """why it is not a cycle, or None"""

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and strings."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


def pose_features(positions: Array, heading: Array, fps: float) -> Array:
    """Pose and velocity free of where the body is and where it faces.

    Args:
        positions: (T, J, 3) world positions of joints or links, metres; the first is the root.
        heading: (T,) radians, or (T, 4) root rotations, of which the yaw counts.

    Returns:
        (T, 6 J): positions relative to the root's place on the ground and its heading, then velocities there times
        `VELOCITY_TIME`, both over √J, so that the norm of a difference is a mean over the joints in metres.
    """
    frames, joints = positions.shape[:2]
    yaw = rotation.yaw(heading) if heading.ndim == 2 else heading
    back = rotation.from_yaw(-yaw)[:, None]
    smooth = ndimage.gaussian_filter1d(positions, BLUR * fps, axis=0, mode="nearest") if BLUR * fps > 0.3 else positions
    velocities = np.gradient(smooth, 1.0 / fps, axis=0) if frames > 1 else np.zeros_like(positions)
    local = smooth.copy()
    local[..., :2] -= smooth[:, :1, :2]
    parts = [rotation.rotate(back, local), VELOCITY_TIME * rotation.rotate(back, velocities)]
    return np.concatenate([part.reshape(frames, -1) for part in parts], axis=1) / np.sqrt(joints)


def find_cycles(
    features: Array, contacts: dict[str, np.ndarray], fps: float, *, settings: CycleSettings | None = None
) -> list[Cycle]:
    """Candidates for the cycle of a clip, best first; empty or all rejected when there is none.

    Args:
        features: (T, 2 F) from `pose_features`: F pose features, then F velocity features.
        contacts: foot → (T,) bool; may be empty.
    """
    settings = settings or CycleSettings()
    if len(features) < 4:
        return []
    search = _Search(features, contacts, fps, settings)
    if search.spread <= 0.0:
        return []
    return _ordered(search.recurring() + search.closing())[: settings.most]


def _ordered(cycles: list[Cycle]) -> list[Cycle]:
    """Best first; of two much alike the one with the smaller seam, of those that explain alike the shortest."""
    kept: list[Cycle] = []
    for cycle in sorted(cycles, key=lambda c: (c.rejected is not None, c.seam)):
        if not any(abs(cycle.period - other.period) < 0.06 * other.period for other in kept):
            kept.append(cycle)
    most = max((c.coverage for c in kept if c.rejected is None), default=0.0)
    return sorted(
        kept, key=lambda c: (c.rejected is not None, c.coverage < ALIKE * most, c.period if not c.rejected else c.seam)
    )


class _Search:
    """The clip at two rates: a coarse one to compare everything with everything, a fine one to cut at."""

    def __init__(self, features: Array, contacts: dict[str, np.ndarray], fps: float, settings: CycleSettings):
        self.settings = settings
        self.fine, self.fine_fps = _at_least(features, fps, CUT_RATE)
        self.stride = max(1, round(self.fine_fps / SEARCH_RATE))
        self.coarse, self.fps = self.fine[:: self.stride], self.fine_fps / self.stride
        self.width = features.shape[1] // 2
        speed = np.linalg.norm(self.fine[:, self.width :], axis=1)
        self.moving = speed > max(settings.moving * float(np.percentile(speed, 90)), STILL * VELOCITY_TIME)
        self.active = self.coarse[self.moving[:: self.stride]]
        self.spread = float(self.active.var(axis=0).sum()) if len(self.active) else 0.0
        self.compared = _principal(self.coarse, self.active)
        self.sums = np.concatenate([np.zeros((1, self.compared.shape[1])), np.cumsum(self.compared, axis=0)])
        self.squares = np.concatenate([[0.0], np.cumsum((self.compared**2).sum(axis=1))])
        self.strikes = {r: np.flatnonzero(np.diff(np.asarray(f).astype(int)) == 1) / fps for r, f in contacts.items()}
        steps = np.diff(self.coarse, axis=0) * (self.fps / SEARCH_RATE)
        self.step, self.second = (
            max(float(np.percentile(np.linalg.norm(part, axis=1), 95)), 1e-9) if len(part) else 1e-9
            for part in (steps[:, : self.width], steps[:, self.width :])
        )

        change = np.linalg.norm(np.gradient(self.fine[:, self.width :], axis=0), axis=1)
        self.hectic = CALM * change / max(float(np.percentile(change, 95)), 1e-9)

    def recurring(self) -> list[Cycle]:
        """Cycles followed by at least half of a like one: dips of unlikeness over the lag, and intervals of strikes."""
        shortest = max(2, int(np.ceil(self.settings.shortest * self.fps)))
        longest = min(int(self.settings.longest * self.fps), int(len(self.coarse) / 1.5) - 2)
        if longest <= shortest:
            return []
        lags = np.arange(shortest - 1, longest + 2)
        unlike = np.array([self._unlike(int(lag)).min() for lag in lags])
        inner = unlike[1:-1]
        dips = 1 + np.flatnonzero((inner <= unlike[:-2]) & (inner < unlike[2:]) & (inner < self.settings.unlike))
        found = {int(lags[i]): "recurrence" for i in dips}
        for role, strikes in self.strikes.items():
            gaps = np.round(np.diff(strikes) * self.fps).astype(int)
            gaps = gaps[(gaps > lags[0]) & (gaps < lags[-1])]
            if len(gaps):
                lag = int(np.median(gaps))
                if unlike[lag - lags[0]] < self.settings.unlike:
                    found.setdefault(lag, f"strikes of {role}")
        return [self._recurring_at(lag, evidence) for lag, evidence in found.items()]

    def closing(self) -> list[Cycle]:
        """The clip as one cycle whose end, in motion, runs on into its start."""
        count = len(self.coarse)
        least = max(int(np.ceil(self.settings.whole * (count - 1))), int(np.ceil(self.settings.shortest * self.fps)), 4)
        most = min(count - 1, int(self.settings.longest * self.fps))
        cuts: list[tuple[float, int, int]] = []
        for lag in range(least, most + 1):
            starts = np.arange(count - lag)
            apart = ((self.coarse[lag:] - self.coarse[:-lag]) ** 2).sum(axis=1).mean()
            if apart > self.settings.unlike * 2.0 * self.spread:  # what comes after the cycle is not its beginning
                continue
            seams = self._seams(self.coarse[starts], self.coarse[starts + lag])
            seams[~(self.moving[starts * self.stride] & self.moving[(starts + lag) * self.stride])] = np.inf
            if np.isfinite(seams.min()):
                cuts.append((float(seams.min()), int(seams.argmin()) * self.stride, lag * self.stride))
        if not cuts:
            return []
        enough = min(cuts)[0] + WORTH
        _, start, length = max((c for c in cuts if c[0] <= enough), key=lambda c: c[2])
        near = np.arange(max(start - self.stride, 0), min(start + self.stride + 1, len(self.fine)))
        return [self._cut(near[self.moving[near]], length, self.stride // 2, "closing", 0.0)]

    def _unlike(self, lag: int) -> Array:
        """How unlike the motion from each frame on (N,) is to that one lag later, compared over up to one lag."""
        count = len(self.compared)
        span = min(lag, count - lag)
        gap = self.compared[lag:] - self.compared[:-lag]
        apart = np.cumsum(np.einsum("ti,ti->t", gap, gap))
        apart = (apart[span - 1 :] - np.concatenate([[0.0], apart[:-span]])) / span
        both = span + lag
        mean = (self.sums[both:] - self.sums[:-both]) / both
        variance = (self.squares[both:] - self.squares[:-both]) / both - np.einsum("ti,ti->t", mean, mean)
        lively = variance > self.settings.liveliness * self.spread
        return np.where(lively, apart / (2.0 * np.maximum(variance, 1e-12)), np.inf)

    def _recurring_at(self, lag: int, evidence: str) -> Cycle:
        """The best cut near a lag (coarse frames), where the motion recurs; its length is the mean one found there."""
        local = self._unlike(lag)
        like = np.flatnonzero(local < max(self.settings.unlike, 1.01 * local.min()))
        span = min(lag, len(self.coarse) - lag)
        frames = np.zeros(len(self.coarse), dtype=bool)
        for at in like:
            frames[at : at + span] = True
        rows = np.flatnonzero(frames) * self.stride
        rows = rows[:: max(1, len(rows) // MOST_STARTS)]
        slack = max(self.stride, round(0.06 * lag * self.stride))
        lengths = np.arange(lag * self.stride - slack, lag * self.stride + slack + 1)
        inside = rows[rows + lengths[-1] < len(self.fine)]
        rows = inside if len(inside) else rows[:1]
        apart = [((self.fine[np.minimum(rows + n, len(self.fine) - 1)] - self.fine[rows]) ** 2).sum() for n in lengths]
        length = int(lengths[int(np.argmin(apart))])
        starts = np.flatnonzero(np.repeat(frames, self.stride)[: len(self.fine)])
        starts = starts[:: max(1, len(starts) // MOST_STARTS)]
        return self._cut(starts, length, max(1, round(0.01 * length)), evidence, float(local.min()))

    def _cut(self, starts: np.ndarray, length: int, slack: int, evidence: str, unlike: float) -> Cycle:
        """The cut with the least seam, at a calm moment, among starts (fine frames) and lengths within the slack."""
        least, start, best = np.inf, int(starts[0]), length
        for n in range(length - slack, length + slack + 1):
            fits = starts[starts + n < len(self.fine)]
            if len(fits):
                cost = self._seams(self.fine[fits], self.fine[fits + n]) + self.hectic[fits]
                if cost.min() < least:
                    least, start, best = float(cost.min()), int(fits[cost.argmin()]), n
        best = min(best, len(self.fine) - 1 - start)
        seam = float(self._seams(self.fine[[start]], self.fine[[start + best]])[0])
        coverage = self._coverage(self.fine[start : start + best : self.stride])
        wanted = self.settings.whole if evidence == "closing" else self.settings.coverage
        rejected = None
        if seam > self.settings.seam:
            rejected = f"seam {seam:.2f} above {self.settings.seam:g}"
        elif coverage < wanted:
            rejected = f"explains {coverage:.0%} of the clip, less than {wanted:.0%}"
        return Cycle(
            start=start / self.fine_fps,
            stop=(start + best) / self.fine_fps,
            period=best / self.fine_fps,
            seam=seam,
            coverage=coverage,
            unlike=unlike,
            score=0.0 if rejected else coverage / (1.0 + 0.1 * best / self.fine_fps),
            evidence=evidence,
            rejected=rejected,
        )

    def _seams(self, a: Array, b: Array) -> Array:
        """Seam (N,) of going on at ``a`` after ``b``, both (N, 2 F)."""
        gap = b - a
        pose = np.linalg.norm(gap[:, : self.width], axis=1) / self.step
        return np.maximum(pose, np.linalg.norm(gap[:, self.width :], axis=1) / self.second)

    def _coverage(self, cycle: Array) -> float:
        """Share of the moving frames whose like is among the cycle's (N, 2 F)."""
        apart = (self.active**2).sum(axis=1)[:, None] + (cycle**2).sum(axis=1) - 2.0 * self.active @ cycle.T
        return float((apart.min(axis=1) < self.settings.near * 2.0 * self.spread).mean())


def _principal(features: Array, active: Array) -> Array:
    """The few principal components (T, K) of features (T, F) that hold `KEPT` of the variance of the moving ones."""
    if len(active) < 2:
        return features
    mean = active.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(active - mean, rowvar=False))
    count = int(np.searchsorted(np.cumsum(values[::-1]), KEPT * values.sum())) + 1
    return (features - mean) @ vectors[:, ::-1][:, :count]


def _at_least(features: Array, fps: float, rate: float) -> tuple[Array, float]:
    """Features at a whole multiple of their rate, at least ``rate``: a period need not be a whole number of frames."""
    times = int(np.ceil(rate / fps - 1e-6))
    if times < 2 or len(features) < 4:
        return features, float(fps)
    fine = np.arange((len(features) - 1) * times + 1) / times
    return CubicSpline(np.arange(len(features)), features)(fine), float(fps * times)
