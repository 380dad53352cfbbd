"""A `Character` as URDF again: z-up, scaled, fixed links merged, links and joints by name as the character has them.

The inertial frame of each link is its principal frame, so that a reader that diagonalises inertias has nothing to choose.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from characters.body import Joint, Link, Shape
from characters.character import Character
from motion import files, rotation
from motion.rotation import Array

DIAGONAL = 1e-9
"""relative size of products of inertia that are rounding"""


def principal(link: Link) -> tuple[Array, Array]:
    """Principal axes of a link's inertia: quaternion ``(4,)`` in the link frame, moments ``(3,)`` kg·m²; a diagonal
    inertia keeps the link's axes."""
    tensor = link.inertia
    moments = np.diagonal(tensor)
    if np.abs(tensor - np.diag(moments)).max() <= DIAGONAL * moments.max():
        return rotation.IDENTITY, moments
    moments, axes = np.linalg.eigh(tensor)
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return rotation.from_matrix(axes), moments


def write(character: Character, folder: Path) -> Path:
    """Write ``body.urdf``, and its meshes' hulls beside it, into a folder; the path of the URDF."""
    lines = [f'<robot name="{character.name}">']
    for i, link in enumerate(character.links):
        turn, moments = principal(link)
        xx, yy, zz = (_number(m) for m in moments)
        lines += [
            f'<link name="{link.name}">',
            f'<inertial>{_origin(link.com, turn)}<mass value="{_number(link.mass)}"/>'
            f'<inertia ixx="{xx}" iyy="{yy}" izz="{zz}" ixy="0" ixz="0" iyz="0"/></inertial>',
        ]
        for k, shape in enumerate(character.shapes):
            if shape.link == i:
                geometry = _geometry(shape, folder / f"shape_{k}.obj")
                lines.append(f"<collision>{_origin(shape.position, shape.rotation)}{geometry}</collision>")
        lines.append("</link>")
    lines += [_joint(character, joint) for joint in character.joints]
    path = folder / "body.urdf"
    files.write_text(path, "\n".join([*lines, "</robot>", ""]))
    return path


def _joint(character: Character, joint: Joint) -> str:
    limited = joint.type == "hinge" and bool(np.isfinite([joint.lower, joint.upper]).all())
    kind = "spherical" if joint.type == "ball" else "revolute" if limited else "continuous"
    limit = f'<limit lower="{_number(joint.lower)}" upper="{_number(joint.upper)}" effort="0" velocity="0"/>'
    return (
        f'<joint name="{joint.name}" type="{kind}"><parent link="{character.links[joint.parent].name}"/>'
        f'<child link="{character.links[joint.child].name}"/>{_origin(joint.origin, joint.rotation)}'
        f'<axis xyz="{_numbers(joint.axis)}"/>{limit if limited else ""}</joint>'
    )


def _geometry(shape: Shape, mesh: Path) -> str:
    size = shape.size
    if shape.kind == "sphere":
        form = f'<sphere radius="{_number(size[0])}"/>'
    elif shape.kind == "box":
        form = f'<box size="{_numbers(size)}"/>'
    elif shape.kind == "mesh":
        corners = [f"v {_numbers(v)}\n" for v in shape.vertices]
        faces = [f"f {k} {k + 1} {k + 2}\n" for k in range(1, len(corners) - 1)]  # readers drop corners no face has
        files.write_text(mesh, "".join(corners + faces))
        form = f'<mesh filename="{mesh.name}"/>'
    else:
        form = f'<{shape.kind} radius="{_number(size[0])}" length="{_number(size[1])}"/>'
    return f"<geometry>{form}</geometry>"


def _origin(position: Array, turn: Array) -> str:
    return f'<origin xyz="{_numbers(position)}" rpy="{_numbers(rotation.to_euler("zyx", turn)[::-1])}"/>'


def _numbers(values: Array) -> str:
    return " ".join(_number(v) for v in values)


def _number(value: float) -> str:
    return repr(float(value))
