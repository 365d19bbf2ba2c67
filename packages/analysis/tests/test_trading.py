"""How policies traded: parts that add up, markouts with intervals, combinations, populations."""

import dataclasses
import json

import numpy as np
import polars as pl
import pytest
from lob_analysis.agents.results import MEASURES, compare_policies
from lob_analysis.agents.trading import (
    COSTS,
    MONEY,
    markout_curve,
    measures_with_values,
    trading_table,
)
from lob_analysis.pages.cross_play import cross_play_part, payoff_picture
from lob_analysis.pages.matrix_section import matrix_results, matrix_section
from lob_analysis.pages.population_section import founders, mixture_table
from lob_analysis.pages.trading_section import trading_section
from lob_analysis.runs.load import load_run
from lob_analysis.testing import write_run, write_studies


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load_run(write_run(tmp_path_factory.mktemp("runs") / "demo", num_updates=1))


def test_trading__parts_add_up_and_every_episode_is_a_row(run):
    maker = trading_table(run, "market_maker")
    assert maker.select("policy", "episode").is_unique().all()
    assert set(maker["policy"]) == {"learned", "avellaneda_stoikov", "do_nothing"}
    parts = maker.select(pl.sum_horizontal(m.name for m in MONEY)).to_series()
    np.testing.assert_allclose(parts, maker["pnl"])
    own = run.evaluation.filter(agent_type="execution", seed=0).select("policy", "episode", "pnl")
    task = trading_table(run, "execution").join(own, on=["policy", "episode"])
    cost = task.select(pl.sum_horizontal(m.name for m in COSTS)).to_series()
    np.testing.assert_allclose(cost, -task["pnl"])


def test_trading__worth_less_closing_is_the_pnl(run):
    maker = trading_table(run, "market_maker").filter(policy="learned").sort("episode")
    rows = run.episodes.filter(policy="learned", agent_type="market_maker")
    worth = rows.filter(pl.col("step") == pl.col("step").max()).sort("episode")["worth"]
    closing = run.evaluation.filter(agent_type="market_maker", policy="learned").sort("episode")
    np.testing.assert_allclose(maker["pnl"], worth - closing["closing_cost"].head(len(worth)))


def test_trading__money_of_other_episodes_is_not_shown(run):
    moved = run.evaluation.with_columns(pl.col("inventory_end") + 1)
    other = dataclasses.replace(run, evaluation=moved)
    assert "pnl" not in trading_table(other, "market_maker").columns
    assert "<h3>Market maker</h3>" in trading_section(other)
    assert "where the money came from" not in trading_section(other)
    assert trading_table(run, "nobody") is None


def test_trading__one_recorded_episode_of_an_older_run_is_an_illustration(run):
    old = run.episodes.filter(pl.col("episode") == 0).drop("bid_quote_size", "volume")
    text = trading_section(dataclasses.replace(run, episodes=old))
    assert "an illustration, not a result" in text
    assert "Mean absolute inventory" in text
    assert "Participation" not in text


def test_trading__measures_that_say_nothing_are_left_out():
    table = pl.DataFrame(
        {"spread_pnl": [1.0, 0.0], "fee_pnl": [0.0, 0.0], "closing_pnl": [None] * 2}
    )
    assert [measure.name for measure in measures_with_values(table, MONEY)] == ["spread_pnl"]


def test_markouts__of_a_maker_that_is_picked_off_fall():
    # Each episode buys 10 at 99 below a mid of 100 that then falls by one tick a step; the last
    # fill is left out because it cannot be valued at the longest horizon.
    steps, episodes = 8, 3
    bought = np.zeros(steps, int)
    bought[[0, steps - 1]] = 10
    one = pl.DataFrame(
        {
            "step": np.arange(steps), "mid": 100.0 - np.arange(steps), "bought": bought,
            "sold": 0, "buy_price": np.where(bought > 0, 99.0 - np.arange(steps), 0.0),
            "sell_price": 0.0,
        }
    )  # fmt: skip
    keys = {"policy": "learned", "replaced": "", "agent_type": "market_maker", "agent": 0}
    frame = pl.concat(
        one.with_columns(
            *(pl.lit(value).alias(key) for key, value in keys.items()),
            episode=pl.lit(episode), window=pl.lit(episode),
        )
        for episode in range(episodes)
    )  # fmt: skip
    curve = markout_curve(frame, "market_maker", (0, 1, 3, 9))
    assert [(point.horizon, point.gain.value, point.size) for point in curve] == [
        (0, 1.0, 30), (1, 0.0, 30), (3, -2.0, 30),
    ]  # fmt: skip
    assert [point.gain.low for point in curve] == [1, 0, -2]
    assert markout_curve(frame.drop("buy_price"), "market_maker") == []
    assert markout_curve(frame.with_columns(bought=0), "market_maker") == []


def test_matrix__equals_the_results_where_only_one_type_is_replaced(run):
    found = matrix_results(run.matrix)
    assert {name: len(rows) for name, rows in found.items()} == {"market_maker": 4, "execution": 4}
    alone = compare_policies(run.evaluation, "market_maker", MEASURES["pnl"])[1]
    label = "market_maker=avellaneda_stoikov,execution=learned"
    (replaced,) = (row for row in found["market_maker"] if row.policy == label)
    assert (replaced.mean, replaced.difference) == (alone.mean, alone.difference)
    text = matrix_section(run)
    assert text.count("<tr>") == 1 + 4
    single = dataclasses.replace(run, matrix=run.matrix.filter(agent_type="execution"))
    assert matrix_section(single) == ""


def test_cross_play__payoffs_are_shown_by_the_policies_of_their_own_type(tmp_path):
    write_studies(tmp_path)
    study = json.loads((tmp_path / "population.json").read_text())
    # The first axis of every table is the maker's: a payoff that depends on it alone is one of
    # rows in its own picture and one of columns in that of the execution agent.
    for entry in study["roles"].values():
        entry["payoffs"] = [[1.0] * 3, [2.0] * 3, [3.0] * 3]
    own = payoff_picture(study, "market_maker").figure.data[0]
    assert [list(row) for row in own.z] == [[1.0] * 3, [2.0] * 3, [3.0] * 3]
    other = payoff_picture(study, "execution").figure.data[0]
    assert [list(row) for row in other.z] == [[1.0, 2.0, 3.0]] * 3
    text = cross_play_part(study)
    assert "Later policies beat earlier ones in 100% of pairs." in text
    assert "<td class=n>100 %</td><td class=n>0 %</td>" in text
    study["cyclic_share"] = None
    assert "Cyclic share" not in cross_play_part(study)


def test_founders__die_out_with_their_line():
    rows = [(1, 0, 0), (1, 1, 1), (1, 2, 1), (2, 0, 2), (2, 1, 1), (2, 2, 2)]
    lineage = pl.DataFrame(rows, schema=["generation", "member", "parent"], orient="row")
    # First member 2 continues 1; then member 0 continues 2, so all come from 1.
    assert founders(lineage) == [2, 1]


def test_mixture__names_survivors_and_their_effective_number():
    rows = [
        {"iteration": 1, "mixture": {"a": [1.0]}},
        {"iteration": 2, "mixture": {"a": [0.5, 0.0, 0.5]}},
    ]
    text = mixture_table(pl.DataFrame(rows))
    assert "<td class=n>3</td><td class=n>2</td><td class=n>0: 50%, 2: 50%</td>" in text
