"""Sides that the CPU kernel splits into a front and a tail, against the oracle."""

import jax
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side, TimeInForce, UnknownCancel, empty_book
from lob_core.testing import random_messages
from lob_core.testing.agreement import assert_same, assert_sound, make_engine
from lob_core.testing.scripts import market, modify, script, submit

NUM_MESSAGES = 300
MOSTLY_SUBMITS = {EventType.SUBMIT: 0.9, EventType.DELETE: 0.05, EventType.MARKET: 0.05}


def config(num_slots):
    return BookConfig(
        num_slots=num_slots, max_trades=40, num_agents=2, unknown_cancel=UnknownCancel.UNIFORM
    )


def play_both(num_slots, book, messages):
    expected = make_engine("reference", config(num_slots))(book, messages)
    found = make_engine("numba", config(num_slots))(book, messages)
    assert_same(found, expected)
    assert_sound(found[0])
    return found


def num_orders(book):
    return [int((np.asarray(side.size) > 0).sum()) for side in (book.bids, book.asks)]


@pytest.mark.parametrize(("num_slots", "half_width"), [(150, 100), (512, 20)])
def test_numba__equals_the_reference_while_sides_outgrow_a_front(num_slots, half_width):
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
        book, _ = play_both(num_slots, book, part)
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
