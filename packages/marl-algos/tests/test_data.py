"""Markets on replayed order flow, generated and recorded."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from lob_core.flow import Hawkes
from marl_algos.conf.load import ConfigError, load_config
from marl_algos.markets.data import SPLITS, make_market
from marl_algos.train import make_learner

SMALL = ["experiment=smoke", "env=market_maker", "env.num_steps=4", "env.messages_per_step=20"]


def check_market(market):
    bounds = []
    for split in SPLITS:
        windows = market.params[split].background.windows
        times = np.asarray(windows.time_s) + 1e-9 * np.asarray(windows.time_ns)
        bounds.append((times.min(), times.max()))
    assert bounds[0][1] < bounds[1][0]
    assert bounds[1][1] < bounds[2][0]


def test_synthetic__is_prepared_once_and_its_splits_follow_one_another(tmp_path):
    overrides = ["data=synthetic", "data.num_messages=4000", f"data.cache={tmp_path}"]
    config = load_config([*SMALL, *overrides])
    market = make_market(config)
    check_market(market)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert stamps
    again = make_market(config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == stamps
    assert again.description == market.description


def test_embedded__splits_have_no_opening_in_common_and_the_seed_decides():
    overrides = [*SMALL, "data.num_openings=4"]
    market = make_market(load_config(overrides))
    other = make_market(load_config([*overrides, "data.seed=1"]))

    def sizes(market, split):
        return np.asarray(market.params[split].background.books.bids.size)

    assert not (sizes(market, "train") == sizes(market, "test")).all(axis=-1).any()
    assert (sizes(market, "train") != sizes(other, "train")).any()
    assert market.description["hash"] != other.description["hash"]


@pytest.mark.data
@pytest.mark.slow
def test_lobster__recorded_day_is_learned_from(tmp_path):
    samples = os.environ.get("LOBSTER_SAMPLES")
    if not samples:
        pytest.skip("set LOBSTER_SAMPLES to the folder of LOBSTER samples")
    folder = next(Path(samples).glob("*GOOG_2012-06-21_10"))
    overrides = ["data=lobster", f"data.path={folder}", f"data.cache={tmp_path}"]
    config = load_config([*SMALL, *overrides])
    market = make_market(config)
    check_market(market)
    learner = make_learner(config, market)
    params = market.params["train"]
    state = jax.jit(learner.init)(jax.random.key(0), params)
    _, metrics = jax.jit(learner.update)(state, params)
    assert metrics["finite"]
    assert metrics["counters"]["dropped_orders"] == 0
    assert metrics["market"]["spread"] > 1.0


def test_embedded__a_named_flow_model_looks_as_often_as_asked():
    overrides = [*SMALL, "data.num_openings=2", "data.flow=hawkes", "data.refresh_every=7"]
    background = make_market(load_config(overrides)).params["train"].background
    assert type(background.model) is Hawkes
    assert background.num_looks == 3


@pytest.mark.parametrize(
    ("override", "named"), [("data.flow=none", "hawkes"), ("data.refresh_every=0", "refresh_every")]
)
def test_embedded__what_is_not_allowed_is_named(override, named):
    with pytest.raises(ConfigError, match=named):
        make_market(load_config([*SMALL, override]))
