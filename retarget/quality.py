"""How good a clip is, defined once: used by retarget, validate and report alike.

`intrinsic` needs the clip and the body alone, `fidelity` the source as well, `verdict` holds both against `THRESHOLDS`.
All are measured on the clip at 120 Hz (`retarget.sampled`), but for `pop`, `seam` and limits, which are about the
stored samples themselves: interpolation would hide the very jumps they look for.
"""

from __future__ import annotations

import numpy as np

from characters.character import Character
from motion import rotation
from motion.clip import Clip, Trajectory
from motion.rotation import Array
from retarget.feasibility import feasibility, self_penetration
from retarget.fidelity import fidelity
from retarget.measures import THRESHOLDS, Measure, Measures, Threshold, Verdict, unmeasured, verdict
from retarget.sampled import Sampled, longest

__all__ = [
    "THRESHOLDS",
    "Measure",
    "Measures",
    "Sampled",
    "Threshold",
    "Verdict",
    "fidelity",
    "intrinsic",
    "verdict",
]

FEWEST = 12
"""Stance steps (0.1 s) below which slide and float are not measured."""
STILL_SPEED = 0.5
"""Of the whole body, norm of rad/s and m/s: `pop` and `seam` compare a step with no less than this, or stillness would
divide by nothing."""
STILL_ACCELERATION = 5.0
"""The same for the velocity at the seam, norm of rad/s² and m/s²."""


def intrinsic(clip: Clip | Trajectory | Sampled, character: Character) -> Measures:
    """What the clip and the body alone tell.

    - ``slide_cm_s`` (mean, p95 over flagged link and step): horizontal speed of the link's body-fixed points within 5
      mm of its lowest, averaged; of a sphere or capsule the material point at the bottom, so rolling is not sliding.
    - ``drift_cm``: length of the vector sum of those displacements over one unbroken stance, across a loop's wrap; mean
      over stances.
    - ``penetration_cm`` (maximum, p95 over frames): deepest point of any shape under the ground.
    - ``float_cm`` (p95 over flagged link and frame): height of the link's lowest point.
    - ``contact_agreement``: share of (frame, link) where flag equals body contact; links are the feet and every flagged
      link.
    - ``airborne_share``: of the frames, no shape near the ground.
    - ``pop``: size of a step over the mean of the steps before and after, worst interior one; a step is one or two
      samples long (a jump takes one, a one-frame spike two). Its size is the norm of `Layout.difference`: joint and
      root angles in rad, root translation in m.
    - ``seam``: the same of the step across a loop's wrap. ``seam_velocity``: larger second difference at the wrap over
      the clip's p95.
    - ``limit_excess_deg``: beyond a hinge's range, a ball's swing cone or twist range; ``joint_speed_max`` (rad/s).
    - ``self_penetration_cm``, ``torque_ratio``, ``root_residual``: see `retarget.feasibility`.

    Args:
        clip: of this body; a trajectory is taken as a one-shot.

    Raises:
        InputError: the clip's joints or links are not the character's.
    """
    sampled = Sampled.of(clip, character)
    measures = [
        *_stances(sampled),
        _penetration(sampled),
        _agreement(sampled),
        Measure("airborne_share", float(sampled.airborne.mean()), samples=sampled.count),
        _pop(sampled),
        *_seam(sampled),
        _limits(sampled),
        _speed(sampled),
        self_penetration(sampled),
        *feasibility(sampled),
    ]
    return Measures(sampled.kind, sampled.scale, {measure.name: measure for measure in measures})


def _stances(sampled: Sampled) -> list[Measure]:
    """Slide, drift and float of the flagged links."""
    slides, heights, drifts, owners = [np.zeros(0)], [np.zeros(0)], [], []
    steps, frames, links = [np.zeros(0, int)], [np.zeros(0, int)], list(sampled.contacts)
    slide_links, height_links = [np.zeros(0, int)], [np.zeros(0, int)]
    for i, name in enumerate(links):
        ground = sampled.ground.get(sampled.character.link(name))
        if ground is None:
            continue
        stance, flagged = np.flatnonzero(sampled.stance(name)), np.flatnonzero(sampled.flags(name))
        slides.append(ground.slide[stance] / sampled.dt)
        steps.append(stance)
        slide_links.append(np.full(len(stance), i))
        heights.append(ground.lowest[flagged])
        frames.append(flagged)
        height_links.append(np.full(len(flagged), i))
        for start, drift in _drifts(sampled, sampled.stance(name), ground.move):
            drifts.append(drift)
            owners.append((name, start))
    slide, height = 100 * np.concatenate(slides), 100 * np.concatenate(heights)
    few = f"fewer than {FEWEST} flagged steps"
    if len(slide) < FEWEST:
        return [
            unmeasured(n, few, unit=u, samples=len(slide))
            for n, u in (("slide_cm_s", "cm/s"), ("drift_cm", "cm"), ("float_cm", "cm"))
        ]
    worst, at = int(slide.argmax()), np.concatenate(steps)
    time, frame = sampled.place(at[worst])
    where = links[np.concatenate(slide_links)[worst]]
    slid = Measure(
        "slide_cm_s",
        float(slide.mean()),
        "cm/s",
        _p95(slide),
        float(slide[worst]),
        None,
        where,
        time,
        frame,
        len(slide),
    )
    worst = int(np.argmax(drifts))
    time, frame = sampled.place(owners[worst][1])
    drift = Measure(
        "drift_cm",
        100 * float(np.mean(drifts)),
        "cm",
        None,
        100 * drifts[worst],
        None,
        owners[worst][0],
        time,
        frame,
        len(drifts),
    )
    worst = int(height.argmax())
    time, frame = sampled.place(np.concatenate(frames)[worst])
    where = links[np.concatenate(height_links)[worst]]
    p95 = _p95(height)
    floated = Measure("float_cm", p95, "cm", p95, float(height[worst]), None, where, time, frame, len(height))
    return [slid, drift, floated]


def _drifts(sampled: Sampled, stance: np.ndarray, move: Array) -> list[tuple[int, float]]:
    """First step and length (m) of the summed displacement of every unbroken stance of one link."""
    count = len(stance)
    order = np.arange(count)
    if sampled.loop and not stance.all() and stance[0] and stance[-1]:
        first = int(np.flatnonzero(~stance)[0])  # begin between two stances, so that none is cut by the wrap
        order = np.roll(order, -first)
        turn = rotation.to_matrix(rotation.from_yaw(np.float64(sampled.offset.yaw)))[:2, :2]
        move = np.concatenate([move[first:], move[:first] @ turn.T])
    else:
        move = move[order]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], stance[order].astype(int), [0]])))
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(move, axis=0)])
    return [
        (int(order[a]), float(np.linalg.norm(total[b] - total[a])))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def _penetration(sampled: Sampled) -> Measure:
    depth = 100 * np.maximum(-sampled.lowest, 0.0)
    worst = int(depth.argmax())
    time, frame = sampled.place(worst)
    deepest = min(sampled.ground, key=lambda link: sampled.ground[link].lowest[worst])
    where = sampled.character.links[deepest].name if depth[worst] > 0 else None
    return Measure("penetration_cm", float(depth[worst]), "cm", _p95(depth), None, None, where, time, frame, len(depth))


def _agreement(sampled: Sampled) -> Measure:
    names = [name for name in sampled.contacts if sampled.character.link(name) in sampled.ground]
    if not names or sampled.count < 2:
        return unmeasured("contact_agreement", "no link to compare")
    agree = np.array([sampled.flags(n) == sampled.body_contact(sampled.character.link(n)) for n in names])
    worst = int(agree.mean(axis=1).argmin())
    time, frame = sampled.place(longest(~agree[worst]))
    return Measure(
        "contact_agreement",
        float(agree.mean()),
        "",
        None,
        float(agree[worst].mean()),
        None,
        names[worst],
        time,
        frame,
        agree.size,
    )


def _culprit(sampled: Sampled, step: Array, usual: Array) -> str:
    """The joint (or the root) that makes a step (nv,) larger than usual (nv,)."""
    layout = sampled.character.layout
    excess = np.abs(step) - np.abs(usual)
    names = ["root", *(joint.name for joint in layout.joints)]
    starts = [0, *(int(at) for at in layout.qvel_at)]
    return names[int(np.argmax(np.maximum.reduceat(excess, starts)))]


def _pop(sampled: Sampled) -> Measure:
    steps = sampled.character.layout.difference(sampled.own[:-1], sampled.own[1:])
    if len(steps) < 4:
        return unmeasured("pop", "fewer than 5 samples", samples=len(steps))
    size, floor = np.linalg.norm(steps, axis=1), STILL_SPEED / sampled.own_fps
    one = size[1:-1] / np.maximum(0.5 * (size[:-2] + size[2:]), floor)
    two = 0.5 * (size[1:-2] + size[2:-1]) / np.maximum(0.5 * (size[:-3] + size[3:]), floor)
    wide = 2 if two.max() > one.max() else 1
    ratio = two if wide == 2 else one
    at = int(ratio.argmax()) + 1
    where = _culprit(
        sampled, np.abs(steps[at : at + wide]).max(axis=0), 0.5 * (np.abs(steps[at - 1]) + np.abs(steps[at + wide]))
    )
    return Measure(
        "pop", float(ratio.max()), "", None, None, None, where, (at + 1) / sampled.own_fps, at + 1, len(steps)
    )


def _seam(sampled: Sampled) -> list[Measure]:
    if not sampled.loop or len(sampled.own) < 6:
        why = "fewer than 6 samples" if sampled.loop else "not a loop"
        return [unmeasured("seam", why), unmeasured("seam_velocity", why)]
    layout, own = sampled.character.layout, sampled.own
    beyond = sampled.offset.apply(own[:2])
    after = np.concatenate([own[1:], beyond])
    before = np.concatenate([own, beyond[:1]])
    steps = layout.difference(before, after)
    size = np.linalg.norm(steps, axis=1)
    last = len(own) - 1  # the step across the wrap; the one after it is the first again
    usual = 0.5 * (size[last - 1] + size[last + 1])
    ratio = size[last] / max(usual, STILL_SPEED / sampled.own_fps)
    second = np.linalg.norm(np.diff(steps, axis=0), axis=1)
    velocity = second[-2:].max() / max(float(np.percentile(second[:-2], 95)), STILL_ACCELERATION / sampled.own_fps**2)
    where = _culprit(sampled, steps[last], 0.5 * (steps[last - 1] + steps[last + 1]))
    place = {"where": where, "time": sampled.duration, "frame": last, "samples": len(steps)}
    return [Measure("seam", float(ratio), **place), Measure("seam_velocity", float(velocity), **place)]


def _limits(sampled: Sampled) -> Measure:
    character, own = sampled.character, sampled.own
    excess = np.zeros((len(own), len(character.joints)))
    for j, (joint, at) in enumerate(zip(character.joints, character.layout.qpos_at, strict=True)):
        if joint.type == "hinge":
            angle = own[:, at]
        else:
            swing, angle = rotation.swing_twist(own[:, at : at + 4], joint.twist_axis)
            excess[:, j] = np.linalg.norm(rotation.log(swing), axis=-1) - joint.swing_limit
        excess[:, j] = np.maximum(excess[:, j], np.maximum(joint.lower - angle, angle - joint.upper))
    frame, joint = np.unravel_index(int(excess.argmax()), excess.shape) if excess.size else (0, 0)
    worst = max(float(np.rad2deg(excess.max(initial=0.0))), 0.0)
    where = character.joints[joint].name if worst > 0 else None
    return Measure(
        "limit_excess_deg", worst, "°", None, None, None, where, float(frame / sampled.own_fps), int(frame), excess.size
    )


def _speed(sampled: Sampled) -> Measure:
    layout = sampled.character.layout
    if len(sampled.steps) == 0 or not layout.joints:
        return unmeasured("joint_speed_max", "no motion", unit="rad/s")
    squares = sampled.steps[:, 6:] ** 2
    speed = np.sqrt(np.add.reduceat(squares, layout.qvel_at - 6, axis=1)) / sampled.dt
    step, joint = np.unravel_index(int(speed.argmax()), speed.shape)
    time, frame = sampled.place(step)
    return Measure(
        "joint_speed_max",
        float(speed.max()),
        "rad/s",
        _p95(speed.max(axis=1)),
        None,
        None,
        layout.joints[joint].name,
        time,
        frame,
        speed.size,
    )


def _p95(values: Array) -> float:
    return float(np.percentile(values, 95))
