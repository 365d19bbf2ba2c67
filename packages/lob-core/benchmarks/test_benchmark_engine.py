"""Messages per second of the engine, by backend, batch and book size.

`recorded_flow` says what is played. `while_loop` is the yardstick of `while_loop_engine`.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import while_loop_engine
from lob_core import BookConfig, process_messages
from recorded_flow import NUM_AGENTS, NUM_RECORDED, assert_plausible, in_steps, make_batch

SECONDS = 1.0  # of timed calls, for one figure
MOST_ROUNDS = 20


def measure(benchmark, play, books, messages, what, num_messages):
    """Times `play(books, messages)`, which owns the books, copies just made; returns an answer."""
    num_books, num_slots = books.bids.price.shape
    bytes_per_book = sum(x.nbytes for x in jax.tree.leaves(books)) // num_books
    run = jax.jit(play, donate_argnums=0)
    start = time.perf_counter()
    run = run.lower(books, messages).compile()
    compile_s = time.perf_counter() - start

    def fresh():
        return (jax.block_until_ready(jax.tree.map(jnp.copy, books)), messages), {}

    def call(*args):
        return jax.block_until_ready(run(*args))

    arguments, _ = fresh()
    start = time.perf_counter()
    call(*arguments)
    rounds = max(1, min(MOST_ROUNDS, int(SECONDS / (time.perf_counter() - start))))
    answer = benchmark.pedantic(call, setup=fresh, rounds=rounds)
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
    what = f"numba, {num_steps} steps in a scan" if num_steps > 1 else "numba, one call"
    new_books, _ = measure(
        benchmark, in_steps(play, num_steps), books, messages, what, step * num_steps
    )
    assert_plausible(new_books, new_books.bids.size[:, 0])
