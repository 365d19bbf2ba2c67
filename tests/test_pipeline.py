"""From configuration to report, as a user runs it: one process a command."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.timeout(900)  # whole programs, most of whose time is compilation
SMOKE = ("experiment=smoke", "progress=none", "run.name=smoke", "run.root=runs")


def run(*command: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=800,
    )


@pytest.fixture(scope="module")
def embedded_run(tmp_path_factory: pytest.TempPathFactory, as_a_user: dict[str, str]) -> Path:
    """A folder in which a tiny run on the embedded market was trained and reported."""
    folder = tmp_path_factory.mktemp("embedded")
    trained = run("marl_algos.train", *SMOKE, cwd=folder, environment=as_a_user)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    reported = run("lob_analysis.cli", "report", cwd=folder, environment=as_a_user)
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


def test_a_mistake_ends_the_process_with_status_2(
    tmp_path: Path, as_a_user: dict[str, str]
) -> None:
    result = run(
        "marl_algos.train", *SMOKE, "algo.lerning_rate=1", cwd=tmp_path, environment=as_a_user
    )
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "lerning_rate" in result.stderr
    assert not (tmp_path / "runs").exists()
