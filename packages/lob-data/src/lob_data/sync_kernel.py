"""The sequential pass behind `lob_data.sync`: one walk over messages and book rows, in numba."""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from lob_core.types import NO_PRICE, EventType

from lob_data.book_kernel import (
    ASK,
    BID,
    NONE,
    Book,
    level_at,
    reduce_order,
    submit,
    sweep,
)
from lob_data.schema import MAX_SIZE

_NOOP: Final = int(EventType.NOOP)
_SUBMIT: Final = int(EventType.SUBMIT)
_CANCEL: Final = int(EventType.CANCEL)
_DELETE: Final = int(EventType.DELETE)
_EXECUTE: Final = int(EventType.EXECUTE_VISIBLE)

NUM_OUT, NEXT_ID, MAX_BIDS, MAX_ASKS, STAND_INS = range(5)
"""Counters of the pass, positions in its state: messages and ids so far, most orders, stand-ins."""
NUM_COUNTERS: Final = 5


class Output(NamedTuple):
    """Growing arrays of the stream."""

    event_type: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order_id: npt.NDArray[np.int32]


class Names(NamedTuple):
    """Which order of the stream stands for which recorded order."""

    stream_id: npt.NDArray[np.int32]  # by recorded order, NONE if not in the book
    recorded: npt.NDArray[np.int32]  # by stream id, NONE for a pseudo order


class Rows(NamedTuple):
    """The recorded day as the kernel reads it."""

    event_type: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order: npt.NDArray[np.int32]
    book_price: npt.NDArray[np.int32]
    book_size: npt.NDArray[np.int32]


@numba.njit(cache=True)
def synchronize_rows(
    rows: Rows,
    row: int,
    book: Book,
    names: Names,
    output: Output,
    state: npt.NDArray[np.int64],
    row_start: npt.NDArray[np.int64],
    slack: int,
) -> int:
    """Prepares rows from `row` on until done or out of room; returns the next row to prepare."""
    num_rows = len(rows.event_type)
    while row < num_rows:
        # A row can at worst delete every order, and add each level of both sides anew.
        needed = book.counts[2] + book.counts[3] + slack + 1
        is_full = state[NUM_OUT] + needed > len(output.price)
        is_full |= state[NEXT_ID] + slack + 1 > len(names.recorded)
        if is_full or book.counts[4] < slack + 1:
            return row
        row_start[row] = state[NUM_OUT]
        _apply_recorded(rows, row, book, names, output, state)
        lacks_bids = _remove_excess(rows, row, BID, book, output, state)
        lacks_asks = _remove_excess(rows, row, ASK, book, output, state)
        # Only now that nothing stale is in view can no addition cross the other side.
        if lacks_bids:
            _add_missing(rows, row, BID, book, names, output, state)
        if lacks_asks:
            _add_missing(rows, row, ASK, book, names, output, state)
        row += 1
    return row


@numba.njit(cache=True)
def _emit(
    output: Output,
    state: npt.NDArray[np.int64],
    event_type: int,
    side: int,
    price: int,
    size: int,
    order_id: int,
) -> None:
    at = state[NUM_OUT]
    output.event_type[at] = event_type
    output.side[at] = 1 if side == BID else -1
    output.price[at] = price
    output.size[at] = size
    output.order_id[at] = order_id
    state[NUM_OUT] += 1


@numba.njit(cache=True)
def _submit_new(
    book: Book,
    names: Names,
    output: Output,
    state: npt.NDArray[np.int64],
    side: int,
    price: int,
    size: int,
    recorded: int,
) -> None:
    """Sends a new order that stands for the order `recorded`; `NONE` makes it a pseudo order."""
    order_id = state[NEXT_ID]
    state[NEXT_ID] += 1
    names.recorded[order_id] = recorded
    if recorded != NONE:
        names.stream_id[recorded] = order_id
    _emit(output, state, _SUBMIT, side, price, size, order_id)
    submit(book, side, price, size, order_id)
    state[MAX_BIDS + side] = max(state[MAX_BIDS + side], book.counts[2 + side])


@numba.njit(cache=True)
def _take_from(
    book: Book,
    output: Output,
    state: npt.NDArray[np.int64],
    side: int,
    order_id: int,
    size: int,
) -> None:
    """Sends a cancel of `size` shares of a resting order, a delete if that is all of it."""
    price = abs(book.level_key[book.order_level[order_id]])
    kind = _DELETE if size >= book.order_size[order_id] else _CANCEL
    _emit(output, state, kind, side, price, size, order_id)
    reduce_order(book, side, order_id, size)


@numba.njit(cache=True)
def _apply_recorded(
    rows: Rows,
    row: int,
    book: Book,
    names: Names,
    output: Output,
    state: npt.NDArray[np.int64],
) -> None:
    """Sends the one message that stands for a recorded row."""
    kind = rows.event_type[row]
    side = BID if rows.side[row] > 0 else ASK
    price, recorded = rows.price[row], rows.order[row]
    size = rows.size[row]
    if kind > _EXECUTE:
        _emit(output, state, kind, side, NO_PRICE, size, 0)
        return
    size = min(size, MAX_SIZE)
    key = price if side == BID else -price
    if kind == _SUBMIT:
        _submit_new(book, names, output, state, side, price, size, recorded)
        return
    named = names.stream_id[recorded]
    level = level_at(book, side, key)
    is_known = named != NONE and level != NONE and book.order_level[named] == level
    if kind == _EXECUTE:
        if is_known:
            _swap_names(book, names, named, book.level_front[level])
        _emit(output, state, kind, side, price, size, 0)
        sweep(book, side, key, size)
        return
    if is_known:
        taken = book.order_size[named] if kind == _DELETE else size
        _take_from(book, output, state, side, named, taken)
        return
    if level == NONE:
        _emit(output, state, _NOOP, side, price, size, 0)
        return
    stand_in = _find_stand_in(book, names, level, size)
    _take_from(book, output, state, side, stand_in, min(size, book.order_size[stand_in]))
    state[STAND_INS] += 1


@numba.njit(cache=True)
def _swap_names(book: Book, names: Names, named: int, front: int) -> None:
    """Lets the order at the front of the queue, which the engine will hit, be the one named."""
    if named == front:
        return
    a, b = names.recorded[named], names.recorded[front]
    names.recorded[named], names.recorded[front] = b, a
    names.stream_id[a] = front
    if b != NONE:
        names.stream_id[b] = named


@numba.njit(cache=True)
def _find_stand_in(book: Book, names: Names, level: int, size: int) -> int:
    """The order of a level that an unknown order most likely is.

    First a pseudo order that is large enough (they hold what was never reported), then an order
    of just this size (its deletion out of view may have been missed), then the largest one.
    """
    exact = largest = NONE
    order: int = book.level_front[level]
    while order != NONE:
        if names.recorded[order] == NONE and book.order_size[order] >= size:
            return order
        if book.order_size[order] == size:
            exact = order
        if largest == NONE or book.order_size[order] > book.order_size[largest]:
            largest = order
        order = book.behind[order]
    return exact if exact != NONE else largest


@numba.njit(cache=True)
def _remove_excess(
    rows: Rows,
    row: int,
    side: int,
    book: Book,
    output: Output,
    state: npt.NDArray[np.int64],
) -> bool:
    """Removes what is in view beyond what was recorded; returns whether anything is lacking."""
    sign = 1 if side == BID else -1
    prices, sizes = rows.book_price[side, row], rows.book_size[side, row]
    num_levels = len(prices)
    lacks_some = False
    j = 0
    position = book.counts[side] - 1
    while position >= 0:
        level = book.ladder[side, position]
        key = book.level_key[level]
        while j < num_levels and prices[j] != NO_PRICE and sign * prices[j] > key:
            lacks_some = True
            j += 1
        if j == num_levels:
            return lacks_some
        wanted = 0
        if prices[j] != NO_PRICE and sign * prices[j] == key:
            wanted = sizes[j]
            j += 1
        total = book.level_total[level]
        if total > wanted:
            _shrink_level(book, output, state, side, level, wanted)
        lacks_some |= total < wanted
        position -= 1
    return lacks_some or (j < num_levels and prices[j] != NO_PRICE)


@numba.njit(cache=True)
def _shrink_level(
    book: Book,
    output: Output,
    state: npt.NDArray[np.int64],
    side: int,
    level: int,
    wanted: int,
) -> None:
    """Brings a level down to `wanted` shares by as few messages as it can tell.

    An order of just the excess is the likeliest to have been deleted out of view (the newest, if
    there are several); without one the excess is taken from the back of the queue.
    """
    excess = book.level_total[level] - wanted
    order = book.level_back[level]
    while order != NONE and wanted > 0:
        if book.order_size[order] == excess:
            _take_from(book, output, state, side, order, excess)
            return
        order = book.ahead[order]
    while excess > 0:
        order = book.level_back[level]
        taken = min(excess, book.order_size[order])
        _take_from(book, output, state, side, order, taken)
        excess -= taken


@numba.njit(cache=True)
def _add_missing(
    rows: Rows,
    row: int,
    side: int,
    book: Book,
    names: Names,
    output: Output,
    state: npt.NDArray[np.int64],
) -> None:
    """Adds pseudo orders where a recorded level holds more than the book shows."""
    sign = 1 if side == BID else -1
    for j in range(rows.book_price.shape[2]):
        price = rows.book_price[side, row, j]
        if price == NO_PRICE:
            return
        level = level_at(book, side, sign * price)
        missing = int(rows.book_size[side, row, j])
        if level != NONE:
            missing -= book.level_total[level]
        while missing > 0:
            part = MAX_SIZE if missing > MAX_SIZE else missing
            _submit_new(book, names, output, state, side, price, part, NONE)
            missing -= part
