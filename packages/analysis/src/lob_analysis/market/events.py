"""The table that market quality and realism work on: one row per event with the book after it.

| column | type | meaning |
|---|---|---|
| `time_ns` | Int64 | ns since midnight, never decreasing |
| `event_type` | Int8 | `lob_core.EventType`, LOBSTER's codes 1 to 7 |
| `side` | Int8 | `1` bid or `-1` ask, of the order named; in executions the resting one |
| `price` | Float64 | ticks (hidden executions may lie between ticks); null for crosses and halts |
| `size` | Int64 | shares of this event |
| `order_id` | Int64 | id of the order; optional |
| `bid_price`, `ask_price` | Float64 | best quotes after the event; null while a side is empty |
| `bid_size`, `ask_size` | Int64 | shares at them |
| `bid_depth`, `ask_depth` | Int64 | shares on all visible levels; optional |
| `level` | Int64 | level of `price` on its side, 1 the best: after a submission, before \
anything else; null where it is not in view; optional |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from lob_core.types import EventType, Side
from lob_data import LobDataError, PrepareOptions
from lob_data.day import Day
from lob_data.lobster import find_pairs
from lob_data.prepare import choose_pairs, load_day

from lob_analysis.errors import AnalysisError

REQUIRED: Final = {
    "time_ns": pl.Int64,
    "event_type": pl.Int8,
    "side": pl.Int8,
    "price": pl.Float64,
    "size": pl.Int64,
    "bid_price": pl.Float64,
    "ask_price": pl.Float64,
    "bid_size": pl.Int64,
    "ask_size": pl.Int64,
}
OPTIONAL: Final = {
    "order_id": pl.Int64,
    "bid_depth": pl.Int64,
    "ask_depth": pl.Int64,
    "level": pl.Int64,
}

EXECUTIONS: Final = (int(EventType.EXECUTE_VISIBLE), int(EventType.EXECUTE_HIDDEN))
CANCELS: Final = (int(EventType.CANCEL), int(EventType.DELETE))


def make_events(columns: dict[str, Any] | pl.DataFrame) -> pl.DataFrame:
    """An event table from columns, with types cast and checked.

    Args:
        columns: arrays or series by name; names beyond those of the module are dropped.

    Returns:
        The table.

    Raises:
        AnalysisError: if a column is missing, time goes back, or the book is crossed.
    """
    frame = pl.DataFrame(columns)
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise AnalysisError(f"an event table needs the columns {missing}")
    types = REQUIRED | {name: kind for name, kind in OPTIONAL.items() if name in frame.columns}
    frame = frame.select(pl.col(name).cast(kind) for name, kind in types.items())
    if frame.is_empty():
        raise AnalysisError("the event table has no rows")
    if not frame["time_ns"].is_sorted():
        row = int((frame["time_ns"].diff().fill_null(0) < 0).arg_max() or 0)
        raise AnalysisError(f"time goes back at row {row}")
    crossed = (frame["bid_price"] >= frame["ask_price"]).fill_null(value=False)
    if crossed.any():
        raise AnalysisError(f"the book is crossed or locked at row {crossed.arg_max()}")
    return frame


def events_of_day(day: Day) -> pl.DataFrame:
    """The event table of a day that `lob_data` has read."""
    price = np.where(day.event_type <= max(EXECUTIONS), day.raw_price / day.tick_units, np.nan)
    bids, asks = day.book_price[0, :, 0], day.book_price[1, :, 0]
    sizes = day.book_size
    return make_events(
        {
            "time_ns": day.ts_ns,
            "event_type": day.event_type,
            "side": day.side,
            "price": pl.Series(price, nan_to_null=True),
            "size": day.raw_size,
            "order_id": day.order,
            "bid_price": pl.Series(np.where(sizes[0, :, 0] > 0, bids, np.nan), nan_to_null=True),
            "ask_price": pl.Series(np.where(sizes[1, :, 0] > 0, asks, np.nan), nan_to_null=True),
            "bid_size": sizes[0, :, 0],
            "ask_size": sizes[1, :, 0],
            "bid_depth": sizes[0].sum(axis=1, dtype=np.int64),
            "ask_depth": sizes[1].sum(axis=1, dtype=np.int64),
            "level": _levels(day),
        }
    )


def _levels(day: Day) -> pl.Series:
    """Level of each message's price on its side: after a submission, before anything else."""
    rows = np.arange(day.num_rows)
    is_new = day.event_type == int(EventType.SUBMIT)
    seen = np.where(is_new, rows, np.maximum(rows - 1, 0))
    side = (day.side == int(Side.ASK)).astype(np.int64)
    is_there = (day.book_price[side, seen] == day.price[:, None]) & day.affects_book[:, None]
    level = is_there.argmax(axis=1) + 1
    return pl.Series(np.where(is_there.any(axis=1), level, -1)).replace(-1, None)


def read_events(
    folder: Path | str, *, ticker: str | None = None, level: int | None = None
) -> dict[str, pl.DataFrame]:
    """Event tables of the LOBSTER pairs in a folder, by label.

    Args:
        folder: folder, archive or file with LOBSTER pairs.
        ticker: stock to take; None takes the only one.
        level: book levels of the pair to take; None takes the only one.

    Raises:
        AnalysisError: if there is no such pair, or one cannot be read.
    """
    options = PrepareOptions(ticker=ticker, level=level)
    try:
        pairs, failures = find_pairs(folder)
        if failures:
            raise failures[0]
        chosen = choose_pairs(pairs, options)
        days = {pair.label: events_of_day(load_day(pair, options)[0]) for pair in chosen}
    except LobDataError as error:
        raise AnalysisError(str(error)) from error
    if not days:
        raise AnalysisError(f"{folder}: holds no LOBSTER pair")
    return days
