"""Odd and broken BVH files: each is accepted, accepted with a warning, or refused with one clear line, within 5 seconds."""

from __future__ import annotations

import re
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import MOCAP, corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from motion import formats
from motion.errors import InputError, MimicWarning
from motion.formats import bvh

DATA = Path(__file__).parent / "data" / "torture"
LIMIT = 5
"""seconds a file may take"""


@dataclass(frozen=True)
class Verdict:
    kind: str
    text: str = ""
    """how the message goes on after the file's name"""
    shape: tuple[int, int] = (0, 0)
    """frames and joints, End Sites included"""


def accept(frames: int, joints: int) -> Verdict:
    return Verdict("accept", shape=(frames, joints))


def warn(frames: int, joints: int, text: str) -> Verdict:
    return Verdict("warn", text, (frames, joints))


def reject(text: str) -> Verdict:
    return Verdict("reject", text)


SYNTHETIC = {
    "all_header_one_line.bvh": accept(5, 6),
    "all_rows_one_line.bvh": warn(5, 6, ":33: rows of 15 values are spread over other lines than one a frame"),
    "angles_unwrapped.bvh": accept(5, 6),
    "binary.bvh": reject(": expected a motion file, found content of no known format, beginning with"),
    "blank_lines.bvh": accept(5, 6),
    "brace_same_line.bvh": accept(5, 6),
    "channels_count_mismatch.bvh": reject(":9: expected 4 channels of joint Spine, found 3"),
    "comma_separated.bvh": reject(
        ":33: expected a finite number, found '0.000000,' (frame 1, value 1: Xposition of Hips)"
    ),
    "comments_hash.bvh": accept(5, 6),
    "cr_only.bvh": accept(5, 6),
    "crlf.bvh": accept(5, 6),
    "decimal_comma.bvh": reject(
        ":33: expected a finite number, found '0,000000' (frame 1, value 1: Xposition of Hips)"
    ),
    "dup_names.bvh": warn(5, 6, ": joint names occur more than once and are numbered: Spine"),
    "empty.bvh": reject(": expected a motion file, found an empty file"),
    "end_site_named.bvh": accept(5, 6),
    "end_site_with_channels.bvh": warn(5, 6, ":17: the End Site of line 14 has channels; taken as a joint"),
    "extra_close_brace.bvh": reject(":30: expected MOTION after the hierarchy, found }"),
    "frame_time_comma.bvh": reject(":32: expected the frame time in seconds, found '0,0333333'"),
    "frame_time_lower_upper.bvh": accept(5, 6),
    "frame_time_missing.bvh": reject(":32: expected Frame Time: <seconds>, found '0.000000 90.000000"),
    "frame_time_nan.bvh": reject(":32: expected a frame time above 0 seconds, found 'nan'"),
    "frame_time_negative.bvh": reject(":32: expected a frame time above 0 seconds, found '-0.0333'"),
    "frame_time_sci.bvh": accept(5, 6),
    "frame_time_tab_nocolon.bvh": accept(5, 6),
    "frame_time_unit.bvh": reject(":32: expected the frame time in seconds, found '0.0333333 s'"),
    "frame_time_zero.bvh": reject(":32: expected a frame time above 0 seconds, found '0'"),
    "frames_float.bvh": accept(5, 6),
    "frames_huge.bvh": reject(":31: expected 99999999999 frames as declared, found 5"),
    "frames_missing.bvh": reject(":31: expected Frames: <number of frames>, found 'Frame Time: 0.0333333'"),
    "frames_negative.bvh": reject(":31: expected the number of frames, found '-5'"),
    "frames_too_few.bvh": warn(5, 6, ":31: declares 3 frames, found 5; all 5 are used"),
    "frames_too_many.bvh": warn(5, 6, ":31: declares 9 frames, found 5; all 5 are used"),
    "hierarchy_only.bvh": reject(":30: expected MOTION after the hierarchy, found the end of the file"),
    "huge_values.bvh": warn(5, 6, ": Xposition of Hips reaches 1e+30, which is no length of a body"),
    "ind_value.bvh": reject(
        ":34: expected a finite number, found '-1.#IND00' (frame 2, value 15: Yrotation of LeftLeg)"
    ),
    "inf_value.bvh": reject(":34: expected a finite number, found '-inf' (frame 2, value 15: Yrotation of LeftLeg)"),
    "long_row.bvh": reject(":35: expected 15 values, found 17"),
    "lowercase_keywords.bvh": accept(5, 6),
    "missing_close_brace.bvh": reject(":30: expected } to close joint Hips of line 2, found MOTION"),
    "missing_offset.bvh": reject(":6: expected OFFSET in joint Spine, found none"),
    "missing_space_neg.bvh": reject(
        ":33: expected a finite number, found '0.0-7.5094748' (frame 1, value 3: Zposition of Hips)"
    ),
    "motion_only.bvh": reject(":1: expected HIERARCHY at the beginning of a BVH file, found MOTION"),
    "multi_root.bvh": reject(":30: expected MOTION after the hierarchy, found ROOT"),
    "names_with_colon_hash.bvh": accept(5, 6),
    "names_with_spaces.bvh": accept(5, 6),
    "nan_value.bvh": reject(":34: expected a finite number, found 'nan' (frame 2, value 15: Yrotation of LeftLeg)"),
    "no_end_sites.bvh": accept(5, 4),
    "no_final_newline.bvh": accept(5, 6),
    "nonascii_names.bvh": accept(5, 6),
    "offset_two_values.bvh": reject(":8: expected 3 numbers after OFFSET of joint Spine, found 2"),
    "ok_base.bvh": accept(5, 6),
    "one_dof_joint.bvh": accept(5, 6),
    "one_frame.bvh": accept(1, 6),
    "order_XYZ.bvh": accept(5, 6),
    "order_XZY.bvh": accept(5, 6),
    "order_YXZ.bvh": accept(5, 6),
    "order_YZX.bvh": accept(5, 6),
    "order_ZYX.bvh": accept(5, 6),
    "pos_on_every_joint.bvh": accept(5, 6),
    "pos_order_zyx.bvh": accept(5, 6),
    "root_interleaved.bvh": accept(5, 6),
    "root_rot_first.bvh": accept(5, 6),
    "root_zero_channels.bvh": accept(5, 6),
    "scale_channels.bvh": warn(5, 6, ":9: scale channels of joint Spine are ignored"),
    "sci_notation.bvh": accept(5, 6),
    "sci_tiny_denormal.bvh": accept(5, 6),
    "shiftjis_names.bvh": warn(5, 6, ": names are not UTF-8; read as Shift-JIS"),
    "short_row.bvh": reject(":35: expected 15 values, found 13"),
    "tabs_everywhere.bvh": accept(5, 6),
    "text_in_data.bvh": reject(":34: expected a finite number, found 'abc' (frame 2, value 2: Yposition of Hips)"),
    "trailing_garbage.bvh": reject(":38: expected 15 values, found 2"),
    "trailing_nul.bvh": accept(5, 6),
    "truncated_midrow.bvh": reject(":37: expected 15 values, found 11"),
    "two_dof_repeat_axis.bvh": accept(5, 6),
    "unknown_channel.bvh": reject(":9: expected a channel of joint Spine, found 'Wrotation'"),
    "uppercase_channels.bvh": accept(5, 6),
    "utf16le.bvh": accept(5, 6),
    "utf8_bom.bvh": accept(5, 6),
    "whitespace_only.bvh": reject(": expected a motion file, found white space alone"),
    "wrapped_rows.bvh": warn(5, 6, ":33: rows of 15 values are spread over other lines than one a frame"),
    "zero_frames.bvh": reject(":31: expected at least one frame, found none"),
    "zero_length_offsets.bvh": accept(5, 6),
}
"""Our own files, of which tests/data/torture has the small ones."""

LARGE = {"deep_chain_1500.bvh": accept(1, 1501), "long_100k_frames.bvh": accept(100_000, 2)}

WILD = {
    "BVH-Pose-Editor__tpose.bvh": accept(1, 24),
    "PhysioMoCap__sample.bvh": accept(3, 3),
    "RaZ__ànîm.bvh": reject(":39: expected MOTION after the hierarchy, found the end of the file"),
    "bvh-parser__example.bvh": accept(2, 23),
    "bvh-parser__simple.bvh": accept(1, 23),
    "bvh-python__test_freebvh.bvh": accept(69, 70),
    "bvh-python__test_mocapbank.bvh": accept(455, 24),
    "bvh-toolbox__walk01.bvh": accept(101, 24),
    "bvh_anim__test_simple.bvh": accept(2, 3),
    "bvhio__example.bvh": accept(2, 23),
    "dali-toolkit__test-empty.bvh": reject(": expected a motion file, found an empty file"),
    "dali-toolkit__test-invalid-hierarchy0.bvh": reject(":15: expected } to close joint root of line 2, found MOTION"),
    "dali-toolkit__test-invalid-hierarchy1.bvh": reject(":3: expected { after joint root, found OFFSET"),
    "dali-toolkit__test-invalid-hierarchy2.bvh": reject(":3: expected { after joint root, found OFFSET"),
    "dali-toolkit__test-invalid-hierarchy3.bvh": reject(":15: expected } to close joint root of line 2, found MOTION"),
    "dali-toolkit__test-invalid-hierarchy4.bvh": reject(":11: expected { after the End Site of line 10, found OFFSET"),
    "dali-toolkit__test-invalid-hierarchy5.bvh": reject(":11: expected { after the End Site of line 10, found OFFSET"),
    "dali-toolkit__test-invalid-hierarchy6.bvh": reject(
        ":12: expected OFFSET, CHANNELS, JOINT, End Site or } in the End Site of line 10, found {"
    ),
    "dali-toolkit__test-invalid-hierarchy7.bvh": reject(
        ":4: expected OFFSET, CHANNELS, JOINT, End Site or } in joint root, found {"
    ),
    "dali-toolkit__test-invalid-motion0.bvh": warn(2, 3, ":17: declares 3 frames, found 2; all 2 are used"),
    "dali-toolkit__test-invalid-motion1.bvh": warn(2, 3, ":17: declares 1 frames, found 2; all 2 are used"),
    "dali-toolkit__test-invalid-motion2.bvh": reject(":17: expected Frames: <number of frames>, found 'Frame Time:"),
    "dali-toolkit__test-invalid-motion3.bvh": reject(":18: expected Frame Time: <seconds>, found '0.0 0.0"),
    "dali-toolkit__test.bvh": accept(2, 3),
    "fairmotion__sinusoidal.bvh": accept(120, 4),
    "godot_vr_mocap__test.bvh": accept(100, 7),
    "pybvh__bvh_test1.bvh": accept(75, 29),
    "pybvh__bvh_test2.bvh": accept(61, 28),
    "pybvh__bvh_test3.bvh": accept(100, 73),
    "pybvh__full_precision_frame_time.bvh": accept(3, 3),
    "pybvh__rotation_first_root.bvh": accept(4, 6),
    "pybvh__standard_skeleton.bvh": accept(1, 29),
    "usdBVHAnim__test_bvh.bvh": accept(20, 3),
}
"""Files met in the wild."""


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """A file that hangs the reader fails its test instead of hanging the run."""

    def late(*_: object) -> None:
        raise AssertionError(f"took more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def check(path: Path, verdict: Verdict) -> None:
    if verdict.kind == "reject":
        with pytest.raises(InputError) as error:
            formats.read(path)
        assert str(error.value).startswith(f"{path}{verdict.text}")
        assert "\n" not in str(error.value)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MimicWarning)
        motion = formats.read(path)
    said = [str(w.message) for w in caught if w.category is MimicWarning]
    assert verdict.kind == ("warn" if said else "accept")
    assert [f"{path}{verdict.text}"] == said or not said
    assert (len(motion), len(motion.skeleton)) == verdict.shape
    assert np.isfinite(motion.forward()[0]).all() or verdict.text.startswith(": Xposition of Hips reaches")


@pytest.mark.parametrize("name", SYNTHETIC)
def test_own_file(name: str) -> None:
    check(DATA / name, SYNTHETIC[name])


def test_every_own_file_has_a_verdict() -> None:
    assert {path.name for path in DATA.iterdir()} == set(SYNTHETIC)


@pytest.mark.parametrize("name", LARGE)
def test_large_file(name: str, mocap: Path) -> None:
    check(mocap / "torture-synthetic" / name, LARGE[name])


@pytest.mark.parametrize("name", WILD)
def test_wild_file(name: str, mocap: Path) -> None:
    check(mocap / "torture" / name, WILD[name])


@pytest.mark.skipif(not MOCAP.exists(), reason="the mocap collection is not here")
def test_verdicts_are_those_of_the_collection() -> None:
    table = {f"torture-synthetic/{k}": v for k, v in (SYNTHETIC | LARGE).items()}
    table |= {f"torture/{k}": v for k, v in WILD.items()}
    rows = [row for row in corpus() if row["path"].startswith("torture")]
    assert {row["path"] for row in rows} == set(table)
    checked = 0
    for row in rows:
        words = set(re.findall(r"[a-z]+", row["content"].split(":")[0].split("(")[0]))
        allowed = words & {"accept", "reject"}
        if words & {"or", "choice", "err", "error", "warn"} or not allowed:
            continue  # several answers, or none, are named
        checked += 1
        assert {table[row["path"]].kind} == allowed, row
    assert checked > 40


def row_of(values: list[str]) -> bytes:
    return " ".join(values).encode() + b"\n"


HEADER = (
    b"HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n}\n"
)
GOOD = ["1.000000", "2.500000", "3.250000", "10.000000", "20.000000", "30.000000"]


@pytest.mark.parametrize(("frames", "bad"), [(5, 0), (5, 2), (5, 4), (110_000, 54_321)])
@pytest.mark.parametrize(
    ("damaged", "expected"),
    [
        (GOOD[:-1], "expected 6 values, found 5"),
        (GOOD + ["4.0"], "expected 6 values, found 7"),
        (GOOD * 2, "expected 6 values, found 12"),
        (GOOD[:2] + ["nan"] + GOOD[3:], "found 'nan' (frame"),
        (GOOD[:2] + ["1e999"] + GOOD[3:], "found '1e999' (frame"),
        (GOOD + ["nan"], "found 'nan' (frame"),
    ],
)
def test_damage_is_found_wherever_it_is(
    tmp_path: Path, frames: int, bad: int, damaged: list[str], expected: str
) -> None:
    """Also in files above 5 MB, which pandas reads in pieces."""
    head = HEADER + b"MOTION\nFrames: %d\nFrame Time: 0.01\n" % frames
    path = tmp_path / "a.bvh"
    path.write_bytes(head + row_of(GOOD) * bad + row_of(damaged) + row_of(GOOD) * (frames - bad - 1))
    with pytest.raises(InputError) as error:
        bvh.read(path)
    assert str(error.value).startswith(f"{path}:{head.count(10) + bad + 1}: ")
    assert expected in str(error.value)


def test_lines_that_add_up_are_not_taken_for_wrapped_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.bvh"
    rows = row_of(GOOD) + row_of(GOOD[:4]) + row_of(GOOD + GOOD[:2]) + row_of(GOOD)
    path.write_bytes(HEADER + b"MOTION\nFrames: 4\nFrame Time: 0.01\n" + rows)
    with pytest.raises(InputError, match=":11: expected 6 values, found 4"):
        bvh.read(path)


def test_joints_may_be_called_motion(tmp_path: Path) -> None:
    path = tmp_path / "a.bvh"
    path.write_bytes(HEADER.replace(b"ROOT a", b"ROOT Motion") + b"MOTION\nFrames: 1\nFrame Time: 1\n" + row_of(GOOD))
    assert bvh.read(path).skeleton.names == ("Motion",)


def test_chain_deeper_than_python_recurses(tmp_path: Path) -> None:
    depth = 1500
    header = "ROOT j0\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
    header += "".join(
        f"JOINT j{i}\n{{\nOFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation\n" for i in range(1, depth)
    )
    path = tmp_path / "deep.bvh"
    path.write_text(
        f"HIERARCHY\n{header}{'}' * depth}\nMOTION\nFrames: 2\nFrame Time: .1\n" + ("0 " * 3 * depth + "\n") * 2
    )
    motion = bvh.read(path)
    assert motion.skeleton.parents.tolist() == list(range(-1, depth - 1))
    assert motion.forward()[0][1, -1].tolist() == [0.0, depth - 1.0, 0.0]


@pytest.mark.parametrize("name", ["ok_base.bvh", "brace_same_line.bvh", "cr_only.bvh", "pos_on_every_joint.bvh"])
def test_cut_anywhere_in_the_header_is_refused(name: str, tmp_path: Path) -> None:
    """bvhio alone hangs on most of these."""
    data = (DATA / name).read_bytes()
    path = tmp_path / "cut.bvh"
    for cut in range(0, data.index(b"Frame Time"), 23):
        path.write_bytes(data[:cut])
        with pytest.raises(InputError):
            bvh.read(path)


PIECES = [
    b"{",
    b"}",
    b" ",
    b"\n",
    b"\r",
    b"MOTION",
    b"JOINT",
    b"End Site",
    b"OFFSET",
    b"nan",
    b"-",
    b",",
    b"\0",
    b"\xff",
    b"#",
]


@settings(max_examples=150, deadline=None)
@given(
    at=st.lists(st.integers(0, 1233), min_size=1, max_size=4),
    cut=st.integers(0, 30),
    piece=st.sampled_from(PIECES),
)
def test_whatever_is_damaged_ends_in_a_motion_or_one_line(
    at: list[int], cut: int, piece: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = (DATA / "ok_base.bvh").read_bytes()
    for position in at:
        data = data[:position] + piece + data[position + cut :]
    path = tmp_path_factory.getbasetemp() / "damaged.bvh"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MimicWarning)
        try:
            motion = bvh.read(path)
        except InputError as error:
            message = str(error)
        else:
            message = str(path)
            assert np.isfinite(motion.rotations).all()
    assert message.startswith(str(path))
    assert "\n" not in message
