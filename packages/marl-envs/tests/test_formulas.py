"""Closed forms against worked numbers, independent solutions and their own optimality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from marl_envs.agents import formulas


def test_avellaneda_stoikov__worked_example():
    """gamma .1, sigma^2 tau 4, k 1.5, two long: reservation - .8, half .2 + 10 ln(16 / 15)."""
    bid, ask = formulas.avellaneda_stoikov(2.0, 0.1, 4.0, 1.5)
    half = 0.2 + 10 * np.log(16 / 15)
    assert (float(bid), float(ask)) == pytest.approx((half + 0.8, half - 0.8), rel=1e-5)


def test_glft__worked_example():
    """gamma = k: ln 2 / gamma +- (2 I +- 1) / 2 sqrt(sigma^2 / (2 A) 4)."""
    bid, ask = formulas.gueant_lehalle_fernandez_tapia(1.0, 0.5, 0.3, 0.5, 0.2)
    slope = 0.3 * np.sqrt(4 / (2 * 0.2))
    base = np.log(2) / 0.5
    assert float(bid) == pytest.approx(base + 1.5 * slope, rel=1e-5)
    assert float(ask) == pytest.approx(base - 0.5 * slope, rel=1e-5)


def exact_cartea_jaimungal(steps_left, decay, rate, running, terminal, limit):
    levels = np.arange(-limit, limit + 1.0)
    generator = np.diag(-decay * running * levels**2)
    generator += rate / np.e * (np.eye(len(levels), k=1) + np.eye(len(levels), k=-1))
    weights = scipy.linalg.expm(generator * steps_left) @ np.exp(-decay * terminal * levels**2)
    value = np.log(weights) / decay
    bid = np.append(1 / decay + value[:-1] - value[1:], np.inf)
    ask = np.append(np.inf, 1 / decay + value[1:] - value[:-1])
    return bid, ask


@pytest.mark.parametrize("steps_left", [0, 1, 30, 3000])
def test_cartea_jaimungal__agrees_with_the_matrix_exponential(steps_left):
    settings = (0.5, 0.3, 0.002, 0.05, 6)
    got = jax.jit(formulas.cartea_jaimungal, static_argnums=5)(steps_left, *settings)
    expected = exact_cartea_jaimungal(steps_left, *settings)
    for side, exact in zip(got, expected, strict=True):
        assert np.allclose(side, exact, rtol=2e-3, atol=2e-3)


def test_cartea_jaimungal__is_symmetric_and_leans_against_the_inventory():
    bid, ask = formulas.cartea_jaimungal(100, 0.5, 0.3, 0.002, 0.05, 6)
    assert np.allclose(bid, ask[::-1], rtol=1e-4)
    assert (np.diff(np.asarray(bid)) > 0).all()


def test_almgren_chriss__solves_its_own_recursion():
    """x(j-1) - 2 x(j) + x(j+1) = kappa_tilde^2 x(j), equation 16 of the paper."""
    urgency = formulas.almgren_chriss_urgency(0.02, 1.5, 0.4)
    steps = jnp.arange(21)
    left = np.asarray(formulas.almgren_chriss_remaining(steps, 20, urgency), np.float64)
    assert (left[0], left[-1]) == pytest.approx((1.0, 0.0), abs=1e-6)
    curvature = left[:-2] - 2 * left[1:-1] + left[2:]
    assert np.allclose(curvature, 0.02 * 1.5**2 / 0.4 * left[1:-1], atol=2e-6)


@pytest.mark.parametrize(("urgency", "half_way"), [(0.0, 0.5), (50.0, 0.0)])
def test_almgren_chriss__limits(urgency, half_way):
    assert float(formulas.almgren_chriss_remaining(10, 20, urgency)) == pytest.approx(half_way)


def obizhaeva_wang_cost(sizes, resilience):
    """Cost in a book of unit depth that refills by exp(-rho) between trades."""
    cost, impact = 0.0, 0.0
    for size in sizes:
        cost += size * (impact + size / 2)
        impact = (impact + size) * np.exp(-resilience)
    return cost


@pytest.mark.parametrize("resilience", [0.1, 1.0])
def test_obizhaeva_wang__no_other_schedule_costs_less(resilience):
    left = np.asarray(formulas.obizhaeva_wang_remaining(jnp.arange(9), 8, resilience))
    sizes = -np.diff(left)
    assert sizes.sum() == pytest.approx(1.0, rel=1e-5)
    assert sizes[0] == pytest.approx(sizes[-1], rel=1e-4)
    best = obizhaeva_wang_cost(sizes, resilience)
    rng = np.random.default_rng(0)
    for _ in range(50):
        shift = rng.normal(size=8) * 0.05
        other = sizes + shift - shift.mean()
        assert obizhaeva_wang_cost(other, resilience) > best - 1e-6


def test_obizhaeva_wang__becomes_even_when_the_book_refills_at_once():
    left = formulas.obizhaeva_wang_remaining(jnp.arange(6), 5, 50.0)
    assert np.allclose(left, [1, 0.8, 0.6, 0.4, 0.2, 0], atol=1e-6)
    assert np.allclose(formulas.obizhaeva_wang_remaining(jnp.arange(2), 1, 0.5), [1, 0])


def test_volume_curve__is_linear_within_a_bin():
    """Bins of 3, 1, 2 out of 6."""
    times = jnp.asarray([0.0, 1 / 6, 1 / 3, 2 / 3, 5 / 6, 1.0])
    left = formulas.curve_remaining(times, (3.0, 1.0, 2.0))
    assert np.allclose(left, [1, 0.75, 0.5, 2 / 6, 1 / 6, 0], atol=1e-6)


def test_estimate__weighs_by_precision():
    """Prior 10 with variance 4, signal 16 with variance 12."""
    mean, variance = formulas.optimal_fundamental_estimate(10.0, 4.0, 16.0, 12.0)
    assert (float(mean), float(variance)) == (11.5, 3.0)


def test_forecast__has_the_moments_of_an_ornstein_uhlenbeck_process():
    """Against Euler steps of the law itself."""
    mean, variance = 110.0, 4.0
    for _ in range(10_000):
        mean += 0.5 * (100.0 - mean) * 1e-4
        variance += (3.0**2 - 2 * 0.5 * variance) * 1e-4
    got = formulas.mean_reverting_forecast(110.0, 4.0, 100.0, 0.5, 3.0, 1.0)
    assert (float(got[0]), float(got[1])) == pytest.approx((mean, variance), rel=1e-3)
