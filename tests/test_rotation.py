"""Rotations by their axioms, on random, tiny and nearly half turns in several batch shapes, and against scipy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from motion import rotation
from motion.rotation import Array

SHAPES = [(), (1,), (7,), (2, 0), (3, 1, 5)]
NEAR = 1e-7
"""radians from the identity, and from a half turn"""
Sampler = Callable[[tuple[int, ...]], Array]


def _axes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rotation.unit(rng.normal(size=(*shape, 3)))


def uniform(shape: tuple[int, ...], seed: int = 0) -> Array:
    return rotation.normalize(np.random.default_rng(seed).normal(size=(*shape, 4)))


def near_identity(shape: tuple[int, ...], seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rotation.exp(NEAR * rng.uniform(0, 1, (*shape, 1)) * _axes(rng, shape))


def near_half_turn(shape: tuple[int, ...], seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rotation.exp((np.pi - NEAR * rng.uniform(0, 1, (*shape, 1))) * _axes(rng, shape))


def negative(shape: tuple[int, ...], seed: int = 0) -> Array:
    """The other half of the double cover, close to −1 too."""
    return -rotation.multiply(uniform(shape, seed), near_identity(shape, seed + 1))


SAMPLERS = [uniform, near_identity, near_half_turn, negative]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_sampler = pytest.mark.parametrize("sample", SAMPLERS, ids=lambda s: s.__name__)


def scipy_of(q: Array) -> Rotation:
    return Rotation.from_quat(np.reshape(q, (-1, 4))[:, [1, 2, 3, 0]])


def assert_same_rotation(a: Array, b: Array, atol: float = 1e-12) -> None:
    """Equal up to the sign of the double cover; compares components, which near the identity is twice as strict as angles."""
    assert a.shape == b.shape
    sign = np.where(np.einsum("...i,...i->...", a, b) < 0, -1.0, 1.0)[..., None]
    np.testing.assert_allclose(a, sign * b, rtol=0, atol=atol)


@every_shape
@every_sampler
def test_group_axioms(sample: Sampler, shape: tuple[int, ...]) -> None:
    a, b, c = sample(shape), uniform(shape, 1), near_identity(shape, 2)
    one = np.broadcast_to(rotation.IDENTITY, a.shape)
    tight = {"rtol": 0, "atol": 1e-14}
    np.testing.assert_allclose(rotation.multiply(a, one), a, **tight)
    np.testing.assert_allclose(rotation.multiply(one, a), a, **tight)
    np.testing.assert_allclose(rotation.multiply(a, rotation.conjugate(a)), one, **tight)
    np.testing.assert_allclose(rotation.multiply(rotation.conjugate(a), a), one, **tight)
    left, right = rotation.multiply(rotation.multiply(a, b), c), rotation.multiply(a, rotation.multiply(b, c))
    np.testing.assert_allclose(left, right, **tight)
    np.testing.assert_allclose(np.linalg.norm(left, axis=-1), np.ones(shape), **tight)
    np.testing.assert_allclose(rotation.multiply(a, rotation.relative(a, b)), b, **tight)


@every_shape
@every_sampler
def test_action_on_vectors(sample: Sampler, shape: tuple[int, ...]) -> None:
    """R(ab)v = R(a)R(b)v, lengths and handedness are kept, and the matrix does the same."""
    a, b = sample(shape), uniform(shape, 1)
    rng = np.random.default_rng(3)
    v, w = rng.normal(size=(2, *shape, 3))
    tight = {"rtol": 0, "atol": 1e-13}
    both = rotation.rotate(rotation.multiply(a, b), v)
    np.testing.assert_allclose(both, rotation.rotate(a, rotation.rotate(b, v)), **tight)
    turned = rotation.rotate(a, v)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), np.linalg.norm(v, axis=-1), **tight)
    np.testing.assert_allclose(np.cross(turned, rotation.rotate(a, w)), rotation.rotate(a, np.cross(v, w)), **tight)
    np.testing.assert_allclose(np.einsum("...ij,...j->...i", rotation.to_matrix(a), v), turned, **tight)
    np.testing.assert_allclose(rotation.rotate(rotation.conjugate(a), turned), v, **tight)


def test_leading_axes_broadcast() -> None:
    q, v = uniform((4, 1)), np.random.default_rng(0).normal(size=(3, 3))
    assert rotation.rotate(q, v).shape == (4, 3, 3)
    assert rotation.multiply(q, uniform((5,))).shape == (4, 5, 4)
    np.testing.assert_array_equal(rotation.rotate(q, v)[2, 1], rotation.rotate(q[2, 0], v[1]))
    np.testing.assert_array_equal(
        rotation.multiply(q, uniform((5,)))[3, 4], rotation.multiply(q[3, 0], uniform((5,))[4])
    )


@every_sampler
def test_scipy_agrees(sample: Sampler) -> None:
    a, b = sample((50,)), uniform((50,), 1)
    v = np.random.default_rng(2).normal(size=(50, 3))
    np.testing.assert_allclose(rotation.rotate(a, v), scipy_of(a).apply(v), rtol=0, atol=1e-13)
    product_ = (scipy_of(a) * scipy_of(b)).as_quat()[:, [3, 0, 1, 2]]
    assert_same_rotation(rotation.multiply(a, b), product_)
    np.testing.assert_allclose(rotation.to_matrix(a), scipy_of(a).as_matrix(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(rotation.angle(a, b), (scipy_of(a).inv() * scipy_of(b)).magnitude(), rtol=0, atol=1e-12)


@every_shape
@every_sampler
def test_matrix_round_trip(sample: Sampler, shape: tuple[int, ...]) -> None:
    q = sample(shape)
    assert_same_rotation(rotation.from_matrix(rotation.to_matrix(q)), q, atol=1e-14)


@pytest.mark.parametrize("pivot", range(4))
def test_matrix_of_every_pivot(pivot: int) -> None:
    """Where a quaternion has one large component, each branch of Shepperd's choice is taken."""
    q = rotation.normalize(np.eye(4)[pivot] + 0.1 * uniform((20,)))
    assert_same_rotation(rotation.from_matrix(rotation.to_matrix(q)), q, atol=1e-14)


@every_shape
@every_sampler
def test_exp_and_log_are_inverse(sample: Sampler, shape: tuple[int, ...]) -> None:
    q = sample(shape)
    rotvec = rotation.log(q)
    size = np.linalg.norm(rotvec, axis=-1)
    assert (size <= np.pi + 1e-12).all()
    assert_same_rotation(rotation.exp(rotvec), q, atol=1e-14)
    np.testing.assert_allclose(rotation.log(rotation.conjugate(q)), -rotvec, rtol=0, atol=1e-14)
    np.testing.assert_allclose(size.ravel(), scipy_of(q).magnitude() if q.size else [], rtol=1e-9, atol=0)


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e-16, 1e-9, 1e-8, 1e-7, 1e-4, 1.0, np.pi - NEAR])
def test_log_of_exp_keeps_relative_precision(size: float) -> None:
    """Tiny turns keep their digits: a smoother differentiates them twice."""
    vectors = size * _axes(np.random.default_rng(0), (20,))
    np.testing.assert_allclose(rotation.log(rotation.exp(vectors)), vectors, rtol=1e-8, atol=0)


def test_exp_of_more_than_a_turn() -> None:
    axis = _axes(np.random.default_rng(0), (10,))
    assert_same_rotation(rotation.exp((2 * np.pi + 0.3) * axis), rotation.exp(0.3 * axis))
    np.testing.assert_allclose(rotation.log(rotation.exp((np.pi + 0.2) * axis)), -(np.pi - 0.2) * axis, atol=1e-12)


@given(arrays(np.float64, 3, elements=st.floats(-20.0, 20.0)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_exp_is_scipys(vector: Array) -> None:
    assert_same_rotation(rotation.exp(vector), Rotation.from_rotvec(vector).as_quat()[[3, 0, 1, 2]], atol=1e-13)


def test_angle_is_a_metric() -> None:
    a, b, c = uniform((50,), 0), uniform((50,), 1), uniform((50,), 2)
    assert (rotation.angle(a, c) <= rotation.angle(a, b) + rotation.angle(b, c) + 1e-12).all()
    np.testing.assert_allclose(rotation.angle(a, b), rotation.angle(b, a), atol=1e-14)
    np.testing.assert_allclose(rotation.angle(a, -a), 0.0, atol=1e-14)
    tiny = rotation.multiply(a, rotation.exp(NEAR * _axes(np.random.default_rng(0), (50,))))
    np.testing.assert_allclose(rotation.angle(a, tiny), NEAR, rtol=1e-6)


ORDERS = ["".join(o) for o in permutations("xyz")] + ["".join(o) for n in (1, 2, 3) for o in product("xyz", repeat=n)]


@pytest.mark.parametrize("order", sorted(set(ORDERS)))
def test_from_euler_of_every_order(order: str) -> None:
    """Also orders with fewer letters and with an axis twice, as BVH files have them."""
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (20, len(order)))
    expected = Rotation.identity(20)
    for letter, turn in zip(order, angles.T, strict=True):
        expected = expected * Rotation.from_rotvec(np.outer(turn, np.eye(3)["xyz".index(letter)]))
    assert_same_rotation(rotation.from_euler(order, angles), expected.as_quat()[:, [3, 0, 1, 2]])
    assert_same_rotation(rotation.from_euler(order.upper(), angles), rotation.from_euler(order, angles))


@pytest.mark.parametrize("turns", [-2 * np.pi, -np.pi, 0.0, np.pi, 2 * np.pi, 3 * np.pi])
def test_from_euler_at_whole_and_half_turns(turns: float) -> None:
    """The half-angle tangent that from_euler computes with has its pole there."""
    angles = np.array([[turns, 0.2, turns]])
    expected = Rotation.from_euler("ZXY", angles).as_quat()[:, [3, 0, 1, 2]]
    q = rotation.from_euler("ZXY", angles)
    assert np.isfinite(q).all()
    assert_same_rotation(q, expected)


@pytest.mark.parametrize("order", ["".join(o) for o in permutations("xyz")])
@every_sampler
def test_to_euler_inverts(sample: Sampler, order: str) -> None:
    q = sample((40,))
    angles = rotation.to_euler(order, q)
    assert (np.abs(angles[..., 1]) <= np.pi / 2).all()
    assert_same_rotation(rotation.from_euler(order, angles), q, atol=1e-7)
    inner = np.random.default_rng(1).uniform([-3, -1.4, -3], [3, 1.4, 3], (40, 3))
    np.testing.assert_allclose(rotation.to_euler(order, rotation.from_euler(order, inner)), inner, atol=1e-12)


@pytest.mark.parametrize("order", ["".join(o) for o in permutations("xyz")])
@pytest.mark.parametrize("pole", [-np.pi / 2, np.pi / 2])
def test_to_euler_at_the_pole(order: str, pole: float) -> None:
    q = rotation.from_euler(order, np.array([[0.7, pole, -0.4], [2.5, pole, 1.0]]))
    angles = rotation.to_euler(order, q)
    np.testing.assert_array_equal(angles[:, 2], 0.0)
    assert_same_rotation(rotation.from_euler(order, angles), q, atol=1e-7)


@every_shape
def test_between_turns_one_direction_onto_the_other(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    a, b = 3.0 * _axes(rng, shape), 0.1 * _axes(rng, shape)
    q = rotation.between(a, b)
    np.testing.assert_allclose(rotation.rotate(q, rotation.unit(a)), rotation.unit(b), atol=1e-14)
    shortest = np.arccos(np.einsum("...i,...i->...", rotation.unit(a), rotation.unit(b)))
    np.testing.assert_allclose(np.linalg.norm(rotation.log(q), axis=-1), shortest, atol=1e-7)


@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-8, 1e-5])
def test_between_opposite_directions(off: float) -> None:
    a = np.concatenate([_axes(np.random.default_rng(0), (20,)), np.eye(3), -np.eye(3)])
    aside = np.cross(a, np.roll(a, 1, axis=-1) + [0.1, 0.2, 0.3])
    b = rotation.unit(-a + off * rotation.unit(aside))
    q = rotation.between(a, b)
    np.testing.assert_allclose(np.linalg.norm(q, axis=-1), 1.0, atol=1e-14)
    np.testing.assert_allclose(rotation.rotate(q, a), b, atol=2e-6)
    assert (np.linalg.norm(rotation.log(q), axis=-1) > np.pi - 1e-4).all()


def test_between_nothing_is_the_identity() -> None:
    np.testing.assert_allclose(rotation.between([0, 0, 2], [0, 0, 5]), rotation.IDENTITY, atol=1e-15)


@every_shape
@every_sampler
def test_swing_twist_recomposes(sample: Sampler, shape: tuple[int, ...]) -> None:
    q, axis = sample(shape), _axes(np.random.default_rng(5), shape)
    swing, twist = rotation.swing_twist(q, axis)
    assert twist.shape == shape
    assert ((twist > -np.pi - 1e-12) & (twist <= np.pi + 1e-12)).all()
    assert_same_rotation(rotation.multiply(swing, rotation.from_axis_angle(axis, twist)), q, atol=1e-14)
    np.testing.assert_allclose(np.einsum("...i,...i->...", swing[..., 1:], axis), 0.0, atol=1e-14)
    # Only the swing moves the axis.
    np.testing.assert_allclose(rotation.rotate(swing, axis), rotation.rotate(q, axis), atol=1e-13)


def test_swing_twist_by_hand() -> None:
    z = np.array([0.0, 0.0, 1.0])
    tilt, turn = rotation.from_axis_angle(np.array([0.0, 1.0, 0.0]), 0.4), rotation.from_yaw(-2.0)
    swing, twist = rotation.swing_twist(rotation.multiply(tilt, turn), z)
    assert_same_rotation(swing, tilt)
    assert twist == pytest.approx(-2.0)
    _, twist = rotation.swing_twist(-rotation.from_yaw(3.0), z)
    assert twist == pytest.approx(3.0)


def test_yaw_of_from_yaw() -> None:
    theta = np.linspace(-np.pi + 1e-9, np.pi, 41)
    np.testing.assert_allclose(rotation.yaw(rotation.from_yaw(theta)), theta, atol=1e-12)
    np.testing.assert_allclose(
        rotation.rotate(rotation.from_yaw(0.3), [1.0, 0, 0]), [np.cos(0.3), np.sin(0.3), 0], atol=1e-15
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_continuous_only_flips_signs_and_leaves_no_jump(axis: int) -> None:
    steps = 0.2 * np.random.default_rng(0).normal(size=(200, 3, 3))
    q = np.empty((200, 3, 4))
    q[0] = uniform((3,))
    for k in range(1, 200):
        q[k] = rotation.multiply(q[k - 1], rotation.exp(steps[k]))
    flipped = q * np.random.default_rng(1).choice([-1.0, 1.0], (200, 3, 1))
    flipped = np.moveaxis(flipped, 0, axis)
    out = rotation.continuous(flipped, axis=axis)
    np.testing.assert_array_equal(np.abs(out), np.abs(flipped))
    moved = np.moveaxis(out, axis, 0)
    assert (np.einsum("t...i,t...i->t...", moved[1:], moved[:-1]) > 0).all()
    np.testing.assert_array_equal(moved[0], np.moveaxis(flipped, axis, 0)[0])


def test_continuous_of_one_frame_is_a_copy() -> None:
    q = -uniform((1,))
    out = rotation.continuous(q)
    np.testing.assert_array_equal(out, q)
    assert not np.shares_memory(out, q)


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_slerp_runs_at_constant_speed_along_the_shorter_arc(flip: float) -> None:
    a, b = uniform((30,), 0), flip * uniform((30,), 1)
    whole = rotation.angle(a, b)
    for t in (0.0, 0.25, 1.0):
        at = rotation.slerp(a, b, np.full(30, t))
        np.testing.assert_allclose(rotation.angle(a, at), t * whole, atol=1e-7)
        np.testing.assert_allclose(rotation.angle(at, b), (1 - t) * whole, atol=1e-7)


def test_mean() -> None:
    """Of turns to either side the middle; of one, itself; signs do not matter; weights count."""
    centre = uniform((), 4)
    aside = rotation.exp(np.array([[0.3, 0, 0], [-0.3, 0, 0], [0, 0.2, 0], [0, -0.2, 0]]))
    around = rotation.multiply(centre, aside)
    assert_same_rotation(rotation.mean(around), centre)
    assert_same_rotation(rotation.mean(around * np.array([[1], [-1], [1], [-1]])), centre)
    assert_same_rotation(rotation.mean(around[:1]), around[0])
    assert_same_rotation(rotation.mean(around[:2], [1.0, 0.0]), around[0])
    third = rotation.mean(rotation.exp(np.array([[0.0, 0, 0], [0, 0, 0.03]])), [2.0, 1.0])
    assert rotation.log(third)[2] == pytest.approx(0.01, rel=1e-3)


@every_shape
def test_normalize(shape: tuple[int, ...]) -> None:
    q = uniform(shape)
    np.testing.assert_allclose(rotation.normalize(3.7 * q), q, atol=1e-15)
    np.testing.assert_array_equal(
        rotation.normalize(np.zeros((*shape, 4))), np.broadcast_to(rotation.IDENTITY, q.shape)
    )


def test_unit() -> None:
    np.testing.assert_allclose(rotation.unit([[3.0, 0, 4], [0, 0, 1e-100]]), [[0.6, 0, 0.8], [0, 0, 1]], atol=1e-15)
    np.testing.assert_array_equal(rotation.unit([0.0, 0, 0]), [0, 0, 0])


def test_from_frame() -> None:
    """x exactly, z as near as it may."""
    x, z = np.array([[1.0, 1, 0], [0, 0, -2]]), np.array([[0.1, 0.2, 3], [1.0, 0, 0.5]])
    q = rotation.from_frame(x, z)
    np.testing.assert_allclose(rotation.rotate(q, [1.0, 0, 0]), rotation.unit(x), atol=1e-14)
    ours = rotation.rotate(q, [0.0, 0, 1])
    nearest = rotation.unit(z - np.einsum("ni,ni->n", z, rotation.unit(x))[:, None] * rotation.unit(x))
    np.testing.assert_allclose(ours, nearest, atol=1e-14)
