import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from lob_analysis.agents.compare import compare_groups, comparison_table, group_runs
from lob_analysis.cli import app
from lob_analysis.errors import AnalysisError
from lob_analysis.runs.load import Run
from lob_analysis.testing import write_run
from typer.testing import CliRunner


def run(name, values, algo="ippo"):
    rows = {
        "policy": ["learned"] * len(values),
        "agent_type": ["market_maker"] * len(values),
        "agent": [0] * len(values),
        "episode": list(range(len(values))),
        "seed": [0] * len(values),
        "split": ["test"] * len(values),
        "pnl": [float(x) for x in values],
    }
    return Run(path=Path(name), config={"algo": {"name": algo}}, evaluation=pl.DataFrame(rows))


def test_compare__interquartile_mean_over_seeds_and_improvement():
    groups = {
        "good": [run("a", [10, 11, 12, 13]), run("b", [10, 11, 12, 13])],
        "bad": [run("c", [0, 1, 2, 3]), run("d", [0, 1, 2, 30])],
    }
    found = compare_groups(groups, "market_maker")
    assert found.measure == "pnl"
    assert found.groups["good"].iqm.value == 11.5
    assert found.groups["bad"].run_means.tolist() == [1.5, 8.25]
    assert found.improvement["good", "bad"].value == 1
    assert found.improvement["bad", "good"].value == 0
    table = comparison_table(found)
    assert table["runs"].to_list() == [2, 2]
    assert table["episodes"].to_list() == [8, 8]


def test_compare__less_is_better_for_costs():
    cheap, dear = run("a", [1, 2, 3, 4]), run("b", [9, 9, 9, 9])
    groups = {
        name: [dataclasses.replace(x, evaluation=x.evaluation.rename({"pnl": "shortfall"}))] * 2
        for name, x in (("cheap", cheap), ("dear", dear))
    }
    found = compare_groups(groups, "market_maker")
    assert found.measure == "shortfall"
    assert found.improvement["cheap", "dear"].value == 1


def test_compare__interval_is_stratified_by_run():
    # Runs without spread of their own leave no uncertainty within the stated strata.
    found = compare_groups({"x": [run("a", [1] * 8), run("b", [3] * 8)]}, "market_maker", "pnl")
    assert found.groups["x"].mean.low == found.groups["x"].mean.high == 2
    assert np.ptp(found.groups["x"].run_means) == 2


def test_group__by_a_configuration_entry():
    runs = [run("a", [1]), run("b", [2], "mappo"), run("c", [3])]
    groups = group_runs(runs, "algo.name")
    assert {name: [x.name for x in members] for name, members in groups.items()} == {
        "ippo": ["a", "c"],
        "mappo": ["b"],
    }
    with pytest.raises(AnalysisError, match=r"a: its configuration has no 'algo\.clip'"):
        group_runs(runs, "algo.clip")


def test_compare__says_what_is_missing():
    with pytest.raises(AnalysisError, match="has no evaluation"):
        compare_groups({"x": [Run(path=Path("p"))]}, "market_maker", "pnl")
    with pytest.raises(AnalysisError, match="no learned execution"):
        compare_groups({"x": [run("a", [1])]}, "execution", "pnl")
    with pytest.raises(AnalysisError, match="has no 'fees'"):
        compare_groups({"x": [run("a", [1])]}, "market_maker", "fees")
    with pytest.raises(AnalysisError, match="at least one run"):
        compare_groups({"x": []}, "market_maker")


def test_cli__compare_prints_groups(tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"r{seed}", num_updates=1, seed=seed)
    done = CliRunner().invoke(app, ["compare", "r0", "r1", "--by", "seed", "--root", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "Market maker: PnL after closing" in done.output
    assert "note: intervals of a group of one run" in done.output
    assert "has a better mean" not in done.output  # one run a group says nothing of seeds
    for seed in range(2):
        write_run(tmp_path / f"s{seed}", num_updates=1, seed=seed)
    runs = ["r0", "s0", "r1", "s1"]
    done = CliRunner().invoke(app, ["compare", *runs, "--by", "seed", "--root", str(tmp_path)])
    assert "a run of 0 has a better mean than one of 1" in done.output
    assert "note:" not in done.output
    done = CliRunner().invoke(app, ["compare", "r0", "--by", "algo.no", "--root", str(tmp_path)])
    assert done.exit_code == 2
    assert "has no 'algo.no'" in done.stderr
    twice = ["compare", "r0", str(tmp_path / "r0"), "--root", str(tmp_path)]
    done = CliRunner().invoke(app, twice)
    assert (done.exit_code, done.stderr) == (2, f"error: {tmp_path / 'r0'}: is named twice\n")
