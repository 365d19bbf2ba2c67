"""Rates by size of the queue: bins with enough events, and cells that are not believed alone."""

from __future__ import annotations

import numpy as np
import pytest
from lob_data.calibration.queue_tables import (
    pool_sizes,
    size_floors,
    smooth_rates,
    spread_sizes,
)

NUM_BLOCKS = 8


def draw(rate, seconds, seed=0):
    """Poisson counts by block, and their exposures, of rates `[K, B]`."""
    exposure = np.broadcast_to(np.asarray(seconds, float), (NUM_BLOCKS, *rate.shape)) / NUM_BLOCKS
    return np.random.default_rng(seed).poisson(rate * exposure).astype(float), exposure


def test_size_floors__grow_by_a_quarter_and_hold_enough_events():
    floors = size_floors(np.full(100, 1_000))
    assert floors[:7].tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert (np.diff(floors[4:]) >= 0.25 * floors[4:-1]).all()
    few = np.zeros(50)
    few[[0, 1, 2, 3, 10, 20]] = [500, 60, 60, 60, 300, 99]
    floors = size_floors(few)
    events = pool_sizes(few[None], floors)[0]
    assert events.sum() == few.sum()
    assert floors[:2].tolist() == [0, 1]
    assert (events[1:] >= 100).all()


def test_spread_sizes__undoes_the_bins():
    floors = np.array([0, 1, 4])
    assert spread_sizes(np.array([[5.0, 6.0, 7.0]]), floors, 6).tolist() == [[5, 6, 6, 6, 7, 7]]


def test_smooth_rates__keep_a_pattern_that_the_data_show():
    rate = np.array([[4.0, 1.0, 3.0, 1.0], [1.0, 3.0, 1.0, 3.0]])
    found, error = smooth_rates(*draw(rate, 4_000))
    np.testing.assert_allclose(found, rate, rtol=0.1)
    assert (np.abs(found - rate) < 4 * error).all()


def test_smooth_rates__a_burst_in_a_cell_seen_for_a_moment_is_not_believed():
    """Two hundred orders within half a second, at a size that the queue rarely has."""
    rate = np.outer([1.0, 0.5, 0.25], [3.0, 2.0, 1.5, 1.2, 1.0, 0.8])
    seconds = np.full(rate.shape, 2_000.0)
    seconds[:, -2] = 4.0
    count, exposure = draw(rate, seconds)
    count[3, 1, -2] = 200.0
    found, _ = smooth_rates(count, exposure)
    raw = count.sum(0) / exposure.sum(0)
    assert raw[1, -2] > 40
    assert found[1, -2] < 1
    np.testing.assert_allclose(np.delete(found, -2, 1), np.delete(rate, -2, 1), rtol=0.2)


def test_smooth_rates__cells_never_seen_have_the_product_of_row_and_column():
    rate = np.outer([2.0, 1.0, 0.5], [1.0, 3.0, 0.5])
    seconds = np.full(rate.shape, 5_000.0)
    seconds[0, 2] = 0.0
    found, _ = smooth_rates(*draw(rate, seconds))
    assert found[0, 2] == pytest.approx(1.0, rel=0.5)
    seconds[2] = 0.0
    found, _ = smooth_rates(*draw(rate, seconds))
    np.testing.assert_allclose(found[2], found[1], rtol=0.2)  # as far as is known
