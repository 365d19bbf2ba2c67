"""Own distributions against scipy and against sums over all outcomes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from marl_algos.networks import (
    Categorical,
    MultiCategorical,
    ScaledBeta,
    TanhNormal,
    masked_categorical,
)

LOGITS = jnp.array([[0.3, -1.0, 2.0], [0.0, 0.0, 0.0]])


def test_categorical__log_prob_and_entropy_are_those_of_the_softmax():
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    distribution = Categorical(LOGITS)
    actions = jnp.array([2, 1])
    assert distribution.log_prob(actions) == pytest.approx(
        np.log(probabilities[[0, 1], [2, 1]]), rel=1e-5
    )
    assert distribution.entropy() == pytest.approx(
        scipy.stats.entropy(probabilities, axis=1), rel=1e-5
    )
    assert distribution.mode().tolist() == [2, 0]


def test_categorical__samples_have_the_stated_frequencies():
    draws = jax.vmap(Categorical(LOGITS[0]).sample)(jax.random.split(jax.random.key(0), 20_000))
    frequencies = np.bincount(draws, minlength=3) / len(draws)
    assert frequencies == pytest.approx(np.asarray(jax.nn.softmax(LOGITS[0])), abs=0.01)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (64, 1, 10)])
def test_categorical__samples_are_those_of_jax(shape):
    logits, key = jax.random.normal(jax.random.key(1), shape), jax.random.key(2)
    expected = jax.random.categorical(key, logits)
    np.testing.assert_array_equal(Categorical(logits).sample(key), expected)


def test_masked_categorical__illegal_actions_have_no_probability_and_no_entropy():
    distribution = masked_categorical(LOGITS[1], jnp.array([True, False, True]))
    draws = jax.vmap(distribution.sample)(jax.random.split(jax.random.key(0), 500))
    assert set(draws.tolist()) == {0, 2}
    assert distribution.entropy() == pytest.approx(np.log(2.0), rel=1e-5)


def test_masked_categorical__row_without_legal_action_keeps_the_no_op():
    distribution = masked_categorical(LOGITS, jnp.zeros((2, 3), bool))
    assert distribution.mode().tolist() == [0, 0]
    assert distribution.entropy() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_multi_categorical__is_the_product_of_its_parts():
    parts = (Categorical(LOGITS), Categorical(LOGITS[:, :2]))
    joint = MultiCategorical(parts)
    actions = jnp.array([[0, 1], [2, 0]])
    expected = parts[0].log_prob(actions[:, 0]) + parts[1].log_prob(actions[:, 1])
    assert joint.log_prob(actions) == pytest.approx(np.asarray(expected), rel=1e-6)
    both = np.asarray(parts[0].entropy() + parts[1].entropy())
    assert joint.entropy() == pytest.approx(both, rel=1e-6)
    assert joint.sample(jax.random.key(0)).shape == (2, 2)
    assert joint.mode().tolist() == [[2, 0], [0, 0]]


def test_multi_categorical__parts_do_not_share_their_randomness():
    flat = MultiCategorical((Categorical(jnp.zeros(2)), Categorical(jnp.zeros(2))))
    draws = jax.vmap(flat.sample)(jax.random.split(jax.random.key(0), 4000))
    assert np.mean(draws[:, 0] == draws[:, 1]) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 3.0)])
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 0.5), (0.8, 1.0), (-1.5, 0.2)])
def test_tanh_normal__density_integrates_to_one_and_gives_the_entropy(low, high, loc, scale):
    distribution = TanhNormal(jnp.array([loc]), jnp.array([scale]), low, high)
    unit = np.linspace(1e-5, 1.0 - 1e-5, 200_001)
    actions = low + (high - low) * unit
    log_density = np.asarray(distribution.log_prob(jnp.asarray(actions)[:, None]), np.float64)
    density = np.exp(log_density)
    assert np.trapezoid(density, actions) == pytest.approx(1.0, abs=2e-3)
    entropy = -np.trapezoid(density * log_density, actions)
    assert distribution.entropy() == pytest.approx(entropy, abs=1e-2)


def test_tanh_normal__samples_follow_the_closed_form():
    distribution = TanhNormal(jnp.array([0.4]), jnp.array([0.7]), -2.0, 2.0)
    draws = jax.vmap(distribution.sample)(jax.random.split(jax.random.key(0), 5000))[:, 0]
    u = np.arctanh(np.clip(np.asarray(draws, np.float64) / 2.0, -1 + 1e-6, 1 - 1e-6))
    assert scipy.stats.kstest(u, scipy.stats.norm(0.4, 0.7).cdf).pvalue > 1e-3
    assert distribution.mode() == pytest.approx([2.0 * np.tanh(0.4)], rel=1e-5)


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (1.0, 1.0), (5.0, 1.5)])
def test_scaled_beta__agrees_with_scipy(a, b):
    ours = ScaledBeta(jnp.array([a]), jnp.array([b]), -1.0, 3.0)
    theirs = scipy.stats.beta(a, b, loc=-1.0, scale=4.0)
    for action in (-0.7, 0.1, 2.2):
        assert ours.log_prob(jnp.array([action])) == pytest.approx(
            theirs.logpdf(action), rel=1e-4, abs=1e-5
        )
    assert ours.entropy() == pytest.approx(float(theirs.entropy()), rel=1e-4, abs=1e-5)


def test_scaled_beta__mode_is_the_peak_of_the_density():
    ours = ScaledBeta(jnp.array([2.0]), jnp.array([3.0]), 0.0, 6.0)
    assert ours.mode() == pytest.approx([2.0], rel=1e-5)
    draws = jax.vmap(ours.sample)(jax.random.split(jax.random.key(0), 4000))[:, 0]
    assert scipy.stats.kstest(np.asarray(draws) / 6.0, "beta", args=(2.0, 3.0)).pvalue > 1e-3
