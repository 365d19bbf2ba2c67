"""The Hawkes model against closed forms; false-alarm rates as in the zero-intelligence tests."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, EventType, Side
from lob_core.flow import Hawkes, ZeroIntelligence, simulate
from lob_core.flow.hawkes import branching_matrix, check_stationary, mean_rates
from lob_core.testing.agreement import assert_sound

MODEL = Hawkes(refresh_every=10)
CONFIG = BookConfig(num_slots=96, max_trades=0)
NUM_CHAINS, NUM_MESSAGES = 128, 700
SIX_SIGMA = 6.0


def arrivals(params):
    return ZeroIntelligence(MODEL.num_levels).arrival_rates(params.base)


@functools.cache
def many_chains():
    """Independent markets: time in seconds, kinds of the messages, reports."""
    params = MODEL.default_params()

    def run(key):
        key_open, key_run = jax.random.split(key)
        book, state = MODEL.opening(key_open, params, CONFIG)
        book, _, messages, outcome = simulate(
            MODEL, key_run, book, state, params, NUM_MESSAGES, CONFIG
        )
        seconds = (messages.time_s - 34_200) + messages.time_ns * 1e-9
        return book, seconds, messages.event_type, messages.side, outcome.reports

    keys = jax.random.split(jax.random.key(0), NUM_CHAINS)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(keys))


def counts_by(seconds):
    """`[chains, 4]` arrivals of each kind between 5 s and `seconds`."""
    _, time, event_type, side, _ = many_chains()
    is_in = (time > 5.0) & (time <= seconds)
    kinds = [
        (event_type == kind) & (side == s)
        for kind in (EventType.SUBMIT, EventType.MARKET)
        for s in (Side.BID, Side.ASK)
    ]
    return np.stack([(k & is_in).sum(1) for k in kinds], axis=1)


@pytest.mark.parametrize("make", [MODEL.default_params, jax.jit(MODEL.default_params)])
def test_default_params__have_the_mean_rates_of_zero_intelligence(make):
    params = make()
    check_stationary(params)
    wanted = ZeroIntelligence().arrival_rates(ZeroIntelligence().default_params())
    np.testing.assert_allclose(mean_rates(params, arrivals(params)), wanted, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_mean_rates__solve_the_stationary_equations(seed):
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.1, 0.95)
    matrix = rng.exponential(size=(4, 4))
    matrix *= radius / np.abs(np.linalg.eigvals(matrix)).max()
    decay, constant = rng.uniform(0.5, 20.0), rng.exponential(size=4).astype(np.float32)
    params = MODEL.default_params().replace(excitation=matrix * decay, decay=decay)
    wanted = np.linalg.solve(np.eye(4) - matrix, constant)
    np.testing.assert_allclose(jax.jit(mean_rates)(params, constant), wanted, rtol=1e-4)


def test_simulate__has_the_stationary_mean_rates():
    _, time, *_ = many_chains()
    horizon = 12.0
    assert time[:, -1].min() > horizon  # no chain stops before the window ends
    counts = counts_by(horizon) / (horizon - 5.0)
    params = MODEL.default_params()
    expected = np.asarray(mean_rates(params, arrivals(params)))
    sigma = counts.std(0) / np.sqrt(NUM_CHAINS)
    assert (np.abs(counts.mean(0) - expected) < SIX_SIGMA * sigma).all(), (counts.mean(0), expected)


def test_simulate__clusters_events_more_than_poisson():
    counts = counts_by(12.0).sum(1)
    fano = counts.var() / counts.mean()
    # For Poisson counts the Fano factor of n chains is 1 with a standard error of sqrt(2 / n).
    assert fano > 1 + SIX_SIGMA * np.sqrt(2 / NUM_CHAINS)


def test_simulate__keeps_the_book_alive_and_understands_its_own_messages():
    book, _, _, _, reports = many_chains()
    assert (reports.best_bid > 0).all()
    assert (reports.best_ask > reports.best_bid).all()
    assert not any(value.any() for value in dataclasses.astuple(book.counters))
    assert_sound(jax.tree.map(lambda x: x[0], book))


def test_sample__without_excitation_is_poisson():
    """Waits of one look are then exponential with the total rate: mean within six sigma."""
    base = ZeroIntelligence().default_params()
    params = MODEL.default_params().replace(base=base, excitation=jnp.zeros((4, 4)))
    book, state = MODEL.opening(jax.random.key(1), params, CONFIG)
    zi = ZeroIntelligence()
    rate = float(zi.arrival_rates(base).sum() + zi.look(book, state, base).cancel_rate.sum())
    keys = jax.random.split(jax.random.key(2), 20_000)

    @jax.jit
    @jax.vmap
    def first_wait(key):
        _, after = MODEL.sample(key, book, state, params, 1)
        return (after.time_s - state.time_s) + after.time_ns * 1e-9

    waits = np.asarray(first_wait(keys)) * rate
    assert abs(waits.mean() - 1) < SIX_SIGMA / np.sqrt(waits.size)
    assert abs(waits.var() - 1) < SIX_SIGMA * np.sqrt(8 / waits.size)


def test_check_stationary__refuses_flow_that_explodes():
    params = MODEL.default_params()
    radius = np.abs(np.linalg.eigvals(np.asarray(branching_matrix(params)))).max()
    assert 0.3 < radius < 1
    with pytest.raises(ValueError, match=r"spectral radius 1\.0"):
        check_stationary(params.replace(excitation=params.excitation * (1.0001 / radius)))
    with pytest.raises(ValueError, match="decay > 0"):
        check_stationary(params.replace(decay=jnp.zeros(4)))


def test_hawkes__checks_its_fields():
    with pytest.raises(ValueError, match="num_levels is 0"):
        Hawkes(num_levels=0)
