import numpy as np
import polars as pl
import pytest
from lob_analysis.agents.results import (
    MEASURES,
    compare_policies,
    headline,
    measures_in,
    risk_table,
    with_derived,
)
from lob_analysis.pages.verdicts import sentences
from lob_analysis.runs.load import load_run


def evaluation(learned, other, agents=1):
    rows = []
    for policy, values in (("other", other), ("learned", learned)):
        for episode, value in enumerate(values):
            rows += [
                ("market_maker", policy, agent, episode, 0, "test", float(value))
                for agent in range(agents)
            ]
    names = ["agent_type", "policy", "agent", "episode", "seed", "split", "pnl"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_compare__pairs_by_episode_not_by_row_order():
    learned = [11, 22, 33, 44, 51, 62, 73, 84]
    frame = evaluation(learned, [10, 20, 30, 40, 50, 60, 70, 80]).sample(
        fraction=1, shuffle=True, seed=3
    )
    results = compare_policies(frame, "market_maker", MEASURES["pnl"])
    assert [row.policy for row in results] == ["learned", "other"]
    difference = results[1].difference
    assert difference is not None
    assert difference.value == 2.5
    assert 1 <= difference.low <= difference.high <= 4
    assert results[1].verdict == "better"
    assert results[0].difference is None


def test_compare__less_is_better_for_costs():
    frame = evaluation([1, 2, 3] * 3, [5, 6, 7] * 3).rename({"pnl": "shortfall"})
    assert compare_policies(frame, "market_maker", MEASURES["shortfall"])[1].verdict == "better"
    frame = evaluation([5, 6, 7] * 3, [1, 2, 3] * 3).rename({"pnl": "shortfall"})
    assert compare_policies(frame, "market_maker", MEASURES["shortfall"])[1].verdict == "worse"


def test_compare__noise_is_unclear():
    frame = evaluation([1, -1, 2, -2, 3, -3], [0] * 6)
    assert compare_policies(frame, "market_maker", MEASURES["pnl"])[1].verdict == "unclear"


def test_compare__agents_of_a_market_are_one_sample():
    results = compare_policies(evaluation([1, 2, 3], [0, 0, 0], 4), "market_maker", MEASURES["pnl"])
    assert results[0].mean.num_samples == 3


def test_compare__missing_values_are_left_out_with_their_pair():
    frame = evaluation([1, float("nan"), 3], [0, 0, 0])
    results = compare_policies(frame, "market_maker", MEASURES["pnl"])
    assert results[0].mean.num_samples == 2
    assert results[1].mean.num_samples == 3
    assert results[1].difference.num_samples == 2


def test_headline__tasks_rank_by_shortfall(run_folder):
    frame = load_run(run_folder).evaluation
    assert headline(frame, "execution").name == "shortfall"
    assert headline(frame, "market_maker").name == "pnl"
    assert "shortfall" not in [m.name for m in measures_in(frame, "market_maker")]


def test_derived__rates_from_their_parts():
    frame = pl.DataFrame(
        {
            "filled": [30, 0],
            "unexecuted": [10, 0],
            "maker_volume": [15, 0],
            "traded_volume": [60, 0],
        }
    )
    derived = with_derived(frame)
    assert derived["fill_rate"].to_list() == [0.75, None]
    assert derived["passive_share"].to_list() == [0.25, None]


def test_sentences__missing_baseline_and_missing_learned_are_said():
    frame = evaluation([1, 2, 3], [0, 0, 0])
    pnl = MEASURES["pnl"]
    only = compare_policies(frame.filter(policy="learned"), "market_maker", pnl)
    assert sentences({"market_maker": only}) == [
        "There is no baseline to compare the market maker with."
    ]
    none = compare_policies(frame.filter(policy="other"), "market_maker", pnl)
    assert sentences({"market_maker": none}) == [
        "There is no learned policy for the market maker in the evaluation."
    ]


@pytest.mark.parametrize(("shift", "word"), [(5.0, "higher by 5"), (-5.0, "lower by 5")])
def test_sentences__name_the_direction_with_an_unsigned_interval(shift, word):
    base = np.arange(10.0)
    rows = compare_policies(evaluation(base + shift, base), "market_maker", MEASURES["pnl"])
    line = sentences({"market_maker": rows})[0]
    assert word in line
    assert "(5 to 5)" in line


def test_compare__windows_played_again_do_not_narrow_the_interval():
    base = evaluation([1, 5, 2, 8], [0] * 4)
    again = pl.concat(
        [
            base.with_columns(pl.col("episode") + 4 * copy, window=pl.col("episode"))
            for copy in range(9)
        ]
    )
    alone = compare_policies(base, "market_maker", MEASURES["pnl"])[1].difference
    found = compare_policies(again, "market_maker", MEASURES["pnl"])[1]
    assert (found.difference.low, found.difference.high) == (alone.low, alone.high)
    assert found.num_windows == 4
    assert found.mean.num_samples == 36


def test_wins__ties_count_half_and_costs_count_the_other_way():
    frame = evaluation([1, 2, 3, 4], [0, 2, 5, 0])
    assert compare_policies(frame, "market_maker", MEASURES["pnl"])[1].wins.value == 0.625
    costs = frame.rename({"pnl": "shortfall"})
    assert compare_policies(costs, "market_maker", MEASURES["shortfall"])[1].wins.value == 0.375
    neutral = frame.rename({"pnl": "traded_volume"})
    assert compare_policies(neutral, "market_maker", MEASURES["traded_volume"])[1].wins is None


def test_risk__sharpe_and_tail_without_policies_that_never_vary():
    frame = evaluation([1, 2, 3, 4, 5, 6, 7, 8], [0] * 8)
    (risk,) = risk_table(frame, "market_maker")
    assert risk.policy == "learned"
    assert risk.sharpe.value == pytest.approx(4.5 / np.sqrt(6))
    assert risk.sharpe.low < risk.sharpe.value < risk.sharpe.high
    assert (risk.worst, risk.lowest) == (1, 1)


def test_verdict__few_windows_prove_nothing_however_many_episodes():
    frame = evaluation([5, 6, 7, 8] * 20, [0] * 80)
    certain = compare_policies(frame, "market_maker", MEASURES["pnl"])[1]
    assert certain.verdict == "better"
    replayed = frame.with_columns(window=pl.col("episode") % 4)
    results = compare_policies(replayed, "market_maker", MEASURES["pnl"])
    assert results[1].difference.is_certain
    assert results[1].verdict == "too few"
    assert (
        "4 windows are too few to judge the learned market maker against other"
        in sentences({"market_maker": results})[0]
    )
