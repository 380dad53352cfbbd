"""The environments of a training, in two crews that take turns: while one is simulated, the other is thought about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from train import engine
from train.env import ImitationEnv
from train.starts import ARRAYS as PER_CREW

if TYPE_CHECKING:
    from train.folder import Material
    from train.settings import RunSettings

CREWS = 2
"""more do not help: threads beyond that share the simulation of a crew"""
E = TypeVar("E", bound=ImitationEnv)
Snapshot = dict[str, Any]
"""of `ImitationEnv.snapshot`"""


def muster(material: Material, settings: RunSettings, kind: type[E]) -> list[E]:
    """Environments as settings ask for: one crew on one thread, else two of half the size. Close their engines.

    Crews draw from random numbers of their own, so that what they do does not depend on who is faster.
    """
    threads = settings.physics.threads
    crews = min(CREWS, threads, settings.environments)
    physics = replace(settings.physics, threads=-(-threads // crews))
    gains, envs = material.preset(settings.preset), list[E]()
    try:
        for k, count in enumerate(sizes(settings.environments, crews)):
            world = engine.make(settings.engine, material.character, gains, count, physics, aside=crews > 1)
            envs.append(kind(world, material.clip, settings.task, [settings.seed, k]))
    except BaseException:
        dismiss(envs)
        raise
    return envs


def dismiss(envs: Sequence[ImitationEnv]) -> None:
    """Close the engines."""
    for env in envs:
        env.engine.close()


def sizes(count: int, crews: int) -> list[int]:
    """As even as possible."""
    return [b - a for a, b in pairwise(k * count // crews for k in range(crews + 1))]


def spread(snapshots: list[Snapshot], counts: list[int]) -> list[Snapshot]:
    """Snapshots of crews of other sizes, for the same environments: a training goes on with more or fewer threads.

    Arrays of environments are cut anew. A crew that did not exist draws from the first one's generator, far ahead; starts
    weighted by failure are what the first crew has counted.
    """
    if [len(snapshot["time"]) for snapshot in snapshots] == counts:
        return snapshots
    first, out = snapshots[0], []
    for k, (begin, end) in enumerate(pairwise(np.cumsum([0, *counts]))):
        mine: Snapshot = {}
        for name, value in first.items():
            whole = isinstance(value, np.ndarray) and name not in PER_CREW
            mine[name] = np.concatenate([s[name] for s in snapshots])[begin:end] if whole else value
        mine["random"] = snapshots[k]["random"] if k < len(snapshots) else _ahead(first["random"], k)
        out.append(mine)
    return out


def _ahead(state: str, jumps: int) -> str:
    """A generator's state, 2¹²⁷ draws ahead for each jump."""
    bits = np.random.PCG64()
    bits.state = json.loads(state)
    return json.dumps(bits.jumped(jumps).state)
