"""BVH (Biovision hierarchy), read from any rig and written.

Angles are degrees, turns intrinsic in channel order (Zrotation Xrotation Yrotation: R = Rz·Rx·Ry). Position channels
replace a joint's OFFSET, the root's as well as others'. Unit and up axis are not in the file.
"""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

import numpy as np

from motion import rotation
from motion.errors import InputError
from motion.formats import register
from motion.formats._bvh_frames import read_frames
from motion.formats._bvh_header import POSITIONS, ROTATIONS, Header, read_header, warn
from motion.formats._bvh_write import write
from motion.motion import Motion, Skeleton
from motion.rotation import Array

__all__ = ["read", "write"]

BLOCK = 4000
"""Rotations converted at a time: their temporaries stay in the cache and below malloc's threshold for fresh pages."""

RADIANS = np.pi / 180.0
"""Of a degree; np.deg2rad is several times slower than a product."""

HUGE = 1e9
"""Length in file units beyond which a position is called to the user's attention."""


def _sniff(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode()
    for line in head.removeprefix(codecs.BOM_UTF8).splitlines():
        words = line.split()
        if words and not words[0].startswith(b"#"):
            return words[0].upper() in (b"HIERARCHY", b"ROOT", b"MOTION")
    return False


@register("bvh", looks="text that begins with HIERARCHY", sniff=_sniff)
def read(path: Path | str) -> Motion:
    """Read a BVH file in its own unit and axes.

    Warns (MimicWarning) where it accepts what a strict reader would not: repeated joint names, another number of frames
    than declared, wrapped rows, scale channels, names that are not UTF-8.

    Raises:
        InputError: ``file:line: expected, found`` for anything that would have to be guessed.
    """
    path = Path(path)
    try:
        stored = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("no such file", where=path) from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=path) from error
    data = _text(path, stored)
    header = read_header(path, data)
    seconds, block = read_frames(path, data, header, as_stored=data is stored and path.is_file())
    return _motion(path, header, _rate(seconds), block, hashlib.sha256(stored).hexdigest())


def _text(path: Path, stored: bytes) -> bytes:
    """The file as bytes of one-byte characters; the same object where nothing had to be done."""
    if stored.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return stored.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise InputError("expected UTF-16 text as its first bytes say, found damage", where=path) from error
    return stored.rstrip(b"\0\x1a") if stored.endswith((b"\0", b"\x1a")) else stored


def _rate(seconds: float) -> float:
    """Frames per second of the fewest digits that has this very frame time: 59.94 and not 59.93999999999999."""
    rates = (float(f"{1.0 / seconds:.{digits}g}") for digits in range(1, 17))
    return next((rate for rate in rates if rate > 0 and 1.0 / rate == seconds), 1.0 / seconds)


def _motion(path: Path, header: Header, fps: float, block: Array, sha256: str) -> Motion:
    nodes, frames = header.nodes, block.shape[1]
    offsets = np.array([node.offset for node in nodes], dtype=np.float64)
    positions = [(i, joint, POSITIONS.index(c)) for i, (joint, c) in enumerate(header.columns) if c in POSITIONS]
    root_positions = np.tile(offsets[0], (frames, 1))
    translations = None
    if any(joint > 0 for _, joint, _ in positions):
        translations = np.tile(offsets, (frames, 1, 1))
    for column, joint, axis in positions:
        if joint == 0:
            root_positions[:, axis] = block[column]
        if translations is not None:
            translations[:, joint, axis] = block[column]
        if np.abs(block[column]).max() > HUGE:
            warn(
                path, f"{header.column(column)} reaches {np.abs(block[column]).max():.3g}, which is no length of a body"
            )
    return Motion(
        name=path.stem,
        skeleton=Skeleton(
            tuple(node.name for node in nodes),
            np.array(header.parents),
            offsets,
            np.array([node.is_end for node in nodes]),
        ),
        fps=fps,
        root_positions=root_positions,
        rotations=_rotations(header, block),
        translations=translations,
        provenance={"format": "bvh", "source": path.name, "sha256": sha256},
    )


def _rotations(header: Header, block: Array) -> Array:
    """Quaternions ``(T, J, 4)``, sign-continuous in time, of the angles in ``block`` ``(C, T)``."""
    columns: list[list[int]] = [[] for _ in header.nodes]
    for i, (joint, channel) in enumerate(header.columns):
        if channel in ROTATIONS:
            columns[joint].append(i)
    orders = ["".join(header.columns[i][1][0] for i in turning) for turning in columns]
    groups = []
    for order in sorted(set(orders) - {""}):
        joints = [j for j, other in enumerate(orders) if other == order]
        groups.append((order, np.array(joints), np.array([columns[j] for j in joints]).T))
    frames, count = block.shape[1], len(orders)
    out = np.empty((frames, count, 4))
    step = max(16, BLOCK // count)
    part = np.tile(rotation.IDENTITY, (count, step + 1, 1))  # the last frame of the block before, then this block
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        q = part[:, : stop - start + 1]
        for order, joints, channels in groups:
            angles = block[channels, start:stop] * RADIANS
            q[joints, 1:] = rotation.from_euler(order, np.moveaxis(angles, 0, -1))
        if start == 0:
            q[:, 0] = q[:, 1]
        flips = np.einsum("jti,jti->jt", q[:, 1:], q[:, :-1]) < 0.0
        if flips.any():
            q[:, 1:] *= np.where(np.cumsum(flips, axis=1) % 2, -1.0, 1.0)[..., None]
        out[start:stop] = q[:, 1:].swapaxes(0, 1)
        part[:, 0] = q[:, -1]
    return out
