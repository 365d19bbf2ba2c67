"""Books and messages that the engine's benchmarks play.

The messages are zero-intelligence flow, recorded from books that start near its stationary state
and played again from there, about 40 orders a side. Books of 1024 slots get the same messages and
hold `NUM_STANDING` more orders a side behind those, as books of large-tick stocks do: what differs
from 128 slots is what lies away from the touch.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from lob_core import BookConfig
from lob_core.flow import ZeroIntelligence, simulate

NUM_STREAMS = 64
NUM_RECORDED = 2_000
NUM_AGENTS = 2
NUM_STANDING = 400
FIRST_STANDING_ID = 2**29


@functools.cache
def record():
    """Opening books `[64, 128]` and the messages `[64, 2000]` that followed, as NumPy arrays."""
    model = ZeroIntelligence(refresh_every=10)
    params = model.default_params()
    config = BookConfig(num_slots=128, max_trades=0)

    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, config)
        return book, simulate(model, key_run, book, state, params, NUM_RECORDED, config)[2]

    return jax.device_get(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), NUM_STREAMS)))


def deepen(orders, direction, num_slots):
    """One side `[B, 128]` in `num_slots` slots, with standing orders behind, ten at each price."""
    count = (orders.size > 0).sum(axis=1, keepdims=True)
    behind = np.arange(num_slots) - count
    is_standing = (behind >= 0) & (behind < NUM_STANDING)
    last = np.take_along_axis(orders.price, count - 1, axis=1)
    width = ((0, 0), (0, num_slots - orders.size.shape[1]))

    def fill(values, free, standing):
        padded = np.pad(values, width, constant_values=free)
        return np.where(is_standing, standing, padded).astype(np.int32)

    return orders.replace(
        price=fill(orders.price, 0, last + direction * (20 + behind // 10)),
        size=fill(orders.size, 0, 100),
        order_id=fill(orders.order_id, 0, FIRST_STANDING_ID + behind),
        agent_id=fill(orders.agent_id, -1, 0),
    )


def make_batch(num_books, num_slots, num_messages):
    """Opening books `[B, N]` and messages `[B, M]`; at most 64 of them differ."""
    books, messages = record()
    if num_slots > 128:
        bids, asks = deepen(books.bids, -1, num_slots), deepen(books.asks, 1, num_slots)
        books = books.replace(bids=bids, asks=asks)
    rows = np.resize(np.arange(NUM_STREAMS), num_books)
    books = jax.tree.map(lambda x: jnp.asarray(x[rows]), books)
    return books, jax.tree.map(lambda x: jnp.asarray(x[rows, :num_messages]), messages)


def in_steps(play, num_steps):
    """`play(books, messages)` as a scan of that many steps; returns books and shares bought."""

    def one(books, messages):
        books, outcome = play(books, messages)
        return books, outcome.fills.bought

    def play_steps(books, messages):
        num_books = messages.price.shape[0]
        steps = jax.tree.map(lambda x: x.reshape(num_books, num_steps, -1).swapaxes(0, 1), messages)
        return jax.lax.scan(one, books, steps)

    return play_steps


def assert_plausible(books, bids_size):
    """Nothing was dropped or unknown, no book is crossed, none has run empty."""
    assert not any(bool(x.any()) for x in jax.tree.leaves(books.counters))
    assert bool((books.bids.price[:, 0] < books.asks.price[:, 0]).all())
    assert bool((bids_size > 0).all())
