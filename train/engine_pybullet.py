"""PyBullet: worker processes, each with its bodies in worlds of its own, and states in shared memory.

What differs from the project's coordinates stays in this file: xyzw quaternions, a base that is the root link's centre of
mass, and ball joints in the principal axes of the links' inertias. The servos are our own (`train.servo`): the mass matrix
behind PyBullet's `STABLE_PD_CONTROL` takes inertias from collision shapes, not from the URDF, and its capsules lie along y,
so that it shakes bodies whose damping it over- or underestimates.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from characters import urdf_text
from characters.character import Character
from motion import rotation
from motion.errors import InputError, SolveError
from motion.gains import JointGain
from motion.rotation import Array
from train.engine import EngineSettings
from train.servo import Servo


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on the process's stderr, where PyBullet says when it was built."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _silent():
    import pybullet

GRAVITY = 9.81
BODIES_PER_WORLD = 8
"""bodies that share a world without touching, each with a bit of the collision mask: a world takes 30 MB, and a step of
one with many bodies takes longer for each"""
GROUND_BIT = 1 << BODIES_PER_WORLD
FASTEST = 1000.0
"""rad/s and m/s at which PyBullet clamps velocities; by default 100, which would hide a body that explodes"""


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What a worker needs to know of the bodies."""

    character: Character
    urdf: str
    gains: dict[str, JointGain]
    settings: EngineSettings


class _Shared(NamedTuple):
    """Arrays of all environments, or a worker's rows of them."""

    qpos: Array
    """(N, nq)"""
    qvel: Array
    """(N, nv)"""
    targets: Array
    """(N, nq − 7)"""
    before: Array
    """(N, nq − 7) targets of the first simulation steps"""
    delay: Array
    """(N, 1) for how many they hold"""
    force: Array
    """(N, 3) push"""
    friction: Array
    """(N, 1) of the ground"""
    mass: Array
    """(N, L) factors on masses and inertias"""

    over: Array
    """(N, S·J) 1 where a servo asked for more than its torque limit, per simulation step and joint"""

    @classmethod
    def shapes(cls, character: Character, count: int, substeps: int) -> list[tuple[int, int]]:
        nq, nv, joints = character.layout.nq, character.layout.nv, len(character.joints)
        return [(count, n) for n in (nq, nv, nq - 7, nq - 7, 1, 3, 1, joints + 1, substeps * joints)]

    @classmethod
    def views(cls, memory: list[Any], shapes: list[tuple[int, int]], rows: slice) -> _Shared:
        """Views of rows of shared memory."""
        blocks = (
            np.frombuffer(block, dtype=np.float64).reshape(shape) for block, shape in zip(memory, shapes, strict=True)
        )
        return cls(*(block[rows] for block in blocks))


class _Worlds:
    """Some of the bodies, stepped in this process."""

    def __init__(self, plan: _Plan, shared: _Shared):
        self.shared, self.settings = shared, plan.settings
        self.layout = layout = plan.character.layout
        self.over = shared.over.reshape(len(shared.over), plan.settings.substeps, -1)
        self.servo = Servo(plan.character, plan.gains, plan.settings.timestep, fixed_root=plan.settings.fixed_root)
        axes = np.array([urdf_text.principal(link)[0] for link in plan.character.links])
        self.root_com, self.root_axes = plan.character.links[0].com, axes[0]
        self.axes = axes[[joint.child for joint in plan.character.joints if joint.type == "ball"]].reshape(-1, 4)
        self.turned = bool((self.axes[:, 0] < 1.0).any())
        self.balls_q = layout.quaternions[1:, None] + np.arange(4)
        self.balls_u = layout.quaternion_dofs[1:, None] + np.arange(3)
        self.was, self.applied = np.empty_like(shared.qvel), np.zeros_like(shared.qvel[:, 6:])
        places = range(len(shared.qpos))
        self.clients = [_client(plan.settings) for _ in places[::BODIES_PER_WORLD]]
        self.bodies = [_Body(plan, self.clients[i // BODIES_PER_WORLD], i % BODIES_PER_WORLD) for i in places]

    def reset(self, ids: list[int]) -> None:
        """Put bodies where the shared qpos and qvel say."""
        qpos, qvel = self.shared.qpos[ids], self.shared.qvel[ids]
        self.was[ids] = np.nan
        turn = qpos[:, 3:7]
        arm, angular = rotation.rotate(turn, self.root_com), rotation.rotate(turn, qvel[:, 3:6])
        place = (qpos[:, :3] + arm).tolist()
        axes = _xyzw(rotation.multiply(turn, self.root_axes)).tolist()
        linear = (qvel[:, :3] + np.cross(angular, arm)).tolist()
        joints, speeds = qpos[:, 7:].copy(), self._to_axes(qvel[:, 6:])
        balls = rotation.multiply(rotation.conjugate(self.axes), joints[:, self.balls_q - 7])
        joints[:, self.balls_q - 7] = _xyzw(rotation.multiply(balls, self.axes))
        for row, i in enumerate(ids):
            self.bodies[i].reset(place[row], axes[row], linear[row], angular[row].tolist(), joints[row], speeds[row])

    def step(self) -> None:
        """One policy step of all bodies."""
        shared = self.shared
        pushed = np.flatnonzero(shared.force.any(axis=1)).tolist()
        for k in range(self.settings.substeps):
            target = np.where(k < shared.delay, shared.before, shared.targets)
            torque = self.servo.torque(shared.qpos, shared.qvel, target, self.was, self.applied)
            limited = np.clip(torque, -self.servo.limit, self.servo.limit)
            self.over[:, k] = np.logical_or.reduceat(limited != torque, self.layout.qvel_at - 6, axis=1)
            self.was[:], self.applied[:] = shared.qvel, limited
            for body, row in zip(self.bodies, self._to_axes(limited).tolist(), strict=True):
                body.drive(row)
            for i in pushed:
                self.bodies[i].push(shared.force[i].tolist())
            for client in self.clients:
                pybullet.stepSimulation(physicsClientId=client)
            self._read()

    def vary(self, ids: list[int]) -> None:
        """Give bodies the friction and masses the shared arrays say."""
        for i in ids:
            self.bodies[i].vary(float(self.shared.friction[i, 0]), self.shared.mass[i].tolist())

    def _read(self) -> None:
        """Where the bodies are now, into the shared qpos and qvel."""
        qpos, qvel = self.shared.qpos, self.shared.qvel
        raw = np.fromiter(chain.from_iterable(body.state() for body in self.bodies), dtype=np.float64)
        raw = raw.reshape(len(self.bodies), -1)
        turn = rotation.normalize(rotation.multiply(_wxyz(raw[:, 3:7]), rotation.conjugate(self.root_axes)))
        arm, angular = rotation.rotate(turn, self.root_com), raw[:, 10:13]
        qpos[:, :3], qpos[:, 3:7] = raw[:, :3] - arm, turn
        qvel[:, :3] = raw[:, 7:10] - np.cross(angular, arm)
        qvel[:, 3:6] = rotation.rotate(rotation.conjugate(turn), angular)
        end = 13 + self.layout.nq - 7
        qpos[:, 7:], qvel[:, 6:] = raw[:, 13:end], raw[:, end:]
        balls = _wxyz(qpos[:, self.balls_q])
        if self.turned:
            balls = rotation.multiply(rotation.multiply(self.axes, balls), rotation.conjugate(self.axes))
            qvel[:, self.balls_u] = rotation.rotate(self.axes, qvel[:, self.balls_u])
        qpos[:, self.balls_q] = rotation.normalize(balls)

    def _to_axes(self, joint: Array) -> Array:
        """Joint velocities or torques ``(n, nv − 6)`` in the principal axes of the child links."""
        out = joint.copy()
        if self.turned:
            out[:, self.balls_u - 6] = rotation.rotate(rotation.conjugate(self.axes), joint[:, self.balls_u - 6])
        return out

    def close(self) -> None:
        for client in self.clients:
            pybullet.disconnect(physicsClientId=client)


class _Body:
    """One body in a world that it may share; all values are PyBullet's."""

    def __init__(self, plan: _Plan, client: int, place: int):
        self.client, self.fixed, character = client, plan.settings.fixed_root, plan.character
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        if plan.settings.self_collision:
            flags |= pybullet.URDF_USE_SELF_COLLISION_EXCLUDE_PARENT | pybullet.URDF_USE_SELF_COLLISION
        self.id = pybullet.loadURDF(plan.urdf, useFixedBase=self.fixed, flags=flags, physicsClientId=client)
        infos = [self._info(j) for j in range(pybullet.getNumJoints(self.id, physicsClientId=client))]
        number = {info[1].decode(): info[0] for info in infos}
        self.joints = [number[joint.name] for joint in character.joints]
        """PyBullet's numbers of the joints and of the links they move"""
        self.balls = character.layout.ball.tolist()
        self.q = _spans(character.layout.qpos_at - 7, np.where(character.layout.ball, 4, 1))
        self.u = _spans(character.layout.qvel_at - 6, np.where(character.layout.ball, 3, 1))
        self.links = [-1, *self.joints]
        self.masses = [link.mass for link in character.links]
        self.moments = [urdf_text.principal(link)[1].tolist() for link in character.links]
        own = 1 << place
        met = own | GROUND_BIT if plan.settings.self_collision else GROUND_BIT
        for link in self.links:
            pybullet.changeDynamics(
                self.id,
                link,
                linearDamping=0.0,
                angularDamping=0.0,
                jointDamping=0.0,
                maxJointVelocity=FASTEST,
                physicsClientId=client,
            )
            pybullet.setCollisionFilterGroupMask(self.id, link, own, met, physicsClientId=client)
        self.vary(plan.settings.friction, [1.0] * len(self.links))
        self._release()

    def _info(self, joint: int) -> tuple[Any, ...]:
        return pybullet.getJointInfo(self.id, joint, physicsClientId=self.client)

    def _release(self) -> None:
        """Switch off the motors PyBullet puts into every joint to imitate friction."""
        for joint, ball in zip(self.joints, self.balls, strict=True):
            if ball:
                pybullet.setJointMotorControlMultiDof(
                    self.id,
                    joint,
                    pybullet.POSITION_CONTROL,
                    targetPosition=[0.0, 0.0, 0.0, 1.0],
                    positionGain=0.0,
                    velocityGain=1.0,
                    force=[0.0, 0.0, 0.0],
                    physicsClientId=self.client,
                )
            else:
                pybullet.setJointMotorControl2(
                    self.id, joint, pybullet.VELOCITY_CONTROL, force=0.0, physicsClientId=self.client
                )

    def vary(self, friction: float, mass: list[float]) -> None:
        """PyBullet multiplies the two frictions of a contact; the ground's is 1."""
        for link, factor, kilograms, moments in zip(self.links, mass, self.masses, self.moments, strict=True):
            pybullet.changeDynamics(self.id, link, lateralFriction=friction, physicsClientId=self.client)
            if link == -1 and self.fixed:
                continue  # a mass would set it free
            pybullet.changeDynamics(
                self.id,
                link,
                mass=factor * kilograms,
                localInertiaDiagonal=[factor * m for m in moments],
                physicsClientId=self.client,
            )

    def reset(
        self, place: list[float], turn: list[float], linear: list[float], angular: list[float], q: Array, u: Array
    ) -> None:
        pybullet.resetBasePositionAndOrientation(self.id, place, turn, physicsClientId=self.client)
        pybullet.resetBaseVelocity(self.id, linear, angular, physicsClientId=self.client)
        positions, velocities = [q[a:b].tolist() for a, b in self.q], [u[a:b].tolist() for a, b in self.u]
        pybullet.resetJointStatesMultiDof(self.id, self.joints, positions, velocities, physicsClientId=self.client)

    def drive(self, torque: list[float]) -> None:
        """Joint torques for the next simulation step."""
        pybullet.setJointMotorControlMultiDofArray(
            self.id,
            self.joints,
            pybullet.TORQUE_CONTROL,
            forces=[torque[a:b] for a, b in self.u],
            physicsClientId=self.client,
        )

    def push(self, force: list[float]) -> None:
        """Force (3,) at the root's centre of mass for the next simulation step."""
        at, _ = pybullet.getBasePositionAndOrientation(self.id, physicsClientId=self.client)
        pybullet.applyExternalForce(self.id, -1, force, at, pybullet.WORLD_FRAME, physicsClientId=self.client)

    def state(self) -> Iterator[float]:
        """Base place 3, turn 4, velocities 3 and 3; joint positions; joint velocities."""
        place, turn = pybullet.getBasePositionAndOrientation(self.id, physicsClientId=self.client)
        linear, angular = pybullet.getBaseVelocity(self.id, physicsClientId=self.client)
        joints = pybullet.getJointStatesMultiDof(self.id, self.joints, physicsClientId=self.client)
        q, u, _, _ = zip(*joints, strict=True)
        return chain(place, turn, linear, angular, chain.from_iterable(q), chain.from_iterable(u))


def _spans(at: np.ndarray, widths: np.ndarray) -> list[tuple[int, int]]:
    return [(int(a), int(a + width)) for a, width in zip(at, widths, strict=True)]


def _client(settings: EngineSettings) -> int:
    """An empty world with a ground."""
    client = pybullet.connect(pybullet.DIRECT)
    pybullet.setGravity(0.0, 0.0, -GRAVITY, physicsClientId=client)
    pybullet.setPhysicsEngineParameter(
        fixedTimeStep=settings.timestep,
        numSubSteps=0,
        useSplitImpulse=0,  # with it, joints and contacts more than 0.04 beyond their limit are stopped, not brought back
        minimumSolverIslandSize=1,  # a body's result does not depend on who shares its world
        deterministicOverlappingPairs=1,
        physicsClientId=client,
    )
    plane = pybullet.createCollisionShape(pybullet.GEOM_PLANE, physicsClientId=client)
    ground = pybullet.createMultiBody(0.0, plane, physicsClientId=client)
    pybullet.changeDynamics(ground, -1, lateralFriction=1.0, physicsClientId=client)
    pybullet.setCollisionFilterGroupMask(ground, -1, GROUND_BIT, GROUND_BIT - 1, physicsClientId=client)
    return client


def _xyzw(wxyz: Array) -> Array:
    return np.roll(wxyz, -1, axis=-1)


def _wxyz(xyzw: Array) -> Array:
    return np.roll(xyzw, 1, axis=-1)


class PybulletEngine:
    """`train.engine.Engine` by PyBullet: in this process with one thread, else in as many worker processes.

    Args:
        aside: in a worker process with one thread too, since PyBullet lets no other thread of its process get on.
    """

    def __init__(
        self,
        character: Character,
        gains: dict[str, JointGain],
        count: int,
        settings: EngineSettings,
        *,
        aside: bool = False,
    ):
        self.character, self.settings, self.count = character, settings, count
        self._folder = tempfile.TemporaryDirectory(prefix="mimic-pybullet-")
        plan = _Plan(character, str(urdf_text.write(character, Path(self._folder.name))), gains, settings)
        shapes = _Shared.shapes(character, count, settings.substeps)
        memory = [multiprocessing.RawArray(ctypes.c_double, rows * columns) for rows, columns in shapes]
        self._shared = _Shared.views(memory, shapes, slice(None))
        self.qpos, self.qvel = self._shared.qpos, self._shared.qvel
        self.qpos[:] = character.rest
        self._worlds: _Worlds | None = None
        self._workers: list[_Worker] = []
        workers = min(settings.threads, count)
        if workers == 1 and not aside:
            self._worlds = _Worlds(plan, self._shared)
        else:
            ends = [k * count // workers for k in range(workers + 1)]
            rows = [slice(a, b) for a, b in pairwise(ends)]
            self._workers = [_Worker(plan, memory, shapes, part) for part in rows]
            for worker in self._workers:
                worker.wait()
        self.reset(np.arange(count), self.qpos.copy(), self.qvel.copy())

    def reset(self, ids: np.ndarray, qpos: Array, qvel: Array) -> None:
        self.qpos[ids], self.qvel[ids] = qpos, qvel
        self._order("reset", ids)

    def step(self, targets: Array, before: Array | None = None, delay: np.ndarray | None = None) -> None:
        self._shared.targets[:] = targets
        self._shared.delay[:] = 0.0
        if before is not None and delay is not None:
            self._shared.before[:], self._shared.delay[:, 0] = before, delay
        self._order("step")

    def vary(self, ids: np.ndarray, friction: Array, mass: Array) -> None:
        self._shared.friction[ids, 0], self._shared.mass[ids] = friction, mass
        self._order("vary", ids)

    def push(self, force: Array) -> None:
        self._shared.force[:] = force

    def overload(self) -> np.ndarray:
        return self._shared.over.reshape(self.count, self.settings.substeps, -1) > 0

    def close(self) -> None:
        if self._worlds is not None:
            self._worlds.close()
        for worker in self._workers:
            worker.close()
        self._worlds, self._workers = None, []
        self._folder.cleanup()

    def _order(self, command: str, ids: np.ndarray | None = None) -> None:
        """Have a method of the worlds done, for some environments or for all."""
        if self._worlds is not None:
            getattr(self._worlds, command)(*([] if ids is None else [ids.tolist()]))
        for worker in self._workers:
            rows = worker.rows
            worker.send(command, *([] if ids is None else [[i - rows.start for i in ids.tolist() if i in rows]]))
        for worker in self._workers:
            worker.wait()


class _Worker:
    """A process with some of the bodies."""

    def __init__(self, plan: _Plan, memory: list[Any], shapes: list[tuple[int, int]], rows: slice):
        self.rows = range(rows.start, rows.stop)
        context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, plan, memory, shapes, rows), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the process does

    def send(self, command: str, *arguments: Any) -> None:
        try:
            self.pipe.send((command, *arguments))
        except OSError as error:
            raise self._died() from error

    def wait(self) -> None:
        """Until the last command is done."""
        try:
            problem = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if problem is not None:
            raise InputError(problem, where="pybullet")

    def _died(self) -> SolveError:
        self.process.join(timeout=5.0)
        return SolveError(
            f"a worker process ended (exit code {self.process.exitcode})",
            where="pybullet",
            hint="the last checkpoint is intact: go on with --resume; -9 is mostly a lack of memory: fewer --environments",
        )

    def close(self) -> None:
        self.pipe.close()
        self.process.join(timeout=5.0)
        if self.process.is_alive():
            self.process.kill()


def _work(pipe: Connection, plan: _Plan, memory: list[Any], shapes: list[tuple[int, int]], rows: slice) -> None:
    """A worker's life: commands until the pipe ends, as it does when the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        worlds = _Worlds(plan, _Shared.views(memory, shapes, rows))
        pipe.send(None)
        while True:
            command, *arguments = pipe.recv()
            getattr(worlds, command)(*arguments)
            pipe.send(None)
    except (EOFError, OSError):
        return
    except pybullet.error as error:
        pipe.send(str(error))
