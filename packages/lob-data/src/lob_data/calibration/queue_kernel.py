"""Reference price, events and exposure of the queue-reactive model, in numba."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from lob_data.book_kernel import ASK, BID, NONE, Book
from lob_data.calibration.exposure_kernel import CANCEL, LIMIT, MARKET, OTHER
from lob_data.calibration.flow_data import best_price
from lob_data.replay import Messages, play_row

Float = npt.NDArray[np.float64]
Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

FAR_COUNT, FAR_SECONDS, OUTSIDE = range(3)
"""Entries of `Queues.totals`: cancels and order seconds beyond the levels, limit orders there."""
STAYED, MOVED = range(2)
"""Entries of the count of decisions of the reference price."""


class Events(NamedTuple):
    """Columns of a `FlowPart`, `[D]`, as the kernels read them."""

    ts_ns: Int64
    kind: Int8
    side: Int8
    price: Int32


class Queues(NamedTuple):
    """Events and exposure by distance and units in the queue, both sides together.

    Attributes:
        limit_count: `[K, B]` limit orders.
        cancel_count: `[K, B]` deleted orders.
        market_count: `[K, B]` market orders that hit the queue, the best of its side.
        seconds: `[K, B]` seconds in which a queue in view had that size.
        order_seconds: `[K, B]` the same times the orders in it.
        best_seconds: `[K, B]` the same while it was the best of its side.
        totals: `[3]`, see `FAR_COUNT`.
    """

    limit_count: Float
    cancel_count: Float
    market_count: Float
    seconds: Float
    order_seconds: Float
    best_seconds: Float
    totals: Float


class QueueRates(NamedTuple):
    """Rates per second: `limit`, `cancel`, `market` `[K, B]`, `far` `[1]`; cancels per order."""

    limit: Float
    cancel: Float
    market: Float
    far: Float


@numba.njit(cache=True)
def record_quotes(book: Book, messages: Messages, first: int, end: int, quotes: Int32) -> None:
    """Fills `quotes` `[2, D]` with the best bid and ask before each row of a segment, 0 if none."""
    for row in range(end):
        if row >= first:
            quotes[BID, row] = best_price(book, BID)
            quotes[ASK, row] = best_price(book, ASK)
        play_row(book, messages, row)


@numba.njit(cache=True)
def trace_reference(
    first: int,
    end: int,
    events: Events,
    quotes: Int32,
    is_mover: bool,
    reference: Int32,
    decisions: Float,
) -> None:
    """Finds the reference price in force at each row of a segment.

    The model moves it only when the mid has moved, as far as that, rounded up to whole ticks, or
    not at all. Which of the two happened shows in the next limit orders: those below the reference
    are buys, those above it sells. Where nothing shows before the mid moves again, it is taken to
    have moved if `is_mover`.

    Args:
        first: first row.
        end: row behind the last.
        events: the day's columns.
        quotes: `[2, D]`, from `record_quotes`.
        is_mover: what to assume where the data do not tell.
        reference: `[D]`, filled; the reference price is half a tick above it.
        decisions: `[2]`, to which the decisions that could be told are added.
    """
    mid = 0
    now = 0
    for row in range(first, end):
        bid, ask = int(quotes[BID, row]), int(quotes[ASK, row])
        if bid > 0 and ask > 0 and mid == 0:
            mid = bid + ask
            now = (bid + ask - 1) // 2
        low = bid if bid > 0 else 1
        high = ask - 1 if ask > 0 else 2**31 - 2
        stayed = min(max(now, low), high)
        if events.kind[row] != OTHER and bid > 0 and ask > 0 and bid + ask != mid:
            step = (abs(bid + ask - mid) + 1) // 2
            moved = min(max(now + (step if bid + ask > mid else -step), low), high)
            mid = bid + ask
            if moved != stayed:
                choice = _tell(row, end, events, quotes, stayed, moved)
                if choice != NONE:
                    decisions[choice] += 1
                if choice == MOVED or (choice == NONE and is_mover):
                    stayed = moved
        now = stayed
        reference[row] = now


@numba.njit(cache=True)
def _tell(row: int, end: int, events: Events, quotes: Int32, stayed: int, moved: int) -> int:
    """Which of two reference prices the limit orders up to the next move of the mid speak for."""
    kind, side, price = events.kind, events.side, events.price
    mid = quotes[BID, row] + quotes[ASK, row]
    while row < end and (kind[row] == OTHER or quotes[BID, row] + quotes[ASK, row] == mid):
        if kind[row] == LIMIT:
            is_buy = side[row] > 0
            fits_stayed = price[row] <= stayed if is_buy else price[row] > stayed
            fits_moved = price[row] <= moved if is_buy else price[row] > moved
            if fits_stayed != fits_moved:
                return STAYED if fits_stayed else MOVED
        row += 1
    return NONE


@numba.njit(cache=True)
def count_queues(
    book: Book,
    messages: Messages,
    first: int,
    end: int,
    events: Events,
    num_levels_seen: int,
    reference: Int32,
    event_size: Int64,
    rates: QueueRates,
    queues: Queues,
    residuals: Float,
) -> int:
    """Plays the day and, over rows `first` up to `end`, adds to `queues`.

    Returns:
        The number of residuals written: the integral of the total intensity that `rates` give,
        from one event of the model to the next.
    """
    num_levels, num_sizes = queues.seconds.shape
    units, orders = np.zeros((2, num_levels), np.int64), np.zeros((2, num_levels), np.int64)
    seen, best, far = np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    num_residuals = 0
    integral = 0.0
    has_begun = False
    for row in range(end):
        if row >= first and reference[row] > 0:
            at = reference[row]
            for s in range(2):
                queue = (units[s], orders[s])
                shape = _look(book, s, at, num_levels_seen, event_size, num_sizes, queue)
                seen[s], best[s], far[s] = shape
            if row > first:
                seconds = (events.ts_ns[row] - events.ts_ns[row - 1]) * 1e-9
                integral += _expose(units, orders, seen, best, far, seconds, rates, queues)
            s = BID if events.side[row] > 0 else ASK
            level = at - events.price[row] if s == BID else events.price[row] - at - 1
            event = events.kind[row]
            if event == LIMIT:
                if 0 <= level < num_levels:
                    queues.limit_count[level, units[s, level]] += 1
                else:
                    queues.totals[OUTSIDE] += 1
                    event = OTHER
            elif event == CANCEL:
                if level >= num_levels:
                    queues.totals[FAR_COUNT] += 1
                else:
                    queues.cancel_count[max(level, 0), units[s, max(level, 0)]] += 1
            elif event == MARKET:
                if 0 <= best[s] < num_levels:
                    queues.market_count[best[s], units[s, best[s]]] += 1
                else:
                    event = OTHER
            if event != OTHER:
                if has_begun:
                    residuals[num_residuals] = integral
                    num_residuals += 1
                has_begun = True
                integral = 0.0
        play_row(book, messages, row)
    return num_residuals


@numba.njit(cache=True)
def _look(
    book: Book,
    side: int,
    reference: int,
    num_levels_seen: int,
    event_size: Int64,
    num_sizes: int,
    queue: tuple[Int64, Int64],
) -> tuple[int, int, int]:
    """Fills units `[K]` and orders `[K]` of the queues of one side.

    Returns:
        How many distances are in view, the distance (from 0) of the best queue, -1 if there is
        none, and the orders in view beyond the distances.
    """
    units, orders = queue
    num_levels = len(units)
    units[:] = 0
    orders[:] = 0
    count = book.counts[side]
    best, seen, far = -1, num_levels, 0
    for position in range(count - 1, max(-1, count - 1 - num_levels_seen), -1):
        slot = book.ladder[side, position]
        key = abs(book.level_key[slot])
        level = max(reference - key if side == BID else key - reference - 1, 0)
        if best < 0:
            best = level
        number = 0
        order = book.level_front[slot]
        while order != NONE:
            number += 1
            order = book.behind[order]
        if level < num_levels:
            shares = book.level_total[slot]
            units[level] = min((shares + event_size[level] - 1) // event_size[level], num_sizes - 1)
            orders[level] = number
        else:
            far += number
        if position == count - num_levels_seen:
            seen = min(num_levels, level + 1)
    return seen, best, far


@numba.njit(cache=True)
def _expose(
    units: Int64,
    orders: Int64,
    seen: Int64,
    best: Int64,
    far: Int64,
    seconds: float,
    rates: QueueRates,
    queues: Queues,
) -> float:
    """Adds `seconds` of these queues to the exposure; returns the expected number of events."""
    intensity = 0.0
    for side in range(2):
        for level in range(seen[side]):
            n = units[side, level]
            queues.seconds[level, n] += seconds
            queues.order_seconds[level, n] += orders[side, level] * seconds
            intensity += rates.limit[level, n] + orders[side, level] * rates.cancel[level, n]
        at = best[side]
        if 0 <= at < units.shape[1]:
            queues.best_seconds[at, units[side, at]] += seconds
            intensity += rates.market[at, units[side, at]]
        queues.totals[FAR_SECONDS] += far[side] * seconds
        intensity += far[side] * rates.far[0]
    return intensity * seconds
