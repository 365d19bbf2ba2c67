"""The queue-reactive fit finds the rates, units and reference moves that data were made with."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.flow import QueueReactive
from lob_data import PrepareOptions, StoreError, calibrate, load_calibration, prepare, synthesize
from lob_data.calibration.exposure_kernel import CANCEL, LIMIT, MARKET
from lob_data.calibration.queue_kernel import Events, trace_reference
from lob_data.testing import write_pair

BID, ASK = 1, -1
MODEL = QueueReactive()
SIZE = np.arange(MODEL.num_sizes)
USUAL = MODEL.default_params()
TRUE = USUAL.replace(
    limit_rate=USUAL.limit_rate * np.exp(-0.08 * SIZE),
    cancel_rate=USUAL.cancel_rate * 2.5 / (1 + 0.4 * SIZE),
    market_rate=USUAL.market_rate * np.exp(-0.1 * SIZE),
    limit_size=jnp.repeat(jnp.array([50, 100, 100, 150], jnp.int32), 32),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of default queue-reactive flow seen through twelve levels."""
    folder = tmp_path_factory.mktemp("queues")
    synthesize(folder / "raw", num_messages=16_384, seed=5, num_levels=12, model=MODEL, params=TRUE)
    prepare(folder / "raw", folder / "store", PrepareOptions(verify=False))
    return folder / "store"


@pytest.fixture(scope="module")
def fitted(store):
    return calibrate(store, model="queue_reactive", num_levels=5, split=None)


def true_range(name, floors):
    """Smallest and largest true rate of the sizes in each bin, `[K, B]`."""
    table = np.asarray(getattr(TRUE, name), float)
    ends = np.append(floors[1:], table.shape[1])
    bins = [table[:, a:b] for a, b in zip(floors, ends, strict=True)]
    return np.stack([b.min(1) for b in bins], 1), np.stack([b.max(1) for b in bins], 1)


@pytest.mark.parametrize(
    ("name", "rows", "worst"),
    [("limit_rate", 5, 0.2), ("cancel_rate", 5, 0.2), ("market_rate", 1, 0.4)],
)
def test_calibrate__recovers_the_rates_of_all_bins(fitted, name, rows, worst):
    floors = fitted.params.size_floor.tolist()
    assert floors[:6] == [0, 1, 2, 3, 4, 5]
    first = 0 if name == "limit_rate" else 1  # nothing to cancel or to hit in an empty queue
    found, error, low, high = (
        np.asarray(values, float)[:rows, first:]
        for values in (
            getattr(fitted.params, name),
            fitted.standard_errors[name],
            *true_range(name, floors),
        )
    )
    gap = np.maximum(np.maximum(low - found, found - high), 0.0)
    assert (gap < 4 * error).all()
    np.testing.assert_array_less(gap / high, worst)
    assert found.max() > 2.5 * found.min()  # the truth is no constant


def test_calibrate__recovers_sizes_of_orders(fitted):
    table = np.asarray(fitted.params.limit_size)
    shares = [(table == size).mean() for size in (50, 100, 150)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)
    assert set(fitted.params.market_size.tolist()) == {100}
    np.testing.assert_allclose(fitted.params.event_size, 100, rtol=0.04)


def test_calibrate__recovers_moves_of_the_reference_units_and_far_cancels(fitted):
    params, errors = fitted.params, fitted.standard_errors
    assert float(params.move_probability) == pytest.approx(0.7, abs=4 * errors["move_probability"])
    assert errors["move_probability"] < 0.1
    assert float(params.far_cancel_rate) == pytest.approx(0.1, abs=4 * errors["far_cancel_rate"])


def test_calibrate__figures_tell_that_queues_matter(fitted):
    fit = fitted.fit
    assert fit["residual_mean"] == pytest.approx(1, abs=0.01)
    # The 0.1 % point of the Kolmogorov-Smirnov distance is 1.95 / sqrt(n).
    assert fit["residual_ks"] < 1.95 / np.sqrt(fit["events"])
    assert fit["aic"] < fit["aic_poisson"] - 500
    assert fit["covered"] > 0.99


def test_calibrate__number_of_levels_covers_the_limit_orders(store):
    assert calibrate(store, model="queue_reactive", split=None).model.num_levels in (4, 5, 6)


def test_calibration__of_queues_survives_json_and_drives_synthesis(tmp_path, fitted):
    (tmp_path / "fit.json").write_text(fitted.to_json())
    loaded = load_calibration(tmp_path / "fit.json")
    assert (loaded.name, loaded.model) == ("queue_reactive", fitted.model)
    assert loaded.to_json() == fitted.to_json()
    report = synthesize(
        tmp_path, num_messages=1024, num_levels=2, model=loaded.model, params=loaded.params
    )
    assert report.rows > 300


def trace(rows, is_mover=False):
    """Reference prices and decisions for rows of (kind, side, price, best bid, best ask)."""
    kind, side, price, bid, ask = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    events = Events(np.arange(len(rows)), kind.astype(np.int8), side.astype(np.int8), price)
    reference, decisions = np.zeros(len(rows), np.int32), np.zeros(2)
    quotes = np.stack([bid, ask])
    trace_reference(0, len(rows), events, quotes, is_mover, reference, decisions)
    return reference.tolist(), decisions.tolist()


def test_trace_reference__a_buy_in_the_gap_shows_that_it_moved_up():
    rows = [
        (MARKET, ASK, 101, 100, 101),  # takes the ask at 101 away
        (LIMIT, BID, 99, 100, 102),  # tells nothing
        (LIMIT, BID, 101, 100, 102),  # a bid at 101: below the reference
        (CANCEL, BID, 99, 101, 102),
    ]
    assert trace(rows) == ([100, 101, 101, 101], [0, 1])


def test_trace_reference__a_sell_in_the_gap_shows_that_it_stayed():
    rows = [
        (MARKET, ASK, 101, 100, 101),
        (LIMIT, ASK, 101, 100, 102),
        (CANCEL, BID, 99, 100, 101),
    ]
    assert trace(rows, is_mover=True) == ([100, 100, 100], [1, 0])


@pytest.mark.parametrize("is_mover", [False, True])
def test_trace_reference__where_nothing_shows_it_does_as_told_and_does_not_count(is_mover):
    rows = [
        (CANCEL, BID, 100, 100, 101),
        (LIMIT, BID, 98, 99, 101),  # the mid fell; both 99 and 100 are possible
        (CANCEL, ASK, 101, 99, 101),
        (CANCEL, ASK, 105, 99, 102),
    ]
    low = 99 if is_mover else 100
    reference, decisions = trace(rows, is_mover)
    assert reference[:3] == [100, low, low]
    assert decisions == [0, 0]


def test_trace_reference__it_stays_between_the_quotes():
    rows = [(CANCEL, BID, 1, 100, 101), (CANCEL, BID, 1, 105, 106), (CANCEL, BID, 1, 0, 103)]
    assert trace(rows)[0] == [100, 105, 102]


def test_calibrate__a_market_whose_mid_never_moves_says_so(tmp_path, venue):
    for size in (10, 20, 30):
        venue.delete(venue.submit(BID, 9_998, size))
    venue.execute(ASK, 5)
    write_pair(tmp_path / "raw", *venue.rows(3))
    prepare(tmp_path / "raw", tmp_path / "store", PrepareOptions(verify=False))
    with pytest.raises(StoreError, match="mid never moves"):
        calibrate(tmp_path / "store", model="queue_reactive", split=None)
