"""Messages per second of the engine, by backend, batch and book size.

The messages are zero-intelligence flow, recorded from books that start near its stationary state
and played again from there. "shallow" books hold about 40 orders a side, "deep" ones about 200.
"""

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, process_messages
from lob_core.flow import ZeroIntelligence, simulate
from lob_core.types import Orders

NUM_STREAMS = 64
NUM_RECORDED = 2_000
NUM_AGENTS = 2
MODELS = {"shallow": (ZeroIntelligence(refresh_every=10), 1.0)}
MODELS["deep"] = (ZeroIntelligence(num_levels=60, refresh_every=10), 1.0)


@functools.cache
def record(depth):
    """Opening books `[64, 1024]` and the messages `[64, 2000]` that followed, as NumPy arrays."""
    model, scale = MODELS[depth]
    params = model.default_params()
    params = dataclasses.replace(params, limit_rate=params.limit_rate * scale)
    config = BookConfig(num_slots=1024, max_trades=0)

    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, config)
        return book, simulate(model, key_run, book, state, params, NUM_RECORDED, config)[2]

    return jax.device_get(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), NUM_STREAMS)))


def make_batch(depth, num_books, num_slots, num_messages):
    """Opening books `[B, N]` and messages `[B, M]`; at most 64 of them differ."""
    books, messages = record(depth)

    def repeat(x, length):
        rows = np.resize(np.arange(NUM_STREAMS), num_books)
        return jnp.asarray(x[rows, :length] if x.ndim == 2 else x[rows])

    def resize(orders: Orders):
        assert not orders.size[:, num_slots:].any()
        return jax.tree.map(lambda x: repeat(x, num_slots), orders)

    books = books.replace(
        bids=resize(books.bids),
        asks=resize(books.asks),
        counters=jax.tree.map(lambda x: repeat(x, 0), books.counters),
    )
    return books, jax.tree.map(lambda x: repeat(x, num_messages), messages)


def measure(benchmark, play, opening, num_messages, rounds, **labels):
    """Times `play(books) -> books`, which owns its argument, on copies of the opening books."""
    run = jax.jit(play, donate_argnums=0)
    num_books, num_slots = opening.bids.price.shape

    def copy_books():
        return (jax.block_until_ready(jax.tree.map(jnp.copy, opening)),), {}

    copies, _ = copy_books()
    start = time.perf_counter()
    jax.block_until_ready(run(*copies))
    first_call_s = time.perf_counter() - start

    books = benchmark.pedantic(
        lambda books: jax.block_until_ready(run(books)),
        setup=copy_books,
        rounds=rounds,
        warmup_rounds=2,
    )
    assert not any(bool(x.any()) for x in jax.tree.leaves(books.counters))
    assert bool((books.bids.price[:, 0] < books.asks.price[:, 0]).all())
    assert bool((books.bids.size[:, 0] > 0).all())
    if benchmark.stats is not None:
        rate = num_books * num_messages / benchmark.stats.stats.median
        benchmark.extra_info["messages_per_s"] = int(rate)
    benchmark.extra_info.update(
        labels,
        books=num_books,
        slots=num_slots,
        orders_a_side=int(jnp.mean(jnp.sum(books.bids.size > 0, axis=1))),
        bytes_per_book=sum(x.nbytes for x in jax.tree.leaves(books)) // num_books,
        first_call_s=round(first_call_s, 2),
        device=jax.devices()[0].device_kind,
    )


def benchmark_batch(benchmark, backend, depth, num_books, num_slots, num_messages, rounds):
    config = BookConfig(num_slots=num_slots, max_trades=num_messages, num_agents=NUM_AGENTS)
    books, messages = make_batch(depth, num_books, num_slots, num_messages)
    play = jax.vmap(functools.partial(process_messages, config=config, backend=backend))
    labels = {"backend": backend, "flow": depth, "messages": num_messages}
    measure(benchmark, lambda b: play(b, messages)[0], books, num_messages, rounds, **labels)


@pytest.mark.parametrize(("depth", "num_slots"), [("shallow", 128), ("deep", 1024)])
@pytest.mark.parametrize("num_messages", [10, 100])
@pytest.mark.parametrize("num_books", [1, 64, 1024, 4096])
def test_benchmark_numba(benchmark, num_books, num_messages, depth, num_slots):
    benchmark_batch(benchmark, "numba", depth, num_books, num_slots, num_messages, 20)


@pytest.mark.parametrize(("depth", "num_slots"), [("shallow", 128), ("deep", 1024)])
@pytest.mark.parametrize("num_books", [1, 64, 1024])
def test_benchmark_xla(benchmark, num_books, depth, num_slots):
    benchmark_batch(benchmark, "xla", depth, num_books, num_slots, 10, 3)


@pytest.mark.parametrize(("num_books", "step", "num_steps"), [(1, 100, 20), (1024, 8, 16)])
def test_benchmark_numba_inside_scan(benchmark, num_books, step, num_steps):
    """Steps of a few messages, as an environment makes them; and one book, without dispatch."""
    config = BookConfig(num_slots=128, max_trades=step, num_agents=NUM_AGENTS)
    books, messages = make_batch("shallow", num_books, config.num_slots, step * num_steps)
    steps = jax.tree.map(lambda x: x.reshape(num_books, num_steps, step).swapaxes(0, 1), messages)
    play = jax.vmap(functools.partial(process_messages, config=config, backend="numba"))

    def play_steps(books):
        def one(books, messages):
            books, outcome = play(books, messages)
            return books, outcome.fills.bought

        return jax.lax.scan(one, books, steps)[0]

    labels = {"backend": "numba in scan", "flow": "shallow", "messages": step}
    measure(benchmark, play_steps, books, step * num_steps, 20, **labels)
