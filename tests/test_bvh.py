"""BVH read and written: against bvhio, against numbers worked out by hand, and against itself."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import MOCAP, corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from motion import formats, rotation
from motion.errors import InputError, MimicWarning
from motion.formats import bvh, npz
from motion.motion import Motion, Skeleton, standardise

TORTURE = Path(__file__).parent / "data" / "torture"
BVH_FILES = [row["path"] for row in corpus(kind="BVH") if not row["path"].startswith("torture")]
ORACLE = [
    "ok_base.bvh",
    "pos_on_every_joint.bvh",
    "root_rot_first.bvh",
    "root_interleaved.bvh",
    "pos_order_zyx.bvh",
    "one_frame.bvh",
    "order_XYZ.bvh",
    "order_XZY.bvh",
    "order_YXZ.bvh",
    "order_YZX.bvh",
    "order_ZYX.bvh",
]


def write_bvh(path: Path, header: str, rows: np.ndarray, frame_time: str = "0.01") -> Path:
    lines = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in rows)
    path.write_text(f"HIERARCHY\n{header}\nMOTION\nFrames: {len(rows)}\nFrame Time: {frame_time}\n{lines}\n")
    return path


def bvhio_joints(path: Path) -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import bvhio
    return [joint for joint, _, _ in bvhio.readAsBvh(str(path)).Root.layout()]


def check_against_bvhio(path: Path) -> None:
    """Names, tree, local positions and rotations; bvhio calculates in single precision."""
    motion = bvh.read(path)
    skeleton = motion.skeleton
    joints = np.flatnonzero(~skeleton.is_end)
    expected = bvhio_joints(path)
    assert [skeleton.names[j] for j in joints] == [joint.Name for joint in expected]
    for j, joint in zip(joints, expected, strict=True):
        children = [skeleton.names[k] for k in joints if skeleton.parents[k] == j]
        assert children == [child.Name for child in joint.Children]
        q = np.array([[k.Rotation.w, k.Rotation.x, k.Rotation.y, k.Rotation.z] for k in joint.Keyframes])
        p = np.array([list(k.Position) for k in joint.Keyframes])
        assert rotation.angle(motion.rotations[:, j], q).max() < 2e-3  # acos-like loss of single precision
        assert np.abs(np.abs((motion.rotations[:, j] * q).sum(-1)) - 1).max() < 1e-6
        if j == 0:
            ours = motion.root_positions
        elif motion.translations is not None:
            ours = motion.translations[:, j]
        else:
            ours = np.tile(skeleton.offsets[j], (len(motion), 1))
        np.testing.assert_allclose(ours, p, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", ORACLE)
def test_agrees_with_bvhio(name: str) -> None:
    check_against_bvhio(TORTURE / name)


@pytest.mark.parametrize(
    "name", ["torture/bvhio__example.bvh", "torture/pybvh__bvh_test1.bvh", "torture/bvh-python__test_freebvh.bvh"]
)
def test_agrees_with_bvhio_on_files_of_others(name: str, mocap: Path) -> None:
    check_against_bvhio(mocap / name)


def test_bvhio_still_needs_a_guard(tmp_path: Path) -> None:
    """What the scan protects from, rechecked on the installed version: a byte order mark and a brace on the same line."""
    for name in ("utf8_bom.bvh", "brace_same_line.bvh"):
        with pytest.raises((SyntaxError, IndexError, ValueError)):
            bvhio_joints(TORTURE / name)
        assert len(bvh.read(TORTURE / name)) == 5


def test_hand_computed_pose(tmp_path: Path) -> None:
    """Root turned 90° about z, child 90° about x: the child's own axes are those of the root, so its bone points to z."""
    header = (
        "ROOT a\n{\nOFFSET 7 7 7\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
        "JOINT b\n{\nOFFSET 1 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        "End Site\n{\nOFFSET 0 2 0\n}\n}\n}"
    )
    motion = bvh.read(write_bvh(tmp_path / "a.bvh", header, np.array([[5, 0, 0, 90, 0, 0, 0, 90, 0]])))
    assert motion.skeleton.names == ("a", "b", "b_end")
    positions, _ = motion.forward()
    np.testing.assert_allclose(positions[0], [[5, 0, 0], [5, 1, 0], [5, 1, 2]], atol=1e-12)


def test_channels_in_any_order_say_the_same(tmp_path: Path) -> None:
    base = bvh.read(TORTURE / "ok_base.bvh")
    for name in ("crlf", "cr_only", "tabs_everywhere", "utf8_bom", "utf16le", "all_header_one_line", "comments_hash"):
        other = bvh.read(TORTURE / f"{name}.bvh")
        assert np.array_equal(base.rotations, other.rotations), name
        assert np.array_equal(base.root_positions, other.root_positions), name
    lower = bvh.read(TORTURE / "lowercase_keywords.bvh")
    assert np.array_equal(base.rotations, lower.rotations)


@settings(max_examples=60, deadline=None)
@given(order=st.text("XYZ", min_size=1, max_size=3), seed=st.integers(0, 1000))
def test_every_rotation_order(order: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any sequence of axes, repeated ones too, against one turn after the other."""
    angles = np.round(np.random.default_rng(seed).uniform(-400, 400, (7, len(order))), 6)
    header = f"ROOT a\n{{\nOFFSET 1 2 3\nCHANNELS {len(order)} {' '.join(f'{c}rotation' for c in order)}\n}}"
    motion = bvh.read(write_bvh(tmp_path_factory.mktemp("order") / "a.bvh", header, angles))
    expected = np.tile(rotation.IDENTITY, (7, 1))
    for axis, column in zip(order, np.deg2rad(angles).T, strict=True):
        expected = rotation.multiply(expected, rotation.from_axis_angle(np.eye(3)["XYZ".index(axis)], column))
    assert rotation.angle(motion.rotations[:, 0], expected).max() < 1e-7
    assert (motion.root_positions == [1, 2, 3]).all()


def test_root_position_replaces_the_offset_channel_by_channel(tmp_path: Path) -> None:
    header = "ROOT a\n{\nOFFSET 1 2 3\nCHANNELS 2 Yposition Zrotation\nEnd Site\n{\nOFFSET 1 0 0\n}\n}"
    motion = bvh.read(write_bvh(tmp_path / "a.bvh", header, np.array([[50.0, 0.0]])))
    assert motion.root_positions.tolist() == [[1.0, 50.0, 3.0]]


def test_quaternions_are_continuous_where_angles_jump(tmp_path: Path) -> None:
    angles = np.linspace(0, 1440, 400)
    header = "ROOT a\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n}"
    rows = np.column_stack([(angles + 180) % 360 - 180, 0 * angles, 0 * angles])
    q = bvh.read(write_bvh(tmp_path / "a.bvh", header, rows)).rotations[:, 0]
    assert (np.einsum("ti,ti->t", q[1:], q[:-1]) > 0.99).all()


def test_provenance_and_rate() -> None:
    motion = formats.read(TORTURE / "ok_base.bvh")
    assert motion.fps == pytest.approx(1 / 0.0333333, rel=1e-15)
    assert motion.loop is None
    assert motion.name == "ok_base"
    assert motion.provenance["format"] == "bvh"
    assert motion.provenance["source"] == "ok_base.bvh"
    assert len(motion.provenance["sha256"]) == 64


def random_motion(seed: int, *, moving: bool) -> Motion:
    rng = np.random.default_rng(seed)
    skeleton = Skeleton(
        names=("hips", "spine", "spine_end", "left leg", "left leg_end", "left leg_end2"),
        parents=np.array([-1, 0, 1, 0, 3, 3]),
        offsets=rng.normal(size=(6, 3)),
        is_end=np.array([False, False, True, False, True, True]),
    )
    q = rotation.normalize(rng.normal(size=(9, 6, 4)))
    q[:, skeleton.is_end] = rotation.IDENTITY
    roots = rng.normal(size=(9, 3))
    translations = None
    if moving:
        translations = np.tile(skeleton.offsets, (9, 1, 1))
        translations[:, 0] = roots
        translations[:, 3] += rng.normal(size=(9, 3))
    return Motion("clip", skeleton, 59.94, roots, q, translations)


@pytest.mark.parametrize("up", ["x", "y", "z"])
@pytest.mark.parametrize("moving", [False, True])
def test_round_trip(tmp_path: Path, up: str, moving: bool) -> None:
    for seed in range(5):
        motion = random_motion(seed, moving=moving)
        bvh.write(tmp_path / "a.bvh", motion, unit=0.01, up=up)
        back = standardise(bvh.read(tmp_path / "a.bvh"), unit=0.01, up=up)
        assert back.skeleton.names == motion.skeleton.names
        assert back.skeleton.parents.tolist() == motion.skeleton.parents.tolist()
        assert back.skeleton.is_end.tolist() == motion.skeleton.is_end.tolist()
        assert back.fps == motion.fps
        assert (back.translations is not None) == moving
        np.testing.assert_allclose(back.skeleton.offsets, motion.skeleton.offsets, atol=1e-9)
        np.testing.assert_allclose(back.root_positions, motion.root_positions, atol=1e-7)
        assert rotation.angle(back.rotations, motion.rotations).max() < 1e-6
        np.testing.assert_allclose(back.forward()[0], motion.forward()[0], atol=1e-6)


@pytest.mark.parametrize("fps", [1.0, 24.0, 24000 / 1001, 29.97, 30.0, 1 / 0.0333333, 49.0, 60.0, 119.88, 1000.0])
def test_rate_survives_a_round_trip(tmp_path: Path, fps: float) -> None:
    bvh.write(tmp_path / "a.bvh", replace(random_motion(0, moving=False), fps=fps))
    assert bvh.read(tmp_path / "a.bvh").fps == pytest.approx(fps, rel=0 if fps == round(fps, 3) else 3e-16)


def test_writing_is_deterministic_and_atomic(tmp_path: Path) -> None:
    motion = random_motion(3, moving=True)
    bvh.write(tmp_path / "a.bvh", motion)
    bvh.write(tmp_path / "b.bvh", motion)
    assert (tmp_path / "a.bvh").read_bytes() == (tmp_path / "b.bvh").read_bytes()
    assert b"-0.000000" not in (tmp_path / "a.bvh").read_bytes()
    bad = replace(motion, skeleton=replace(motion.skeleton, names=("hips", "spi{ne", "e", "l", "f", "g")))
    with pytest.raises(InputError, match=r"cannot hold the joint name 'spi\{ne'"):
        bvh.write(tmp_path / "c.bvh", bad)
    with pytest.raises(InputError, match=r"up axis x, y or z, got 0\.01 and 'w'"):
        bvh.write(tmp_path / "c.bvh", motion, up="w")
    assert {path.name for path in tmp_path.iterdir()} == {"a.bvh", "b.bvh"}


@pytest.mark.skipif(not MOCAP.exists(), reason="the mocap collection is not here")
@pytest.mark.parametrize("name", BVH_FILES)
def test_reads_and_rewrites_real_files(name: str, tmp_path: Path) -> None:
    """As many frames as rows, no warning, and the same poses after writing (End Sites of the same parent may swap names)."""
    motion = formats.read(MOCAP / name)
    row = next(row for row in corpus(kind="BVH") if row["path"] == name)
    assert len(motion) == int(row["frames"])
    assert motion.fps == pytest.approx(float(row["fps"]), abs=6e-4)
    assert (~motion.skeleton.is_end).sum() == int(row["joints"])
    short = motion.slice(0, 40)
    bvh.write(tmp_path / "a.bvh", short, unit=1.0, up="z")
    back = bvh.read(tmp_path / "a.bvh")
    assert back.skeleton.names == short.skeleton.names
    reach = np.abs(short.skeleton.offsets).sum()
    assert np.abs(back.forward()[0] - short.forward()[0]).max() < 1e-6 + 1e-7 * reach


def test_duplicate_names_are_told_apart() -> None:
    with pytest.warns(MimicWarning, match="numbered: Spine"):
        motion = bvh.read(TORTURE / "dup_names.bvh")
    assert motion.skeleton.names == ("Hips", "Spine", "Head", "Head_end", "Spine_2", "Spine_2_end")


def test_names_keep_their_characters() -> None:
    assert "Lower Spine" in bvh.read(TORTURE / "names_with_spaces.bvh").skeleton.names
    assert {"mixamorig:Hips", "LEFT_LEG#"} <= set(bvh.read(TORTURE / "names_with_colon_hash.bvh").skeleton.names)
    assert not all(name.isascii() for name in bvh.read(TORTURE / "nonascii_names.bvh").skeleton.names)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    odd = tmp_path / "walk.txt"
    odd.write_bytes((TORTURE / "ok_base.bvh").read_bytes())
    assert formats.read(odd).provenance["format"] == "bvh"
    assert formats.names() == ["bvh", "deepmimic", "npz"]
    odd.write_text("time,x,y\n0,1,2\n")
    with pytest.raises(InputError) as error:
        formats.read(odd)
    assert all(name in str(error.value.hint) for name in formats.names())
    with pytest.raises(InputError, match="no such file"):
        formats.read(tmp_path / "nothing.bvh")
    with pytest.raises(InputError, match="cannot read"):
        formats.read(tmp_path)


@pytest.mark.parametrize("moving", [False, True])
def test_npz_round_trip_is_exact(tmp_path: Path, moving: bool) -> None:
    motion = replace(random_motion(1, moving=moving), loop=True, provenance={"source": "ä.bvh", "unit": 0.01})
    npz.write(tmp_path / "a.npz", motion)
    back = formats.read(tmp_path / "a.npz")
    for key in ("root_positions", "rotations", "translations"):
        assert np.array_equal(getattr(back, key), getattr(motion, key)), key
    assert back.skeleton.names == motion.skeleton.names
    assert np.array_equal(back.skeleton.offsets, motion.skeleton.offsets)
    assert (back.name, back.fps, back.loop) == (motion.name, motion.fps, motion.loop)
    assert back.provenance == {"source": "ä.bvh", "unit": 0.01, "declared_unit": 1.0, "declared_up": "z"}


def test_npz_of_another_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(InputError, match="found an npz without its header"):
        formats.read(path)
    monkeypatch.setattr(npz, "VERSION", 2)
    npz.write(path, random_motion(0, moving=False))
    monkeypatch.undo()
    with pytest.raises(InputError, match="expected mimic-motion version 1, found mimic-motion version 2"):
        formats.read(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="not a readable npz"):
        formats.read(path)
