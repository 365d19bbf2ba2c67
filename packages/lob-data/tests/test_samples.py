"""Real LOBSTER samples replay without a mismatch; nothing here is fitted to them."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from lob_core import BookConfig, process_messages
from lob_core.replay import opening_book, step_messages
from lob_data import PrepareOptions, calibrate, open_store, prepare, synthesize
from lob_data.clean import merge_executions
from lob_data.lobster import Pair, find_pairs
from lob_data.prepare import load_day
from lob_data.sync import synchronize
from lob_data.verify import verify_stream

pytestmark = pytest.mark.data

EXPECTED_ROWS = {
    ("GOOG", 10): 147_916,
    ("GOOG", 5): 112_673,
    ("GOOG", 1): 49_482,
    ("MSFT", 10): 62_195,
    ("MSFT", 5): 20_000,
    ("MSFT", 50): 1_950,
}


def pair_of(samples: Path, ticker: str, level: int) -> Pair:
    pairs, _ = find_pairs(samples)
    return next(p for p in pairs if (p.name.ticker, p.name.level) == (ticker, level))


@pytest.mark.parametrize(("ticker", "level"), EXPECTED_ROWS)
def test_samples__every_level_of_every_row_is_reproduced(samples, ticker, level):
    day, _ = load_day(pair_of(samples, ticker, level), PrepareOptions())
    stream = synchronize(day)
    report = verify_stream(day, stream)
    assert report.rows == EXPECTED_ROWS[ticker, level]
    assert report.is_exact
    if (ticker, level) == ("GOOG", 10):
        assert (np.diff(stream.row_start) > 1).mean() < 0.05


def test_samples__merged_executions_replay_exactly(samples):
    day, _ = load_day(pair_of(samples, "MSFT", 5), PrepareOptions())
    merged = merge_executions(day)
    assert merged.num_rows < day.num_rows
    assert verify_stream(merged, synchronize(merged)).is_exact


def test_samples__windows_end_in_the_recorded_book(samples, tmp_path):
    pair = pair_of(samples, "MSFT", 5)
    prepare(pair.messages.path, tmp_path / "store", PrepareOptions(verify=False))
    store = open_store(tmp_path / "store")
    windows = store.windows(num_steps=10, messages_per_step=50, stride=1700, split="train")
    config = BookConfig(num_slots=windows.opening.bids.price.shape[-1], max_trades=0)
    play = jax.jit(lambda b, m: process_messages(b, m, config=config)[0])
    day, _ = load_day(pair, PrepareOptions())
    for window in range(windows.num_windows):
        book = opening_book(windows, window)
        for step in range(10):
            book = play(book, step_messages(windows, window, step))
        row = window * 1700 + 499
        assert int(book.bids.price[0]) == day.book_price[0, row, 0]
        assert int(book.asks.price[0]) == day.book_price[1, row, 0]
        assert not any(int(leaf) for leaf in jax.tree.leaves(book.counters))
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["split_by"] == "time"


def minute_moves(day):
    """Standard deviation of the mid's changes over a minute, and the median spread, in ticks."""
    bid, ask = (day.book_price[side, :, 0] for side in (0, 1))
    minutes = np.arange(day.ts_ns[0], day.ts_ns[-1], 60 * 10**9)
    mid = (bid + ask)[np.searchsorted(day.ts_ns, minutes)] / 2
    return np.diff(mid).std(), np.median(ask - bid)


def test_samples__a_queue_reactive_market_fitted_to_them_keeps_moving(samples, tmp_path):
    """The price of a market drawn from a fit stood still when single cells were believed."""
    pair = pair_of(samples, "GOOG", 10)
    prepare(pair.messages.path, tmp_path / "store", PrepareOptions(verify=False))
    fitted = calibrate(tmp_path / "store", model="queue_reactive", split=None)
    drawn = synthesize(
        tmp_path / "drawn", num_messages=20_000, model=fitted.model, params=fitted.params
    )
    (move, spread), (real_move, real_spread) = (
        minute_moves(load_day(p, PrepareOptions())[0]) for p in (drawn.pair, pair)
    )
    assert 0.5 < move / real_move < 1.5
    assert 0.5 < spread / real_spread < 1.5
