"""Every rule-based behavior, side by side in one market, for an episode under jit and vmap."""

import jax
import numpy as np
import pytest
from lob_core.flow import OrnsteinUhlenbeck
from marl_envs import AgentSpec, EnvConfig, MarketEnv, available_kinds

NUM_STEPS, NUM_ENVS = 5, 2


@pytest.mark.slow
def test_every_rule_based_behavior__plays_an_episode_under_jit_and_vmap():
    specs = tuple(
        AgentSpec(name, num_agents=2, action=action, name=f"{name}.{action}")
        for name, kind in available_kinds().items()
        if kind.is_rule_based
        for action in kind.actions
    )
    config = EnvConfig(
        agents=specs,
        num_steps=NUM_STEPS,
        messages_per_step=6,
        num_slots=96,
        fundamental=OrnsteinUhlenbeck(),
    )
    env = MarketEnv(config)
    assert not env.groups
    params = env.make_params(num_openings=4)

    def play(key):
        key_reset, key_play = jax.random.split(key)
        _, state = env.reset_env(key_reset, params)

        def step(state, key):
            _, state, *_, info = env.step_env(key, state, {}, params)
            agents = {
                name: group.replace(orders=(), action_memory=())
                for name, group in state.agents.items()
            }
            results = {
                name: result for name, result in info["episode"].items() if "manipulator" in name
            }
            return state, (agents, state.rest, results, info["counters"])

        return jax.lax.scan(step, state, jax.random.split(key_play, NUM_STEPS))[1]

    keys = jax.random.split(jax.random.key(1), NUM_ENVS)
    agents, rest, results, counters = jax.jit(jax.vmap(play))(keys)
    for field in ("cash", "inventory"):
        total = sum(np.asarray(getattr(a.account, field)).sum(-1) for a in agents.values())
        assert (total + np.asarray(getattr(rest, field)) == 0).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))
    assert int(counters["invalid"].max()) == 0
    acted = [
        np.asarray(a.bid_quote + a.ask_quote + a.account.bought + a.account.sold).any()
        for a in agents.values()
    ]
    assert sum(acted) > len(acted) / 2
    result = results["manipulator.spoofing"]
    gains = result["gain_accumulate"] + result["gain_unload"]
    worth = result["pnl"] + result["closing_cost"]
    assert np.allclose(gains[:, -1], worth[:, -1], atol=1e-2)
