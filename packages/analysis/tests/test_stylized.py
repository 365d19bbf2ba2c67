import numpy as np
import pytest
from lob_analysis.stylized import (
    aggregated,
    autocorrelation,
    hill_index,
    leverage,
    memory_parameter,
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
    # The standard error of the lag-1 estimate is sqrt((1 - 0.36) / n) = 0.0036.
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
    found, error = memory_parameter(series)
    assert abs(found - d) < 4 * error
    with pytest.raises(ValueError, match="at least 32"):
        memory_parameter(series[:10])


def test_leverage__sign_and_absence():
    random = np.random.default_rng(3)
    noise = random.normal(size=20_000)
    # Standard error 0.007: 0.03 is more than four of them.
    assert abs(leverage(noise, [1])[0]) < 0.03
    volatility = np.exp(-0.3 * np.concatenate([[0.0], noise[:-1]]))
    assert leverage(noise * volatility, [1])[0] < -0.1


def test_aggregated__drops_the_incomplete_group():
    assert aggregated([1.0, 2, 3, 4, 5], 2).tolist() == [3, 7]
