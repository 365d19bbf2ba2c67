"""Synchronising messages, so that replay equals the recorded book in every row.

A level-k file reports only what changes its k levels: what happens outside is not reported, and a
level that slides into view does so without a message. `synchronize` plays the recorded messages
through a book with the semantics of `lob_core` and, after each row, adds the messages that turn
what that book shows into what was recorded. Levels that slide out of view are kept as they were and
corrected only when they come back. docs/replay.md tells the whole algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from lob_core.types import NO_PRICE, EventType

from lob_data.book_kernel import ASK, BID, NONE, add_order, grow_book, make_book
from lob_data.day import Day
from lob_data.errors import FormatError
from lob_data.schema import MAX_ORDER_ID, MAX_SIZE
from lob_data.sync_kernel import (
    MAX_ASKS,
    MAX_BIDS,
    NEXT_ID,
    NUM_COUNTERS,
    NUM_OUT,
    STAND_INS,
    Names,
    Output,
    Rows,
    synchronize_rows,
)


@dataclass(frozen=True)
class Stream:
    """A day's prepared messages; `E` of them, for `D` recorded rows.

    The first message of a row is the recorded one; those that follow it up to the next row are
    synchronising. Only order ids of this stream occur in it: orders are numbered from 1 as they
    first appear, those of the opening book first.

    Attributes:
        event_type: `[E]` int8, `lob_core.EventType`; NOOP for a recorded removal that has nothing
            to act on in the book.
        side: `[E]` int8.
        price: `[E]` int32, ticks; `NO_PRICE` for types 5 to 7.
        size: `[E]` int32, shares; of a halt marker as in `Day.size`.
        order_id: `[E]` int32; zero for executions and for types 5 to 7.
        is_sync: `[E]` bool, whether the message is synchronising rather than recorded.
        row_start: `[D + 1]` int64; the messages of row i are `row_start[i]` to `row_start[i + 1]`.
        opening: `[4, O]` int32, orders standing before the first row: side (1 or -1), price, size,
            id; bids then asks, each in priority order.
        max_orders: the largest number of orders at one time, (bids, asks).
        num_orders: order ids in use, 1 to this.
        num_stand_ins: recorded removals that act on another order, because the one they name
            entered before the file begins or out of view.
    """

    event_type: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order_id: npt.NDArray[np.int32]
    is_sync: npt.NDArray[np.bool_]
    row_start: npt.NDArray[np.int64]
    opening: npt.NDArray[np.int32]
    max_orders: tuple[int, int]
    num_orders: int
    num_stand_ins: int

    @property
    def sync_share(self) -> float:
        """Synchronising messages per recorded row."""
        return float(self.is_sync.sum()) / (len(self.row_start) - 1)


def synchronize(day: Day) -> Stream:
    """Turns a recorded day into messages whose replay shows every level of every recorded row.

    Args:
        day: a checked day.

    Returns:
        The prepared stream.

    Raises:
        FormatError: if the day needs more order ids than the device encoding holds.
    """
    num_rows = day.num_rows
    rows = Rows(
        day.event_type, day.side, day.price, day.size, day.order, day.book_price, day.book_size
    )
    opening = opening_book(day)
    num_opening = opening.shape[1]
    slack = 2 * day.num_levels * (1 + int(day.book_size.max()) // MAX_SIZE) + 1
    num_ids = num_opening + 1 + num_rows + slack
    book = make_book(num_ids, 4096)
    recorded_ids = np.full(int(day.order.max()) + 1, NONE, np.int32)
    names = Names(recorded_ids, np.full(num_ids, NONE, np.int32))
    for side, price, size, order_id in opening.T:
        add_order(book, BID if side > 0 else ASK, side * price, size, order_id)
    state = np.zeros(NUM_COUNTERS, np.int64)
    state[NEXT_ID] = num_opening + 1
    state[MAX_BIDS], state[MAX_ASKS] = book.counts[2], book.counts[3]
    output = _make_output(num_rows + num_rows // 2 + num_opening + slack)
    row_start = np.zeros(num_rows + 1, np.int64)
    row = 0
    while row < num_rows:
        row = synchronize_rows(rows, row, book, names, output, state, row_start, slack)
        if row < num_rows:
            output = _grow_output(output, 2 * len(output.price) + int(book.counts[2:4].sum()))
            num_ids = 2 * len(names.recorded)
            recorded = np.full(num_ids, NONE, np.int32)
            recorded[: len(names.recorded)] = names.recorded
            names = Names(names.stream_id, recorded)
            book = grow_book(book, num_ids, 2 * len(book.level_key) + slack)
    num_orders = int(state[NEXT_ID]) - 1
    if num_orders > MAX_ORDER_ID:
        raise FormatError(
            f"needs {num_orders} order ids; the device encoding holds {MAX_ORDER_ID}",
            path=day.label,
        )
    num_out = int(state[NUM_OUT])
    row_start[num_rows] = num_out
    is_sync = np.ones(num_out, np.bool_)
    is_sync[row_start[:-1]] = False
    return Stream(
        event_type=output.event_type[:num_out].copy(),
        side=output.side[:num_out].copy(),
        price=output.price[:num_out].copy(),
        size=output.size[:num_out].copy(),
        order_id=output.order_id[:num_out].copy(),
        is_sync=is_sync,
        row_start=row_start,
        opening=opening,
        max_orders=(int(state[MAX_BIDS]), int(state[MAX_ASKS])),
        num_orders=num_orders,
        num_stand_ins=int(state[STAND_INS]),
    )


def opening_book(day: Day) -> npt.NDArray[np.int32]:
    """The book before the first row, as pseudo orders: the first row with its message undone.

    Returns:
        `[4, O]` int32: side, price, size and id (from 1) of one order for each price (several where
        a level holds more shares than one message can), bids then asks, best first.
    """
    event_type, side = int(day.event_type[0]), int(day.side[0])
    price, size = int(day.price[0]), int(day.size[0])
    change = 0
    if event_type == EventType.SUBMIT:
        change = -size
    elif event_type <= EventType.EXECUTE_VISIBLE:
        change = size
    orders: list[tuple[int, int, int]] = []
    for sign, row in ((1, BID), (-1, ASK)):
        prices, sizes = day.book_price[row, 0].tolist(), day.book_size[row, 0].tolist()
        levels = {p: s for p, s in zip(prices, sizes, strict=True) if p != NO_PRICE}
        if sign == side and change:
            levels[price] = levels.get(price, 0) + change
        for level in sorted(levels, key=lambda p: -sign * p):
            left = levels[level]
            while left > 0:
                orders.append((sign, level, min(left, MAX_SIZE)))
                left -= MAX_SIZE
    table = [(*order, order_id) for order_id, order in enumerate(orders, start=1)]
    return np.array(table, np.int32).reshape(-1, 4).T.copy()


def _make_output(capacity: int) -> Output:
    return Output(
        event_type=np.zeros(capacity, np.int8),
        side=np.zeros(capacity, np.int8),
        price=np.zeros(capacity, np.int32),
        size=np.zeros(capacity, np.int32),
        order_id=np.zeros(capacity, np.int32),
    )


def _grow_output(output: Output, capacity: int) -> Output:
    bigger = _make_output(capacity)
    for name in Output._fields:
        old = getattr(output, name)
        getattr(bigger, name)[: len(old)] = old
    return bigger
