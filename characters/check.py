"""What is wrong with a body, each with its fix: a URDF as it came, or a character's folder."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from characters import dynamics, infer, kinematics, mesh, shapes, urdf
from characters.character import Character, find
from characters.definition import TOML, URDF
from characters.urdf import HINGES, INERTIA_TOLERANCE
from characters.xmlfile import XmlFile
from motion import rotation
from motion.errors import InputError, MimicError, MimicWarning

SEVERITIES = ("problem", "advice")
STANDING = 0.03
"""share of the body's height that a declared foot may hang above the ground at rest"""
UNEQUAL, HEAVIER = 0.03, 0.05
"""sides differ in place by this share of the body's height, in mass by this share: more is no rounding"""
TURNED = 1e-3
"""radians by which an inertial frame may be turned"""
SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or could be better."""

    severity: str
    """problem: the body cannot be used as it is; advice: it can"""
    what: str
    fix: str
    where: str | None = None
    """file and line"""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


def check(name_or_path: str | Path) -> list[Finding]:
    """Findings about a character (name or folder) or a URDF file, problems first.

    Raises:
        InputError: there is no such body, or the file cannot be read at all.
    """
    path = Path(name_or_path)
    found: list[Finding] = []
    if path.is_file():
        found = [*_file(XmlFile(path)), *_placed(_repaired(path), None)]
    else:
        folder = find(name_or_path)
        found = list(_file(XmlFile(folder / URDF)))
        try:
            body = Character.load(folder)
        except MimicError as error:
            where = None if error.where is None else str(error.where)
            if not any(finding.where == where for finding in found):
                found.append(Finding("problem", error.message, error.hint or "mend it there", where))
        else:
            found += [*_placed(body, body), *_defined(body)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _file(source: XmlFile) -> Iterator[Finding]:
    """What the URDF's own lines say, joint by joint and link by link."""
    robot = source.root
    links = {element.get("name", ""): element for element in robot.findall("link")}
    joints = robot.findall("joint")
    ends = {id(j): tuple(_attribute(j, tag, "link") for tag in ("parent", "child")) for j in joints}
    moved = {ends[id(j)][1]: j for j in joints}
    fixed: dict[str, list[str]] = {}
    for joint in joints:
        if joint.get("type") == "fixed":
            parent, child = ends[id(joint)]
            fixed.setdefault(parent, []).append(child)
    empty_root = {n for n, e in links.items() if n not in moved and e.find("inertial") is None and len(e) == 0}
    for name, element in links.items():
        if (inertia := _impossible(source, element)) is not None:
            a, b, c = inertia
            yield Finding(
                "problem",
                f"link {name}: no rigid body has the principal inertias {a:.3g}, {b:.3g}, {c:.3g}: {a:.3g} + {b:.3g} < {c:.3g}",
                f"recompute it from the shape (of a solid box a × b: m (a² + b²) / 12), or raise the smallest to"
                f" {c - b:.3g}; MuJoCo refuses it, PyBullet sets it to zero",
                source.where(element),
            )
        joint = moved.get(name)
        if name in empty_root or (joint is not None and joint.get("type") == "fixed"):
            continue
        mass, inertia_there = _carried(source, links, fixed, name)
        if mass <= 0 or not inertia_there:
            lacks = "mass" if mass <= 0 else "inertia"
            yield Finding(
                "problem",
                f"link {name} moves but has no {lacks}",
                'give it an <inertial> with mass and inertia, or fix it to its parent (type="fixed")',
                source.where(element),
            )
        if joint is not None and joint.get("type") == "spherical" and _is_turned(source, element):
            yield Finding(
                "problem",
                f"link {name} is moved by a ball joint and its inertial frame is turned: PyBullet measures the ball in it",
                'state the inertia in the link\'s own axes (I = R I Rᵀ) and set rpy="0 0 0"',
                source.where(element),
            )
    free = [j for j in joints if j.get("type") in HINGES and _is_free(j.find("limit"))]
    if free:
        names = ", ".join(joint.get("name", "?") for joint in free)
        yield Finding(
            "advice",
            f"hinges without limits: {names}",
            'type="revolute" and <limit lower="…" upper="…" effort="…" velocity="…"/> in radians: without, a clip may turn them'
            " through the body",
            source.where(free[0]),
        )


def _is_free(limit: ET.Element | None) -> bool:
    return limit is None or limit.get("lower") == limit.get("upper")


def _placed(body: Character, declared: Character | None) -> Iterator[Finding]:
    """What can be seen with the body standing in front of one. ``declared``: its roles and feet are stated."""
    if len(body.support.link) == 0:
        yield Finding("problem", "no link has a collision shape", "add <collision> to the links, to the feet at least")
        return
    up, scale = infer.axes(body, "z")
    qpos = infer.within_limits(body)
    if up != "z":
        yield Finding(
            "problem",
            f"it does not stand z-up: it would stand with {up} up",
            f'up = "{up}" in character.toml (`characters new` finds it), or turn the URDF',
        )
    if scale != 1.0:
        volume = sum(infer.shape_volume(shape) for shape in body.shapes)
        yield Finding(
            "problem",
            f"{body.mass:.3g} kg in {volume:.3g} m³ is {body.mass / volume:.3g} kg/m³: too "
            + ("large" if scale < 1 else "small")
            + " for its mass",
            f"scale = {scale:g} in character.toml or thereabouts: that is as dense as water; or mend the masses",
        )
    if up != "z":
        return  # the ground is not where it seems
    standing = infer.standing(body, qpos)
    if declared is None and len(standing) not in (2, 4):
        names = ", ".join(body.links[i].name for i in standing)
        yield Finding(
            "advice",
            f"expected two or four limbs that end near the ground at rest, found {len(standing)}: {names}",
            "name the feet in character.toml; a rest pose in which it stands helps",
        )
    if declared is not None:
        yield from _hanging(declared, qpos)
    outside = [
        f"{j.name} ({math.degrees(j.lower):.0f}° to {math.degrees(j.upper):.0f}°)"
        for j in body.joints
        if j.type == "hinge" and not j.lower <= 0 <= j.upper
    ]
    if outside:
        yield Finding(
            "advice",
            f"the rest pose, all joints at zero, is outside the limits of {', '.join(outside)}",
            "turn those joints' <origin> so that zero is a pose in which it stands; until then the nearest limit is used",
        )
    yield from _overlapping(body, declared is not None and declared.self_collision)
    yield from _asymmetric(body, infer.infer(body).roles if declared is None else declared.roles)


def _hanging(body: Character, qpos: np.ndarray) -> Iterator[Finding]:
    heights = shapes.link_heights(body, kinematics.forward(body, qpos[None]))[0]
    for foot in body.feet:
        height = heights[body.link(foot)]
        if height > STANDING * body.height:
            where = (
                "has no collision shape"
                if np.isinf(height)
                else f"hangs {100 * height:.1f} cm above the ground at rest"
            )
            yield Finding(
                "problem",
                f"the foot {foot} {where}",
                "lengthen its leg, bend the other ones, move its shape, or take it out of feet in character.toml",
            )


def _overlapping(body: Character, matters: bool) -> Iterator[Finding]:
    try:
        pairs = dynamics.overlapping_at_rest(body)
    except (MimicError, ValueError):  # MuJoCo's own refusal is told elsewhere
        return
    if pairs:
        names = ", ".join(f"{body.links[a].name} and {body.links[b].name}" for a, b in pairs)
        yield Finding(
            "problem" if matters else "advice",
            f"links overlap at rest that are not joined: {names}",
            "make their collision shapes smaller; a mesh collides as its convex hull"
            + ("" if matters else " (self_collision is off, so they pass through each other)"),
        )


def _asymmetric(body: Character, roles: dict[str, tuple[str, ...]]) -> Iterator[Finding]:
    """Left and right chains that are not mirror images: places, masses and kinds of joints."""
    place = kinematics.forward(body, body.zero[None]).positions[0]
    for role, chain in roles.items():
        other = roles.get(role.replace("left_", "right_"), ()) if role.startswith("left_") else None
        if other is None:
            continue
        if len(chain) != len(other):
            yield Finding(
                "problem",
                f"{role} has {len(chain)} joints, {role.replace('left_', 'right_')} {len(other)}",
                "name the same joints on both sides in [roles]",
            )
            continue
        for one, two in zip(chain, other, strict=True):
            a, b = (body.joints[body.joint(name)] for name in (one, two))
            apart = float(np.linalg.norm(place[a.child] * [1, -1, 1] - place[b.child]))
            heavy, light = sorted((body.links[a.child].mass, body.links[b.child].mass), reverse=True)
            differ = []
            if apart > UNEQUAL * body.height:
                differ.append(f"they stand {100 * apart:.1f} cm off each other's mirror image")
            if heavy - light > HEAVIER * heavy:
                differ.append(f"the links weigh {heavy:.3g} and {light:.3g} kg")
            if a.type != b.type:
                differ.append(f"one is a {a.type}, the other a {b.type}")
            if math.isfinite(a.upper - a.lower) and abs((a.upper - a.lower) - (b.upper - b.lower)) > math.radians(1):
                spans = " and ".join(f"{math.degrees(j.upper - j.lower):.0f}°" for j in (a, b))
                differ.append(f"they move through {spans}")
            if differ:
                yield Finding(
                    "problem",
                    f"{one} and {two} are not alike: {'; '.join(differ)}",
                    "copy one side's numbers, mirrored",
                )


def _defined(body: Character) -> Iterator[Finding]:
    """What character.toml leaves open."""
    path = str(body.folder / TOML)
    if not body.feet:
        yield Finding("problem", "no feet are named", "feet = [links it stands on] in character.toml", path)
    named = {name for chain in body.roles.values() for name in chain}
    beside = _beside(body, named)
    if beside:
        yield Finding(
            "advice",
            f"no role names {', '.join(beside)}, which carry chains that have one",
            "right if each shares its place with the next joint (a hip of several hinges); else begin the chain with it",
            path,
        )
    for joint in body.joints:
        if joint.name not in named and joint.name not in beside:
            yield Finding("problem", f"no role names the joint {joint.name}", "add it to a chain in [roles]", path)
    for joint in body.joints:
        if joint.type == "ball" and joint.swing_limit >= math.pi and joint.upper - joint.lower >= 2 * math.pi - SMALL:
            yield Finding("advice", f"the ball {joint.name} has no limits", "name it in [limits]", path)
    try:
        smallest = np.linalg.eigvalsh(dynamics.mass_matrix(body, body.rest[None])[0]).min()
        if smallest <= 0:
            yield Finding(
                "problem", f"the mass matrix at rest is not positive definite: {smallest:.3g}", "look at the inertias"
            )
    except (MimicError, ValueError) as error:  # MuJoCo refuses a model with a ValueError
        yield Finding("problem", f"MuJoCo cannot use it: {error}", "look at masses, inertias and shapes")


def _beside(body: Character, named: set[str]) -> list[str]:
    """Joints without a role that carry a limb: of several joints in one place only the outermost has the role."""
    carrying = {j for name in named for j in body.chain(body.joints[body.joint(name)].child)}
    return [body.joints[j].name for j in sorted(carrying) if body.joints[j].name not in named]


def _repaired(path: Path) -> Character:
    """The body of a URDF, impossible masses replaced so that the rest can be judged; its meshes stay where they are."""
    source = XmlFile(path)
    for link in source.root.findall("link"):
        inertial = link.find("inertial")
        if inertial is None:
            inertial = ET.SubElement(link, "inertial")
        mass, tensor = inertial.find("mass"), inertial.find("inertia")
        solid = mass is not None and source.number(mass, "value", 0.0) > 0
        if solid and tensor is not None and _impossible(source, link) is None and _largest(source, tensor) > 0:
            continue
        for old in (mass, tensor):
            if old is not None:
                inertial.remove(old)
        value = "1e-3" if mass is None or not solid else mass.get("value", "1e-3")
        ET.SubElement(inertial, "mass", value=value)
        ET.SubElement(inertial, "inertia", ixx="1e-3", iyy="1e-3", izz="1e-3", ixy="0", ixz="0", iyz="0")
    for element in source.root.iter("mesh"):
        element.set("filename", str(mesh.locate(path.parent, element.get("filename", "")).resolve()))
    with tempfile.TemporaryDirectory() as folder:
        ET.ElementTree(source.root).write(Path(folder) / URDF)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MimicWarning)
            try:
                return infer.bare(Path(folder), path.stem, up="z", scale=1.0)
            except InputError as error:
                urdf.read(path)  # tells the line in the file itself
                raise InputError(error.message, where=path, hint=error.hint) from error


def _attribute(element: ET.Element, tag: str, key: str) -> str:
    child = element.find(tag)
    return "" if child is None else child.get(key, "")


def _tensor(source: XmlFile, tensor: ET.Element) -> np.ndarray:
    xx, yy, zz, xy, xz, yz = (source.number(tensor, key, 0.0) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"))
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def _largest(source: XmlFile, tensor: ET.Element) -> float:
    return float(np.linalg.eigvalsh(_tensor(source, tensor))[-1])


def _impossible(source: XmlFile, link: ET.Element) -> tuple[float, float, float] | None:
    """Principal inertias of a link that no rigid body has; None if they are possible or missing."""
    tensor = link.find("inertial/inertia")
    if tensor is None:
        return None
    a, b, c = (float(value) for value in np.linalg.eigvalsh(_tensor(source, tensor)))
    wrong = a < -INERTIA_TOLERANCE * c or a + b < c * (1 - INERTIA_TOLERANCE)
    return (a, b, c) if wrong else None


def _is_turned(source: XmlFile, link: ET.Element) -> bool:
    inertial = link.find("inertial")
    if inertial is None:
        return False
    return bool(rotation.angle(rotation.IDENTITY, source.pose(inertial)[1]) > TURNED)


def _carried(
    source: XmlFile, links: dict[str, ET.Element], fixed: dict[str, list[str]], name: str
) -> tuple[float, bool]:
    """Mass of a link and of all that is fixed to it, and whether any of it has inertia."""
    mass, inertia, waiting, parts, seen = 0.0, False, [name], 0, set()
    while waiting:
        link = waiting.pop()
        if link not in links or link in seen:
            continue
        seen.add(link)
        own = source.number(links[link].find("inertial/mass"), "value", 0.0)
        tensor = links[link].find("inertial/inertia")
        mass, parts = mass + own, parts + (own > 0)
        inertia |= tensor is not None and _largest(source, tensor) > 0
        waiting += fixed.get(link, [])
    return mass, inertia or parts > 2
