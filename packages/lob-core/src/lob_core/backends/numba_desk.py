"""The desk at which one thread plays books: a record of 64-bit words on its stack.

It holds the sizes of the call, the addresses of the buffers of the book at hand, and both sides of
that book (`numba_record`), so that one address is all that a function of the kernel needs.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from lob_core.backends import numba_record
from lob_core.backends.numba_vector import inline, ints_at, words_at

NUM_SLOTS, NUM_MESSAGES, MAX_TRADES, NUM_ACCOUNTS, SELF_MATCH, UNKNOWN_CANCEL, NUM_TRADES = range(7)
"""Words of a desk that hold the sizes and modes of a call, and the trades of a book so far."""
MESSAGES, BOOK, _COUNTERS, TRADES, REPORTS, FILLS, _END = 8, 16, 24, 30, 39, 43, 56
"""Words of a desk where the addresses of groups of the book's buffers start. Each side's four lie
within eight words that are written at once, for a read across two recent writes has to wait."""
_SIDES = 8 * _END  # bytes before the two sides
_SIDE = 8 * numba_record.SIDE_WORDS
DESK_WORDS = _END + 2 * numba_record.SIDE_WORDS
NUM_BUFFERS = _END - MESSAGES
DROPPED_ORDERS, DROPPED_SIZE, DROPPED_TRADES, UNKNOWN_IDS, UNKNOWN_TYPES, INVALID = range(6)
"""Numbers of the counters, the fields of `lob_core.types.Counters`."""


@inline
def bids_of(desk):
    """The record of the bids."""
    return desk + _SIDES


@inline
def asks_of(desk):
    """The record of the asks."""
    return desk + _SIDES + _SIDE


@inline
def side_of(desk, is_buy):
    """The record of the bids or of the asks."""
    return desk + _SIDES + (0 if is_buy else _SIDE)


@inline
def buffer(desk, group, number):
    """One of the book's buffers."""
    return ints_at(words_at(desk)[group + number])


@inline
def tally(desk, counter, number):
    """Adds to one of the book's counters."""
    buffer(desk, _COUNTERS, counter)[0] += number
