"""The orders of one book while a block of messages is played, for the `xla` backend.

Orders do not move. Each keeps its slot in a pool of `W = 2 N + L` slots: the bids that stood when
the block of `L` messages began, the asks, and one slot for the order that each message may add.
Slot order is thus order of arrival. What moves is two numbers of each order, by which everything
else is found with comparisons and sums, and which one elementwise update keeps right:

* its *rank*: how many orders of its side have priority over it, those used up included;
* its *depth*: shares that trade up to and including its own.

An order that a taker uses up keeps its rank and the size it had, from which the trades are read
when the block is over (`xla_records`). Depths wrap modulo 2^32; but the first order in question is
never that deep, and ranks say which is the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from lob_core.backends.xla_request import MAX, Request, make_key, price_of
from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE, Array, BookState, Counters, Orders

NOWHERE = 2**29
"""Rank of a slot without an order in the book."""


class Labels(NamedTuple):
    """What a block of messages does not change, leaves `[W]`."""

    key: Array  # see `Request`
    order_id: Array


class Pool(NamedTuple):
    """What it does change, leaves `[W]`."""

    rank: Array
    depth: Array
    size: Array
    agent_id: Array


class Queue(NamedTuple):
    """One side as a whole, leaves `[]`."""

    head: Array  # rank of the first order in the book
    tail: Array  # one past the rank of the last
    best: Array  # key of the first order, `MAX` if there is none


class Slots(NamedTuple):
    """The slots as a message sees them, `[W]`: its own side, and what it may trade with."""

    is_own: Array
    is_opposite: Array
    is_crossed: Array  # of the opposite side, priced within the message's limit


class Term(NamedTuple):
    """One of several reductions of the slots that are carried out in one pass."""

    combine: Callable[[Array, Array], Array]
    values: Array  # [W]
    start: int


def least(values: Array) -> Term:
    """Smallest value, `MAX` if all are."""
    return Term(jnp.minimum, values, MAX)


def most(values: Array) -> Term:
    """Largest of values that are at least zero."""
    return Term(jnp.maximum, values, 0)


def total(values: Array) -> Term:
    """Sum, modulo 2^32."""
    return Term(jnp.add, values.astype(jnp.int32), 0)


def reduce_slots(terms: Sequence[Term]) -> list[Array]:
    """All terms, `[]` each, in one pass over the slots (many times faster than one by one)."""
    combines = [term.combine for term in terms]

    def combine(left: Sequence[Array], right: Sequence[Array]) -> list[Array]:
        return [f(a, b) for f, a, b in zip(combines, left, right, strict=True)]

    starts = [jnp.int32(term.start) for term in terms]
    values = [term.values for term in terms]
    return cast(list[Array], jax.lax.reduce(values, starts, combine, (0,)))


def reduce_pair(first: Array, second: Array) -> tuple[Array, Array]:
    """Sums over the last axis of two arrays of one shape, in one pass."""

    def add(left: Sequence[Array], right: Sequence[Array]) -> list[Array]:
        return [a + b for a, b in zip(left, right, strict=True)]

    sums = jax.lax.reduce([first, second], [jnp.int32(0)] * 2, add, (first.ndim - 1,))
    return sums[0], sums[1]


def select(condition: Array, if_true: Queue, if_false: Queue) -> Queue:
    """One of two queues."""
    return Queue(*(jnp.where(condition, a, b) for a, b in zip(if_true, if_false, strict=True)))


def look(labels: Labels, pool: Pool, request: Request, bids: Queue, asks: Queue) -> Slots:
    """The slots of live orders, for one message."""
    is_bid = labels.key < 0
    is_live = (pool.rank >= jnp.where(is_bid, bids.head, asks.head)) & (pool.rank < NOWHERE)
    is_opposite = is_live & (is_bid != request.is_buy)
    return Slots(
        is_own=is_live & (is_bid == request.is_buy),
        is_opposite=is_opposite,
        is_crossed=is_opposite & (labels.key <= request.crossing_key),
    )


def open_block(book: BookState, requests: Request) -> tuple[Labels, Pool, Queue, Queue]:
    """Lays out a book and the orders that `[L]` messages may add."""
    num_messages = requests.key.shape[0]

    def join(bids: Array, asks: Array, new: Array | int) -> Array:
        return jnp.concatenate([bids, asks, jnp.broadcast_to(new, num_messages)])

    bids, asks = book.bids, book.asks
    bid_rank, bid_depth, bid_queue = _open_side(bids, ~bids.price[0])
    ask_rank, ask_depth, ask_queue = _open_side(asks, asks.price[0])
    labels = Labels(
        key=join(make_key(bids.price, jnp.bool(True)), asks.price, requests.key),
        order_id=join(bids.order_id, asks.order_id, requests.order_id),
    )
    pool = Pool(
        rank=join(bid_rank, ask_rank, NOWHERE),
        depth=join(bid_depth, ask_depth, 0),
        size=join(bids.size, asks.size, 0),
        agent_id=join(bids.agent_id, asks.agent_id, requests.agent_id),
    )
    return labels, pool, bid_queue, ask_queue


def _open_side(orders: Orders, best: Array) -> tuple[Array, Array, Queue]:
    """Ranks and depths of a sorted side, `[N]`, and its queue."""
    is_live = orders.size > 0
    count = is_live.sum(dtype=jnp.int32)
    rank = jnp.where(is_live, jnp.arange(orders.size.shape[0], dtype=jnp.int32), NOWHERE)
    queue = Queue(jnp.int32(0), count, jnp.where(count > 0, best, MAX))
    return rank, running_sum(orders.size), queue


def running_sum(values: Array) -> Array:
    """Inclusive cumulative sum of int32 `[N]`, modulo 2^32, by small triangular products."""
    length, width = values.shape[0], 16
    if length <= width:
        return values @ jnp.triu(jnp.ones((length, length), jnp.int32))
    rows = jnp.pad(values, (0, -length % width)).reshape(-1, width)
    within = rows @ jnp.triu(jnp.ones((width, width), jnp.int32))
    before = running_sum(within[:, -1]) - within[:, -1]
    return (within + before[:, None]).reshape(-1)[:length]


def slots_by_rank(labels: Labels, pool: Pool, num_ranks: int) -> Array:
    """`[2, num_ranks]` int32, the slot of each rank, bids first; undefined where there is none."""
    row = jnp.where(labels.key < 0, 0, num_ranks) + pool.rank
    row = jnp.where(pool.rank < NOWHERE, row, 2 * num_ranks)
    slots = jnp.arange(row.shape[0], dtype=jnp.int32)
    by_rank = jnp.zeros(2 * num_ranks, jnp.int32).at[row].set(slots, mode="drop")
    return by_rank.reshape(2, num_ranks)


def close_side(labels: Labels, pool: Pool, queue: Queue, by_rank: Array, num_slots: int) -> Orders:
    """A side in sorted form, `[N]`."""
    place = jnp.arange(num_slots, dtype=jnp.int32)
    is_live = place < queue.tail - queue.head
    slot = by_rank.at[queue.head + place].get(mode="clip")

    def read(values: Array, free: int) -> Array:
        taken = values.at[slot].get(mode="promise_in_bounds")
        return jnp.where(is_live, taken, free)

    return Orders(
        price=jnp.where(is_live, price_of(read(labels.key, 0)), NO_PRICE),
        size=read(pool.size, 0),
        order_id=read(labels.order_id, NO_ORDER),
        agent_id=read(pool.agent_id, NO_AGENT),
    )


def close_block(
    labels: Labels, pool: Pool, queues: Sequence[Queue], by_rank: Array, counters: Counters, n: int
) -> BookState:
    """The book after a block, sides `[n]`."""
    bids, asks = (close_side(labels, pool, queues[i], by_rank[i], n) for i in range(2))
    return BookState(bids=bids, asks=asks, counters=counters)
