"""Attacks, adversaries and stress on a run, in pairs with the same market without them."""

import json
import shutil
from itertools import product
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_analysis import studies
from lob_analysis.cli import app
from lob_analysis.errors import RunError
from lob_analysis.play.lab import checkpoints, open_lab
from lob_analysis.play.simulate import Episodes
from lob_analysis.robustness import AdversaryEnv, compare_pair
from lob_analysis.robustness.matrix import recovery_steps
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.runs.checkpoint import CheckpointStore
from marl_algos.runs.runfolder import RunFolder
from marl_algos.train import make_learner
from marl_algos.training.runners import make_runner
from typer.testing import CliRunner

CLI = CliRunner()


def episodes(pnl, mid, *, attacker=None, cost=None, spread=2, depth=100, inventory=10):
    """Episodes of one maker whose PnL and mids are given, `[E]` and `[S, E]`."""
    mid = np.asarray(mid, float)
    results = {"market_maker": {"pnl": np.asarray(pnl, float)[:, None]}}
    if attacker is not None:
        results["attacker"] = {"pnl": np.asarray(attacker, float)[:, None]}
    if cost is not None:
        results["attacker"]["manipulation_cost"] = np.asarray(cost, float)[:, None]
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
    # A manipulator says what its losing phases cost; on the whole it may well gain.
    attacked = episodes(7 + shared, still, attacker=np.full(64, 2.0), cost=np.full(64, 1.5))
    (row,) = compare_pair("p", "s", clean, attacked)
    assert (row.attacker_pnl, row.attacker_cost, row.damage_per_cost) == (2.0, 1.5, 2.0)
    (same,) = compare_pair("p", "s", clean, clean)
    assert (same.damage.value, same.recovery_steps, same.damage_per_cost) == (0.0, 0.0, None)


@pytest.mark.slow
def test_attack__writes_the_matrix_of_policies_and_scenarios(untrained_run, tmp_path):
    folder = shutil.copytree(untrained_run, tmp_path / "tiny")
    arguments = ["attack", str(folder), "--scenario", "shock", "--harden", "shock",
                 "--updates", "1", "--episodes", "8", "--adversary", "0"]  # fmt: skip
    done = CLI.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "the run is not finished; this is its update 1" in done.output
    found = json.loads((folder / studies.ROBUSTNESS).read_text())
    cells = [(row["policy"], row["scenario"]) for row in found["rows"]]
    assert cells == [("as learned", "shock"), ("trained on shock", "shock")]
    assert all(row["attacker_pnl"] is None for row in found["rows"])
    page = (folder / "robustness.html").read_text()
    assert all(text in page for text in ("trained on shock", "plotly.js v", "<main>"))


@pytest.mark.learn
def test_attack__one_command_trains_and_tests_everywhere(untrained_run, tmp_path):
    folder = shutil.copytree(untrained_run, tmp_path / "tiny")
    scenarios = ("momentum_ignition", "latency", "trend_followers", "halt")
    tried = [word for name in scenarios for word in ("--scenario", name)]
    arguments = ["attack", str(folder), *tried, "--harden", "all"]
    done = CLI.invoke(app, [*arguments, "--updates", "1", "--episodes", "8", "--adversary", "1"])
    assert done.exit_code == 0, done.output
    found = json.loads((folder / studies.ROBUSTNESS).read_text())
    assert found["left_out"] == {}
    everywhere = (*scenarios, "learned_adversary")
    policies = ("as learned", *(f"trained on {name}" for name in everywhere))
    cells = [(row["policy"], row["scenario"]) for row in found["rows"]]
    assert sorted(cells) == sorted(product(policies, everywhere))
    clean = {row["policy"]: row["clean"] for row in found["rows"]}
    for row in found["rows"]:
        assert row["clean"] == clean[row["policy"]]
        with_attacker = row["scenario"] in ("momentum_ignition", "learned_adversary")
        assert (row["attacker_pnl"] is not None) == with_attacker


class Worths:
    """A market in which everybody's worth is written down, step by step."""

    groups: ClassVar = dict.fromkeys(("market_maker", "execution", "attacker"))
    steps = ((0.0, 0.0, 0.0), (-10.0, 4.0, -3.0), (-30.0, 5.0, -8.0), (-30.0, 5.0, -4.0))

    def reset_env(self, key, params):
        return {}, 0

    def step_env(self, key, state, action, params):
        worth = dict(zip(self.groups, self.steps[state + 1], strict=True))
        agents = {name: {"worth": jnp.array([value / 2] * 2)} for name, value in worth.items()}
        reward = {name: jnp.zeros(2) for name in self.groups}
        return {}, state + 1, reward, {}, {}, {"agents": agents}


def test_adversary__is_paid_for_losses_of_victims_within_its_budget():
    env = AdversaryEnv(Worths(), ("market_maker", "execution"), budget=5.0, price=2.0)
    _, state = env.reset_env(None, None)
    paid = []
    for _ in range(3):
        _, state, reward, *_ = env.step_env(None, state, {}, None)
        paid.append(reward["attacker"].tolist())
    # Victims lose 6 and 19; then the attacker is 3 beyond its budget of 5, and comes back.
    assert paid == [[6.0] * 2, [19.0 - 2.0 * 3.0] * 2, [2.0 * 3.0] * 2]


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


@pytest.mark.parametrize(
    "extra",
    [
        ["federated.num_workers=2"],
        ["domains.num=2", "+domains.ranges.market_rate=[0.5,2.0]", "num_seeds=2"],
    ],
    ids=["federated", "domains"],
)
def test_lab__of_shards_or_of_domains_has_the_policies_and_the_market_of_evaluation(
    extra, tiny, tmp_path
):
    config = load_config([*tiny, f"run.root={tmp_path}", "run.name=many", *extra])
    market = make_market(config)
    runner = make_runner(config, make_learner(config, market), market)
    folder = RunFolder(tmp_path / "many")
    folder.start(config, market.description, "cpu:cpu")
    state = runner.init(jax.random.key(config.seed))
    store = CheckpointStore(folder.last, 2)
    store.save(3, state, {"best_score": None})
    store.close()
    lab = open_lab(folder.path)
    learned = runner.policies(state)
    if config.num_seeds > 1:
        learned = jax.tree.map(lambda x: x[0], learned)
    jax.tree.map(np.testing.assert_array_equal, lab.policies[0], learned)
    jax.tree.map(np.testing.assert_array_equal, lab.untrained, learned)
    assert len(lab.policies) == config.num_seeds
    assert lab.snapshots.numbers == [0, 3]
    assert lab.market.env == market.env


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
    meta = folder / "meta.json"
    record = json.loads(meta.read_text())
    meta.write_text(json.dumps({**record, "schema": 99}))
    with pytest.raises(RunError, match="was written with layout version 99; this version plays 1"):
        open_lab(folder)
    meta.unlink()  # a run that was killed at once
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "novelty: 1\n")
    with pytest.raises(RunError, match="does not fit this version"):
        open_lab(folder)
    config.unlink()
    with pytest.raises(RunError, match=r"no config\.yaml"):
        open_lab(folder)
