import json
import os

import polars as pl
import pytest
from lob_analysis.errors import RunError
from lob_analysis.runs.load import find_run, load_run
from lob_analysis.testing import write_run


def test_load__whole_run_has_no_notice(run_folder):
    run = load_run(run_folder)
    assert run.notices == ()
    assert run.status == "finished"
    assert run.name == "demo"
    assert run.agent_types == ["market_maker", "execution"]
    assert run.evaluation is not None
    assert run.episodes is not None
    assert run.config["algo"]["name"] == "ippo"


def test_load__learning_table_is_long(run_folder):
    learning = load_run(run_folder).learning
    line = json.loads((run_folder / "metrics.jsonl").read_text().splitlines()[3])
    row = learning.filter(update=3, agent_type="execution", metric="entropy")
    assert row["value"].item() == line["agents"]["execution"]["entropy"]
    assert row["env_steps"].item() == line["env_steps"]
    assert set(learning["group"]) == {"agents", "market", "counters", "run"}


def test_load__lists_are_training_seeds(tmp_path):
    path = write_run(tmp_path / "r", num_updates=0)
    record = {"update": 0, "env_steps": 8, "agents": {"execution": {"reward_mean": [1.0, 2.0]}}}
    (path / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    learning = load_run(path).learning
    assert learning.select("seed", "value").rows() == [(0, 1.0), (1, 2.0)]


def test_load__resumed_run_keeps_the_last_record_of_an_update(tmp_path):
    path = write_run(tmp_path / "r", num_updates=0)
    lines = [
        {"update": u, "env_steps": 8 * u, "market": {"spread": s}}
        for u, s in ((0, 1), (1, 2), (1, 3), (2, 4))
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    learning = load_run(path).learning
    assert learning.select("update", "value").rows() == [(0, 1.0), (1, 3.0), (2, 4.0)]


def test_load__killed_in_the_middle_of_a_line(run_folder):
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 40, "env_st')
    run = load_run(run_folder)
    assert run.learning["update"].max() == 39
    assert any("middle of a line (line 41)" in notice for notice in run.notices)


def test_load__damaged_line_in_between_is_named(run_folder):
    file = run_folder / "metrics.jsonl"
    lines = file.read_text().splitlines()
    lines[4] = "not json"
    file.write_text("\n".join(lines) + "\n")
    run = load_run(run_folder)
    assert run.notices == ("metrics.jsonl is damaged (line 5); that line is left out.",)


def test_load__unfinished_run_shows_what_there_is(tmp_path):
    path = write_run(tmp_path / "r", status="running")
    for name in ("evaluation.parquet", "evaluation.json", "episodes.parquet"):
        (path / name).unlink()
    run = load_run(path)
    assert run.evaluation is None
    assert run.learning.height > 0
    text = " ".join(run.notices)
    assert "not finished" in text
    assert "Missing: evaluation.parquet, evaluation.json, episodes.parquet. The parts" in text


def test_load__other_schema_shows_facts_only(tmp_path):
    run = load_run(write_run(tmp_path / "r", schema=2))
    assert run.evaluation is None
    assert run.learning.is_empty()
    assert run.meta["commit"] == "0123abc"
    assert "layout version 2; this report reads version 1" in run.notices[0]


def test_load__damaged_files_become_notices(run_folder):
    (run_folder / "evaluation.parquet").write_bytes(b"PAR1 cut short")
    (run_folder / "config.yaml").write_text("a: [1,")
    (run_folder / "evaluation.json").write_text("[1]")
    pl.DataFrame({"step": [1]}).write_parquet(run_folder / "episodes.parquet")
    notices = "\n".join(load_run(run_folder).notices)
    assert "evaluation.parquet cannot be read" in notices
    assert "config.yaml cannot be read" in notices
    assert "evaluation.json holds a list" in notices
    assert "episodes.parquet lacks the columns policy, agent_type, agent, mid" in notices


def test_load__empty_folder_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"is no run folder: it holds none of meta\.json"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="no such run folder"):
        load_run(tmp_path / "nothing")


def test_find_run__newest_by_name_in_latest(tmp_path):
    root = tmp_path / "runs"
    write_run(root / "b", num_updates=1)
    write_run(root / "a", num_updates=1)
    assert find_run(root=root) == root / "a"
    assert find_run("b", root) == root / "b"
    (root / "latest").write_text("b\n")
    assert find_run(root=root) == root / "b"


def test_find_run__without_latest_takes_the_newest_files(tmp_path):
    root = tmp_path / "runs"
    for age, name in ((5, "new"), (50, "old")):
        folder = write_run(root / name, num_updates=1)
        for file in folder.iterdir():
            os.utime(file, (1_000_000 - age, 1_000_000 - age))
    (root / "latest").unlink()
    assert find_run(root=root) == root / "new"


def test_find_run__says_what_is_missing(tmp_path):
    with pytest.raises(RunError, match="no such folder; train first"):
        find_run(root=tmp_path / "runs")
    (tmp_path / "runs").mkdir()
    with pytest.raises(RunError, match="holds no run"):
        find_run(root=tmp_path / "runs")
    with pytest.raises(RunError, match="no such run folder, here or under"):
        find_run("x", tmp_path / "runs")


def test_load__equal_policy_names_are_told_apart_by_whom_they_replace(run_folder):
    episodes = load_run(run_folder).episodes
    labels = set(episodes.select("policy", "replaced").unique().rows())
    assert {("do_nothing", "execution"), ("do_nothing", "market_maker"), ("learned", "")} <= labels
    path = run_folder / "episodes.parquet"
    pl.read_parquet(path).drop("replaced").write_parquet(path)
    old = load_run(run_folder).episodes
    assert set(old.filter(policy="do_nothing")["replaced"]) == {"", "market_maker"}
    assert set(old.filter(policy="learned")["replaced"]) == {""}
