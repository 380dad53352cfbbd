"""Pops: a joint that jumps to another course within a frame or two (a bad cut), and spikes: out and back again.

How far a step is from what its neighbours announce is its *surprise*: the turn over ``gap`` frames less the mean of the
turns over as many frames before and after it. A step of height h in an otherwise smooth course gives the surprises
−h/2, h, −h/2, ``gap`` frames apart; motion, however fast, spreads over more frames and gives other patterns. A pop has
that pattern and stands alone among the surprises around it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from motion import rotation
from motion.motion import Motion
from motion.rotation import Array

POP_SECONDS = 0.04
"""A pop is over within this time. Below 25 frames/s none can be told from motion."""
POP_RADIANS = 0.12
"""Smallest offset mended on its own evidence."""
POP_MOST = 2.0
"""Larger jumps are left alone: near a half turn nobody can tell which way round, and solvers that flip a limb's twist so
leave its joints where they were."""
POP_RATIO = 3.5
"""Its surprise over the largest one around it."""
POP_ECHO = 0.25
"""The negative echoes before and after it are at least this share of it (½ in theory)."""
POP_SPEED = 3.0
"""Speed in it over that of the fastest step around it; feet that strike or leave the ground and joints that are thrown
into their limits stay below."""
CUT_JOINTS, CUT_SPEED = 3, 1.5
"""A cut through fast motion (run) shows in several joints at once, each of them less above its own speed."""
FELLOW_RADIANS, FELLOW_RATIO = 0.02, 2.0
"""For other joints in the instant of a pop: a cut moves the whole body, and what keeps its feet in place is one turn
of many joints that must be mended together."""
FELLOW_METRES = 0.003
"""The same for the root's position."""
AROUND_SECONDS = 0.1
"""How far around a suspected pop is looked."""
SPREAD_SECONDS = 0.2
"""An offset decays over this time on either side of a pop: 0.5 rad then adds at most 2.4 rad/s."""
RESTING = 0.3
"""m/s; a point that is slower rests."""
SLIDES_LESS = 0.9
"""Resting points must slide less by this much before an offset is not spread evenly."""
WRAP_RATIO = 3.0
"""At a loop's wrap a joint pops when its mismatch is this many times the upper quartile of all joints'."""
MIDDLE = 0.04
"""A cut this near to half a loop (share of it) says that the loop was made of one step and its mirror image, so that
its wrap is the same cut once more."""
SPIKE_RADIANS = 0.1
"""Smallest spike mended."""
PASSES = 4
"""A mended pop can uncover another beside it; one file of seventy needs a third pass."""


@dataclass(frozen=True, slots=True, eq=False)
class Pop:
    """One instant in which joints jump."""

    start: int
    """last frame before it"""
    gap: int
    """frames until the first one after it; 0 = a loop's wrap, from its last frame to its first"""
    offsets: Array
    """(J, 3) rotation vector each joint jumps beyond what its neighbours announce, 0 where it does not"""
    root: Array
    """(3,) metres the root jumps"""


def mend_spikes(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Replace single frames in which a joint leaves its course and comes back by the middle of their neighbours."""
    q = motion.rotations
    if len(motion) < 5 or POP_SECONDS * motion.fps < 1.0 - 1e-6:
        return motion, ()
    middle = rotation.slerp(q[:-2], q[2:], np.float64(0.5))
    surprise = rotation.log(rotation.relative(middle, q[1:-1]))
    found = _alone(surprise, 1, _around(motion), SPIKE_RADIANS)
    if not found.any():
        return motion, ()
    rotations = q.copy()
    frames, joints = np.nonzero(found)
    rotations[frames + 1, joints] = middle[frames, joints]
    sizes = np.linalg.norm(surprise[frames, joints], axis=-1)
    said = tuple(
        f"replaced a spike of {motion.skeleton.names[j]} at {_time(motion, int(t) + 1)}, {size:.2f} rad out and back"
        for t, j, size in zip(frames, joints, sizes, strict=True)
    )
    return replace(motion, rotations=rotation.continuous(rotations)), said


def mend_pops(motion: Motion) -> tuple[Motion, tuple[str, ...]]:
    """Spread what a joint jumps in a pop smoothly over the time before and after it.

    The offset decays with zero slope at both ends, so the velocity stays continuous; a loop's runs on across its wrap.
    Half of it goes to either side, but for joints that carry resting points (a standing foot) so that these slide least.
    """
    said: list[str] = []
    for _ in range(PASSES):
        pops = find_pops(motion)
        if not pops:
            break
        rotations, roots = motion.rotations.copy(), motion.root_positions.copy()
        for pop in pops:
            said.append(_tell(motion, pop))
            rows, near = _around_pop(motion, pop)
            part = replace(near, rotations=rotations[rows], root_positions=roots[rows])
            pop = replace(pop, start=pop.start - rows.start)
            part = _spread(part, pop, _shares(part, pop))
            rotations[rows], roots[rows] = part.rotations, part.root_positions
        motion = replace(motion, rotations=rotation.continuous(rotations), root_positions=roots)
    return motion, tuple(said)


def _around_pop(motion: Motion, pop: Pop) -> tuple[slice, Motion]:
    """The frames that mending a pop may change, and more than enough around them; all of a loop's."""
    if motion.loop:
        return slice(0, len(motion)), motion
    reach = 2 * round(SPREAD_SECONDS * motion.fps) + 2
    rows = slice(max(pop.start - reach, 0), min(pop.start + pop.gap + reach + 1, len(motion)))
    return rows, motion.slice(rows.start, rows.stop)


def find_pops(motion: Motion) -> list[Pop]:
    """The pops of a motion, in the order of time; a loop's wrap last."""
    widest = int(POP_SECONDS * motion.fps + 1e-6)
    found: list[tuple[float, Pop]] = []
    if widest and len(motion) > 6:
        around = _around(motion)
        pad = around + 4 * widest
        q, x = _extended(motion, pad)
        skip = len(q) - len(motion) >= 2 * pad
        single = rotation.angle(q[:-1], q[1:])
        for gap in range(1, widest + 1):
            turns = rotation.log(rotation.relative(q[:-gap], q[gap:]))
            found += _pops_of_width(motion, turns, x[gap:] - x[:-gap], single, gap, around, pad if skip else 0)
    pops: list[Pop] = []
    for _, pop in sorted(found, key=lambda entry: -entry[0]):
        if all(pop.start >= p.start + p.gap + 1 or p.start >= pop.start + pop.gap + 1 for p in pops):
            pops.append(pop)
    pops.sort(key=lambda pop: pop.start)
    wrap = _wrap_pop(motion, whole=any(_halves(motion, pop) for pop in pops))
    return [*pops, wrap] if wrap else pops


def _pops_of_width(
    motion: Motion, turns: Array, steps: Array, single: Array, gap: int, around: int, pad: int
) -> list[tuple[float, Pop]]:
    """Pops ``gap`` frames wide and how strong they are, narrow ones favoured; ``turns[pad]`` starts at frame 0."""
    surprise, root = _surprise(turns, gap), _surprise(steps[:, None], gap)
    strong = _alone(surprise, gap, around, POP_RADIANS)
    speed = np.linalg.norm(turns, axis=-1) / gap
    speed = (speed / np.maximum(_beside(single, gap, around), 1e-9))[gap:-gap]
    cut = strong & (speed > CUT_SPEED)
    strong &= (speed > POP_SPEED) | (cut & (np.count_nonzero(cut, axis=1) >= CUT_JOINTS)[:, None])
    first = gap - pad  # frame at which surprise[0] starts
    size = np.linalg.norm(surprise, axis=-1)
    quiet, root_quiet = _quiet(size, gap, around), _quiet(np.linalg.norm(root, axis=-1), gap, around)
    found = []
    for t in np.flatnonzero(strong.any(axis=1)):
        start = int(t) + first
        if not 0 <= start < len(motion) - gap:
            continue
        fellow = (size[t] > FELLOW_RADIANS) & (size[t] > FELLOW_RATIO * quiet[t])
        jump = float(np.linalg.norm(root[t, 0]))
        root_jumps = jump > FELLOW_METRES and jump > FELLOW_RATIO * root_quiet[t, 0]
        offsets = np.where((strong[t] | fellow)[:, None], surprise[t], 0.0)
        pop = Pop(start, gap, offsets, root[t, 0] if root_jumps else np.zeros(3))
        if np.linalg.norm(offsets, axis=-1).max() <= POP_MOST:
            found.append((float(size[t].max()) * 0.9**gap, pop))
    return found


def _halves(motion: Motion, pop: Pop) -> bool:
    """Whether a pop cuts the whole body in the middle of a clip."""
    jumping = np.count_nonzero(np.linalg.norm(pop.offsets, axis=-1) > FELLOW_RADIANS)
    middle = (pop.start + 0.5 * pop.gap) / (len(motion) - 1)
    return bool(jumping > CUT_JOINTS and abs(middle - 0.5) < MIDDLE)


def _wrap_pop(motion: Motion, *, whole: bool) -> Pop | None:
    """The joints alone in not closing a loop (the root's turn and travel are then the cycle's own), or the ``whole`` body."""
    if not motion.loop or len(motion) < 3:
        return None
    offsets = rotation.log(rotation.relative(motion.rotations[-1], motion.rotations[0]))
    size = np.linalg.norm(offsets, axis=-1)
    moving = ~motion.skeleton.is_end
    if whole:
        rise = np.array([0.0, 0.0, motion.root_positions[0, 2] - motion.root_positions[-1, 2]])
        return Pop(len(motion) - 1, 0, offsets, rise) if size.max() > FELLOW_RADIANS else None
    moving[0] = False
    if not moving.any():
        return None
    jumps = moving & (size > POP_RADIANS) & (size > WRAP_RATIO * np.quantile(size[moving], 0.75))
    if not jumps.any():
        return None
    return Pop(len(motion) - 1, 0, np.where(jumps[:, None], offsets, 0.0), np.zeros(3))


def _shares(motion: Motion, pop: Pop) -> Array:
    """Share ``(J,)`` of the offsets that goes to the time before the pop: ½, but where resting points would slide."""
    halves = np.full(len(motion.skeleton), 0.5)
    reach = round(SPREAD_SECONDS * motion.fps) + 1
    if not motion.loop:
        begin = max(pop.start - reach, 0)
        motion = motion.slice(begin, pop.start + pop.gap + reach + 1)
        pop = replace(pop, start=pop.start - begin)
    positions, _ = motion.forward()
    resting = np.linalg.norm(np.diff(positions, axis=0), axis=-1) * motion.fps < RESTING
    if pop.gap:
        resting[pop.start : pop.start + pop.gap] = False
    carries = resting.any(axis=0)
    for joint in range(len(carries) - 1, 0, -1):
        carries[motion.skeleton.parents[joint]] |= carries[joint]

    def slide(share: float) -> float:
        moved, _ = _spread(motion, pop, np.where(carries, share, halves)).forward()
        return float(np.linalg.norm(np.diff(moved[..., :2], axis=0), axis=-1)[resting].sum())

    slides = {share: slide(share) for share in (0.5, 0.0, 0.25, 0.75, 1.0)}
    best = min(slides, key=lambda share: slides[share])
    return np.where(carries, best, halves) if slides[best] < SLIDES_LESS * slides[0.5] else halves


def _spread(motion: Motion, pop: Pop, shares: Array) -> Motion:
    """The motion with one pop mended, ``shares`` ``(J,)`` of its offsets before it and the rest after it."""
    count = len(motion)
    frames, end = np.arange(count), pop.start + pop.gap
    before, after = pop.start - frames, frames - (end if pop.gap else 0)
    width = SPREAD_SECONDS * motion.fps
    if motion.loop:
        width = min(width, 0.5 * (count - 1))
        if pop.gap:
            before, after = before % (count - 1), after % (count - 1)
    weight = _fade(before, width)[:, None] * shares - _fade(after, width)[:, None] * (1.0 - shares)
    joints = np.flatnonzero(pop.offsets.any(axis=1))
    rotations, roots = motion.rotations.copy(), motion.root_positions.copy()
    rotations[:, joints] = rotation.multiply(
        rotations[:, joints], rotation.exp(weight[:, joints, None] * pop.offsets[joints])
    )
    roots += weight[:, :1] * pop.root
    inside = np.arange(pop.start + 1, end)
    share = (inside - pop.start) / max(pop.gap, 1)
    rotations[np.ix_(inside, joints)] = rotation.slerp(
        rotations[pop.start, joints], rotations[end % count, joints], share[:, None]
    )
    if pop.root.any():
        roots[inside] = roots[pop.start] + share[:, None] * (roots[end % count] - roots[pop.start])
    return replace(motion, rotations=rotation.continuous(rotations), root_positions=roots)


def _fade(distance: np.ndarray, width: float) -> Array:
    """1 at distance 0 and 0 from ``width`` on and before 0, with zero slope and curvature at both ends."""
    u = np.clip(distance / width, 0.0, 1.0)
    return np.where(distance < 0, 0.0, 1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u**2))


def _extended(motion: Motion, pad: int) -> tuple[Array, Array]:
    """Rotations and root positions; a loop's continued by ``pad`` frames (or its period) either way, its mismatch left out."""
    q, x = motion.rotations, motion.root_positions
    period = len(motion) - 1
    if not motion.loop or pad > period:
        return q, x
    lead, tail = q[period - pad : period], q[1 : pad + 1]
    lead = rotation.multiply(rotation.multiply(q[0], rotation.conjugate(q[-1])), lead)
    tail = rotation.multiply(rotation.multiply(q[-1], rotation.conjugate(q[0])), tail)
    travel = x[-1] - x[0]
    return (
        np.concatenate([lead, q, tail]),
        np.concatenate([x[period - pad : period] - travel, x, x[1 : pad + 1] + travel]),
    )


def _surprise(turns: Array, gap: int) -> Array:
    """``turns`` ``(N, J, 3)`` less the mean of those ``gap`` frames before and after, ``(N − 2·gap, J, 3)``."""
    return turns[gap:-gap] - 0.5 * (turns[: -2 * gap] + turns[2 * gap :])


def _beside(step: Array, gap: int, around: int) -> Array:
    """Largest of the steps ``(N, J)`` up to ``around`` frames before and after the ``gap`` steps from each frame on."""
    count = len(step) - gap + 1
    padded = np.pad(step, ((around, around), (0, 0)))
    widest = np.lib.stride_tricks.sliding_window_view(padded, around, axis=0).max(axis=-1)
    return np.maximum(widest[:count], widest[around + gap : around + gap + count])


def _quiet(size: Array, gap: int, around: int) -> Array:
    """Largest of ``size`` ``(N, J)`` up to ``around`` frames before and after, beyond the echoes."""
    window = ndimage.maximum_filter1d(size, around, axis=0, mode="constant", origin=0)
    reach = 2 * gap + around // 2
    out = np.zeros_like(size)
    if len(size) > reach:
        out[reach:] = window[:-reach]
        out[:-reach] = np.maximum(out[:-reach], window[reach:])
    return out


def _alone(surprise: Array, gap: int, around: int, least: float) -> np.ndarray:
    """(N, J) bool: where a surprise is large, echoed before and after with the opposite sign, and alone."""
    size = np.linalg.norm(surprise, axis=-1)
    alone = (size > least) & (size > POP_RATIO * _quiet(size, gap, around))
    found = np.zeros_like(alone)
    if len(size) > 2 * gap:
        here = surprise[gap:-gap]
        limit = -POP_ECHO * size[gap:-gap] ** 2
        echo = (np.einsum("tjk,tjk->tj", here, surprise[: -2 * gap]) < limit) & (
            np.einsum("tjk,tjk->tj", here, surprise[2 * gap :]) < limit
        )
        found[gap:-gap] = alone[gap:-gap] & echo
    return found


def _around(motion: Motion) -> int:
    return max(round(AROUND_SECONDS * motion.fps), 3)


def _time(motion: Motion, frame: int) -> str:
    return f"{frame / motion.fps:.2f} s (frame {frame})"


def _tell(motion: Motion, pop: Pop) -> str:
    size = np.linalg.norm(pop.offsets, axis=-1)
    order = np.argsort(-size, kind="stable")
    jumping = [int(j) for j in order if size[j] > 0]
    shown = ", ".join(f"{motion.skeleton.names[j]} {size[j]:.2f}" for j in jumping[:4])
    more = f" and less in {len(jumping) - 4} more" if len(jumping) > 4 else ""
    where = "at the loop's wrap" if pop.gap == 0 else f"at {_time(motion, pop.start + pop.gap)}"
    return f"spread a pop {where} over the {SPREAD_SECONDS} s around it: {shown} rad{more}"
