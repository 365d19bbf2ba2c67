"""Events and exposure by distance, counted by numba in one walk over a day."""

from __future__ import annotations

from typing import Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from lob_data.book_kernel import ASK, BID, NONE, Book
from lob_data.replay import Messages, play_row

OTHER, LIMIT, CANCEL, MARKET = range(4)
_NS: Final = 1e-9

Float = npt.NDArray[np.float64]


class Exposure(NamedTuple):
    """Events and exposure, both sides together; entry i is a distance of i + 1 ticks.

    Attributes:
        limit_count: `[L + 1]` limit orders; the last counts those elsewhere.
        limit_seconds: `[L]` seconds in which a limit order there would have been seen.
        cancel_count: `[L]` deleted orders, those farther away in the last.
        order_seconds: `[L]` orders in view times seconds.
        totals: `[2]` market orders and seconds.
    """

    limit_count: Float
    limit_seconds: Float
    cancel_count: Float
    order_seconds: Float
    totals: Float


class Rates(NamedTuple):
    """Rates per second and side: `limit` `[L]`, `cancel` (per order) `[L]`, `market` `[1]`."""

    limit: Float
    cancel: Float
    market: Float


@numba.njit(cache=True)
def walk(
    book: Book,
    messages: Messages,
    first: int,
    end: int,
    ts_ns: npt.NDArray[np.int64],
    kind: npt.NDArray[np.int8],
    row_side: npt.NDArray[np.int8],
    row_price: npt.NDArray[np.int32],
    num_levels_seen: int,
    rates: Rates,
    exposure: Exposure,
    residuals: Float,
) -> int:
    """Plays the day and, over rows `first` up to `end`, adds to `exposure`.

    Returns:
        The number of residuals written: the integral of the total intensity that `rates` give,
        from one event of the model to the next.
    """
    num_levels = len(rates.limit)
    best = np.zeros(2, np.int64)
    num_residuals = 0
    integral = 0.0
    has_begun = False
    for row in range(end):
        for side in range(2):
            if book.counts[side] > 0:
                best[side] = abs(book.level_key[book.ladder[side, book.counts[side] - 1]])
        if row >= first and best[BID] > 0 and best[ASK] > 0:
            if row > first:
                seconds = (ts_ns[row] - ts_ns[row - 1]) * _NS
                integral += _expose(book, best, num_levels_seen, seconds, rates, exposure)
            event = kind[row]
            side = BID if row_side[row] > 0 else ASK
            distance = abs(best[1 - side] - row_price[row])
            if event == LIMIT:
                is_inside = distance <= num_levels
                exposure.limit_count[distance - 1 if is_inside else num_levels] += 1
                if not is_inside:
                    event = OTHER  # no event of the model
            elif event == CANCEL:
                exposure.cancel_count[min(max(distance, 1), num_levels) - 1] += 1
            elif event == MARKET:
                exposure.totals[0] += 1
            if event != OTHER:
                if has_begun:
                    residuals[num_residuals] = integral
                    num_residuals += 1
                has_begun = True
                integral = 0.0
        play_row(book, messages, row)
    return num_residuals


@numba.njit(cache=True)
def _expose(
    book: Book,
    best: npt.NDArray[np.int64],
    num_levels_seen: int,
    seconds: float,
    rates: Rates,
    exposure: Exposure,
) -> float:
    """Adds `seconds` of this book to the exposure; returns the expected number of events."""
    num_levels = len(rates.limit)
    intensity = 2 * rates.market[0]
    exposure.totals[1] += seconds
    for side in range(2):
        count = book.counts[side]
        seen = num_levels
        if count >= num_levels_seen:
            edge = abs(book.level_key[book.ladder[side, count - num_levels_seen]])
            seen = min(num_levels, abs(best[1 - side] - edge))
        for i in range(seen):
            exposure.limit_seconds[i] += seconds
            intensity += rates.limit[i]
        for position in range(max(0, count - num_levels_seen), count):
            level = book.ladder[side, position]
            distance = abs(best[1 - side] - abs(book.level_key[level]))
            i = min(max(distance, 1), num_levels) - 1
            orders = 0
            order = book.level_front[level]
            while order != NONE:
                orders += 1
                order = book.behind[order]
            exposure.order_seconds[i] += orders * seconds
            intensity += orders * rates.cancel[i]
    expected: float = intensity * seconds
    return expected
