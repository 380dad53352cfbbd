"""Limbs out of each other and out of the trunk: a correction to the first guess, before the solve.

What a source's slim skeleton does may put a stout body's thigh into its chest. Where two links overlap that do not at rest,
the joints between them turn by damped least squares until they do not (Buss, *Introduction to Inverse Kinematics*, 2004,
section 6), smoothly in time; the solve then pins the feet and keeps what else it can.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import replace

import numpy as np
from scipy import ndimage

from characters import dynamics, kinematics
from characters.character import Character
from motion import rotation
from motion.rotation import Array
from retarget import limits
from retarget.targets import Targets

ROUNDS = 10
ALLOWED, ROOM = 0.003, 0.004
"""metres: overlaps up to this are left alone; others are opened by so much more than they are deep"""
TIME = 0.07
"""seconds, standard deviation of the smoothing of the correction"""
DAMPING = 1e-4
"""m²: squared, what one radian counts against a metre of overlap"""
STANDING = 0.05
"""How much a joint of a leg turns whose foot stands, against one that is free"""
HEAVY = 0.2
"""share of the body's mass from which on a joint that carries more turns less, in proportion"""
MOST = 0.5
"""radians a joint may turn in all"""


def apart(character: Character, targets: Targets) -> Targets:
    """Targets whose first guess does not overlap itself, as far as its joints allow; the same object where it never did."""
    qpos, changed = targets.qpos.copy(), np.arange(len(targets.qpos))
    ease = _ease(character, targets.stance, len(qpos))
    moved = np.zeros((len(qpos), character.layout.nv))
    for _ in range(ROUNDS):
        found = dynamics.overlaps(character, qpos[changed]).deeper(ALLOWED)
        if len(found.frame) == 0:
            break
        found = replace(found, frame=changed[found.frame])
        more = _correction(character, qpos, found, ease, TIME * targets.fps)
        changed = np.flatnonzero(more.any(axis=1))  # no other frame can overlap now
        moved[changed] = np.clip(moved[changed] + more[changed], -MOST, MOST)
        turned = character.layout.integrate(targets.qpos[changed], moved[changed])
        qpos[changed] = limits.clamp(character, turned)
    if not moved.any():
        return targets
    before, after = kinematics.forward(character, targets.qpos), kinematics.forward(character, qpos)
    rotations = rotation.multiply(targets.rotations, rotation.relative(before.rotations, after.rotations))
    return replace(targets, qpos=character.layout.continuous(qpos), rotations=rotations)


def _ease(character: Character, stance: AbstractMapping[str, np.ndarray], frames: int) -> Array:
    """How readily each coordinate turns ``(T, nv)``: the root not at all, a standing leg hardly."""
    mass = np.array([link.mass for link in character.links])
    carried = np.array([mass[character.ancestry[:, joint.child]].sum() for joint in character.joints])
    out = np.zeros((frames, character.layout.nv))
    for j, (joint, at) in enumerate(zip(character.joints, character.layout.qvel_at, strict=True)):
        out[:, at : at + (3 if joint.type == "ball" else 1)] = min(1.0, HEAVY * mass.sum() / carried[j])
    legs = {character.joint(n) for role, chain in character.roles.items() if role.endswith("leg") for n in chain}
    for name, stands in stance.items():
        for j in legs.intersection(character.chain(character.link(name))):
            at, width = character.layout.qvel_at[j], 3 if character.joints[j].type == "ball" else 1
            out[:, at : at + width] *= np.where(stands, STANDING, 1.0)[:, None]
    return out


def _correction(character: Character, qpos: Array, found: dynamics.Overlaps, ease: Array, sigma: float) -> Array:
    """Turns ``(T, nv)`` that open the overlaps found, smooth in time."""
    frames, first, at = np.unique(found.frame, return_index=True, return_inverse=True)
    slot = np.arange(len(at)) - first[at]  # frames ascend: each frame's overlaps stand together
    rows = np.zeros((len(frames), int(slot.max()) + 1, character.layout.nv))
    depth = np.zeros(rows.shape[:2])
    pose = kinematics.forward(character, qpos)
    for side, sign in ((0, -1.0), (1, 1.0)):
        for link in np.unique(found.links[:, side]):
            mine = np.flatnonzero(found.links[:, side] == link)
            part = kinematics.Pose(pose.positions[found.frame[mine]], pose.rotations[found.frame[mine]])
            linear = kinematics.jacobian(character, part, int(link), found.point[mine])[:, :3]
            rows[at[mine], slot[mine]] += sign * np.einsum("ni,niv->nv", found.normal[mine], linear)
    depth[at, slot] = found.depth + ROOM
    weighted = rows * ease[frames][:, None]
    gram = np.einsum("fav,fbv->fab", weighted, rows)
    gram += DAMPING * np.eye(gram.shape[1])
    out = np.zeros((len(qpos), character.layout.nv))
    out[frames] = np.einsum("fav,fa->fv", weighted, np.linalg.solve(gram, depth[..., None])[..., 0])
    return ndimage.gaussian_filter1d(out, sigma, axis=0, mode="nearest") if sigma > 0.3 else out
