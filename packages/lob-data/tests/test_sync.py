"""Prepared streams show every recorded level of every recorded row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lob_core.types import EventType
from lob_data.day import Day
from lob_data.errors import FormatError
from lob_data.replay import record_books, summarize_rows
from lob_data.schema import DUMMY_PRICE, MAX_SIZE
from lob_data.sync import Stream, opening_book, synchronize
from lob_data.testing import Venue, raw_day
from lob_data.validate import check_day
from lob_data.verify import verify_stream

BID, ASK = 1, -1


def day_of(venue: Venue, num_levels: int) -> Day:
    return check_day(raw_day(*venue.rows(num_levels)))


def shown_levels(day: Day, stream: Stream) -> list[tuple[list[int], list[int]]]:
    """Levels that replay shows after each row, cut to the file's, as (prices, sizes) by side."""
    rows = np.arange(1, day.num_rows + 1)
    books = record_books(stream, rows, max(stream.max_orders) + 1)
    result = []
    for row in range(day.num_rows):
        for side in range(2):
            totals: dict[int, int] = {}
            pairs = zip(books.price[side, row], books.size[side, row], strict=True)
            for price, size in pairs:
                if size > 0:
                    totals[int(price)] = totals.get(int(price), 0) + int(size)
            prices = list(totals)[: day.num_levels]
            result.append((prices, [totals[price] for price in prices]))
    return result


def recorded_levels(day: Day) -> list[tuple[list[int], list[int]]]:
    result = []
    for row in range(day.num_rows):
        for side in range(2):
            is_occupied = day.book_size[side, row] > 0
            prices = day.book_price[side, row][is_occupied].tolist()
            result.append((prices, day.book_size[side, row][is_occupied].tolist()))
    return result


def assert_exact(day: Day) -> Stream:
    stream = synchronize(day)
    assert shown_levels(day, stream) == recorded_levels(day)
    return stream


def sync_events(stream: Stream) -> list[tuple[int, int, int, int]]:
    """Type, side, price and size of each synchronising message."""
    columns = (stream.event_type, stream.side, stream.price, stream.size)
    picked = (column[stream.is_sync].tolist() for column in columns)
    return list(zip(*picked, strict=True))


def test_sync__a_level_that_slides_out_and_back_unchanged_costs_nothing(venue):
    venue.submit(BID, 9_999, 1)
    venue.submit(ASK, 10_020, 10)  # out of view, never seen
    inside = venue.submit(ASK, 10_000, 50)
    venue.delete(inside)
    assert len(assert_exact(day_of(venue, 2)).price) == 3


def test_sync__a_level_never_seen_before_is_revealed(venue):
    venue.submit(BID, 9_999, 1)
    venue.execute(ASK, 100)
    stream = assert_exact(day_of(venue, 2))
    assert sync_events(stream) == [(EventType.SUBMIT, ASK, 10_003, 300)]


def test_sync__an_order_deleted_out_of_view_is_removed_when_its_level_returns(venue):
    ghost = venue.submit(ASK, 10_002, 70)
    inside = venue.submit(ASK, 10_000, 50)
    venue.delete(ghost)
    venue.delete(inside)
    stream = assert_exact(day_of(venue, 2))
    assert sync_events(stream) == [(EventType.DELETE, ASK, 10_002, 70)]


def test_sync__a_whole_level_gone_out_of_view_is_removed_when_it_would_return(venue):
    venue.submit(BID, 9_999, 1)
    level = next(i for i, o in venue.orders.items() if (o.side, o.price) == (BID, 9_998))
    inside = venue.submit(BID, 10_000, 50)
    venue.delete(level)
    venue.delete(inside)
    stream = assert_exact(day_of(venue, 2))
    assert (EventType.DELETE, BID, 9_998, 200) in sync_events(stream)
    assert (EventType.SUBMIT, BID, 9_997, 300) in sync_events(stream)


def test_sync__a_level_grown_out_of_view_is_topped_up(venue):
    venue.submit(BID, 9_999, 1)
    inside = venue.submit(BID, 10_000, 50)
    venue.submit(BID, 9_998, 30)
    venue.delete(inside)
    stream = assert_exact(day_of(venue, 2))
    assert sync_events(stream) == [(EventType.SUBMIT, BID, 9_998, 30)]


def test_sync__a_partial_shrink_out_of_view_is_taken_from_the_back(venue):
    late = venue.submit(BID, 9_998, 30)
    inside = venue.submit(BID, 10_000, 50)
    venue.cancel(late, 10)
    venue.delete(inside)
    stream = assert_exact(day_of(venue, 2))
    assert sync_events(stream) == [(EventType.CANCEL, BID, 9_998, 10)]


def test_sync__removal_of_an_unknown_order_acts_on_the_opening_liquidity(venue):
    hidden_in_queue = venue.seed(BID, 9_999, 40)
    venue.submit(BID, 9_999, 40)
    venue.delete(hidden_in_queue)
    stream = assert_exact(day_of(venue, 5))
    assert not stream.is_sync.any()
    assert stream.num_stand_ins == 1
    # The known order of the same size stays: the opening order gives up 40 of its 140 shares.
    assert stream.event_type.tolist() == [EventType.SUBMIT, EventType.CANCEL]
    assert stream.order_id[1] in stream.opening[3]


def test_sync__opening_book_is_the_first_row_with_its_message_undone(venue):
    venue.execute(BID, 30)
    venue.submit(ASK, 10_001, 5)
    opening = opening_book(day_of(venue, 3))
    assert opening[:3].T.tolist() == [
        [1, 9_999, 100],
        [1, 9_998, 200],
        [1, 9_997, 300],
        [-1, 10_001, 100],
        [-1, 10_002, 200],
        [-1, 10_003, 300],
    ]


def test_sync__first_message_that_empties_a_level_gets_it_back_in_the_opening_book(venue):
    venue.execute(BID, 100)
    day = day_of(venue, 2)
    assert [1, 9_999, 100] in opening_book(day)[:3].T.tolist()
    assert_exact(day)


def test_sync__first_message_that_adds_a_level_is_left_out_of_the_opening_book(venue):
    venue.submit(BID, 10_000, 100)
    day = day_of(venue, 2)
    assert opening_book(day)[:3].T.tolist()[0] == [1, 9_999, 100]
    assert_exact(day)


def test_sync__hidden_executions_crosses_and_halts_change_nothing_and_bring_no_price(venue):
    venue.submit(BID, 9_999, 10)
    venue.report(EventType.EXECUTE_HIDDEN, 0, 70, 1_000_050, ASK)
    venue.report(EventType.CROSS, -1, 3_000_000_000, 1_000_025, BID)
    for code in (-1, 0, 1):
        venue.report(EventType.HALT, 0, 0, code, ASK)
    stream = assert_exact(day_of(venue, 5))
    assert stream.event_type.tolist() == [1, 5, 6, 7, 7, 7]
    assert stream.price[1:].tolist() == [0, 0, 0, 0, 0]
    assert stream.size[1:].tolist() == [70, 0, 1, 1, 0]  # halted, only quoting, trading again


def test_sync__a_half_empty_book_and_stub_quotes_are_exact():
    venue = Venue()
    bid = venue.submit(BID, 3_100, 100)
    venue.submit(ASK, 200_000, 10)
    venue.submit(ASK, 19_999_999, 10)
    venue.delete(bid)
    messages, books = venue.rows(3)
    assert books[-1][2] == -DUMMY_PRICE
    assert books[0][0] == DUMMY_PRICE
    day = check_day(raw_day(messages, books))
    assert_exact(day)
    assert verify_stream(day, synchronize(day)).is_exact


def test_sync__levels_larger_than_one_message_are_split(venue):
    venue.seed(ASK, 10_006, 3 * MAX_SIZE)
    venue.submit(BID, 9_998, 2 * MAX_SIZE)
    venue.execute(ASK, 100)
    stream = assert_exact(day_of(venue, 5))
    assert stream.size.max() == MAX_SIZE
    assert [size for *_, size in sync_events(stream)].count(MAX_SIZE) == 4


def test_sync__an_order_id_used_again_stands_for_the_new_order(venue):
    first = venue.submit(BID, 9_998, 10)
    venue.delete(first)
    venue.next_id = first - 7
    again = venue.submit(BID, 9_998, 20)
    assert again == first
    venue.delete(again)
    stream = assert_exact(day_of(venue, 5))
    assert not stream.is_sync.any()
    assert stream.order_id[0] != stream.order_id[2] == stream.order_id[3]


def test_sync__order_ids_are_numbered_from_one(busy_venue):
    stream = assert_exact(day_of(busy_venue, 3))
    submitted = stream.order_id[stream.event_type == EventType.SUBMIT]
    all_ids = np.concatenate([stream.opening[3], submitted])
    assert all_ids.tolist() == list(range(1, stream.num_orders + 1))


def test_sync__execution_of_an_order_behind_a_ghost_lets_names_follow_the_engine(venue):
    ghost = venue.submit(BID, 9_999, 60)
    real = venue.submit(BID, 9_999, 60)
    venue.execute(BID, 100)  # the opening order
    # The ghost leaves unreported: forget it, as if that had happened out of view.
    venue.orders.pop(ghost)
    venue._events[-1][1][BID][0] = (9_999, 60)
    venue.execute(BID, 20)
    venue.delete(real)
    stream = synchronize(day_of(venue, 5))
    assert stream.event_type[-1] == EventType.DELETE
    assert shown_levels(day_of(venue, 5), stream) == recorded_levels(day_of(venue, 5))


@pytest.mark.parametrize("num_levels", [1, 2, 5, 10])
def test_sync__a_busy_market_is_exact_at_every_depth(busy_venue, num_levels):
    day = day_of(busy_venue, num_levels)
    stream = assert_exact(day)
    if num_levels == 10:
        assert stream.sync_share < 0.02
    report = verify_stream(day, stream)
    assert report.is_exact
    assert (report.rows, report.levels) == (day.num_rows, num_levels)


def test_sync__room_for_orders_and_messages_grows_as_needed(busy_venue):
    """A file whose rows are unrelated books needs far more messages than it has rows."""
    messages, books = busy_venue.rows(4)
    day = check_day(raw_day(messages, books))
    shuffled = np.random.default_rng(0).permutation(day.num_rows)
    changed = day.take(np.arange(day.num_rows))
    for name in ("book_price", "book_size"):
        object.__setattr__(changed, name, getattr(day, name)[:, shuffled])
    stream = assert_exact(changed)
    assert len(stream.price) > 3 * day.num_rows


def test_sync__more_orders_than_ids_is_an_error(busy_venue, monkeypatch):
    monkeypatch.setattr("lob_data.sync.MAX_ORDER_ID", 20)
    with pytest.raises(FormatError, match="order ids; the device encoding holds 20"):
        synchronize(day_of(busy_venue, 3))


def test_verify__a_size_that_does_not_fit_sixteen_bytes_is_an_error(venue):
    venue.report(EventType.EXECUTE_HIDDEN, 0, MAX_SIZE + 1, 1_000_000, BID)
    day = day_of(venue, 2)
    with pytest.raises(FormatError, match=r"does not fit 16 bytes.*size is 4194304"):
        verify_stream(day, synchronize(day))


def test_verify__counts_what_the_engine_complains_about(busy_venue):
    day = day_of(busy_venue, 3)
    stream = synchronize(day)
    removals = np.flatnonzero(stream.event_type == EventType.DELETE)
    stream.order_id[removals[-1]] = stream.order_id[removals[0]]
    report = verify_stream(day, stream)
    assert report.engine_complaints == 1
    assert not report.is_exact


def test_verify__reports_rows_that_differ(busy_venue):
    day = day_of(busy_venue, 3)
    stream = synchronize(day)
    spoiled = day.take(np.arange(day.num_rows))
    spoiled.book_size[1, 100, 2] += 1
    report = verify_stream(spoiled, stream)
    assert (report.mismatches, report.first_mismatch, report.is_exact) == (1, 101, False)


def test_summarize_rows__tells_the_edge_of_the_view(venue):
    venue.submit(BID, 9_999, 1)
    day = day_of(venue, 3)
    summary = summarize_rows(synchronize(day), 3)
    assert summary.edge.tolist() == [[9_997], [10_003]]
    assert summary.num_in_view.tolist() == [[4], [3]]
    beyond = summarize_rows(synchronize(day), 9)
    assert beyond.edge.tolist() == [[1], [2**31 - 1]]


events = st.lists(
    st.tuples(
        st.sampled_from(["submit", "cancel", "delete", "execute", "hidden"]),
        st.sampled_from([BID, ASK]),
        st.integers(-3, 8),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(events=events, num_levels=st.integers(1, 4), num_standing=st.integers(0, 4))
def test_sync__any_market_cut_to_any_depth_is_exact(events, num_levels, num_standing):
    venue = Venue()
    for distance in range(num_standing):
        venue.seed(BID, 99 - 2 * distance, 2)
        venue.seed(ASK, 101 + 2 * distance, 3)
    for kind, side, distance, size in events:
        ids = list(venue.orders)
        if kind == "submit":
            price = 100 - side * (1 + distance)
            other = venue.levels(-side)
            if not other or side * price < side * other[0][0]:
                venue.submit(side, price, size)
        elif kind == "execute":
            venue.execute(side, size)
        elif kind == "hidden":
            venue.report(EventType.EXECUTE_HIDDEN, 0, size, 1_000_050, side)
        elif ids:
            order_id = ids[(distance + 3) % len(ids)]
            if kind == "cancel" and venue.orders[order_id].size > size:
                venue.cancel(order_id, size)
            elif kind == "delete":
                venue.delete(order_id)
    if venue.rows(num_levels)[0]:
        assert_exact(day_of(venue, num_levels))
