"""The desk at which one thread plays books: a record of 64-bit words on its stack.

It holds the sizes of the call, the addresses of the buffers of the book at hand, and both sides of
that book (`numba_record`), so that one address is all that a function of the kernel needs.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from lob_core.backends import numba_record
from lob_core.backends.numba_memory import inline, ints_at, jit, prefetch, splice, words_at

NUM_SLOTS, NUM_MESSAGES, MAX_TRADES, NUM_ACCOUNTS, SELF_MATCH, UNKNOWN_CANCEL, NUM_BOOKS = range(7)
"""Words of a desk that hold the sizes and modes of a call."""
NUM_TRADES, NUM_ASKED = 8, 9
"""Words that hold the trades of a book so far, and the lines of the next one asked for so far."""
MESSAGES, BOOK, _COUNTERS, TRADES, REPORTS, FILLS, _END = 16, 24, 32, 38, 47, 51, 64
"""Words of a desk where the addresses of groups of the book's buffers start. Each side's four lie
within eight words that are written at once, for a read across two recent writes has to wait."""
_SIDES = 8 * _END  # bytes before the two sides
_SIDE = 8 * numba_record.SIDE_WORDS
DESK_WORDS = _END + 2 * numba_record.SIDE_WORDS
NUM_BUFFERS = _END - MESSAGES
_LINE, _LINES_AT_ONCE = 64, 24  # bytes of a cache line; lines asked for before a message
CACHED_LINES = 2**14
"""Lines of all books of a call up to which none is asked for: 1 MB, about what a core caches."""
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


@splice
def buffer(desk, group, number):
    """One of the book's buffers."""
    return ints_at(words_at(desk)[group + number])


@splice
def tally(desk, counter, number):
    """Adds to one of the book's counters."""
    buffer(desk, _COUNTERS, counter)[0] += number


@inline
def num_lines_ahead(desk):
    """Cache lines of the next book to ask for while this one is played; call it before that.

    Its depth is taken to be the last book's. None if all books fit in the cache. A processor
    foresees the lines of a column, but not where the next one and that of the next book start.
    """
    bids, asks = words_at(bids_of(desk)), words_at(asks_of(desk))
    depth = max(bids[numba_record.STOP], asks[numba_record.STOP])
    lines = 8 * ((4 * depth + _LINE - 1) // _LINE)
    return lines if lines * words_at(desk)[NUM_BOOKS] > CACHED_LINES else 0


@jit
def ask_ahead(desk):
    """Asks for some of those lines, of all columns alike; best orders come first."""
    words = words_at(desk)
    first = words[NUM_ASKED]
    for line in range(first, first + _LINES_AT_ONCE):
        column, row = line & 7, line >> 3
        prefetch(words[BOOK + column] + 4 * words[NUM_SLOTS] + _LINE * row)
    words[NUM_ASKED] = first + _LINES_AT_ONCE
