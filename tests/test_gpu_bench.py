"""The script of GPU measurements, on a CPU: everything but the device is as in earnest."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("gpu")


def test_gpu_bench__measures_and_checks_every_part(tmp_path):
    path = tmp_path / "out.json"
    command = ["bash", BENCH / "gpu.sh", "--tiny", "--device", "cpu", "--profile", "all"]
    ended = subprocess.run(
        [*command, "--out", path],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHON=sys.executable, JAX_PLATFORMS="cpu"),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(path.read_text())
    assert [row["part"] for row in report["rows"]] == ["engine", "environment", "training"]
    assert report["skipped"] == []
    assert report["device"] == "cpu"
    assert report["versions"]["jax"] == jax.__version__
    assert report["date"].startswith("20")
    for row in report["rows"]:
        assert row["rate"] > 0
        assert row["differs"] == []
        assert row["peak_bytes_so_far"] > 0
        assert row["utilization"] > 0
        assert row["kernels_per_innermost_step"] > 0
        assert row["profile"]["longest"]
        assert row["name"] in ended.stdout
    assert report["rows"][1]["bytes_per_env"] > 0
    assert "JaxMARL-HFT" in ended.stdout
    assert "agrees" in ended.stdout
    assert "DIFFERS" not in ended.stdout


def test_gpu_bench__says_what_there_was_no_time_for(gpu, tmp_path, capsys):
    path = tmp_path / "out.json"
    arguments = ["--tiny", "--device", "cpu", "--seconds", "0", "--out", str(path)]
    assert gpu.main(arguments) == 1
    assert capsys.readouterr().out.count("SKIPPED") == 3
    assert [entry["why"] for entry in json.loads(path.read_text())["skipped"]] == [
        "out of time"
    ] * 3


def test_gpu_bench__without_a_gpu_is_an_error(gpu, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    path = tmp_path / "out.json"
    assert gpu.main(["--tiny", "--parts", "engine", "--out", str(path)]) == 2
    assert "device is 'gpu', but JAX cannot use one" in capfd.readouterr().err
    assert not path.exists()


@pytest.fixture
def timing(monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    return importlib.import_module("gpu_parts.timing")


def test_differences__names_the_leaves_that_differ(timing):
    expected = {"price": np.array([1, 2, 3]), "mid": np.array([1.0, 2.0]), "pay": np.zeros(2)}
    assert timing.differences(expected, expected, tolerance=0.0) == []
    found = {
        "price": np.array([1, 2, 4]),
        "mid": np.array([1.0, 2.1]),
        "pay": np.array([0, np.nan]),
    }
    lines = timing.differences(found, expected, tolerance=0.01)
    assert len(lines) == 4
    assert any("'price'" in line and "1 of 3" in line for line in lines)
    assert any("'mid'" in line for line in lines)
    assert any("'pay'" in line and "not finite" in line for line in lines)
    near = {**expected, "mid": np.array([1.0, 2.001])}
    assert timing.differences(near, expected, tolerance=0.01) == []


def test_plan__lasts_less_than_eight_minutes(timing):
    plan = importlib.import_module("gpu_parts.plan")
    assert sum(plan.FULL.seconds) <= 460
    assert set(plan.FULL.books) == {1024, 4096, 65_536}
    assert set(plan.FULL.messages) == {1, 10, 100}
    assert plan.FULL.slots == 128
    assert {(4000, 1), (4000, 100), (65_536, 100)} <= set(plan.FULL.envs)
    assert {precision for _, precision in plan.FULL.learners} == {
        "float32",
        "tensorfloat32",
        "bfloat16",
    }
