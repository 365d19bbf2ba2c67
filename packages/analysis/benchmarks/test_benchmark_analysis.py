"""Speed of the parts that grow with the data; each checks its answer."""

import lob_data
import numpy as np
import pytest
from lob_analysis.equilibrium import rank_profiles, solve_zero_sum
from lob_analysis.events import read_events
from lob_analysis.impact import response
from lob_analysis.load import load_run
from lob_analysis.market_quality import quality_summary
from lob_analysis.realism import realism_scores
from lob_analysis.report import render
from lob_analysis.stats import two_way_bootstrap
from lob_analysis.testing import write_run


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    lob_data.synthesize(folder, num_messages=50_000, seed=0)
    return next(iter(read_events(folder).values()))


def test_benchmark_quality(benchmark, events):
    found = benchmark(quality_summary, events)
    benchmark.extra_info["events_per_second"] = events.height / benchmark.stats["median"]
    assert found["spread_ticks"] >= 1


def test_benchmark_response(benchmark, events):
    found = benchmark(response, events)
    benchmark.extra_info["events_per_second"] = events.height / benchmark.stats["median"]
    assert found.filter(lag=1, moves=False)["response"].abs().max() == 0


def test_benchmark_realism(benchmark, events):
    half = events.height // 2
    scores = benchmark.pedantic(
        realism_scores, (events.head(half), events.tail(half)), rounds=3, warmup_rounds=1
    )
    benchmark.extra_info["events_per_second"] = events.height / benchmark.stats["median"]
    assert scores["value"].is_between(0, 5).all()


@pytest.mark.parametrize("num_episodes", [100, 10_000])
def test_benchmark_bootstrap(benchmark, num_episodes):
    values = np.random.default_rng(0).normal(1, 1, num_episodes)
    found = benchmark(two_way_bootstrap, values)
    benchmark.extra_info["episodes_per_second"] = num_episodes / benchmark.stats["median"]
    assert found.low < values.mean() < found.high


def test_benchmark_zero_sum(benchmark):
    payoff = np.random.default_rng(0).normal(size=(60, 60))
    row, column, value = benchmark(solve_zero_sum, payoff)
    assert row @ payoff @ column == pytest.approx(value)


def test_benchmark_alpha_rank(benchmark):
    payoffs = np.random.default_rng(0).normal(size=(2, 12, 12))
    found = benchmark(rank_profiles, list(payoffs), alpha=0.5, population=50)
    assert found.sum() == pytest.approx(1)


def test_benchmark_report(benchmark, tmp_path):
    run = load_run(write_run(tmp_path / "run", num_updates=300, num_episodes=256, num_steps=256))
    text = benchmark.pedantic(render, (run,), rounds=3, warmup_rounds=1)
    benchmark.extra_info["bytes"] = len(text)
    assert text.count("<figure>") == 13
