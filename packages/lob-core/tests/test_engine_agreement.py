"""Every backend against the oracle, bit for bit, on random streams."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from lob_core import BookConfig, EventType, ResultCode, empty_book, process_messages
from lob_core.testing import random_messages, stack_trees
from lob_core.testing.agreement import ENGINES, assert_same, assert_sound, make_engine
from lob_core.testing.strategies import (
    arbitrary_messages,
    book_configs,
    seeded_streams,
    small_streams,
)

NUM_AGENTS = 2
BACKENDS = ["xla", "xla_blocks", "numba", "pallas"]
LENGTH = 40  # one length for all streams, so that each book shape compiles once
NUM_CHUNKS = 5


def agree(backend, config, messages, book=None):
    book = empty_book(config) if book is None else book
    expected = make_engine("reference", config)(book, messages)
    found = make_engine(backend, config)(book, messages)
    assert_same(found, expected)
    assert_sound(found[0])
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@settings(deadline=None, max_examples=80)
@given(config=book_configs(NUM_AGENTS), messages=small_streams(LENGTH, num_agents=NUM_AGENTS))
def test_backend__equals_the_reference_on_streams_that_overflow(backend, config, messages):
    agree(backend, config, messages)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(deadline=None, max_examples=40)
@given(
    config=book_configs(NUM_AGENTS),
    messages=seeded_streams(NUM_CHUNKS * LENGTH, num_agents=NUM_AGENTS),
)
def test_backend__equals_the_reference_on_long_plausible_streams(backend, config, messages):
    book = None
    for i in range(NUM_CHUNKS):
        chunk = jax.tree.map(operator.itemgetter(slice(i * LENGTH, (i + 1) * LENGTH)), messages)
        book, _ = agree(backend, config, chunk, book)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(deadline=None, max_examples=80)
@given(config=book_configs(NUM_AGENTS), messages=arbitrary_messages(LENGTH))
def test_backend__survives_arbitrary_integers_and_counts_every_message(backend, config, messages):
    book, outcome = agree(backend, config, messages)
    codes = np.asarray(outcome.reports.code)
    assert (codes == 11).sum() == book.counters.unknown_types
    assert (codes == 10).sum() == book.counters.invalid
    assert (codes == 9).sum() == book.counters.unknown_ids


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend__equals_the_reference_on_deep_books(backend):
    config = BookConfig(num_slots=200, max_trades=40, num_agents=NUM_AGENTS)
    for seed in range(4):
        messages = random_messages(
            seed, 700, half_width=20 * (seed + 1), lifetime=2000, num_agents=NUM_AGENTS
        )
        book, outcome = agree(backend, config, messages)
        assert outcome.trades.count == config.max_trades
        assert (np.asarray(book.bids.size) > 0).sum() > 64


@pytest.mark.parametrize("engine", ENGINES)
def test_engine__conserves_shares_and_never_crosses_the_book_after_any_message(engine):
    """What has come to rest is still there, but for what was dropped and what takers took."""
    config = BookConfig(num_slots=64, max_trades=0, num_agents=NUM_AGENTS)
    kinds = {EventType.SUBMIT: 0.8, EventType.MARKET: 0.2}
    messages = random_messages(5, 500, num_agents=NUM_AGENTS, weights=kinds)
    book, outcome = jax.device_get(make_engine(engine, config)(empty_book(config), messages))
    reports, fills = outcome.reports, outcome.fills
    has_both = (reports.best_bid > 0) & (reports.best_ask > 0)
    assert has_both.sum() > 100
    assert (reports.best_bid < reports.best_ask)[has_both].all()
    filled = reports.filled_size.sum()
    assert filled == fills.bought.sum() == fills.sold.sum() > 0
    rests = [ResultCode.RESTED, ResultCode.PARTLY_FILLED_RESTED, ResultCode.DROPPED]
    entered = (messages.size - reports.filled_size)[np.isin(reports.code, rests)].sum()
    assert book.counters.dropped_size > 0
    resting = book.bids.size.sum() + book.asks.size.sum()
    assert resting + book.counters.dropped_size == entered - filled


@pytest.mark.parametrize("backend", ["xla", "numba", "pallas"])
def test_engine__streams_cut_anywhere_give_the_same_book(backend):
    config = BookConfig(num_slots=64, max_trades=0, num_agents=NUM_AGENTS)
    messages = jax.tree.map(jnp.asarray, random_messages(6, 500, num_agents=NUM_AGENTS))
    whole, outcome = make_engine(backend, config)(empty_book(config), messages)
    play = functools.partial(process_messages, config=config, backend=backend)

    @jax.jit
    def in_steps(book, messages):
        steps = jax.tree.map(lambda x: x.reshape(-1, 20), messages)
        return jax.lax.scan(lambda book, step: play(book, step), book, steps)

    book, outcomes = in_steps(empty_book(config), messages)
    assert_same(book, whole)
    assert_same(outcomes.reports.code.reshape(-1), outcome.reports.code)
    assert_same(jax.tree.map(lambda x: x.sum(0), outcomes.fills), outcome.fills)


@pytest.mark.parametrize("backend", ["xla", "numba"])
def test_backends__agree_on_a_batch_under_nested_vmap(backend):
    config = BookConfig(num_slots=8, max_trades=16, num_agents=NUM_AGENTS)
    streams = [random_messages(seed, LENGTH, num_agents=NUM_AGENTS) for seed in range(6)]
    messages = jax.tree.map(lambda x: jnp.asarray(x).reshape(2, 3, -1), stack_trees(streams))
    books = empty_book(config, (2, 3))
    one = functools.partial(process_messages, config=config)
    found = jax.jit(jax.vmap(jax.vmap(functools.partial(one, backend=backend))))(books, messages)
    for i, stream in enumerate(streams):
        expected = make_engine("reference", config)(empty_book(config), stream)
        assert_same(jax.tree.map(operator.itemgetter((i // 3, i % 3)), found), expected)
    inner_only = jax.vmap(functools.partial(one, backend=backend), in_axes=(None, 0))
    shared = jax.jit(inner_only)(empty_book(config), jax.tree.map(lambda x: x[0], messages))
    assert_same(shared, jax.tree.map(lambda x: x[0], found))
