"""Checkpoints, metric lines and statistics."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marl_algos.conf.load import ConfigError, load_config
from marl_algos.runs.checkpoint import CheckpointError, CheckpointStore
from marl_algos.runs.logging import MetricsLog, read_metrics, to_plain
from marl_algos.runs.runfolder import open_run_folder
from marl_algos.runs.statistics import Bootstrap
from marl_algos.runs.tables import verdict

TREE = {
    "weights": jnp.arange(6.0).reshape(2, 3),
    "key": jax.random.key(7),
    "nothing": (),
    "flags": (jnp.array([True, False]), jnp.int32(3)),
}


def test_checkpoint__a_new_process_would_get_the_same_tree_back(tmp_path):
    first = CheckpointStore(tmp_path, keep=2)
    for update in (1, 2, 3):
        first.save(update, TREE, {"best_score": 0.5 * update})
    first.close()
    second = CheckpointStore(tmp_path, keep=2)
    assert second.latest() == 3
    assert second.record(3)["best_score"] == 1.5
    restored = second.restore(3, TREE)
    assert jax.tree.structure(restored) == jax.tree.structure(TREE)
    assert jax.random.key_data(restored["key"]).tolist() == [0, 7]
    assert restored["weights"].tolist() == TREE["weights"].tolist()
    assert restored["flags"][0].dtype == bool
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    second.close()


def test_checkpoint__that_does_not_fit_is_refused_leaf_by_leaf(tmp_path):
    store = CheckpointStore(tmp_path, keep=1)
    store.save(1, TREE, {})
    changed = {**TREE, "weights": jnp.zeros((2, 4)), "more": jnp.zeros(1)}
    del changed["flags"]
    with pytest.raises(CheckpointError) as caught:
        store.restore(1, changed)
    for part in ("weights is (2, 3)", "expected (2, 4)", "more is missing", "flags.0 is not"):
        assert part in str(caught.value)
    store.close()


def test_checkpoint__unfinished_one_is_not_the_latest(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    store.save(1, TREE, {})
    store.close()
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    again = CheckpointStore(tmp_path, keep=2)
    assert again.latest() == 1
    again.close()


def test_metrics_log__drops_lines_after_the_checkpoint_and_a_torn_last_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = "".join(json.dumps({"update": n}) + "\n" for n in (1, 2, 3))
    path.write_text(whole + '{"update": 4, "lo')
    log = MetricsLog(path, last_update=2)
    log.write({"update": 3, "value": jnp.float32(0.5)})
    log.close()
    assert [line["update"] for line in read_metrics(path)] == [1, 2, 3]
    assert read_metrics(path)[-1]["value"] == 0.5


def test_run_folder__of_a_run_killed_at_once_is_taken_up_and_a_strange_one_is_not(tmp_path):
    config = load_config([f"run.root={tmp_path}", "run.name=a", "resume=true"])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".config.yaml.123").write_text("seed:")
    assert open_run_folder(config).path == tmp_path / "a"
    (tmp_path / "a" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="is no run folder"):
        open_run_folder(config)


def test_metrics_log__hands_every_number_to_its_sinks(tmp_path):
    class Memory:
        def __init__(self):
            self.lines, self.closed = [], False

        def write(self, step, numbers):
            self.lines.append((step, numbers))

        def close(self):
            self.closed = True

    sink = Memory()
    log = MetricsLog(tmp_path / "metrics.jsonl", 0, [sink])
    log.write({"update": 1, "agents": {"a": {"loss": [1.0, 2.0], "gap": jnp.nan}}, "ok": True})
    log.close()
    assert sink.lines == [(1, {"update": 1.0, "agents/a/loss": 1.5, "ok": 1.0})]
    assert sink.closed


def test_to_plain__turns_what_is_not_finite_into_null():
    plain = to_plain({"a": jnp.nan, "b": np.array([1.0, np.inf]), "c": [jnp.int32(2)]})
    assert plain == {"a": None, "b": [1.0, None], "c": [2]}


def test_bootstrap__interval_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(1, 400))
    interval = Bootstrap(np.arange(400), 1, 4000).interval(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)
    assert interval.low < interval.mean < interval.high


def test_bootstrap__episodes_of_one_window_count_once():
    clusters = np.repeat(np.arange(10), 40)
    values = np.random.default_rng(1).normal(size=10)[clusters][None]
    together = Bootstrap(clusters, 1, 2000).interval(values)
    apart = Bootstrap(np.arange(400), 1, 2000).interval(values)
    assert together.high - together.low > 4 * (apart.high - apart.low)


def test_bootstrap__spread_between_learners_widens_the_interval():
    values = np.stack([np.full(50, -1.0), np.full(50, 1.0)])
    interval = Bootstrap(np.arange(50), 2, 500).interval(values)
    assert (interval.low, interval.high) == pytest.approx((-1.0, 1.0))


def test_verdict__needs_an_interval_without_zero():
    assert verdict({"mean": 1.0, "low": 0.1, "high": 2.0}) == "learned is better"
    assert verdict({"mean": -1.0, "low": -2.0, "high": -0.1}) == "learned is worse"
    assert verdict({"mean": 1.0, "low": -0.1, "high": 2.0}) == "no difference shown"
