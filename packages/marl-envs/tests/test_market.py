"""Whole episodes of a market with a maker and several execution agents."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import check_env, sample_actions

NUM_STEPS = 6
CONFIG = EnvConfig(
    agents=(
        AgentSpec("market_maker", num_agents=2),
        AgentSpec("execution", num_agents=3, settings={"task_size": 60}),
    ),
    num_steps=NUM_STEPS,
    messages_per_step=8,
    num_slots=32,
)
ENV = MarketEnv(CONFIG)


@pytest.fixture(scope="module")
def params():
    return ENV.make_params(num_openings=4)


@pytest.fixture(scope="module")
def episodes(params):
    """Eight episodes of random actions: states and infos after every step, `[8, T, ...]`."""

    def play(key):
        key_reset, key_play = jax.random.split(key)
        _, state = ENV.reset_env(key_reset, params)

        def step(state, key):
            key_action, key_step = jax.random.split(key)
            action = sample_actions(ENV, key_action)
            _, state, reward, terminated, truncated, info = ENV.step_env(
                key_step, state, action, params
            )
            return state, (state, reward, terminated, truncated, info)

        _, log = jax.lax.scan(step, state, jax.random.split(key_play, NUM_STEPS))
        return state, log

    return jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(3), 8))


def test_check_env__passes_over_an_auto_reset(params):
    check_env(ENV, params, num_steps=NUM_STEPS + 2)


def test_accounts__cash_and_shares_are_conserved_to_the_unit(episodes):
    _, (state, _, _, _, info) = episodes
    for field in ("cash", "inventory"):
        agents = sum(getattr(a.account, field).sum(axis=-1) for a in state.agents.values())
        assert (np.asarray(agents + getattr(state.rest, field)) == 0).all()
    traded = sum(a.account.bought.sum() + a.account.sold.sum() for a in state.agents.values())
    assert int(traded) > 0
    bought = sum(a.account.bought.sum(axis=-1) for a in state.agents.values()) + state.rest.bought
    assert np.array_equal(bought, np.cumsum(info["market"]["volume"], axis=1))


def test_accounts__inventory_follows_from_the_fills_of_each_step(episodes):
    _, (state, _, _, _, info) = episodes
    for name, agents in state.agents.items():
        seen = info["agents"][name]
        net = np.cumsum(np.asarray(seen["bought"] - seen["sold"]), axis=1)
        assert np.array_equal(net, agents.account.inventory)


def test_trades__no_buffer_of_them_can_lose_a_fill(episodes):
    """Accounts are fed by the engine's sums, not by a list that can be full."""
    assert CONFIG.book.max_trades == 0
    _, (_, _, _, _, info) = episodes
    assert int(info["counters"]["dropped_trades"].sum()) == 0
    volume = info["market"]["volume"]
    seen = info["agents"]
    bought = sum(np.asarray(seen[name]["bought"]).sum() for name in ENV.groups)
    assert bought > 0
    assert int(volume.sum()) >= bought


def test_orders__resting_orders_in_the_book_are_those_in_the_tables(episodes):
    _, (state, _, _, _, _) = episodes
    book = state.book
    for agents in state.agents.values():
        for index in range(agents.agent_id.shape[-1]):
            own = agents.agent_id[0, 0, index]
            in_book = sum(
                jnp.sum(jnp.where(side.agent_id == own, side.size, 0), axis=-1)
                for side in (book.bids, book.asks)
            )
            in_table = agents.orders.size[:, :, index].sum(axis=(-1, -2))
            assert np.array_equal(in_book, in_table)


def test_orders__ids_are_unique_and_apart_from_the_background(episodes):
    _, (state, _, _, _, _) = episodes
    for side in (state.book.bids, state.book.asks):
        ids, owners = np.asarray(side.order_id), np.asarray(side.agent_id)
        assert (ids[owners > 0] >= 2**30).all()
        assert (ids[owners == 0] < 2**30).all()
        for episode in ids.reshape(-1, ids.shape[-1]):
            live = episode[episode > 0]
            assert len(set(live.tolist())) == len(live)


def test_tasks__sides_differ_between_agents_of_one_market(episodes):
    start, _ = episodes
    sides = np.asarray(start.agents["execution"].task_side)
    assert set(sides.ravel().tolist()) == {Side.BID, Side.ASK}
    assert any(len(set(row.tolist())) == 2 for row in sides)


def test_task__is_never_overfilled_without_a_race(episodes):
    _, (state, _, _, _, info) = episodes
    remaining = np.asarray(info["agents"]["execution"]["remaining"])
    assert remaining.min() >= 0
    opposite = np.where(
        np.asarray(state.agents["execution"].task_side) > 0,
        np.asarray(state.agents["execution"].account.sold),
        np.asarray(state.agents["execution"].account.bought),
    )
    assert (opposite == 0).all()


def test_episode__ends_for_all_at_once_and_pays_inactive_agents_nothing(episodes):
    _, (_, reward, terminated, truncated, info) = episodes
    done = np.asarray(info["episode"]["done"])
    assert (done == (np.arange(NUM_STEPS) == NUM_STEPS - 1)).all()
    for name in ENV.groups:
        assert np.asarray(terminated[name])[:, -1].all()
        assert not np.asarray(truncated[name]).any()
        idle = ~np.asarray(info["active"][name])
        assert (np.asarray(reward[name])[idle] == 0).all()
        ended = np.asarray(terminated[name])
        assert (ended[:, :-1] == idle[:, 1:]).all()


def test_episode_result__sum_of_rewards_is_minus_the_shortfall(episodes):
    """`normal` with lambda 1 adds up to the shortfall, closing entries included."""
    _, (_, reward, _, _, info) = episodes
    result = info["episode"]["execution"]
    total = np.asarray(reward["execution"]).sum(axis=1) * 600
    assert total == pytest.approx(-np.asarray(result["shortfall"])[:, -1], abs=0.05)
    assert np.asarray(result["episode_return"])[:, -1] * 600 == pytest.approx(total, abs=0.05)
    filled, left = np.asarray(result["filled"]), np.asarray(result["unexecuted"])
    assert (filled + left == 60).all()


def test_auto_reset__starts_anew_keeps_the_last_observation_and_compiles_once(params):
    reset, step_env = jax.jit(ENV.reset), jax.jit(ENV.step_env)
    step = jax.jit(chex.assert_max_traces(ENV.step, n=1))
    _, state = reset(jax.random.key(0), params)
    for index in range(NUM_STEPS):
        key = jax.random.key(index)
        action = sample_actions(ENV, key)
        before = state
        obs, state, _, _, _, info = step(key, before, action, params)
    assert bool(info["episode"]["done"])
    assert int(info["market"]["step"]) == NUM_STEPS
    assert int(state.market.step) == 0
    last_obs, *_ = step_env(jax.random.split(key)[0], before, action, params)
    first_obs, first_state = reset(jax.random.split(key)[1], params)
    for name in ENV.groups:
        assert np.array_equal(info["final_obs"][name], last_obs[name])
        assert np.array_equal(obs[name], first_obs[name])
        assert not np.array_equal(obs[name], last_obs[name])
    chex.assert_trees_all_equal(state, first_state)


def test_env__is_hashable_and_equal_by_configuration():
    assert MarketEnv(CONFIG) == ENV
    assert hash(ENV) == hash(MarketEnv(CONFIG))
    assert MarketEnv(EnvConfig()) != ENV
