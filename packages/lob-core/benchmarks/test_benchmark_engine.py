"""Messages per second of the engine, by backend, batch and book size.

The messages are zero-intelligence flow, recorded from books that start near its stationary state
and played again from there, about 40 orders a side. Books of 1024 slots get the same messages and
hold `NUM_STANDING` more orders a side behind those, as books of large-tick stocks do: what differs
from 128 slots is what lies away from the touch. `while_loop` is the yardstick of
`while_loop_engine`.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import while_loop_engine
from lob_core import BookConfig, process_messages
from lob_core.flow import ZeroIntelligence, simulate

NUM_STREAMS = 64
NUM_RECORDED = 2_000
NUM_AGENTS = 2
NUM_STANDING = 400
FIRST_STANDING_ID = 2**29
SECONDS = 1.0  # of timed calls, for one figure
MOST_ROUNDS = 20
NUM_FOLLOWING = 100  # calls after the first, of a loop of calls


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


def measure(benchmark, play, books, messages, what, num_messages, following=()):
    """Times `play(books, messages)`, which owns the books; returns an answer.

    Each call has a copy of the books, just made. With `following`, the messages of the calls after
    the first, each has the books that the call before returned.
    """
    num_books, num_slots = books.bids.price.shape
    bytes_per_book = sum(x.nbytes for x in jax.tree.leaves(books)) // num_books
    run = jax.jit(play, donate_argnums=0)
    start = time.perf_counter()
    run = run.lower(books, messages).compile()
    compile_s = time.perf_counter() - start

    parts, latest = iter(following), []

    def prepare():
        if latest:
            return (latest.pop(), next(parts)), {}
        return (jax.block_until_ready(jax.tree.map(jnp.copy, books)), messages), {}

    def call(*args):
        answer = jax.block_until_ready(run(*args))
        if following:
            latest.append(answer[0])
        return answer

    arguments, _ = prepare()
    start = time.perf_counter()
    call(*arguments)
    most_rounds = len(following) or MOST_ROUNDS
    rounds = max(1, min(most_rounds, int(SECONDS / (time.perf_counter() - start))))
    answer = benchmark.pedantic(call, setup=prepare, rounds=rounds)
    if benchmark.stats is not None:
        rate = num_books * num_messages / benchmark.stats.stats.median
        benchmark.extra_info["per_s"] = int(rate)
    benchmark.extra_info.update(
        what=what,
        books=num_books,
        messages=num_messages,
        slots=num_slots,
        compile_s=round(compile_s, 2),
        bytes_per_book=bytes_per_book,
        device=jax.devices()[0].device_kind,
    )
    return answer


def assert_plausible(books, bids_size):
    """Nothing was dropped or unknown, no book is crossed, none has run empty."""
    assert not any(bool(x.any()) for x in jax.tree.leaves(books.counters))
    assert bool((books.bids.price[:, 0] < books.asks.price[:, 0]).all())
    assert bool((bids_size > 0).all())


GRID = [
    pytest.mark.parametrize("num_slots", [128, 1024]),
    pytest.mark.parametrize("num_messages", [10, 100]),
    pytest.mark.parametrize("num_books", [1, 64, 1024, 4096]),
]


def on_grid(function):
    """Parametrizes a benchmark by books, messages and slots."""
    for mark in GRID:
        function = mark(function)
    return function


@on_grid
@pytest.mark.parametrize("backend", ["numba", "xla"])
def test_benchmark_engine(benchmark, backend, num_books, num_messages, num_slots):
    config = BookConfig(num_slots=num_slots, max_trades=num_messages, num_agents=NUM_AGENTS)
    books, messages = make_batch(num_books, num_slots, num_messages)
    play = jax.vmap(functools.partial(process_messages, config=config, backend=backend))
    new_books, _ = measure(benchmark, play, books, messages, backend, num_messages)
    assert_plausible(new_books, new_books.bids.size[:, 0])


@pytest.mark.parametrize("num_slots", [128, 1024])
@pytest.mark.parametrize("num_books", [1024, 4096])
def test_benchmark_call_after_call(benchmark, num_books, num_slots):
    """Ten messages a call on the books of the call before, as a loop in Python plays them.

    The books of `test_benchmark_engine` are copies just made, most of them out of the cache.
    """
    num_messages = 10
    config = BookConfig(num_slots=num_slots, max_trades=num_messages, num_agents=NUM_AGENTS)
    books, messages = make_batch(num_books, num_slots, num_messages * (1 + NUM_FOLLOWING))
    first, *following = (
        jax.tree.map(lambda x, i=i: x[:, i : i + num_messages], messages)
        for i in range(0, messages.price.shape[1], num_messages)
    )
    play = jax.vmap(functools.partial(process_messages, config=config, backend="numba"))
    what = "numba, call after call"
    new_books, _ = measure(benchmark, play, books, first, what, num_messages, following)
    assert_plausible(new_books, new_books.bids.size[:, 0])


@on_grid
def test_benchmark_while_loop(benchmark, num_books, num_messages, num_slots):
    """The yardstick; what it trades must be what the engine trades."""
    measure_while_loop(benchmark, num_books, num_messages, num_slots)


def measure_while_loop(benchmark, num_books, num_messages, num_slots):
    config = BookConfig(num_slots=num_slots, max_trades=num_messages, num_agents=NUM_AGENTS)
    books, messages = make_batch(num_books, num_slots, num_messages)
    play = jax.vmap(functools.partial(while_loop_engine.play, config=config))
    _, log = measure(benchmark, play, books, messages, "while_loop", num_messages)
    trades = jax.vmap(functools.partial(process_messages, config=config))(books, messages)[1].trades
    for name in ("price", "size", "maker_order_id", "taker_order_id", "count"):
        np.testing.assert_array_equal(getattr(log, name), getattr(trades, name), err_msg=name)


@pytest.mark.parametrize("engine", ["xla", "while_loop"])
def test_benchmark_one_long_call(benchmark, engine):
    """One book without dispatch, which is most of what a short call of it costs."""
    if engine == "while_loop":
        measure_while_loop(benchmark, 1, NUM_RECORDED, 128)
    else:
        config = BookConfig(num_slots=128, max_trades=NUM_RECORDED, num_agents=NUM_AGENTS)
        books, messages = make_batch(1, 128, NUM_RECORDED)
        play = jax.vmap(functools.partial(process_messages, config=config, backend=engine))
        new_books, _ = measure(benchmark, play, books, messages, engine, NUM_RECORDED)
        assert_plausible(new_books, new_books.bids.size[:, 0])


@pytest.mark.parametrize("num_slots", [128, 1024])
@pytest.mark.parametrize(
    ("num_books", "step", "num_steps"), [(1, 100, 20), (1, 2_000, 1), (1024, 8, 16)]
)
def test_benchmark_inside_scan(benchmark, num_books, step, num_steps, num_slots):
    """Steps of a few messages, as an environment makes them; and one book, without dispatch."""
    config = BookConfig(num_slots=num_slots, max_trades=step, num_agents=NUM_AGENTS)
    books, messages = make_batch(num_books, num_slots, step * num_steps)
    play = jax.vmap(functools.partial(process_messages, config=config, backend="numba"))

    def play_steps(books, messages):
        def one(books, messages):
            books, outcome = play(books, messages)
            return books, outcome.fills.bought

        steps = jax.tree.map(
            lambda x: x.reshape(num_books, num_steps, step).swapaxes(0, 1), messages
        )
        return jax.lax.scan(one, books, steps)

    what = f"numba, {num_steps} steps in a scan" if num_steps > 1 else "numba, one call"
    new_books, _ = measure(benchmark, play_steps, books, messages, what, step * num_steps)
    assert_plausible(new_books, new_books.bids.size[:, 0])
