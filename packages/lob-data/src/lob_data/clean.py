"""Named rules that reduce a day before it is prepared; each is an option and off by default."""

from __future__ import annotations

import dataclasses

import numpy as np
from lob_core.types import EventType

from lob_data.day import Day
from lob_data.errors import FormatError


def drop_hidden(day: Day) -> Day:
    """Leaves out executions of hidden orders (type 5), which never change the displayed book."""
    return day.take(np.flatnonzero(day.event_type != EventType.EXECUTE_HIDDEN))


def cut_session(day: Day, start_ns: int | None, end_ns: int | None) -> Day:
    """Keeps rows from `start_ns` up to, but not including, `end_ns` (ns since midnight).

    Raises:
        FormatError: if no row lies in the window.
    """
    start = 0 if start_ns is None else int(np.searchsorted(day.ts_ns, start_ns))
    end = day.num_rows if end_ns is None else int(np.searchsorted(day.ts_ns, end_ns))
    if start >= end:
        raise FormatError("has no row in the session window asked for", path=day.label)
    return day.take(slice(start, end))


def merge_executions(day: Day) -> Day:
    """Makes one execution of the run of executions that one aggressor caused.

    A marketable order shows as consecutive executions with one time stamp and one side. Those of
    displayed orders become one message, with their total size and the price of the last, which is
    the worst; the engine sweeps the book with it. Hidden executions of the run follow it. All rows
    of a run show the book after the whole run, since the books in between no longer occur.
    """
    kinds = (EventType.EXECUTE_VISIBLE, EventType.EXECUTE_HIDDEN)
    is_execution = np.isin(day.event_type, kinds)
    is_visible = day.event_type == EventType.EXECUTE_VISIBLE
    continues = np.zeros(day.num_rows, np.bool_)
    continues[1:] = (
        is_execution[1:]
        & is_execution[:-1]
        & (day.ts_ns[1:] == day.ts_ns[:-1])
        & (day.side[1:] == day.side[:-1])
    )
    run = np.cumsum(~continues) - 1
    num_runs = int(run[-1]) + 1
    rows = np.arange(day.num_rows)
    last_row = np.zeros(num_runs, np.intp)
    last_row[run] = rows
    visible = np.flatnonzero(is_visible)
    first_visible = np.full(num_runs, day.num_rows, np.intp)
    np.minimum.at(first_visible, run[visible], visible)
    last_visible = np.zeros(num_runs, np.intp)
    last_visible[run[visible]] = visible
    total = np.zeros(num_runs, np.int64)
    np.add.at(total, run[visible], day.size[visible])

    kept = np.flatnonzero(~is_visible | (rows == first_visible[run]))
    # Within a run the merged execution comes first: stable order by run, hidden ones after it.
    kept = kept[np.lexsort((kept, ~is_visible[kept], run[kept]))]
    is_merged = is_visible[kept]
    source = np.where(is_merged, last_visible[run[kept]], kept)
    merged = day.take(kept)
    return dataclasses.replace(
        merged,
        price=day.price[source],
        raw_price=day.raw_price[source],
        size=np.where(is_merged, total[run[kept]], merged.size).astype(np.int32),
        raw_size=np.where(is_merged, total[run[kept]], merged.raw_size),
        book_price=day.book_price[:, last_row[run[kept]]],
        book_size=day.book_size[:, last_row[run[kept]]],
    )
