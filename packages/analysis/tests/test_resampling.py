import numpy as np
import pytest
from lob_analysis.statistics.comparisons import wilson
from lob_analysis.statistics.estimates import bootstrap, interquartile_mean
from lob_analysis.statistics.resampling import ratio_of_sums, stratified_interquartile_mean


def test_iqm__value_and_interval_are_those_of_the_plain_stratified_bootstrap():
    random = np.random.default_rng(0)
    table = random.normal([[0.0], [3.0]], 1.0, (2, 60))
    found = stratified_interquartile_mean(table, seed=1)
    plain = bootstrap(list(table), interquartile_mean, seed=2)
    assert found.value == plain.value
    assert found.num_samples == 120
    # Two bootstraps of 2000 draws: of 100 such tables no end differed by more than 0.07 widths.
    width = plain.high - plain.low
    assert abs(found.low - plain.low) < 0.2 * width
    assert abs(found.high - plain.high) < 0.2 * width


@pytest.mark.parametrize("size", [4, 7, 9])
def test_iqm__of_samples_drawn_one_by_one(size):
    # With one cluster every draw is the sample itself, of which a quarter is cut at each end.
    values = np.random.default_rng(size).exponential(size=size)
    found = stratified_interquartile_mean(values, np.zeros(size))
    assert found.low == pytest.approx(float(interquartile_mean(values)))
    assert found.high == pytest.approx(found.value)


def test_iqm__windows_played_again_do_not_narrow_the_interval():
    values = np.random.default_rng(3).normal(size=12)
    alone = stratified_interquartile_mean(values)
    again = stratified_interquartile_mean(np.tile(values, 8), np.tile(np.arange(12), 8))
    assert again.high - again.low == pytest.approx(alone.high - alone.low)


def test_ratio__covers_the_true_ratio_as_often_as_it_says():
    # Of 2,000 such intervals 7.1 % miss, because 40 observations are few: more than 24 of 200 miss
    # with probability 4e-3.
    random = np.random.default_rng(4)
    misses = 0
    for seed in range(200):
        size = random.integers(1, 20, 40).astype(float)
        gain = size * random.normal(2.0, 1.0, 40)
        found = ratio_of_sums(gain, size, num_resamples=300, seed=seed)
        misses += not found.low <= 2.0 <= found.high
    assert misses <= 24


def test_ratio__weights_by_the_denominator_and_ignores_empty_observations():
    found = ratio_of_sums([10.0, 0.0, 2.0], [10.0, 0.0, 1.0])
    assert found.value == pytest.approx(12 / 11)
    assert (found.low, found.high) == (1.0, 2.0)
    assert found.num_samples == 2


def test_bad_samples_are_refused():
    with pytest.raises(ValueError, match="sum above zero"):
        ratio_of_sums([1.0], [0.0])
    with pytest.raises(ValueError, match="equal lengths"):
        ratio_of_sums([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"clusters have shape \(2,\)"):
        stratified_interquartile_mean([1.0, 2.0, 3.0], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        stratified_interquartile_mean([1.0, float("nan")])


def test_wilson__published_value_and_edges():
    # 15 of 148: 0.0624 to 0.1605 (Newcombe 1998, table I, method 3).
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)
