"""The zero-intelligence model against closed forms.

Every statistical test uses fixed seeds and a critical value whose false-alarm rate, stated with
it, is what a fresh seed would have; a failure is therefore a defect of the code.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side
from lob_core.flow import ZeroIntelligence, simulate
from lob_core.testing import make_book
from lob_core.testing.agreement import assert_same, assert_sound

CONFIG = BookConfig(num_slots=32, max_trades=0)
MODEL = ZeroIntelligence(num_levels=5)
SIX_SIGMA = 6.0
"""A normal statistic beyond six standard deviations has a false-alarm rate of 2e-9."""

BOOK = make_book(
    bids=[(100, [100, 200]), (98, [300]), (90, [50])],
    asks=[(102, [10]), (103, [20])],
    config=CONFIG,
)


def make_state(model=MODEL, config=CONFIG):
    return model.opening(jax.random.key(0), model.default_params(), config)[1]


@functools.cache
def sampler(num_messages):
    return jax.jit(functools.partial(MODEL.sample, num_messages=num_messages))


@functools.cache
def many_single_events(num_draws=40_000):
    """One event each from many independent looks at `BOOK`."""
    keys = jax.random.split(jax.random.key(1), num_draws)
    draw = jax.vmap(lambda key: MODEL.sample(key, BOOK, make_state(), MODEL.default_params(), 1)[0])
    return jax.tree.map(lambda x: np.asarray(x)[:, 0], jax.jit(draw)(keys))


def assert_shares(counts, weights):
    """Each count is binomial with the share of its weight, within six sigma."""
    counts, share = np.asarray(counts, float), np.asarray(weights, float) / np.sum(weights)
    total = counts.sum()
    sigma = np.sqrt(total * share * (1 - share))
    assert (np.abs(counts - total * share) <= SIX_SIGMA * sigma).all(), (counts, total * share)


def cancel_rates():
    """Rate of each order of `BOOK` by its distance from the opposite best quote."""
    theta = np.asarray(MODEL.default_params().cancel_rate)
    distances = {1: 2, 2: 2, 3: 4, 4: 12, 5: 2, 6: 3}
    return {order_id: theta[min(d, 5) - 1] for order_id, d in distances.items()}


def test_sample__draws_event_types_in_proportion_to_their_rates():
    params, messages = MODEL.default_params(), many_single_events()
    is_bid = messages.side == Side.BID
    kinds = [EventType.SUBMIT, EventType.MARKET]
    counts = [(messages.event_type == k)[m].sum() for k in kinds for m in (is_bid, ~is_bid)]
    counts.append((messages.event_type == EventType.DELETE).sum())
    limit = float(params.limit_rate.sum())
    market = float(params.market_rate)
    assert_shares(counts, [limit, limit, market, market, sum(cancel_rates().values())])


def test_sample__draws_limit_prices_by_distance_from_the_opposite_best():
    messages = many_single_events()
    is_limit = messages.event_type == EventType.SUBMIT
    for side, opposite in ((Side.BID, 102), (Side.ASK, 100)):
        prices = messages.price[is_limit & (messages.side == side)]
        distance = (opposite - prices) * side
        counts = np.bincount(distance, minlength=6)
        assert counts[0] == 0
        assert_shares(counts[1:], MODEL.default_params().limit_rate)


def test_sample__cancels_each_order_in_proportion_to_its_rate():
    messages = many_single_events()
    ids = messages.order_id[messages.event_type == EventType.DELETE]
    rates = cancel_rates()
    assert_shares(np.bincount(ids, minlength=7)[1:], [rates[i] for i in range(1, 7)])
    is_cancel = messages.event_type == EventType.DELETE
    resting = {1: (100, 100), 2: (100, 200), 3: (98, 300), 4: (90, 50), 5: (102, 10), 6: (103, 20)}
    named = zip(ids, messages.price[is_cancel], messages.size[is_cancel], strict=True)
    assert {(int(i), (int(p), int(s))) for i, p, s in named} == set(resting.items())


def test_sample__waits_are_exponential_with_the_total_rate():
    params, messages = MODEL.default_params(), many_single_events()
    rate = 2 * float(params.limit_rate.sum() + params.market_rate) + sum(cancel_rates().values())
    seconds = (messages.time_s - 34_200) + messages.time_ns * 1e-9
    waits = np.sort(seconds * rate)
    distance = np.abs((1 - np.exp(-waits)) - (np.arange(waits.size) + 0.5) / waits.size).max()
    # Kolmogorov-Smirnov: P(sqrt(n) D > 3.3) < 2 exp(-2 * 3.3^2) = 7e-10.
    assert np.sqrt(waits.size) * distance < 3.3
    # The mean of n exponentials is within six sigma of 1.
    assert abs(waits.mean() - 1) < SIX_SIGMA / np.sqrt(waits.size)


def test_queue__has_the_stationary_law_of_its_birth_death_chain():
    """With one level at fixed prices a queue is born with rate `l` and dies with `m + n c`.

    Its stationary law is `p(n) ~ prod_k l / (m + k c)` (Cont et al. 2010, section 3). Chains are
    read after a fixed number of events, which favors states that are left quickly, so each is
    weighted by one over its total rate.
    """
    model = ZeroIntelligence(num_levels=1)
    arrivals, market, cancels = 3.0, 1.0, 0.5
    params = dataclasses.replace(
        model.default_params(),
        limit_rate=jnp.array([arrivals]),
        cancel_rate=jnp.array([cancels]),
        market_rate=jnp.float32(market),
        limit_size=jnp.full(128, 100, jnp.int32),
        market_size=jnp.full(128, 100, jnp.int32),
    )
    start = make_book(bids=[(100, [100] * 4)], asks=[(101, [100] * 4)], config=CONFIG)
    state = make_state(model).replace(
        last_bid=jnp.int32(100), last_ask=jnp.int32(101), next_order_id=jnp.int32(100)
    )

    def run(key):
        book, _, _, outcome = simulate(model, key, start, state, params, 300, CONFIG)
        return (book.bids.size > 0).sum(), (book.asks.size > 0).sum(), outcome.reports.code

    num_chains = 1024
    keys = jax.random.split(jax.random.key(3), num_chains)
    bids, asks, codes = jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(keys))
    assert not np.isin(codes, [9, 10, 11, 12]).any()

    n = np.arange(25)
    log_law = np.cumsum(np.log(np.r_[1.0, arrivals / (market + cancels * n[1:])]))
    law = np.exp(log_law) / np.exp(log_law).sum()
    weight = 1 / (2 * (arrivals + market) + cancels * (bids + asks))
    for power in (1, 2):
        values = (bids**power + asks**power) / 2
        expected = (law * n**power).sum()
        found = (weight * values).sum() / weight.sum()
        residual = weight * (values - found)
        sigma = np.sqrt((residual**2).sum()) / weight.sum()
        assert abs(found - expected) < SIX_SIGMA * sigma, (power, found, expected, sigma)


def test_sample__cancels_of_one_look_name_distinct_orders_that_exist():
    for seed in range(20):
        messages, _ = sampler(12)(jax.random.key(seed), BOOK, make_state(), MODEL.default_params())
        ids = np.asarray(messages.order_id)[np.asarray(messages.event_type) == EventType.DELETE]
        assert len(set(ids.tolist())) == ids.size
        assert set(ids.tolist()) <= {1, 2, 3, 4, 5, 6}


def test_sample__never_cancels_an_order_of_an_agent():
    agent_book = jax.tree.map(jnp.asarray, BOOK)
    agent_book = agent_book.replace(
        bids=agent_book.bids.replace(agent_id=jnp.where(agent_book.bids.size > 0, 1, -1)),
        asks=agent_book.asks.replace(agent_id=jnp.where(agent_book.asks.size > 0, 2, -1)),
    )
    messages, _ = sampler(12)(jax.random.key(0), agent_book, make_state(), MODEL.default_params())
    assert not np.isin(messages.event_type, [EventType.DELETE, EventType.NOOP]).any()


@pytest.mark.parametrize("refresh_every", [1, 10])
def test_simulate__stays_liquid_and_every_message_is_understood(refresh_every):
    model = ZeroIntelligence(refresh_every=refresh_every)
    config = BookConfig(num_slots=96, max_trades=0)

    def run(key):
        key_open, key_run = jax.random.split(key)
        params = model.default_params()
        book, state = model.opening(key_open, params, config)
        return simulate(model, key_run, book, state, params, 4_000, config)

    num_books = 25 if refresh_every == 1 else 5
    book, state, _, outcome = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(4), num_books))
    bid, ask = np.asarray(outcome.reports.best_bid), np.asarray(outcome.reports.best_ask)
    assert (bid > 0).all()  # 1e5 messages in all when refresh_every is 1
    assert (ask > 0).all()
    spread = ask - bid
    assert (spread >= 1).all()
    assert (spread <= 3).mean() > 0.95
    assert np.abs((bid + ask) / 2 - 10_000).max() < 500
    assert not any(int(value.sum()) for value in dataclasses.astuple(book.counters))
    num_levels = [len(set(prices[prices > 0])) for prices in np.asarray(book.bids.price)]
    assert 5 <= np.mean(num_levels) <= 13
    assert (np.asarray(state.time_s) > 34_200 + 30).all()


def test_simulate__outcome_is_that_of_one_call_over_its_messages():
    from lob_core.testing.agreement import make_engine

    config = BookConfig(num_slots=32, max_trades=16)
    params = MODEL.default_params()
    book, state = MODEL.opening(jax.random.key(5), params, config)
    end, _, messages, outcome = simulate(MODEL, jax.random.key(6), book, state, params, 60, config)
    assert_same((end, outcome), make_engine("reference", config)(book, messages))
    assert_sound(end)
    times = np.asarray(messages.time_s, np.int64) * 10**9 + np.asarray(messages.time_ns)
    assert (np.diff(times) >= 0).all()
    assert times[0] > 34_200 * 10**9


def test_simulate__needs_whole_looks():
    model = ZeroIntelligence(num_levels=5, refresh_every=8)
    with pytest.raises(ValueError, match=r"num_messages is 12; .* refresh_every = 8"):
        simulate(model, jax.random.key(0), BOOK, make_state(), model.default_params(), 12, CONFIG)


def test_opening__is_sound_and_close_to_the_stationary_depth():
    model = ZeroIntelligence()
    config = BookConfig(num_slots=64, max_trades=0)
    params = model.default_params()
    open_book = jax.jit(jax.vmap(lambda key: model.opening(key, params, config)))
    books, states = open_book(jax.random.split(jax.random.key(7), 256))
    for i in range(8):
        assert_sound(jax.tree.map(lambda x, i=i: x[i], books))
    num_orders = np.asarray((books.bids.size > 0).sum(1) + (books.asks.size > 0).sum(1))
    np.testing.assert_array_equal(states.next_order_id, num_orders + 1)
    ids = np.concatenate([books.bids.order_id[0], books.asks.order_id[0]])
    assert sorted(ids[ids > 0]) == list(range(1, num_orders[0] + 1))
    spread = np.asarray(books.asks.price[:, 0] - books.bids.price[:, 0])
    assert set(spread.tolist()) == {1, 2}
    assert (np.asarray(books.asks.price[:, 0]) == 10_001).all()
    mean = np.asarray(params.limit_rate / params.cancel_rate)
    tail = [mean.sum() - 1 * mean[0] * (s == 2) for s in (1, 2)]
    expected = 0.75 * (tail[0] + np.exp(-mean[0])) + 0.25 * (tail[1] + np.exp(-mean[1]))
    found = num_orders / 2
    assert abs(found.mean() - expected) < SIX_SIGMA * found.std() / np.sqrt(found.size)


def test_opening__leaves_out_the_farthest_orders_of_a_small_book():
    config = BookConfig(num_slots=2, max_trades=0)
    book, state = MODEL.opening(jax.random.key(8), MODEL.default_params(), config)
    assert_sound(book)
    assert int(state.next_order_id) == 5


def test_opening__holds_no_order_where_none_arrives():
    params = MODEL.default_params()
    params = params.replace(limit_rate=params.limit_rate.at[2:4].set(0.0))
    with jax.debug_nans(True):
        book, _ = MODEL.opening(jax.random.key(1), params, CONFIG)
    assert_sound(book)
    distance = int(book.asks.price[0]) - np.asarray(book.bids.price)[np.asarray(book.bids.size) > 0]
    assert set(distance) <= {1, 2, 5}
    assert 5 in distance


def test_model__is_hashable_and_checks_its_fields():
    assert hash(ZeroIntelligence()) == hash(ZeroIntelligence())
    with pytest.raises(ValueError, match=r"num_levels is 0"):
        ZeroIntelligence(num_levels=0)
    with pytest.raises(ValueError, match=r"refresh_every is 1\.5"):
        ZeroIntelligence(refresh_every=1.5)
