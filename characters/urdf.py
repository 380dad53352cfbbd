"""Reading a URDF into a `Body`.

Joint types: ``spherical`` (a ball; the extension PyBullet and MuJoCo share), ``revolute`` and ``continuous`` (hinges),
``fixed`` (merged into the parent link). A ``floating`` joint is understood under an empty root only; ``prismatic`` and
``planar`` joints are held at zero, with a warning. The order is depth-first, children in the order of the file's joints.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from characters import mesh
from characters.body import Body, Frame, Joint, Link, Shape, ShapeKind
from characters.xmlfile import XmlFile
from motion import rotation
from motion.errors import InputError, MimicWarning, nearest
from motion.motion import UP_TO_Z
from motion.rotation import Array

HINGES = ("revolute", "continuous")
HELD = ("prismatic", "planar")
TYPES = ("spherical", *HINGES, "fixed", "floating", *HELD)
INERTIA_TOLERANCE = 1e-6
"""relative slack of A + B ≥ C, for rounded figures"""
RESERVED_LINK, RESERVED_JOINT = "world", "root"
"""names of what every body has besides its own parts"""
GREY = (0.6, 0.6, 0.6, 1.0)


@dataclass(slots=True)
class _Part:
    """A URDF link before merging."""

    name: str
    where: str
    mass: float
    com: Array
    inertia: Array
    shapes: list[Shape]
    visuals: list[Shape]
    joints: list[_Connection] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return self.mass == 0.0 and not self.shapes and not self.visuals


@dataclass(slots=True)
class _Connection:
    """A URDF joint before merging."""

    name: str
    where: str
    type: str
    parent: str
    child: str
    origin: Array
    rotation: Array
    axis: Array
    lower: float
    upper: float
    effort: float


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A joint, and where its origin stands in the moving link that carries it."""

    joint: _Connection
    link: int
    position: Array
    rotation: Array


def read(path: Path | str, *, up: str = "z", scale: float = 1.0) -> Body:
    """Read a URDF.

    Args:
        up: the file's up axis; the root link is turned so that it becomes z.
        scale: lengths are multiplied by it; masses are kept.

    Raises:
        InputError: with file and line: not a URDF, several roots, a cycle, a number that is none, an impossible inertia.
    """
    source = XmlFile(Path(path))
    robot = source.root
    if robot.tag != "robot":
        raise InputError(f"expected a <robot>, found <{robot.tag}>", where=source.where(robot))
    colors = {
        m.get("name", ""): source.numbers(m.find("color"), "rgba", GREY)
        for m in robot.findall("material")
        if m.find("color") is not None
    }
    parts = _parts(source, colors)
    connections = [_connection(source, element) for element in robot.findall("joint")]
    root = _connect(source, parts, connections)
    root_turn = UP_TO_Z[up]
    while root.empty and len(root.joints) == 1 and root.joints[0].type in ("floating", "fixed"):
        root_turn = rotation.multiply(root_turn, root.joints[0].rotation)
        root = parts[root.joints[0].child]
    if root.name == RESERVED_LINK:
        raise InputError(f"the root link may not be called {root.name}", where=root.where, hint="rename it")
    builder = _Builder(parts, scale)
    builder.build(root, root_turn)
    return builder.body(robot.get("name", source.path.stem))


def _parts(source: XmlFile, colors: dict[str, Array]) -> dict[str, _Part]:
    parts: dict[str, _Part] = {}
    for element in source.root.findall("link"):
        name, where = source.text(element, "name"), source.where(element)
        if name in parts:
            raise InputError(f"two links are called {name}", where=where)
        mass, com, inertia = _inertial(source, element.find("inertial"))
        shapes = [_shape(source, e, colors) for e in element.findall("collision")]
        visuals = _visuals(source, element, colors)
        parts[name] = _Part(name, where, mass, com, inertia, shapes, visuals)
    if not parts:
        raise InputError("expected at least one <link>, found none", where=source.where(source.root))
    return parts


def _visuals(source: XmlFile, link: ET.Element, colors: dict[str, Array]) -> list[Shape]:
    """The visuals that can be drawn; physics does not need the others."""
    visuals = []
    for element in link.findall("visual"):
        try:
            visuals.append(_shape(source, element, colors))
        except InputError as error:
            warnings.warn(f"{error.where}: a visual is left out: {error.message}", MimicWarning, stacklevel=2)
    return visuals


def _inertial(source: XmlFile, element: ET.Element | None) -> tuple[float, Array, Array]:
    """Mass, centre of mass and inertia about it in the link's axes."""
    if element is None:
        return 0.0, np.zeros(3), np.zeros((3, 3))
    com, turn = source.pose(element)
    mass = source.number(source.child(element, "mass"), "value", 0.0)
    if mass < 0:
        raise InputError(f"mass: expected a positive number, found {mass:g}", where=source.where(element))
    tensor = element.find("inertia")
    xx, yy, zz, xy, xz, yz = (source.number(tensor, key, 0.0) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    inertia = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    a, b, c = np.linalg.eigvalsh(inertia)
    if a < -INERTIA_TOLERANCE * c or a + b < c * (1 - INERTIA_TOLERANCE):
        raise InputError(
            f"no rigid body has the inertia {a:.3g}, {b:.3g}, {c:.3g}: the largest exceeds the sum of the others",
            where=source.where(tensor if tensor is not None else element),
            hint="recompute it from the shape; MuJoCo refuses it and PyBullet sets it to zero",
        )
    matrix = rotation.to_matrix(turn)
    return mass, com, matrix @ inertia @ matrix.T


def _shape(source: XmlFile, element: ET.Element, colors: dict[str, Array]) -> Shape:
    position, turn = source.pose(element)
    geometry = source.child(element, "geometry")
    if len(geometry) != 1:
        raise InputError(f"<geometry>: expected one shape, found {len(geometry)}", where=source.where(geometry))
    form, vertices = geometry[0], np.zeros((0, 3))
    kind: ShapeKind
    if form.tag == "sphere":
        kind, size = "sphere", (source.number(form, "radius", 0.0), 0.0, 0.0)
    elif form.tag == "capsule":
        kind, size = "capsule", (source.number(form, "radius", 0.0), source.number(form, "length", 0.0), 0.0)
    elif form.tag == "cylinder":
        kind, size = "cylinder", (source.number(form, "radius", 0.0), source.number(form, "length", 0.0), 0.0)
    elif form.tag == "box":
        kind, size = "box", tuple(source.numbers(form, "size", (0.0, 0.0, 0.0)))
    elif form.tag == "mesh":
        kind, size = "mesh", (0.0, 0.0, 0.0)
        factor = source.numbers(form, "scale", (1.0, 1.0, 1.0))
        vertices = factor * mesh.hull(source.path.parent, source.text(form, "filename"), where=source.where(form))
    else:
        raise InputError(
            f"unknown shape <{form.tag}>",
            where=source.where(form),
            hint=nearest(form.tag, ["sphere", "capsule", "cylinder", "box", "mesh"]),
        )
    used = {"sphere": 1, "capsule": 2, "cylinder": 2, "box": 3, "mesh": 0}[kind]
    if min(size[:used], default=1.0) <= 0:
        raise InputError(f"<{form.tag}>: expected positive sizes, found {size[:used]}", where=source.where(form))
    material = element.find("material")
    color = np.array(GREY)
    if material is not None:
        color = source.numbers(material.find("color"), "rgba", tuple(colors.get(material.get("name", ""), color)))
    return Shape(-1, kind, position, turn, np.array(size), vertices, color)


def _connection(source: XmlFile, element: ET.Element) -> _Connection:
    name, where, kind = source.text(element, "name"), source.where(element), source.text(element, "type")
    if kind not in TYPES:
        raise InputError(f"joint {name}: unknown type {kind!r}", where=where, hint=nearest(kind, TYPES))
    position, turn = source.pose(element)
    axis = source.numbers(element.find("axis"), "xyz", (1.0, 0.0, 0.0))
    if kind in HINGES and not np.linalg.norm(axis) > 1e-9:
        raise InputError(f"joint {name}: the axis is zero", where=where)
    limit = element.find("limit")
    lower, upper = -math.inf, math.inf
    if kind == "revolute" and limit is not None and (limit.get("lower") or limit.get("upper")):
        lower, upper = source.number(limit, "lower", 0.0), source.number(limit, "upper", 0.0)
        if lower >= upper:
            raise InputError(
                f"joint {name}: expected lower < upper, found {lower:g} and {upper:g}",
                where=source.where(limit),
                hint='type="continuous" is a hinge without limits, type="fixed" one that does not move',
            )
    return _Connection(
        name=name,
        where=where,
        type=kind,
        parent=source.text(source.child(element, "parent"), "link"),
        child=source.text(source.child(element, "child"), "link"),
        origin=position,
        rotation=turn,
        axis=rotation.unit(axis),
        lower=lower,
        upper=upper,
        effort=source.number(limit, "effort", 0.0),
    )


def _connect(source: XmlFile, parts: dict[str, _Part], connections: list[_Connection]) -> _Part:
    """Hang every joint on its parent link; the root link."""
    moved_by: dict[str, _Connection] = {}
    names: set[str] = set()
    for joint in connections:
        if joint.name in names:
            raise InputError(f"two joints are called {joint.name}", where=joint.where)
        names.add(joint.name)
        for link in (joint.parent, joint.child):
            if link not in parts:
                raise InputError(f"joint {joint.name}: no link {link}", where=joint.where, hint=nearest(link, parts))
        if joint.child in moved_by:
            raise InputError(
                f"link {joint.child} has two parents: {moved_by[joint.child].name}, {joint.name}", where=joint.where
            )
        moved_by[joint.child] = joint
        parts[joint.parent].joints.append(joint)
    roots = [name for name in parts if name not in moved_by]
    if len(roots) != 1:
        found = ", ".join(roots) if roots else "none: the joints form a ring"
        raise InputError(f"expected one root link, found {found}", where=source.path)
    reached, stack = set(), [roots[0]]
    while stack:
        name = stack.pop()
        reached.add(name)
        stack += [joint.child for joint in parts[name].joints]
    lost = [name for name in parts if name not in reached]
    if lost:
        raise InputError(f"links not connected to the root {roots[0]}: {', '.join(lost)}", where=parts[lost[0]].where)
    return parts[roots[0]]


class _Builder:
    """Walks the tree depth-first, merging what does not move."""

    def __init__(self, parts: dict[str, _Part], scale: float):
        self.parts, self.scale = parts, scale
        self.links: list[Link] = []
        self.joints: list[Joint] = []
        self.shapes: list[Shape] = []
        self.visuals: list[Shape] = []
        self.frames: dict[str, Frame] = {}

    def build(self, root: _Part, turn: Array) -> None:
        """Add the root link, its contents turned by ``turn``, and all that hangs on it."""
        waiting: list[_Placed] = self._add(root, -1, turn)[::-1]
        while waiting:
            placed = waiting.pop()
            joint, child = placed.joint, len(self.links)
            if joint.name == RESERVED_JOINT:
                raise InputError(
                    f"no joint may be called {joint.name}: the free root is", where=joint.where, hint="rename it"
                )
            ball = joint.type == "spherical"
            self.joints.append(
                Joint(
                    name=joint.name,
                    type="ball" if ball else "hinge",
                    parent=placed.link,
                    child=child,
                    origin=placed.position,
                    rotation=placed.rotation,
                    axis=joint.axis,
                    lower=joint.lower,
                    upper=joint.upper,
                    twist_axis=joint.axis,
                    swing_limit=math.pi if ball else 0.0,
                    effort=joint.effort,
                )
            )
            waiting += self._add(self.parts[joint.child], placed.link, rotation.IDENTITY)[::-1]

    def _add(self, part: _Part, parent: int, turn: Array) -> list[_Placed]:
        """Add a moving link and what is fixed to it; the joints that move, in the order of the file."""
        index = len(self.links)
        self.links.append(Link(part.name, parent, 0.0, np.zeros(3), np.zeros((3, 3))))
        self._absorb(part, index, np.zeros(3), turn)
        moving: list[_Placed] = []
        waiting = self._placed(part, index, np.zeros(3), turn)[::-1]
        while waiting:
            placed = waiting.pop()
            joint = placed.joint
            if joint.type == "floating":
                raise InputError(f"joint {joint.name}: only an empty root may have a floating child", where=joint.where)
            if joint.type in HELD:
                message = f"{joint.where}: joint {joint.name} is {joint.type}; it is held at zero"
                warnings.warn(message, MimicWarning, stacklevel=2)
            if joint.type in ("fixed", *HELD):
                child = self.parts[joint.child]
                self._absorb(child, index, placed.position, placed.rotation)
                waiting += self._placed(child, index, placed.position, placed.rotation)[::-1]
            else:
                moving.append(placed)
        link = self.links[index]
        if link.mass <= 0 or np.linalg.eigvalsh(link.inertia)[0] <= 0:
            raise InputError(
                f"link {part.name} has no mass or no inertia",
                where=part.where,
                hint="give it an <inertial>, or join it to its parent with a fixed joint",
            )
        return moving

    def _placed(self, part: _Part, link: int, position: Array, turn: Array) -> list[_Placed]:
        """The joints on a part that stands at ``position``, ``turn`` in a link."""
        return [
            _Placed(
                joint,
                link,
                position + rotation.rotate(turn, self.scale * joint.origin),
                rotation.multiply(turn, joint.rotation),
            )
            for joint in part.joints
        ]

    def _absorb(self, part: _Part, index: int, position: Array, turn: Array) -> None:
        """Merge a part standing at ``position``, ``turn`` in link ``index`` into it."""
        matrix = rotation.to_matrix(turn)
        com = position + rotation.rotate(turn, self.scale * part.com)
        self.links[index] = _merge(self.links[index], part.mass, com, self.scale**2 * matrix @ part.inertia @ matrix.T)
        self.frames[part.name] = Frame(part.name, index, position, turn)
        for shapes, into in ((part.shapes, self.shapes), (part.visuals or part.shapes, self.visuals)):
            for shape in shapes:
                into.append(
                    replace(
                        shape,
                        link=index,
                        position=position + rotation.rotate(turn, self.scale * shape.position),
                        rotation=rotation.multiply(turn, shape.rotation),
                        size=self.scale * shape.size,
                        vertices=self.scale * shape.vertices,
                    )
                )

    def body(self, name: str) -> Body:
        return Body(name, tuple(self.links), tuple(self.joints), tuple(self.shapes), tuple(self.visuals), self.frames)


def _merge(link: Link, mass: float, com: Array, inertia: Array) -> Link:
    """A link with a further mass fixed to it (parallel-axis theorem)."""
    total = link.mass + mass
    if total == 0.0:
        return link
    centre = (link.mass * link.com + mass * com) / total
    tensor = inertia + link.inertia
    for m, c in ((link.mass, link.com), (mass, com)):
        d = c - centre
        tensor = tensor + m * (d @ d * np.eye(3) - np.outer(d, d))
    return replace(link, mass=total, com=centre, inertia=tensor)
