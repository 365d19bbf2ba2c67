"""Attacks, adversaries and stress on a run, in pairs with the same market without them."""

import json
import shutil

import jax
import numpy as np
import pytest
from lob_analysis import studies
from lob_analysis.cli import app
from lob_analysis.errors import AnalysisError, RunError
from lob_analysis.lab import checkpoints, open_lab
from lob_analysis.robustness import ATTACKS, STRESSES, compare_pair, make_scenario
from lob_analysis.robustness.matrix import recovery_steps
from lob_analysis.simulate import Episodes, Player
from typer.testing import CliRunner

CLI = CliRunner()


def episodes(pnl, mid, *, attacker=None, spread=2, depth=100, inventory=10):
    """Episodes of one maker whose PnL and mids are given, `[E]` and `[S, E]`."""
    mid = np.asarray(mid, float)
    results = {"market_maker": {"pnl": np.asarray(pnl, float)[:, None]}}
    if attacker is not None:
        results["attacker"] = {"pnl": np.asarray(attacker, float)[:, None]}
    market = {
        "mid": mid,
        "spread": np.full(mid.shape, spread),
        "is_quoted": np.ones(mid.shape, bool),
        "bid_size": np.full(mid.shape, depth),
        "ask_size": np.full(mid.shape, depth),
    }
    held = np.full((*mid.shape, 1), inventory)
    return Episodes(results, market, {"market_maker": {"inventory": held}}, np.arange(len(pnl)))


def test_recovery__counts_steps_until_the_distance_has_halved():
    clean = np.zeros((6, 3))
    attacked = np.array([[0, 4, 4, 2, 0, 0], [0] * 6, [0, 0, 0, 0, 4, 3]]).T
    assert recovery_steps(clean, attacked).tolist() == [2.0, 0.0, 2.0]


def test_pair__damage_is_paired_and_counted_per_cost_of_the_attacker():
    random = np.random.default_rng(0)
    shared = random.normal(0, 100, 64)
    still = np.full((4, 64), 50.0)
    clean = episodes(10 + shared, still)
    attacked = episodes(7 + shared, still + 1, attacker=np.full(64, -6.0), spread=3, depth=50,
                        inventory=-25)  # fmt: skip
    (row,) = compare_pair("p", "s", clean, attacked)
    assert row.damage.value == pytest.approx(3.0)
    assert row.damage.high - row.damage.low < 1e-9
    assert row.worst_clean - row.worst_attacked == pytest.approx(3.0)
    assert (row.attacker_pnl, row.attacker_cost) == (-6.0, 6.0)
    assert row.damage_per_cost == pytest.approx(0.5)
    assert row.inventory_ratio == pytest.approx(2.5)
    assert row.spread_change.value == pytest.approx(1.0)
    assert row.depth_change == pytest.approx(-0.5)
    (same,) = compare_pair("p", "s", clean, clean)
    assert (same.damage.value, same.recovery_steps, same.damage_per_cost) == (0.0, 0.0, None)


def test_scenarios__all_can_be_made_and_keep_what_learners_see(lab):
    for name in (*ATTACKS, *STRESSES):
        scenario = make_scenario(lab, name)
        assert scenario.env.groups == lab.market.env.groups
        assert scenario.has_attacker == (name in ATTACKS)
    with pytest.raises(AnalysisError, match="scenario is 'flood'; allowed: clean, spoofing"):
        make_scenario(lab, "flood")


def test_scenario__market_orders_doubled_make_more_volume(lab):
    scenario = make_scenario(lab, "market_orders_x2")
    player = Player(lab.market.env, lab.learner, 16)
    key = jax.random.key(0)
    before = player.play(lab.policies[0], lab.market.params["test"], key)
    after = player.play(lab.policies[0], scenario.params, key)
    # Twice the rate among many other messages: 1.2 times is passed by far.
    assert after.market["volume"].sum() > 1.2 * before.market["volume"].sum()


@pytest.mark.slow
def test_attack__writes_the_matrix_of_policies_and_scenarios(untrained_run, tmp_path):
    folder = shutil.copytree(untrained_run, tmp_path / "tiny")
    arguments = ["attack", str(folder), "--scenario", "momentum_ignition", "--harden", "fees",
                 "--updates", "1", "--episodes", "8", "--adversary", "1"]  # fmt: skip
    done = CLI.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads((folder / studies.ROBUSTNESS).read_text())
    cells = {(row["policy"], row["scenario"]) for row in found["rows"]}
    assert cells == {
        ("as learned", "momentum_ignition"),
        ("trained on fees", "momentum_ignition"),
        ("as learned", "learned_adversary"),
    }
    assert all(row["attacker_pnl"] is not None for row in found["rows"])


@pytest.mark.learn
def test_exploit__writes_bounds_for_learned_and_untrained_policies(untrained_run, tmp_path):
    folder = shutil.copytree(untrained_run, tmp_path / "tiny")
    done = CLI.invoke(app, ["exploit", str(folder), "--updates", "1", "--episodes", "8"])
    assert done.exit_code == 0, done.output
    found = json.loads((folder / studies.EXPLOITABILITY).read_text())
    # The policies are those that training starts from, so both bounds are the same.
    assert found["profiles"]["learned"] == found["profiles"]["untrained"]
    names = {d["name"] for d in found["profiles"]["learned"]["roles"]["market_maker"]["deviations"]}
    assert {"best response", "always action 0", "do_nothing", "avellaneda_stoikov 0"} <= names


def test_lab__what_cannot_be_played_again_is_said(untrained_run, tmp_path):
    folder = shutil.copytree(untrained_run, tmp_path / "tiny")
    assert checkpoints(folder) == [1]
    with pytest.raises(RunError, match=r"no checkpoint of update 7; it has \[1\]"):
        open_lab(folder, update=7)
    done = CLI.invoke(app, ["attack", str(folder), "--scenario", "flood"])
    assert done.exit_code == 2
    assert "flood" in done.output
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(RunError, match="no checkpoint: it was stopped"):
        open_lab(folder)
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "novelty: 1\n")
    with pytest.raises(RunError, match="does not fit this version"):
        open_lab(folder)
    config.unlink()
    with pytest.raises(RunError, match=r"no config\.yaml"):
        open_lab(folder)
