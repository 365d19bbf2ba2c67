import numpy as np
import pytest
from lob_analysis.statistics import comparisons
from lob_analysis.statistics import estimates as stats
from scipy import stats as scipy_stats


def test_interquartile_mean__drops_a_quarter_at_each_end():
    assert stats.interquartile_mean([1000.0, 1.0, 2.0, 3.0, 4.0, -900.0, 5.0, 6.0]) == 3.5


def test_interquartile_mean__works_row_by_row():
    rows = np.array([[1.0, 2, 3, 4], [10, 20, 30, 40]])
    assert stats.interquartile_mean(rows).tolist() == [2.5, 25.0]


def test_cvar__is_the_mean_of_the_worst_share():
    assert stats.cvar(np.arange(100.0), 0.05) == 2.0
    assert stats.cvar([3.0, 1.0, 2.0], 0.05) == 1.0
    with pytest.raises(ValueError, match="share is 0"):
        stats.cvar([1.0], 0)


def test_sharpe__matches_mean_over_deviation_and_handles_no_variation():
    assert stats.sharpe([1.0, 2.0, 3.0]) == 2.0
    assert stats.sharpe([0.0, 0.0]) == 0.0
    assert stats.sharpe([2.0, 2.0]) == np.inf


def test_bootstrap__same_seed_same_interval():
    sample = np.random.default_rng(0).normal(size=30)
    assert stats.bootstrap(sample, seed=4) == stats.bootstrap(sample, seed=4)
    assert stats.bootstrap(sample, seed=4) != stats.bootstrap(sample, seed=5)


def test_bootstrap__mean_interval_is_close_to_the_normal_one():
    sample = np.random.default_rng(1).normal(size=400)
    found = stats.bootstrap(sample, num_resamples=4000)
    error = sample.std() / 20
    # An end is known to 0.042 errors from 4,000 draws: of 300 such samples two were off by more.
    assert found.value == pytest.approx(sample.mean())
    assert found.low == pytest.approx(sample.mean() - 1.96 * error, abs=0.12 * error)
    assert found.high == pytest.approx(sample.mean() + 1.96 * error, abs=0.12 * error)


def test_bootstrap__strata_keep_their_share():
    # Two strata without spread of their own leave nothing uncertain; pooled they would.
    strata = [np.full(10, 1.0), np.full(30, 5.0)]
    found = stats.bootstrap(strata)
    assert (found.value, found.low, found.high, found.num_samples) == (4.0, 4.0, 4.0, 40)
    assert stats.bootstrap(np.concatenate(strata)).high > 4.2


def test_bootstrap__covers_the_truth_at_its_level():
    # A percentile interval of 40 normal observations covers 0.926 (of 3,000 such samples): fewer
    # than 172 hits of 200 have probability 4e-4, all 200 at coverage 0.95 have 4e-5.
    random = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        found = stats.bootstrap(random.normal(size=40), num_resamples=400, seed=trial)
        hits += found.low <= 0 <= found.high
    assert 172 <= hits < 200


@pytest.mark.parametrize("bad", [[], [[1.0], []], [np.nan, 1.0], [[1.0], [np.inf]]])
def test_bootstrap__refuses_empty_and_non_finite_samples(bad):
    with pytest.raises(ValueError, match=r"samples"):
        stats.bootstrap(bad)


def test_bootstrap__memory_is_bounded_by_chunks(monkeypatch):
    sample = np.random.default_rng(3).normal(size=50)
    whole = stats.bootstrap(sample, num_resamples=100)
    monkeypatch.setattr(stats, "CHUNK", 500)
    parts = stats.bootstrap(sample, num_resamples=100)
    assert parts == whole


def test_paired_difference__is_narrower_than_unpaired_when_correlated():
    random = np.random.default_rng(5)
    market = random.normal(0, 10, 100)
    left, right = market + 1 + random.normal(0, 0.5, 100), market + random.normal(0, 0.5, 100)
    paired = stats.paired_difference(left, right)
    # The standard error is 0.07: false alarms have probability 3e-5.
    assert paired.is_certain
    assert paired.value == pytest.approx(1, abs=0.3)
    assert paired.high - paired.low < 0.1 * (stats.bootstrap(left).high - stats.bootstrap(left).low)
    with pytest.raises(ValueError, match="equal shapes"):
        stats.paired_difference(left, right[:-1])


def test_sign_flip__exact_for_a_small_sample():
    # Of the 8 sign patterns of (1, 2, 3) two reach |sum| = 6: p = 1/4.
    assert comparisons.sign_flip_p_value([1.0, 2.0, 3.0], num_flips=20_000) == pytest.approx(
        0.25, abs=0.02
    )


def test_sign_flip__false_alarms_stay_near_the_level():
    # 200 tests at level 0.05 of a true hypothesis: more than 22 has probability 2e-4.
    random = np.random.default_rng(6)
    alarms = sum(
        comparisons.sign_flip_p_value(random.normal(size=15), num_flips=399, seed=i) <= 0.05
        for i in range(200)
    )
    assert alarms <= 22


def test_probability_of_improvement__equals_mann_whitney():
    random = np.random.default_rng(7)
    left, right = random.integers(0, 6, 40), random.integers(0, 5, 30)
    u = scipy_stats.mannwhitneyu(left, right).statistic
    found = comparisons.probability_of_improvement(left, right)
    assert found.value == pytest.approx(u / 1200)
    assert found.low < found.value < found.high


def test_profile_and_gap__worked_example():
    scores = [0.2, 0.5, 1.5]
    assert comparisons.performance_profile(scores, [0.0, 0.5, 2.0]).tolist() == pytest.approx(
        [1, 1 / 3, 0]
    )
    assert comparisons.optimality_gap(scores) == pytest.approx((0.8 + 0.5 + 0) / 3)


def test_two_way__clusters_are_drawn_whole():
    # Ten copies of each of four values carry no more than four values do.
    values = np.repeat([0.0, 1.0, 2.0, 3.0], 10)
    labels = np.repeat(np.arange(4), 10)
    clustered = stats.two_way_bootstrap(values, labels)
    alone = stats.two_way_bootstrap([0.0, 1.0, 2.0, 3.0])
    naive = stats.two_way_bootstrap(values)
    assert (clustered.low, clustered.high) == (alone.low, alone.high)
    assert naive.high - naive.low < 0.5 * (clustered.high - clustered.low)
    assert clustered.num_samples == 40


def test_two_way__learners_are_resampled_too():
    # Two learners that differ by 10 in every episode: the mean lies anywhere between them.
    found = stats.two_way_bootstrap([[0.0] * 50, [10.0] * 50])
    assert (found.value, found.low, found.high) == (5, 0, 10)


@pytest.mark.parametrize("bad", [[], [[np.nan]]])
def test_two_way__refuses_empty_and_non_finite_values(bad):
    with pytest.raises(ValueError, match="values have shape"):
        stats.two_way_bootstrap(bad)
    with pytest.raises(ValueError, match="clusters have shape"):
        stats.two_way_bootstrap([1.0, 2.0], [0])
