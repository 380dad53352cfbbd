"""Imitation rewards by name. Each is a pure function of the simulated and the reference state.

Formulas and constants: Peng et al. 2018 (paper), the code released with it (2021), its PyBullet port, and MimicKit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from characters.character import Character
from motion import rotation
from motion.errors import InputError, nearest
from motion.rotation import Array
from train.state import State

RELEASE_JOINTS = 15.0
"""joints of the released humanoid, root and fixed hands counted: scales grow with a body's joints over this"""
Terms = dict[str, Array]
"""name of a term → its part ``(N,)`` of the reward, its weight included"""


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """What rewards are made of; angles in rad, lengths in m."""

    pose: Array
    """(N, 1 + J) squared angle of the root and each joint"""
    velocity: Array
    """(N, 1 + J) squared difference of the local angular velocities"""
    ends: Array
    """(N, E) squared distance of the end effectors, world"""
    ends_heading: Array
    """(N, E) the same relative to the root, each in its own heading frame, heights above the ground"""
    root_position: Array
    """(N,) squared"""
    root_rotation: Array
    """(N,) squared"""
    root_velocity: Array
    """(N,) squared, linear"""
    root_angular: Array
    """(N,) squared"""
    com: Array
    """(N,) squared distance of the centres of mass"""
    com_velocity: Array
    """(N,) squared"""


def ends_of(character: Character) -> tuple[np.ndarray, Array]:
    """Links ``(E,)`` and local points ``(E, 3)`` of ankles and wrists: the last joint of each leg, the hand of each arm."""
    links, points = [], []
    for role, chain in character.roles.items():
        if role.endswith("leg"):
            links.append(character.joints[character.joint(chain[-1])].child)
            points.append(np.zeros(3))
        elif role.endswith("_arm"):
            link = character.joints[character.joint(chain[-1])].child
            hands = [f.position for f in character.end_effectors.values() if f.link == link]
            links.append(link)
            points.append(hands[0] if hands else np.zeros(3))
    return np.array(links, dtype=int), np.array(points).reshape(-1, 3)


class Measure:
    """Errors between two states of one body."""

    def __init__(self, character: Character):
        self.character, self.layout = character, character.layout
        self.links, self.points = ends_of(character)
        given = character.pose_weights
        weights = np.array([given.get("root", 1.0)] + [given.get(j.name, 1.0) for j in character.joints])
        self.weights: Array = weights / weights.sum()
        """(1 + J,) normalised to sum 1"""
        hands = sum((frame.role or "").endswith("_arm") for frame in character.end_effectors.values())
        self.release_scale = (len(weights) + hands) / RELEASE_JOINTS
        """what the release multiplies its pose and velocity scales by; 1 for the humanoid"""

    def errors(self, sim: State, ref: State) -> Errors:
        """All errors, ``(N, …)``."""
        difference = self.layout.difference(sim.qpos, ref.qpos)
        speed = ref.qvel - sim.qvel
        ends = self._ends(sim), self._ends(ref)
        local = self._heading(sim, ends[0]), self._heading(ref, ends[1])
        return Errors(
            pose=self._per_joint(difference),
            velocity=self._per_joint(speed),
            ends=_square(ends[1] - ends[0]),
            ends_heading=_square(local[1] - local[0]),
            root_position=_square(ref.qpos[:, :3] - sim.qpos[:, :3]),
            root_rotation=_square(difference[:, 3:6]),
            root_velocity=_square(speed[:, :3]),
            root_angular=_square(speed[:, 3:6]),
            com=_square(ref.com - sim.com),
            com_velocity=_square(ref.com_velocity - sim.com_velocity),
        )

    def _per_joint(self, tangent: Array) -> Array:
        layout = self.layout
        out = np.empty((len(tangent), 1 + len(layout.joints)))
        balls = np.concatenate([[True], layout.ball])
        out[:, balls] = (tangent[:, layout.quaternion_dofs[:, None] + np.arange(3)] ** 2).sum(axis=-1)
        out[:, ~balls] = tangent[:, layout.hinge_dofs] ** 2
        return out

    def _ends(self, state: State) -> Array:
        return state.positions[:, self.links] + rotation.rotate(state.rotations[:, self.links], self.points)

    def _heading(self, state: State, ends: Array) -> Array:
        origin = state.qpos[:, None, :3] * np.array([1.0, 1.0, 0.0])
        back = rotation.from_yaw(-rotation.yaw(state.qpos[:, 3:7]))
        return rotation.rotate(back[:, None], ends - origin)


def _square(v: Array) -> Array:
    return np.einsum("...i,...i->...", v, v)


def _paper(e: Errors, m: Measure) -> Terms:
    return {
        "pose": 0.65 * np.exp(-2 * e.pose.sum(axis=1)),
        "velocity": 0.1 * np.exp(-0.1 * e.velocity.sum(axis=1)),
        "end effectors": 0.15 * np.exp(-40 * e.ends.sum(axis=1)),
        "centre of mass": 0.1 * np.exp(-10 * e.com),
    }


def _paper_weighted(e: Errors, m: Measure) -> Terms:
    return _paper(e, m) | {
        "pose": 0.65 * np.exp(-2 * (e.pose @ m.weights)),
        "velocity": 0.1 * np.exp(-0.1 * (e.velocity @ m.weights)),
    }


def _root(e: Errors) -> Array:
    return e.root_position + 0.1 * e.root_rotation + 0.01 * e.root_velocity + 0.001 * e.root_angular


def _release(e: Errors, m: Measure) -> Terms:
    scale = m.release_scale
    return {
        "pose": 0.5 * np.exp(-2 * scale * (e.pose @ m.weights)),
        "velocity": 0.05 * np.exp(-0.1 * scale * (e.velocity @ m.weights)),
        "end effectors": 0.15 * np.exp(-10 * e.ends_heading.sum(axis=1)),
        "root": 0.2 * np.exp(-5 * _root(e)),
        "centre of mass": 0.1 * np.exp(-10 * 0.1 * e.com_velocity),
    }


def _port(e: Errors, m: Measure) -> Terms:
    return {
        "pose": 0.5 * np.exp(-2 * (e.pose @ m.weights)),
        "velocity": 0.05 * np.exp(-0.1 * (e.velocity @ m.weights)),
        "end effectors": 0.15 * np.exp(-40 * e.ends.mean(axis=1)),
        "root": 0.2 * np.exp(-5 * _root(e)),
    }


def _mimickit(e: Errors, m: Measure) -> Terms:
    return {
        "pose": 0.5 * np.exp(-0.25 * e.pose[:, 1:].sum(axis=1)),
        "velocity": 0.1 * np.exp(-0.01 * e.velocity[:, 1:].sum(axis=1)),
        "root": 0.15 * np.exp(-5 * (e.root_position + 0.1 * e.root_rotation)),
        "root velocity": 0.1 * np.exp(-(e.root_velocity + 0.1 * e.root_angular)),
        "end effectors": 0.15 * np.exp(-10 * e.ends_heading.sum(axis=1)),
    }


TERMS: dict[str, Callable[[Errors, Measure], Terms]] = {
    "paper-2018": _paper,
    "paper-2018-weighted": _paper_weighted,
    "release-2021": _release,
    "pybullet-port": _port,
    "mimickit": _mimickit,
}
"""profile → the terms whose sum it is"""


def _sum_of(terms: Callable[[Errors, Measure], Terms]) -> Callable[[Errors, Measure], Array]:
    return lambda errors, measure: sum(terms(errors, measure).values(), np.zeros(len(errors.com)))


PROFILES: dict[str, Callable[[Errors, Measure], Array]] = {name: _sum_of(terms) for name, terms in TERMS.items()}
"""name → reward ``(N,)`` in [0, 1]"""


def profile(name: str) -> Callable[[Errors, Measure], Array]:
    """A reward by name; InputError with the nearest names if there is none."""
    if name not in PROFILES:
        raise InputError(f"no reward profile {name!r}", hint=nearest(name, PROFILES))
    return PROFILES[name]
