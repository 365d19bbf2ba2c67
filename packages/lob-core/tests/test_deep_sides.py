"""Sides that CPU backends keep in parts (`numba` a front and a tail), against the oracle."""

import functools
import os
import platform
import subprocess
import sys

import jax
import numpy as np
import pytest
from lob_core import (
    BookConfig,
    EventType,
    Side,
    TimeInForce,
    UnknownCancel,
    empty_book,
    process_messages,
)
from lob_core.testing import random_messages, stack_trees
from lob_core.testing.agreement import assert_same, assert_sound, make_engine
from lob_core.testing.scripts import market, modify, script, submit

NUM_MESSAGES = 300
MOSTLY_SUBMITS = {EventType.SUBMIT: 0.9, EventType.DELETE: 0.05, EventType.MARKET: 0.05}


def config(num_slots):
    return BookConfig(
        num_slots=num_slots, max_trades=40, num_agents=2, unknown_cancel=UnknownCancel.UNIFORM
    )


def play_both(num_slots, book, messages, backend="numba"):
    expected = make_engine("reference", config(num_slots))(book, messages)
    found = make_engine(backend, config(num_slots))(book, messages)
    assert_same(found, expected)
    assert_sound(found[0])
    return found


def num_orders(book):
    return [int((np.asarray(side.size) > 0).sum()) for side in (book.bids, book.asks)]


@pytest.mark.parametrize("backend", ["numba", "xla"])
@pytest.mark.parametrize(("num_slots", "half_width"), [(150, 100), (512, 20)])
def test_deep_sides__equal_the_reference_while_they_grow_and_shrink(num_slots, half_width, backend):
    """From empty to several fronts deep or full, with orders near the touch and far behind."""
    from lob_core.backends.numba_record import MOST_WHOLE

    book, length = jax.device_get(empty_book(config(num_slots))), 6 * NUM_MESSAGES
    stream = random_messages(
        half_width, length, half_width=half_width, lifetime=length, num_agents=2
    )
    deepest = 0
    deepening = random_messages(1, length, half_width=half_width, weights=MOSTLY_SUBMITS)
    for first in range(0, length, NUM_MESSAGES):
        source = deepening if first % (2 * NUM_MESSAGES) == 0 else stream
        part = jax.tree.map(lambda x, i=first: x[i : i + NUM_MESSAGES], source)
        book, _ = play_both(num_slots, book, part, backend)
        deepest = max(deepest, min(num_orders(book)))
    assert deepest > MOST_WHOLE


def test_numba__one_order_sweeps_front_and_tail_and_the_remainder_rests():
    num_slots, num_asks = 512, NUM_MESSAGES - 3
    rows = [submit(Side.ASK, 1000 + i // 10, 1 + i % 3, i + 1) for i in range(num_asks)]
    rows += [submit(Side.BID, 990, 5, 9_001), modify(Side.ASK, 1002, 50, 290)]
    book, _ = play_both(
        num_slots, empty_book(config(num_slots)), script(*rows, market(Side.BID, 1, 9_002))
    )
    assert num_orders(book) == [1, num_asks - 1]
    sweep = script(
        *[submit(Side.BID, 1100, 10_000, 9_003, TimeInForce.GTC)],
        *[market(Side.ASK, 1, 10_000 + i) for i in range(NUM_MESSAGES - 1)],
    )
    book, outcome = play_both(num_slots, book, sweep)
    assert num_orders(book) == [2, 0]
    assert int(outcome.reports.filled_size[0]) > 500


def test_numba__books_too_deep_for_the_cache_equal_the_reference():
    """The kernel asks for the next book's lines; one book in four is not as deep as it guesses."""
    from lob_core.backends.numba_desk import CACHED_LINES

    num_books, num_slots, depth = 128, 512, NUM_MESSAGES
    assert num_books * 8 * (depth // 16) > CACHED_LINES
    rows = [submit(Side.ASK, 1000 + i // 10, 1 + i % 3, 10_000 + i) for i in range(depth)]
    empty = jax.device_get(empty_book(config(num_slots)))
    deep, _ = play_both(num_slots, empty, script(*rows))
    books = [empty if i % 4 == 3 else deep for i in range(num_books)]
    streams = [random_messages(i, 12, mid=1000, num_agents=2) for i in range(num_books)]
    play = jax.vmap(functools.partial(process_messages, config=config(num_slots), backend="numba"))
    found = jax.device_get(jax.jit(play)(stack_trees(books), stack_trees(streams)))
    oracle = make_engine("reference", config(num_slots))
    for i, (book, stream) in enumerate(zip(books, streams, strict=True)):
        assert_same(jax.tree.map(lambda x, i=i: x[i], found), oracle(book, stream))


@pytest.mark.learn
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names x86 features")
def test_numba__without_wide_vectors_passes_these_tests_too(tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+fma,+lzcnt,+popcnt,+sse4.2",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    tests = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", __file__]
    subprocess.run(tests, check=True, env=environment, timeout=600)
