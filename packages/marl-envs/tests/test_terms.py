"""Fees, position limits and bankruptcy, worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType, Side
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.terms import Terms
from marl_envs.testing import ScriptedFlow

MARKET, SELL = int(EventType.MARKET), int(Side.ASK)


def build(*agents, script=(), num_steps=6, num_slots=8, **flow):
    config = EnvConfig(agents=agents, num_steps=num_steps, messages_per_step=2, num_slots=num_slots)
    env = MarketEnv(config)
    params = env.make_params(ScriptedFlow(script=script, **flow), num_openings=1)
    _, state = jax.jit(env.reset)(jax.random.key(0), params)
    step = jax.jit(env.step_env)

    def play(state, key=0, **actions):
        action = {name: jnp.atleast_1d(jnp.asarray(a)) for name, a in actions.items()}
        obs, state, reward, _, _, info = step(jax.random.key(key), state, action, params)
        return state, reward, info, obs

    return state, play


def test_fees__rebate_of_the_maker_and_fee_of_the_taker_are_exact():
    """The maker joins 100 at 99; 104 shares are sold into it: it buys 4, rebate 0.25 a share.

    The taker buys 7 at 101 and pays 0.3 a share.
    """
    terms = {"maker_fee": -0.25, "taker_fee": 0.3, "reward_scale": 1.0}
    state, play = build(
        AgentSpec("market_maker", action="simple", reward="delta_portfolio_value", settings=terms),
        AgentSpec(
            "directional",
            settings={"maker_fee": (-0.25,), "taker_fee": 0.3, "fixed_quant_value": 7},
        ),
        script=((), ((MARKET, SELL, 0, 104),)),
    )
    state, *_ = play(state, market_maker=0, directional=0)
    state, reward, info, _ = play(state, market_maker=0, directional=1)
    seen = info["agents"]
    assert seen["market_maker"]["bought"].tolist() == [4]
    assert seen["market_maker"]["fees"].tolist() == [-25 * 4]
    assert seen["directional"]["fees"].tolist() == [30 * 7]
    maker = state.agents["market_maker"].account
    assert float(maker.net_cash[0]) == pytest.approx(4 * (100 - 99) + 0.25 * 4)
    worth = 4 * (100 - 99) + 1.0  # the mid is still 100, which is the reference price
    assert float(reward["market_maker"][0]) == pytest.approx(worth)
    assert float(info["episode"]["market_maker"]["fees"][0]) == -1.0
    assert float(info["episode"]["market_maker"]["pnl"][0]) == pytest.approx(worth)


def test_position_limit__cuts_sizes_by_what_rests_and_never_the_price():
    """Limits of 10 and 15 shares, quotes of 10: bought 10, the first may not bid again."""
    state, play = build(
        AgentSpec(
            "market_maker", num_agents=2, action="simple", settings={"position_limit": (10, 15)}
        ),
        script=((), ((MARKET, SELL, 0, 120),)),
    )
    state, _, info, _ = play(state, market_maker=[0, 0])
    assert info["agents"]["market_maker"]["bid_quote_size"].tolist() == [10, 10]
    state, _, info, _ = play(state, market_maker=[0, 0])
    assert info["agents"]["market_maker"]["inventory"].tolist() == [10, 10]
    state, _, info, _ = play(state, market_maker=[0, 0])
    assert info["agents"]["market_maker"]["bid_quote_size"].tolist() == [0, 5]
    assert info["agents"]["market_maker"]["bid_quote"].tolist() == [0, 98]
    assert info["agents"]["market_maker"]["ask_quote_size"].tolist() == [10, 10]


def test_bankruptcy__orders_go_the_position_is_closed_and_the_agent_is_masked():
    """Both buy 100 at 101; the first buys 50 at 103 and leaves a bid for 50 there, 20 get hit.

    With 170 shares and 99 bid by others it has lost 100 x 2 + 70 x 4 = 480, more than its 300.
    """
    settings = {
        "fixed_quant_value": 100,
        "order_type": "resting",
        "position_limit": 300,
        "bankruptcy": (300, 10_000),
    }
    state, play = build(
        AgentSpec("directional", num_agents=2, settings=settings),
        asks=((101, 200), (103, 50), (104, 100)),
        script=((), ((MARKET, SELL, 0, 20),), ((MARKET, SELL, 0, 40),)),
    )
    state, _, info, _ = play(state, directional=[1, 1])
    assert info["agents"]["directional"]["is_bankrupt"].tolist() == [False, False]
    state, _, info, _ = play(state, directional=[1, 0])
    seen = info["agents"]["directional"]
    assert seen["inventory"].tolist() == [170, 100]
    assert seen["is_bankrupt"].tolist() == [True, False]
    assert seen["bid_quote_size"].tolist() == [30, 0]
    assert info["active"]["directional"].tolist() == [True, True]
    assert float(info["episode"]["directional"]["pnl"][0]) == -480
    for _ in range(2):
        state, reward, info, _ = play(state, directional=[1, 0])
        seen = info["agents"]["directional"]
        assert info["active"]["directional"].tolist() == [False, True]
        assert float(reward["directional"][0]) == 0.0
        assert int(seen["bid_quote_size"][0]) == 0
        assert int(seen["bought"][0]) == 0
        assert float(info["episode"]["directional"]["pnl"][0]) == -480
    assert int(info["market"]["best_bid"]) == 99


def test_terms__refuse_what_makes_no_sense():
    for settings, words in (
        ({"maker_fee": 0.123}, "multiple of 1/100"),
        ({"latency_feed_ns": -1}, "whole number >= 0"),
        ({"bankruptcy": 0}, "whole number >= 1"),
        ({"position_limit": 1.5}, "whole number >= 0"),
        ({"taker_fee": (0.1, 0.2)}, "one for each of its 1 instances"),
    ):
        with pytest.raises(ValueError, match=words):
            MarketEnv(EnvConfig(agents=(AgentSpec("market_maker", settings=settings),)))


def test_terms__columns_and_delays_hold_one_entry_for_every_instance():
    terms = Terms(latency_submit_ns=(1, 2_500_000_000), taker_fee=0.29)
    seconds, nanoseconds = terms.delay("latency_submit_ns", 2)
    assert (seconds.tolist(), nanoseconds.tolist()) == ([0, 2], [1, 500_000_000])
    assert np.array_equal(terms.column("taker_fee", 3), [29, 29, 29])
    assert terms.has_order_latency
    assert not terms.has_feed_latency
