"""The whole-clip solve: Gauss–Newton over all frames at once, banded in time.

Minimised over the correction c to the first guess: target orientations, the root's path, feet pinned to footprints while
they stand, foot clearance while they swing, no point under the ground, no link inside another, joint limits; and, across
time, ‖ċ‖² and ‖c̈‖², so that what the source does smoothly stays smooth. Per frame the equations come from
`retarget.assemble`; the coupling in time is diagonal, so the system is banded and one step is a few banded solves
(`retarget.smoothness`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from characters import kinematics
from characters.character import Character
from motion.errors import SolveError
from motion.rotation import Array
from retarget import limits, pace
from retarget.assemble import Placed, Rows, Tree
from retarget.footprints import Footprints
from retarget.overlaps import Overlaps
from retarget.smoothness import Smoothness
from retarget.targets import Targets

RAISE, LOWER = 8.0, 0.25
"""A frame whose cost rose is damped so much more in the next step, one whose cost fell so much less (Levenberg–Marquardt)."""

SLACK = 1e-4
"""Share by which a frame's cost may rise, because its neighbours gain."""
FAILED = 1.5
"""A frame whose cost rose by this factor goes back, with its neighbours."""
HALF_TURN = 1e-9
"""Cosine, or sine, of half an angle below which its axis is not defined."""
TIED = 2
"""Settled frames that hold their neighbours: ‖c̈‖² reaches so far."""
HELD = 1e12
"""Damping of a frame that must not move."""


@dataclass(frozen=True, slots=True)
class SolveSettings:
    """Weights and limits of the solve; lengths in metres for a body 1.7 m high, weights per squared radian or metre."""

    iterations: int = 6
    """Gauss–Newton steps of a round at the most"""
    few: float = 0.2
    """share of frames that still move at which a round ends: the next one takes them alone"""
    rounds: int = 8
    """rounds at the most, all but the first only on the frames that still move"""
    context: float = 0.1
    """seconds around such frames that may move with them"""
    tolerance: float = 0.015
    """a frame moved by less than this (rad, m) in a step has settled"""
    step: float = 0.3
    """largest change of one coordinate in one step, rad or m"""
    pin: float = 2000000.0
    """a standing foot's points at their footprint"""
    ground: float = 1000000.0
    """points under the ground, and the height of a standing foot"""
    clearance: float = 1000.0
    """height of a swinging foot's lowest point"""
    self_overlap: float = 10000.0
    """links that overlap, though they do not at rest"""
    limit: float = 300.0
    """joint limits"""
    damping: float = 1e-2
    """keeps undriven coordinates where they are"""
    first_damping: float = 1.0
    """damping of the first step"""
    first_contact: float = 0.01
    """share of the contact weights in the first step"""
    growth: float = 10.0
    """how much contact weights grow, and damping falls, from step to step"""
    smooth_time: float = 0.11
    """seconds: corrections shorter than this are resisted; `pace.factor` makes it shorter for violent motions"""
    smooth_root: float = 1000.0
    """how much more a metre of root correction weighs than a joint's radian"""
    smooth_turn: float = 100.0
    """how much more a radian of the root's"""
    window: int = 4096
    """frames solved together; longer clips are solved in overlapping windows"""
    overlap: float = 1.5
    """seconds at a window's end that are solved again with what follows them"""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What the body does."""

    qpos: Array
    """(T, nq) within joint limits"""
    stands: dict[str, np.ndarray]
    """foot link → (T,) bool: stands still on the ground"""


def solve(character: Character, targets: Targets, settings: SolveSettings | None = None) -> Solution:
    """The body's motion.

    Args:
        character: the body.
        targets: what it should do; their qpos is the first guess.

    Raises:
        SolveError: the equations became singular or not finite.
    """
    settings = settings or SolveSettings()
    time = settings.smooth_time * pace.factor(character, targets.qpos, targets.fps)
    settings = replace(settings, smooth_time=time)
    footprints = Footprints.of(character, targets)
    frames = len(targets.qpos)
    out = targets.qpos.copy()
    overlap = min(round(settings.overlap * targets.fps), settings.window // 2)
    for start in range(0, max(frames - overlap, 1), settings.window - overlap):
        index = np.arange(max(start - TIED, 0), min(start + settings.window, frames))
        if start > 0:  # begin as the window before ends
            shared = slice(start, start + overlap)
            share = np.linspace(0.0, 1.0, overlap)
            out[shared] = character.layout.interpolate(out[shared], targets.qpos[shared], share)
        fixed = index < start
        out[index] = _solve_window(character, take(targets, index), footprints.take(index), settings, out[index], fixed)
    out = character.layout.continuous(out)
    return Solution(out, _standing(character, targets, footprints, out, settings))


def _standing(
    character: Character, targets: Targets, footprints: Footprints, qpos: Array, settings: SolveSettings
) -> dict[str, np.ndarray]:
    """`Footprints.standing`, a window at a time; a frame's speed is that to the next, so windows share one."""
    frames, parts = len(qpos), []
    for start in range(0, frames, settings.window):
        index = np.arange(start, min(start + settings.window + 1, frames))
        stands = footprints.take(index).standing(character, take(targets, index), qpos[index])
        parts.append({link: flags[: settings.window] for link, flags in stands.items()})
    return {link: np.concatenate([part[link] for part in parts]) for link in parts[0]}


def take(targets: Targets, index: np.ndarray) -> Targets:
    """The frames ``index`` (n,) of targets."""
    return replace(
        targets,
        qpos=targets.qpos[index],
        root=targets.root[index],
        rotations=targets.rotations[index],
        stance={k: v[index] for k, v in targets.stance.items()},
        claimed={k: v[index] for k, v in targets.claimed.items()},
        clearance={k: v[index] for k, v in targets.clearance.items()},
    )


def _solve_window(
    character: Character,
    targets: Targets,
    footprints: Footprints,
    settings: SolveSettings,
    start: Array,
    fixed: np.ndarray,
) -> Array:
    """All frames together first; then only the runs of frames that still move, tied to their settled neighbours.

    Args:
        start: (T, nq) qpos to begin with.
        fixed: (T,) frames that stay there.
    """
    frames = len(start)
    damping = np.full(frames, settings.damping)
    qpos, moving, damping = _descend(character, targets, footprints, settings, start, fixed, damping, 0)
    for k in range(1, settings.rounds):
        if not moving.any():
            break
        free = ndimage.binary_dilation(moving, iterations=max(2, round(settings.context * targets.fps))) & ~fixed
        index = np.flatnonzero(ndimage.binary_dilation(free, iterations=TIED))
        part = _descend(
            character,
            take(targets, index),
            footprints.take(index),
            settings,
            qpos[index],
            ~free[index],
            damping[index],
            k * settings.iterations,
        )
        moving = np.zeros(frames, dtype=bool)
        qpos[index], moving[index], damping[index] = part
    return character.layout.continuous(limits.clamp(character, qpos))


def _descend(
    character: Character,
    targets: Targets,
    footprints: Footprints,
    settings: SolveSettings,
    qpos: Array,
    held: np.ndarray,
    damping: Array,
    begun: int,
) -> tuple[Array, np.ndarray, Array]:
    """Up to ``settings.iterations`` damped Gauss–Newton steps from qpos ``(T, nq)``; frames ``held`` (T,) do not move.

    Args:
        damping: (T,) to begin with.
        begun: steps already taken: contacts grow with them.

    Returns:
        qpos (T, nq), which frames still moved in the last step (T,), and their damping (T,).
    """
    layout, tree = character.layout, Tree(character)
    smooth = Smoothness(tree, len(qpos), targets.fps, settings, np.isin(tree.link, _bridge(character)))
    damping, best, overlaps = damping.copy(), None, Overlaps(character, len(qpos))
    reach = round(settings.smooth_time * targets.fps)
    moving, wanted = ~held, np.ascontiguousarray(targets.rotations.transpose(1, 2, 0))
    for k in range(begun, begun + settings.iterations):
        stage = _stage(settings, k)
        placed = Placed.of(kinematics.forward(character, qpos))
        rows = Rows(len(character.links), len(qpos))
        _turns(rows, placed, targets, wanted)
        _root(rows, placed, targets)
        footprints.add(rows, placed, stage)
        overlaps.add(rows, placed, qpos, stage.self_overlap, footprints.swing)
        matrix, right = rows.normal_equations(tree, tree.columns(placed))
        limits.add(character, tree, qpos, matrix, right, stage.limit)
        correction = layout.difference(targets.qpos, qpos)
        pull = smooth.pull(correction)
        now = rows.cost + np.einsum("tn,tn->t", correction, pull)
        if stage.pin == settings.pin:
            if best is not None:  # a frame that got worse tries a smaller step
                share = _around(now, reach) / np.maximum(_around(best.cost, reach), 1e-12)
                worse = (share > 1 + SLACK) & ~held
                damping = np.clip(np.where(worse, RAISE, LOWER) * damping, settings.damping, HELD)
                failed = (share > FAILED) & ~held
                if failed.any():
                    best.restore(np.flatnonzero(failed), qpos, matrix, right, now)
                    correction = layout.difference(targets.qpos, qpos)
                    pull = smooth.pull(correction)
            best = _Best(now, qpos, matrix, right)
        delta = smooth.step(
            matrix, right.T - pull, np.where(held, HELD, np.maximum(damping, stage.damping)), tree.moving(rows.touched)
        )
        if not np.isfinite(delta).all():
            raise SolveError(
                "the solve diverged", hint="is the source a body in motion? look at it with `mimic-pipe render`"
            )
        delta[held] = 0.0
        size = np.abs(delta).max(axis=1)
        delta *= np.minimum(1.0, settings.step / np.maximum(size, 1e-12))[:, None]
        qpos = limits.clamp_hinges(character, layout.integrate(qpos, delta))
        moving = size > settings.tolerance
        if moving.mean() < settings.few and stage.pin == settings.pin:
            break
    return qpos, moving, damping


def _around(cost: Array, reach: int) -> Array:
    """Cost ``(T,)`` of each frame and its neighbours up to ``reach`` frames away."""
    return ndimage.uniform_filter1d(cost, 2 * reach + 1, mode="constant")


def _stage(settings: SolveSettings, iteration: int) -> SolveSettings:
    """Settings of one step: contacts begin weak and well damped, or a stretched leg would be thrown about to reach a print."""
    share = min(1.0, settings.first_contact * settings.growth**iteration)
    return replace(
        settings,
        pin=settings.pin * share,
        ground=settings.ground * share,
        damping=max(settings.damping, settings.first_damping * settings.growth**-iteration),
    )


def _bridge(character: Character) -> np.ndarray:
    """Links of the trunk that legs hang on, but for the root; they are as calm as it is, or each step would shake them."""
    legs = {
        character.joint(name) + 1 for role, chain in character.roles.items() if role.endswith("leg") for name in chain
    }
    above = character.ancestry[[character.link(foot) for foot in character.feet]].any(axis=0)
    return np.array([i for i in np.flatnonzero(above) if i > 0 and i not in legs], dtype=int)


def _turns(rows: Rows, placed: Placed, targets: Targets, wanted: Array) -> None:
    """Rows for the orientations ``wanted`` (L, 4, T): the swing of each bone and the twist about it."""
    count = len(wanted)
    bones = np.stack([placed.direction(link, targets.bones[link]) for link in range(count)])
    w, x, y, z = _relative(placed.turns.transpose(1, 0, 2), wanted.transpose(1, 0, 2))
    a, b, c = bones.transpose(1, 0, 2)
    along = x * a + y * b + z * c
    half = np.sqrt(w * w + along * along)  # cosine of half the swing
    straight = half < HALF_TURN
    safe = np.where(straight, 1.0, half)
    cosine, sine = np.where(straight, 1.0, w / safe), np.where(straight, 0.0, along / safe)
    twist = 2.0 * np.arctan2(np.where(w < 0, -along, along), np.abs(w))
    turned = sine * w
    swing = np.empty_like(bones)
    swing[:, 0] = cosine * x - turned * a - sine * (y * c - z * b)
    swing[:, 1] = cosine * y - turned * b - sine * (z * a - x * c)
    swing[:, 2] = cosine * z - turned * c - sine * (x * b - y * a)
    size = np.sqrt(np.einsum("lit,lit->lt", swing, swing))
    swing *= np.where(size > HALF_TURN, 2.0 * np.arctan2(size, half) / np.maximum(size, HALF_TURN), 2.0)[:, None]
    swing += twist[:, None] * bones
    rows.turns(bones, targets.across, targets.about, swing)


def _relative(a: Array, b: Array) -> tuple[Array, Array, Array, Array]:
    """b ⊗ a⁻¹ of quaternions (4, L, T): what is left from a to b, in the world."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        bw * aw + bx * ax + by * ay + bz * az,
        bx * aw - bw * ax + bz * ay - by * az,
        by * aw - bw * ay + bx * az - bz * ax,
        bz * aw - bw * az + by * ax - bx * ay,
    )


def _root(rows: Rows, placed: Placed, targets: Targets) -> None:
    error = (targets.root.T - placed.root)[None]
    level, vertical = (
        np.full_like(error[:, 0], targets.root_weight[0]),
        np.full_like(error[:, 0], targets.root_weight[2]),
    )
    rows.points(0, np.zeros_like(error), level, vertical, error)


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The last accepted state of every frame, with its equations."""

    cost: Array
    qpos: Array
    matrix: Array
    right: Array

    def restore(self, frames: np.ndarray, qpos: Array, matrix: Array, right: Array, cost: Array) -> None:
        """Put frames (T,) back, in place."""
        qpos[frames], cost[frames] = self.qpos[frames], self.cost[frames]
        matrix[:, frames], right[:, frames] = self.matrix[:, frames], self.right[:, frames]
