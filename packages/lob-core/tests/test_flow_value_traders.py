"""Value traders against closed forms, and whether the price follows the value.

Bounds of six sigma have a false-alarm rate of 2e-9 each. In the tests of cointegration a market
whose price does not follow the value passes its own test of level 1 % in one case of a hundred, so
`LEAST_FOUND` or more of `NUM_CHAINS` independent ones do with probability 8e-13, and more than
`MOST_FOUND` with probability 2e-5 (binomial).
"""

import dataclasses
import functools
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side, process_messages
from lob_core.flow import ValueTraders, ValueTradersState
from lob_core.testing import make_book
from lob_core.testing.agreement import assert_sound

MODEL = ValueTraders(refresh_every=10, max_shocks=8)
CONFIG = BookConfig(num_slots=96, max_trades=0)
NUM_CHAINS, NUM_LOOKS = 32, 200
LEAST_FOUND, MOST_FOUND = 10, 4
CRITICAL_1_PERCENT = -3.46  # Dickey and Fuller (1979), with a constant, 250 observations
SIX_SIGMA = 6.0
DEFAULT = MODEL.default_params()
# Over the fifty seconds of a chain this value is close to a random walk.
WANDERING = DEFAULT.fundamental.replace(
    reversion=jnp.float32(1e-4), volatility=jnp.float32(1.5), shock_rate=jnp.float32(0.05)
)
KNOWN = DEFAULT.replace(fundamental=WANDERING, value_rate=jnp.float32(8.0))


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, None))
def run(key, params):
    """One market: by look mid and value, in ticks; then its messages, book and final state."""
    key_open, key_run = jax.random.split(key)
    started = params.fundamental.replace(reversion=jnp.float32(1.0))  # near its mean
    book, state = MODEL.opening(key_open, params.replace(fundamental=started), CONFIG)

    def look(carry, key):
        book, state = carry
        messages, state = MODEL.sample(key, book, state, params, MODEL.refresh_every)
        mid = (state.last_bid + state.last_ask) / 2
        book, _ = process_messages(book, messages, config=CONFIG)
        return (book, state), (mid, state.value, messages)

    keys = jax.random.split(key_run, NUM_LOOKS)
    (book, state), (mid, value, messages) = jax.lax.scan(look, (book, state), keys)
    return mid, value, messages, book, state


@functools.cache
def chains(value_rate):
    keys = jax.random.split(jax.random.key(0), NUM_CHAINS)
    return jax.tree.map(np.asarray, run(keys, KNOWN.replace(value_rate=jnp.float32(value_rate))))


def unit_root_statistic(gap):
    """Dickey-Fuller: the t statistic of `gap` in a regression of its change, with a constant."""
    change, before = np.diff(gap), gap[:-1] - gap[:-1].mean()
    slope = (before @ change) / (before @ before)
    residual = change - change.mean() - slope * before
    variance = residual @ residual / (residual.size - 2) / (before @ before)
    return slope / np.sqrt(variance)


def num_cointegrated(value_rate):
    """In how many chains a unit root of mid less value is rejected at one per cent."""
    mid, value, *_ = chains(value_rate)
    return sum(unit_root_statistic(gap) < CRITICAL_1_PERCENT for gap in mid - value)


def test_mid__is_cointegrated_with_the_value():
    assert num_cointegrated(8.0) >= LEAST_FOUND
    mid, value, *_ = chains(8.0)
    late = slice(NUM_LOOKS // 4, None)
    gap = (mid - value)[:, late]
    assert gap.std() < 0.5 * (value - value[:, :1])[:, late].std()
    assert abs(gap.mean(1).mean()) < SIX_SIGMA * gap.mean(1).std() / np.sqrt(NUM_CHAINS)


def test_mid__is_not_without_value_traders():
    assert num_cointegrated(0.0) <= MOST_FOUND


def test_arrivals__have_the_rates_of_the_model():
    _, _, messages, book, _ = chains(8.0)
    seconds = (messages.time_s - 34_200) + messages.time_ns * 1e-9
    is_in = seconds <= 30.0
    assert (seconds[:, -1, -1] > 30.0).all()
    limit, market = (
        2 * float(rate.sum()) for rate in (DEFAULT.base.limit_rate, DEFAULT.base.market_rate)
    )
    for kind, rate in ((EventType.SUBMIT, limit + 8.0), (EventType.MARKET, market)):
        found = (is_in & (messages.event_type == kind)).sum()
        expected = rate * 30.0 * NUM_CHAINS
        assert abs(found - expected) < SIX_SIGMA * np.sqrt(expected)
    for i in range(NUM_CHAINS):
        assert_sound(jax.tree.map(lambda x, i=i: x[i], book))
    assert not any(x.any() for x in jax.tree.leaves(book.counters))


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, None, None, None))
def single_events(key, book, state, params):
    return MODEL.sample(key, book, state, params, 1)


@pytest.mark.parametrize(("value", "noise"), [(101.5, 2.0), (97.0, 3.0)])
def test_value_traders__buy_below_the_value_and_sell_above(value, noise):
    book = make_book(bids=[(99, [100])], asks=[(102, [100])], config=CONFIG)
    state = ValueTradersState(
        time_s=jnp.int32(34_200),
        time_ns=jnp.int32(0),
        next_order_id=jnp.int32(9),
        last_bid=jnp.int32(99),
        last_ask=jnp.int32(102),
        value=jnp.float32(value),
        lag_s=jnp.float32(0),
    )
    still = DEFAULT.fundamental.replace(volatility=jnp.float32(0), shock_rate=jnp.float32(0))
    still = still.replace(mean=jnp.float32(value))
    nobody = jax.tree.map(jnp.zeros_like, DEFAULT.base)
    nobody = nobody.replace(limit_size=jnp.full(128, 7, jnp.int32))
    params = DEFAULT.replace(fundamental=still, noise=jnp.float32(noise), base=nobody)
    num_draws = 20_000
    messages, after = single_events(
        jax.random.split(jax.random.key(2), num_draws), book, state, params
    )
    messages = jax.tree.map(lambda x: np.asarray(x)[:, 0], messages)
    assert (messages.event_type == EventType.SUBMIT).all()
    assert (messages.size == 7).all()
    is_buy = messages.side == Side.BID
    chances = NormalDist()

    def assert_share(events, share):
        sigma = np.sqrt(share * (1 - share) / num_draws)
        assert abs(events.mean() - share) < SIX_SIGMA * sigma

    assert_share(is_buy, chances.cdf((value - 100.5) / noise))
    # A buyer's limit is the estimate, rounded down: it pays 102 if the estimate is that or more.
    assert_share(is_buy & (messages.price >= 102), 1 - chances.cdf((102 - value) / noise))
    assert_share(~is_buy & (messages.price <= 99), chances.cdf((99 - value) / noise))
    wait = (messages.time_s - 34_200) + messages.time_ns * 1e-9
    mean = 1 / float(params.value_rate)
    assert abs(wait.mean() - mean) < SIX_SIGMA * mean / np.sqrt(num_draws)
    np.testing.assert_allclose(after.value, value, atol=1e-4)


@pytest.mark.parametrize("field", ["num_levels", "refresh_every", "max_shocks"])
def test_value_traders__refuse_fields_below_one(field):
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(MODEL, **{field: 0})
