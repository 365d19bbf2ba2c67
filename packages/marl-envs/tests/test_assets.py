"""Several books on one clock, agents across them, and what risk costs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs import AgentSpec, EnvConfig
from marl_envs.assets import (
    Allocation,
    AssetsConfig,
    AssetsEnv,
    IndexArbitrage,
    IndexArbitrageRule,
    PortfolioSpec,
)
from marl_envs.assets.risk import RiskPenalty, no_risk, risk_after
from marl_envs.assets.schemes import PortfolioView
from marl_envs.testing import check_env, record_windows

MARKET = EnvConfig(
    agents=(AgentSpec("market_maker"),), num_steps=5, messages_per_step=4, num_slots=24
)
CONFIG = AssetsConfig(
    num_assets=3,
    market=MARKET,
    portfolios=(
        PortfolioSpec(Allocation(max_position=20), num_agents=2, settings={"taker_fee": 0.1}),
        PortfolioSpec(
            IndexArbitrage(weights=(1, 2)), name="arbitrage", penalty=RiskPenalty(0.01, 0.5, 1e-6)
        ),
    ),
    observes_others=True,
)
ENV = AssetsEnv(CONFIG)


@pytest.fixture(scope="module")
def params():
    return ENV.make_params(step_seconds=0.5, num_openings=3)


def test_assets__pass_the_suite_of_every_environment(params):
    groups = ENV.groups
    assert {name: group.num_agents for name, group in groups.items()} == {
        "market_maker": 3,
        "portfolio": 2,
        "arbitrage": 1,
    }
    assert groups["portfolio"].action_space.shape == (3,)
    assert groups["arbitrage"].observation_names[-1] == "mispricing"
    assert groups["market_maker"].observation_names[-1] == "imbalance_2"
    check_env(ENV, params, num_steps=7)


def test_assets__share_a_clock_and_legs_reach_their_targets_at_a_cost(params):
    _, state = jax.jit(ENV.reset)(jax.random.key(0), params)
    step = jax.jit(ENV.step_env)
    want = jnp.asarray([[0.5, -0.25, 0.0], [0.0, 0.0, 1.0]])
    action = {
        "market_maker": jnp.zeros(3, int),
        "portfolio": want,
        "arbitrage": jnp.asarray([1]),
    }
    start, paid = state.books.market.time_s[0] * 2, np.zeros(2)
    for index in range(MARKET.num_steps):
        obs, state, reward, terminated, _, info = step(jax.random.key(index), state, action, params)
        clock = 2 * state.books.market.time_s + state.books.market.time_ns // 500_000_000
        assert (np.asarray(clock - start) == index + 1).all()
        paid += np.asarray(reward["portfolio"])
    seen = info["agents"]["portfolio"]
    names = ENV.groups["portfolio"].observation_names
    for name, entry in (("drawdown", seen["drawdown"]), ("exposure", seen["exposure"]),
                        ("volatility", np.sqrt(seen["variance"]))):  # fmt: skip
        assert np.asarray(entry).any()
        shown = obs["portfolio"][:, names.index(name)]
        assert np.asarray(shown) == pytest.approx(np.log1p(np.asarray(entry) / 100), abs=1e-4)
    held = np.asarray(seen["inventory"])
    assert np.array_equal(held, np.round(np.asarray(want) * 20))
    assert info["agents"]["arbitrage"]["inventory"].tolist() == [[10, 20, -10]]
    result = info["episode"]["portfolio"]
    assert bool(terminated["portfolio"].all())
    assert paid * 100 == pytest.approx(np.asarray(result["pnl"]), abs=1e-3)
    assert np.asarray(result["fees"]) == pytest.approx([0.1 * 15, 0.1 * 20])
    cash = sum(a.account.cash.sum(-1) for a in state.books.agents.values()) + state.books.rest.cash
    assert not np.asarray(cash).any()


def test_make_params__windows_of_all_assets_start_at_the_same_times():
    env = AssetsEnv(dataclasses.replace(CONFIG, num_assets=2, portfolios=()))
    one, two = (record_windows(MARKET, n, 2, seed=n) for n in (2, 3))
    params = env.make_params([one, two], step_seconds=1.0)
    assert params.background.windows.max_messages_per_step == 3
    assert params.background.windows.packed.shape[0] == 2
    late = dataclasses.replace(two, time_s=two.time_s + 1)
    with pytest.raises(ValueError, match="other times"):
        env.make_params([one, late], step_seconds=1.0)
    with pytest.raises(ValueError, match="1 backgrounds for 2 assets"):
        env.make_params([one], step_seconds=1.0)


def view(mid, inventory=(0, 0, 0)):
    return PortfolioView(
        inventory=jnp.asarray(inventory),
        mid=jnp.asarray(mid, jnp.float32),
        mid_open=jnp.asarray([100.0, 50.0, 200.0]),
    )


@pytest.mark.parametrize(
    ("mid", "inventory", "target"),
    [
        ((100, 50, 203), (0, 0, 0), [10, 20, -10]),  # the index is 3 ticks dear
        ((100, 50, 201), (0, 0, 0), [0, 0, 0]),  # within the threshold of 2
        ((100, 50, 201), (10, 20, -10), [10, 20, -10]),  # kept until the sign changes
        ((100, 50, 199), (10, 20, -10), [0, 0, 0]),
        ((101, 52, 200), (0, 0, 0), [-10, -20, 10]),  # the basket rose by 1 + 2 x 2
    ],
)
def test_index_arbitrage_rule__follows_the_mispricing(mid, inventory, target):
    rule = IndexArbitrageRule(weights=(1, 2))
    assert rule.targets(jnp.int32(0), view(mid, inventory)).tolist() == target


def test_risk__worked_example():
    """Gains of 10 and -4: value 6, peak 10, drawdown 4; penalties count 16, 4, 300."""
    first = risk_after(no_risk(1), jnp.asarray([10.0]), jnp.asarray([500.0]))
    after = risk_after(first, jnp.asarray([-4.0]), jnp.asarray([300.0]))
    assert float(after.value[0]) == 6
    assert float(after.drawdown[0]) == 4
    assert float(after.variance[0]) == pytest.approx(0.9 * 10 + 0.1 * 16)
    cost = RiskPenalty(1.0, 10.0, 100.0).cost(first, after)
    assert float(cost[0]) == 16 + 40 + 30_000


def test_config__refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="is for 3 assets, not 2"):
        AssetsConfig(num_assets=2, portfolios=(PortfolioSpec(IndexArbitrage(weights=(1, 2))),))
    with pytest.raises(ValueError, match="must be >= 0"):
        RiskPenalty(drawdown_penalty=-1.0)
