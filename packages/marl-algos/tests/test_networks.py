from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.moments import RunningMoments
from marl_algos.networks import ActorCritic, Carry, initial_carry
from marl_algos.networks.gru import GRU
from marl_algos.networks.heads import rescale_value_head
from marl_algos.settings import NetworkConfig
from marl_envs.spaces import Box, Discrete, MultiDiscrete

T, N, F, H = 5, 3, 4, 6


def gru_and_inputs():
    gru = GRU(H)
    x = jax.random.normal(jax.random.key(0), (T, N, F))
    h = jax.random.normal(jax.random.key(1), (N, H))
    return gru, gru.init(jax.random.key(2), h, x, jnp.zeros((T, N), bool)), h, x


def flax_cell(params, h, x, reset):
    """The same unit step by step by flax's cell, differentiated by JAX."""
    ours = params["params"]
    blocks = {
        "i": jnp.split(ours["input"]["kernel"], 3, axis=1),
        "b": jnp.split(ours["input"]["bias"], 3),
        "h": jnp.split(ours["hidden_kernel"], 3, axis=1),
    }
    theirs = {
        f"i{gate}": {"kernel": blocks["i"][i], "bias": blocks["b"][i]}
        for i, gate in enumerate("rzn")
    }
    theirs |= {f"h{gate}": {"kernel": blocks["h"][i]} for i, gate in enumerate("rzn")}
    theirs["hn"]["bias"] = ours["hidden_bias"]
    outputs = []
    for t in range(T):
        h = jnp.where(reset[t][:, None], 0.0, h)
        h, y = nn.GRUCell(H).apply({"params": theirs}, h, x[t])
        outputs.append(y)
    return h, jnp.stack(outputs)


def test_gru__has_values_and_gradients_of_flax():
    gru, params, h, x = gru_and_inputs()
    params["params"]["hidden_bias"] = jax.random.normal(jax.random.key(3), (H,))
    reset = jnp.zeros((T, N), bool).at[2, 1].set(True).at[0, 2].set(True)

    @partial(jax.jit, static_argnums=0)
    def of(apply, params, h, x):
        (last, hidden), pull = jax.vjp(lambda *inputs: apply(*inputs, reset), params, h, x)
        return last, hidden, pull((2.0 * last, jnp.cos(hidden)))

    found, expected = of(gru.apply, params, h, x), of(flax_cell, params, h, x)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), found, expected
    )
    seeds = jax.vmap(lambda h, x: of(gru.apply, params, h, x))(h[None], x[None])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-4, atol=2e-6), seeds, found
    )


def test_gru__reset_before_a_step_forgets_what_was_before():
    gru, params, h, x = gru_and_inputs()
    reset = jnp.zeros((T, N), bool).at[2, 1].set(True)
    _, got = gru.apply(params, h, x, reset)
    _, fresh = gru.apply(params, jnp.zeros((N, H)), x[2:], jnp.zeros((T - 2, N), bool))
    _, kept = gru.apply(params, h, x, jnp.zeros((T, N), bool))
    np.testing.assert_allclose(got[2:, 1], fresh[:, 1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[:, 0], kept[:, 0], rtol=1e-6)
    assert not np.allclose(got[2:, 1], kept[2:, 1])


def make(space, config):
    network = ActorCritic(space, config)
    carry = initial_carry(config, (N,))
    inputs = (jnp.ones((T, N, F)), jnp.ones((T, N, F)), jnp.zeros((T, N), bool))
    return network, jax.jit(network.init)(jax.random.key(0), carry, *inputs), carry, inputs


@pytest.mark.parametrize("kind", ["feed_forward", "gru"])
@pytest.mark.parametrize("shared", [False, True])
def test_actor_critic__value_alone_equals_value_of_the_full_call(kind, shared):
    config = NetworkConfig(kind=kind, hidden=(8,), gru_size=H, shared=shared)
    network, params, carry, inputs = make(Discrete(3), config)
    _, _, value = network.apply(params, carry, *inputs)
    alone = network.apply(params, carry, *inputs, method=ActorCritic.value)
    np.testing.assert_allclose(value, alone, rtol=1e-6)
    has_own_critic = any(name.startswith("critic") for name in params["params"])
    assert has_own_critic is not shared


@pytest.mark.parametrize(
    ("space", "shape"),
    [(Discrete(3), ()), (MultiDiscrete((2, 5)), (2,)), (Box(-1.0, 2.0, (4,)), (4,))],
)
def test_actor_critic__actions_belong_to_the_space(space, shape):
    for continuous in ("tanh_normal", "beta") if isinstance(space, Box) else ("tanh_normal",):
        config = NetworkConfig(hidden=(8,), continuous=continuous)
        network, params, carry, inputs = make(space, config)
        _, distribution, _ = network.apply(params, carry, *inputs)
        for action in (distribution.sample(jax.random.key(1)), distribution.mode()):
            assert action.shape == (T, N, *shape)
            assert space.contains(action)
        assert distribution.log_prob(action).shape == (T, N)
        assert np.isfinite(distribution.entropy()).all()


def test_initialization__gains_are_those_stated():
    _, params, _, _ = make(Discrete(3), NetworkConfig(hidden=(8,)))
    layers = params["params"]

    def singular_values(kernel):
        return np.linalg.svd(np.asarray(kernel), compute_uv=False)

    hidden = layers["actor_torso"]["layers"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(singular_values(hidden), np.sqrt(2.0), rtol=1e-4)
    np.testing.assert_allclose(
        singular_values(layers["policy_head"]["Dense_0"]["kernel"]), 0.01, rtol=1e-4
    )
    np.testing.assert_allclose(
        singular_values(layers["value_head"]["output"]["kernel"]), 1.0, rtol=1e-4
    )


def test_rescale_value_head__keeps_values_in_units_of_the_reward():
    network, params, carry, inputs = make(Discrete(3), NetworkConfig(hidden=(8,)))
    old = RunningMoments.create().update(jnp.array([0.0, 4.0]), jnp.ones(2, bool), 0.5)
    new = old.update(jnp.array([50.0, 90.0]), jnp.ones(2, bool), 0.5)
    _, _, before = network.apply(params, carry, *inputs)
    _, _, after = network.apply(rescale_value_head(params, old, new), carry, *inputs)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(old.denormalize(before), new.denormalize(after), rtol=1e-4)


def test_initial_carry__is_empty_without_recurrence():
    assert initial_carry(NetworkConfig(), (N,)) == Carry((), ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "lstm"},
        {"activation": "sin"},
        {"hidden": (0,)},
        {"continuous": "normal"},
        {"precision": "float16"},
    ],
)
def test_network_config__refuses_what_it_does_not_know(wrong):
    with pytest.raises(ValueError, match="network"):
        NetworkConfig(**wrong)
