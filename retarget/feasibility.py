"""Could the body do it: joint torques and ground forces the clip asks for, and whether the body passes through itself.

Both are taken at `DYNAMICS_RATE`, every fourth frame of the 120 Hz clip; velocities and accelerations are those of all frames.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import ConvexHull

from characters import dynamics, kinematics
from characters.body import Shape
from characters.character import Character
from characters.kinematics import Pose
from motion import rotation
from motion.rotation import Array
from retarget.measures import Measure, unmeasured
from retarget.sampled import CONTACT_HEIGHT, RATE, Sampled

DYNAMICS_RATE = 30.0
"""Hz"""
BLOCK = 512
"""frames whose contact Jacobians are held at a time"""
FRICTION = 1.0
"""μ of ground and body"""
EDGES = 4
"""of the pyramid that stands for the friction cone, inside it: a force along an edge is on the cone"""
GRAVITY = 9.81
"""m/s²"""
TORQUE_WEIGHT = 0.02
"""Weight of torque over limit beside root wrench over body weight in the fit: it only chooses among forces that balance the root
equally well, as the legs of a standing body would share the load."""
REST_OVERLAP = 0.001
"""metres: shapes closer than this at rest belong together"""


def feasibility(sampled: Sampled) -> list[Measure]:
    """``torque_ratio`` and ``root_residual`` by inverse dynamics.

    M·a + c = Sᵀτ + Jᵀf is fitted per frame by non-negative least squares over the edges of a friction pyramid (μ = 1) at every
    support point under 2 cm of a link in body contact. ``torque_ratio``: p95 over frames of the largest |τ| over its limit (a ball
    joint's as a vector). ``root_residual``: p95 over frames of the root wrench left over, over body weight, a moment counted as the
    force on an arm of 1 m times the body's scale.
    """
    names = ("torque_ratio", "root_residual")
    if sampled.count < 5:
        return [unmeasured(name, "fewer than 5 frames") for name in names]
    frames = np.arange(0, sampled.count, int(round(RATE / DYNAMICS_RATE)))
    ratio, residual = _fit(sampled, frames)
    share = f"every {int(round(RATE / DYNAMICS_RATE))}th frame"
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


def _fit(sampled: Sampled, frames: np.ndarray) -> tuple[Array, Array]:
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
    """Generalised forces ``(N, K, EDGES, nv)`` of unit forces along the pyramid's edges at the contact candidates, and which of them
    are in contact ``(N, K)``."""
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
    """``self_penetration_cm``: deepest overlap of two shapes whose links are neither adjacent nor overlap at rest.

    One shape is filled with balls, the other is a distance field, and the other way round: exact for spheres, within a
    few per cent of the radius for the rest.
    """
    character = sampled.character
    pairs = _pairs(character)
    frames = np.arange(0, sampled.count, int(round(RATE / DYNAMICS_RATE)))
    if not pairs:
        return unmeasured("self_penetration_cm", "no pair of shapes can meet", unit="cm")
    pose = Pose(sampled.pose.positions[frames], sampled.pose.rotations[frames])
    deepest, where, at = 0.0, None, 0
    for a, b in pairs:
        depth = _overlap(pose, character.shapes[a], character.shapes[b])
        if depth.max() > deepest:
            deepest, at = float(depth.max()), int(depth.argmax())
            where = " and ".join(character.links[character.shapes[i].link].name for i in (a, b))
    time, frame = sampled.place(frames[at])
    note = f"every {int(round(RATE / DYNAMICS_RATE))}th frame"
    return Measure("self_penetration_cm", 100 * deepest, "cm", None, None, None, where, time, frame, len(frames), note)


def _pairs(character: Character) -> list[tuple[int, int]]:
    """Pairs of shapes whose links are neither the same, adjacent nor overlapping at rest."""
    rest = kinematics.forward(character, character.rest[None])
    met = {(link.parent, i) for i, link in enumerate(character.links)} | {(i, i) for i in range(len(character.links))}
    pairs = list(combinations(range(len(character.shapes)), 2))
    for a, b in pairs:
        if _overlap(rest, character.shapes[a], character.shapes[b])[0] > -REST_OVERLAP:
            met.add(_links(character, a, b))
    return [(a, b) for a, b in pairs if _links(character, a, b) not in met]


def _links(character: Character, a: int, b: int) -> tuple[int, int]:
    one, two = sorted((character.shapes[a].link, character.shapes[b].link))
    return one, two


def _overlap(pose: Pose, a: Shape, b: Shape) -> Array:
    """Depth ``(T,)`` of two shapes in each other, metres; negative: at least this far apart, −inf where they cannot meet."""
    out = np.full(len(pose.positions), -np.inf)
    centres = [pose.points(shape.link, shape.position) for shape in (a, b)]
    near = np.linalg.norm(centres[0] - centres[1], axis=1) < _reach(a) + _reach(b) + REST_OVERLAP
    if near.any():
        close = Pose(pose.positions[near], pose.rotations[near])
        out[near] = np.maximum(_depth(close, a, b), _depth(close, b, a))
    return out


def _reach(shape: Shape) -> float:
    """Radius of a ball about the shape's centre that holds it."""
    points, radius = _fill(shape)
    return float((np.linalg.norm(points, axis=1) + radius).max())


def _depth(pose: Pose, balls: Shape, inside: Shape) -> Array:
    """How deep ``(T,)`` the balls that fill one shape are inside another."""
    points, radius = _fill(balls)
    points = balls.position + rotation.rotate(balls.rotation, points)
    world = pose.positions[:, None, balls.link] + rotation.rotate(pose.rotations[:, None, balls.link], points)
    local = rotation.rotate(
        rotation.conjugate(pose.rotations[:, None, inside.link]), world - pose.positions[:, None, inside.link]
    )
    local = rotation.rotate(rotation.conjugate(inside.rotation), local - inside.position)
    return (radius - _distance(inside, local)).max(axis=1)


def _fill(shape: Shape) -> tuple[Array, Array]:
    """Balls inside a shape, in its frame: centres ``(k, 3)`` and radii ``(k,)``."""
    size = shape.size
    if shape.kind == "sphere":
        return np.zeros((1, 3)), np.array([size[0]])
    if shape.kind == "capsule":
        count = 2 + int(np.ceil(2 * size[1] / size[0]))
        axis = np.linspace(-0.5 * size[1], 0.5 * size[1], count)
        return np.stack([np.zeros(count), np.zeros(count), axis], axis=-1), np.full(count, size[0])
    if shape.kind == "mesh":
        return shape.vertices, np.zeros(len(shape.vertices))
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    half = 0.5 * size if shape.kind == "box" else np.array([size[0], size[0], 0.5 * size[1]])
    if shape.kind == "cylinder":
        grid = grid[np.hypot(grid[:, 0], grid[:, 1]) <= 1.0]
    return grid * half, np.zeros(len(grid))


def _distance(shape: Shape, points: Array) -> Array:
    """Signed distance ``(…)`` of points ``(…, 3)`` in the shape's frame, negative inside."""
    size = shape.size
    if shape.kind == "sphere":
        return np.linalg.norm(points, axis=-1) - size[0]
    if shape.kind == "capsule":
        z = points[..., 2] - np.clip(points[..., 2], -0.5 * size[1], 0.5 * size[1])
        return np.sqrt(points[..., 0] ** 2 + points[..., 1] ** 2 + z**2) - size[0]
    if shape.kind == "box":
        beyond = np.abs(points) - 0.5 * size
    elif shape.kind == "cylinder":
        across = np.hypot(points[..., 0], points[..., 1]) - size[0]
        beyond = np.stack([across, np.abs(points[..., 2]) - 0.5 * size[1]], axis=-1)
    else:
        planes = ConvexHull(shape.vertices).equations
        return (points @ planes[:, :3].T + planes[:, 3]).max(axis=-1)
    return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(axis=-1), 0.0)
