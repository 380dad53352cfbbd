"""MuJoCo: `mujoco.rollout` steps all environments on several threads in C."""
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import copy

import mujoco
import numpy as np
from mujoco import rollout

from characters import dynamics
from characters.character import Character
from motion import rotation
from motion.gains import JointGain
from motion.rotation import Array
from train.engine import EngineSettings
from train.servo import HELD

_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS
_TORQUES, _FORCES = int(mujoco.mjtState.mjSTATE_CTRL), int(mujoco.mjtState.mjSTATE_XFRC_APPLIED)
SOLVER_ITERATIONS = 10
"""contact solver; more changes nothing visible and costs a third of the speed"""
FLOOR = "floor"
_OFF = (
    mujoco.mjtDisableBit.mjDSBL_AUTORESET,  # a body that explodes shall be seen to
    mujoco.mjtDisableBit.mjDSBL_ISLAND,  # one body is one island: to look for more costs 4 % and finds none
    mujoco.mjtDisableBit.mjDSBL_WARMSTART,  # Newton's method gets there from anywhere, 9 % faster without
)


def build(character: Character, gains: dict[str, JointGain], settings: EngineSettings) -> mujoco.MjModel:
    """The body on a floor, with position servos whose net torque, spring and damping together, is limited.

    The damping is semi-implicit, as in stable PD: it acts on the velocity at the end of the step, which is to add kd·Δt to
    the joint's inertia. It is added as armature, for MuJoCo's own implicit damping lets go of a servo at its limit, and
    links light beside their damping then shake from limit to limit (measured: a dragon's spine at 31 rad/s rms).
    """
    spec = dynamics.spec(character)
    spec.option.timestep = settings.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.iterations = SOLVER_ITERATIONS
    for flag in _OFF:
        spec.option.disableflags |= int(flag)
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = int(settings.self_collision)
        geom.friction[0] = settings.friction
        with_floor = spec.add_pair(geomname1=FLOOR, geomname2=geom.name)  # named, the floor need not be searched for
        with_floor.friction[:2] = settings.friction
    floor = spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0.0, 0.0, 1.0])
    floor.contype, floor.conaffinity = 0, 0
    for joint in character.joints:
        gain = gains[joint.name]
        spec.joint(joint.name).armature = gain.kd * settings.timestep
        for axis in range(3 if joint.type == "ball" else 1):
            servo = spec.add_actuator(name=f"{joint.name}_{axis}", target=joint.name)
            servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
            servo.gear[:3] = np.eye(3)[axis]
            servo.set_to_position(kp=gain.kp, kv=gain.kd)
            servo.forcelimited = True
            servo.forcerange = [-gain.torque_limit, gain.torque_limit]
    compiled = spec.compile()
    if settings.fixed_root:
        compiled.dof_damping[:6] = HELD
    return compiled


class MujocoEngine:
    """`train.engine.Engine` by MuJoCo."""

    def __init__(self, character: Character, gains: dict[str, JointGain], count: int, settings: EngineSettings):
        self.character, self.settings, self.count = character, settings, count
        self.layout = character.layout
        mujoco.set_mju_user_warning(lambda text: None)  # it would print each, and leave a log file where the user is
        self.model = build(character, gains, settings)
        self._models = [self.model] * count  # one for all until `vary`
        self._control_spec = _TORQUES
        self._datas = [mujoco.MjData(self.model) for _ in range(settings.threads)]
        self._scratch = mujoco.MjData(self.model)
        self._rollout = rollout.Rollout(nthread=settings.threads if settings.threads > 1 else 0)
        size = mujoco.mj_stateSize(self.model, _STATE)
        self._state = np.zeros((count, size))
        self._previous = np.zeros((count, size))
        self._out = np.zeros((count, settings.substeps, size))
        self._control = np.zeros((count, settings.substeps, mujoco.mj_stateSize(self.model, self._control_spec)))
        nq, nv = self.model.nq, self.model.nv
        self.qpos = self._state[:, 1 : 1 + nq]
        self.qvel = self._state[:, 1 + nq : 1 + nq + nv]
        self.qpos[:] = character.rest
        layout = self.layout
        self._ball_q = (layout.quaternions[1:, None] + np.arange(4)).astype(int)
        self._ball_u = (layout.quaternion_dofs[1:, None] + np.arange(3)).astype(int) - 6
        self._hinge_u = layout.hinge_dofs - 6

    def reset(self, ids: np.ndarray, qpos: Array, qvel: Array) -> None:
        self._state[ids] = 0.0
        self.qpos[ids], self.qvel[ids] = qpos, qvel

    def step(self, targets: Array, before: Array | None = None, delay: np.ndarray | None = None) -> None:
        self._control[:, :, : self.model.nu] = self._servo(targets)[:, None]
        if before is not None and delay is not None:
            env, step = np.nonzero(np.arange(self.settings.substeps) < delay[:, None])
            self._control[env, step, : self.model.nu] = self._servo(before)[env]
        self._rollout.rollout(
            self._models,
            self._datas,
            self._state,
            self._control,
            control_spec=self._control_spec,
            skip_checks=True,
            nstep=self.settings.substeps,
            state=self._out,
        )
        self._previous[:] = self._state
        self._state[:] = self._out[:, -1]

    def _servo(self, targets: Array) -> Array:
        """Controls ``(N, nu)``: a ball's servo acts on rotation vectors, and its error shall be the shortest turn."""
        out = np.empty((self.count, self.model.nu))
        now = self.qpos[:, self._ball_q]
        turn = rotation.log(rotation.relative(now, targets[:, self._ball_q - 7]))
        out[:, self._ball_u] = rotation.log(now) + turn
        out[:, self._hinge_u] = targets[:, self.layout.hinges - 7]
        return out

    def vary(self, ids: np.ndarray, friction: Array, mass: Array) -> None:
        for row, i in enumerate(ids):
            if self._models[i] is self.model:
                self._models[i] = copy.copy(self.model)
            model = self._models[i]
            model.geom_friction[:, 0] = model.pair_friction[:, 0] = model.pair_friction[:, 1] = friction[row]
            model.body_mass[1:] = self.model.body_mass[1:] * mass[row]
            model.body_inertia[1:] = self.model.body_inertia[1:] * mass[row, :, None]
            mujoco.mj_setConst(model, self._scratch)

    def push(self, force: Array) -> None:
        at = self.model.nu + 6  # ctrl first, then (body, 6); body 0 is the world, body 1 the root
        if self._control_spec == _TORQUES:  # only the pushed pay for pushes
            self._control_spec |= _FORCES
            room = np.zeros((*self._control.shape[:2], mujoco.mj_stateSize(self.model, self._control_spec)))
            room[..., : self.model.nu] = self._control
            self._control = room
        self._control[:, :, at : at + 3] = force[:, None]

    def overload(self) -> np.ndarray:
        model, layout = self.model, self.layout
        before = np.concatenate([self._previous[:, None], self._out[:, :-1]], axis=1)
        qpos, qvel = before[..., 1 : 1 + model.nq], before[..., 1 + model.nq : 1 + model.nq + model.nv]
        length = np.empty((self.count, self.settings.substeps, model.nu))
        length[..., self._ball_u] = rotation.log(qpos[..., self._ball_q])
        length[..., self._hinge_u] = qpos[..., layout.hinges]
        spring = model.actuator_gainprm[:, 0] * (self._control[..., : model.nu] - length)
        torque = spring + model.actuator_biasprm[:, 2] * qvel[..., 6:]
        over = np.abs(torque) > model.actuator_forcerange[:, 1]
        return np.logical_or.reduceat(over, layout.qvel_at - 6, axis=-1)

    def close(self) -> None:
        self._rollout.close()
