"""Plays a prepared stream: fast in numba to record books, and through `lob_core` to prove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from lob_core.packing import pack_messages
from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE, EventType

from lob_data.book_kernel import (
    ASK,
    BID,
    NONE,
    Book,
    add_order,
    make_book,
    reduce_order,
    submit,
    sweep,
)
from lob_data.errors import FormatError
from lob_data.schema import NS_PER_SECOND
from lob_data.sync import Stream


@dataclass(frozen=True)
class RowSummary:
    """What the book was like after each row; `D` rows, bids then asks.

    Attributes:
        num_orders: `[2, D]` int32, resting orders.
        edge: `[2, D]` int32, price of the last level in view, ticks; the worst price there is (1
            for bids, 2^31 - 1 for asks) when fewer levels are occupied than the file shows.
        num_in_view: `[2, D]` int32, orders resting at the levels in view.
    """

    num_orders: npt.NDArray[np.int32]
    edge: npt.NDArray[np.int32]
    num_in_view: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Snapshots:
    """Order books recorded at some rows; `W` of them, `N` slots a side, bids then asks.

    Slots are as in `lob_core.Orders`: best first, equal prices in order of arrival, free ones last.

    Attributes:
        price: `[2, W, N]` int32, ticks.
        size: `[2, W, N]` int32, shares.
        order_id: `[2, W, N]` int32.
        agent_id: `[2, W, N]` int32, `NO_AGENT` in free slots, else the background's.
    """

    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order_id: npt.NDArray[np.int32]

    @property
    def agent_id(self) -> npt.NDArray[np.int32]:
        """`[2, W, N]` int32; see the class."""
        return np.where(self.size > 0, 0, NO_AGENT).astype(np.int32)


class Messages(NamedTuple):
    """The columns of a stream that the replay kernels read."""

    event_type: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order_id: npt.NDArray[np.int32]
    row_start: npt.NDArray[np.int64]


def messages_of(stream: Stream) -> Messages:
    """The columns of `stream` that the kernels read."""
    s = stream
    return Messages(s.event_type, s.side, s.price, s.size, s.order_id, s.row_start)


def opening_of(stream: Stream) -> Book:
    """A book that holds the stream's opening orders and has room for the whole day."""
    # Levels at one time cannot outnumber orders at one time, nor both sides' largest numbers.
    book = make_book(stream.num_orders + 1, sum(stream.max_orders) + 64)
    for side, price, size, order_id in stream.opening.T:
        add_order(book, BID if side > 0 else ASK, side * price, size, order_id)
    return book


def summarize_rows(stream: Stream, num_levels: int) -> RowSummary:
    """Plays the whole stream and notes the shape of the book after each row.

    Args:
        stream: the prepared day.
        num_levels: levels a side that the recorded file shows.
    """
    shape = (2, len(stream.row_start) - 1)
    summary = RowSummary(*(np.zeros(shape, np.int32) for _ in range(3)))
    _summarize(
        opening_of(stream),
        messages_of(stream),
        num_levels,
        summary.num_orders,
        summary.edge,
        summary.num_in_view,
    )
    return summary


def record_books(
    stream: Stream,
    rows: npt.NDArray[np.int64],
    num_slots: int,
    keep_to: npt.NDArray[np.int32] | None = None,
) -> Snapshots:
    """The book just before each of `rows`, order by order.

    Args:
        stream: the prepared day.
        rows: `[W]` int64, ascending row numbers from 0.
        num_slots: `N`; must hold every order that is kept.
        keep_to: `[2, W]` int32, ticks; orders beyond this price are left out. None keeps all.

    Raises:
        ValueError: if a book holds more than `num_slots` orders a side.
    """
    shape = (2, len(rows), num_slots)
    books = Snapshots(*(np.full(shape, fill, np.int32) for fill in (NO_PRICE, 0, NO_ORDER)))
    if keep_to is None:
        limits = np.array([1, np.iinfo(np.int32).max], np.int32)[:, None]
        keep_to = np.ascontiguousarray(np.broadcast_to(limits, (2, len(rows))))
    most = _record(
        opening_of(stream),
        messages_of(stream),
        rows,
        keep_to,
        books.price,
        books.size,
        books.order_id,
    )
    if most > num_slots:
        raise ValueError(f"num_slots is {num_slots}; a recorded book has {most} orders on a side")
    return books


def pack_rows(
    stream: Stream, ts_ns: npt.NDArray[np.int64], first: int, end: int
) -> npt.NDArray[np.int32]:
    """Messages of rows `first` up to `end` in the device encoding of `lob_core.packing`.

    Args:
        stream: the prepared day.
        ts_ns: `[D]` int64, time of each row.
        first: first row.
        end: row behind the last.

    Returns:
        `[E, 4]` int32.

    Raises:
        FormatError: if a value does not fit 16 bytes; naming field, message, value and limit.
    """
    part = slice(int(stream.row_start[first]), int(stream.row_start[end]))
    times = np.repeat(ts_ns[first:end], np.diff(stream.row_start[first : end + 1]))
    try:
        return pack_messages(
            event_type=stream.event_type[part],
            side=stream.side[part],
            price=stream.price[part],
            size=stream.size[part],
            order_id=stream.order_id[part],
            time_s=times // NS_PER_SECOND,
            time_ns=times % NS_PER_SECOND,
            is_sync=stream.is_sync[part],
        )
    except ValueError as error:
        raise FormatError(f"a message does not fit 16 bytes on the device: {error}") from error


@numba.njit(cache=True)
def play_row(book: Book, messages: Messages, row: int) -> None:
    """Plays the messages of one row."""
    for at in range(messages.row_start[row], messages.row_start[row + 1]):
        kind = messages.event_type[at]
        side = BID if messages.side[at] > 0 else ASK
        price, size = messages.price[at], messages.size[at]
        order_id = messages.order_id[at]
        if kind == EventType.SUBMIT:
            submit(book, side, price, size, order_id)
        elif kind == EventType.CANCEL or kind == EventType.DELETE:
            held = book.order_size[order_id]
            if held > 0:
                reduce_order(book, side, order_id, held if kind == EventType.DELETE else size)
        elif kind == EventType.EXECUTE_VISIBLE:
            sweep(book, side, price if side == BID else -price, size)


@numba.njit(cache=True)
def _summarize(
    book: Book,
    messages: Messages,
    num_levels: int,
    num_orders: npt.NDArray[np.int32],
    edge: npt.NDArray[np.int32],
    num_in_view: npt.NDArray[np.int32],
) -> None:
    for row in range(len(messages.row_start) - 1):
        play_row(book, messages, row)
        for side in range(2):
            count = book.counts[side]
            num_orders[side, row] = book.counts[2 + side]
            edge[side, row] = 1 if side == BID else 2**31 - 1
            if count >= num_levels:
                edge[side, row] = abs(book.level_key[book.ladder[side, count - num_levels]])
            in_view = 0
            for position in range(max(0, count - num_levels), count):
                order = book.level_front[book.ladder[side, position]]
                while order != NONE:
                    in_view += 1
                    order = book.behind[order]
            num_in_view[side, row] = in_view


@numba.njit(cache=True)
def _record(
    book: Book,
    messages: Messages,
    rows: npt.NDArray[np.int64],
    keep_to: npt.NDArray[np.int32],
    prices: npt.NDArray[np.int32],
    sizes: npt.NDArray[np.int32],
    order_ids: npt.NDArray[np.int32],
) -> int:
    """Fills the snapshots; returns the largest number of orders that one side had to hold."""
    num_slots = prices.shape[2]
    played = 0
    most = 0
    for w in range(len(rows)):
        while played < rows[w]:
            play_row(book, messages, played)
            played += 1
        for side in range(2):
            worst = keep_to[side, w] if side == BID else -keep_to[side, w]
            slot = 0
            for position in range(book.counts[side] - 1, -1, -1):
                level = book.ladder[side, position]
                if book.level_key[level] < worst:
                    break
                order = book.level_front[level]
                while order != NONE:
                    if slot < num_slots:
                        prices[side, w, slot] = abs(book.level_key[level])
                        sizes[side, w, slot] = book.order_size[order]
                        order_ids[side, w, slot] = order
                    slot += 1
                    order = book.behind[order]
            most = max(most, slot)
    return most
