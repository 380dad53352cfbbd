"""Rotations as unit quaternions, ``(…, 4)`` arrays in **wxyz** order.

All functions broadcast over leading axes, take and return float64 and never loop over frames.
A quaternion rotates vectors from the local to the parent (or world) frame: ``rotate(q, v)``.
Formulas: Solà, *Quaternion kinematics for the error-state Kalman filter* (2017), in Hamilton's convention.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

IDENTITY: Array = np.array([1.0, 0.0, 0.0, 0.0])
"""(4,) the rotation that does nothing."""

_AXES = {"x": 0, "y": 1, "z": 2}
_SMALL = 1e-8
"""Half-angle sine below which series replace divisions; their error is then below 1e-16."""


def normalize(q: ArrayLike) -> Array:
    """Scale quaternions ``(…, 4)`` to unit norm; a zero quaternion becomes the identity."""
    q = np.asarray(q, dtype=np.float64)
    norm = np.sqrt(np.einsum("...i,...i->...", q, q))[..., None]
    return np.where(norm > 1e-12, q / np.maximum(norm, 1e-12), IDENTITY)


def conjugate(q: ArrayLike) -> Array:
    """The inverse rotation of a unit quaternion ``(…, 4)``."""
    return np.asarray(q, dtype=np.float64) * np.array([1.0, -1.0, -1.0, -1.0])


def multiply(a: ArrayLike, b: ArrayLike) -> Array:
    """Hamilton product ``a ⊗ b`` of ``(…, 4)``: first ``b``, then ``a``."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = aw * bw - ax * bx - ay * by - az * bz
    out[..., 1] = aw * bx + ax * bw + ay * bz - az * by
    out[..., 2] = aw * by - ax * bz + ay * bw + az * bx
    out[..., 3] = aw * bz + ax * by - ay * bx + az * bw
    return out


def relative(a: ArrayLike, b: ArrayLike) -> Array:
    """``a⁻¹ ⊗ b``: the rotation from ``a`` to ``b``, expressed in ``a``'s frame."""
    return multiply(conjugate(a), b)


def rotate(q: ArrayLike, v: ArrayLike) -> Array:
    """Rotate vectors ``(…, 3)`` by quaternions ``(…, 4)``."""
    q, v = np.asarray(q, dtype=np.float64), np.asarray(v, dtype=np.float64)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    a, b, c = v[..., 0], v[..., 1], v[..., 2]
    tx = 2.0 * (y * c - z * b)
    ty = 2.0 * (z * a - x * c)
    tz = 2.0 * (x * b - y * a)
    out = np.empty(np.broadcast_shapes(q.shape[:-1], v.shape[:-1]) + (3,))
    out[..., 0] = a + w * tx + y * tz - z * ty
    out[..., 1] = b + w * ty + z * tx - x * tz
    out[..., 2] = c + w * tz + x * ty - y * tx
    return out


def exp(rotvec: ArrayLike) -> Array:
    """Quaternion ``(…, 4)`` of a rotation vector ``(…, 3)`` in radians."""
    rotvec = np.asarray(rotvec, dtype=np.float64)
    angle = np.sqrt(np.einsum("...i,...i->...", rotvec, rotvec))
    half = 0.5 * angle
    scale = 0.5 * np.sinc(half / np.pi)
    out = np.empty(rotvec.shape[:-1] + (4,))
    out[..., 0] = np.cos(half)
    out[..., 1:] = scale[..., None] * rotvec
    return out


def log(q: ArrayLike) -> Array:
    """Rotation vector ``(…, 3)`` in radians, angle in [0, π], of a unit quaternion ``(…, 4)``."""
    q = np.asarray(q, dtype=np.float64)
    vector = q[..., 1:]
    sine = np.sqrt(np.einsum("...i,...i->...", vector, vector))
    sign = np.where(q[..., 0] < 0.0, -1.0, 1.0)
    angle = 2.0 * np.arctan2(sine, sign * q[..., 0])
    scale = np.where(sine > _SMALL, angle / np.maximum(sine, _SMALL), 2.0)
    return (sign * scale)[..., None] * vector


def angle(a: ArrayLike, b: ArrayLike) -> Array:
    """Angle in [0, π] radians between rotations ``a`` and ``b``, each ``(…, 4)``."""
    return np.linalg.norm(log(relative(a, b)), axis=-1)


def from_axis_angle(axis: ArrayLike, theta: ArrayLike) -> Array:
    """Quaternion of a turn by ``theta`` ``(…)`` radians about unit ``axis`` ``(…, 3)``."""
    return exp(np.asarray(theta, dtype=np.float64)[..., None] * np.asarray(axis, dtype=np.float64))


def to_matrix(q: ArrayLike) -> Array:
    """Rotation matrices ``(…, 3, 3)`` of unit quaternions ``(…, 4)``."""
    q = np.asarray(q, dtype=np.float64)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    out = np.empty(q.shape[:-1] + (3, 3))
    out[..., 0, 0] = 1 - 2 * (y * y + z * z)
    out[..., 0, 1] = 2 * (x * y - w * z)
    out[..., 0, 2] = 2 * (x * z + w * y)
    out[..., 1, 0] = 2 * (x * y + w * z)
    out[..., 1, 1] = 1 - 2 * (x * x + z * z)
    out[..., 1, 2] = 2 * (y * z - w * x)
    out[..., 2, 0] = 2 * (x * z - w * y)
    out[..., 2, 1] = 2 * (y * z + w * x)
    out[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return out


def from_matrix(m: ArrayLike) -> Array:
    """Unit quaternions ``(…, 4)`` of rotation matrices ``(…, 3, 3)`` (Shepperd's choice of pivot)."""
    m = np.asarray(m, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    candidates = np.empty(m.shape[:-2] + (4, 4))
    candidates[..., 0, :] = np.stack(
        [1 + xx + yy + zz, m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]], -1
    )
    candidates[..., 1, :] = np.stack(
        [m[..., 2, 1] - m[..., 1, 2], 1 + xx - yy - zz, m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0]], -1
    )
    candidates[..., 2, :] = np.stack(
        [m[..., 0, 2] - m[..., 2, 0], m[..., 0, 1] + m[..., 1, 0], 1 - xx + yy - zz, m[..., 1, 2] + m[..., 2, 1]], -1
    )
    candidates[..., 3, :] = np.stack(
        [m[..., 1, 0] - m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1], 1 - xx - yy + zz], -1
    )
    pivot = np.argmax(np.stack([xx + yy + zz, xx, yy, zz], -1), axis=-1)
    q = np.take_along_axis(candidates, pivot[..., None, None], axis=-2)[..., 0, :]
    return normalize(q)


def from_frame(x: ArrayLike, z: ArrayLike) -> Array:
    """Quaternion of the right-handed frame whose x axis is ``x`` and whose z axis is nearest to ``z``, both ``(…, 3)``."""
    x = unit(x)
    y = unit(np.cross(np.asarray(z, dtype=np.float64), x))
    return from_matrix(np.stack([x, y, np.cross(x, y)], axis=-1))


def between(a: ArrayLike, b: ArrayLike) -> Array:
    """Shortest rotation ``(…, 4)`` that turns direction ``a`` ``(…, 3)`` onto direction ``b``; any half turn if opposite."""
    a, b = unit(a), unit(b)
    dot = np.einsum("...i,...i->...", a, b)
    cross = np.cross(a, b)
    q = np.concatenate([(1.0 + dot)[..., None], cross], axis=-1)
    helper = np.where(np.abs(a[..., :1]) < 0.9, np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    opposite = np.concatenate([np.zeros_like(dot)[..., None], unit(np.cross(a, helper))], axis=-1)
    return normalize(np.where((dot < -1.0 + 1e-12)[..., None], opposite, q))


def unit(v: ArrayLike) -> Array:
    """Scale vectors ``(…, 3)`` to length 1; a zero vector stays zero."""
    v = np.asarray(v, dtype=np.float64)
    length = np.sqrt(np.einsum("...i,...i->...", v, v))[..., None]
    return v / np.where(length > 1e-300, length, 1.0)


def from_euler(order: str, angles: ArrayLike) -> Array:
    """Quaternion of intrinsic turns about the axes of ``order`` (``"ZXY"``: first Z, then the new X …).

    Args:
        order: one to three letters of xyz, any case; an axis may repeat.
        angles: ``(…, len(order))`` radians.

    This is BVH's convention: with channels Zrotation Xrotation Yrotation, R = Rz·Rx·Ry.
    """
    angles = np.asarray(angles, dtype=np.float64)
    parts: list[Array | None] = [None, None, None, None]  # w, x, y, z; None is zero
    for i, letter in enumerate(order.lower()):
        # Both half-angle functions from one tangent: np.tan is vectorised where sin and cos are not.
        tangent = np.tan(0.25 * angles[..., i])
        square = tangent * tangent
        scale = 1.0 / (1.0 + square)
        cosine, sine = (1.0 - square) * scale, 2.0 * tangent * scale
        k = _AXES[letter]
        if i == 0:
            parts[0], parts[1 + k] = cosine, sine
            continue
        w, a, b, c = parts[0], parts[1 + k], parts[1 + (k + 1) % 3], parts[1 + (k + 2) % 3]
        parts[0], parts[1 + k] = _mix(w, cosine, a, -sine), _mix(a, cosine, w, sine)
        parts[1 + (k + 1) % 3], parts[1 + (k + 2) % 3] = _mix(b, cosine, c, sine), _mix(c, cosine, b, -sine)
    q = np.empty(angles.shape[:-1] + (4,))
    for i, part in enumerate(parts):
        q[..., i] = IDENTITY[i] if part is None else part
    return q


def _mix(a: Array | None, s: Array, b: Array | None, t: Array) -> Array | None:
    """``a·s + b·t`` where None stands for zero."""
    if a is None or b is None:
        return a * s if a is not None else b * t if b is not None else None
    return a * s + b * t


def to_euler(order: str, q: ArrayLike) -> Array:
    """Intrinsic Tait–Bryan angles ``(…, 3)`` in radians, the inverse of `from_euler` for three different axes.

    The middle angle lies in [−π/2, π/2]. At the pole the third angle is set to 0.
    """
    i, j, k = (_AXES[c] for c in order.lower())
    sign = 1.0 if (i, j, k) in ((0, 1, 2), (1, 2, 0), (2, 0, 1)) else -1.0
    m = to_matrix(q)
    middle = np.arcsin(np.clip(sign * m[..., i, k], -1.0, 1.0))
    pole = np.abs(m[..., i, k]) > 1.0 - 1e-12
    first = np.where(
        pole,
        np.arctan2(sign * m[..., k, j], m[..., j, j]),
        np.arctan2(-sign * m[..., j, k], m[..., k, k]),
    )
    third = np.where(pole, 0.0, np.arctan2(-sign * m[..., i, j], m[..., i, i]))
    return np.stack([first, middle, third], axis=-1)


def slerp(a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Array:
    """Constant-speed interpolation from ``a`` (t = 0) to ``b`` (t = 1) along the shorter arc; ``t`` is ``(…)``."""
    t = np.asarray(t, dtype=np.float64)[..., None]
    return multiply(a, exp(t * log(relative(a, b))))


def continuous(q: ArrayLike, axis: int = 0) -> Array:
    """Flip signs so that neighbours along ``axis`` (time) are on the same side of the double cover."""
    q = np.asarray(q, dtype=np.float64)
    moved = np.moveaxis(q, axis, 0)
    if len(moved) < 2:
        return q.copy()
    dots = np.einsum("t...i,t...i->t...", moved[1:], moved[:-1])
    sign = np.cumprod(np.where(dots < 0.0, -1.0, 1.0), axis=0)
    out = moved.copy()
    out[1:] *= sign[..., None]
    return np.moveaxis(out, 0, axis)


def swing_twist(q: ArrayLike, axis: ArrayLike) -> tuple[Array, Array]:
    """Split ``q = swing ⊗ twist``, the twist about unit ``axis`` ``(…, 3)`` and the swing perpendicular to it.

    Returns:
        swing ``(…, 4)`` and the twist angle ``(…)`` in (−π, π] radians.
    """
    q, axis = np.asarray(q, dtype=np.float64), np.asarray(axis, dtype=np.float64)
    along = np.einsum("...i,...i->...", q[..., 1:], axis)
    half = np.arctan2(along, q[..., 0])
    theta = 2.0 * half
    theta = np.where(theta > np.pi, theta - 2 * np.pi, np.where(theta <= -np.pi, theta + 2 * np.pi, theta))
    return multiply(q, conjugate(from_axis_angle(axis, theta))), theta


def yaw(q: ArrayLike) -> Array:
    """Heading ``(…)`` in radians: the twist of ``q`` about world z."""
    q = np.asarray(q, dtype=np.float64)
    theta = 2.0 * np.arctan2(q[..., 3], q[..., 0])
    return np.where(theta > np.pi, theta - 2 * np.pi, np.where(theta <= -np.pi, theta + 2 * np.pi, theta))


def from_yaw(theta: ArrayLike) -> Array:
    """Quaternion of a turn by ``theta`` ``(…)`` radians about world z."""
    return from_axis_angle(np.array([0.0, 0.0, 1.0]), theta)


def mean(q: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Weighted mean ``(4,)`` of rotations ``(N, 4)``: the principal eigenvector of Σ w q qᵀ (Markley et al. 2007)."""
    q = np.asarray(q, dtype=np.float64)
    w = np.ones(len(q)) if weights is None else np.asarray(weights, dtype=np.float64)
    _, vectors = np.linalg.eigh(np.einsum("n,ni,nj->ij", w, q, q))
    best = vectors[:, -1]
    return best if best[0] >= 0.0 else -best
