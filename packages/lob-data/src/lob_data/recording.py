"""Rows of a LOBSTER pair from a stream of engine messages: what a venue would have recorded."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from lob_core.types import EventType

from lob_data.book_kernel import ASK, BID, Book, add_order, reduce_order


class Flow(NamedTuple):
    """Messages of a model; leaves `[M]`."""

    event_type: npt.NDArray[np.int32]
    side: npt.NDArray[np.int32]
    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order_id: npt.NDArray[np.int32]
    ts_ns: npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Rows of a LOBSTER pair; `[C]` columns, books `[2, C, L]`."""

    ts_ns: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    order_id: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    price: npt.NDArray[np.int32]
    side: npt.NDArray[np.int8]
    book_price: npt.NDArray[np.int32]
    book_size: npt.NDArray[np.int64]


def make_rows(book: Book, flow: Flow, num_levels: int) -> Rows:
    """LOBSTER rows of a message stream: every event that changes the levels in view.

    Args:
        book: the book before the first message, with room for all orders; left as after the last.
        flow: the messages, `SUBMIT`, `MARKET`, `CANCEL` and `DELETE`; others are passed over.
        num_levels: `L`, levels a side in view.
    """
    num_orders = int((book.order_size > 0).sum()) + len(flow.ts_ns)
    capacity = len(flow.ts_ns) + num_orders  # each order rests once and is used up once
    rows = Rows(
        ts_ns=np.zeros(capacity, np.int64),
        event_type=np.zeros(capacity, np.int8),
        order_id=np.zeros(capacity, np.int32),
        size=np.zeros(capacity, np.int32),
        price=np.zeros(capacity, np.int32),
        side=np.zeros(capacity, np.int8),
        book_price=np.zeros((2, capacity, num_levels), np.int32),
        book_size=np.zeros((2, capacity, num_levels), np.int64),
    )
    shown = np.zeros((2, 2, num_levels), np.int64)
    _show(book, shown)
    count = _fill_rows(book, flow, rows, shown)
    cut = {name: getattr(rows, name)[:count] for name in Rows._fields[:-2]}
    return Rows(**cut, book_price=rows.book_price[:, :count], book_size=rows.book_size[:, :count])


@numba.njit(cache=True)
def _show(book: Book, shown: npt.NDArray[np.int64]) -> bool:
    """Writes prices and sizes in view to `shown` `[2, 2, L]`; returns whether they changed."""
    has_changed = False
    for side in range(2):
        for level in range(shown.shape[2]):
            price, size = 0, 0
            if level < book.counts[side]:
                slot = book.ladder[side, book.counts[side] - 1 - level]
                price, size = abs(book.level_key[slot]), book.level_total[slot]
            if shown[side, 0, level] != price or shown[side, 1, level] != size:
                has_changed = True
                shown[side, 0, level] = price
                shown[side, 1, level] = size
    return has_changed


@numba.njit(cache=True)
def _add_row(
    book: Book,
    rows: Rows,
    shown: npt.NDArray[np.int64],
    at: int,
    ts_ns: int,
    event_type: int,
    order_id: int,
    size: int,
    key: int,
    side: int,
) -> int:
    """Writes an event that has happened, if it shows; returns the number of rows."""
    if not _show(book, shown):
        return at
    rows.ts_ns[at] = ts_ns
    rows.event_type[at] = event_type
    rows.order_id[at] = order_id
    rows.size[at] = size
    rows.price[at] = abs(key)
    rows.side[at] = 1 if side == BID else -1
    rows.book_price[:, at] = shown[:, 0]
    rows.book_size[:, at] = shown[:, 1]
    return at + 1


@numba.njit(cache=True)
def _fill_rows(book: Book, flow: Flow, rows: Rows, shown: npt.NDArray[np.int64]) -> int:
    """Plays the flow and writes its rows; returns how many there are."""
    at = 0
    for i in range(len(flow.ts_ns)):
        kind, ts_ns, order_id = flow.event_type[i], flow.ts_ns[i], flow.order_id[i]
        side = BID if flow.side[i] > 0 else ASK
        sign = 1 if side == BID else -1
        if kind == EventType.DELETE or kind == EventType.CANCEL:
            if book.order_size[order_id] == 0:
                continue
            held = book.order_size[order_id]
            key = book.level_key[book.order_level[order_id]]
            taken = held if kind == EventType.DELETE else min(held, flow.size[i])
            reduce_order(book, side, order_id, taken)
            event = EventType.DELETE if taken == held else EventType.CANCEL
            at = _add_row(book, rows, shown, at, ts_ns, event, order_id, taken, key, side)
        elif kind == EventType.SUBMIT or kind == EventType.MARKET:
            left = flow.size[i]
            other = 1 - side
            while left > 0 and book.counts[other] > 0:
                level = book.ladder[other, book.counts[other] - 1]
                key = book.level_key[level]
                if kind == EventType.SUBMIT and key < -sign * flow.price[i]:
                    break
                maker = book.level_front[level]
                taken = min(left, book.order_size[maker])
                reduce_order(book, other, maker, taken)
                left -= taken
                event = EventType.EXECUTE_VISIBLE
                at = _add_row(book, rows, shown, at, ts_ns, event, maker, taken, key, other)
            if left > 0 and kind == EventType.SUBMIT:
                key = sign * flow.price[i]
                add_order(book, side, key, left, order_id)
                event = EventType.SUBMIT
                at = _add_row(book, rows, shown, at, ts_ns, event, order_id, left, key, side)
    return at
