"""Convex hulls of mesh files (STL, OBJ): what both engines collide with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from motion.errors import InputError
from motion.rotation import Array

STL_HEADER = 84
STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])

REFERENCE = re.compile(r'(<mesh\b[^>]*?filename\s*=\s*")([^"]+)(")')
"""a mesh in the text of a URDF; its second group is the file's name"""


def hull(folder: Path, filename: str, *, where: str) -> Array:
    """Corners (V, 3) of the convex hull of a mesh file, in the file's unit.

    Args:
        folder: what a relative name is relative to. A package is looked for in the folder, then in those above it; its own
            name may be left out.

    Raises:
        InputError: missing, neither STL nor OBJ, damaged, flat.
    """
    path = locate(folder, filename)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"mesh {filename}: {error.strerror or error}", where=where) from error
    try:
        if path.suffix.lower() == ".stl":
            vertices = _stl(content)
        elif path.suffix.lower() == ".obj":
            lines = (line.split() for line in content.decode("utf-8", "replace").splitlines())
            vertices = np.array([parts[1:4] for parts in lines if parts[:1] == ["v"]], dtype=np.float64)
        else:
            raise InputError(f"mesh {filename}: expected .stl or .obj, found {path.suffix or 'no suffix'}", where=where)
        return vertices[ConvexHull(vertices).vertices]
    except (ValueError, IndexError, QhullError) as error:
        raise InputError(f"mesh {filename}: not a solid mesh ({str(error).splitlines()[0]})", where=where) from error


def locate(folder: Path, filename: str) -> Path:
    """Where a mesh's file is, or would be."""
    if not filename.startswith("package://"):
        return folder / filename.removeprefix("file://")
    inside = filename.removeprefix("package://")
    bases = [folder, *folder.resolve().parents]
    candidates = [base / name for base in bases for name in (inside, inside.partition("/")[2]) if name]
    return next((path for path in candidates if path.is_file()), folder / inside)


def named(text: str, folder: Path) -> list[Path]:
    """The mesh files that are there of those a URDF's text names, in its order."""
    paths = dict.fromkeys(locate(folder, match[2]) for match in REFERENCE.finditer(text))
    return [path for path in paths if path.is_file()]


def _stl(content: bytes) -> Array:
    count = int.from_bytes(content[STL_HEADER - 4 : STL_HEADER], "little")
    if len(content) == STL_HEADER + count * STL_TRIANGLE.itemsize:
        triangles = np.frombuffer(content, STL_TRIANGLE, count, STL_HEADER)
        return np.unique(triangles["corners"].reshape(-1, 3), axis=0).astype(np.float64)
    lines = (line.split() for line in content.decode("ascii", "replace").splitlines())
    return np.array([parts[1:4] for parts in lines if parts[:1] == ["vertex"]], dtype=np.float64)
