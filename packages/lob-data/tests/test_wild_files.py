"""A hand-made day with everything that real files hold besides plain order flow."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from lob_core.types import EventType
from lob_data import PrepareOptions, open_store, prepare, verify
from lob_data.schema import DUMMY_PRICE
from lob_data.testing import Venue, write_pair

BID, ASK = 1, -1
START_MS, END_MS = 25_200_000, 72_000_000  # 07:00 to 20:00


def write_wild_day(folder: Path, ticker: str, day: str) -> None:
    """Types 1 to 7, one-sided moments, stub quotes, an odd session, a column more, time noise."""
    venue = Venue(ts_ns=START_MS * 10**6 + 878_728_271)
    venue.submit(ASK, 19_999_999, 100)  # a stub quote; no bid yet
    first = venue.submit(BID, 3_100, 100)
    venue.report(EventType.CROSS, -1, 3_000_000_000, 310_025, BID)
    venue.submit(ASK, 3_101, 70)
    venue.report(EventType.EXECUTE_HIDDEN, 0, 30, 310_050, ASK)  # at the mid, half a cent
    for code in (-1, 0, 1):
        venue.report(EventType.HALT, 0, 0, code, ASK)
    venue.ts_ns = END_MS * 10**6 - 5_000
    venue.delete(first)  # no bid any more
    venue.execute(ASK, 170)  # through the best ask into the stub
    venue.report(EventType.CROSS, -2, 500, 310_000, ASK)
    pair = write_pair(folder / "plain", *venue.rows(3), ticker, day)
    for source in (pair.messages, pair.books):
        text = source.path.read_text()
        if source == pair.messages:
            text = text.replace(".878728271,", ".878728270996,", 1)
            text = "".join(f"{line},null\n" for line in text.splitlines())
        name = source.path.name.replace("34200000_57600000", f"{START_MS}_{END_MS}")
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        source.path.unlink()
    (folder / "plain").rmdir()


@pytest.fixture
def raw(tmp_path):
    """Two stocks on three days."""
    for ticker in ("AAA", "BRK.B"):
        for day in ("2024-07-01", "2024-07-02", "2024-07-03"):
            write_wild_day(tmp_path / "raw" / ticker, ticker, day)
    return tmp_path / "raw"


def test_wild_day__replays_exactly(raw):
    reports, failures = verify(raw)
    assert not failures
    assert [report.is_exact for report in reports] == [True] * 6


def test_wild_day__is_stored_as_recorded(tmp_path, raw):
    prepare(raw, tmp_path / "store")
    store = open_store(tmp_path / "store")
    label = f"AAA_2024-07-01_{START_MS}_{END_MS}_3"
    events = store.events(label)
    assert events["event_type"].to_list() == [1, 1, 6, 1, 5, 7, 7, 7, 3, 4, 4, 6]
    assert events["ts_ns"][0] == START_MS * 10**6 + 878_728_271
    assert events["raw_price"].to_list()[2:8] == [310_025, 310_100, 310_050, -1, 0, 1]
    assert events["size"][2] == 3_000_000_000
    assert events["price"].to_list()[-3:] == [3_101, 19_999_999, None]
    (entry,) = (day for day in store.manifest.days if day.label == label)
    assert entry.event_counts == {"1": 3, "3": 1, "4": 2, "5": 1, "6": 2, "7": 3}
    assert (store.manifest.split_by, entry.is_verified) == ("day", True)


def test_wild_day__without_hidden_executions_and_cut_to_a_session(tmp_path, raw):
    options = PrepareOptions(
        keep_hidden=False, merge_executions=True, session_start=7 * 3600.0, session_end=8 * 3600.0
    )
    prepare(raw, tmp_path / "store", options)
    store = open_store(tmp_path / "store")
    assert store.events(store.labels[0])["event_type"].to_list() == [1, 1, 6, 1, 7, 7, 7]


def test_windows__of_one_stock_hold_its_days_only(tmp_path, raw):
    prepare(raw, tmp_path / "store", PrepareOptions(verify=False))
    store = open_store(tmp_path / "store")
    arguments = {"num_steps": 2, "messages_per_step": 3}
    both = store.windows(**arguments)
    one = store.windows(**arguments, ticker="BRK.B")
    assert (both.num_windows, one.num_windows) == (12, 6)
    with pytest.raises(ValueError, match=r"ticker is .ZZZ.; the store holds AAA, BRK\.B"):
        store.windows(**arguments, ticker="ZZZ")


def test_wild_day__dummy_levels_are_in_the_file(tmp_path):
    write_wild_day(tmp_path, "AAA", "2024-07-01")
    text = gzip.decompress(next(tmp_path.glob("*orderbook*")).read_bytes()).decode()
    assert f"1999999900,100,{-DUMMY_PRICE},0,{DUMMY_PRICE},0" in text.splitlines()[0]
