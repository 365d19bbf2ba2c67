"""Cash and shares are conserved to the unit, whatever the terms and the background.

Terms differ by instance, so one market holds dozens of random ones: what compiles is one market for
recorded flow with halts and a flow model on top, and one for a flow model on clock time.
"""

import dataclasses
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import EventType
from lob_core.flow import ZeroIntelligence
from lob_core.packing import pack_messages, unpack_messages
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import record_windows, sample_actions

NUM_STEPS, NUM_EPISODES, NUM_INSTANCES = 12, 32, 8
FREE = 10**6
SECOND = 1_000_000_000


def agents_on_random_terms(draw):
    """A type of every kind; of its instances some have no latency, no limit, and cannot fail."""

    def each(*choices):
        return tuple(draw.choice(choices) for _ in range(NUM_INSTANCES))

    return tuple(
        AgentSpec(
            kind,
            NUM_INSTANCES,
            settings={
                "latency_submit_ns": each(0, SECOND // 7, 2 * SECOND),
                "latency_cancel_ns": each(0, SECOND // 3),
                "latency_feed_ns": each(0, SECOND),
                "maker_fee": each(*(fee / 100 for fee in range(-50, 51))),
                "taker_fee": each(*(fee / 100 for fee in range(81))),
                "position_limit": each(FREE, *range(10, 61)),
                "bankruptcy": each(FREE, *range(20, 201)),
                "fixed_quant_value": draw.randint(5, 40),
            },
        )
        for kind in ("market_maker", "execution", "directional")
    )


def with_halts(windows):
    """The same windows; in each, trading halts after step 3 and resumes after step 6."""
    messages = unpack_messages(windows.packed)
    names = ("event_type", "side", "price", "size", "order_id", "time_in_force", "time_s")
    columns = {name: np.array(getattr(messages, name)) for name in (*names, "time_ns")}
    for step, size in ((3, 1), (6, 0)):
        last = np.asarray(windows.step_start)[:, step + 1] - 1
        columns["event_type"][last], columns["size"][last] = EventType.HALT, size
    return dataclasses.replace(windows, packed=jnp.asarray(pack_messages(**columns)))


def make_market(background):
    draw = random.Random(background)
    config = EnvConfig(
        agents=agents_on_random_terms(draw),
        num_steps=NUM_STEPS,
        messages_per_step=8,
        num_slots=96,
        pending_steps=2,
        feed_depth=3,
    )
    env = MarketEnv(config)
    if background == "flow on clock time":
        return env, env.make_params(num_openings=4, step_seconds=0.5)
    windows = with_halts(record_windows(config, 6, 4))
    return env, env.make_params(windows, added_flow=ZeroIntelligence())


def play_episodes(env, params):
    """Accounts of everyone and what else was seen, after every step of every episode."""

    def play(key):
        _, state = env.reset_env(key, params)

        def step(state, key):
            action = sample_actions(env, jax.random.fold_in(key, 1))
            _, state, _, _, _, info = env.step_env(key, state, action, params)
            accounts = {name: agents.account for name, agents in state.agents.items()}
            return state, (accounts, state.rest, info["agents"], info["market"], info["counters"])

        return jax.lax.scan(step, state, jax.random.split(key, NUM_STEPS))[1]

    keys = jax.random.split(jax.random.key(2), NUM_EPISODES)
    return jax.device_get(jax.jit(jax.vmap(play))(keys))


@pytest.mark.parametrize("background", ["recorded with halts, and flow", "flow on clock time"])
def test_conservation__holds_on_dozens_of_random_terms(background):
    env, params = make_market(background)
    accounts, rest, seen, market, counters = play_episodes(env, params)
    for field in ("cash", "inventory"):
        total = sum(getattr(account, field).sum(-1) for account in accounts.values())
        assert (total + getattr(rest, field) == 0).all()
    bought = sum(account.bought.sum(-1) for account in accounts.values()) + rest.bought
    assert np.array_equal(bought, np.cumsum(market["volume"], axis=1))
    assert bought[:, -1].min() > 0
    assert not counters["invalid"].any()
    halted = market["is_halted"]
    assert (market["volume"][:, 1:][halted[:, :-1] & halted[:, 1:]] == 0).all()
    assert halted.any() == params.background.has_halts
    num_failed = 0
    for t in env.types:
        account, failed = accounts[t.name], seen[t.name]["is_bankrupt"]
        maker, taker = account.maker_size, account.bought + account.sold - account.maker_size
        fees = maker * t.terms.column("maker_fee", NUM_INSTANCES)
        fees += taker * t.terms.column("taker_fee", NUM_INSTANCES)
        assert np.array_equal(account.fees, fees)
        assert (np.abs(account.inventory) <= np.asarray(t.terms.position_limit)).all()
        assert (failed[:, 1:] >= failed[:, :-1]).all()
        idle = failed[:, :-1]
        assert (seen[t.name]["bought"][:, 1:][idle] == 0).all()
        assert (seen[t.name]["sold"][:, 1:][idle] == 0).all()
        assert (account.bought + account.sold)[:, -1].any(axis=0).sum() > NUM_INSTANCES / 2
        num_failed += int(failed[:, -1].sum())
    assert num_failed > 0
