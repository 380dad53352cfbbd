"""MuJoCo as a calculator: mass matrices, inverse dynamics, self-penetration.

The model is built from the `Character`, not from the URDF file, so that scale, up axis, merged links and joint order are the
body's own and qpos and qvel need no translation. Joints have no armature, damping or friction.
"""
# mujoco ships no type stubs for its compiled functions
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco import rollout

from characters.body import Shape
from characters.character import Character
from motion.rotation import Array

GEOMS = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}
_models: weakref.WeakKeyDictionary[Character, mujoco.MjModel] = weakref.WeakKeyDictionary()
_colliders: weakref.WeakKeyDictionary[Character, mujoco.MjModel] = weakref.WeakKeyDictionary()


def spec(character: Character) -> mujoco.MjSpec:
    """A MuJoCo specification of the body: free root, named links, joints and shapes, hinge limits; no floor, no actuators.

    Body i + 1 is link i, joint i + 1 is joint i. A ball's swing and twist limits have no counterpart in MuJoCo.
    """
    out = mujoco.MjSpec()
    out.modelname = character.name
    out.compiler.degree = False
    bodies: list[mujoco.MjsBody] = []
    for i, link in enumerate(character.links):
        if i == 0:
            body = out.worldbody.add_body(name=link.name)
            body.add_freejoint(name="root")
        else:
            joint = character.joints[i - 1]
            body = bodies[link.parent].add_body(name=link.name, pos=joint.origin, quat=joint.rotation)
            if joint.type == "ball":
                body.add_joint(name=joint.name, type=mujoco.mjtJoint.mjJNT_BALL)
            else:
                limited = bool(np.isfinite([joint.lower, joint.upper]).all())
                body.add_joint(
                    name=joint.name,
                    type=mujoco.mjtJoint.mjJNT_HINGE,
                    axis=joint.axis,
                    limited=limited,
                    range=[joint.lower, joint.upper] if limited else [0.0, 0.0],
                )
        tensor = link.inertia
        body.explicitinertial = True
        body.mass, body.ipos = link.mass, link.com
        body.fullinertia = [tensor[0, 0], tensor[1, 1], tensor[2, 2], tensor[0, 1], tensor[0, 2], tensor[1, 2]]
        bodies.append(body)
    for k, shape in enumerate(character.shapes):
        _add_geom(out, bodies[shape.link], f"{character.links[shape.link].name}_{k}", shape)
    return out


def _add_geom(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, shape: Shape) -> None:
    size = 0.5 * shape.size if shape.kind == "box" else shape.size * np.array([1.0, 0.5, 0.0])
    geom = body.add_geom(name=name, type=GEOMS[shape.kind], pos=shape.position, quat=shape.rotation, rgba=shape.color)
    if shape.kind == "mesh":
        spec.add_mesh(name=name, uservert=shape.vertices.ravel())
        geom.meshname = name
    else:
        geom.size = size


def model(character: Character) -> mujoco.MjModel:
    """The compiled body, without any constraint: neither contact nor joint limit adds a force. Made once a character."""
    if character not in _models:
        compiled = spec(character).compile()
        compiled.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONSTRAINT)
        _models[character] = compiled
    return _models[character]


def overlapping_at_rest(character: Character) -> list[tuple[int, int]]:
    """The pairs of links whose shapes overlap at rest, parents and children left out as MuJoCo does."""
    compiled = spec(character).compile()
    pairs = _touching(compiled, mujoco.MjData(compiled), character.rest)
    return sorted({(min(pair), max(pair)) for pair, _ in pairs})


def _collider(character: Character) -> mujoco.MjModel:
    """The body with collisions between the links that are neither adjacent nor overlap at rest."""
    if character not in _colliders:
        source = spec(character)
        adjacent = [(link.parent, i) for i, link in enumerate(character.links) if i > 0]
        for a, b in sorted({*adjacent, *overlapping_at_rest(character)}):
            source.add_exclude(bodyname1=character.links[a].name, bodyname2=character.links[b].name)
        _colliders[character] = source.compile()
    return _colliders[character]


def _collide(compiled: mujoco.MjModel, data: mujoco.MjData, qpos: Array) -> None:
    """Fill ``data.contact`` at one qpos (nq,)."""
    data.qpos[:] = qpos
    mujoco.mj_kinematics(compiled, data)
    mujoco.mj_collision(compiled, data)


def _touching(compiled: mujoco.MjModel, data: mujoco.MjData, qpos: Array) -> Iterator[tuple[tuple[int, int], float]]:
    """The pairs of links that overlap at one qpos (nq,), and how deep in metres."""
    _collide(compiled, data, qpos)
    body = compiled.geom_bodyid
    for k in range(data.ncon):
        one, other = data.contact.geom[k]
        yield (int(body[one]) - 1, int(body[other]) - 1), max(0.0, -float(data.contact.dist[k]))


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """Places where two links overlap that are neither adjacent nor overlap at rest."""

    frame: np.ndarray
    """(N,) ascending"""
    links: np.ndarray
    """(N, 2) the two links"""
    point: Array
    """(N, 3) world, half-way between the two surfaces"""
    normal: Array
    """(N, 3) unit, the way out for the second link"""
    depth: Array
    """(N,) metres"""

    def deeper(self, least: float) -> Overlaps:
        """Those deeper than ``least`` metres."""
        kept = self.depth > least
        return Overlaps(self.frame[kept], self.links[kept], self.point[kept], self.normal[kept], self.depth[kept])


def overlaps(character: Character, qpos: Array) -> Overlaps:
    """Where qpos ``(T, nq)`` overlaps itself."""
    compiled = _collider(character)
    data = mujoco.MjData(compiled)
    frame, links, point, normal, depth = [], [], [], [], []
    for t, q in enumerate(qpos):
        _collide(compiled, data, q)
        if data.ncon:
            contact = data.contact
            frame.append(np.full(data.ncon, t))
            links.append(compiled.geom_bodyid[contact.geom] - 1)
            point.append(contact.pos.copy())
            normal.append(contact.frame[:, :3].copy())
            depth.append(-contact.dist)
    if not frame:
        empty = np.zeros((0, 3))
        return Overlaps(np.zeros(0, dtype=int), np.zeros((0, 2), dtype=int), empty, empty, np.zeros(0))
    return Overlaps(*(np.concatenate(parts) for parts in (frame, links, point, normal, depth)))


def mass_matrix(character: Character, qpos: Array) -> Array:
    """Joint-space inertia ``(T, nv, nv)`` for qpos ``(T, nq)``, in qvel's convention, kg and kg·m²."""
    compiled = model(character)
    data = mujoco.MjData(compiled)
    out = np.zeros((len(qpos), compiled.nv, compiled.nv))
    for q, full in zip(qpos, out, strict=True):
        data.qpos[:] = q
        mujoco.mj_kinematics(compiled, data)
        mujoco.mj_comPos(compiled, data)
        mujoco.mj_makeM(compiled, data)
        mujoco.mj_fullM(compiled, data, full)
    return out


def inverse_dynamics(character: Character, qpos: Array, qvel: Array, qacc: Array) -> Array:
    """Generalised forces ``(T, nv)`` that give the body this acceleration without any contact: N and N·m, in qvel's convention.

    Args:
        qpos: (T, nq).
        qvel: (T, nv).
        qacc: (T, nv) time derivative of qvel.

    The first six are the root wrench that contacts have to supply: force in the world, torque in the root link's frame.
    """
    compiled = model(character)
    data = mujoco.MjData(compiled)
    out = np.empty((len(qpos), compiled.nv))
    for t in range(len(qpos)):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[t], qvel[t], qacc[t]
        mujoco.mj_inverse(compiled, data)
        out[t] = data.qfrc_inverse
    return out


def implicit_acceleration(
    character: Character,
    qpos: Array,
    qvel: Array,
    torque: Array,
    damping: Array,
    timestep: float,
    *,
    was: Array,
    applied: Array,
) -> Array:
    """Accelerations ``(T, nv)`` when damping acts at the velocity reached after ``timestep`` s.

    They solve (M + Δt·D)·a = torque − D·qvel − bias + rest. Bias is gravity and what rotation itself asks for; the rest is
    what the last step's acceleration does not owe to bias and ``applied``: contacts and limits, taken to act on unchanged.

    Args:
        qpos: (T, nq).
        qvel: (T, nv).
        torque: (T, nv) generalised forces, N and N·m, in qvel's convention.
        damping: (nv,) the diagonal D, N·s/m and N·m·s/rad.
        was: (T, nv) qvel one step earlier; NaN where that is unknown, and the rest is then nothing.
        applied: (T, nv) generalised forces of that step, damping included.
    """
    if character not in _solvers:
        _solvers[character] = _Solver(character)
    known = np.isfinite(was[:, :1])
    change = np.where(known, qvel - was, 0.0) / timestep
    # where the last step is known, bias cancels: it is in the rest too. And M·change = (M + Δt·D)·change − Δt·D·change
    forces = torque - damping * (qvel + timestep * change) - np.where(known, applied, 0.0)
    new = np.flatnonzero(~known)
    if len(new):
        forces[new] -= inverse_dynamics(character, qpos[new], qvel[new], np.zeros((len(new), qvel.shape[1])))
    return change + _solvers[character].solve(qpos, forces, damping, timestep)


class _Solver:
    """(M + Δt·D)⁻¹ of many poses: a step of bodies at rest, without gravity, that only these forces act on."""

    def __init__(self, character: Character):
        self.model = copy.copy(model(character))
        self.model.opt.gravity[:] = 0.0
        self.model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER  # implicit in the damping
        self.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        self.data = mujoco.MjData(self.model)
        self.size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self.rollout = rollout.Rollout(nthread=0)

    def solve(self, qpos: Array, forces: Array, damping: Array, timestep: float) -> Array:
        """Accelerations ``(T, nv)``."""
        count, nq, nv = len(qpos), self.model.nq, self.model.nv
        self.model.dof_damping[:], self.model.opt.timestep = damping, timestep
        before, after = np.zeros((count, self.size)), np.empty((count, 1, self.size))
        before[:, 1 : 1 + nq] = qpos
        self.rollout.rollout(
            [self.model] * count,
            [self.data],
            before,
            np.ascontiguousarray(forces[:, None]),
            control_spec=int(mujoco.mjtState.mjSTATE_QFRC_APPLIED),
            skip_checks=True,
            nstep=1,
            state=after,
        )
        return after[:, 0, 1 + nq : 1 + nq + nv] / timestep


_solvers: weakref.WeakKeyDictionary[Character, _Solver] = weakref.WeakKeyDictionary()


def self_penetration(character: Character, qpos: Array) -> Array:
    """How deep ``(T,)`` the worst pair of links overlaps, metres; pairs that are adjacent or overlap at rest do not count."""
    compiled = _collider(character)
    data = mujoco.MjData(compiled)
    return np.array([max((depth for _, depth in _touching(compiled, data, q)), default=0.0) for q in qpos])
