"""Hand-made LOBSTER data for tests: a small venue that records what a level-k file would show."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from lob_core.types import EventType, Side

from lob_data.lobster import Pair, RawDay
from lob_data.schema import CENT, DUMMY_PRICE, format_time
from lob_data.sources import FileName, Source

MessageRow = tuple[int, int, int, int, int, int]
"""Time in ns, event type, order id, size, price in 1/10000 dollar, direction."""

Levels = dict[int, list[tuple[int, int]]]
"""Price in ticks and shares of each occupied level by side, best first."""


@dataclass
class RestingOrder:
    """One order of the venue."""

    side: int
    price: int
    size: int


@dataclass
class Venue:
    """An exchange with a full book, which reports as LOBSTER does.

    Every method that trades or quotes records the event and the whole book after it; `rows` then
    cuts the record down to what a file of some level holds.

    Attributes:
        ts_ns: time of the next event; each event adds a microsecond.
        orders: resting orders by id, in order of arrival.
        next_id: id of the next order.
    """

    ts_ns: int = 34_200_000_000_000
    orders: dict[int, RestingOrder] = field(default_factory=dict)
    next_id: int = 10_000_000_000
    _events: list[tuple[MessageRow, Levels]] = field(default_factory=list)
    _opening: Levels | None = None

    def seed(self, side: int, price: int, size: int) -> int:
        """Rests an order that the record never mentions: it was there before the file began."""
        self.next_id += 7
        self.orders[self.next_id] = RestingOrder(side, price, size)
        return self.next_id

    def submit(self, side: int, price: int, size: int) -> int:
        """Rests an order (it must not cross); prices in ticks of a cent."""
        self._open()
        order_id = self.seed(side, price, size)
        self._record(EventType.SUBMIT, order_id, size, price * CENT, side)
        return order_id

    def cancel(self, order_id: int, size: int) -> None:
        """Takes `size` shares off an order, less than it has."""
        self._open()
        order = self.orders[order_id]
        order.size -= size
        self._record(EventType.CANCEL, order_id, size, order.price * CENT, order.side)

    def delete(self, order_id: int) -> None:
        """Takes an order away."""
        self._open()
        order = self.orders.pop(order_id)
        self._record(EventType.DELETE, order_id, order.size, order.price * CENT, order.side)

    def execute(self, side: int, size: int) -> None:
        """A market order against `side`, one event for each order it hits, at one time."""
        self._open()
        ts_ns = self.ts_ns
        while size > 0 and self.levels(side):
            best = self.levels(side)[0][0]
            order_id, order = next(
                (i, o) for i, o in self.orders.items() if (o.side, o.price) == (side, best)
            )
            traded = min(size, order.size)
            order.size -= traded
            if order.size == 0:
                del self.orders[order_id]
            size -= traded
            self.ts_ns = ts_ns
            self._record(EventType.EXECUTE_VISIBLE, order_id, traded, best * CENT, side)

    def report(self, event_type: int, order_id: int, size: int, raw_price: int, side: int) -> None:
        """Records an event that leaves the displayed book alone (types 5, 6 and 7)."""
        self._open()
        self._record(event_type, order_id, size, raw_price, side)

    def levels(self, side: int) -> list[tuple[int, int]]:
        """Price in ticks and shares of each occupied level, best first."""
        totals: dict[int, int] = {}
        for order in self.orders.values():
            if order.side == side:
                totals[order.price] = totals.get(order.price, 0) + order.size
        return sorted(totals.items(), reverse=side == Side.BID)

    def _open(self) -> None:
        """Remembers the book before the first event."""
        if self._opening is None:
            self._opening = {side: self.levels(side) for side in (Side.BID, Side.ASK)}

    def _record(self, event_type: int, order_id: int, size: int, price: int, side: int) -> None:
        message = (self.ts_ns, int(event_type), order_id, size, price, int(side))
        self._events.append((message, {s: self.levels(s) for s in (Side.BID, Side.ASK)}))
        self.ts_ns += 1000

    def rows(self, num_levels: int) -> tuple[list[MessageRow], list[list[int]]]:
        """Message and order book rows of a file of `num_levels` levels."""
        return cut_to_levels(self._opening or {}, self._events, num_levels)


def cut_to_levels(
    opening: Levels, events: list[tuple[MessageRow, Levels]], num_levels: int
) -> tuple[list[MessageRow], list[list[int]]]:
    """What a file of `num_levels` levels holds of a day.

    Kept are events of types 1 to 4 that change the levels in view, and all others.

    Args:
        opening: the whole book before the first event.
        events: each event, with the whole book after it.
        num_levels: levels in view.

    Returns:
        Message rows and order book rows.
    """
    messages: list[MessageRow] = []
    books: list[list[int]] = []
    shown = _shown_row(opening, num_levels)
    for message, levels in events:
        row = _shown_row(levels, num_levels)
        if message[1] > EventType.EXECUTE_VISIBLE or row != shown:
            messages.append(message)
            books.append(row)
        shown = row
    return messages, books


def _shown_row(levels: Levels, num_levels: int) -> list[int]:
    """An order book row."""
    row: list[int] = []
    for level in range(num_levels):
        for side in (Side.ASK, Side.BID):
            occupied = levels.get(side, [])
            if level < len(occupied):
                price, size = occupied[level]
                row += [price * CENT, size]
            else:
                row += [-side * DUMMY_PRICE, 0]
    return row


def file_pair(folder: Path, num_levels: int, ticker: str = "TEST", day: str = "2012-06-21") -> Pair:
    """The pair of files of that name in `folder`, whether or not they are there."""
    names = [f"{ticker}_{day}_34200000_57600000_{k}_{num_levels}" for k in ("message", "orderbook")]
    parsed = FileName.parse(f"{names[0]}.csv")
    if parsed is None:
        raise ValueError(f"{names[0]}.csv is no LOBSTER file name")
    return Pair(parsed, *(Source(folder / f"{name}.csv") for name in names))


def write_pair(
    folder: Path,
    messages: list[MessageRow],
    books: list[list[int]],
    ticker: str = "TEST",
    day: str = "2012-06-21",
    *,
    compress: bool = False,
) -> Pair:
    """Writes rows as a LOBSTER pair, plain or gzipped."""
    pair = file_pair(folder, len(books[0]) // 4, ticker, day)
    folder.mkdir(parents=True, exist_ok=True)
    texts = (
        "".join(f"{format_time(m[0])},{','.join(map(str, m[1:]))}\n" for m in messages),
        "".join(",".join(map(str, row)) + "\n" for row in books),
    )
    sources = []
    for source, text in zip((pair.messages, pair.books), texts, strict=True):
        path = source.path
        if compress:
            path = path.with_name(f"{path.name}.gz")
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        sources.append(Source(path))
    return Pair(pair.name, *sources)


def raw_day(messages: list[MessageRow], books: list[list[int]]) -> RawDay:
    """Rows as if they had been read from a pair."""
    num_levels = len(books[0]) // 4
    columns = np.array(messages, np.int64).T
    return RawDay(
        pair=file_pair(Path("memory"), num_levels),
        sha256=("0" * 64, "0" * 64),
        ts_ns=columns[0],
        event_type=columns[1],
        order_id=columns[2],
        size=columns[3],
        price=columns[4],
        side=columns[5],
        books=np.array(books, np.int64).T.copy(),
        csv_bytes=0,
    )
