import jax
import jax.numpy as jnp
import pytest
from marl_envs.spaces import Box, Discrete, MultiDiscrete


@pytest.mark.parametrize(
    "space",
    [Discrete(3), MultiDiscrete((2, 5)), Box(-1.0, 2.0, (3,)), Box(-jnp.inf, jnp.inf, (2,))],
)
def test_sample__lies_in_the_space(space):
    draws = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 200))
    assert draws.shape == (200, *space.shape)
    assert draws.dtype == space.dtype
    assert bool(space.contains(draws))


def test_multi_discrete__uses_each_entry_up_to_its_own_limit():
    space = MultiDiscrete((2, 5))
    draws = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 200))
    assert draws.max(axis=0).tolist() == [1, 4]


def test_contains__refuses_values_outside():
    assert not bool(Discrete(3).contains(jnp.array(3)))
    assert not bool(MultiDiscrete((2, 5)).contains(jnp.array([2, 0])))
    assert not bool(Box(0.0, 1.0, (1,)).contains(jnp.array([jnp.nan])))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Discrete(0), "Discrete.n is 0"),
        (lambda: MultiDiscrete(()), "MultiDiscrete.ns"),
        (lambda: Box(1.0, 0.0, ()), "Box.low is 1.0"),
    ],
)
def test_spaces__refuse_empty_ranges(make, words):
    with pytest.raises(ValueError, match=words):
        make()
