"""Checks a day as read and converts it to ticks; reports what is wrong and never repairs it."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import numpy.typing as npt
from lob_core.types import NO_PRICE, EventType, Side

from lob_data.day import Day
from lob_data.errors import FormatError, OptionError
from lob_data.lobster import RawDay
from lob_data.schema import (
    CENT,
    DUMMY_PRICE,
    MAX_PRICE,
    TRADING_RESUMES,
    book_columns,
    format_time,
)

_INT32_MAX: Final = np.iinfo(np.int32).max
_FINE, _OFF_GRID, _OUT_OF_DOMAIN, _SIZE, _GAP, _ORDER, _CROSSED = range(7)


def check_day(raw: RawDay, tick_units: int = CENT) -> Day:
    """Checks every row of both files and converts them to ticks.

    Args:
        raw: a pair as read.
        tick_units: size of a tick in 1/10000 dollar.

    Returns:
        The same day in ticks and shares.

    Raises:
        FormatError: naming file, row and reason: no rows, time going back, an unknown event type or
            side, a size or price outside its domain, a displayed price off the grid, levels out of
            order or with a gap, a crossed or locked book.
        OptionError: if `tick_units` is not positive.
    """
    if tick_units < 1:
        raise OptionError(f"tick_units is {tick_units}; it must be at least 1 (a cent is {CENT})")
    if len(raw.ts_ns) == 0:
        raise FormatError("has no rows", path=str(raw.pair.messages))
    _check_messages(raw, tick_units)
    book_price, book_size = _convert_books(raw, tick_units)
    is_displayed = raw.event_type <= EventType.EXECUTE_VISIBLE
    has_size = raw.event_type <= EventType.EXECUTE_HIDDEN
    is_stopped = (raw.event_type == EventType.HALT) & (raw.price != TRADING_RESUMES)
    return Day(
        label=raw.pair.label,
        tick_units=tick_units,
        ts_ns=raw.ts_ns,
        event_type=raw.event_type.astype(np.int8),
        side=np.where(raw.side < 0, Side.ASK, Side.BID).astype(np.int8),
        price=np.where(is_displayed, raw.price // tick_units, NO_PRICE).astype(np.int32),
        size=np.where(has_size, raw.size, is_stopped).astype(np.int32),
        order=np.unique(raw.order_id, return_inverse=True)[1].astype(np.int32),
        raw_price=raw.price,
        raw_size=raw.size,
        book_price=book_price,
        book_size=book_size,
    )


def _check_messages(raw: RawDay, tick_units: int) -> None:
    """Raises at the first message row with a field outside its domain."""
    is_displayed = raw.event_type <= EventType.EXECUTE_VISIBLE
    is_trade_or_order = raw.event_type <= EventType.EXECUTE_HIDDEN
    path = str(raw.pair.messages)

    def fail(is_bad: npt.NDArray[np.bool_], text: str, values: npt.NDArray[np.int64]) -> None:
        if is_bad.any():
            row = int(is_bad.argmax())
            raise FormatError(text.format(values[row]), path=path, row=row + 1)

    is_known = (raw.event_type >= EventType.SUBMIT) & (raw.event_type <= EventType.HALT)
    fail(~is_known, "event type is {}; LOBSTER's are 1 to 7", raw.event_type)
    is_side = np.abs(raw.side) == 1
    fail(~is_side, "direction is {}; it must be 1 (buy) or -1 (sell)", raw.side)
    is_back = np.diff(raw.ts_ns, prepend=raw.ts_ns[0]) < 0
    if is_back.any():
        row = int(is_back.argmax())
        raise FormatError(
            f"time goes back from {format_time(raw.ts_ns[row - 1])} "
            f"to {format_time(raw.ts_ns[row])}",
            path=path,
            row=row + 1,
        )
    is_sized = (raw.size >= 1) & (raw.size <= _INT32_MAX)
    fail(is_trade_or_order & ~is_sized, "size is {}; it must be 1 to 2147483647", raw.size)
    fail(is_displayed & (raw.price < 1), "price is {}; it must be positive", raw.price)
    fail(
        is_displayed & (raw.price % tick_units != 0),
        f"price {{}} is off the grid: not a multiple of {tick_units} (if the stock trades in finer "
        "ticks, choose a smaller tick)",
        raw.price,
    )
    fail(
        is_displayed & (raw.price // tick_units > MAX_PRICE),
        f"price is {{}}; the largest that fits is {MAX_PRICE} ticks of {tick_units}",
        raw.price,
    )


def _convert_books(
    raw: RawDay, tick_units: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Order book rows as `[2, D, L]` prices in ticks and sizes, bids then asks."""
    num_rows, num_levels = raw.books.shape[1], raw.pair.name.level
    price = np.empty((2, num_rows, num_levels), np.int32)
    size = np.empty((2, num_rows, num_levels), np.int32)
    first: tuple[int, int, str] | None = None  # row, code, column
    for column, name in enumerate(book_columns(num_levels)):
        level, kind = divmod(column, 4)
        side = 1 if kind < 2 else 0
        values = raw.books[column]
        if kind % 2 == 0:
            code, row = _convert_prices(values, tick_units, price[side, :, level])
        else:
            code, row = _convert_sizes(values, size[side, :, level])
        if code != _FINE and (first is None or row < first[0]):
            first = (row, code, name)
    if first is not None:
        row, code, name = first
        _raise_book(raw, tick_units, row, code, name)
    code, row, level = _check_levels(price, size)
    if code != _FINE:
        _raise_book(raw, tick_units, row, code, f"level {level + 1}")
    return price, size


@numba.njit(cache=True)
def _convert_prices(
    values: npt.NDArray[np.int64], tick_units: int, ticks: npt.NDArray[np.int32]
) -> tuple[int, int]:
    """Fills `ticks`; returns a code and the row it is about."""
    for row in range(len(values)):
        value = values[row]
        if value == DUMMY_PRICE or value == -DUMMY_PRICE:
            ticks[row] = NO_PRICE
            continue
        quotient = value // tick_units
        if quotient < 1 or quotient > MAX_PRICE:
            return _OUT_OF_DOMAIN, row
        if quotient * tick_units != value:
            return _OFF_GRID, row
        ticks[row] = quotient
    return _FINE, 0


@numba.njit(cache=True)
def _convert_sizes(values: npt.NDArray[np.int64], sizes: npt.NDArray[np.int32]) -> tuple[int, int]:
    """Fills `sizes`; returns a code and the row it is about."""
    for row in range(len(values)):
        value = values[row]
        if value < 0 or value > _INT32_MAX:
            return _SIZE, row
        sizes[row] = value
    return _FINE, 0


@numba.njit(cache=True)
def _check_levels(
    price: npt.NDArray[np.int32], size: npt.NDArray[np.int32]
) -> tuple[int, int, int]:
    """Returns a code, row and level: the first row whose levels make no book."""
    for row in range(price.shape[1]):
        for side in range(2):
            sign = 1 if side == 0 else -1
            for level in range(price.shape[2]):
                is_free = price[side, row, level] == NO_PRICE
                if is_free != (size[side, row, level] == 0):
                    return _SIZE, row, level
                if level > 0 and not is_free:
                    better = price[side, row, level - 1]
                    if better == NO_PRICE:
                        return _GAP, row, level
                    if sign * better <= sign * price[side, row, level]:
                        return _ORDER, row, level
        bid, ask = price[0, row, 0], price[1, row, 0]
        if bid != NO_PRICE and ask != NO_PRICE and bid >= ask:
            return _CROSSED, row, 0
    return _FINE, 0, 0


def _raise_book(raw: RawDay, tick_units: int, row: int, code: int, where: str) -> None:
    """Raises what `code` stands for."""
    names = book_columns(raw.pair.name.level)
    values = dict(zip(names, raw.books[:, row].tolist(), strict=True))
    reasons = {
        _OFF_GRID: f"{where} is {values.get(where)}, off the grid: not a multiple of {tick_units} "
        "(if the stock trades in finer ticks, choose a smaller tick)",
        _OUT_OF_DOMAIN: f"{where} is {values.get(where)}; it must be 1 to {MAX_PRICE} ticks of "
        f"{tick_units}, or {DUMMY_PRICE} where no level is occupied",
        _SIZE: f"{where} has size {values.get(where, 'zero beside a price, or the reverse')}; an "
        "occupied level has 1 to 2147483647 shares, an unoccupied one 0",
        _GAP: f"{where} is occupied behind an unoccupied level",
        _ORDER: f"{where} is not worse than the level before it",
        _CROSSED: f"book is crossed or locked: bid {values['bid_price_1']} >= "
        f"ask {values['ask_price_1']}",
    }
    raise FormatError(reasons[code], path=str(raw.pair.books), row=row + 1)
