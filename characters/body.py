"""The parts a body is made of. Link 0 is the root; link i > 0 is moved by joint i − 1; a link's frame is its joint's frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from motion.clip import JointType
from motion.motion import readonly
from motion.rotation import IDENTITY, Array

ShapeKind = Literal["sphere", "capsule", "box", "cylinder", "mesh"]


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A rigid part, the links fixed to it included."""

    name: str
    parent: int
    """index of the parent link, −1 for the root"""
    mass: float
    """kg"""
    com: Array
    """(3,) centre of mass in the link frame, metres"""
    inertia: Array
    """(3, 3) about the centre of mass, axes of the link frame, kg·m²"""


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """What moves a link relative to its parent."""

    name: str
    type: JointType
    parent: int
    """index of the parent link"""
    child: int
    """index of the link it moves"""
    origin: Array
    """(3,) in the parent link's frame, metres"""
    rotation: Array
    """(4,) wxyz, orientation of the link's frame in the parent's at zero"""
    axis: Array
    """(3,) unit, in the link's frame; of a ball joint its twist axis"""
    lower: float
    """radians, −inf if free; of a ball joint the limits of its twist about `twist_axis`"""
    upper: float
    """radians, inf if free"""
    twist_axis: Array
    """(3,) unit: the bone's direction at rest, in the link's frame; of a hinge its axis"""
    swing_limit: float
    """radians: largest angle between the bone and its direction at rest; π if free, 0 for a hinge"""
    effort: float = 0.0
    """N·m, the URDF's effort limit; 0 if it states none"""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A collision (or visual) shape fixed to a link."""

    link: int
    kind: ShapeKind
    position: Array
    """(3,) centre in the link frame, metres"""
    rotation: Array
    """(4,) wxyz, in the link frame"""
    size: Array
    """(3,) metres: sphere (radius, 0, 0); capsule and cylinder (radius, length of the straight part along z, 0);
    box its edges; mesh 0"""
    vertices: Array = field(default_factory=lambda: np.zeros((0, 3)))
    """(V, 3) corners of a mesh's convex hull in the shape's frame; empty for the others"""
    color: Array = field(default_factory=lambda: np.array([0.6, 0.6, 0.6, 1.0]))
    """(4,) red, green, blue, alpha in [0, 1]"""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A named place on a link: a hand, a toe, the top of the head."""

    name: str
    link: int
    position: Array
    """(3,) in the link frame, metres"""
    rotation: Array = field(default_factory=lambda: IDENTITY)
    """(4,) wxyz, in the link frame"""
    role: str | None = None
    """the role whose chain ends here"""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A URDF as read: z-up, scaled, fixed links merged."""

    name: str
    links: tuple[Link, ...]
    joints: tuple[Joint, ...]
    shapes: tuple[Shape, ...]
    """collision shapes"""
    visuals: tuple[Shape, ...]
    """what to draw; a link without visuals is drawn by its collision shapes"""
    frames: dict[str, Frame]
    """every URDF link name, merged ones too → where it is"""


def vector(*values: float) -> Array:
    """A read-only float64 vector."""
    return readonly(np.array(values, dtype=np.float64))
