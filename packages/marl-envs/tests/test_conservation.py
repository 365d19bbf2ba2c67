"""Cash and shares are conserved to the unit, whatever the terms and the background."""

import dataclasses
import random

import jax
import numpy as np
import pytest
from lob_core.flow import ZeroIntelligence
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import record_windows, sample_actions

NUM_STEPS, NUM_EPISODES = 12, 4
_SECOND = 1_000_000_000


def random_market(seed):
    """Agents on random terms in a replay, a flow model, or both."""
    draw = random.Random(seed)
    agents = []
    for name, kind in (("a", "market_maker"), ("b", "execution"), ("c", "directional")):
        number = draw.randint(1, 3)
        settings = {
            "latency_submit_ns": tuple(
                draw.choice((0, _SECOND // 7, 2 * _SECOND)) for _ in range(number)
            ),
            "latency_cancel_ns": tuple(draw.choice((0, _SECOND // 3)) for _ in range(number)),
            "latency_feed_ns": draw.choice((0, _SECOND)),
            "maker_fee": tuple(draw.randint(-50, 50) / 100 for _ in range(number)),
            "taker_fee": draw.randint(0, 80) / 100,
            "fixed_quant_value": draw.randint(1, 40),
        }
        if draw.random() < 0.7:
            settings["position_limit"] = draw.randint(10, 60)
        if draw.random() < 0.7:
            settings["bankruptcy"] = draw.randint(20, 200)
        agents.append(AgentSpec(kind, number, name=name, settings=settings))
    config = EnvConfig(
        agents=tuple(agents),
        num_steps=NUM_STEPS,
        messages_per_step=8,
        num_slots=32,
        pending_steps=draw.randint(1, 3),
        feed_depth=draw.randint(1, 4),
    )
    env = MarketEnv(config)
    source = ("flow", "replay", "both")[seed % 3]
    if source == "flow":
        return env, env.make_params(num_openings=4, step_seconds=draw.choice((None, 0.5)))
    windows = record_windows(config, 6, 3, seed=seed)
    added = ZeroIntelligence() if source == "both" else None
    return env, env.make_params(windows, added_flow=added)


def check_episodes(env, params, seed):
    def play(key):
        _, state = env.reset_env(key, params)

        def step(state, key):
            action = sample_actions(env, jax.random.fold_in(key, 1))
            _, state, _, _, _, info = env.step_env(key, state, action, params)
            kept = dataclasses.replace(state, feed=(), background=())
            return state, (kept, info["agents"], info["market"]["volume"], info["counters"])

        return jax.lax.scan(step, state, jax.random.split(key, NUM_STEPS))[1]

    keys = jax.random.split(jax.random.key(seed), NUM_EPISODES)
    states, seen, volume, counters = jax.device_get(jax.jit(jax.vmap(play))(keys))
    accounts = {t.name: (t, states.agents[t.name].account) for t in env.types}
    for field in ("cash", "inventory"):
        total = sum(getattr(account, field).sum(-1) for _, account in accounts.values())
        assert (total + getattr(states.rest, field) == 0).all()
    bought = sum(account.bought.sum(-1) for _, account in accounts.values()) + states.rest.bought
    assert np.array_equal(bought, np.cumsum(volume, axis=1))
    assert bought[:, -1].sum() > 0
    for name, (t, account) in accounts.items():
        maker, taker = account.maker_size, account.bought + account.sold - account.maker_size
        fees = maker * t.terms.column("maker_fee", t.num_agents)
        fees += taker * t.terms.column("taker_fee", t.num_agents)
        assert np.array_equal(account.fees, fees)
        if t.terms.position_limit is not None:
            assert np.abs(account.inventory).max() <= t.terms.position_limit
        failed = states.agents[name].is_bankrupt
        assert (failed[:, 1:] >= failed[:, :-1]).all()
        idle = failed[:, :-1]
        assert (seen[name]["bought"][:, 1:][idle] == 0).all()
        assert (seen[name]["sold"][:, 1:][idle] == 0).all()
    return states, counters


def test_conservation__holds_on_random_terms_in_recorded_and_modelled_flow():
    env, params = random_market(2)
    _, counters = check_episodes(env, params, 2)
    assert not counters["invalid"].any()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, *range(3, 15)])
def test_conservation__holds_on_many_more(seed):
    check_episodes(*random_market(seed), seed)
