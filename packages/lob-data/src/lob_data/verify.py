"""Proves a prepared stream: plays it through `lob_core` and compares every level of every row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jax
import jax.numpy as jnp
import lob_core
import numba
import numpy as np
import numpy.typing as npt
from lob_core.packing import unpack_messages
from lob_core.types import (
    BookConfig,
    BookState,
    Message,
    Orders,
    zero_counters,
)

from lob_data.day import Day
from lob_data.replay import pack_rows, record_books, summarize_rows
from lob_data.sync import Stream

_MAX_SEGMENTS: Final = 64
_ROWS_PER_SEGMENT: Final = 256
_STEPS_PER_CALL: Final = 32


@dataclass(frozen=True)
class VerifyReport:
    """Result of replaying one day through `lob_core`.

    Attributes:
        label: name of the pair.
        rows: recorded rows compared.
        levels: levels a side compared in each.
        mismatches: rows that differ in a price or a size of any level.
        first_mismatch: the first such row, counted from 1; None if there is none.
        sync_messages: synchronising messages that were played.
        engine_complaints: messages that the engine found unknown, invalid or had no room for.
        breaks: segment boundaries at which the engine's book is not the one recorded there.
    """

    label: str
    rows: int
    levels: int
    mismatches: int
    first_mismatch: int | None
    sync_messages: int
    engine_complaints: int
    breaks: int

    @property
    def is_exact(self) -> bool:
        """Whether replay reproduced everything without complaint."""
        return self.mismatches == self.engine_complaints == self.breaks == 0


def verify_stream(day: Day, stream: Stream, *, backend: Any = None) -> VerifyReport:
    """Plays `stream` through `lob_core.process_messages` and compares it with the recorded rows.

    What is played is the 16-byte device encoding, so this checks that too.

    The day is cut into segments that are played side by side, as a batch of books. Each starts from
    the book recorded at its first row, and it is checked that the segment before it ends in just
    that book, order by order: so the comparison is that of one replay from the first row.

    Args:
        day: the recorded day.
        stream: what `synchronize` made of it.
        backend: engine backend, as in `lob_core.process_messages`.

    Returns:
        The report.

    Raises:
        FormatError: if a value does not fit the device encoding.
    """
    num_rows = day.num_rows
    num_segments = max(1, min(_MAX_SEGMENTS, num_rows // _ROWS_PER_SEGMENT))
    bounds = np.linspace(0, num_rows, num_segments + 1).astype(np.int64)
    summary = summarize_rows(stream, day.num_levels)
    num_slots = _round_up(max(stream.max_orders))
    num_shown = min(_round_up(int(summary.num_in_view.max()) + 1), num_slots)
    config = BookConfig(num_slots=num_slots, max_trades=0)
    snapshots = record_books(stream, bounds, num_slots)
    state = book_state(snapshots.price, snapshots.size, snapshots.order_id, snapshots.agent_id)
    ends = jax.tree.map(lambda leaf: leaf[1:], state)
    book = jax.tree.map(lambda leaf: jnp.asarray(leaf[:-1]), state)

    starts = stream.row_start[bounds]
    num_steps = int(np.diff(starts).max())
    num_calls = -(-num_steps // _STEPS_PER_CALL)
    is_mismatch = np.zeros(num_rows, np.bool_)
    row_of = _row_ending_at(stream)
    packed = pack_rows(stream, day.ts_ns, 0, num_rows)
    play = _player(config, num_shown, backend)
    for call in range(num_calls):
        at = starts[:-1] + call * _STEPS_PER_CALL + np.arange(_STEPS_PER_CALL)[:, None]
        is_played = at < starts[1:]
        at = np.where(is_played, at, 0)
        book, shown = play(book, np.where(is_played[:, :, None], packed[at], 0))
        rows = np.where(is_played, row_of[at], -1)
        bid_price, bid_size, ask_price, ask_size = (np.asarray(column) for column in shown)
        _compare(
            bid_price,
            bid_size,
            ask_price,
            ask_size,
            rows,
            day.book_price,
            day.book_size,
            is_mismatch,
        )

    final = jax.tree.map(np.asarray, book)
    complaints = sum(int(leaf.sum()) for leaf in jax.tree.leaves(final.counters))
    pairs = zip(
        jax.tree.leaves((final.bids, final.asks)),
        jax.tree.leaves((ends.bids, ends.asks)),
        strict=True,
    )
    is_broken = np.zeros(num_segments, np.bool_)
    for got, wanted in pairs:
        is_broken |= (got != np.asarray(wanted)).any(axis=1)
    return VerifyReport(
        label=day.label,
        rows=num_rows,
        levels=day.num_levels,
        mismatches=int(is_mismatch.sum()),
        first_mismatch=int(is_mismatch.argmax()) + 1 if is_mismatch.any() else None,
        sync_messages=int(stream.is_sync.sum()),
        engine_complaints=complaints,
        breaks=int(is_broken.sum()),
    )


def book_state(
    price: npt.NDArray[np.int32],
    size: npt.NDArray[np.int32],
    order_id: npt.NDArray[np.int32],
    agent_id: npt.NDArray[np.int32],
) -> BookState:
    """A batch of engine books from `[2, W, N]` columns, bids then asks; leaves `[W, N]`."""
    sides = [
        Orders(*(jnp.asarray(leaf[side]) for leaf in (price, size, order_id, agent_id)))
        for side in range(2)
    ]
    return BookState(bids=sides[0], asks=sides[1], counters=zero_counters((price.shape[1],)))


def _round_up(count: int) -> int:
    """The next power of two, at least 16: few distinct shapes to compile."""
    return max(16, 1 << (count - 1).bit_length())


def _row_ending_at(stream: Stream) -> npt.NDArray[np.int64]:
    """`[E]`, the row that a message is the last of, -1 if it is the last of none."""
    rows = np.full(len(stream.price), -1, np.int64)
    rows[stream.row_start[1:] - 1] = np.arange(len(stream.row_start) - 1)
    return rows


@lru_cache(maxsize=8)
def _player(config: BookConfig, num_shown: int, backend: Any) -> Any:
    """A jitted function that plays packed messages `[T, B, 4]` and shows the best slots."""

    def play_one(book: BookState, message: Message) -> BookState:
        one = jax.tree.map(lambda leaf: leaf[None], message)
        return lob_core.process_messages(book, one, config=config, backend=backend)[0]

    def step(book: BookState, message: Message) -> tuple[BookState, tuple[jax.Array, ...]]:
        book = jax.vmap(play_one)(book, message)
        columns = (book.bids.price, book.bids.size, book.asks.price, book.asks.size)
        return book, tuple(column[:, :num_shown] for column in columns)

    def play(book: BookState, packed: jax.Array) -> tuple[BookState, tuple[jax.Array, ...]]:
        return jax.lax.scan(step, book, unpack_messages(packed))

    return jax.jit(play, donate_argnums=0)


@numba.njit(cache=True)
def _compare(
    bid_price: npt.NDArray[np.int32],
    bid_size: npt.NDArray[np.int32],
    ask_price: npt.NDArray[np.int32],
    ask_size: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    book_price: npt.NDArray[np.int32],
    book_size: npt.NDArray[np.int32],
    is_mismatch: npt.NDArray[np.bool_],
) -> None:
    """Marks the rows whose levels differ from the first slots `[T, B, P]` of the engine's books."""
    for t in range(rows.shape[0]):
        for b in range(rows.shape[1]):
            row = rows[t, b]
            if row < 0:
                continue
            same = _is_same_side(
                bid_price[t, b], bid_size[t, b], book_price[0, row], book_size[0, row]
            )
            same &= _is_same_side(
                ask_price[t, b], ask_size[t, b], book_price[1, row], book_size[1, row]
            )
            if not same:
                is_mismatch[row] = True


@numba.njit(cache=True)
def _is_same_side(
    prices: npt.NDArray[np.int32],
    sizes: npt.NDArray[np.int32],
    level_prices: npt.NDArray[np.int32],
    level_sizes: npt.NDArray[np.int32],
) -> bool:
    """Whether orders in priority order add up to the recorded levels, and show no level more."""
    slot = 0
    for level in range(len(level_prices)):
        if level_sizes[level] == 0:
            return slot == len(sizes) or sizes[slot] == 0
        total = 0
        while slot < len(sizes) and sizes[slot] > 0 and prices[slot] == level_prices[level]:
            total += sizes[slot]
            slot += 1
        if total != level_sizes[level]:
            return False
    return True
