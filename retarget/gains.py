"""PD gains by construction: stiffness from inertia and torque limit, damping from both, and the evidence for each number.

For joint i with distal inertia I (mass matrix diagonal, median over the clip), torque limit τ and bandwidth ω = 2πf:

    kp = max(I·ω², τ / θ)        fast enough for what hangs on it; and strong enough that the limit is reached at error θ,
                                 which is what a joint that carries the body needs (a foot's own inertia says nothing)
    kd = min(2·ζ·√(kp·I'), τ / q̇)  I' = max(I, kp/ω²); never so large that the joint cannot reach the clip's peak speed q̇

The first rule is mjlab's and BeyondMimic's; the second reproduces DeepMimic's hand-set table, whose kp/τ lies between 2 and 5.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from characters import dynamics
from characters.character import Character
from motion.clip import Clip
from motion.gains import Gains, JointGain

GRAVITY = 9.81
TORQUE_SHARE = {
    "spine": 0.28,
    "neck": 0.07,
    "head": 0.07,
    "leg": (0.28, 0.21, 0.126),
    "foreleg": (0.28, 0.21, 0.126),
    "arm": (0.14, 0.084, 0.05),
    "wing": (0.14, 0.084, 0.05),
    "tail": 0.14,
}
"""Torque limit over body weight × height by role, from DeepMimic's humanoid (FACTS: 45 kg, 1.62 m; chest 200 N·m, hip 200,
knee 150, ankle 90, shoulder 100, elbow 60, neck 50). A tail takes the shoulder's share."""
OTHER_SHARE = 0.084
"""share of a joint no role names: the elbow's"""


@dataclass(frozen=True, slots=True)
class Preset:
    """What makes a preset."""

    bandwidth: float
    """Hz of each joint with what hangs on it"""
    saturation: float
    """rad of error at which the torque limit is reached"""
    damping: float
    """ζ, share of critical damping"""


PRESETS = {
    "soft": Preset(bandwidth=3.0, saturation=0.40, damping=0.5),
    "default": Preset(bandwidth=5.0, saturation=0.20, damping=0.5),
    "stiff": Preset(bandwidth=8.0, saturation=0.10, damping=0.5),
}
TIMESTEP = 1 / 240
"""seconds the gains are meant for"""


def torque_limits(character: Character) -> dict[str, tuple[float, str]]:
    """Torque limit in N·m and the rule that set it, per joint: character.toml's, else weight × height × the role's share."""
    scale = character.mass * GRAVITY * character.height
    limits = {}
    for joint in character.joints:
        given = character.torque_limits.get(joint.name)
        if given is not None:
            limits[joint.name] = (float(given), "character.toml")
            continue
        role, share = _share(character, joint.name)
        limits[joint.name] = (share * scale, f"{share:g} × body weight × height ({role})")
    return limits


def _share(character: Character, joint: str) -> tuple[str, float]:
    for role, chain in character.roles.items():
        if joint in chain:
            share = TORQUE_SHARE.get(role.removeprefix("left_").removeprefix("right_"), OTHER_SHARE)
            return role, share if isinstance(share, float) else share[min(chain.index(joint), len(share) - 1)]
    return "no role", OTHER_SHARE


def derive(character: Character, clip: Clip) -> Gains:
    """Gains for a body that shall perform a clip.

    Args:
        character: the body.
        clip: its reference.

    Returns:
        The presets soft, default and stiff, with inertia, peak speed, demanded torque and the deciding rule per joint.
    """
    layout = character.layout
    qvel = clip.qvel
    step = clip.duration / max(len(clip.qpos) - (0 if clip.loop else 1), 1)
    qacc = np.gradient(qvel, step, axis=0) if len(qvel) > 1 else np.zeros_like(qvel)
    inertia = np.median(np.diagonal(dynamics.mass_matrix(character, clip.qpos), axis1=1, axis2=2), axis=0)
    demand = np.abs(dynamics.inverse_dynamics(character, clip.qpos, qvel, qacc))
    limits = torque_limits(character)
    presets: dict[str, dict[str, JointGain]] = {name: {} for name in PRESETS}
    evidence: dict[str, Any] = {"presets": {n: asdict(p) for n, p in PRESETS.items()}, "joints": {}}
    for j, joint in enumerate(character.joints):
        dofs = slice(layout.qvel_at[j], layout.qvel_at[j] + (3 if joint.type == "ball" else 1))
        own = float(inertia[dofs].max())
        speed = float(np.quantile(np.linalg.norm(qvel[:, dofs], axis=1), 0.99))
        limit, rule = limits[joint.name]
        decided = {}
        for name, preset in PRESETS.items():
            omega = 2 * np.pi * preset.bandwidth
            fast, strong = own * omega**2, limit / preset.saturation
            kp = max(fast, strong)
            critical = 2 * preset.damping * np.sqrt(kp * max(own, kp / omega**2))
            cap = limit / max(speed, 1.0)
            presets[name][joint.name] = JointGain(
                kp=_round(kp), kd=_round(min(critical, cap)), torque_limit=_round(limit)
            )
            decided[name] = {
                "kp": "bandwidth" if fast >= strong else "torque limit over saturation error",
                "kd": "damping ratio" if critical <= cap else "torque limit over the clip's peak speed",
            }
        evidence["joints"][joint.name] = {
            "inertia": _round(own),
            "peak_speed": _round(speed),
            "torque_limit_from": rule,
            "free_torque_p95": _round(float(np.quantile(np.linalg.norm(demand[:, dofs], axis=1), 0.95))),
            "rule": decided,
        }
    return Gains(character=character.name, timestep=TIMESTEP, presets=presets, evidence=evidence)


def _round(value: float) -> float:
    """Five significant digits: what a person can read and a file can keep."""
    return float(f"{value:.5g}")
