"""Windows replay through lob_core to the recorded book, however they are cut."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, process_messages
from lob_core.packing import unpack_is_sync, unpack_messages
from lob_core.replay import opening_book, step_messages
from lob_data import OptionError, PrepareOptions, StoreError, open_store, prepare
from lob_data.lobster import find_pairs
from lob_data.prepare import load_day
from lob_data.testing import write_pair

NUM_LEVELS = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def store(folders, busy_venue):
    """A store of three equal days; made once."""
    out = folders / "store"
    if not out.exists():
        for day in ("2020-01-02", "2020-01-03", "2020-01-06"):
            write_pair(folders / "raw", *busy_venue.rows(NUM_LEVELS), "TEST", day)
        prepare(folders / "raw", out, PrepareOptions(verify=False))
    return open_store(out)


@pytest.fixture
def day(store, folders):
    return load_day(find_pairs(folders / "raw")[0][0], PrepareOptions())[0]


def levels(orders) -> list[tuple[int, int]]:
    totals: dict[int, int] = {}
    for price, size in zip(np.asarray(orders.price), np.asarray(orders.size), strict=True):
        if size > 0:
            totals[int(price)] = totals.get(int(price), 0) + int(size)
    return list(totals.items())[:NUM_LEVELS]


def recorded(day, side: int, row: int) -> list[tuple[int, int]]:
    pairs = zip(day.book_price[side, row].tolist(), day.book_size[side, row].tolist(), strict=True)
    return [(price, size) for price, size in pairs if size > 0]


def test_windows__each_step_ends_in_the_recorded_book(store, day):
    windows = store.windows(num_steps=4, messages_per_step=10, split="train")
    config = BookConfig(num_slots=windows.opening.bids.price.shape[-1], max_trades=0)
    play = jax.jit(lambda b, m: process_messages(b, m, config=config)[0])
    per_day = day.num_rows // 40
    assert windows.num_windows == per_day
    for window in range(per_day):
        book = opening_book(windows, window)
        for step in range(4):
            book = play(book, step_messages(windows, window, step))
            row = window * 40 + (step + 1) * 10 - 1
            assert levels(book.bids) == recorded(day, 0, row)
            assert levels(book.asks) == recorded(day, 1, row)
        assert all(int(leaf) == 0 for leaf in jax.tree.leaves(book.counters))


def test_windows__a_step_counts_recorded_messages_and_takes_synchronising_ones_along(store):
    windows = store.windows(num_steps=4, messages_per_step=10)
    is_sync = np.asarray(unpack_is_sync(windows.packed))
    starts = np.asarray(windows.step_start)
    counts = [(~is_sync[a:b]).sum() for row in starts for a, b in itertools.pairwise(row)]
    assert set(counts) == {10}
    assert windows.max_messages_per_step == np.diff(starts, axis=1).max() > 10
    padding = unpack_messages(windows.packed[-windows.max_messages_per_step :])
    assert not np.asarray(padding.event_type).any()


def test_windows__overlapping_windows_share_messages_and_open_with_their_own_book(store):
    config = BookConfig(num_slots=64)
    apart = store.windows(num_steps=2, messages_per_step=20, split="test", config=config)
    close = store.windows(num_steps=2, messages_per_step=20, stride=5, split="test", config=config)
    assert close.num_windows > 6 * apart.num_windows
    assert close.packed.shape[0] <= apart.packed.shape[0] + 60
    every_eighth = jax.tree.map(lambda leaf: leaf[::8][: apart.num_windows], close.opening)
    shared = min(apart.num_windows, every_eighth.bids.price.shape[0])
    same = jax.tree.map(
        lambda a, b: bool(jnp.all(a[:shared, :8] == b[:shared, :8])),
        apart.opening.bids,
        every_eighth.bids,
    )
    assert same.price


def test_windows__by_clock_time_each_step_holds_the_messages_of_its_seconds(store, day):
    seconds = 7e-6
    windows = store.windows(num_steps=5, seconds_per_step=seconds, stride=2e-5, split="train")
    packed = unpack_messages(windows.packed)
    times = np.asarray(packed.time_s).astype(np.int64) * 10**9 + np.asarray(packed.time_ns)
    start_ns = np.asarray(windows.time_s).astype(np.int64) * 10**9 + np.asarray(windows.time_ns)
    assert set(np.diff(start_ns)) == {20_000}
    assert start_ns[0] == day.ts_ns[0]
    starts = np.asarray(windows.step_start)
    for window in range(windows.num_windows):
        for step in range(5):
            inside = times[starts[window, step] : starts[window, step + 1]]
            first = start_ns[window] + step * 7_000
            assert ((inside >= first) & (inside < first + 7_000)).all()
    assert starts.max() <= windows.packed.shape[0] - windows.max_messages_per_step


def test_windows__splits_and_days_do_not_share_windows(store):
    counts = {}
    for split in ("train", "validation", "test", None):
        windows = store.windows(num_steps=3, messages_per_step=10, split=split)
        counts[split] = windows.num_windows
    assert counts[None] == counts["train"] + counts["validation"] + counts["test"]
    rows = store.manifest.days[0].rows
    assert counts["train"] == rows // 30


def test_windows__opening_books_leave_out_what_the_window_never_shows(store, day):
    short = store.windows(num_steps=1, messages_per_step=5, split="train")
    long = store.windows(num_steps=1, messages_per_step=day.num_rows, split="train")
    assert short.opening.bids.price.shape[-1] < long.opening.bids.price.shape[-1]
    assert long.num_windows == 1


def test_windows__too_few_slots_names_how_many_are_needed(store):
    with pytest.raises(OptionError, match="num_slots is 2; these windows hold up to"):
        store.windows(num_steps=4, messages_per_step=10, config=BookConfig(num_slots=2))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_steps": 2}, "either messages_per_step or seconds_per_step"),
        ({"num_steps": 0, "messages_per_step": 1}, "num_steps is 0"),
        ({"num_steps": 1, "messages_per_step": 0}, "messages_per_step is 0"),
        ({"num_steps": 1, "seconds_per_step": -1.0}, r"seconds_per_step is -1\.0"),
        ({"num_steps": 1, "messages_per_step": 1, "stride": 0}, "stride is 0"),
        ({"num_steps": 1, "messages_per_step": 1, "stride": 1.5}, r"stride is 1\.5"),
        ({"num_steps": 1, "messages_per_step": 1, "split": "dev"}, "split is 'dev'"),
    ],
)
def test_windows__options_out_of_range_are_refused(store, options, reason):
    with pytest.raises(OptionError, match=reason):
        store.windows(**options)


def test_windows__a_window_longer_than_the_data_says_so(store):
    with pytest.raises(StoreError, match="holds no window of 100 steps of 1000 messages"):
        store.windows(num_steps=100, messages_per_step=1000)
    with pytest.raises(StoreError, match=r"holds no window of 1 steps of 9\.0 seconds"):
        store.windows(num_steps=1, seconds_per_step=9.0)


def test_store__events_are_the_recorded_messages(store, day):
    events = store.events(store.labels[0])
    assert events["ts_ns"].to_list() == day.ts_ns.tolist()
    assert events["price"].to_list() == day.price.tolist()
    assert events["size"].to_list() == day.size.tolist()
