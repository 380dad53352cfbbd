"""A policy on a body it was not trained on, nothing learnt anew: what it sees and does is translated joint by joint.

Joints are counterparts by role and name. Rotations are carried over in the axes of both bodies at rest, lengths in
proportion to their heights. The paper does the same by copying (Peng et al. 2018, 10.3): a humanoid's run on Atlas is worth
an NR of .013.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from characters import kinematics
from characters.character import Character
from motion import files, rotation
from motion.clip import Clip
from motion.errors import InputError
from motion.rotation import Array
from train import observation, settings
from train.evaluate import REPORTED, Evaluation, actor, evaluate
from train.folder import CLIP, REPLAY, Material, finite, weights
from train.ppo import load_policy
from train.score import Actor

HEADER = {"format": "mimic-replay", "version": 1}
ENOUGH = 0.5
"""share of a policy's joints that must have a counterpart"""


@dataclass(frozen=True, slots=True, eq=False)
class Translation:
    """From the observations of one body to those a policy of another knows, and back from its actions."""

    joints: dict[str, str]
    """joint of the policy's body → its counterpart"""
    seen: Array
    """(O_policy, O)"""
    unseen: Array
    """(O_policy,) what the policy is shown where there is no counterpart"""
    acted: Array
    """(A, A_policy); joints without a counterpart follow their reference"""

    def actor(self, act: Actor) -> Actor:
        """The policy's actor as one of the other body."""

        def translated(seen: Array) -> Array:
            known: np.ndarray = (self.unseen + seen @ self.seen.T).astype(np.float32)
            return act(known) @ self.acted.T

        return translated


def counterparts(own: Character, other: Character) -> dict[str, str]:
    """Joint of ``own`` → joint of ``other``: those of one name and role, then the rest of each role, in order."""
    pairs: dict[str, str] = {}
    roles = [{name: role for role, chain in body.roles.items() for name in chain} for body in (own, other)]
    theirs = {joint.name for joint in other.joints}
    for joint in own.joints:
        if joint.name in theirs and roles[0].get(joint.name) == roles[1].get(joint.name):
            pairs[joint.name] = joint.name
    for role in own.roles.keys() & other.roles.keys():
        left = [name for name in own.roles[role] if name not in pairs]
        right = [name for name in other.roles[role] if name not in pairs.values()]
        pairs |= dict(zip(left, right, strict=False))
    return {joint.name: pairs[joint.name] for joint in own.joints if joint.name in pairs}


def translate(own: Character, other: Character, usual: Array, ahead: float = 0.0) -> Translation:
    """From observations of ``other`` to a policy of ``own``.

    Args:
        usual: (O_policy,) mean of the observations the policy was trained on: links without a counterpart are where they
            mostly were. Joints without one are seen on their reference.
        ahead: how far the phase of ``other``'s clip is to be turned to be that of the policy's, in cycles.

    Raises:
        InputError: fewer than `ENOUGH` of the policy's joints have a counterpart.
    """
    joints = counterparts(own, other)
    if len(joints) < ENOUGH * len(own.joints):
        raise InputError(
            f"too little of {own.name} is in {other.name}: counterparts of {len(joints)} of its {len(own.joints)} joints",
            hint="joints are matched by role and name: `mimic-pipe characters show` lists them; or train on that body",
        )
    here, there = observation.parts(own), observation.parts(other)
    turns = _turns(own, other, joints)
    links = {0: 0} | {_child(own, a): _child(other, b) for a, b in joints.items()}
    places = np.zeros((len(own.links), len(other.links)))
    places[list(links.keys()), list(links.values())] = own.height / other.height
    cos, sin = np.cos(2 * np.pi * ahead), np.sin(2 * np.pi * ahead)
    blocks = {
        "phase": np.array([[cos, -sin], [sin, cos]]),
        "height": places[:1, :1],
        "up": turns[3:6, 3:6],
        "places": np.kron(places[1:, 1:], np.eye(3)),
        "velocities": np.kron(places, np.eye(3)),
        "error": turns,
        "speed": turns,
    }
    seen = np.zeros((observation.size(own), observation.size(other)))
    for name, block in blocks.items():
        seen[here[name], there[name]] = block
    missing = ~np.any(seen != 0, axis=1) & (np.arange(len(seen)) < here["error"].start)
    return Translation(joints, seen, np.where(missing, usual, 0.0), turns[6:, 6:].T)


def _turns(own: Character, other: Character, joints: dict[str, str]) -> Array:
    """(nv_own, nv_other): velocities of ``other`` as those of ``own`` whose joints turn alike, seen from the world at rest."""
    pairs = [(own.joint(a), other.joint(b)) for a, b in joints.items()]
    out = np.zeros((own.layout.nv, other.layout.nv))
    out[:3, :3] = own.height / other.height * np.eye(3)
    (root, axes), (other_root, other_axes) = _axes(own), _axes(other)
    out[3:6, 3:6] = root.T @ other_root
    for a, b in pairs:
        rows = own.layout.qvel_at[a] + np.arange(axes[a].shape[1])
        columns = other.layout.qvel_at[b] + np.arange(other_axes[b].shape[1])
        out[np.ix_(rows, columns)] = axes[a].T @ other_axes[b]
    return out


def _axes(character: Character) -> tuple[Array, list[Array]]:
    """Axes (3, 3) of the root, and (3, 3) or (3, 1) of each joint, in the world at rest."""
    turned = rotation.to_matrix(kinematics.forward(character, character.rest[None]).rotations[0])
    axes = [
        turned[joint.child] if joint.type == "ball" else turned[joint.child] @ np.reshape(joint.axis, (3, 1))
        for joint in character.joints
    ]
    return turned[0], axes


def _child(character: Character, joint: str) -> int:
    return character.joints[character.joint(joint)].child


def ahead(own: Clip, other: Clip) -> float:
    """Cycles from ``other``'s phase to ``own``'s: two loops cut from one source may begin at different moments of it."""
    a, b = own.provenance, other.provenance
    if not own.loop or "interval" not in a or "interval" not in b or a.get("source_sha256") != b.get("source_sha256"):
        return 0.0
    return (b["interval"][0] - a["interval"][0]) / own.duration


def replay(
    folder: Path,
    on: Path,
    *,
    engine_name: str | None = None,
    episodes: int = 32,
    seed: int = 0,
    record: Path | None = None,
) -> tuple[Evaluation, Material, Translation]:
    """Measure the policy of a run folder on another body's clip.

    Args:
        on: folder with clip.json and gains.json of that body.

    Raises:
        InputError: the bodies have too little in common, or one clip is a loop and the other not.
    """
    plan, own, other = settings.load(folder), Material.load(folder), Material.load(on)
    if own.clip.loop != other.clip.loop:
        told = ["a loop" if clip.loop else "performed once" for clip in (own.clip, other.clip)]
        raise InputError(f"the policy's clip is {told[0]}, {other.clip.name} is {told[1]}", where=on / CLIP)
    now, policy = plan.at(plan.samples), load_policy(weights(folder))
    usual = policy.normaliser.mean.numpy().astype(float)
    translation = translate(own.character, other.character, usual, ahead(own.clip, other.clip))
    found = evaluate(
        translation.actor(actor(policy)),
        other.character,
        other.clip,
        other.preset(now.preset),
        now.task,
        engine_name=engine_name or now.engine,
        physics=replace(now.physics, self_collision=other.character.self_collision),
        episodes=episodes,
        profile=plan.task.reward if plan.task.reward in REPORTED else REPORTED[0],
        seed=seed + 1,
        record=record,
        other_rates=(),
    )
    return found, other, translation


def keep(folder: Path, found: Evaluation, other: Material, translation: Translation) -> None:
    """Add a replay to the run folder's replay.json, by character and clip."""
    path = folder / REPLAY
    kept = stored(folder)
    told: dict[str, Any] = {
        key: found.to_json()[key] for key in ("engine", "episodes", "horizon", "synced", "free", "zero")
    }
    for name in ("synced", "free", "zero"):
        told[name]["falls"] = []  # the file ships
    kept[f"{other.character.name}/{other.clip.name}"] = {"joints": translation.joints, **told}
    files.write_json(path, {**HEADER, "on": finite(kept)})


def stored(folder: Path) -> dict[str, Any]:
    """Character/clip → what the run folder's policy was worth there; empty if it was tried on no other body."""
    path = folder / REPLAY
    if not path.exists():
        return {}
    data = files.read_json(path)
    if not isinstance(data, dict) or any(data.get(key) != value for key, value in HEADER.items()):
        raise InputError("expected the figures of policies tried on other bodies", where=path)
    return dict(data["on"])
