"""What a picture shows: a body's shapes or a source's skeleton as convex solids, for all frames at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from characters.body import Shape
from characters.character import Character
from characters.kinematics import forward
from motion import rotation
from motion.motion import Motion
from motion.rotation import Array
from pipeline.raycast import Block, Capsules

MIDDLE, LEFT, RIGHT = np.array([[0.33, 0.58, 0.84], [0.60, 0.80, 0.97], [0.16, 0.40, 0.70]])
"""colours of the trunk, the left and the right limbs: one hue, so that only contacts differ in hue"""
CONTACT = np.array([0.94, 0.48, 0.08])
"""colour of a link whose contact is flagged; blue and orange stay apart for every kind of colour vision"""
BONE, JOINT = np.array([[0.42, 0.44, 0.48], [0.25, 0.27, 0.31]])
"""colours of the source's skeleton"""
CYLINDER_SIDES = 24
LINE_RADIUS = 0.015
"""of the body's height: the lines between its joints, seen where its shapes leave gaps"""


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """A moving convex polyhedron: see raycast.Block."""

    vertices: Array
    """(T, K, 3)"""
    normals: Array
    """(T, H, 3)"""
    offsets: Array
    """(T, H)"""
    colours: Array
    """(T, 3)"""


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """Everything that is drawn of one body or skeleton, in the world, for T frames."""

    root: Array
    """(T, 3)"""
    start: Array
    """(T, N, 3) of the capsules"""
    end: Array
    """(T, N, 3)"""
    radius: Array
    """(N,)"""
    colours: Array
    """(T, N, 3)"""
    solids: tuple[Solid, ...] = ()

    def at(self, frame: int, shift: Array) -> tuple[Capsules, list[Block]]:
        """The solids of one frame, moved by ``shift`` (3,) metres."""
        capsules = Capsules(self.start[frame] + shift, self.end[frame] + shift, self.radius, self.colours[frame])
        blocks = [
            Block(
                s.vertices[frame] + shift,
                s.normals[frame],
                s.offsets[frame] + s.normals[frame] @ shift,
                s.colours[frame],
            )
            for s in self.solids
        ]
        return capsules, blocks

    def extent(self, direction: Array) -> tuple[Array, Array]:
        """Least and greatest coordinate ``(T,)`` of the whole figure along a unit ``direction`` (3,)."""
        balls = np.concatenate([self.start @ direction, self.end @ direction], axis=1)
        radii = np.concatenate([self.radius, self.radius])
        corners = [s.vertices @ direction for s in self.solids]
        return (
            np.concatenate([balls - radii, *corners], axis=1).min(axis=1),
            np.concatenate([balls + radii, *corners], axis=1).max(axis=1),
        )


def of_body(character: Character, qpos: Array, contacts: dict[str, np.ndarray]) -> Figure:
    """The collision shapes of a body in poses ``(T, nq)``; links flagged in ``contacts`` (link → (T,) bool) are lit."""
    pose = forward(character, qpos)
    colours = _lit(character, len(qpos), contacts)
    starts, ends, radii, owners, solids = [], [], [], [], []
    for shape in character.shapes:
        position, turn = pose.positions[:, shape.link], pose.rotations[:, shape.link]
        if shape.kind in ("sphere", "capsule"):
            half = rotation.rotate(shape.rotation, np.array([0.0, 0.0, 0.5 * shape.size[1]]))
            starts.append(position + rotation.rotate(turn, shape.position - half))
            ends.append(position + rotation.rotate(turn, shape.position + half))
            radii.append(shape.size[0])
            owners.append(shape.link)
            continue
        corners = shape.position + rotation.rotate(shape.rotation, _corners(shape))
        hull = ConvexHull(corners)
        planes = np.unique(hull.equations.round(9), axis=0)
        normals = rotation.rotate(turn[:, None], planes[:, :3])
        solids.append(
            Solid(
                vertices=position[:, None] + rotation.rotate(turn[:, None], corners[hull.vertices]),
                normals=normals,
                offsets=np.einsum("thi,ti->th", normals, position) - planes[:, 3],
                colours=colours[:, shape.link],
            )
        )
    for joint in character.joints:
        starts.append(pose.positions[:, joint.parent])
        ends.append(pose.positions[:, joint.child])
        radii.append(LINE_RADIUS * character.height)
    lines = np.tile(JOINT, (len(qpos), len(character.joints), 1))
    return Figure(
        root=qpos[:, :3],
        start=np.stack(starts, axis=1),
        end=np.stack(ends, axis=1),
        radius=np.array(radii),
        colours=np.concatenate([colours[:, owners], lines], axis=1) if owners else lines,
        solids=tuple(solids),
    )


def link_colours(character: Character) -> Array:
    """(L, 3) of links that touch nothing: trunk, left and right limbs."""
    moved = {joint.name: joint.child for joint in character.joints}
    colours = np.tile(MIDDLE, (len(character.links), 1))
    for role, chain in character.roles.items():
        side = LEFT if role.startswith("left_") else RIGHT if role.startswith("right_") else MIDDLE
        colours[[moved[name] for name in chain if name in moved]] = side
    return colours


def _lit(character: Character, frames: int, contacts: dict[str, np.ndarray]) -> Array:
    """(T, L, 3)"""
    index = {link.name: i for i, link in enumerate(character.links)}
    colours = np.tile(link_colours(character), (frames, 1, 1))
    for name, flags in contacts.items():
        if name in index:
            colours[np.asarray(flags, dtype=bool), index[name]] = CONTACT
    return colours


def _corners(shape: Shape) -> Array:
    """Corners ``(K, 3)`` of a box, cylinder or mesh in the shape's frame."""
    if shape.kind == "box":
        return 0.5 * shape.size * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    if shape.kind == "cylinder":
        angle = 2 * np.pi * np.arange(CYLINDER_SIDES) / CYLINDER_SIDES
        rim = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1) * shape.size[0]
        top = np.array([0.0, 0.0, 0.5 * shape.size[1]])
        return np.concatenate([rim - top, rim + top])
    return shape.vertices


def of_source(motion: Motion, seconds: Array, scale: float, radius: float) -> Figure:
    """A stick figure of a standardised motion at times ``(T,)`` seconds, its lowest point on the ground.

    Args:
        scale: of its size; 1 leaves it.
        radius: metres, of the bones.
    """
    positions = _joints_at(motion, seconds)
    positions = scale * (positions - np.array([0.0, 0.0, positions[..., 2].min()]))
    positions[..., 2] += radius
    children = np.arange(1, len(motion.skeleton))
    parents = motion.skeleton.parents[children]
    length = np.linalg.norm(positions[:, children] - positions[:, parents], axis=2).mean(axis=0)
    bones = length > 1e-6
    children, parents, length = children[bones], parents[bones], length[bones]
    knobs = np.full(len(motion.skeleton), 1.6 * radius)
    knobs[children] = np.minimum(knobs[children], np.maximum(0.45 * length, radius))
    colours = np.concatenate([np.tile(BONE, (len(children), 1)), np.tile(JOINT, (len(knobs), 1))])
    return Figure(
        root=positions[:, 0],
        start=np.concatenate([positions[:, parents], positions], axis=1),
        end=np.concatenate([positions[:, children], positions], axis=1),
        radius=np.concatenate([np.full(len(children), radius), knobs]),
        colours=np.tile(colours, (len(positions), 1, 1)),
    )


def _joints_at(motion: Motion, seconds: Array) -> Array:
    """Joint positions ``(T, J, 3)``, linear between the frames on either side; the ends are held."""
    at = np.clip(seconds * motion.fps, 0.0, len(motion) - 1.0)
    left = at.astype(int)
    first, last = int(left.min()), int(min(left.max() + 2, len(motion)))
    positions = motion.slice(first, last).forward()[0]
    left = left - first
    right = np.minimum(left + 1, len(positions) - 1)
    share = (at - first - left)[:, None, None]
    return (1 - share) * positions[left] + share * positions[right]
