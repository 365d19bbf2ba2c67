"""From configuration to report, as a user runs it: one process a command."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from lob_data import synthesize

pytestmark = pytest.mark.timeout(900)  # whole programs, most of whose time is compilation
SMOKE = ("experiment=smoke", "progress=none", "run.name=smoke", "run.root=runs")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, timeout=800
    )


@pytest.fixture(scope="module")
def embedded_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny run on the embedded market was trained and reported."""
    folder = tmp_path_factory.mktemp("embedded")
    trained = run("marl_algos.train", *SMOKE, cwd=folder)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    reported = run("lob_analysis.cli", "report", cwd=folder)
    assert reported.returncode == 0, reported.stdout + reported.stderr
    return folder / "runs" / "smoke"


@pytest.mark.slow
def test_run_folder_holds_what_the_architecture_says(embedded_run: Path) -> None:
    names = {path.name for path in embedded_run.iterdir()}
    assert names >= {
        "config.yaml",
        "meta.json",
        "metrics.jsonl",
        "checkpoints",
        "evaluation.parquet",
        "evaluation.json",
        "episodes.parquet",
        "report.html",
    }
    assert json.loads((embedded_run / "meta.json").read_text())["status"] == "finished"
    policies = set(pl.read_parquet(embedded_run / "evaluation.parquet")["policy"])
    assert policies >= {"learned", "twap", "avellaneda_stoikov", "do_nothing"}


@pytest.mark.slow
def test_report_is_one_file_that_needs_no_network(embedded_run: Path) -> None:
    page = (embedded_run / "report.html").read_text()
    assert page.count("Plotly.newPlot") + page.count('class="plotly') > 3
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="([^"]+)"', page)
    assert not [address for address in loaded if not address.startswith("data:")]


@pytest.mark.slow
def test_raw_lobster_files_train_without_a_preparation_step(tmp_path: Path) -> None:
    synthesize(tmp_path / "raw", num_messages=20_000, seed=1)
    trained = run(
        "marl_algos.train", *SMOKE, "data=lobster", f"data.path={tmp_path / 'raw'}", cwd=tmp_path
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    meta = json.loads((tmp_path / "runs/smoke/meta.json").read_text())
    assert meta["data"]["kind"] == "lobster"
    assert meta["status"] == "finished"


def make_pair(folder: Path) -> tuple[Path, Path]:
    synthesize(folder, num_messages=500, seed=1)
    (message,) = folder.glob("*_message_*")
    (orderbook,) = folder.glob("*_orderbook_*")
    return message, orderbook


def without_orderbook(folder: Path) -> None:
    make_pair(folder)[1].unlink()


def with_truncated_gzip(folder: Path) -> None:
    for path in make_pair(folder):
        packed = path.read_bytes()
        gzip.decompress(packed)
        path.write_bytes(packed[: len(packed) // 2])


def with_zero_bytes(folder: Path) -> None:
    make_pair(folder)[0].write_bytes(b"")


def with_another_level(folder: Path) -> None:
    for path in make_pair(folder):
        path.rename(path.with_name(path.name.replace("_10.csv", "_3.csv")))


@pytest.mark.parametrize(
    "spoil", [without_orderbook, with_truncated_gzip, with_zero_bytes, with_another_level]
)
def test_bad_data__one_message_names_the_file_and_nothing_is_left(spoil, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    spoil(raw)
    result = run("marl_algos.train", *SMOKE, "data=lobster", f"data.path={raw}", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "_message_" in result.stderr or "_orderbook_" in result.stderr
    assert not list(tmp_path.glob("prepared/**/*.parquet"))
    assert not (tmp_path / "runs" / "smoke" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("algo.lerning_rate=1", "lerning_rate"),
        ("data=lobster", "data.path"),
        ("+nonsense=1", "nonsense"),
        ("algo.num_envs=-1", "num_envs"),
        ("device=gpu", "gpu"),
    ],
)
def test_bad_override__one_message_names_it(override: str, named: str, tmp_path: Path) -> None:
    result = run("marl_algos.train", *SMOKE, override, cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert named in result.stderr.lower()
    assert not (tmp_path / "runs").exists()


def test_missing_data_folder__is_named(tmp_path: Path) -> None:
    result = run(
        "marl_algos.train", *SMOKE, "data=lobster", "data.path=no/such/place", cwd=tmp_path
    )
    assert result.returncode == 2
    assert "no/such/place" in result.stderr
    assert not (tmp_path / "runs").exists()
