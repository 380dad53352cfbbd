"""Smoothness across time, and the damped Gauss–Newton step that couples all frames.

The equations of a step are (H + S + D) δ = f: H of every frame by itself, sparse as the tree of links is; S the smoothness,
diagonal in the coordinates; D the damping. What carries the body – the root, and every link between it and a point that the
step pins or pushes – is one banded system of bandwidth 2·n. Arms, head, tail and wings that touch nothing hang on it: each
chain of them is a banded system of its own, eliminated from the leaves to the root and solved from the root outward. What
they add to the matrix of what they hang on is taken frame by frame, as if they could follow at once (LᵀDL of a tree:
Featherstone, *Rigid Body Dynamics Algorithms*, 2008, ch. 6.5): the one approximation, small because what carries is much the
calmer. So the work grows with the cube of the largest piece only; f is exact, and so is what the steps converge to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from motion.errors import SolveError
from motion.rotation import Array
from retarget.assemble import Tree

if TYPE_CHECKING:
    from retarget.solve import SolveSettings


class Smoothness:
    """λ₁‖Dc‖² + λ₂‖D²c‖² on the correction c, and the step."""

    def __init__(self, tree: Tree, frames: int, fps: float, settings: SolveSettings, bridge: np.ndarray | bool = False):
        """
        Args:
            bridge: (nv,) bool, coordinates that are to be as calm as the root's turns.
        """
        self.tree, self.frames = tree, frames
        weight = np.where(np.broadcast_to(bridge, tree.nv), settings.smooth_turn, 1.0)
        weight[:3], weight[3:6] = settings.smooth_root, settings.smooth_turn
        tau = settings.smooth_time * fps
        first, second = 0.5 * weight * tau**2, weight * tau**4
        one = np.zeros((3, frames))  # diagonals 0, 1, 2 of D'D and D²'D² along time
        two = np.zeros((3, frames))
        if frames > 1:
            one[0, :-1] += 1
            one[0, 1:] += 1
            one[1, :-1] -= 1
        if frames > 2:
            two[0, :-2] += 1
            two[0, 1:-1] += 4
            two[0, 2:] += 1
            two[1, :-2] -= 2
            two[1, 1:-1] -= 2
            two[2, :-2] += 1
        self.bands = one[:, :, None] * first + two[:, :, None] * second
        """(3, T, nv)"""

    def pull(self, correction: Array) -> Array:
        """S c ``(T, nv)`` of corrections c ``(T, nv)``."""
        bands, frames = self.bands, self.frames
        out = bands[0] * correction
        for k in (1, 2):
            if frames > k:
                out[:-k] += bands[k, :-k] * correction[k:]
                out[k:] += bands[k, :-k] * correction[:-k]
        return out

    def step(self, matrix: Array, force: Array, damping: Array, carrying: np.ndarray) -> Array:
        """δ ``(T, nv)`` of (H + S + D) δ = f; exact if all coordinates carry.

        Args:
            matrix: (tree.start[-1], T) lower triangle of H, packed as `Tree.at` says.
            force: (T, nv).
            damping: (T,) the diagonal of D, the same for all coordinates of a frame.
            carrying: (nv,) bool; with a coordinate, all that it hangs on.
        """
        tree, start = self.tree, self.tree.start
        core = np.flatnonzero(carrying)
        work, rest, delta = matrix.copy(), force.T.copy(), np.empty((tree.nv, self.frames))
        hanging = []
        for first, last in reversed(tree.pieces(carrying)):
            columns, above = np.arange(first, last), tree.row[first][:-1]
            coupling = np.stack([work[start[i] : start[i] + len(above)] for i in columns])
            factor = _factored(self._band(columns, work, damping))
            rest[above] -= np.einsum("nmt,nt->mt", coupling, _solved(factor, rest[columns]))
            hanging.append((columns, above, coupling, factor))
            for i in reversed(columns):
                row = work[start[i] : start[i + 1]]
                scaled = row[:-1] / (row[-1] + damping)
                for k, j in enumerate(tree.row[i][:-1]):
                    work[start[j] : start[j] + k + 1] -= scaled[k] * row[: k + 1]
        delta[core] = _solved(_factored(self._band(core, work, damping)), rest[core])
        for columns, above, coupling, factor in reversed(hanging):
            delta[columns] = _solved(factor, rest[columns] - np.einsum("nmt,mt->nt", coupling, delta[above]))
        return delta.T

    def _band(self, columns: np.ndarray, matrix: Array, damping: Array) -> Array:
        """H + S + D of some columns (n,), across time: (T, n, 2n + 1) as ``solveh_banded`` wants it."""
        n, bands = len(columns), self.bands
        band = np.zeros((self.frames, n, 2 * n + 1))
        for j, column in enumerate(columns):
            at = self.tree.at[columns[j:], column]
            below = np.flatnonzero(at >= 0)
            band[:, j, below] = matrix[at[below]].T
        band[:, :, 0] += bands[0][:, columns] + damping[:, None]
        band[:, :, n] += bands[1][:, columns]
        band[:, :, 2 * n] += bands[2][:, columns]
        return band


def _factored(band: Array) -> Array:
    """The Cholesky factor of a banded system (T, n, 2n + 1), in its place."""
    try:
        cholesky_banded(band.reshape(-1, band.shape[-1]).T, overwrite_ab=True, lower=True, check_finite=False)
    except np.linalg.LinAlgError as error:
        raise SolveError("the solve became singular") from error
    return band


def _solved(factor: Array, force: Array) -> Array:
    """(n, T): a factored system (T, n, 2n + 1) solved for a force (n, T)."""
    frames, n, width = factor.shape
    flat = (factor.reshape(-1, width).T, True)
    return cho_solve_banded(flat, force.T.reshape(-1), overwrite_b=True, check_finite=False).reshape(frames, n).T
