"""CSV text of LOBSTER files as integer columns: parsed by numba, in parallel, and strictly."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from lob_data.errors import FormatError
from lob_data.schema import COLUMNS_PER_LEVEL, MESSAGE_COLUMNS, book_columns

_LEAST_PIECE: Final = 1 << 20
_MOST_DIGITS: Final = 18
"""Digits that always fit int64."""
_MOST_SECOND_DIGITS: Final = 9
_NS_DIGITS: Final = 9
_NEWLINE, _RETURN, _COMMA, _MINUS, _DOT, _ZERO = (ord(c) for c in "\n\r,-.0")

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]


def parse_messages(data: bytes, path: str) -> Int64:
    """The message file whose text is `data`.

    Args:
        data: the text; rows may have more than the six columns, which are passed over.
        path: named in errors.

    Returns:
        `[6, D]` int64, columns as in `schema.MESSAGE_COLUMNS`; the time in ns, rounded to nine
        decimals.

    Raises:
        FormatError: at the first row with too few columns or something else than a number.
    """
    return _parse(data, len(MESSAGE_COLUMNS), True, path, None)


def parse_books(data: bytes, level: int, path: str) -> Int64:
    """The order book file whose text is `data`.

    Args:
        data: the text; rows must have four columns for each of `level` levels.
        level: levels a side that the file name says.
        path: named in errors.

    Returns:
        `[4 level, D]` int64, columns as in `schema.book_columns`.

    Raises:
        FormatError: at the first row with another number of columns or something else than a whole
            number.
    """
    return _parse(data, COLUMNS_PER_LEVEL * level, False, path, level)


def _parse(data: bytes, num_columns: int, is_message: bool, path: str, level: int | None) -> Int64:
    """Cuts the text into pieces at line ends and parses them side by side."""
    stop = len(data)
    while stop > 0 and data[stop - 1] in b"\r\n":
        stop -= 1
    if stop == 0:
        raise FormatError("the first row is empty", path=path, row=1)
    text = np.frombuffer(data, np.uint8)[:stop]
    num_pieces = max(1, min(os.cpu_count() or 1, stop // _LEAST_PIECE))
    cuts = [data.find(b"\n", stop * i // num_pieces, stop) + 1 for i in range(1, num_pieces)]
    bounds = sorted({0, stop, *cuts})
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    with ThreadPoolExecutor(len(pieces)) as pool:
        counts = list(pool.map(_count_lines, pieces))
        first = np.cumsum([0, *counts])
        table = np.empty((num_columns, int(first[-1])), np.int64)
        fill = partial(_parse_piece, table, is_message)
        stops = list(pool.map(fill, pieces, first[:-1], first[1:]))
    for piece, end, (row, at) in zip(pieces, first[1:], stops, strict=True):
        if row < end:
            line = bytes(piece[at:]).split(b"\n", 1)[0].decode("utf-8", errors="replace")
            raise FormatError(_reason(line.rstrip("\r"), level), path=path, row=row + 1)
    return table


@numba.njit(cache=True, nogil=True)
def _count_lines(text: Bytes) -> int:
    """Rows in a piece, whose last may lack its line end."""
    count = 0
    for at in range(len(text)):
        if text[at] == _NEWLINE:
            count += 1
    return count if text[-1] == _NEWLINE else count + 1


@numba.njit(cache=True, nogil=True)
def _parse_piece(
    table: Int64, is_message: bool, text: Bytes, first: int, end: int
) -> tuple[int, int]:
    """Fills rows `first` up to `end` of `table` `[C, D]`.

    Returns:
        The first row that is bad, or `end`, and its position in the text.
    """
    num_columns = table.shape[0]
    at, stop = 0, len(text)
    for row in range(first, end):
        begin = at
        for column in range(num_columns):
            if column == 0 and is_message:
                value, at = _parse_time(text, at)
            else:
                value, at = _parse_integer(text, at)
            if at < 0:
                return row, begin
            table[column, row] = value
            if column < num_columns - 1:
                if at == stop or text[at] != _COMMA:
                    return row, begin
                at += 1
        if is_message and at < stop and text[at] == _COMMA:
            while at < stop and text[at] != _NEWLINE:
                at += 1
        if at < stop and text[at] == _RETURN:
            at += 1
        if at < stop:
            if text[at] != _NEWLINE:
                return row, begin
            at += 1
    return end, at


@numba.njit(cache=True, nogil=True)
def _parse_integer(text: Bytes, at: int) -> tuple[int, int]:
    """A whole number and the position behind it; position -1 if there is none."""
    stop = len(text)
    is_negative = at < stop and text[at] == _MINUS
    at += is_negative
    begin = at
    value = 0
    while at < stop:
        digit = int(text[at]) - _ZERO
        if digit < 0 or digit > 9:
            break
        value = 10 * value + digit
        at += 1
    if at == begin or at - begin > _MOST_DIGITS:
        return 0, -1
    return (-value if is_negative else value), at


@numba.njit(cache=True, nogil=True)
def _parse_time(text: Bytes, at: int) -> tuple[int, int]:
    """Seconds as whole ns and the position behind them; position -1 if there are none.

    Digits beyond the ninth decimal only round, which repairs floating-point noise such as
    `34397.878728270996`.
    """
    begin, stop = at, len(text)
    value, at = _parse_integer(text, at)
    if at < 0 or text[begin] == _MINUS or at - begin > _MOST_SECOND_DIGITS:
        return 0, -1
    decimals = 0
    if at < stop and text[at] == _DOT:
        at += 1
        while at < stop:
            digit = int(text[at]) - _ZERO
            if digit < 0 or digit > 9:
                break
            if decimals < _NS_DIGITS:
                value = 10 * value + digit
            elif decimals == _NS_DIGITS and digit >= 5:
                value += 1
            decimals += 1
            at += 1
    for _ in range(_NS_DIGITS - decimals):
        value *= 10
    return value, at


def _reason(line: str, level: int | None) -> str:
    """What is wrong with a row; `level` is None for a message."""
    fields = line.split(",")
    names = list(MESSAGE_COLUMNS) if level is None else book_columns(level)
    if not line:
        return "is empty"
    if len(fields) < len(names) or (len(fields) > len(names) and level is not None):
        if level is None:
            return f"has {len(fields)} columns; a message has at least {len(names)}"
        text = f"has {len(fields)} columns; the file name says level {level}, which makes "
        text += str(len(names))
        if len(fields) % COLUMNS_PER_LEVEL == 0:
            levels = len(fields) // COLUMNS_PER_LEVEL
            text += f" (the row holds {levels} levels: level mismatch)"
        return text
    for name, field in zip(names, fields, strict=False):
        pattern = r"\d{1,9}(\.\d*)?" if name == "time" else r"-?\d{1,18}"
        if re.fullmatch(pattern, field, re.ASCII) is None:
            return f"{name} is {field!r}; it must be a {'' if name == 'time' else 'whole '}number"
    return f"is not a row of numbers: {line[:80]!r}"
