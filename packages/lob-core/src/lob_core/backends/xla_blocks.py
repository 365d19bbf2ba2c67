"""A branch-free update of whole books, scanned over the messages: the `xla` backend on a GPU.

Each message runs the same two passes over a book and one update of it, whatever its type: what does
not apply is masked out. There is no `while_loop` and no `switch`, so `vmap` costs no divergence.
`xla_pool` says how orders are kept while a block of messages is played; what a message traded is
noted in a journal, and the records of a block are made from it all at once.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from lob_core.backends.xla_pool import close_block, open_block, slots_by_rank
from lob_core.backends.xla_records import (
    append,
    blank_trades,
    count_up,
    fills_of,
    num_rows,
    reports_of,
    trades_of,
)
from lob_core.backends.xla_request import Request, decode
from lob_core.backends.xla_step import Journal, State, step
from lob_core.types import Array, BookConfig, BookState, Message, Outcome, Trades

_BLOCK = 64
"""Most messages of a block: each makes the pool one slot wider, each block has to be closed."""


@functools.partial(jax.jit, static_argnames="config")
def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`)."""
    num_messages = messages.price.shape[0]
    num_blocks = max(1, -(-num_messages // _BLOCK))
    length = max(1, -(-num_messages // num_blocks))
    missing = num_blocks * length - num_messages  # filled up with NOOPs
    messages = jax.tree.map(lambda x: jnp.pad(x, (0, missing)), messages)
    requests = decode(messages)
    blocks = jax.tree.map(lambda x: x.reshape(num_blocks, length), requests)
    log = blank_trades(config.max_trades + num_rows(length, config))
    first = length * jnp.arange(num_blocks, dtype=jnp.int32)

    def play(
        carry: tuple[BookState, Trades], item: tuple[Request, Array]
    ) -> tuple[tuple[BookState, Trades], Journal]:
        book, log = carry
        book, trades, journal = _play_block(book, *item, config)
        return (book, append(log, trades, config.max_trades)), journal

    (book, log), journals = jax.lax.scan(play, (book, log), (blocks, first))
    journal: Journal = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), journals)
    count = jnp.minimum(log.count, config.max_trades)
    dropped = log.count - count if config.max_trades else jnp.int32(0)
    book = book.replace(counters=count_up(book.counters, requests, journal, dropped))
    trades = jax.tree.map(lambda x: x[: config.max_trades] if x.ndim else count, log)
    reports = jax.tree.map(lambda x: x[:num_messages], reports_of(requests, journal))
    fills = fills_of(requests, journal, config)
    return book, Outcome(trades=trades, reports=reports, fills=fills)


def _play_block(
    book: BookState, requests: Request, first_index: Array, config: BookConfig
) -> tuple[BookState, Trades, Journal]:
    """Plays a block of messages; the counters stay as they are."""
    length = requests.key.shape[0]
    labels, pool, bids, asks = open_block(book, requests)
    new_slots = 2 * config.num_slots + jnp.arange(length, dtype=jnp.int32)

    def play(state: State, item: tuple[Request, Array]) -> tuple[State, Journal]:
        return step(labels, state, *item, config)

    last, journal = jax.lax.scan(play, State(pool, bids, asks), (requests, new_slots))
    by_rank = slots_by_rank(labels, last.pool, config.num_slots + length)
    queues = (last.bids, last.asks)
    book = close_block(labels, last.pool, queues, by_rank, book.counters, config.num_slots)
    trades = trades_of(labels, last.pool, by_rank, requests, journal, first_index, config)
    return book, trades, journal
