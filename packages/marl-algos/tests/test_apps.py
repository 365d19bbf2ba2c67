"""Runs of self-play, population-based training and PSRO: what they write, how they go on."""

import json

import numpy as np
import polars as pl
import pytest
from marl_algos import pbt, psro, selfplay, train
from marl_algos.conf.load import ConfigError, load_config
from marl_algos.markets.data import SPLITS, Market
from marl_algos.runs.checkpoint import named_leaves
from marl_algos.runs.logging import read_metrics
from marl_algos.runs.runfolder import open_run_folder
from marl_envs.games.matrix import matching_pennies

SMALL = [  # as in test_train, so that most programs are compiled already
    "experiment=smoke",
    "progress=none",
    "algo.num_envs=4",
    "algo.num_steps=4",
    "env.num_steps=4",
    "env.messages_per_step=4",
    "env.num_slots=32",
    "data.num_openings=4",
    "evaluation.every=0",
    "checkpoint.every=1",
]
GAME = [
    "+env.agents={player_0: {kind: market_maker}, player_1: {kind: market_maker}}",
    "algo.num_epochs=1",
    "algo.num_minibatches=1",
    "network.hidden=[4]",
]


def session(app, session_class, overrides, root):
    """A session whose market is a game, which is compiled in a fraction of the time."""
    config = load_config([*SMALL, *GAME, f"run.root={root}", "run.name=a", *overrides], app)
    market = Market(matching_pennies(), dict.fromkeys(SPLITS), {"kind": "embedded"})
    folder = open_run_folder(config)
    folder.start(config, market.description, "test")
    return session_class(config, market, folder)


def same(left, right):
    pairs = zip(named_leaves(left).values(), named_leaves(right).values(), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)


def test_selfplay__goes_on_where_it_was_with_the_same_numbers(tmp_path):
    overrides = [
        "algo.total_env_steps=96",
        "selfplay.updates_per_round=2",
        "selfplay.capacity=2",
        "selfplay.num_matches=2",
    ]
    whole = session("selfplay", selfplay.SelfPlaySession, overrides, tmp_path)
    state = whole.train()
    assert whole.total == 3
    whole.close()
    table = pl.read_parquet(tmp_path / "a" / "win_rates.parquet")
    assert set(table["round"]) == {1, 2, 3}
    assert set(table["learner"]) == {"player_0", "player_1"}
    lines = read_metrics(tmp_path / "a" / "metrics.jsonl")
    assert [line["env_steps"] for line in lines] == [32, 64, 96]
    assert set(lines[0]["agents"]) == {"player_0", "player_1"}

    again = session("selfplay", selfplay.SelfPlaySession, [*overrides, "resume=true"], tmp_path)
    again._play, again.learner = whole._play, whole.learner  # nothing is compiled twice
    again._last._manager.delete(3)  # as if the run had been killed in its last round
    ended = again.train()
    again.close()
    assert same(state, ended)
    assert pl.read_parquet(tmp_path / "a" / "win_rates.parquet").equals(table)


def test_psro__writes_the_history_of_the_gap(tmp_path):
    overrides = ["algo.total_env_steps=32", "psro.max_iterations=2", "psro.num_matches=2"]
    growth = session("psro", psro.PSROSession, overrides, tmp_path)
    state = growth.train()
    growth.close()
    table = pl.read_parquet(tmp_path / "a" / "psro.parquet")
    assert 1 <= table.height <= 2
    assert (table["gap"] >= 0.0).all()
    assert growth.is_finished(state) == (table["gap"][-1] == 0.0)
    assert set(growth.policies(state)) == {"player_0", "player_1"}


def test_pbt__run_leaves_lineage_and_evaluation(tmp_path):
    overrides = ["env=market_maker", "pbt.population=2", "pbt.updates_per_generation=2"]
    overrides += ["algo.total_env_steps=64", f"run.root={tmp_path}", "run.name=a"]
    assert pbt.main([*SMALL, *overrides]) == 0
    folder = tmp_path / "a"
    lineage = pl.read_parquet(folder / "lineage.parquet")
    assert lineage["generation"].to_list() == [1, 1, 2, 2]
    assert lineage["market_maker.learning_rate"].n_unique() >= 3
    line = read_metrics(folder / "metrics.jsonl")[-1]
    assert len(line["agents"]["market_maker"]["loss"]) == 2
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["status"], meta["env_steps"]) == ("finished", 64)
    assert (folder / "evaluation.parquet").exists()


@pytest.mark.parametrize(
    ("app", "overrides", "message"),
    [
        (selfplay, ["selfplay.sampling=all"], "selfplay.sampling is 'all'"),
        (selfplay, ["selfplay.typo=1"], "unknown configuration key 'selfplay.typo'"),
        (selfplay, ["env=market_maker"], "two agent types or more"),
        (selfplay, ["+selfplay.seats.execution=market_maker"], "differ in spaces"),
        (pbt, ["pbt.cut=0.9"], "pbt.cut is 0.9"),
        (pbt, ["num_seeds=2"], "populations run one seed"),
        (psro, ["psro.solver=dice"], "psro.solver is 'dice'"),
    ],
)
def test_mistakes__end_with_one_message(app, overrides, message, tmp_path, capsys):
    arguments = [*SMALL, f"run.root={tmp_path / 'runs'}", "run.name=a", *overrides]
    assert app.main(arguments) == train.USAGE_ERROR
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_loss__beyond_its_limit_is_refused_like_a_nan(tmp_path):
    run = session("config", train.Training, ["checkpoint.max_loss=1e-9"], tmp_path)
    with pytest.raises(train.DivergedError, match=r"update 1: the loss of 'player_0' is"):
        run.train()


def test_load__sections_belong_to_their_own_command():
    with pytest.raises(ConfigError, match="unknown configuration key"):
        load_config(["pbt.population=3"])
