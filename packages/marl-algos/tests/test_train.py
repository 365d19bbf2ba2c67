"""Whole runs on a small market: what they write, how they stop, how they go on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import polars as pl
import pytest
from marl_algos import evaluate, train
from marl_algos.conf.load import load_config
from marl_algos.markets.data import make_market
from marl_algos.runs.evaluation import Evaluator
from marl_algos.runs.logging import WALL_CLOCK_KEYS, read_metrics

SMALL = [
    "experiment=smoke",
    "progress=none",
    "algo.num_envs=4",
    "algo.num_steps=4",
    "algo.total_env_steps=192",
    "env.num_steps=4",
    "env.messages_per_step=4",
    "env.num_slots=32",
    "data.num_openings=4",
    "evaluation.every=5",
    "checkpoint.every=3",
]
ONE_TYPE = [*SMALL, "env=market_maker"]
NUM_UPDATES = 12


def numbers(folder):
    """Everything a run measured, without wall-clock fields."""
    lines = read_metrics(folder / "metrics.jsonl")
    for line in lines:
        for key in WALL_CLOCK_KEYS:
            del line[key]
    return lines, json.loads((folder / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    folder = train.run(load_config([*ONE_TYPE, f"run.root={root}", "run.name=reference"]))
    return folder.path


def test_run__leaves_everything_the_report_reads(finished):
    meta = json.loads((finished / "meta.json").read_text())
    assert meta["status"] == "finished"
    assert meta["env_steps"] == 192
    assert meta["data"]["kind"] == "embedded"
    assert meta["compile_seconds"] > 0.0
    assert (finished.parent / "latest").read_text().strip() == "reference"
    table = pl.read_parquet(finished / "evaluation.parquet")
    keys = ["policy", "agent_type", "agent", "episode", "seed", "split"]
    assert table.height == 3 * 8
    assert table.select(keys).is_unique().all()
    assert set(table["policy"]) == {"learned", "avellaneda_stoikov", "do_nothing"}
    episodes = pl.read_parquet(finished / "episodes.parquet")
    assert episodes.height == 3 * 8 * 4
    ends = episodes.filter(pl.col("step") == 3).join(table, on=["policy", "episode", "agent"])
    assert ends.height == 3 * 8
    assert ends.select("inventory", "window").rows() == (
        ends.select("inventory_end", "window_right").rows()
    )
    first = episodes.filter(pl.col("episode") == 0)
    matrix = pl.read_parquet(finished / "matrix.parquet")
    labels = {"market_maker=learned", "market_maker=avellaneda_stoikov"}
    assert set(matrix["combination"]) == labels
    assert set(json.loads((finished / "evaluation.json").read_text())["matrix"]) == labels
    inside = matrix.filter(pl.col("policy") == "avellaneda_stoikov").sort("episode")["pnl"]
    alone = table.filter(pl.col("policy") == "avellaneda_stoikov").sort("episode")["pnl"]
    assert inside.to_list() == alone.to_list()
    book = pl.read_parquet(finished / "book.parquet")
    assert book.columns == ["policy", "step", "time", "side", "level", "price", "size"]
    best = book.filter((pl.col("level") == 1) & (pl.col("side") == 1)).join(
        first.select("policy", "step", "best_bid"), on=["policy", "step"]
    )
    assert best.height == 3 * 4
    assert (best["price"] == best["best_bid"]).all()
    for column in ("mid", "best_bid", "best_ask", "inventory", "cash", "bought", "action", "time"):
        assert episodes[column].null_count() == 0


def test_run__metrics_have_one_line_for_each_update(finished):
    lines = read_metrics(finished / "metrics.jsonl")
    assert [line["update"] for line in lines] == list(range(1, NUM_UPDATES + 1))
    assert [line["env_steps"] for line in lines] == [16 * n for n in range(1, NUM_UPDATES + 1)]
    assert [n for n, line in enumerate(lines, 1) if "validation" in line] == [5, 10, 12]
    assert lines[0]["agents"]["market_maker"]["first_ratio_error"] < 1e-5


def test_run__doing_nothing_earns_nothing(finished):
    table = pl.read_parquet(finished / "evaluation.parquet").filter(
        pl.col("policy") == "do_nothing"
    )
    assert table["pnl"].to_list() == [0.0] * 8
    assert table["traded_volume"].to_list() == [0] * 8


def test_evaluate__plays_the_checkpoint_again_with_other_settings(finished, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    assert evaluate.main([str(folder), "evaluation.split=validation"]) == 0
    table = pl.read_parquet(folder / "evaluation.parquet")
    assert table.height == 3 * 8
    assert set(table["split"]) == {"validation"}
    assert json.loads((folder / "evaluation.json").read_text())["update"] == NUM_UPDATES
    assert evaluate.main([str(folder), "seed=3"]) == train.USAGE_ERROR
    assert "only evaluation.KEY" in capsys.readouterr().err
    assert evaluate.main([str(tmp_path)]) == train.USAGE_ERROR
    record = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**record, "schema": 0}))
    (folder / "evaluation.json").unlink()
    assert evaluate.main([str(folder)]) == train.USAGE_ERROR
    assert "layout version 0; this version plays 1" in capsys.readouterr().err
    assert not (folder / "evaluation.json").exists()


def test_run__existing_folder_is_not_overwritten(finished, capsys):
    before = (finished / "metrics.jsonl").read_bytes()
    arguments = [*ONE_TYPE, f"run.root={finished.parent}", "run.name=reference"]
    assert train.main(arguments) == train.USAGE_ERROR
    assert "resume=true" in capsys.readouterr().err
    assert (finished / "metrics.jsonl").read_bytes() == before


def test_resume__other_settings_are_refused_and_named(finished, capsys):
    arguments = [*ONE_TYPE, f"run.root={finished.parent}", "run.name=reference", "resume=true"]
    assert train.main([*arguments, "algo.clip_eps=0.3", "seed=5"]) == train.USAGE_ERROR
    message = capsys.readouterr().err
    assert "algo.clip_eps: 0.2 -> 0.3; seed: 0 -> 5" in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo.num_env=1"], "unknown configuration key 'algo.num_env'"),
        (["data=lobster", "data.path=no/such/folder"], "no/such/folder does not exist"),
        (["device=gpu"], "device is 'gpu'"),
        (["+env.agents.execution.settings.typo=1"], "typo"),
        (["env.agents.execution.action=fly"], "fly"),
        (["resume=true"], "latest does not exist"),
        (["run.name=a/b"], "plain folder name"),
        (["algo.num_minibatches=7"], "num_minibatches=7"),
        (["transfer.run=no/run"], "no/run has no checkpoint"),
    ],
)
def test_main__mistakes_end_with_one_message_and_leave_nothing(
    overrides, message, tmp_path, capsys
):
    if overrides == ["device=gpu"] and any(d.platform == "gpu" for d in jax.devices()):
        pytest.skip("this machine has a GPU")
    root = tmp_path / "runs"
    code = train.main([*SMALL, f"run.root={root}", *overrides])
    error = capsys.readouterr().err
    assert code == train.USAGE_ERROR
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not root.exists()


def test_main__half_of_a_lobster_pair_is_named_and_nothing_is_prepared(tmp_path, capsys):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "GOOG_2012-06-21_34200000_57600000_message_10.csv").write_text("34200.1,1,1,10,100,1\n")
    cache = tmp_path / "cache"
    arguments = ["data=lobster", f"data.path={raw}", f"data.cache={cache}"]
    code = train.main([*SMALL, f"run.root={tmp_path / 'runs'}", *arguments])
    assert code == train.USAGE_ERROR
    assert "GOOG_2012-06-21" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert not any(cache.rglob("*.parquet"))


def test_run__that_diverges_stops_and_keeps_the_last_good_checkpoint(tmp_path, capsys):
    overrides = ["algo.learning_rate=1e12", "evaluation.every=0", "checkpoint.every=1"]
    overrides += ["checkpoint.max_loss=null"]
    arguments = [*ONE_TYPE, *overrides, f"run.root={tmp_path}", "run.name=diverges"]
    assert train.main(arguments) == train.DIVERGED
    lines = read_metrics(tmp_path / "diverges" / "metrics.jsonl")
    last = len(lines)
    assert last < NUM_UPDATES
    assert [line["finite"] for line in lines] == [True] * (last - 1) + [False]
    message = capsys.readouterr().err
    assert f"error: update {last}: a loss or parameter is not finite" in message
    meta = json.loads((tmp_path / "diverges" / "meta.json").read_text())
    assert meta["status"] == "failed"
    kept = {path.name for path in (tmp_path / "diverges/checkpoints/last").iterdir()}
    assert str(last) not in kept
    if last > 1:
        assert str(last - 1) in kept
        assert f"checkpoint is that of update {last - 1}" in meta["reason"]


def test_evaluation__policies_play_the_same_episodes():
    config = load_config(SMALL)
    market = make_market(config)
    learner = train.make_learner(config, market)
    state = jax.jit(learner.init)(jax.random.key(0), market.params["train"])
    evaluator = Evaluator(learner, market, 8, seed=0)
    by_name = {(c.agent_type, c.policy): c for c in evaluator.contests}
    twap = evaluator.play(state.agents, "test", contest=by_name["execution", "twap"])
    learned = evaluator.play(state.agents, "test")
    other = evaluator.play(state.agents, "validation")
    sides = learned.results["execution"]["task_side"]
    assert (twap.results["execution"]["task_side"] == sides).all()
    assert len(np.unique(sides)) == 2
    times = learned.record["market"]["time_ns"]
    assert (times[0] == twap.record["market"]["time_ns"][0]).all()
    assert (times[0] != other.record["market"]["time_ns"][0]).all()
    (both,) = evaluator.combinations
    assert both.policies == {"execution": "twap", "market_maker": "avellaneda_stoikov"}
    rules = evaluator.play_with(state.agents, "test", both.env, both.actions({"market_maker": 3}))
    assert (rules.results["execution"]["task_side"] == sides).all()
    assert (rules.record["actions"]["market_maker"] == 3).all()
    again = evaluator.play(state.agents, "test")
    assert (again.results["execution"]["pnl"] == learned.results["execution"]["pnl"]).all()


def test_several_seeds__learn_apart_in_one_program(finished, tmp_path):
    began = time.perf_counter()
    overrides = [
        "num_seeds=2",
        "evaluation.every=0",
        "evaluation.sampled=true",
        "algo.total_env_steps=32",
        "algo=mappo",
    ]
    overrides += ["network=gru", "network.gru_size=8", f"run.root={tmp_path}", "run.name=two"]
    folder = train.run(load_config([*ONE_TYPE, *overrides]))
    first_update = json.loads(folder.meta.read_text())["first_update_seconds"]
    assert first_update < time.perf_counter() - began  # the second run of this process
    line = read_metrics(folder.metrics)[-1]
    first, second = line["agents"]["market_maker"]["loss"]
    assert first != second
    table = pl.read_parquet(folder.path / "evaluation.parquet")
    assert set(table["seed"]) == {0, 1}
    assert "learned_sampled" in set(table["policy"])
    assert json.loads((folder.path / "evaluation.json").read_text())["num_seeds"] == 2


@pytest.mark.slow
def test_resume__after_sigkill_at_random_moments_ends_with_the_same_numbers(finished, tmp_path):
    command = [sys.executable, "-m", "marl_algos.train", *ONE_TYPE]
    command += [f"run.root={tmp_path}", "run.name=killed"]
    folder = tmp_path / "killed"
    random = np.random.default_rng(int.from_bytes(os.urandom(4)))
    kills = 0
    for at_update in random.integers(1, NUM_UPDATES + 1, size=2):
        resume = ["resume=true"] if folder.exists() else []
        process = subprocess.Popen([*command, *resume])
        metrics = folder / "metrics.jsonl"
        while process.poll() is None:
            if metrics.exists() and len(metrics.read_text().splitlines()) >= at_update:
                time.sleep(random.uniform(0.0, 0.05))
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        kills += process.wait() == -signal.SIGKILL
    assert kills > 0
    subprocess.run([*command, "resume=true"], check=True)
    assert numbers(folder) == numbers(finished)
    assert json.loads((folder / "meta.json").read_text())["status"] == "finished"
