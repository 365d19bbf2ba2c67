"""Messages that take their time change who trades; markets small enough to work out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType, Side
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import ScriptedFlow, check_env

MARKET = int(EventType.MARKET)
BUY = int(Side.BID)
MS = 1_000_000


def build(*agents, script=(), **config):
    env = MarketEnv(
        EnvConfig(agents=agents, num_steps=8, messages_per_step=2, num_slots=8, **config)
    )
    params = env.make_params(ScriptedFlow(script=script), num_openings=1)
    _, state = jax.jit(env.reset)(jax.random.key(0), params)
    step = jax.jit(env.step_env)

    def play(state, key=0, **actions):
        action = {name: jnp.atleast_1d(jnp.asarray(a)) for name, a in actions.items()}
        obs, state, _, _, _, info = step(jax.random.key(key), state, action, params)
        return state, info, obs

    return env, params, state, play


def race(maker_ms, taker_ms, num_keys=8):
    """Shares that the maker sells at a stale price, by key.

    All others' shares at 101 are bought; the maker wants to move its ask of 10 from 101 to 102,
    the taker wants to buy it at 101.
    """
    _, _, state, play = build(
        AgentSpec(
            "market_maker", action="simple", settings={"latency_cancel_ns": int(maker_ms * MS)}
        ),
        AgentSpec("directional", settings={"latency_submit_ns": int(taker_ms * MS)}),
        script=((), ((MARKET, BUY, 0, 100),)),
    )
    for _ in range(2):
        state, info, _ = play(state, market_maker=0, directional=0)
    assert int(info["market"]["best_ask"]) == 101
    assert int(info["agents"]["market_maker"]["sold"][0]) == 0
    return [
        int(play(state, key, market_maker=0, directional=1)[1]["agents"]["market_maker"]["sold"][0])
        for key in range(num_keys)
    ]


def test_latency__a_slow_maker_is_picked_off_by_a_fast_taker():
    assert race(maker_ms=500, taker_ms=1) == [10] * 8


def test_latency__a_fast_maker_is_gone_before_a_slow_taker_arrives():
    assert race(maker_ms=1, taker_ms=500) == [0] * 8


def test_latency__ties_are_broken_by_a_random_permutation_of_agents():
    assert set(race(maker_ms=5, taker_ms=5)) == {0, 10}


def resting(state, agent_id):
    """(price, size) of what an agent has in the book."""
    rows = []
    for side in (state.book.bids, state.book.asks):
        own = np.asarray(side.agent_id) == agent_id
        rows += list(
            zip(
                np.asarray(side.price)[own].tolist(),
                np.asarray(side.size)[own].tolist(),
                strict=True,
            )
        )
    return rows


def test_latency__messages_arrive_in_a_later_step_and_a_full_buffer_is_counted():
    """Steps of one second, orders of 2.5 seconds, cancels of 0.1 seconds, one step's buffer."""
    spec = AgentSpec(
        "market_maker",
        action="simple",
        settings={"latency_submit_ns": 2_500_000_000, "latency_cancel_ns": 100 * MS},
    )
    _, _, state, play = build(spec, pending_steps=1)
    sizes, held = [], []
    for action in (0, 3, 0, 0, 3, 3):
        state, info, _ = play(state, market_maker=action)
        sizes.append(len(resting(state, 1)))
        held.append(int(info["counters"]["held_back"]))
    # sent in step 0, to arrive in step 2; the cancel of step 1 finds no room in the buffer
    # (2 of 6 rows are taken), nor is anything sent until both orders have arrived
    assert sizes == [0, 0, 2, 2, 0, 0]
    assert held == [0, 1, 2, 2, 2, 2]
    assert int(info["counters"]["unknown_ids"]) == 0


def test_latency__a_cancel_does_not_overtake_the_order_it_names():
    spec = AgentSpec("market_maker", action="simple", settings={"latency_submit_ns": 1_500_000_000})
    _, _, state, play = build(spec)
    state, _, _ = play(state, market_maker=0)
    state, info, _ = play(state, market_maker=3)
    assert resting(state, 1) == []
    state, info, _ = play(state, market_maker=3)
    assert resting(state, 1) == []
    assert int(info["counters"]["unknown_ids"]) == 0


def test_latency__of_zero_on_the_timed_path_gives_the_numbers_of_the_fast_path():
    """A third type with latency that never acts switches the merging by time on."""
    ends = []
    for latency in (0, 1):
        env = MarketEnv(
            EnvConfig(
                agents=(
                    AgentSpec("market_maker", num_agents=2),
                    AgentSpec("execution", num_agents=2, settings={"task_size": 300}),
                    AgentSpec(
                        "directional", action="do_nothing", settings={"latency_submit_ns": latency}
                    ),
                ),
                num_steps=8,
                messages_per_step=12,
                num_slots=32,
            )
        )
        assert env.is_timed == bool(latency)
        params = env.make_params(num_openings=2)

        def episode(key, env=env, params=params):
            _, state = env.reset(key, params)

            def step(state, key):
                key_a, key_b = jax.random.split(key)
                action = {
                    "market_maker": jax.random.randint(key_a, (2,), 0, 10),
                    "execution": jax.random.randint(key_b, (2,), 0, 13),
                    "directional": jnp.zeros(1, int),
                }
                _, state, reward, *_ = env.step_env(key, state, action, params)
                return state, reward

            return jax.lax.scan(step, state, jax.random.split(key, 8))

        state, reward = jax.jit(episode)(jax.random.key(4))
        ends.append((state.book, state.rest, state.market, reward["market_maker"]))
    assert int(ends[0][1].bought) > 0
    for left, right in zip(jax.tree.leaves(ends[0]), jax.tree.leaves(ends[1]), strict=True):
        assert np.array_equal(left, right)


def test_feed_latency__the_agent_sees_the_market_of_earlier():
    """The ask moves from 101 to 102 in step 1; with 1.5 s of latency that is seen after step 3."""
    env, params, state, play = build(
        AgentSpec("market_maker", action="simple", observation="basic"),
        AgentSpec(
            "market_maker",
            name="late",
            action="simple",
            observation="basic",
            settings={"latency_feed_ns": 1_500_000_000},
        ),
        script=((), ((MARKET, BUY, 0, 100),)),
    )
    spreads, quotes = [], []
    for _ in range(4):
        action = 0 if spreads and len(spreads) > 1 else 3
        state, info, obs = play(state, market_maker=3, late=action)
        spreads.append([float(obs[name][0, -1]) for name in ("market_maker", "late")])
        quotes.append(int(info["agents"]["late"]["ask_quote"][0]))
    two, three = np.log1p(2), np.log1p(3)
    assert np.asarray(spreads) == pytest.approx(
        np.array([[two, two], [three, two], [two, two], [two, three]])
    )
    # it quotes the ask it sees, which is one tick inside the market by then
    assert quotes == [0, 0, 101, 101]
    check_env(env, params, num_steps=10)
