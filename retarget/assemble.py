"""Normal equations of a tree of links, all frames at once, without ever forming a Jacobian.

Every residual of the solve is a row attached to one link: r = n·(v + ω × p) or r = n·ω. A link's rows sum to a symmetric
6×6 matrix and a 6-vector; these add up from the leaves to the root, as in the composite-rigid-body algorithm
(Featherstone, *Rigid Body Dynamics Algorithms*, 2008, ch. 6), and JᵀWJ follows column by column.
Arrays are frames-last so that each numpy operation runs over all frames. Vectors are in world axes about the frame's own
root position, angular part first.
"""

from __future__ import annotations

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

    def turn(self, link: int, bone: Array, across: Array | float, about: Array | float, error: Array) -> None:
        """Rotation error of a link.

        Args:
            bone: (3, T) world direction.
            across, about: weights perpendicular to the bone and about it.
            error: (3, T) rotation vector, world, that would mend it.
        """
        extra = about - across
        along = np.einsum("it,it->t", bone, error)
        self.matrix[link, :3, :3] += extra * bone[:, None] * bone[None] + across * np.eye(3)[:, :, None]
        force = across * error + extra * along * bone
        self.vector[link, :3] += force
        self.cost += np.einsum("it,it->t", error, force)

    def point(self, link: int, arm: Array, level: Array, vertical: Array, error: Array) -> None:
        """Position error of a point fixed to a link.

        Args:
            arm: (3, T) the point from the root position.
            level, vertical: (T,) weights of the horizontal and the vertical error.
            error: (3, T) displacement that would mend it.
        """
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
        """JᵀWJ ``(nv, nv, T)``, its lower triangle only, and JᵀWe ``(nv, T)``."""
        matrix, vector = self.matrix, self.vector
        for link in range(len(matrix) - 1, 0, -1):
            matrix[tree.parents[link]] += matrix[link]
            vector[tree.parents[link]] += vector[link]
        right = np.einsum("nkt,nkt->nt", columns, vector[tree.link])
        out = np.zeros((tree.nv, tree.nv, columns.shape[-1]))
        for i in range(tree.nv):
            link = tree.link[i]
            force = np.einsum("klt,lt->kt", matrix[link], columns[i])
            above = tree.above[link]
            above = above[above <= i]
            out[i, above] = np.einsum("nkt,kt->nt", columns[above], force)
        return out, right
