"""How fast corrections may be follows from how violent the motion is."""

from __future__ import annotations

import numpy as np
import pytest
from good_clip import make_good_clip

from characters.character import Character
from retarget import pace


@pytest.fixture(scope="module")
def humanoid() -> Character:
    return Character.load("humanoid")


def test_a_still_body_is_corrected_slowly(humanoid: Character) -> None:
    assert pace.factor(humanoid, np.tile(humanoid.rest, (60, 1)), 60.0) == pace.MOST


def test_the_factor_follows_the_cube_root_of_the_jerk(humanoid: Character) -> None:
    """A clip played r times as fast jerks r³ times as much, so corrections may take 1 / r of the time."""
    clip = make_good_clip(humanoid)
    qpos = np.concatenate([clip.cycle_offset.apply(clip.qpos, k) for k in range(4)])
    slow, fast = (pace.factor(humanoid, clip.layout.continuous(qpos), clip.fps * speed) for speed in (1.3, 1.6))
    assert pace.LEAST < fast < slow < pace.MOST
    assert slow / fast == pytest.approx(1.6 / 1.3, rel=0.15)  # the smoothing passes less of the faster one


def test_a_long_motion_is_worked_on_in_pieces(humanoid: Character, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_good_clip(humanoid)
    repeats = 2 * pace.CHUNK // len(clip.qpos)
    qpos = np.concatenate([clip.cycle_offset.apply(clip.qpos, k) for k in range(repeats)])
    monkeypatch.setattr(pace, "MOST", 9.0)
    assert pace.factor(humanoid, qpos, clip.fps) == pytest.approx(
        pace.factor(humanoid, qpos[: 4 * len(clip.qpos)], clip.fps), rel=0.02
    )


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_too_few_frames_tell_nothing(humanoid: Character, frames: int) -> None:
    assert pace.factor(humanoid, np.tile(humanoid.rest, (frames, 1)), 30.0) == 1.0
