"""Recorded order flow as the models of `lob_core.flow` see it: events, books and sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from lob_core.types import EventType, Side

from lob_data.book_kernel import ASK, BID, Book
from lob_data.calibration.exposure_kernel import CANCEL, LIMIT, MARKET, OTHER
from lob_data.errors import OptionError, StoreError
from lob_data.manifest import SPLIT_NAMES, SplitName
from lob_data.replay import Messages, messages_of, opening_of, play_row
from lob_data.schema import NS_PER_SECOND
from lob_data.store import Store
from lob_data.sync import Stream

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FlowPart:
    """One segment of a recorded day; columns cover the whole day, `D` rows.

    Attributes:
        rows: the segment's first row and the one behind its last.
        ts_ns: `[D]` int64, ns since midnight.
        kind: `[D]` int8, `LIMIT`, `CANCEL`, `MARKET` (the first execution that an aggressor
            caused) or `OTHER`.
        side: `[D]` int8, side of the order named; of a market order, the side it hits.
        price: `[D]` int32, ticks.
        size: `[D]` int64, shares; of a market order, all that its aggressor took.
        stream: the prepared messages of the day.
        num_levels_seen: levels a side that the file shows.
    """

    rows: tuple[int, int]
    ts_ns: Int64
    kind: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    size: Int64
    stream: Stream
    num_levels_seen: int

    def opening(self) -> Book:
        """A fresh book as it stood before the day's first row."""
        return opening_of(self.stream)

    @property
    def messages(self) -> Messages:
        """The stream's columns as kernels read them."""
        return messages_of(self.stream)

    def opposite_distance(self) -> npt.NDArray[np.int32]:
        """`[D]` int32, ticks from each row's price to the opposite best quote just before it.

        Rows before the segment, and those without an opposite quote, have 0.
        """
        distance = np.zeros(len(self.ts_ns), np.int32)
        _measure(self.opening(), self.messages, *self.rows, self.side, self.price, distance)
        return distance


@dataclass(frozen=True)
class FlowData:
    """The segments to fit to.

    Attributes:
        parts: the segments, in order of day and time.
        first_price: mean of the best quotes at the start of the first day, ticks.
        first_time_s: whole seconds since midnight of its first row.
    """

    parts: list[FlowPart]
    first_price: int
    first_time_s: int

    def sizes(self, kind: int) -> Int64:
        """Shares of every event of a kind, in order."""
        rows = [(part, slice(*part.rows)) for part in self.parts]
        return np.concatenate([part.size[r][part.kind[r] == kind] for part, r in rows])


def collect_flow(store: Store, ticker: str | None, split: SplitName | None) -> FlowData:
    """Reads the segments of one stock and one part of the data.

    Args:
        store: an opened store.
        ticker: the stock; may be None if the store holds one.
        split: the part of the data; None takes all.

    Raises:
        OptionError: if the stock must be chosen, or is not there.
        StoreError: if there is no limit order, no cancellation or no market order.
    """
    tickers = sorted({day.ticker for day in store.manifest.days})
    if ticker is None and len(tickers) > 1:
        raise OptionError(f"the store holds {', '.join(tickers)}; choose a ticker")
    if ticker is not None and ticker not in tickers:
        raise OptionError(f"ticker is {ticker!r}; the store holds {', '.join(tickers)}")
    splits = store.manifest.splits
    segments = [s for name in SPLIT_NAMES for s in splits[name] if split in (None, name)]
    parts: list[FlowPart] = []
    for entry in store.manifest.days:
        own = [s for s in segments if s.day == entry.label and ticker in (None, entry.ticker)]
        if own:
            whole = _whole_day(store, entry.label, entry.level)
            parts += [
                FlowPart(**{**vars(whole), "rows": (s.row_start, s.row_end)})
                for s in sorted(own, key=lambda s: s.row_start)
            ]
    kinds = [part.kind[slice(*part.rows)] for part in parts]
    if not all(any((kind == k).any() for kind in kinds) for k in (LIMIT, CANCEL, MARKET)):
        where = "the store" if split is None else f"split {split!r}"
        raise StoreError(f"{where} holds too little order flow to fit a model to", path=store.path)
    side, price = parts[0].stream.opening[:2]
    best = [price[side == s][:1].astype(np.int64) for s in (Side.BID, Side.ASK)]
    first_price = int(np.concatenate(best).mean()) if len(best[0]) + len(best[1]) else 1
    return FlowData(parts, first_price, int(parts[0].ts_ns[0] // NS_PER_SECOND))


def _whole_day(store: Store, label: str, level: int) -> FlowPart:
    """A day as one part."""
    day, events = store.day(label), store.events(label)
    kind, side = events["event_type"].to_numpy(), events["side"].to_numpy()
    size = events["size"].to_numpy().astype(np.int64)
    price = events["price"].fill_null(0).cast(int).to_numpy().astype(np.int32)
    run = _aggressor_runs(kind, side, day.ts_ns)
    event = np.full(len(kind), OTHER, np.int8)
    event[kind == EventType.SUBMIT] = LIMIT
    event[kind == EventType.DELETE] = CANCEL
    visible = np.flatnonzero(kind == EventType.EXECUTE_VISIBLE)
    _, first, index = np.unique(run[visible], return_index=True, return_inverse=True)
    event[visible[first]] = MARKET
    taken = np.zeros(len(first), np.int64)
    np.add.at(taken, index, size[visible])
    size[visible[first]] = taken
    rows = (0, len(kind))
    return FlowPart(rows, day.ts_ns, event, side, price, size, day.stream, level)


def _aggressor_runs(kind: npt.NDArray[np.int8], side: npt.NDArray[np.int8], ts_ns: Int64) -> Int64:
    """`[D]`, numbers that are equal for the executions one aggressor caused."""
    is_execution = np.isin(kind, (EventType.EXECUTE_VISIBLE, EventType.EXECUTE_HIDDEN))
    starts = np.ones(len(kind), np.bool_)
    starts[1:] = ~(
        is_execution[1:] & is_execution[:-1] & (ts_ns[1:] == ts_ns[:-1]) & (side[1:] == side[:-1])
    )
    return np.cumsum(starts)


@numba.njit(cache=True)
def best_price(book: Book, side: int) -> int:
    """Best price of a side in ticks, 0 if it is empty."""
    count = book.counts[side]
    if count == 0:
        return 0
    price: int = abs(book.level_key[book.ladder[side, count - 1]])
    return price


@numba.njit(cache=True)
def _measure(
    book: Book,
    messages: Messages,
    first: int,
    end: int,
    row_side: npt.NDArray[np.int8],
    row_price: npt.NDArray[np.int32],
    distance: npt.NDArray[np.int32],
) -> None:
    for row in range(end):
        if row >= first:
            opposite = best_price(book, ASK if row_side[row] > 0 else BID)
            if opposite > 0:
                distance[row] = abs(opposite - row_price[row])
        play_row(book, messages, row)
