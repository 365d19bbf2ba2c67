"""Policies where they were not trained."""

import json
import shutil

import numpy as np
import pytest
from lob_analysis import studies
from lob_analysis.cli import app
from lob_analysis.errors import AnalysisError
from lob_analysis.transfer import independent_difference, other_market
from typer.testing import CliRunner


def test_difference__interval_covers_the_truth_at_its_level():
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        left, right = random.normal(3.0, 2.0, 60), random.normal(1.0, 1.0, 40)
        found = independent_difference(left, right)
        hits += found.low <= 2.0 <= found.high
    # Of 2,000 such intervals 94.5 % hold the truth: fewer than 178 of 200 have probability 7e-4.
    assert hits >= 178


def test_difference__values_of_a_window_are_one_draw():
    values = np.random.default_rng(1).normal(size=30)
    repeated, windows = np.repeat(values, 4), np.repeat(np.arange(30), 4)
    other = np.zeros(30)
    once = independent_difference(values, other)
    wrong = independent_difference(repeated, other)
    right = independent_difference(repeated, other, windows)
    assert right.high - right.low == pytest.approx(once.high - once.low, rel=0.1)
    assert wrong.high - wrong.low < 0.6 * (once.high - once.low)


def test_other_market__only_data_may_differ(lab):
    with pytest.raises(AnalysisError, match="begin with data"):
        other_market(lab, ["seed=3"])
    with pytest.raises(AnalysisError, match="begin with data"):
        other_market(lab, [])
    with pytest.raises(AnalysisError, match=r"data\.path"):
        other_market(lab, ["data.kind=lobster"])
    other = other_market(lab, ["data.seed=9"])
    assert other.env == lab.market.env
    assert other.description["hash"] != lab.market.description["hash"]


@pytest.mark.learn
def test_transfer__is_written_and_markets_accumulate(untrained_run, tmp_path):
    folder = shutil.copytree(untrained_run, tmp_path / "tiny")
    old = {"overrides": ["data.seed=8"], "results": []}
    text = json.dumps({"schema": 1, "markets": [old]})
    (folder / studies.TRANSFER).write_text(text)
    arguments = ["transfer", str(folder), "data.seed=9", "--episodes", "8"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    markets = json.loads((folder / studies.TRANSFER).read_text())["markets"]
    assert [market["overrides"] for market in markets] == [["data.seed=8"], ["data.seed=9"]]
    (result,) = markets[1]["results"]
    assert result["baseline"] == "avellaneda_stoikov"
    edges = result["home_edge"]["value"] - result["away_edge"]["value"]
    assert result["drop"]["value"] == pytest.approx(edges)
