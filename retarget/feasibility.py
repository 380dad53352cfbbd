"""Could the body do it: joint torques and ground forces the clip asks for, and whether the body passes through itself.

Both look at every fourth frame of the 120 Hz clip; velocities and accelerations are those of all frames.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from characters import dynamics, kinematics
from characters.kinematics import Pose
from motion.rotation import Array
from retarget.measures import Measure, unmeasured
from retarget.sampled import CONTACT_HEIGHT, Sampled

EVERY = 4
"""frames of the 120 Hz clip: 30 Hz is looked at"""
BLOCK = 512
"""frames whose contact Jacobians are held at a time"""
FRICTION = 1.0
"""μ of ground and body"""
EDGES = 4
"""of the pyramid that stands for the friction cone, inside it: a force along an edge is on the cone"""
LEAST = 5
"""frames there must be for accelerations"""
GRAVITY = 9.81
"""m/s²"""
TORQUE_WEIGHT = 0.02
"""Weight of torque over limit beside root wrench over body weight in the fit: it only chooses among forces that balance
the root equally well, as the legs of a standing body would share the load."""


def feasibility(sampled: Sampled) -> list[Measure]:
    """``torque_ratio`` and ``root_residual`` by inverse dynamics.

    M·a + c = Sᵀτ + Jᵀf is fitted per frame by non-negative least squares over the edges of a friction pyramid (μ = 1)
    at every support point under 2 cm of a link in body contact. ``torque_ratio``: p95 over frames of the largest |τ|
    over its limit (a ball joint's as a vector). ``root_residual``: p95 over frames of the root wrench left over, over
    body weight, a moment counted as the force on an arm of 1 m times the body's scale.
    """
    names = ("torque_ratio", "root_residual")
    if sampled.count < LEAST:
        return [unmeasured(name, f"fewer than {LEAST} frames") for name in names]
    frames = np.arange(0, sampled.count, EVERY)
    ratio, residual = torques(sampled, frames)
    share = f"every {EVERY}th frame"
    worst = int(residual.argmax())
    time, frame = sampled.place(frames[worst])
    p95 = float(np.percentile(residual, 95))
    left = Measure(
        "root_residual", p95, "body weights", p95, float(residual[worst]), None, "root", time, frame, len(frames), share
    )
    limited = np.isfinite(ratio).any(axis=0)
    if not limited.any():
        return [unmeasured("torque_ratio", "no joint has a torque limit"), left]
    ratio = np.where(limited, ratio, 0.0)
    at, joint = np.unravel_index(int(ratio.argmax()), ratio.shape)
    time, frame = sampled.place(frames[at])
    p95 = float(np.percentile(ratio.max(axis=1), 95))
    where = sampled.character.joints[joint].name
    return [
        Measure("torque_ratio", p95, "", p95, float(ratio.max()), None, where, time, frame, len(frames), share),
        left,
    ]


def torques(sampled: Sampled, frames: np.ndarray) -> tuple[Array, Array]:
    """Torque over limit ``(N, J)`` (NaN without a limit) and root residual ``(N,)`` at N frames."""
    character = sampled.character
    qvel, qacc = sampled.derivatives
    wrench = dynamics.inverse_dynamics(character, sampled.qpos[frames], qvel[frames], qacc[frames])
    weight = character.mass * GRAVITY
    limits = np.array([character.torque_limits.get(joint.name, np.nan) for joint in character.joints])
    units = np.empty(character.layout.nv)
    units[:3], units[3:6] = 1.0 / weight, 1.0 / (weight * sampled.scale)
    starts = character.layout.qvel_at
    widths = np.diff([*starts, character.layout.nv])
    units[6:] = np.repeat(TORQUE_WEIGHT / np.where(np.isnan(limits), np.inf, limits), widths)

    left = wrench.copy()
    for start in range(0, len(frames), BLOCK):
        rows = slice(start, start + BLOCK)
        edges, near = _edges(sampled, frames[rows])
        for i in np.flatnonzero(near.any(axis=1)):
            columns = edges[i][near[i]].reshape(-1, edges.shape[-1])  # (points · edges, nv)
            force, _ = nnls((columns * units).T * weight, wrench[start + i] * units)
            left[start + i] -= (weight * force) @ columns
    torque = (
        np.sqrt(np.add.reduceat(left[:, 6:] ** 2, starts - 6, axis=1)) if len(starts) else np.zeros((len(frames), 0))
    )
    return torque / limits, np.linalg.norm(left[:, :6] * units[:6], axis=1)


def _edges(sampled: Sampled, frames: np.ndarray) -> tuple[Array, np.ndarray]:
    """Generalised forces ``(N, K, EDGES, nv)`` of unit forces along the pyramid's edges at the contact candidates, and
    which of them are in contact ``(N, K)``."""
    character, support = sampled.character, sampled.character.support
    pose = Pose(sampled.pose.positions[frames], sampled.pose.rotations[frames])
    angle = np.arange(EDGES) * (2 * np.pi / EDGES)
    directions = np.stack([FRICTION * np.cos(angle), FRICTION * np.sin(angle), np.ones(EDGES)], axis=-1)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    columns, near = [np.zeros((len(frames), 0, EDGES, character.layout.nv))], [np.zeros((len(frames), 0), dtype=bool)]
    for link in sampled.ground:
        touching = sampled.body_contact(link)[frames]
        if not touching.any():
            continue
        for k in np.flatnonzero(support.link == link):
            point = pose.points(link, support.points[k])
            point[:, 2] -= support.radius[k]
            low = touching & (point[:, 2] < CONTACT_HEIGHT * sampled.scale)
            if not low.any():
                continue
            jacobian = kinematics.jacobian(character, pose, link, point)[:, :3]
            columns.append(np.einsum("ei,tiv->tev", directions, jacobian)[:, None])
            near.append(low[:, None])
    return np.concatenate(columns, axis=1), np.concatenate(near, axis=1)


def self_penetration(sampled: Sampled) -> Measure:
    """``self_penetration_cm``: deepest overlap of two links that are neither adjacent nor overlap at rest."""
    frames = np.arange(0, sampled.count, EVERY)
    depth = 100 * dynamics.self_penetration(sampled.character, sampled.qpos[frames])
    worst = int(depth.argmax())
    time, frame = sampled.place(frames[worst])
    return Measure(
        "self_penetration_cm",
        float(depth[worst]),
        "cm",
        time=time,
        frame=frame,
        samples=len(frames),
        note=f"every {EVERY}th frame",
    )
