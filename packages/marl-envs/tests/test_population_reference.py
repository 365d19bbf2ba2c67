"""The reference population makes a market of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs import MarketEnv
from marl_envs.population.reference import reference_params, reference_population

NUM_STEPS = 200


def test_reference_population__has_the_stated_make_up():
    config = reference_population()
    numbers = {spec.name: spec.num_agents for spec in config.agents}
    assert numbers == {"makers": 2, "value": 100, "momentum": 12, "noise": 1000}
    assert config.num_steps == 23_400


@pytest.mark.slow
def test_reference_population__trades_stays_quoted_and_conserves_cash():
    env = MarketEnv(
        reference_population(NUM_STEPS, num_value=40, num_momentum=4, num_noise=150, num_slots=192)
    )
    params = reference_params(env, num_openings=1)

    @jax.jit
    def play(key):
        _, state = env.reset_env(key, params)

        def step(state, index):
            _, state, *_, info = env.step_env(jax.random.fold_in(key, index), state, {}, params)
            accounts = [agents.account for agents in state.agents.values()]
            cash = sum(jnp.sum(account.cash) for account in accounts) + state.rest.cash
            shares = sum(jnp.sum(a.inventory) for a in accounts) + state.rest.inventory
            return state, (info["market"], cash, shares)

        return jax.lax.scan(step, state, jnp.arange(NUM_STEPS))

    state, (market, cash, shares) = play(jax.random.key(2))
    assert not np.asarray(cash).any()
    assert not np.asarray(shares).any()
    assert np.asarray(market["bid_size"]).min() > 0
    assert np.asarray(market["ask_size"]).min() > 0
    assert np.median(market["spread"]) <= 4
    assert int(state.book.counters.dropped_orders) == 0
    assert int(state.book.counters.invalid) == 0
    for name in ("makers", "value", "noise"):
        account = state.agents[name].account
        assert int((account.bought + account.sold).sum()) > 0, name
    assert 60 < int(market["time_s"][-1] - market["time_s"][0]) < 600
    late = slice(NUM_STEPS // 2, None)
    gap = np.asarray(market["mid"] - market["fundamental"])[late]
    assert np.abs(gap).mean() < 8  # a few standard deviations of the fundamental
