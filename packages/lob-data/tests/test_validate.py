"""Every row that makes no sense is refused with file, row and reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from lob_core.types import EventType
from lob_data.errors import FormatError, OptionError
from lob_data.lobster import RawDay
from lob_data.schema import DUMMY_PRICE, book_columns
from lob_data.testing import raw_day
from lob_data.validate import check_day

BID, ASK = 1, -1


@pytest.fixture
def raw(venue) -> RawDay:
    for price in (9_997, 9_998, 9_999):
        venue.submit(BID, price, 10)
    venue.report(EventType.EXECUTE_HIDDEN, 0, 10, 1_000_050, ASK)
    return raw_day(*venue.rows(3))


def with_message(raw: RawDay, row: int, **values: int) -> RawDay:
    changes = {}
    for name, value in values.items():
        changes[name] = getattr(raw, name).copy()
        changes[name][row] = value
    return dataclasses.replace(raw, **changes)


def with_book(raw: RawDay, row: int, **values: int) -> RawDay:
    books = raw.books.copy()
    for name, value in values.items():
        books[book_columns(3).index(name), row] = value
    return dataclasses.replace(raw, books=books)


def test_check_day__converts_to_ticks_bids_first(raw):
    day = check_day(raw)
    assert day.price.tolist() == [9_997, 9_998, 9_999, 0]
    assert day.raw_price[3] == 1_000_050
    assert day.book_price[:, 0].tolist() == [[9_999, 9_998, 9_997], [10_001, 10_002, 10_003]]
    assert day.book_size[:, 3].tolist() == [[110, 210, 310], [100, 200, 300]]
    assert (day.num_rows, day.num_levels) == (4, 3)
    assert len(np.unique(day.order)) == 4


def test_check_day__a_finer_tick_scales_prices(raw):
    assert check_day(raw, tick_units=50).price.tolist() == [19_994, 19_996, 19_998, 0]


MESSAGE_FAULTS: list[tuple[dict[str, int], str]] = [
    ({"ts_ns": 34_199_000_000_000}, "time goes back from 34200.000001 to 34199"),
    ({"event_type": 8}, "event type is 8"),
    ({"side": 0}, "direction is 0"),
    ({"size": 0}, "size is 0"),
    ({"size": 2**31}, "size is 2147483648"),
    ({"price": 999_850}, "price 999850 is off the grid"),
    ({"price": -100}, "price is -100"),
    ({"price": 2**25 * 100}, "largest that fits is 33554431 ticks"),
]


@pytest.mark.parametrize(("values", "reason"), MESSAGE_FAULTS)
def test_check_day__bad_message_names_file_row_and_reason(raw, values, reason):
    with pytest.raises(FormatError, match=reason) as caught:
        check_day(with_message(raw, 2, **values))
    assert caught.value.row == 3
    assert "message_3.csv" in str(caught.value.path)


BOOK_FAULTS: list[tuple[dict[str, int], str]] = [
    ({"bid_price_1": 1_000_100}, "crossed or locked: bid 1000100 >= ask 1000100"),
    ({"bid_price_2": 999_850}, "bid_price_2 is 999850, off the grid"),
    ({"ask_price_3": 0}, "ask_price_3 is 0; it must be 1 to"),
    ({"ask_price_3": 2**40}, "ask_price_3 is 1099511627776"),
    ({"ask_size_2": -5}, "ask_size_2 has size -5"),
    ({"ask_size_2": 0}, "level 2 has size zero beside a price"),
    ({"ask_price_3": 1_000_200}, "level 3 is not worse than the level before it"),
    ({"ask_price_2": DUMMY_PRICE, "ask_size_2": 0}, "level 3 is occupied behind an unoccupied"),
]


@pytest.mark.parametrize(("values", "reason"), BOOK_FAULTS)
def test_check_day__bad_book_row_names_file_row_and_reason(raw, values, reason):
    with pytest.raises(FormatError, match=reason) as caught:
        check_day(with_book(raw, 1, **values))
    assert caught.value.row == 2
    assert "orderbook_3.csv" in str(caught.value.path)


def test_check_day__the_first_of_several_bad_rows_is_named(raw):
    spoiled = with_book(with_book(raw, 3, ask_price_1=1_000_150), 2, bid_size_3=-1)
    with pytest.raises(FormatError) as caught:
        check_day(spoiled)
    assert caught.value.row == 3


HARMLESS: list[tuple[str, Callable[[RawDay], Any]]] = [
    ("half cents of hidden executions", lambda raw: with_message(raw, 3, price=1_000_050)),
    (
        "cross totals beyond int32",
        lambda raw: with_message(raw, 3, event_type=6, size=2**40),
    ),
    ("a halt marker", lambda raw: with_message(raw, 3, event_type=7, size=0, price=-1)),
    ("equal times", lambda raw: with_message(raw, 2, ts_ns=34_200_000_001_000)),
    ("ids of 60 bits", lambda raw: with_message(raw, 2, order_id=2**60)),
]


@pytest.mark.parametrize(("name", "change"), HARMLESS)
def test_check_day__accepts(raw, name, change):
    assert check_day(change(raw)).num_rows == 4


def test_check_day__no_rows(raw):
    empty = dataclasses.replace(raw, ts_ns=np.zeros(0, np.int64))
    with pytest.raises(FormatError, match="has no rows"):
        check_day(empty)


def test_check_day__tick_must_be_positive(raw):
    with pytest.raises(OptionError, match="tick_units is 0"):
        check_day(raw, tick_units=0)
