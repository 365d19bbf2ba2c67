"""Steps of flow: several looks at the book make one step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side, make_messages, process_messages
from lob_core.flow import Hawkes, QueueReactive, ValueTraders, ZeroIntelligence
from marl_envs import EnvConfig
from marl_envs.background import flow_background
from marl_envs.clock import is_after
from marl_envs.playing import play

SLOTS, NUM_MESSAGES = 64, 8
BOOK = BookConfig(num_slots=SLOTS, max_trades=16)


def make_background(refresh_every, num_messages=NUM_MESSAGES):
    model = ZeroIntelligence(refresh_every=refresh_every)
    config = EnvConfig(num_slots=SLOTS, messages_per_step=num_messages)
    return flow_background(model, model.default_params(), config, jax.random.key(0), 1)


@pytest.mark.parametrize(("refresh_every", "num_looks"), [(3, 3), (8, 1), (100, 1)])
def test_looks__cover_the_step_exactly(refresh_every, num_looks):
    background = make_background(refresh_every)
    assert background.num_looks == num_looks
    book, market, state = background.opening(jnp.int32(0))
    played = play(background, state, jax.random.key(1), book, market, BOOK)
    assert played.messages.price.shape == (NUM_MESSAGES,)
    assert int(played.outcome.reports.code.shape[0]) == NUM_MESSAGES


def test_looks__together_are_one_call_over_all_messages():
    """Book, reports and fills are those of the same messages played at once."""
    background = make_background(refresh_every=3)
    book, market, state = background.opening(jnp.int32(0))
    sent = make_messages(EventType.MARKET, [Side.BID, Side.ASK], 0, 300, [2**30, 2**30 + 1])
    played = jax.jit(
        lambda key: play(background, state, key, book, market, BOOK, sent=sent),
    )(jax.random.key(2))
    assert played.messages.price.shape == (NUM_MESSAGES + 2,)
    after, outcome = process_messages(book, played.messages, config=BOOK)
    chex.assert_trees_all_equal(played.book, after)
    chex.assert_trees_all_equal(played.outcome.reports, outcome.reports)
    chex.assert_trees_all_equal(played.outcome.fills, outcome.fills)
    sizes = np.asarray(played.outcome.trades.size)
    assert (
        sizes[sizes > 0].tolist()
        == np.asarray(outcome.trades.size)[: sizes[sizes > 0].size].tolist()
    )
    assert int(played.outcome.trades.count) == int(outcome.trades.count) > 0
    times = np.asarray(played.messages.time_s) * 10**9 + np.asarray(played.messages.time_ns)
    assert (np.diff(times[2:]) >= 0).all()


def test_looks__a_later_one_knows_what_an_earlier_one_did():
    """Drawn one by one, no message names an order that is gone; drawn at once, many would."""
    for refresh_every, least, most in ((5, 0, 0), (200, 1, 200)):
        background = make_background(refresh_every, num_messages=200)
        book, market, state = background.opening(jnp.int32(0))
        played = play(background, state, jax.random.key(3), book, market, BOOK)
        assert int(played.book.counters.unknown_ids) == 0
        num_empty = int((played.messages.event_type == EventType.NOOP).sum())
        assert least <= num_empty <= most


@pytest.mark.parametrize("model", [Hawkes(), QueueReactive(), ValueTraders()], ids=repr)
def test_every_flow_model__is_a_background(model):
    config = EnvConfig(num_slots=SLOTS, messages_per_step=20)
    background = flow_background(model, model.default_params(), config, jax.random.key(0), 2)
    book, market, state = background.opening(jnp.int32(1))
    played = jax.jit(lambda key: play(background, state, key, book, market, BOOK))(
        jax.random.key(4)
    )
    assert int((played.messages.event_type != EventType.NOOP).sum()) > 10
    assert int(played.book.counters.invalid) == int(played.book.counters.unknown_ids) == 0
    bid, ask = int(played.book.bids.price[0]), int(played.book.asks.price[0])
    assert 0 < bid < ask
    before, after = (market.time_s, market.time_ns), played.time
    assert bool(is_after(after, before))
