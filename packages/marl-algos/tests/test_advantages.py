"""Advantages against sums written out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.learners.advantages import gae, next_values, normalize_advantages
from marl_algos.learners.losses import clipped_policy_loss, explained_variance, value_loss
from marl_algos.moments import RunningMoments, masked_mean

GAMMA, LAMBDA = 0.9, 0.8


def by_hand(reward, values, following, terminated, cut):
    advantage, result = 0.0, []
    for t in reversed(range(len(reward))):
        bootstrap = 0.0 if terminated[t] else following[t]
        delta = reward[t] + GAMMA * bootstrap - values[t]
        advantage = delta + (0.0 if cut[t] else GAMMA * LAMBDA * advantage)
        result.append(advantage)
    return result[::-1]


@pytest.mark.parametrize("ends", ["terminated", "truncated", "neither"])
def test_gae__agrees_with_the_sum_written_out(ends):
    rng = np.random.default_rng(0)
    reward, values, final = rng.normal(size=(3, 6))
    cut = np.array([False, False, ends != "neither", False, False, False])
    terminated = cut & (ends == "terminated")
    following = next_values(
        jnp.asarray(values), jnp.asarray(0.7), jnp.asarray(final), jnp.asarray(cut)
    )
    expected = [*values[1:], 0.7]
    if ends != "neither":
        expected[2] = final[2]
    assert following == pytest.approx(expected, rel=1e-6)
    ours = gae(
        jnp.asarray(reward),
        jnp.asarray(values),
        following,
        jnp.asarray(terminated),
        jnp.asarray(cut),
        discount=GAMMA,
        gae_lambda=LAMBDA,
    )
    assert ours == pytest.approx(by_hand(reward, values, expected, terminated, cut), rel=1e-5)


def test_gae__what_follows_a_cut_does_not_reach_back():
    shared = {"discount": GAMMA, "gae_lambda": LAMBDA}
    cut = jnp.array([False, True, False])
    never = jnp.zeros(3, bool)
    small = gae(jnp.array([1.0, 1.0, 0.0]), jnp.zeros(3), jnp.zeros(3), never, cut, **shared)
    large = gae(jnp.array([1.0, 1.0, 99.0]), jnp.zeros(3), jnp.zeros(3), never, cut, **shared)
    assert small[:2].tolist() == large[:2].tolist()
    assert large[2] == 99.0


def test_normalize_advantages__ignores_and_zeroes_what_is_masked():
    mask = jnp.array([True, True, True, False])
    normalized = normalize_advantages(jnp.array([1.0, 2.0, 3.0, 1e6]), mask)
    assert normalized[3] == 0.0
    assert float(normalized[:3].mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(normalized[:3].std()) == pytest.approx(1.0, rel=1e-5)


def test_masked_mean__of_nothing_is_zero():
    assert masked_mean(jnp.array([5.0]), jnp.array([False])) == 0.0


def test_running_moments__first_batch_gives_its_own_moments():
    x = jnp.array([1.0, 3.0, 100.0])
    moments = RunningMoments.create().update(x, jnp.array([True, True, False]), 0.9)
    assert float(moments.mean) == pytest.approx(2.0, rel=1e-5)
    assert float(moments.std) == pytest.approx(1.0, rel=1e-4)
    assert moments.denormalize(moments.normalize(x)) == pytest.approx(np.asarray(x), rel=1e-5)


def test_running_moments__batch_without_members_changes_nothing():
    before = RunningMoments.create((2,)).update(jnp.ones((4, 2)), jnp.ones(4, bool), 0.5)
    after = before.update(jnp.full((4, 2), 9.0), jnp.zeros(4, bool), 0.5)
    assert after.mean.tolist() == before.mean.tolist()
    assert after.weight == before.weight


def test_clipped_policy_loss__gradient_stops_beyond_the_clip_range():
    mask = jnp.ones(2, bool)
    ratio = jnp.array([1.5, 0.5])
    loss, metrics = clipped_policy_loss(jnp.log(ratio), jnp.array([1.0, 1.0]), mask, 0.2)
    assert float(loss) == pytest.approx(-(1.2 + 0.5) / 2, rel=1e-6)
    assert metrics["clip_fraction"] == 1.0
    assert float(metrics["ratio_error"]) == pytest.approx(0.5, rel=1e-5)


def test_value_loss__is_quadratic_inside_and_linear_outside():
    mask = jnp.ones(1, bool)
    assert float(value_loss(jnp.array([1.0]), jnp.array([0.0]), mask, 2.0)) == 0.5
    assert float(value_loss(jnp.array([5.0]), jnp.array([0.0]), mask, 2.0)) == 2.0 * (5.0 - 1.0)


def test_explained_variance__of_perfect_and_of_constant_predictions():
    targets, mask = jnp.array([1.0, 2.0, 4.0]), jnp.ones(3, bool)
    assert float(explained_variance(targets, targets, mask)) == pytest.approx(1.0)
    assert float(explained_variance(jnp.ones(3), targets, mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(explained_variance(targets, jnp.ones(3), mask)) == 0.0
