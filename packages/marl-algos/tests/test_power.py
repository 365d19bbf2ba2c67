"""Intervals over seeds and windows: coverage, power, and the command."""

import numpy as np
import polars as pl
import pytest
from marl_algos import evaluate, market_proof, power
from marl_algos.conf.load import load_config
from marl_algos.power import Effect, effect, paired_differences


def draw(rng, mean, seeds, windows, deviations):
    seed, window, rest = deviations
    return (
        mean
        + seed * rng.normal(size=(seeds, 1))
        + window * rng.normal(size=(1, windows))
        + rest * rng.normal(size=(seeds, windows))
    )


@pytest.mark.parametrize(
    ("seeds", "windows", "deviations"), [(5, 40, (1.0, 2.0, 3.0)), (5, 12, (2.0, 1.0, 1.0))]
)
def test_interval__covers_and_shows_the_detectable_edge_as_often_as_it_says(
    seeds, windows, deviations
):
    rng = np.random.default_rng(0)
    truth = Effect(0.0, seeds, windows, *(x**2 for x in deviations))
    edge = truth.detectable()
    covered = shown = 0
    for _ in range(2000):
        low, high = effect(draw(rng, edge, seeds, windows, deviations)).interval()
        covered += low <= edge <= high
        shown += low > 0.0
    assert covered / 2000 == pytest.approx(0.95, abs=0.03)
    assert shown / 2000 == pytest.approx(power.POWER, abs=0.06)


def test_effect__finds_the_variance_components():
    found = effect(draw(np.random.default_rng(1), 5.0, 200, 300, (1.0, 2.0, 3.0)))
    assert found.mean == pytest.approx(5.0, abs=0.5)
    assert found.seed_variance == pytest.approx(1.0, rel=0.25)
    assert found.window_variance == pytest.approx(4.0, rel=0.25)
    assert found.rest_variance == pytest.approx(9.0, rel=0.05)


def test_effect__of_one_seed_is_that_of_its_windows():
    values = np.random.default_rng(2).normal(size=(1, 30))
    found = effect(values)
    assert found.error() == pytest.approx(values.std(ddof=1) / np.sqrt(30))
    with pytest.raises(ValueError, match="two or more"):
        effect(np.zeros((3, 1)))


def test_seeds_needed__fall_with_the_edge_and_may_not_exist():
    found = Effect(1.0, 5, 50, 4.0, 1.0, 1.0)
    few, many = found.seeds_needed(4.0), found.seeds_needed(2.0)
    assert few < many
    assert found.detectable(many) <= 2.0 < found.detectable(many - 1)
    assert found.seeds_needed(0.1) is None  # the windows alone leave more doubt


def test_command__reads_a_run_and_pairs_what_played_the_same_window(tmp_path, capsys):
    rng = np.random.default_rng(3)
    rows = [
        {
            "policy": policy,
            "agent_type": "market_maker",
            "seed": seed,
            "window": window,
            "episode": episode,
            "pnl": 100.0 * window + (7.0 + rng.normal() if policy == "learned" else 0.0),
        }
        for policy in ("learned", "do_nothing")
        for seed in range(5)
        for episode in range(20)
        for window in [episode % 10]
    ]
    table = pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=0)
    differences = paired_differences(table, "market_maker", "do_nothing", "pnl")
    assert differences.shape == (5, 10)
    assert np.abs(differences - 7.0).max() < 4.0
    table.write_parquet(tmp_path / "evaluation.parquet")
    assert power.main([str(tmp_path)]) == 0
    assert "learned is better" in capsys.readouterr().out
    assert power.main([str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_market_proof__plans_five_seeds_on_modelled_and_on_recorded_flow(capsys):
    modelled, recorded = market_proof.plan(["data.path=somewhere", "seed=3"])
    first, second = load_config(modelled), load_config(recorded)
    assert first.num_seeds == second.num_seeds == 5
    assert first.seed == second.seed == 3
    assert (first.data.kind, second.data.kind) == ("embedded", "lobster")
    assert second.data.path == "somewhere"
    assert len(market_proof.plan([])) == 1
    assert market_proof.main(["typo=1"]) == 2
    assert "unknown configuration key" in capsys.readouterr().err


@pytest.mark.parametrize("app", [evaluate, market_proof, power])
def test_programs__answer_help(app, capsys):
    with pytest.raises(SystemExit) as ended:
        app.main(["--help"])
    assert ended.value.code == 0
    assert f"python -m {app.__name__}" in capsys.readouterr().out


def test_market_proof__says_that_data_are_missing_before_it_trains(tmp_path, capsys):
    root = tmp_path / "runs"
    assert market_proof.main([f"data.path={tmp_path / 'none'}", f"run.root={root}"]) == 2
    assert "none" in capsys.readouterr().err
    assert not root.exists()
