"""Start phases: even, from the beginning, or where episodes lately failed."""

from __future__ import annotations

import numpy as np
import pytest

from motion.errors import InputError
from train.starts import Starts

EVERYWHERE = (np.arange(20) + 0.5) / 20


def failing_at(phase: float, *, loop: bool) -> Starts:
    starts = Starts("failure", 2.0, loop)
    for _ in range(50):
        starts.observe(EVERYWHERE, np.abs(EVERYWHERE - phase) < 0.02)
    return starts


def test_a_failure_is_practised_from_half_a_second_before_it():
    shares = failing_at(0.725, loop=False).shares()  # bin 14 of 20; half a second is 5 bins
    assert shares.sum() == pytest.approx(1.0)
    expected = np.full(20, 0.5 / 20)
    expected[9:15] += 0.5 / 6
    np.testing.assert_allclose(shares, expected)


def test_before_the_start_of_a_loop_is_its_end_and_of_a_one_shot_nothing():
    loop, shot = failing_at(0.075, loop=True).shares(), failing_at(0.075, loop=False).shares()
    assert np.flatnonzero(loop > 0.03).tolist() == [0, 1, 16, 17, 18, 19]
    assert np.flatnonzero(shot > 0.03).tolist() == [0, 1]


def test_draws_follow_the_shares():
    starts = failing_at(0.725, loop=False)
    drawn = starts.draw(20_000, np.random.default_rng(0))
    assert drawn.min() >= 0.0
    assert drawn.max() < 1.0
    np.testing.assert_allclose(np.bincount((drawn * 20).astype(int)) / 20_000, starts.shares(), atol=0.01)


def test_failures_are_forgotten():
    starts = failing_at(0.725, loop=False)
    before = starts.shares().max()
    for _ in range(900):
        starts.observe(EVERYWHERE, np.abs(EVERYWHERE - 0.225) < 0.02)
    after = starts.shares()
    assert after[4] > after[14]
    assert after[14] < 0.5 * before


def test_without_failures_and_without_bins_starts_are_even():
    starts = Starts("failure", 2.0, True)
    np.testing.assert_allclose(starts.shares(), 0.05)
    short = Starts("failure", 0.05, True)
    short.observe(np.array([0.0, 1.0]), np.array([True, True]))
    np.testing.assert_allclose(short.shares(), 1.0)


def test_zero_starts_at_the_beginning_and_an_unknown_name_is_refused():
    assert (Starts("zero", 2.0, True).draw(5, np.random.default_rng(0)) == 0).all()
    with pytest.raises(InputError) as caught:
        Starts("failures", 1.0, True)
    assert "failure" in str(caught.value.hint)
