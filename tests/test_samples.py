"""The sample clips: what is written, that it is the source's motion, and what stands beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pybullet_data
import pytest

from motion import formats, rotation
from motion.errors import InputError
from motion.formats import deepmimic
from motion.motion import Motion
from pipeline.samples import Meta, names, read_meta, resampled, sample_names, write_meta, write_samples

MOTIONS = Path(pybullet_data.getDataPath()) / "data" / "motions"
FIFTEEN = (
    *("backflip", "cartwheel", "crawl", "dance_a", "dance_b", "getup_facedown", "getup_faceup", "jump", "kick"),
    *("punch", "roll", "run", "spin", "spinkick", "walk"),
)
ONE_SHOTS = {"kick", "punch", "getup_facedown", "getup_faceup"}


def clip(name: str) -> deepmimic.DeepMimicClip:
    return deepmimic.read_clip(MOTIONS / f"humanoid3d_{name}.txt")


def read(samples: Path, name: str) -> Motion:
    return formats.read(samples / f"{name}.bvh")


def test_all_fifteen_are_written_with_their_meta(samples: Path) -> None:
    assert sample_names() == FIFTEEN
    assert names() == tuple(f"{name}.bvh" for name in FIFTEEN)
    for name in FIFTEEN:
        meta = read_meta(samples / f"{name}.bvh")
        source = MOTIONS / f"humanoid3d_{name}.txt"
        assert meta.loop is (name not in ONE_SHOTS)
        assert meta.original_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
        assert source.name in (meta.source or "")
        assert "zlib" in (meta.licence or "")
        assert meta.halves_mirrored is (name in {"walk", "run"})


@pytest.mark.parametrize("name", FIFTEEN)
def test_duration_is_exact_and_the_rate_near_60(samples: Path, name: str) -> None:
    motion = read(samples, name)
    assert motion.duration == pytest.approx(clip(name).dt[:-1].sum(), abs=1e-9)
    assert motion.duration == pytest.approx(read_meta(samples / f"{name}.bvh").duration, abs=1e-9)
    assert motion.fps == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("name", ["walk", "spin", "backflip", "dance_b"])
def test_the_curve_goes_through_the_frames_of_the_source(samples: Path, name: str) -> None:
    source, motion = clip(name), read(samples, name)
    at = source.times * motion.fps
    kept = np.flatnonzero(np.abs(at - at.round()) < 1e-6)  # frames of the source that fall on one of the sample
    assert len(kept) >= 2
    rows = at[kept].round().astype(int)
    assert 0.01 * motion.root_positions[rows] == pytest.approx(source.frames[kept, :3], abs=1e-6)
    chest = motion.rotations[rows, motion.skeleton.index("chest")]
    assert rotation.angle(chest, source.frames[kept, 7:11]).max() < 1e-5


def test_a_clip_at_60_frames_a_second_keeps_its_frames() -> None:
    source = clip("spinkick")
    assert resampled(source) is source


def test_uneven_time_steps_are_honoured() -> None:
    source = clip("roll")
    assert source.fps is None
    smooth = resampled(source)
    root = np.stack([np.interp(smooth.times, source.times, source.frames[:, k]) for k in range(3)], axis=1)
    assert np.abs(smooth.frames[:, :3] - root).max() < 0.005  # counting frames instead of time is 5 cm off


def test_upsampling_has_no_corners() -> None:
    """16 fps by slerp turns at every source frame; the curve's velocity changes little from one frame to the next."""
    source = clip("backflip")
    steps = {
        "slerp": _turns(source.to_motion(240.0)),
        "curve": _turns(resampled(source, 240.0).to_motion(None)),
    }
    change = {key: np.linalg.norm(np.diff(turn, axis=0), axis=-1).max() for key, turn in steps.items()}
    assert change["curve"] < 0.35 * change["slerp"]


def _turns(motion: Motion) -> np.ndarray:
    return rotation.log(rotation.relative(motion.rotations[:-1], motion.rotations[1:]))


def test_a_pop_does_not_ring() -> None:
    """Walk's left shoulder jumps between two frames of the source; the frames around it stay as calm as they were."""
    motion = resampled(clip("walk")).to_motion(None)
    speed = np.linalg.norm(_turns(motion)[:, motion.skeleton.index("left_shoulder")], axis=-1) * motion.fps
    assert speed[36:38].min() > 10
    assert np.delete(speed, [36, 37]).max() < 5


def test_the_same_bytes_every_time(samples: Path, tmp_path: Path) -> None:
    (path,) = write_samples(tmp_path, ["run"])
    assert path == tmp_path / "run.bvh"
    assert path.read_bytes() == (samples / "run.bvh").read_bytes()
    assert (tmp_path / "run.meta.toml").read_bytes() == (samples / "run.meta.toml").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.bvh", "run.meta.toml"]


def test_an_unknown_sample_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        write_samples(tmp_path, ["backflop"])
    assert "backflip" in (error.value.hint or "")
    assert not list(tmp_path.iterdir())


def test_meta_round_trip_and_absence(tmp_path: Path) -> None:
    meta = Meta(loop=False, duration=1.5, source='a "quoted" – file', licence=None)
    write_meta(tmp_path / "dance.bvh", meta)
    assert read_meta(tmp_path / "dance.bvh") == meta
    assert read_meta(tmp_path / "other.bvh") == Meta()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("looop = true", "unknown key looop", "loop"),
        ('loop = "yes"', "loop: input should be a valid boolean", None),
        ("duration = -1.0", "duration: input should be greater than 0", None),
        ("loop = ", "not valid TOML", None),
    ],
)
def test_bad_meta_is_refused(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    (tmp_path / "dance.meta.toml").write_text(text)
    with pytest.raises(InputError) as error:
        read_meta(tmp_path / "dance.bvh")
    assert message in str(error.value)
    assert str(tmp_path / "dance.meta.toml") in str(error.value)
    if hint:
        assert hint in (error.value.hint or "")
