"""Products in a lower precision: what is rounded, what is not, and that learning stays the same."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos import testing
from marl_algos.learners.ippo import PPO
from marl_algos.networks import ActorCritic, initial_carry
from marl_algos.networks.precision import of_layer
from marl_algos.settings import PRECISIONS, NetworkConfig, PPOConfig, TypeConfig
from marl_envs.spaces import Discrete

T, N, F = 4, 3, 5
KINDS = ("feed_forward", "gru", "s5")
NUM_SEEDS, NUM_UPDATES = 8, 40


def make(kind, precision):
    config = NetworkConfig(
        kind=kind, hidden=(8,), gru_size=6, s5_size=4, s5_layers=1, precision=precision
    )
    return ActorCritic(Discrete(3), config), initial_carry(config, (N,))


@pytest.mark.parametrize("kind", KINDS)
def test_precision__rounds_products_and_nothing_else(kind):
    obs = jax.random.normal(jax.random.key(1), (T, N, F))

    def play(params, precision):
        network, carry = make(kind, precision)
        carry, policy, value = network.apply(params, carry, obs, obs, jnp.zeros((T, N), bool))
        return carry, policy.logits, value

    def init(precision):
        network, carry = make(kind, precision)
        return network.init(jax.random.key(0), carry, obs, obs, jnp.zeros((T, N), bool))

    params = jax.jit(init, static_argnums=0)("float32")
    assert jax.eval_shape(lambda: init("bfloat16")) == jax.eval_shape(lambda: params)
    found = jax.jit(lambda params: {name: play(params, name) for name in PRECISIONS})(params)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(found))
    exact, rounded = found["float32"], found["bfloat16"]
    assert not np.array_equal(rounded[-1], exact[-1])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=0.1), rounded, exact)
    on_cpu = found["tensorfloat32"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), on_cpu, exact)
    programs = {
        name: str(jax.make_jaxpr(lambda params, name=name: play(params, name))(params))
        for name in PRECISIONS
    }
    assert ["bf16" in programs[name] for name in PRECISIONS] == [False, False, True]
    assert "HIGHEST" in programs["float32"]
    assert "HIGHEST" not in programs["tensorfloat32"]
    assert "HIGH" in programs["tensorfloat32"]


def test_precision__float32_is_what_layers_do_on_a_cpu_by_themselves():
    x = jax.random.normal(jax.random.key(0), (N, F))
    params = nn.Dense(7).init(jax.random.key(1), x)
    plain, ours = (nn.Dense(7, **given).apply(params, x) for given in ({}, of_layer("float32")))
    np.testing.assert_array_equal(plain, ours)


def curve(precision):
    """Mean reward by update, averaged over seeds, of PPO on a probe whose policy must be learned.

    Also the parameters and the state of the optimizer at the end.
    """
    types = {
        "agent": TypeConfig(
            PPOConfig(learning_rate=1e-2, num_minibatches=2, entropy_coef=0.0),
            NetworkConfig(hidden=(16,), precision=precision),
        )
    }
    env = testing.ObservationTimesAction()
    ppo = PPO(env, types, num_envs=16, num_steps=8, num_updates=NUM_UPDATES)

    @jax.jit
    @jax.vmap
    def learn(key):
        return jax.lax.scan(
            lambda state, _: ppo.update(state, None), ppo.init(key, None), length=NUM_UPDATES
        )

    state, metrics = learn(jax.random.split(jax.random.key(0), NUM_SEEDS))
    agent = state.agents["agent"]
    return metrics["agents"]["agent"]["reward_mean"].mean(axis=0), (agent.params, agent.opt_state)


def test_precision__bfloat16_leaves_the_learning_curve_where_it_is():
    """Rewards run from 0 (no policy) to 1 (the best): curves are at most 0.06 apart."""
    exact, _ = curve("float32")
    rounded, kept = curve("bfloat16")
    floats = [x for x in jax.tree.leaves(kept) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert all(x.dtype == jnp.float32 for x in floats)
    assert exact[0] < 0.3
    assert exact[-1] > 0.9
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, atol=0.06)
    np.testing.assert_allclose(rounded[-5:], exact[-5:], atol=0.02)
