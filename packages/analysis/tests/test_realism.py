import os
from pathlib import Path

import lob_data
import numpy as np
import polars as pl
import pytest
from lob_analysis.cli import app
from lob_analysis.market.distances import Blocks, distances, l1_edges, make_blocks, score
from lob_analysis.market.events import read_events
from lob_analysis.market.impact import impact_scores
from lob_analysis.market.quality import quality_summary
from lob_analysis.market.quantities import CONDITIONAL, QUANTITIES
from lob_analysis.market.realism import realism_scores
from lob_analysis.market.stylized import EXPECTED, stylized_facts
from lob_analysis.pages.realism_page import render_realism
from scipy import stats as scipy_stats
from typer.testing import CliRunner


def frame(values, **columns):
    return pl.DataFrame({"time_ns": np.arange(len(values)), "value": values, **columns})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("flow")
    for name, seed in (("first", 1), ("second", 2)):
        lob_data.synthesize(root / name, num_messages=8_000, seed=seed)
    return root


@pytest.fixture(scope="module")
def days(folders):
    first, second = (next(iter(read_events(folders / x).values())) for x in ("first", "second"))
    return first, second


def test_l1__is_the_total_variation_distance():
    real, sim = np.repeat([1.0, 2, 3], [50, 30, 20]), np.repeat([1.0, 2, 4], [20, 30, 50])
    blocks = make_blocks(frame(real), frame(sim), is_l1=True)
    assert score(blocks).value == pytest.approx((0.3 + 0 + 0.2 + 0.5) / 2)


def test_wasserstein__equals_scipys_on_scaled_values():
    random = np.random.default_rng(0)
    real, sim = random.normal(size=300), random.normal(0.5, 2, size=400)
    scale = np.concatenate([real, sim]).std()
    expected = scipy_stats.wasserstein_distance(real, sim) / scale
    found = score(make_blocks(frame(real), frame(sim), is_l1=False)).value
    assert found == pytest.approx(expected, rel=1e-9)


def test_wasserstein__grid_of_quantiles_is_close_enough():
    random = np.random.default_rng(1)
    real, sim = random.exponential(size=20_000), random.exponential(1.3, size=20_000)
    expected = scipy_stats.wasserstein_distance(real, sim) / np.concatenate([real, sim]).std()
    found = score(make_blocks(frame(real), frame(sim), is_l1=False)).value
    assert found == pytest.approx(expected, rel=0.02)


def test_edges__discrete_values_get_a_bin_each():
    values = np.repeat([0.0, 1.0, 5.0], 100)
    edges = l1_edges(values)
    assert len(edges) == 4
    assert np.histogram(values, edges)[0].tolist() == [100, 100, 100]
    assert l1_edges(np.ones(50)).tolist() == [0.5, 1.5]


def test_conditional__weights_conditions_by_the_real_share():
    # Two conditions of 3/4 and 1/4; the samples agree in the first and are disjoint in the second.
    counts = np.array([[3.0, 3, 2, 0]]), np.array([[5.0, 5, 0, 7]])
    blocks = Blocks(*counts, None, 2)
    assert distances(*counts, blocks)[0] == pytest.approx(0.25)
    # A condition that is never met counts as 1 in l1 and as all values in Wasserstein-1.
    never = np.array([[5.0, 5, 0, 0]])
    assert distances(counts[0], never, blocks)[0] == pytest.approx(0.25)
    placed = Blocks(counts[0], never, np.array([0.0, 2.0]), 2)
    assert distances(counts[0], never, placed)[0] == pytest.approx(0.25 * 2 * 0.5)


def test_score__same_process_is_within_the_floor():
    # At most about one in twenty should be told apart; of 60, more than 9 has probability 7e-4.
    random = np.random.default_rng(2)
    samples = [
        (frame(random.normal(size=2000)), frame(random.normal(size=2000))) for _ in range(60)
    ]
    told = [
        score(make_blocks(*pair, is_l1=True), num_resamples=200, seed=seed).is_told_apart
        for seed, pair in enumerate(samples)
    ]
    assert sum(told) <= 9


def test_score__interval_and_order():
    random = np.random.default_rng(3)
    blocks = make_blocks(
        frame(random.normal(size=4000)), frame(random.normal(1, 1, size=4000)), is_l1=False
    )
    found = score(blocks)
    assert found.low < found.value < found.high
    assert found.is_told_apart
    assert found == score(blocks)
    # Two unit normals one apart: W1 is 1, the pooled deviation sqrt(1.25). The score of 4,000 is
    # known to 0.018: false alarms have probability 6e-3.
    assert found.value == pytest.approx(1 / np.sqrt(1.25), abs=0.05)


def test_scores__same_flow_model_is_mostly_within_the_floor(days):
    scores = realism_scores(*days)
    assert set(scores["kind"]) == {"unconditional", "conditional", "impact"}
    assert set(scores["score"]) >= set(QUANTITIES) | set(CONDITIONAL)
    assert scores["value"].is_between(0, 5).all()
    assert scores.filter(pl.col("distance") == "l1")["value"].max() <= 1
    assert scores["told_apart"].mean() < 0.3


def test_scores__another_market_is_told_apart(days):
    real, _ = days
    wide = real.with_columns(pl.col("ask_price") + 3, pl.col("ask_size") * 2)
    scores = realism_scores(real, wide).filter(pl.col("distance") == "wasserstein")
    told = set(scores.filter("told_apart")["score"])
    assert {"spread", "ask_volume_touch", "orderbook_imbalance"} <= told
    assert "limit_order_size" not in told
    assert scores.filter(score="limit_order_size")["value"].item() == 0


def test_scores__short_tables_leave_out_what_they_cannot_tell(days):
    # There are not 24 means of 100 events to compare, but there are spreads.
    names = set(realism_scores(days[0].head(110), days[1].head(110))["score"])
    assert "spread" in names
    assert not {"ofi", "ofi_up", "ofi_stay", "ofi_down"} & names
    assert l1_edges(np.array([1.0, 9.0])).size == 11


def test_impact__identical_tables_score_zero(days):
    found = impact_scores(days[0], days[0])
    assert len(found) >= 5
    for kind in found.values():
        assert kind.value == 0
        assert 0 < kind.floor < kind.floor_high
        assert not kind.is_told_apart


def test_page__names_what_never_happens_in_the_simulated_market(days):
    real, still = days[0].head(3_000), days[1].head(3_000)
    still = still.with_columns(bid_price=pl.lit(100.0), ask_price=pl.lit(102.0))
    text = render_realism(real, still, realism_scores(real, still), "a frozen market")
    assert "has no cancellation that moves the mid, no limit order that moves the mid" in text
    assert "<section id=facts>" in text


def test_facts__all_are_reported(days):
    facts = stylized_facts(days[0], 1_000_000_000)
    assert facts["fact"].to_list() == list(EXPECTED)
    assert facts["value"].is_not_null().sum() >= 10
    short = stylized_facts(days[0].head(20))
    assert short["value"].null_count() == short.height


def test_cli__realism_writes_one_page(folders, tmp_path):
    out = tmp_path / "page.html"
    args = ["realism", "--real", folders / "first", "--sim", folders / "second", "--out", out]
    done = CliRunner().invoke(app, [str(x) for x in args])
    assert done.exit_code == 0, done.output
    text = out.read_text()
    for part in ("scores", "distributions", "impact", "day", "facts", "quality"):
        assert f"<section id={part}>" in text
    assert "spread | imbalance" in done.output
    table = pl.read_csv(tmp_path / "page.csv")
    assert set(table["distance"]) == {"l1", "wasserstein", "response"}
    count = f"{table['told_apart'].cast(pl.Boolean).sum()} of {len(table)} scores tell"
    assert count in " ".join(done.output.split())


def test_browser__realism_page_is_drawn(days, browse):
    widths = (1000, 390)
    page = render_realism(*days, realism_scores(*days), "two markets")
    for width, found in zip(widths, browse(page, *widths), strict=True):
        assert found["problems"] == []
        assert found["drawn"] == found["plots"] == 6
        assert found["bare"] == []
        assert found["page"] <= width


def test_cli__realism_names_a_missing_folder(tmp_path):
    args = ["realism", "--real", str(tmp_path / "no"), "--sim", str(tmp_path / "no")]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert "no" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.data
@pytest.mark.skipif("LOBSTER_SAMPLES" not in os.environ, reason="LOBSTER_SAMPLES is not set")
def test_data__google_shows_the_stylized_facts():
    folder = Path(os.environ["LOBSTER_SAMPLES"]) / "LOBSTER_SampleFile_GOOG_2012-06-21_10"
    events = next(iter(read_events(folder).values()))
    assert events.height == 147_916
    assert (events["ask_price"] - events["bid_price"]).median() == 28
    facts = dict(stylized_facts(events).select("fact", "value").iter_rows())
    assert 2 < facts["Hill index of absolute returns"] < 5
    assert facts["excess kurtosis"] > facts["excess kurtosis, 10 intervals"] > 0
    assert facts["absolute return autocorrelation, lag 1"] > 0.1
    assert facts["trade sign autocorrelation, lag 1"] > 0.3
    quality = quality_summary(events)
    assert 0 < quality["realized_spread_ticks"] < quality["effective_spread_ticks"]
    halves = realism_scores(events[::2], events[1::2])
    assert halves.filter(pl.col("score") == "spread")["told_apart"].to_list() == [False, False]
