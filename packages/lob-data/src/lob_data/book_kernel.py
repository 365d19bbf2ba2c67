"""The order book of the preprocessor: unlimited, in numba, with the semantics of `lob_core`.

`lob_core` keeps fixed arrays because it runs on accelerators. Preparing a day needs a book that
never drops an order and finds one by id at once, so here an order is a node of a linked list in its
price level, and the levels of a side are a sorted array with the best last (most changes are near
the best, so most shifts are short). Prices are held as keys, `price` for bids and `-price` for
asks, so that on both sides a larger key is better.

The kernels of this package call each other across files. Numba's cache on disk looks only at the
file of the function that Python calls: after editing this file, delete `__pycache__`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

BID: Final = 0
"""Row of the bids in arrays led by the side."""
ASK: Final = 1
"""Row of the asks in arrays led by the side."""
NONE: Final = -1

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]


class Book(NamedTuple):
    """Arrays of one book; `O` orders ever seen, `P` price levels at one time.

    Attributes:
        order_size: `[O]` shares left; zero when the order is gone. Indexed by order id.
        order_level: `[O]` level slot the order rests in.
        ahead: `[O]` id of the order before it in the queue, `NONE` at the front.
        behind: `[O]` id of the order after it, `NONE` at the back.
        level_key: `[P]` price key of a level slot.
        level_total: `[P]` shares resting there.
        level_front: `[P]` first order of the queue.
        level_back: `[P]` last order of the queue.
        free_levels: `[P]` stack of unused level slots.
        ladder: `[2, P]` level slots of each side, worst first.
        counts: `[5]` number of levels of bids and asks, orders of bids and asks, free level slots.
    """

    order_size: Int32
    order_level: Int32
    ahead: Int32
    behind: Int32
    level_key: Int32
    level_total: Int64
    level_front: Int32
    level_back: Int32
    free_levels: Int32
    ladder: Int32
    counts: Int64


def make_book(num_orders: int, num_levels: int) -> Book:
    """An empty book for order ids below `num_orders` and that many price levels at one time."""
    counts = np.zeros(5, np.int64)
    counts[4] = num_levels
    return Book(
        order_size=np.zeros(num_orders, np.int32),
        order_level=np.full(num_orders, NONE, np.int32),
        ahead=np.full(num_orders, NONE, np.int32),
        behind=np.full(num_orders, NONE, np.int32),
        level_key=np.zeros(num_levels, np.int32),
        level_total=np.zeros(num_levels, np.int64),
        level_front=np.full(num_levels, NONE, np.int32),
        level_back=np.full(num_levels, NONE, np.int32),
        free_levels=np.arange(num_levels, dtype=np.int32),
        ladder=np.zeros((2, num_levels), np.int32),
        counts=counts,
    )


def grow_book(book: Book, num_orders: int, num_levels: int) -> Book:
    """The same book with room for more orders and levels."""
    bigger = make_book(num_orders, num_levels)
    for name in ("order_size", "order_level", "ahead", "behind"):
        old = getattr(book, name)
        getattr(bigger, name)[: len(old)] = old
    held = len(book.level_key)
    for name in ("level_key", "level_total", "level_front", "level_back"):
        getattr(bigger, name)[:held] = getattr(book, name)
    bigger.ladder[:, :held] = book.ladder
    free = int(book.counts[4])
    bigger.free_levels[:free] = book.free_levels[:free]
    bigger.free_levels[free : free + num_levels - held] = np.arange(held, num_levels)
    bigger.counts[:] = book.counts
    bigger.counts[4] = free + num_levels - held
    return bigger


@numba.njit(cache=True)
def position_of(book: Book, side: int, key: int) -> int:
    """Position in the ladder of the first level whose key is at least `key`."""
    low, high = 0, book.counts[side]
    while low < high:
        middle = (low + high) // 2
        if book.level_key[book.ladder[side, middle]] < key:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)
def level_at(book: Book, side: int, key: int) -> int:
    """Level slot at `key`, `NONE` if no order rests there."""
    position = position_of(book, side, key)
    if position < book.counts[side]:
        level: int = book.ladder[side, position]
        if book.level_key[level] == key:
            return level
    return NONE


@numba.njit(cache=True)
def add_order(book: Book, side: int, key: int, size: int, order_id: int) -> None:
    """Rests an order behind all others at its price."""
    counts = book.counts
    position = position_of(book, side, key)
    num_levels = counts[side]
    level = NONE
    if position < num_levels:
        level = book.ladder[side, position]
    if level == NONE or book.level_key[level] != key:
        counts[4] -= 1
        level = book.free_levels[counts[4]]
        for i in range(num_levels, position, -1):
            book.ladder[side, i] = book.ladder[side, i - 1]
        book.ladder[side, position] = level
        counts[side] += 1
        book.level_key[level] = key
        book.level_total[level] = 0
        book.level_front[level] = NONE
        book.level_back[level] = NONE
    last = book.level_back[level]
    book.ahead[order_id] = last
    book.behind[order_id] = NONE
    if last == NONE:
        book.level_front[level] = order_id
    else:
        book.behind[last] = order_id
    book.level_back[level] = order_id
    book.level_total[level] += size
    book.order_size[order_id] = size
    book.order_level[order_id] = level
    counts[2 + side] += 1


@numba.njit(cache=True)
def reduce_order(book: Book, side: int, order_id: int, size: int) -> None:
    """Takes `size` shares off an order; at or beyond its size the order is gone."""
    level = book.order_level[order_id]
    left = book.order_size[order_id] - size
    if left > 0:
        book.order_size[order_id] = left
        book.level_total[level] -= size
        return
    book.level_total[level] -= book.order_size[order_id]
    book.order_size[order_id] = 0
    book.order_level[order_id] = NONE
    book.counts[2 + side] -= 1
    before, after = book.ahead[order_id], book.behind[order_id]
    if before == NONE:
        book.level_front[level] = after
    else:
        book.behind[before] = after
    if after == NONE:
        book.level_back[level] = before
    else:
        book.ahead[after] = before
    if before == NONE and after == NONE:
        _remove_level(book, side, level)


@numba.njit(cache=True)
def _remove_level(book: Book, side: int, level: int) -> None:
    counts = book.counts
    position = position_of(book, side, book.level_key[level])
    counts[side] -= 1
    for i in range(position, counts[side]):
        book.ladder[side, i] = book.ladder[side, i + 1]
    book.free_levels[counts[4]] = level
    counts[4] += 1


@numba.njit(cache=True)
def sweep(book: Book, side: int, limit_key: int, size: int) -> int:
    """Trades up to `size` shares against `side`, best and oldest first, down to `limit_key`.

    Returns:
        Shares left over.
    """
    while size > 0 and book.counts[side] > 0:
        level = book.ladder[side, book.counts[side] - 1]
        if book.level_key[level] < limit_key:
            break
        front = book.level_front[level]
        traded = min(size, book.order_size[front])
        reduce_order(book, side, front, traded)
        size -= traded
    return size


@numba.njit(cache=True)
def submit(book: Book, side: int, price: int, size: int, order_id: int) -> None:
    """A limit order: trades with what it crosses, and rests with what is left."""
    sign = 1 if side == BID else -1
    left = sweep(book, 1 - side, -sign * price, size)
    if left > 0:
        add_order(book, side, sign * price, left, order_id)
