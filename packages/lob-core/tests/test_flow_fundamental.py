"""The fundamental value against closed forms; six-sigma bounds: a false-alarm rate of 2e-9 each."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core.flow import OrnsteinUhlenbeck

MODEL = OrnsteinUhlenbeck()
NUM_DRAWS = 40_000
SIX_SIGMA = 6.0
PARAMS = MODEL.default_params().replace(
    mean=jnp.float32(500.0),
    reversion=jnp.float32(0.1),
    volatility=jnp.float32(2.0),
    shock_rate=jnp.float32(0.05),
    shock_scale=jnp.float32(6.0),
)
DIFFUSION_VARIANCE = 2.0**2 / (2 * 0.1)
SHOCK_VARIANCE = 0.05 * 6.0**2 / (2 * 0.1)


@jax.jit
def two_values(params, seconds):
    """`[NUM_DRAWS]` stationary values, and the same ones some seconds later."""

    def draw(key):
        key_first, key_second = jax.random.split(key)
        first = MODEL.initial(key_first, params)
        return first, MODEL.advance(key_second, first, params, seconds)

    return jax.vmap(draw)(jax.random.split(jax.random.key(0), NUM_DRAWS))


@functools.cache
def values(seconds, **changes):
    params = PARAMS.replace(**{name: jnp.float32(value) for name, value in changes.items()})
    return jax.tree.map(np.asarray, two_values(params, jnp.float32(seconds)))


def assert_mean(sample, expected):
    sigma = sample.std() / np.sqrt(sample.size)
    assert abs(sample.mean() - expected) < SIX_SIGMA * sigma, (sample.mean(), expected, sigma)


def assert_variance(sample, expected):
    assert_mean((sample - sample.mean()) ** 2, expected)


def test_initial__has_the_stationary_mean_and_variance():
    first, _ = values(3.0)
    assert_mean(first, 500.0)
    assert_variance(first, DIFFUSION_VARIANCE + SHOCK_VARIANCE)


def test_initial__without_shocks_is_normal():
    first, _ = values(3.0, shock_rate=0)
    assert_variance(first, DIFFUSION_VARIANCE)
    z = (first - 500.0) / np.sqrt(DIFFUSION_VARIANCE)
    assert_mean(z**4, 3.0)


def test_initial__of_shocks_alone_has_their_variance_and_excess_kurtosis():
    """The fourth cumulant of the jump part is `shock_rate E[J^4] / (4 reversion)`."""
    first, _ = values(3.0, volatility=0)
    assert_variance(first, SHOCK_VARIANCE)
    fourth = 0.05 * 3 * 6.0**4 / (4 * 0.1)
    assert_mean((first - 500.0) ** 4, fourth + 3 * SHOCK_VARIANCE**2)


@pytest.mark.parametrize("seconds", [0.5, 7.0])
def test_advance__keeps_the_stationary_law_and_decorrelates_exponentially(seconds):
    first, later = values(seconds)
    variance = DIFFUSION_VARIANCE + SHOCK_VARIANCE
    assert_mean(later, 500.0)
    assert_variance(later, variance)
    assert_mean((first - 500.0) * (later - 500.0), variance * np.exp(-0.1 * seconds))


def test_advance__has_the_variance_of_the_transition():
    first, later = values(7.0)
    residual = later - (500.0 + (first - 500.0) * np.exp(-0.1 * 7.0))
    left = 1 - np.exp(-2 * 0.1 * 7.0)
    assert_mean(residual, 0.0)
    assert_variance(residual, (DIFFUSION_VARIANCE + SHOCK_VARIANCE) * left)


def test_advance__jumps_at_the_rate_of_the_shocks():
    first, later = values(0.5, volatility=0)
    drifted = 500.0 + (first - 500.0) * np.exp(-0.05)
    jumped = (np.abs(later - drifted) > 1e-2).mean()
    share = 1 - np.exp(-0.05 * 0.5)
    missed = 1e-2 / 6.0  # shocks too small to be seen, at most
    assert abs(jumped - share) < SIX_SIGMA * np.sqrt(share / NUM_DRAWS) + missed * share


def test_advance__by_no_time_changes_nothing():
    first, later = values(0.0)
    np.testing.assert_array_equal(first, later)


def test_model__is_hashable_and_checks_its_fields():
    assert hash(OrnsteinUhlenbeck()) == hash(OrnsteinUhlenbeck())
    with pytest.raises(ValueError, match="max_shocks is 0"):
        OrnsteinUhlenbeck(max_shocks=0)
