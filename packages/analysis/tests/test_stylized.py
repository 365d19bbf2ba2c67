import numpy as np
import pytest
from lob_analysis.market.events import make_events
from lob_analysis.market.quality import SECOND
from lob_analysis.market.stylized import (
    aggregated,
    autocorrelation,
    hill_index,
    leverage,
    memory_parameter,
    stylized_facts,
    volume_volatility,
)


def test_autocorrelation__matches_the_definition():
    x = np.array([1.0, 3, 2, 5, 4])
    c = x - x.mean()
    expected = [(c[1:] @ c[:-1]) / (c @ c), (c[2:] @ c[:-2]) / (c @ c)]
    np.testing.assert_allclose(autocorrelation(x, 2), expected, atol=1e-12)
    assert np.isnan(autocorrelation(np.ones(5), 1)).all()
    with pytest.raises(ValueError, match="max_lag is 5"):
        autocorrelation(x, 5)


def test_autocorrelation__of_an_autoregression():
    random = np.random.default_rng(0)
    x = np.zeros(50_000)
    noise = random.normal(size=x.size)
    for i in range(1, x.size):
        x[i] = 0.6 * x[i - 1] + noise[i]
    # The standard error of the lag-1 estimate is sqrt((1 - 0.36) / n) = 0.0036, that of lag 3 is
    # 0.0059: false alarms have probability 1e-3.
    np.testing.assert_allclose(autocorrelation(x, 3), [0.6, 0.36, 0.216], atol=0.02)


def test_hill__pareto_tails_within_four_standard_errors():
    # Each check fails by chance with probability about 6e-5.
    for index in (1.5, 3.0, 5.0):
        sample = np.random.default_rng(1).pareto(index, 40_000) + 1
        found, error = hill_index(sample)
        assert error == pytest.approx(found / np.sqrt(2000))
        assert abs(found - index) < 4 * error


def test_hill__bad_input_is_refused():
    with pytest.raises(ValueError, match="tail_share"):
        hill_index([1.0, 2.0], 0)
    with pytest.raises(ValueError, match="3 positive values leave 0"):
        hill_index([1.0, 2.0, 3.0, -1.0])


@pytest.mark.parametrize("d", [0.0, 0.3])
def test_memory__fractional_noise(d):
    # Fractionally integrated noise: moving-average weights Gamma(k + d) / (Gamma(k + 1) Gamma(d)).
    n = 1 << 14
    weights = np.cumprod(np.concatenate([[1.0], (np.arange(1, n) - 1 + d) / np.arange(1, n)]))
    noise = np.random.default_rng(2).normal(size=2 * n)
    size = 4 * n
    series = np.fft.irfft(np.fft.rfft(weights, size) * np.fft.rfft(noise, size), size)[n : 2 * n]
    # Four standard errors: false alarms have probability 6e-5.
    found, error = memory_parameter(series)
    assert abs(found - d) < 4 * error
    with pytest.raises(ValueError, match="at least 32"):
        memory_parameter(series[:10])


def test_leverage__sign_and_absence():
    random = np.random.default_rng(3)
    noise = random.normal(size=20_000)
    # Standard error 0.007: 0.03 is more than four of them, a false alarm of probability 2e-5.
    assert abs(leverage(noise, [1])[0]) < 0.03
    volatility = np.exp(-0.3 * np.concatenate([[0.0], noise[:-1]]))
    assert leverage(noise * volatility, [1])[0] < -0.1


def walk(changes, seconds=10, volume=None):
    """An event every few seconds: a trade after which the mid has moved by some ticks."""
    size = len(changes)
    mid = 100_000.0 + np.cumsum(changes)
    return make_events(
        {
            "time_ns": seconds * SECOND * np.arange(1, size + 1), "event_type": np.full(size, 4),
            "side": np.where(np.arange(size) % 2, 1, -1), "price": mid,
            "size": np.ones(size, int) if volume is None else volume, "bid_price": mid - 1,
            "ask_price": mid + 1, "bid_size": np.ones(size, int), "ask_size": np.ones(size, int),
        }
    )  # fmt: skip


def test_facts__of_a_heavy_tailed_walk_without_memory():
    # The Laplace distribution has excess kurtosis 3, sums of ten of them 0.3; of its exponential
    # tail the largest 5 % look like a power of 3.8. In 300 redraws one value was outside.
    changes = np.random.default_rng(5).laplace(size=20_001)
    facts = dict(stylized_facts(walk(changes)).select("fact", "value").iter_rows())
    for fact, expected, error in (
        ("return autocorrelation, lag 1", 0, 0.03),
        ("return autocorrelation, mean of lags 2 to 10", 0, 0.01),
        ("excess kurtosis", 3, 1.0),
        ("excess kurtosis, 10 intervals", 0.3, 0.65),
        ("absolute return autocorrelation, lag 1", 0, 0.03),
        ("long memory of absolute returns (d)", 0, 0.08),
        ("leverage, mean of lags 1 to 10", 0, 0.01),
        ("variance ratio, 10 intervals", 1, 0.1),
        # Every other trade is a buy.
        ("trade sign autocorrelation, lag 1", -1, 1e-3),
    ):
        assert facts[fact] == pytest.approx(expected, abs=error), fact
    assert facts["Hill index of absolute returns"] == pytest.approx(3.8, abs=0.4)


def test_volume_volatility__of_trades_as_large_as_their_moves_is_one():
    changes = np.random.default_rng(6).integers(-5, 6, 500).astype(float)
    events = walk(changes, volume=10 + np.abs(changes).astype(int))
    assert volume_volatility(events, 10 * SECOND) == pytest.approx(1)
    shuffled = walk(changes, volume=10 + np.random.default_rng(7).permutation(500))
    # The standard error of an uncorrelated pair is 1 / sqrt(500) = 0.045: four of them have
    # probability 6e-5.
    assert abs(volume_volatility(shuffled, 10 * SECOND)) < 0.18


def test_aggregated__drops_the_incomplete_group():
    assert aggregated([1.0, 2, 3, 4, 5], 2).tolist() == [3, 7]
