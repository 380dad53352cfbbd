"""Normal equations of a tree of links, all frames at once, without ever forming a Jacobian.

Every residual of the solve is a row attached to one link: r = n·(v + ω × p) or r = n·ω. A link's rows sum to a symmetric
6×6 matrix and a 6-vector; these add up from the leaves to the root, as in the composite-rigid-body algorithm
(Featherstone, *Rigid Body Dynamics Algorithms*, 2008, ch. 6), and JᵀWJ follows column by column.
Arrays are frames-last so that each numpy operation runs over all frames. Vectors are in world axes about the frame's own
root position, angular part first.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from characters.character import Character
from characters.kinematics import Pose
from motion import rotation
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
            [(int(r[0]), int(r[-1]) + 1) for r in np.split(row, np.flatnonzero(np.diff(row) > 1) + 1)]
            for row in self.row
        ]
        """per column: ``row`` as ranges"""
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

    def columns(self, pose: Pose) -> Array:
        """Spatial velocity ``(nv, 6, T)`` per unit qvel, about the root position."""
        character, layout = self.character, self.character.layout
        turn = rotation.to_matrix(pose.rotations).transpose(1, 2, 3, 0)
        place = (pose.positions - pose.positions[:, :1]).transpose(1, 2, 0)
        out = np.zeros((self.nv, 6, pose.positions.shape[0]))
        out[:3, 3:] = np.eye(3)[:, :, None]
        out[3:6, :3] = turn[0].transpose(1, 0, 2)
        for j, joint in enumerate(character.joints):
            at, child = layout.qvel_at[j], joint.child
            axes = (
                turn[child].transpose(1, 0, 2)
                if joint.type == "ball"
                else np.einsum("ikt,k->it", turn[child], joint.axis)[None]
            )
            out[at : at + len(axes), :3] = axes
            out[at : at + len(axes), 3:] = _cross(place[child], axes)
        return out


def _cross(a: Array, b: Array) -> Array:
    """a × b of frames-last vectors: a ``(3, T)``, b ``(N, 3, T)``."""
    out = np.empty_like(b)
    out[:, 0] = a[1] * b[:, 2] - a[2] * b[:, 1]
    out[:, 1] = a[2] * b[:, 0] - a[0] * b[:, 2]
    out[:, 2] = a[0] * b[:, 1] - a[1] * b[:, 0]
    return out


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

    def point(self, link: int, arm: Array, level: Array, vertical: Array, error: Array) -> None:
        """Position error of a point fixed to a link.

        Args:
            arm: (3, T) the point from the root position.
            level, vertical: (T,) weights of the horizontal and the vertical error.
            error: (3, T) displacement that would mend it.
        """
        self.touched[link] = True
        x, y, z = arm
        m, v = self.matrix[link], self.vector[link]
        m[0, 0] += z * z * level + y * y * vertical
        m[1, 1] += z * z * level + x * x * vertical
        m[2, 2] += (x * x + y * y) * level
        for i, j, value in (
            (0, 1, -x * y * vertical),
            (0, 2, -x * z * level),
            (1, 2, -y * z * level),
            (0, 4, -z * level),
            (0, 5, y * vertical),
            (1, 3, z * level),
            (1, 5, -x * vertical),
            (2, 3, -y * level),
            (2, 4, x * level),
        ):
            m[i, j] += value
            m[j, i] += value
        m[3, 3] += level
        m[4, 4] += level
        m[5, 5] += vertical
        fx, fy, fz = level * error[0], level * error[1], vertical * error[2]
        self.cost += error[0] * fx + error[1] * fy + error[2] * fz
        v[0] += y * fz - z * fy
        v[1] += z * fx - x * fz
        v[2] += x * fy - y * fx
        v[3] += fx
        v[4] += fy
        v[5] += fz

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
                at = tree.start[i]
                for a, b in tree.runs[i]:
                    np.einsum("nkt,kt->nt", columns[a:b], force[i - first], out=out[at : at + b - a])
                    at += b - a
        return out, right
