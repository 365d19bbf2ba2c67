"""The critic that attends over agents: what it is given, and what it cannot tell apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos import testing
from marl_algos.learners.dqn import DQN
from marl_algos.learners.ippo import PPO
from marl_algos.learners.mappo import agent_tokens, make_mappo
from marl_algos.networks.attention import AgentAttention
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_algos.settings_replay import DQNConfig

NETWORK = NetworkConfig(hidden=(16,), critic_attention=True, attention_size=16, attention_heads=2)


def test_agent_tokens__have_a_block_for_each_type_and_mark_who_looks():
    obs = {"a": jnp.arange(4.0).reshape(1, 2, 2), "b": jnp.full((1, 1, 1), 9.0)}
    tokens = agent_tokens(obs)
    rows = [[0.0, 1.0, 0.0, 1.0, 0.0], [2.0, 3.0, 0.0, 1.0, 0.0], [0.0, 0.0, 9.0, 0.0, 1.0]]
    assert tokens["a"].shape == (1, 2, 3, 6)
    assert tokens["a"][0, 1, :, :-1].tolist() == rows
    assert tokens["a"][0, :, :, -1].tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert tokens["b"][0, :, :, -1].tolist() == [[0.0, 0.0, 1.0]]


def test_attention__does_not_depend_on_the_order_of_others_but_on_what_they_see():
    module = AgentAttention(16, 2)
    obs = jax.random.normal(jax.random.key(0), (1, 4, 3))
    params = module.init(jax.random.key(1), agent_tokens({"a": obs})["a"])

    def first_agent(obs):
        return module.apply(params, agent_tokens({"a": obs})["a"])[0, 0]

    features = first_agent(obs)
    assert features.shape == (32,)
    np.testing.assert_allclose(first_agent(obs[:, [0, 3, 1, 2]]), features, rtol=1e-4, atol=1e-5)
    assert not np.allclose(first_agent(obs.at[0, 2].add(1.0)), features)


def test_mappo__with_attention_learns_values_and_actions_of_two_types():
    env, num_updates = testing.TwoTypes(), 40
    ppo = PPOConfig(learning_rate=1e-2, num_minibatches=2, max_grad_norm=10.0, entropy_coef=0.0)
    types = dict.fromkeys(env.groups, TypeConfig(ppo, NETWORK))
    learner = make_mappo(env, types, num_envs=16, num_steps=8, num_updates=num_updates)

    @jax.jit
    def run(key):
        return jax.lax.scan(
            lambda state, _: learner.update(state, None),
            learner.init(key, None),
            length=num_updates,
        )

    _, metrics = run(jax.random.key(0))
    for name in env.groups:
        numbers = metrics["agents"][name]
        assert numbers["episode_return"][-1] > 0.9
        assert numbers["value_mean"][-1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("make", "settings"), [(PPO, PPOConfig()), (DQN, DQNConfig())])
def test_attention__is_refused_where_critics_do_not_see_others(make, settings):
    types = {"agent": TypeConfig(settings, NETWORK)}
    with pytest.raises(ValueError, match="critic_attention needs algo=mappo"):
        make(testing.Memory(), types, num_envs=4, num_steps=4, num_updates=1)
