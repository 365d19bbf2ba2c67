"""Speed of the parts that grow with the data; each checks its answer."""

from functools import partial

import jax
import lob_data
import numpy as np
import pytest
from lob_analysis.equilibrium import rank_profiles, solve_zero_sum
from lob_analysis.equilibrium.payoffs import payoff_table
from lob_analysis.market.events import read_events
from lob_analysis.market.impact import response
from lob_analysis.market.quality import quality_summary
from lob_analysis.market.realism import realism_scores
from lob_analysis.pages.report import render
from lob_analysis.play.simulate import Player
from lob_analysis.runs.load import load_run
from lob_analysis.statistics.estimates import two_way_bootstrap
from lob_analysis.testing import write_run
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.train import make_learner


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


def test_benchmark_payoff_table(benchmark):
    """Five makers against five executors, 200 episodes each, on the embedded market."""
    config = load_config(["env.num_steps=64", "env.messages_per_step=20", "network.hidden=[32]"])
    market = make_market(config)
    learner = make_learner(config, market)
    start = jax.jit(learner.init)
    params = market.params["train"]
    agents = [start(jax.random.key(seed), params).agents for seed in range(5)]
    policies = {name: [each[name] for each in agents] for name in market.env.groups}
    player = Player(market.env, learner, 200)
    play = partial(payoff_table, player, policies, market.params["test"], jax.random.key(0))
    first = play()
    found = benchmark.pedantic(play, rounds=2)
    for role in found.roles:
        np.testing.assert_array_equal(found.samples[role], first.samples[role])
        assert found.samples[role].shape == (5, 5, 200)
    steps = 25 * 200 * market.env.config.num_steps
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["env_steps_per_s"] = steps / seconds
    assert seconds < 120
