"""Each rule that reduces a day leaves a stream that replays exactly."""

from __future__ import annotations

import numpy as np
import pytest
from lob_core.types import EventType
from lob_data.clean import cut_session, drop_hidden, merge_executions
from lob_data.errors import FormatError
from lob_data.sync import synchronize
from lob_data.testing import raw_day
from lob_data.validate import check_day
from lob_data.verify import verify_stream

BID, ASK = 1, -1


def day_of(venue, num_levels=5):
    return check_day(raw_day(*venue.rows(num_levels)))


def test_drop_hidden__leaves_out_type_five_only(venue):
    venue.submit(BID, 9_998, 10)
    venue.report(EventType.EXECUTE_HIDDEN, 0, 5, 1_000_050, BID)
    venue.report(EventType.HALT, 0, 0, -1, ASK)
    assert drop_hidden(day_of(venue)).event_type.tolist() == [1, 7]


def test_cut_session__keeps_rows_from_start_up_to_end(venue):
    for _ in range(5):
        venue.submit(BID, 9_998, 10)
    day = day_of(venue)
    cut = cut_session(day, int(day.ts_ns[1]), int(day.ts_ns[4]))
    assert cut.ts_ns.tolist() == day.ts_ns[1:4].tolist()
    assert verify_stream(cut, synchronize(cut)).is_exact
    assert cut_session(day, None, None).num_rows == 5
    with pytest.raises(FormatError, match="no row in the session window"):
        cut_session(day, 0, 1)


def test_merge_executions__one_aggressor_becomes_one_message(venue):
    venue.submit(BID, 9_999, 1)
    venue.execute(ASK, 350)  # through three levels
    venue.submit(BID, 10_002, 5)
    day = merge_executions(day_of(venue))
    assert day.event_type.tolist() == [1, 4, 1]
    assert (day.size[1], day.price[1]) == (350, 10_003)
    assert day.book_price[1, 1, 0] == 10_003
    assert day.book_size[1, 1, 0] == 250
    stream = synchronize(day)
    assert verify_stream(day, stream).is_exact


def test_merge_executions__hidden_ones_of_the_run_follow(venue):
    venue.submit(BID, 9_999, 1)
    start = venue.ts_ns
    venue.execute(ASK, 100)
    venue.ts_ns = start
    venue.report(EventType.EXECUTE_HIDDEN, 0, 7, 1_000_150, ASK)
    venue.ts_ns = start
    venue.execute(ASK, 30)
    venue.execute(ASK, 10)  # later: another aggressor
    day = merge_executions(day_of(venue))
    assert day.event_type.tolist() == [1, 4, 5, 4]
    assert day.size.tolist() == [1, 130, 7, 10]
    assert np.array_equal(day.book_size[:, 1], day.book_size[:, 2])
    assert verify_stream(day, synchronize(day)).is_exact


def test_merge_executions__the_two_sides_are_two_aggressors(venue):
    venue.submit(BID, 9_999, 1)
    start = venue.ts_ns
    venue.execute(ASK, 10)
    venue.ts_ns = start
    venue.execute(BID, 10)
    assert merge_executions(day_of(venue)).event_type.tolist() == [1, 4, 4]


def test_merge_executions__of_a_busy_market_is_exact(busy_venue):
    day = day_of(busy_venue, 3)
    merged = merge_executions(day)
    is_execution = day.event_type == EventType.EXECUTE_VISIBLE
    assert merged.num_rows < day.num_rows
    assert merged.size[merged.event_type == 4].sum() == day.size[is_execution].sum()
    assert verify_stream(merged, synchronize(merged)).is_exact
