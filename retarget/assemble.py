"""Normal equations of a tree of links, all frames at once, without ever forming a Jacobian.

Every residual of the solve is a row attached to one link: r = n·(v + ω × p) or r = n·ω. A link's rows sum to a symmetric
6×6 matrix and a 6-vector; these add up from the leaves to the root, as in the composite-rigid-body algorithm
(Featherstone, *Rigid Body Dynamics Algorithms*, 2008, ch. 6), and JᵀWJ follows column by column.
Arrays are frames-last so that each numpy operation runs over all frames. Vectors are in world axes about the frame's own
root position, angular part first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from characters.character import Character
from characters.kinematics import Pose
from motion.rotation import Array


class Tree:
    """Which qvel columns move which links of a character."""

    def __init__(self, character: Character):
        self.character = character
        layout = character.layout
        self.nv = layout.nv
        self.parents = np.array([-1] + [j.parent for j in character.joints])
        self.link = np.zeros(self.nv, dtype=int)
        """(nv,) the link each column moves"""
        for j, joint in enumerate(character.joints):
            at = layout.qvel_at[j]
            self.link[at : at + (3 if joint.type == "ball" else 1)] = joint.child
        self.above: list[np.ndarray] = []
        """per link: the columns that move it, ascending"""
        for link in range(len(character.links)):
            chain = {0}
            up = link
            while up > 0:
                chain.add(up)
                up = int(self.parents[up])
            self.above.append(np.flatnonzero(np.isin(self.link, list(chain))))
        self.row: list[np.ndarray] = [self.above[self.link[i]][self.above[self.link[i]] <= i] for i in range(self.nv)]
        """per column i: the columns j ≤ i that H may couple it with, ascending; the last one is i itself"""
        self.start = np.concatenate([[0], np.cumsum([len(row) for row in self.row])])
        """(nv + 1,) where the rows of a packed lower triangle begin"""
        self.at = np.full((self.nv, self.nv), -1)
        """(nv, nv) where H[i, j], j ≤ i, is in a packed lower triangle; −1: it is zero"""
        for i, row in enumerate(self.row):
            self.at[i, row] = np.arange(self.start[i], self.start[i + 1])

        self.runs = [
            [(int(r[0]), int(r[-1]) + 1) for r in np.split(row[3:], np.flatnonzero(np.diff(row[3:]) > 1) + 1) if len(r)]
            for row in self.row
        ]
        """per column: ``row`` as ranges, but for the root's way"""
        edges = np.flatnonzero(np.diff(self.link, prepend=-1, append=len(self.above)))
        self.bodies = [(int(a), int(b)) for a, b in pairwise(edges)]
        """ranges of columns that move the same links"""

    def moving(self, links: np.ndarray) -> np.ndarray:
        """(nv,) bool: columns that move any of the links (L,) bool."""
        out = np.zeros(self.nv, dtype=bool)
        for link in np.flatnonzero(links):
            out[self.above[link]] = True
        return out

    def pieces(self, carrying: np.ndarray) -> list[tuple[int, int]]:
        """Ranges of the columns that do not carry, (nv,) bool, from the root outward: chains without a branch."""
        parents = self.parents
        off = np.zeros(len(parents), dtype=bool)
        off[self.link[~carrying]] = True
        only = np.bincount(parents[1:], weights=off[1:], minlength=len(parents)) == 1
        out: list[tuple[int, int]] = []
        for first, last in self.bodies:
            link = self.link[first]
            if not off[link]:
                continue
            if out and out[-1][1] == first and off[parents[link]] and only[parents[link]]:
                out[-1] = (out[-1][0], last)
            else:
                out.append((first, last))
        return out

    def columns(self, placed: Placed) -> Array:
        """Spatial velocity ``(nv, 6, T)`` per unit qvel, about the root position."""
        character, layout = self.character, self.character.layout
        axes, place = placed.axes, placed.arms
        out = np.zeros((self.nv, 6, place.shape[-1]))
        out[:3, 3:] = np.eye(3)[:, :, None]
        out[3:6, :3] = axes[0]
        for j, joint in enumerate(character.joints):
            at, child = layout.qvel_at[j], joint.child
            own = axes[child] if joint.type == "ball" else placed.direction(child, joint.axis)[None]
            out[at : at + len(own), :3] = own
            _cross(place[child], own, out[at : at + len(own), 3:])
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A pose for the equations: frames-last."""

    root: Array
    """(3, T) root position"""
    arms: Array
    """(L, 3, T) link origins from it"""
    turns: Array
    """(L, 4, T) link orientations, wxyz"""
    axes: Array
    """(L, 3, 3, T) of each link: its x, y and z axis in the world"""

    @classmethod
    def of(cls, pose: Pose) -> Placed:
        """Of a pose of T frames."""
        positions, turns = pose.positions.transpose(1, 2, 0), pose.rotations.transpose(1, 2, 0)
        w, x, y, z = turns.transpose(1, 0, 2)
        axes = np.empty((len(turns), 3, 3, turns.shape[-1]))
        xs, ys, zs = 2.0 * x, 2.0 * y, 2.0 * z
        xx, yy, zz = x * xs, y * ys, z * zs
        axes[:, 0, 0], axes[:, 1, 1], axes[:, 2, 2] = 1.0 - yy - zz, 1.0 - xx - zz, 1.0 - xx - yy
        for i, j, product, other in ((0, 1, x * ys, w * zs), (2, 0, x * zs, w * ys), (1, 2, y * zs, w * xs)):
            axes[:, i, j], axes[:, j, i] = product + other, product - other
        return cls(positions[0], positions - positions[0], turns, axes)

    def direction(self, link: int, local: Array) -> Array:
        """World direction ``(3, T)`` of a vector (3,) in a link's frame."""
        return (local @ self.axes[link].reshape(3, -1)).reshape(3, -1)

    def points(self, link: int, local: Array) -> Array:
        """Points ``(K, 3)`` of a link's frame in the world, from the root: ``(K, 3, T)``."""
        return (local @ self.axes[link].reshape(3, -1)).reshape(len(local), 3, -1) + self.arms[link]

    def heights(self, link: int, local: Array) -> Array:
        """World z ``(K, T)`` of points ``(K, 3)`` of a link's frame."""
        return local @ self.axes[link, :, 2] + (self.arms[link, 2] + self.root[2])


def _cross(a: Array, b: Array, out: Array) -> None:
    """a × b of frames-last vectors: a ``(3, T)``, b ``(N, 3, T)``."""
    out[:, 0] = a[1] * b[:, 2] - a[2] * b[:, 1]
    out[:, 1] = a[2] * b[:, 0] - a[0] * b[:, 2]
    out[:, 2] = a[0] * b[:, 1] - a[1] * b[:, 0]


class Rows:
    """Sums of residual rows per link: matrix ``(L, 6, 6, T)``, right-hand side ``(L, 6, T)``; and their cost ``(T,)``."""

    def __init__(self, links: int, frames: int):
        self.matrix = np.zeros((links, 6, 6, frames))
        self.vector = np.zeros((links, 6, frames))
        self.cost = np.zeros(frames)
        self.touched = np.zeros(links, dtype=bool)
        """(L,) links of which a point was asked for"""

    def turns(self, bones: Array, across: Array, about: Array, errors: Array) -> None:
        """Rotation errors of all links.

        Args:
            bones: (L, 3, T) world directions.
            across, about: (L,) weights perpendicular to the bone and about it.
            errors: (L, 3, T) rotation vectors, world, that would mend them.
        """
        extra, across = (about - across)[:, None], across[:, None]
        for i in range(3):
            weighed = extra * bones[:, i]
            for j in range(i):
                value = weighed * bones[:, j]
                self.matrix[:, i, j] += value
                self.matrix[:, j, i] += value
            self.matrix[:, i, i] += weighed * bones[:, i] + across
        along = bones[:, 0] * errors[:, 0] + bones[:, 1] * errors[:, 1] + bones[:, 2] * errors[:, 2]
        along *= extra
        for i in range(3):
            force = across * errors[:, i] + along * bones[:, i]
            self.vector[:, i] += force
            self.cost += np.einsum("lt,lt->t", errors[:, i], force)

    def points(self, link: int, arms: Array, level: Array, vertical: Array, errors: Array) -> None:
        """Position errors of points fixed to a link.

        Args:
            arms: (K, 3, T) the points from the root position.
            level, vertical: (K, T) weights of the horizontal and the vertical errors.
            errors: (K, 3, T) displacements that would mend them.
        """
        self.touched[link] = True
        x, y, z = arms.transpose(1, 0, 2)
        m, v = self.matrix[link], self.vector[link]
        lx, ly, lz, vx, vy = level * x, level * y, level * z, vertical * x, vertical * y
        lzz = _summed(lz, z)
        m[0, 0] += lzz + _summed(vy, y)
        m[1, 1] += lzz + _summed(vx, x)
        m[2, 2] += _summed(lx, x) + _summed(ly, y)
        above, right = lz.sum(axis=0), lx.sum(axis=0)
        for i, j, value in (
            (0, 1, -_summed(vx, y)),
            (0, 2, -_summed(lx, z)),
            (1, 2, -_summed(ly, z)),
            (0, 4, -above),
            (0, 5, vy.sum(axis=0)),
            (1, 3, above),
            (1, 5, -vx.sum(axis=0)),
            (2, 3, -ly.sum(axis=0)),
            (2, 4, right),
        ):
            m[i, j] += value
            m[j, i] += value
        total = level.sum(axis=0)
        m[3, 3] += total
        m[4, 4] += total
        m[5, 5] += vertical.sum(axis=0)
        fx, fy, fz = level * errors[:, 0], level * errors[:, 1], vertical * errors[:, 2]
        self.cost += _summed(errors[:, 0], fx) + _summed(errors[:, 1], fy) + _summed(errors[:, 2], fz)
        v[0] += _summed(y, fz) - _summed(z, fy)
        v[1] += _summed(z, fx) - _summed(x, fz)
        v[2] += _summed(x, fy) - _summed(y, fx)
        v[3] += fx.sum(axis=0)
        v[4] += fy.sum(axis=0)
        v[5] += fz.sum(axis=0)

    def normal_equations(self, tree: Tree, columns: Array) -> tuple[Array, Array]:
        """JᵀWJ ``(tree.start[-1], T)``, its lower triangle packed as `Tree.at` says, and JᵀWe ``(nv, T)``."""
        matrix, vector = self.matrix, self.vector
        for link in range(len(matrix) - 1, 0, -1):
            matrix[tree.parents[link]] += matrix[link]
            vector[tree.parents[link]] += vector[link]
        frames = columns.shape[-1]
        right, out = np.empty((tree.nv, frames)), np.empty((tree.start[-1], frames))
        for first, last in tree.bodies:
            own = columns[first:last]
            np.einsum("nkt,kt->nt", own, vector[tree.link[first]], out=right[first:last])
            force = np.einsum("klt,nlt->nkt", matrix[tree.link[first]], own)
            for i in range(first, last):
                at = tree.start[i] + min(3, i + 1)
                out[tree.start[i] : at] = force[i - first, 3 : 3 + min(3, i + 1)]  # the root's way
                for a, b in tree.runs[i]:
                    np.einsum("nkt,kt->nt", columns[a:b], force[i - first], out=out[at : at + b - a])
                    at += b - a
        return out, right


def _summed(a: Array, b: Array) -> Array:
    """Σ a·b over the points: (K, T) and (K, T) to (T,)."""
    return np.einsum("kt,kt->t", a, b)
