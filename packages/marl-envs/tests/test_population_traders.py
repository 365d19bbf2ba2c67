"""Noise, trend, mean-reversion and value traders against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs.agents import formulas
from marl_envs.population.noise import ZeroIntelligence
from marl_envs.population.technical import MeanReversion, Momentum, MovingAverageCrossover
from marl_envs.population.value import Value
from marl_envs.testing import make_agent, make_market
from marl_envs.types import OwnOrders

BID, ASK = int(Side.BID), int(Side.ASK)
RESTING = OwnOrders(
    side=jnp.asarray([ASK]),
    price=jnp.asarray([108]),
    size=jnp.asarray([[7, 2]]),
    order_id=jnp.asarray([[5, 9]]),
)


def orders(want):
    """Wanted orders as (side, price, size, is_immediate) rows."""
    columns = (want.side, want.price, want.size, want.is_immediate)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return [row for row in rows if row[2] > 0]


def many(behavior, agent, market, number=4000):
    """Its decisions under many keys, as one `Wanted` with leading axis `[number]`."""
    memory = behavior.init_memory(jax.random.key(0), agent, market)
    decide = jax.jit(jax.vmap(lambda key: behavior.decide(key, 0, agent, memory, market, None)[0]))
    return decide(jax.random.split(jax.random.key(1), number))


def follow(behavior, mids, inventory=0):
    """Orders after a path of mids (whole ticks, spread 2), looking on every step."""
    agent = make_agent(mids[0] - 1, mids[0] + 1, account={"inventory": inventory})
    market = make_market(mids[0] - 1, mids[0] + 1)
    memory = behavior.init_memory(jax.random.key(0), agent, market)
    decide = jax.jit(behavior.decide)
    for step, mid in enumerate(mids):
        market = market.replace(
            best_bid=jnp.int32(mid - 1), best_ask=jnp.int32(mid + 1), step=jnp.int32(step)
        )
        agent = agent.replace(best_bid=market.best_bid, best_ask=market.best_ask)
        want, memory = decide(jax.random.key(step), 0, agent, memory, market, None)
    return orders(want)


def test_zero_intelligence__draws_side_size_and_shade():
    trader = ZeroIntelligence(
        activity=1.0, sizes=(10, 40), size_weights=(3.0, 1.0), min_shade=-2, max_shade=3
    )
    want = many(trader, make_agent(96, 103), make_market(96, 103))
    side, price, size = (np.asarray(x)[:, 0] for x in (want.side, want.price, want.size))
    assert 0.46 < (side == BID).mean() < 0.54
    assert 0.71 < (size == 10).mean() < 0.79
    assert set(size) == {10, 40}
    assert set(price[side == BID]) == {99 - shade for shade in range(-2, 4)}
    assert set(price[side == ASK]) == {100 + shade for shade in range(-2, 4)}
    _, counts = np.unique(price[side == BID], return_counts=True)
    assert (abs(counts / counts.sum() - 1 / 6) < 0.03).all()


def test_zero_intelligence__mostly_leaves_its_order_alone():
    agent = make_agent(96, 103).replace(orders=RESTING)
    want = many(ZeroIntelligence(activity=0.1), agent, make_market(96, 103))
    kept = (np.asarray(want.price) == 108) & (np.asarray(want.size) == 9)
    assert 0.87 < kept.mean() < 0.93
    assert (np.asarray(want.side)[kept] == ASK).all()


@pytest.mark.parametrize(
    ("mids", "expected"),
    [
        ([100, 101, 99, 104], [(BID, 105, 10, True)]),  # up 4 over three steps
        ([100, 104, 104, 97], [(ASK, 96, 10, True)]),
        ([100, 104, 97, 102], []),  # up 2: not beyond the threshold
        ([100, 104, 108], []),  # too early
    ],
)
def test_momentum__follows_the_change_over_the_lookback(mids, expected):
    assert follow(Momentum(lookback=3, threshold=2.0, activity=1.0), mids) == expected


def test_momentum__trades_towards_its_position_and_out_of_it():
    trader = Momentum(lookback=1, max_position=25, activity=1.0)
    assert follow(trader, [100, 104], inventory=20) == [(BID, 105, 5, True)]
    assert follow(trader, [100, 104], inventory=25) == []
    assert follow(trader, [100, 100], inventory=7) == [(ASK, 99, 7, True)]


@pytest.mark.parametrize(
    ("mids", "expected"),
    [
        ([100, 100, 104, 104], [(BID, 105, 10, True)]),  # fast 104, slow 102
        ([104, 104, 100, 100], [(ASK, 99, 10, True)]),
        ([100, 101, 101, 100], []),  # fast and slow are both 100.5
    ],
)
def test_moving_average__compares_fast_with_slow(mids, expected):
    trader = MovingAverageCrossover(fast=2, slow=4, threshold=1.0, activity=1.0)
    assert follow(trader, mids) == expected


def test_mean_reversion__enters_beyond_and_leaves_within_its_bands():
    """Mids 100, 100, 100, 104: mean 101, deviation sqrt 3, z = 1.73."""
    path = [100, 100, 100, 104]
    trader = MeanReversion(lookback=4, entry=1.7, exit=0.5, activity=1.0)
    assert follow(trader, path) == [(ASK, 103, 10, True)]
    assert follow(trader, [200 - mid for mid in path]) == [(BID, 97, 10, True)]
    patient = MeanReversion(lookback=4, entry=1.8, exit=0.5, activity=1.0)
    assert follow(patient, path, inventory=-30) == []
    assert follow(patient, [100, 104, 100, 102], inventory=-30) == [(BID, 103, 10, True)]


def test_technical__looks_only_now_and_then():
    trader = Momentum(lookback=1, activity=0.25)
    agent = make_agent(99, 101)
    market = make_market(99, 101, step=5)
    want = many(trader, agent, market.replace(best_ask=jnp.int32(111)))
    assert np.asarray(want.size).sum() == 0  # the window still holds the present mid only
    memory = jnp.asarray([160, 180])
    decide = jax.vmap(lambda key: trader.decide(key, 0, agent, memory, market, None)[0])
    sizes = np.asarray(decide(jax.random.split(jax.random.key(2), 2000)).size)
    assert 0.21 < (sizes > 0).mean() < 0.29


TRADER = Value(
    activity=1.0,
    signal_noise=2.0,
    surplus=1.0,
    fundamental_mean=104.0,
    reversion=0.5,
    volatility=1.0,
    horizon_s=0.5,
)


def test_value__estimates_by_bayes_and_the_law_of_the_fundamental():
    """Mid 100, mean 104; one second passes; the signal says 110."""
    market = make_market(99, 101)
    belief = TRADER.init_memory(jax.random.key(0), make_agent(), market)
    assert (float(belief.mean), float(belief.variance)) == (4.0, 1.0)
    later = market.replace(time_s=market.time_s + 1)
    belief, value = TRADER.estimate(belief, jnp.float32(10.0), later)
    mean = 4.0 + (1.0 / (1.0 + 4.0)) * (10.0 - 4.0)
    assert float(belief.mean) == pytest.approx(mean, rel=1e-5)
    assert float(belief.variance) == pytest.approx(0.8, rel=1e-5)
    expected, _ = formulas.mean_reverting_forecast(mean, 0.8, 4.0, 0.5, 1.0, 0.5)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)


def test_value__the_estimate_has_the_least_squared_error():
    """Kalman filter: no other gain does better on the same path."""

    def error(gain, key):
        def step(carry, key):
            truth, guess = carry
            key_move, key_see = jax.random.split(key)
            decay = np.exp(-0.5)
            spread = np.sqrt((1 - decay**2) / (2 * 0.5))
            truth = decay * truth + spread * jax.random.normal(key_move)
            signal = truth + 2.0 * jax.random.normal(key_see)
            guess = decay * guess
            guess = guess + gain * (signal - guess)
            return (truth, guess), (truth - guess) ** 2

        return jax.lax.scan(step, (0.0, 0.0), jax.random.split(key, 4000))[1].mean()

    market = make_market(99, 101)
    belief = TRADER.init_memory(jax.random.key(0), make_agent(), market)
    for second in range(1, 40):
        now = market.replace(time_s=market.time_s + second)
        belief, _ = TRADER.estimate(belief, jnp.float32(0.0), now)
    gain = float(belief.variance) / TRADER.signal_noise**2  # v' = v n / (v + n) = gain n
    errors = jax.jit(jax.vmap(error, (0, None)))(
        jnp.asarray([gain, gain * 0.6, gain * 1.6]), jax.random.key(3)
    )
    assert float(errors[0]) < min(float(errors[1]), float(errors[2]))
    assert float(errors[0]) == pytest.approx(float(belief.variance), rel=0.1)


@pytest.mark.parametrize(("fundamental", "side"), [(140.0, BID), (60.0, ASK)])
def test_value__buys_what_is_cheap_and_sells_what_is_dear(fundamental, side):
    trader = Value(activity=1.0, signal_noise=0.01, surplus=1.5, volatility=20.0)
    market = make_market(99, 101, fundamental=fundamental)
    want = many(trader, make_agent(99, 101), market, number=50)
    assert (np.asarray(want.side) == side).all()
    price = fundamental - side * 1.5
    assert np.abs(np.asarray(want.price) - price).max() <= 1.1
    assert not np.asarray(want.is_immediate).any()


def test_value__keeps_its_order_and_belief_until_it_looks():
    trader = Value(activity=0.5)
    agent, market = make_agent(99, 101).replace(orders=RESTING), make_market(99, 101)
    memory = trader.init_memory(jax.random.key(0), agent, market)
    later = market.replace(time_s=market.time_s + 9)
    decide = jax.vmap(lambda key: trader.decide(key, 0, agent, memory, later, None))
    want, belief = decide(jax.random.split(jax.random.key(1), 500))
    kept = np.asarray(want.price)[:, 0] == 108
    assert 0.4 < kept.mean() < 0.6
    assert (np.asarray(belief.time[0])[kept] == int(market.time_s)).all()
    assert (np.asarray(belief.time[0])[~kept] == int(later.time_s)).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ZeroIntelligence(activity=0.0), "activity is 0"),
        (lambda: ZeroIntelligence(sizes=()), "sizes is"),
        (lambda: ZeroIntelligence(size_weights=(1.0,)), "size_weights is"),
        (lambda: ZeroIntelligence(min_shade=9), "min_shade is 9"),
        (lambda: Momentum(lookback=0), "lookback is 0"),
        (lambda: Momentum(activity=2.0), "activity is 2"),
        (lambda: MovingAverageCrossover(fast=5, slow=5), "slow is 5"),
        (lambda: MeanReversion(exit=3.0), "exit is 3"),
        (lambda: Value(signal_noise=0.0), "signal_noise is 0"),
        (lambda: Value(surplus=-1.0), "surplus is -1"),
        (lambda: Value(activity=0.0), "activity is 0"),
    ],
)
def test_traders__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
