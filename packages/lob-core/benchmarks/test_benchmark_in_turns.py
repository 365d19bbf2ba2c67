"""Comparisons, played in turns, so that what else the machine does slows both sides of one.

* What orders away from the touch cost: the same messages on books of 128 slots and of 1024. Where
  the books of 1024 slots do not fit in the cache it matters where they were before the call: calls
  have copies just made, or the books that the call before returned, as a loop in Python does, or
  are steps of a scan.
* How many times the rate of `while_loop_engine` the `xla` backend plays.
"""

import functools
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import while_loop_engine
from lob_core import BookConfig, process_messages
from recorded_flow import NUM_AGENTS, assert_plausible, in_steps, make_batch

MOST_ROUNDS = 300
SECONDS = 4.0  # of timed calls, for one figure
NUM_CALLS = 100  # of a loop, until it begins anew


class Player:
    """Calls of an engine on one batch of books.

    Args:
        engine: a backend, or `while_loop`.
        num_books, num_slots: sizes of the batch.
        step, num_steps: messages at a time; a call is a scan of several such steps, or one.
        is_loop: whether a call has the books of the call before, not copies of the opening ones.
    """

    def __init__(self, engine, num_books, num_slots, step, num_steps=1, is_loop=False):
        config = BookConfig(num_slots=num_slots, max_trades=step, num_agents=NUM_AGENTS)
        if engine == "while_loop":
            play = functools.partial(while_loop_engine.play, config=config)
        else:
            play = functools.partial(process_messages, config=config, backend=engine)
        play = jax.vmap(play)
        length = step * num_steps
        num_calls = NUM_CALLS if is_loop else 1
        self.num_messages = num_books * length
        self.opening, messages = make_batch(num_books, num_slots, num_calls * length)
        parts = [
            jax.tree.map(lambda x, i=i: x[:, i * length : (i + 1) * length], messages)
            for i in range(num_calls)
        ]
        self.parts = itertools.cycle(enumerate(parts))
        run = jax.jit(in_steps(play, num_steps) if num_steps > 1 else play, donate_argnums=0)
        self.run = run.lower(self.opening, parts[0]).compile()
        self.books = self.arguments = self.outcome = None
        self.seconds = []

    def prepare(self):
        """Makes the arguments of the next call ready."""
        number, messages = next(self.parts)
        if number == 0:
            self.books = jax.block_until_ready(jax.tree.map(jnp.copy, self.opening))
        self.arguments = self.books, messages

    def call(self):
        """Plays them and notes how long it took."""
        start = time.perf_counter()
        self.books, self.outcome = jax.block_until_ready(self.run(*self.arguments))
        self.seconds.append(time.perf_counter() - start)

    def rate(self):
        """Messages a second, of the median call."""
        return self.num_messages / float(np.median(self.seconds))


def take_turns(benchmark, player, other):
    """Times calls of both; those of `other` are not part of the benchmark's own figure."""

    def prepare():
        other.prepare()
        other.call()
        player.prepare()

    prepare()
    player.call()
    both = other.seconds.pop() + player.seconds.pop()
    rounds = max(3, min(MOST_ROUNDS, int(SECONDS / both)))
    benchmark.pedantic(player.call, setup=prepare, rounds=rounds)


@pytest.mark.parametrize(
    ("num_books", "step", "num_steps", "way"),
    [
        (1, 100, 20, "scan"),
        (64, 10, 1, "copies"),
        (64, 100, 1, "copies"),
        (1024, 8, 16, "scan"),
        (1024, 10, 1, "loop"),
        (1024, 10, 1, "copies"),
        (1024, 100, 1, "copies"),
        (4096, 10, 1, "loop"),
        (4096, 10, 1, "copies"),
        (4096, 100, 1, "copies"),
    ],
)
def test_benchmark_depth(benchmark, num_books, step, num_steps, way):
    shallow, deep = (
        Player("numba", num_books, num_slots, step, num_steps, way == "loop")
        for num_slots in (128, 1024)
    )
    take_turns(benchmark, deep, shallow)
    for player in (shallow, deep):
        assert_plausible(player.books, player.books.bids.size[:, 0])
    benchmark.extra_info.update(
        what=f"numba, {way}, in turns with 128 slots",
        per_s=int(deep.rate()),
        books=num_books,
        messages=step * num_steps,
        slots=1024,
        others_per_s=int(shallow.rate()),
        ratio=round(deep.rate() / shallow.rate(), 2),
    )


@pytest.mark.parametrize(
    ("num_books", "num_messages"),
    [(1, 10), (1, 100), (1, 2000), (64, 10), (64, 100), (1024, 10), (1024, 100), (4096, 10)],
)
def test_benchmark_yardstick(benchmark, num_books, num_messages):
    xla, yardstick = (
        Player(engine, num_books, 128, num_messages) for engine in ("xla", "while_loop")
    )
    take_turns(benchmark, xla, yardstick)
    assert_plausible(xla.books, xla.books.bids.size[:, 0])
    np.testing.assert_array_equal(xla.outcome.trades.size, yardstick.outcome.size)
    benchmark.extra_info.update(
        what="xla, in turns with while_loop",
        per_s=int(xla.rate()),
        books=num_books,
        messages=num_messages,
        slots=128,
        others_per_s=int(yardstick.rate()),
        ratio=round(xla.rate() / yardstick.rate(), 2),
    )
