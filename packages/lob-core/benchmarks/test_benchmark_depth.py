"""What orders away from the touch cost: the same messages on books of 128 slots and of 1024.

Both are played in turns, so that what else the machine does slows both. Where the books of 1024
slots do not fit in the cache it matters where they were before the call: calls have copies just
made, or the books that the call before returned, as a loop in Python does, or are steps of a scan.
"""

import functools
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, process_messages
from recorded_flow import NUM_AGENTS, assert_plausible, make_batch

MOST_ROUNDS = 300
SECONDS = 4.0  # of timed calls, for one figure
NUM_CALLS = 100  # of a loop, until it begins anew


class Player:
    """Calls of the `numba` backend on one batch of books.

    Args:
        num_books, num_slots: sizes of the batch.
        step, num_steps: messages at a time; a call is a scan of several such steps, or one.
        is_loop: whether a call has the books of the call before, not copies of the opening ones.
    """

    def __init__(self, num_books, num_slots, step, num_steps, is_loop):
        config = BookConfig(num_slots=num_slots, max_trades=step, num_agents=NUM_AGENTS)
        play = functools.partial(process_messages, config=config, backend="numba")
        play = jax.vmap(play) if num_books > 1 else play

        def play_steps(books, messages):
            def one(books, messages):
                books, outcome = play(books, messages)
                return books, outcome.fills.bought

            split = (*messages.price.shape[:-1], num_steps, step)
            steps = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(split), -2, 0), messages)
            return jax.lax.scan(one, books, steps)

        length = step * num_steps
        num_calls = NUM_CALLS if is_loop else 1
        self.opening, messages = make_batch(num_books, num_slots, num_calls * length)
        if num_books == 1:
            self.opening, messages = jax.tree.map(lambda x: x[0], (self.opening, messages))
        parts = [
            jax.tree.map(lambda x, i=i: x[..., i * length : (i + 1) * length], messages)
            for i in range(num_calls)
        ]
        self.parts = itertools.cycle(enumerate(parts))
        run = jax.jit(play_steps if num_steps > 1 else play, donate_argnums=0)
        self.run = run.lower(self.opening, parts[0]).compile()
        self.books = self.arguments = None

    def prepare(self):
        """Makes the arguments of the next call ready."""
        number, messages = next(self.parts)
        if number == 0:
            self.books = jax.block_until_ready(jax.tree.map(jnp.copy, self.opening))
        self.arguments = self.books, messages

    def call(self):
        """Plays them; returns the seconds that it took."""
        start = time.perf_counter()
        self.books, _ = jax.block_until_ready(self.run(*self.arguments))
        return time.perf_counter() - start


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
        Player(num_books, num_slots, step, num_steps, way == "loop") for num_slots in (128, 1024)
    )
    times = {shallow: [], deep: []}

    def prepare():
        shallow.prepare()
        times[shallow].append(shallow.call())
        deep.prepare()

    def call():
        times[deep].append(deep.call())

    prepare()
    call()
    both = times[shallow].pop() + times[deep].pop()
    rounds = max(3, min(MOST_ROUNDS, int(SECONDS / both)))
    benchmark.pedantic(call, setup=prepare, rounds=rounds)
    for player in times:
        books = jax.tree.map(jnp.atleast_2d, player.books)
        assert_plausible(books, books.bids.size[:, 0])
    median_shallow, median_deep = (float(np.median(seconds)) for seconds in times.values())
    num_messages = step * num_steps
    benchmark.extra_info.update(
        what=f"numba, {way}, in turns",
        per_s=int(num_books * num_messages / median_deep),
        books=num_books,
        messages=num_messages,
        slots=1024,
        per_s_128_slots=int(num_books * num_messages / median_shallow),
        times_128_slots=round(median_deep / median_shallow, 2),
    )
