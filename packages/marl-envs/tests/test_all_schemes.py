"""Every registered action scheme, observation and reward in a market, for a whole episode."""

import itertools

import jax
import numpy as np
import pytest
from marl_envs import AgentSpec, EnvConfig, MarketEnv, available_kinds
from marl_envs.testing import sample_actions

NUM_STEPS, NUM_ENVS = 5, 3


def every_piece(kind_name):
    """Types of one kind, side by side, so that each piece is in at least one."""
    kind = available_kinds()[kind_name]
    pieces = [list(kind.actions), list(kind.observations), list(kind.rewards)]
    rows = max(map(len, pieces))
    columns = (itertools.islice(itertools.cycle(names), rows) for names in pieces)
    return tuple(
        AgentSpec(kind_name, action=a, observation=o, reward=r, name=f"{a}|{o}|{r}")
        for a, o, r in zip(*columns, strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["market_maker", "execution", "directional"])
def test_every_scheme__plays_an_episode_under_jit_and_vmap(kind):
    env = MarketEnv(
        EnvConfig(agents=every_piece(kind), num_steps=NUM_STEPS, messages_per_step=6, num_slots=48)
    )
    params = env.make_params(num_openings=4)

    @jax.jit
    @jax.vmap
    def play(key):
        key_reset, key_play = jax.random.split(key)
        _, state = env.reset_env(key_reset, params)

        def step(state, key):
            key_action, key_step = jax.random.split(key)
            action = sample_actions(env, key_action)
            obs, state, reward, *_, info = env.step_env(key_step, state, action, params)
            return state, (obs, reward, info, state)

        return jax.lax.scan(step, state, jax.random.split(key_play, NUM_STEPS))[1]

    obs, reward, info, state = play(jax.random.split(jax.random.key(1), NUM_ENVS))
    for name, group in env.groups.items():
        shape = (NUM_ENVS, NUM_STEPS, group.num_agents)
        assert obs[name].shape == shape + group.observation_space.shape
        assert np.isfinite(obs[name]).all(), name
        assert reward[name].shape == shape
        assert np.isfinite(reward[name]).all(), name
    cash = sum(np.asarray(a.account.cash).sum(axis=-1) for a in state.agents.values())
    assert (cash + np.asarray(state.rest.cash) == 0).all()
    assert int(info["market"]["volume"].sum()) > 0
    assert int(info["counters"]["invalid"].max()) == 0
