"""Learners that replay experience, on a small market of two types with different actions."""

import jax
import jax.numpy as jnp
import pytest
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.train import make_learner

SMALL = [
    "experiment=smoke",
    "algo.num_envs=4",
    "algo.num_steps=4",
    "algo.total_env_steps=48",
    "env.num_steps=4",
    "env.messages_per_step=4",
    "env.num_slots=32",
    "data.num_openings=4",
    "algo.learning_starts=16",
    "algo.batch_size=4",
    "algo.buffer_size=64",
    "algo.num_gradient_steps=2",
]


@pytest.mark.parametrize(
    "overrides",
    [
        ["algo=maddpg", "env.agents.market_maker.action=continuous_quotes"],
        ["algo=qmix", "network=gru", "network.gru_size=8", "algo.n_step=2"],
    ],
    ids=["maddpg", "qmix"],
)
def test_market__is_learned_from_by_one_compiled_program(overrides):
    config = load_config([*SMALL, *overrides])
    market = make_market(config)
    learner = make_learner(config, market)
    params = market.params["train"]
    traces = []

    @jax.jit
    def update(state):
        traces.append(None)
        return learner.update(state, params)

    before = state = jax.jit(learner.init)(jax.random.key(0), params)
    for _ in range(learner.num_updates):
        state, metrics = update(state)
        assert metrics["finite"]
    assert len(traces) == 1
    assert state.replay.count == 3
    for name in market.env.groups:
        assert jnp.isfinite(metrics["agents"][name]["loss"])
        changed = jax.tree.map(jnp.array_equal, before.agents[name], state.agents[name])
        assert not jax.tree.all(changed)
