"""The whole-clip solve: its equations against explicit Jacobians and dense algebra, its promises on walks gone wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from good_clip import make_good_clip
from scipy.spatial.transform import Rotation

from characters import kinematics, shapes
from characters.character import Character
from motion import rotation
from motion.errors import SolveError
from motion.rotation import Array
from retarget import limits, solve
from retarget.assemble import Placed, Rows, Tree
from retarget.footprints import Footprints
from retarget.refine import targets_of
from retarget.smoothness import Smoothness
from retarget.solve import SolveSettings
from retarget.targets import Targets

BODIES = ["humanoid", "atlas"]
FOOT = "left_foot"


@pytest.fixture(scope="module", params=BODIES)
def body(request: pytest.FixtureRequest) -> Character:
    return Character.load(request.param)


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def scattered(character: Character, count: int, seed: int = 0, spread: float = 0.8) -> Array:
    """Random qpos, far from rest."""
    tangent = np.random.default_rng(seed).normal(scale=spread, size=(count, character.layout.nv))
    return character.layout.integrate(np.tile(character.rest, (count, 1)), tangent)


# --- retarget.assemble


def test_normal_equations_are_those_of_the_explicit_jacobian(body: Character) -> None:
    """JᵀWJ, JᵀWe and the cost of random rows on random links."""
    frames, rng = 5, np.random.default_rng(1)
    pose = kinematics.forward(body, scattered(body, frames))
    tree, rows, nv = Tree(body), Rows(len(body.links), frames), body.layout.nv
    matrix, right, cost = np.zeros((frames, nv, nv)), np.zeros((frames, nv)), np.zeros(frames)
    for _ in range(40):
        link = int(rng.integers(len(body.links)))
        error = rng.normal(size=(frames, 3))
        a, b = rng.uniform(0, 5, size=(2, frames))
        point = pose.positions[:, link] + rng.normal(size=(frames, 3))
        jacobian = kinematics.jacobian(body, pose, link, point)
        if rng.random() < 0.5:
            part, weight = jacobian[:, :3], np.zeros((frames, 3, 3))
            weight[:, 0, 0] = weight[:, 1, 1] = a
            weight[:, 2, 2] = b
            arm = (point - pose.positions[:, 0]).T
            rows.points(link, arm[None], a[None], b[None], error.T[None])
        else:
            bone = rotation.unit(rng.normal(size=(frames, 3)))
            along = bone[:, :, None] * bone[:, None]
            part = jacobian[:, 3:]
            bones = np.tile([[1.0], [0.0], [0.0]], (len(body.links), 1, frames))
            errors, across, about = np.zeros_like(bones), np.zeros(len(body.links)), np.zeros(len(body.links))
            a, b = np.full(frames, a[0]), np.full(frames, b[0])
            weight = a[:, None, None] * (np.eye(3) - along) + b[:, None, None] * along
            bones[link], errors[link], across[link], about[link] = bone.T, error.T, a[0], b[0]
            rows.turns(bones, across, about, errors)
        matrix += np.einsum("tki,tkl,tlj->tij", part, weight, part)
        right += np.einsum("tki,tkl,tl->ti", part, weight, error)
        cost += np.einsum("tk,tkl,tl->t", error, weight, error)
    ours, force = rows.normal_equations(tree, tree.columns(Placed.of(pose)))
    scale = np.abs(matrix).max()
    for i in range(nv):
        for j in range(i + 1):
            entry = ours[tree.at[i, j]] if tree.at[i, j] >= 0 else np.zeros(frames)
            np.testing.assert_allclose(entry, matrix[:, i, j], rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(force, right.T, rtol=0, atol=1e-9 * np.abs(right).max())
    np.testing.assert_allclose(rows.cost, cost, rtol=1e-12)


def test_a_descent_step_follows_the_cost(humanoid: Character) -> None:
    """−2·JᵀWe is the gradient of the cost, by finite differences of the real kinematics: a foot's point and the root."""
    layout, link = humanoid.layout, humanoid.link(FOOT)
    qpos, goal = scattered(humanoid, 1), np.array([0.3, -0.2, 0.1])

    def cost(q: Array) -> float:
        gap = goal - kinematics.forward(humanoid, q).points(link, np.array([0.1, 0.0, -0.02]))[0]
        return float(gap[:2] @ gap[:2] * 3.0 + gap[2] ** 2 * 7.0)

    pose = kinematics.forward(humanoid, qpos)
    point = pose.points(link, np.array([0.1, 0.0, -0.02]))
    rows, tree = Rows(len(humanoid.links), 1), Tree(humanoid)
    arm, error = point - pose.positions[:, 0], goal - point
    rows.points(link, arm[..., None], np.array([[3.0]]), np.array([[7.0]]), error[..., None])
    _, force = rows.normal_equations(tree, tree.columns(Placed.of(pose)))
    assert rows.cost[0] == pytest.approx(cost(qpos))
    step = 1e-6 * np.eye(layout.nv)
    gradient = [(cost(layout.integrate(qpos, s[None])) - cost(layout.integrate(qpos, -s[None]))) / 2e-6 for s in step]
    np.testing.assert_allclose(-2 * force[:, 0], gradient, atol=1e-6)


# --- smoothness in time


def dense(frames: int, nv: int, fps: float, settings: SolveSettings) -> list[Array]:
    """λ₁D'D + λ₂D²'D² of every coordinate, (T, T) each."""
    first = np.diff(np.eye(frames), axis=0)
    second = np.diff(np.eye(frames), 2, axis=0) if frames > 2 else np.zeros((0, frames))
    weight = np.ones(nv)
    weight[:3], weight[3:6] = settings.smooth_root, settings.smooth_turn
    tau = settings.smooth_time * fps
    return [w * (0.5 * tau**2 * first.T @ first + tau**4 * second.T @ second) for w in weight]


def equations(tree: Tree, frames: int, seed: int = 0) -> tuple[Array, Array]:
    """A random H as sparse as the tree, (T, nv, nv), and packed."""
    rng = np.random.default_rng(seed)
    full = np.zeros((frames, tree.nv, tree.nv))
    for columns in tree.above:
        rows = rng.normal(size=(frames, 6, len(columns)))
        full[:, columns[:, None], columns] += 100.0 * rows.transpose(0, 2, 1) @ rows
    return full, np.concatenate([full[:, i, row].T for i, row in enumerate(tree.row)])


def coupled(full: Array, blocks: list[Array], damping: Array) -> Array:
    """H + S + D, (T·nv, T·nv)."""
    frames, nv, _ = full.shape
    system = np.zeros((frames, nv, frames, nv))
    for t in range(frames):
        system[t, :, t] += full[t] + damping[t] * np.eye(nv)
    for j, block in enumerate(blocks):
        system[:, j, :, j] += block
    return system.reshape(frames * nv, frames * nv)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 9])
def test_smoothness_equals_a_dense_solve(humanoid: Character, frames: int) -> None:
    tree, fps, settings, rng = Tree(humanoid), 30.0, SolveSettings(), np.random.default_rng(0)
    smooth = Smoothness(tree, frames, fps, settings)
    blocks = dense(frames, tree.nv, fps, settings)
    correction = rng.normal(size=(frames, tree.nv))
    pull = np.stack([s @ c for s, c in zip(blocks, correction.T, strict=True)], axis=1)
    np.testing.assert_allclose(smooth.pull(correction), pull, rtol=1e-9, atol=1e-9 * max(np.abs(pull).max(), 1e-9))

    full, packed = equations(tree, frames)
    force, damping = rng.normal(size=(frames, tree.nv)), rng.uniform(1.0, 50.0, frames)
    expected = np.linalg.solve(coupled(full, blocks, damping), force.ravel()).reshape(frames, tree.nv)
    got = smooth.step(packed, force, damping, np.ones(tree.nv, dtype=bool))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["atlas", "dragon"])
def test_what_hangs_on_the_carrying_links_is_solved_nearly_as_exactly(name: str) -> None:
    """A frame alone: exactly. Frames together: repeated on what is left, the steps converge to the dense solution."""
    character = Character.load(name)
    tree, fps, settings, rng = Tree(character), 30.0, SolveSettings(), np.random.default_rng(0)
    feet = np.isin(np.arange(len(character.links)), [character.link(foot) for foot in character.feet])
    carrying = tree.moving(feet)
    assert 6 < carrying.sum() < tree.nv
    for frames, steps, error in ((1, 1, 1e-9), (12, 1, 0.1), (12, 6, 1e-3)):
        smooth = Smoothness(tree, frames, fps, settings)
        full, packed = equations(tree, frames)
        damping, kept = rng.uniform(1.0, 50.0, frames), packed.copy()
        system = coupled(full, dense(frames, tree.nv, fps, settings), damping)
        force, got = rng.normal(size=frames * tree.nv), np.zeros(frames * tree.nv)
        for _ in range(steps):
            left = (force - system @ got).reshape(frames, tree.nv)
            got += smooth.step(packed, left, damping, carrying).ravel()
        expected = np.linalg.solve(system, force)
        assert np.linalg.norm(got - expected) < error * np.linalg.norm(expected)
        np.testing.assert_array_equal(packed, kept)


def test_pieces_are_chains_from_the_root_outward() -> None:
    """Every column that does not carry is in one piece, each piece hangs on one link, and comes after what it hangs on."""
    character = Character.load("dragon")
    tree = Tree(character)
    carrying = tree.moving(np.arange(len(character.links)) == 0)
    pieces = tree.pieces(carrying)
    assert sorted(i for first, last in pieces for i in range(first, last)) == list(range(6, tree.nv))
    seen = set(range(6))
    for first, last in pieces:
        assert set(tree.row[first][:-1]) <= seen
        for i in range(first + 1, last):
            np.testing.assert_array_equal(tree.row[i][:-1], [*tree.row[first][:-1], *range(first, i)])
        seen |= set(range(first, last))


def test_a_shift_that_lasts_costs_nothing(humanoid: Character) -> None:
    smooth = Smoothness(Tree(humanoid), 30, 60.0, SolveSettings())
    np.testing.assert_allclose(smooth.pull(np.full((30, humanoid.layout.nv), 0.3)), 0.0, atol=1e-6)


# --- limits


def test_clamped_joints_are_inside_and_inner_ones_untouched(body: Character) -> None:
    wild = scattered(body, 200, spread=1.5)
    tame = limits.clamp(body, wild)
    assert_within_limits(body, tame)
    again = limits.clamp(body, tame)
    np.testing.assert_allclose(body.layout.difference(tame, again), 0.0, atol=1e-9)
    np.testing.assert_array_equal(tame[:, :7], wild[:, :7])
    calm = scattered(body, 50, spread=0.01)
    for k, joint in enumerate(body.joints):
        if joint.type == "hinge":
            calm[:, body.layout.qpos_at[k]] = 0.5 * (joint.lower + joint.upper)
    np.testing.assert_allclose(limits.clamp(body, calm), calm, atol=1e-12)


def assert_within_limits(character: Character, qpos: Array) -> None:
    """Swing and twist of each ball by scipy, the angle of each hinge; no tolerance."""
    for k, joint in enumerate(character.joints):
        at = character.layout.qpos_at[k]
        if joint.type == "hinge":
            assert (qpos[:, at] >= joint.lower).all(), joint.name
            assert (qpos[:, at] <= joint.upper).all(), joint.name
            continue
        turn = Rotation.from_quat(qpos[:, at : at + 4][:, [1, 2, 3, 0]])
        swing = np.arccos(np.clip(turn.apply(joint.twist_axis) @ joint.twist_axis, -1.0, 1.0))
        assert (swing <= joint.swing_limit).all(), joint.name
        half = np.arctan2(turn.as_quat()[:, :3] @ joint.twist_axis, turn.as_quat()[:, 3])
        twist = (2 * half + np.pi) % (2 * np.pi) - np.pi
        assert (twist >= joint.lower).all(), joint.name
        assert (twist <= joint.upper).all(), joint.name


# --- the solve


def stepping(character: Character) -> Targets:
    """Two cycles of a walk without a fault."""
    clip = make_good_clip(character)
    qpos = np.concatenate([clip.qpos, clip.cycle_offset.apply(clip.qpos)])
    flags = {link: np.tile(f, 2) for link, f in clip.contacts.items()}
    return targets_of(character, character.layout.continuous(qpos), clip.fps, flags)


def pressed(targets: Targets, depth: float) -> Targets:
    """The same, sunk into the ground."""
    qpos, root = targets.qpos.copy(), targets.root.copy()
    qpos[:, 2] -= depth
    root[:, 2] -= depth
    return replace(targets, qpos=qpos, root=root)


def wobbling(targets: Targets, amplitude: float = 0.03, hertz: float = 1.3) -> Targets:
    """The same, with a root that drifts to and fro, feet and all: every stance slides."""
    shift = amplitude * np.sin(2 * np.pi * hertz * np.arange(len(targets.qpos)) / targets.fps)
    qpos, root = targets.qpos.copy(), targets.root.copy()
    qpos[:, 1] += shift
    root[:, 1] += shift
    return replace(targets, qpos=qpos, root=root)


def sole(character: Character, qpos: Array, foot: str) -> Array:
    """(T, K, 3) the support points of a foot."""
    balls = shapes.support_points(character)
    link = character.link(foot)
    pose = kinematics.forward(character, qpos)
    return np.stack([pose.points(link, p) for p in balls.points[balls.link == link]], axis=1)


def slides(character: Character, targets: Targets, qpos: Array) -> float:
    """Metres per second: the mean horizontal speed of standing soles, of whichever point is lowest."""
    speeds = []
    for foot, stands in targets.stance.items():
        points = sole(character, qpos, foot)
        both = stands[1:] & stands[:-1]
        lowest = points[1:, :, 2].argmin(axis=1)[both]
        step = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1)[both]
        speeds.append(step[np.arange(len(step)), lowest] * targets.fps)
    return float(np.mean(np.concatenate(speeds)))


def lowest(character: Character, qpos: Array) -> float:
    return float(shapes.heights(character, kinematics.forward(character, qpos)).min())


def test_what_is_good_already_stays(body: Character) -> None:
    targets = stepping(body)
    out = solve.solve(body, targets)
    change = np.abs(body.layout.difference(targets.qpos, out.qpos))
    assert change[:, :3].max() < 0.005
    assert change.max() < 0.05  # a millimetre or two at the foot of a nearly straight leg
    assert set(out.stands) == set(targets.stance)


def test_a_sliding_walk_is_pinned(body: Character) -> None:
    targets = wobbling(stepping(body))
    before = slides(body, targets, targets.qpos)
    out = solve.solve(body, targets)
    assert before > 0.1
    assert slides(body, targets, out.qpos) < 0.003
    assert lowest(body, out.qpos) > -0.001
    assert_within_limits(body, out.qpos)


def test_a_sunken_walk_is_lifted_out(body: Character) -> None:
    targets = pressed(stepping(body), 0.04)
    assert lowest(body, targets.qpos) < -0.03
    out = solve.solve(body, targets)
    assert lowest(body, out.qpos) > -0.001
    for foot, stands in targets.stance.items():
        heights = shapes.link_heights(body, kinematics.forward(body, out.qpos))[:, body.link(foot)]
        assert np.abs(heights[stands]).max() < 0.001  # stands on the ground, not over it


def test_every_shape_is_kept_above_the_ground(humanoid: Character) -> None:
    """A body that lies down, its arms and head in the floor."""
    qpos = np.tile(humanoid.rest, (40, 1))
    qpos[:, 2] = 0.10
    qpos[:, 3:7] = rotation.from_axis_angle(np.array([0.0, 1, 0]), np.pi / 2)
    assert lowest(humanoid, qpos) < -0.03
    out = solve.solve(humanoid, targets_of(humanoid, qpos, 30.0, {foot: np.zeros(40, bool) for foot in humanoid.feet}))
    assert lowest(humanoid, out.qpos) > -0.001


def test_flight_keeps_its_height(humanoid: Character) -> None:
    """A body in the air is not drawn to the ground that nothing touches."""
    targets = stepping(humanoid)
    lifted = pressed(replace(targets, stance={f: np.zeros_like(s) for f, s in targets.stance.items()}), -0.5)
    lifted = replace(lifted, clearance={f: c + 0.5 for f, c in lifted.clearance.items()})
    out = solve.solve(humanoid, lifted)
    assert np.abs(out.qpos[:, 2] - lifted.qpos[:, 2]).max() < 0.005


def test_impossible_poses_end_within_limits(body: Character) -> None:
    """Targets far outside the joints' ranges; solved, not clamped afterwards: what may follow, follows."""
    targets = stepping(body)
    qpos = targets.qpos.copy()
    for k, joint in enumerate(body.joints):
        at = body.layout.qpos_at[k]
        if joint.type == "hinge":
            qpos[:, at] += 0.5 * (joint.upper - joint.lower)
        elif joint.name == "chest":
            qpos[:, at : at + 4] = rotation.exp([0.3, 2.0, 0.4])
    pose = kinematics.forward(body, qpos)
    out = solve.solve(body, replace(targets, qpos=qpos, rotations=pose.rotations))
    assert_within_limits(body, out.qpos)
    assert np.isfinite(out.qpos).all()


def test_windows_agree_with_one_window(humanoid: Character) -> None:
    """A walk that creeps sideways, in four windows: every stance across a join stays on its print, no step, no kink."""
    targets = wobbling(stepping(humanoid))
    settings = replace(SolveSettings(), window=60, overlap=30 / targets.fps)
    joins = range(30, len(targets.qpos) - 30, 30)
    assert any(stands[join - 1] and stands[join] for stands in targets.stance.values() for join in joins)
    whole = solve.solve(humanoid, targets).qpos
    parts = solve.solve(humanoid, targets, settings).qpos
    assert np.abs(humanoid.layout.difference(whole, parts)).max() < 0.02
    assert slides(humanoid, targets, parts) < 0.003
    near = np.concatenate([np.arange(join - 3, join + 3) for join in joins])
    for order in (1, 2):  # steps and kinks of the correction
        usual, ours = (
            np.abs(np.diff(humanoid.layout.difference(targets.qpos, qpos), order, axis=0)).max(axis=1)
            for qpos in (whole, parts)
        )
        assert ours[near].max() < 1.2 * usual.max()


def test_the_next_window_begins_where_the_last_one_ends(humanoid: Character) -> None:
    """Frames that are given stay to the bit; what follows leaves them smoothly."""
    targets = pressed(stepping(humanoid), 0.04)
    settings, frames = SolveSettings(), len(targets.qpos)
    start, fixed = targets.qpos.copy(), np.arange(frames) < 2
    whole = solve.solve(humanoid, targets).qpos
    start[fixed] = whole[:2]
    out = solve._solve_window(humanoid, targets, Footprints.of(humanoid, targets), settings, start, fixed)
    assert np.abs(humanoid.layout.difference(start, out)[fixed]).max() < 1e-12
    correction = humanoid.layout.difference(targets.qpos, out)
    assert np.abs(np.diff(correction[:, 2], 2)).max() < 0.003
    assert correction[-1, 2] > 0.02
    assert np.abs(humanoid.layout.difference(whole, out)[-1, :3]).max() < 0.005


def test_held_frames_do_not_move(humanoid: Character) -> None:
    targets = pressed(stepping(humanoid), 0.04)
    settings = SolveSettings()
    frames = len(targets.qpos)
    held = np.zeros(frames, dtype=bool)
    held[:20] = held[70:] = True
    footprints = Footprints.of(humanoid, targets)
    qpos, moving, _ = solve._descend(
        humanoid, targets, footprints, settings, targets.qpos, held, np.full(frames, settings.damping), 0
    )
    assert np.abs(humanoid.layout.difference(targets.qpos, qpos)[held]).max() < 1e-12
    assert np.abs(humanoid.layout.difference(targets.qpos, qpos)[~held]).max() > 0.01
    assert not moving[held].any()
    # What is held holds its neighbours: the correction leaves it smoothly.
    correction = humanoid.layout.difference(targets.qpos, qpos)
    bend = np.abs(np.diff(correction[:, :3], 2, axis=0)).max(axis=1)
    assert bend.max() < 0.01


def test_the_solve_lowers_its_cost(body: Character) -> None:
    """The weighted sum of what is asked for, in full strength, before and after."""
    targets = pressed(wobbling(stepping(body)), 0.02)
    footprints, settings = Footprints.of(body, targets), SolveSettings()

    def cost(qpos: Array) -> float:
        rows, placed = Rows(len(body.links), len(qpos)), Placed.of(kinematics.forward(body, qpos))
        solve._turns(rows, placed, targets, targets.rotations.transpose(1, 2, 0))
        solve._root(rows, placed, targets)
        footprints.add(rows, placed, settings)
        return float(rows.cost.sum())

    assert cost(solve.solve(body, targets).qpos) < 0.02 * cost(targets.qpos)


def test_the_same_bytes_twice(humanoid: Character) -> None:
    targets = wobbling(stepping(humanoid))
    first, second = solve.solve(humanoid, targets), solve.solve(humanoid, targets)
    assert first.qpos.tobytes() == second.qpos.tobytes()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips(humanoid: Character, frames: int) -> None:
    targets = solve.take(pressed(stepping(humanoid), 0.03), np.arange(frames))
    out = solve.solve(humanoid, targets)
    assert out.qpos.shape == targets.qpos.shape
    assert lowest(humanoid, out.qpos) > -0.001


def test_nonsense_is_a_solve_error(humanoid: Character) -> None:
    targets = stepping(humanoid)
    root = targets.root.copy()
    root[7] = np.nan
    with pytest.raises(SolveError) as caught:
        solve.solve(humanoid, replace(targets, root=root))
    assert caught.value.exit_code == 4


def test_take_takes_every_array(humanoid: Character) -> None:
    targets = stepping(humanoid)
    index = np.array([5, 6, 9])
    part = solve.take(targets, index)
    np.testing.assert_array_equal(part.qpos, targets.qpos[index])
    np.testing.assert_array_equal(part.root, targets.root[index])
    np.testing.assert_array_equal(part.rotations, targets.rotations[index])
    np.testing.assert_array_equal(part.stance[FOOT], targets.stance[FOOT][index])
    np.testing.assert_array_equal(part.clearance[FOOT], targets.clearance[FOOT][index])


# --- footprints


def standing(character: Character, path: Array, *, turn: Array | None = None, fps: float = 60.0) -> Targets:
    """A body at rest, moved along ``path`` (T, 2) as one piece, its left foot flagged in all but the first and last frames."""
    qpos = np.tile(character.rest, (len(path), 1))
    qpos[:, :2] += path
    if turn is not None:
        qpos[:, 3:7] = rotation.from_yaw(turn)
    flags = np.ones(len(path), dtype=bool)
    flags[[0, -1]] = False
    return targets_of(character, qpos, fps, {FOOT: flags})


def rigid_misfit(a: Array, b: Array) -> float:
    """Largest distance left after the best planar rigid motion of points ``a`` (K, 2) onto ``b``."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    turn = u @ np.diag([1.0, np.linalg.det(u @ vt)]) @ vt
    return float(np.linalg.norm(a @ turn.T - b, axis=1).max())


def test_a_stance_is_one_rigid_print(body: Character) -> None:
    """A foot that trembles by 1 cm and 3° under its flag stands on one print of its own sole."""
    rng = np.random.default_rng(0)
    targets = standing(body, 0.01 * rng.normal(size=(60, 2)), turn=0.4 + 0.05 * rng.normal(size=60))
    prints = Footprints.of(body, targets)
    anchors = prints.anchors[body.link(FOOT)][1:-1]
    np.testing.assert_array_equal(anchors, np.broadcast_to(anchors[0], anchors.shape))
    flat = sole(body, body.rest[None], FOOT)[0, :, :2]
    assert rigid_misfit(flat, anchors[0]) < 1e-9
    meant = sole(body, targets.qpos, FOOT)[1:-1, :, :2].mean(axis=0)
    assert np.linalg.norm(anchors[0] - meant, axis=1).max() < 0.005  # in the middle of where the foot was
    assert prints.flags[FOOT][1:-1].all()


def test_a_print_follows_a_creeping_foot(body: Character) -> None:
    """30 cm at 15 cm/s: the print stays near, in pieces that stand, joined without a jump; what moves does not stand."""
    path = np.stack([np.linspace(0.0, 0.3, 120), np.zeros(120)], axis=1)
    targets = standing(body, path)
    prints = Footprints.of(body, targets)
    anchors = prints.anchors[body.link(FOOT)][1:-1]
    there = sole(body, targets.qpos, FOOT)[1:-1, :, :2]
    assert np.linalg.norm(anchors - there, axis=-1).max() < 0.1
    assert np.linalg.norm(anchors[-1] - anchors[0], axis=-1).min() > 0.15
    speed = np.linalg.norm(np.diff(anchors, axis=0), axis=-1).max(axis=1) * targets.fps
    assert speed.max() < 2.5
    still = prints.flags[FOOT][1:-1]
    assert 0.2 < still.mean() < 1.0
    assert speed[still[1:] & still[:-1]].max() <= 0.03


def test_a_slow_creep_is_not_followed(body: Character) -> None:
    """3 cm in two seconds is mocap's drift: one print."""
    path = np.stack([np.linspace(0.0, 0.03, 120), np.zeros(120)], axis=1)
    prints = Footprints.of(body, standing(body, path))
    anchors = prints.anchors[body.link(FOOT)][1:-1]
    np.testing.assert_array_equal(anchors, np.broadcast_to(anchors[0], anchors.shape))


def test_two_stances_have_two_prints(humanoid: Character) -> None:
    path = np.zeros((40, 2))
    path[20:, 0] = 0.5
    targets = standing(humanoid, path)
    flags = targets.stance[FOOT].copy()
    flags[18:22] = False
    anchors = Footprints.of(humanoid, replace(targets, stance={FOOT: flags})).anchors[humanoid.link(FOOT)]
    np.testing.assert_allclose(anchors[30] - anchors[10], np.tile([0.5, 0.0], (anchors.shape[1], 1)), atol=1e-9)


def test_prints_are_taken_with_their_frames(humanoid: Character) -> None:
    targets = wobbling(stepping(humanoid))
    prints, index = Footprints.of(humanoid, targets), np.array([3, 4, 80])
    part, link = prints.take(index), humanoid.link(FOOT)
    for name in ("stance", "clearance", "swing", "hold", "anchors"):
        np.testing.assert_array_equal(getattr(part, name)[link], getattr(prints, name)[link][index])
    np.testing.assert_array_equal(part.flags[FOOT], prints.flags[FOOT][index])
