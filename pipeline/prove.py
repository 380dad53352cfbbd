"""The proof of gains: in each engine, at the real timestep, a body whose root is held in the air holds its rest pose and
follows its clip's joints.

A servo without feed-forward of velocity lags its target by kd/kp, so it is given the clip that far ahead, as training gives
its targets ahead; the error without that is reported beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from characters.character import Character
from motion.clip import Clip
from motion.errors import InputError
from motion.gains import EngineProof, Gains, JointGain, Proof
from motion.rotation import Array
from train import engine
from train.engine import EngineSettings
from train.reference import Reference

TRACKED, HELD, QUIVER = 3.0, 3.0, 0.5
"""degrees a joint may be off the clip (RMS) and off the rest pose, and may quiver (RMS), at most"""
SETTLE, LEAST, MOST = 0.5, 2.0, 10.0
"""seconds before measuring; the least and the most that are measured"""
SLOW = 0.05
"""seconds: the error less its mean over so long is the quiver, what is faster than about 20 Hz"""
REST, AHEAD, NOW = range(3)
"""the three bodies: one at rest, one that is given the clip ahead of time, one that is not"""


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Three bodies over the measured time."""

    errors: Array
    """(T, 3, nv − 6) joint errors as rotation vectors and angles, radians"""
    over: Array
    """(T, 3, J) whether a servo was at its torque limit"""


def prove(character: Character, clip: Clip, gains: Gains, *, engines: Iterable[str] | None = None) -> Proof:
    """Try every preset in every engine that is installed.

    Raises:
        InputError: no engine is installed, or gains that miss a joint.
    """
    names = [name for name in engine.ENGINES if find_spec(name)] if engines is None else list(engines)
    if not names:
        raise InputError("no engine is installed", hint=f"pip install {' or '.join(engine.ENGINES)}")
    found = {
        name: {preset: _try(character, clip, own, gains.timestep, name) for preset, own in gains.presets.items()}
        for name in names
    }
    return Proof(clip=clip.name, timestep=gains.timestep, engines=found)


def lookahead(gains: dict[str, JointGain]) -> float:
    """Seconds by which targets run ahead: the median of the joints' lags kd/kp."""
    return float(np.median([gain.kd / gain.kp for gain in gains.values()]))


def _try(character: Character, clip: Clip, gains: dict[str, JointGain], timestep: float, name: str) -> EngineProof:
    run = _simulate(character, clip, gains, timestep, name)
    joints = [joint.name for joint in character.joints]
    starts = character.layout.qvel_at - 6
    squared = np.add.reduceat(run.errors**2, starts, axis=-1)
    quiver = np.add.reduceat(_fast(run.errors, timestep) ** 2, starts, axis=-1)
    rest, ahead, now = (np.degrees(np.sqrt(squared[:, body].mean(axis=0))) for body in (REST, AHEAD, NOW))
    shaking = np.degrees(np.sqrt(quiver.mean(axis=0)))[[REST, AHEAD]]
    share = run.over[:, AHEAD].mean(axis=0)
    return EngineProof(
        passed=bool(rest.max() <= HELD and ahead.max() <= TRACKED and shaking.max() <= QUIVER),
        rest_deg=_round(rest.max()),
        rest_joint=joints[int(rest.argmax())],
        tracking_deg=_round(ahead.max()),
        tracking_joint=joints[int(ahead.argmax())],
        tracking_by_joint={joint: _round(error) for joint, error in zip(joints, ahead, strict=True)},
        lookahead=_round(lookahead(gains)),
        without_lookahead_deg=_round(now.max()),
        quiver_deg=_round(shaking.max()),
        saturated_share=_round(share.max()),
    )


def _simulate(character: Character, clip: Clip, gains: dict[str, JointGain], timestep: float, name: str) -> _Run:
    settings = EngineSettings(timestep=timestep, substeps=1, self_collision=False, threads=1, fixed_root=True)
    wait = round(SETTLE / timestep)
    total = wait + round(min(max(clip.duration, LEAST), MOST) / timestep)
    times = np.linspace(0.0, total * timestep, total + 1)
    table = Reference(clip, character, total * timestep + 1.0)
    layout, ahead = character.layout, lookahead(gains)
    want, led = table.pose(times), table.pose(times + ahead)
    held = character.rest.copy()
    held[2] += 2.0 * character.height
    start = np.repeat(held[None], 3, axis=0)
    start[[AHEAD, NOW], 7:] = want[0]
    speed = np.zeros((3, layout.nv))
    speed[[AHEAD, NOW], 6:] = table(times[:1]).qvel[:, 6:]
    aims = np.stack([np.broadcast_to(held[7:], want.shape), want, want], axis=1)
    targets = np.stack([aims[:, REST], led, want], axis=1)
    world = engine.make(name, character, gains, 3, settings)
    try:
        world.reset(np.arange(3), start, speed)
        qpos, over = np.empty((total, 3, layout.nq)), np.zeros((total, 3, len(character.joints)))
        for k in range(total):
            world.step(targets[k])
            qpos[k] = world.qpos
            asked = world.overload()
            over[k] = 0.0 if asked is None else asked[:, 0]
    finally:
        world.close()
    whole = qpos.copy()
    whole[..., 7:] = aims[1:]
    return _Run(layout.difference(qpos, whole)[wait:, :, 6:], over[wait:])


def _fast(errors: Array, timestep: float) -> Array:
    """Errors ``(T, …)`` less their moving mean."""
    width = 2 * round(0.5 * SLOW / timestep) + 1
    padded = np.pad(errors, ((width // 2 + 1, width // 2), (0, 0), (0, 0)), mode="edge")
    total = np.cumsum(padded, axis=0)
    return errors - (total[width:] - total[:-width]) / width


def _round(value: float) -> float:
    return float(f"{float(value):.4g}")
