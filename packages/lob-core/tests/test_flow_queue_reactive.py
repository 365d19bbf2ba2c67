"""The queue-reactive model against closed forms; false-alarm rates of six sigma, 2e-9 each."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side
from lob_core.flow import QueueReactive, simulate
from lob_core.flow.queue_reactive import stationary_law
from lob_core.testing import make_book
from lob_core.testing.agreement import assert_sound

CONFIG = BookConfig(num_slots=32, max_trades=0)
MODEL = QueueReactive(num_levels=3, num_sizes=6)
SIX_SIGMA = 6.0
PARAMS = MODEL.default_params().replace(
    limit_rate=jnp.arange(1.0, 19.0).reshape(3, 6),
    cancel_rate=jnp.arange(1.0, 19.0).reshape(3, 6) / 2,
    market_rate=jnp.arange(1.0, 19.0).reshape(3, 6) / 3,
    event_size=jnp.array([10, 20, 40], jnp.int32),
    far_cancel_rate=jnp.float32(0.5),
)
# Around 100.5: bids of 2 and 0 and 1 units, one far away; asks of 0, 4 and "5 or more" units.
BOOK = make_book(
    bids=[(100, [10, 5]), (98, [40]), (95, [7])],
    asks=[(102, [20, 20, 20, 1]), (103, [400, 1])],
    config=CONFIG,
)


def make_state(**changes):
    state = MODEL.opening(jax.random.key(0), PARAMS, CONFIG)[1]
    return state.replace(reference=jnp.int32(100), mid_half_ticks=jnp.int32(202), **changes)


@functools.cache
def many_single_events(num_draws=40_000):
    """One event each from many independent looks at `BOOK`."""
    keys = jax.random.split(jax.random.key(1), num_draws)
    draw = jax.vmap(lambda key: MODEL.sample(key, BOOK, make_state(), PARAMS, 1)[0])
    return jax.tree.map(lambda x: np.asarray(x)[:, 0], jax.jit(draw)(keys))


def rate(table, distance, units):
    return float(getattr(PARAMS, table)[distance - 1, units])


BID_UNITS, ASK_UNITS = (2, 0, 1), (0, 4, 5)


def expected_rates():
    """Rates of limit buys and sells by distance, of market orders, and of cancels by order id."""
    buys = [rate("limit_rate", i + 1, n) for i, n in enumerate(BID_UNITS)]
    sells = [rate("limit_rate", i + 1, n) for i, n in enumerate(ASK_UNITS)]
    market = {Side.BID: rate("market_rate", 2, 4), Side.ASK: rate("market_rate", 1, 2)}
    cancels = [rate("cancel_rate", 1, 2) / 2] * 2 + [rate("cancel_rate", 3, 1), 0.5]
    cancels += [rate("cancel_rate", 2, 4) / 4] * 4 + [rate("cancel_rate", 3, 5) / 2] * 2
    return buys, sells, market, cancels


def assert_shares(counts, weights):
    counts, share = np.asarray(counts, float), np.asarray(weights, float) / np.sum(weights)
    sigma = np.sqrt(counts.sum() * share * (1 - share))
    assert (np.abs(counts - counts.sum() * share) <= SIX_SIGMA * sigma).all(), (counts, share)


def test_sample__draws_every_event_at_its_rate():
    messages = many_single_events()
    buys, sells, market, cancels = expected_rates()
    is_limit = messages.event_type == EventType.SUBMIT
    counts = [(is_limit & (messages.price == 100 - i)).sum() for i in range(3)]
    counts += [(is_limit & (messages.price == 101 + i)).sum() for i in range(3)]
    is_market = messages.event_type == EventType.MARKET
    counts += [(is_market & (messages.side == side)).sum() for side in market]
    is_cancel = messages.event_type == EventType.DELETE
    counts += [(is_cancel & (messages.order_id == i + 1)).sum() for i in range(len(cancels))]
    assert sum(counts) == messages.price.size
    assert_shares(counts, [*buys, *sells, *market.values(), *cancels])


def test_sample__sends_orders_of_one_unit():
    messages = many_single_events()
    is_limit = messages.event_type == EventType.SUBMIT
    distance = np.where(messages.side == Side.BID, 101 - messages.price, messages.price - 100)
    sizes = np.asarray(PARAMS.event_size)
    np.testing.assert_array_equal(messages.size[is_limit], sizes[distance[is_limit] - 1])
    is_market = messages.event_type == EventType.MARKET
    hit = np.where(messages.side == Side.BID, 20, 10)  # the best ask is at distance 2
    np.testing.assert_array_equal(messages.size[is_market], hit[is_market])


def test_sample__waits_at_the_total_rate():
    messages = many_single_events()
    buys, sells, market, cancels = expected_rates()
    total = sum(buys) + sum(sells) + sum(market.values()) + sum(cancels)
    waits = ((messages.time_s - 34_200) + messages.time_ns * 1e-9) * total
    assert abs(waits.mean() - 1) < SIX_SIGMA / np.sqrt(waits.size)
    assert abs(waits.var() - 1) < SIX_SIGMA * np.sqrt(8 / waits.size)


def test_rates__count_orders_of_agents_but_never_cancel_them():
    agent_id = jnp.where(BOOK.bids.order_id == 1, 3, BOOK.bids.agent_id)
    book = BOOK.replace(bids=BOOK.bids.replace(agent_id=agent_id))
    rates, cancels = MODEL.rates(book, make_state(), PARAMS)
    before, _ = MODEL.rates(BOOK, make_state(), PARAMS)
    np.testing.assert_array_equal(rates, before)
    assert cancels[:4].tolist() == [0.0, rate("cancel_rate", 1, 2), rate("cancel_rate", 3, 1), 0.5]


def test_queue__has_the_stationary_law_of_its_birth_death_chain():
    """With one level the reference cannot move, and both queues are independent chains.

    Chains are read after a fixed number of events, which favors states that are left quickly, so
    each is weighted by one over its total rate. The share of every size is tested.
    """
    model = QueueReactive(num_levels=1, num_sizes=8)
    size = np.arange(8)
    limit, cancel, market = 3.0 - 0.3 * size, 0.5 * size, 1.0 / np.maximum(size, 1) * (size > 0)
    limit[-1] = 0.0  # the last column is for that size alone
    params = model.default_params().replace(
        limit_rate=jnp.asarray(limit[None], jnp.float32),
        cancel_rate=jnp.asarray(cancel[None], jnp.float32),
        market_rate=jnp.asarray(market[None], jnp.float32),
    )

    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = model.opening(key_open, params, CONFIG)
        book, state, _, outcome = simulate(model, key_run, book, state, params, 200, CONFIG)
        counts = jnp.stack([(book.bids.size > 0).sum(), (book.asks.size > 0).sum()])
        return counts, state.reference, outcome.reports.code

    num_chains = 2048
    keys = jax.random.split(jax.random.key(3), num_chains)
    counts, reference, codes = jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(keys))
    assert (reference == 10_000).all()
    assert not np.isin(codes, [9, 10, 11, 12]).any()

    law = np.cumprod(np.r_[1.0, limit[:-1] / (cancel + market)[1:]])
    law /= law.sum()
    np.testing.assert_allclose(stationary_law(params)[0], law, rtol=1e-4)
    weight = 1 / (limit + cancel + market)[counts].sum(1)
    for units, share in enumerate(law):
        values = (counts == units).mean(1)
        found = (weight * values).sum() / weight.sum()
        sigma = np.sqrt(((weight * (values - found)) ** 2).sum()) / weight.sum()
        assert abs(found - share) < SIX_SIGMA * sigma + 1e-3, (units, found, share, sigma)


def test_opening__has_queues_of_the_stationary_law():
    params = MODEL.default_params()
    draw = jax.jit(jax.vmap(lambda key: MODEL.opening(key, params, CONFIG)))
    books, states = draw(jax.random.split(jax.random.key(4), 4_000))
    assert_sound(jax.tree.map(lambda x: x[0], books))
    law = np.asarray(stationary_law(params))
    for distance in (1, 2):  # the farthest holds an order where the side would be empty
        counts = (np.asarray(books.bids.price) == 10_001 - distance).sum(1)
        assert_shares(np.bincount(counts, minlength=6), law[distance - 1])
    num_orders = (np.asarray(books.bids.size) > 0).sum(1) + (np.asarray(books.asks.size) > 0).sum(1)
    np.testing.assert_array_equal(states.next_order_id, num_orders + 1)
    assert (np.asarray(books.bids.size[:, 0]) > 0).all()


def test_sample__moves_the_reference_price_with_the_mid():
    """Best quotes 100 and 102 are a mid of 202 half ticks; the reference may be 100 or 101."""
    keys = jax.random.split(jax.random.key(5), 4_000)

    def references(book, state):
        draw = jax.vmap(lambda key: MODEL.sample(key, book, state, PARAMS, 1)[1])
        return np.asarray(jax.jit(draw)(keys).reference)

    probability = float(PARAMS.move_probability)
    sigma = np.sqrt(probability * (1 - probability) / keys.size)
    up = references(BOOK, make_state().replace(mid_half_ticks=jnp.int32(201)))
    assert abs((up == 101).mean() - probability) < SIX_SIGMA * sigma
    assert set(up) == {100, 101}
    assert set(references(BOOK, make_state())) == {100}  # the mid has not moved
    down = make_state().replace(mid_half_ticks=jnp.int32(203))
    assert set(references(BOOK, down)) == {100}  # not below the best bid
    far = make_state().replace(reference=jnp.int32(120))
    assert set(references(BOOK, far)) == {101}  # always between the best quotes


@pytest.mark.parametrize("refresh_every", [1, 10])
def test_simulate__stays_liquid_and_every_message_is_understood(refresh_every):
    model = QueueReactive(refresh_every=refresh_every)
    config = BookConfig(num_slots=96, max_trades=0)

    def run(key):
        key_open, key_run = jax.random.split(key)
        params = model.default_params()
        book, state = model.opening(key_open, params, config)
        return simulate(model, key_run, book, state, params, 2_000, config)

    book, state, _, outcome = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(6), 8))
    bid, ask = np.asarray(outcome.reports.best_bid), np.asarray(outcome.reports.best_ask)
    spread = (ask - bid)[(bid > 0) & (ask > 0)]
    assert spread.size > 0.999 * bid.size
    assert (spread >= 1).all()
    assert (spread <= 3).mean() > 0.95
    assert np.unique(bid).size > 3  # the price moves
    assert not any(int(value.sum()) for value in dataclasses.astuple(book.counters))
    assert (np.asarray(state.time_s) > 34_200 + 10).all()


def test_model__is_hashable_and_checks_its_fields():
    assert hash(QueueReactive()) == hash(QueueReactive())
    with pytest.raises(ValueError, match="num_sizes is 1; it must be an int >= 2"):
        QueueReactive(num_sizes=1)
