"""Writing BVH: the same Motion always gives the same bytes, and reading them gives the Motion back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from motion import files, rotation
from motion.errors import InputError
from motion.motion import UP_TO_Z, Motion, Skeleton
from motion.rotation import Array

ORDER = "ZXY"
"""Order of the rotation channels."""

DECIMALS = 6
"""Of every number in MOTION: 1e-8 rad in angles, and 1e-8 m in lengths at the usual unit, the centimetre."""

ROWS = 1000
"""Frames formatted at a time."""


def write(path: Path | str, motion: Motion, *, unit: float = 0.01, up: str = "y") -> None:
    """Write a motion as BVH, atomically.

    Args:
        motion: metres and z-up (for one in other units and axes, ``unit=1, up="z"`` writes its numbers as they are).
        unit: metres per file unit; the usual one is the centimetre.
        up: the file's up axis, ``"x"``, ``"y"`` or ``"z"``.

    Joints the motion moves along get position channels, the root always. Angles run on past ±180° instead of jumping.
    BVH cannot say whether a motion loops. Joints come in depth-first order, and End Sites lose their names.

    Raises:
        InputError: a name BVH cannot hold, an unknown axis, or a folder that cannot be written.
    """
    if up not in UP_TO_Z or not (math.isfinite(unit) and unit > 0):
        raise InputError(f"expected a positive unit and up axis x, y or z, got {unit} and {up!r}", where=path)
    turn = rotation.conjugate(UP_TO_Z[up])
    skeleton = motion.skeleton
    for name, is_end in zip(skeleton.names, skeleton.is_end, strict=True):
        if not is_end and (name != name.strip() or not name or any(c in name for c in "{}\r\n")):
            raise InputError(f"a BVH file cannot hold the joint name {name!r}", where=path, hint="rename the joint")
    order = depth_first(skeleton)
    offsets = rotation.rotate(turn, skeleton.offsets) / unit
    moving = _moving(motion)
    columns: list[Array] = []
    for joint in order:
        if moving[joint]:
            local = (
                motion.root_positions if joint == 0 or motion.translations is None else motion.translations[:, joint]
            )
            columns.append(rotation.rotate(turn, local) / unit)
        if not skeleton.is_end[joint]:
            q = motion.rotations[:, joint].copy()
            q[:, 1:] = rotation.rotate(turn, q[:, 1:])
            columns.append(np.rad2deg(np.unwrap(rotation.to_euler(ORDER, q), axis=0)))
    table = np.round(np.concatenate(columns, axis=1), DECIMALS) + 0.0  # + 0.0: no −0
    with files.atomic(path) as file:
        file.write("\n".join(_hierarchy(skeleton, order, offsets, moving)).encode())
        file.write(f"\nMOTION\nFrames: {len(motion)}\nFrame Time: {1.0 / motion.fps!r}\n".encode())
        row = " ".join([f"%.{DECIMALS}f"] * table.shape[1]) + "\n"
        for start in range(0, len(table), ROWS):
            part = table[start : start + ROWS]
            file.write((row * len(part) % tuple(part.ravel().tolist())).encode())


def depth_first(skeleton: Skeleton) -> list[int]:
    """Joint indices in depth-first order, children in the skeleton's order."""
    order, stack = [], [0]
    while stack:
        joint = stack.pop()
        order.append(joint)
        stack.extend(reversed(skeleton.children(joint)))
    return order


def _moving(motion: Motion) -> np.ndarray:
    """(J,) bool: joints that get position channels."""
    moving = np.zeros(len(motion.skeleton), dtype=bool)
    if motion.translations is not None:
        moving = (motion.translations != motion.skeleton.offsets).any(axis=(0, 2)) & ~motion.skeleton.is_end
    moving[0] = True
    return moving


def _hierarchy(skeleton: Skeleton, order: list[int], offsets: Array, moving: np.ndarray) -> list[str]:
    lines, depth = ["HIERARCHY"], [0] * len(skeleton)
    open_braces = 0
    turning = " ".join(f"{axis}rotation" for axis in ORDER)
    for joint in order:
        parent = skeleton.parents[joint]
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
        while open_braces > depth[joint]:
            open_braces -= 1
            lines.append("\t" * open_braces + "}")
        tab = "\t" * depth[joint]
        kind = "End Site" if skeleton.is_end[joint] else f"{'JOINT' if parent >= 0 else 'ROOT'} {skeleton.names[joint]}"
        lines += [tab + kind, tab + "{"]
        lines.append(f"{tab}\tOFFSET " + " ".join(repr(float(x)) for x in np.round(offsets[joint], 9) + 0.0))
        if moving[joint]:
            lines.append(f"{tab}\tCHANNELS 6 Xposition Yposition Zposition {turning}")
        elif not skeleton.is_end[joint]:
            lines.append(f"{tab}\tCHANNELS 3 {turning}")
        open_braces += 1
    return lines + ["\t" * n + "}" for n in reversed(range(open_braces))]
