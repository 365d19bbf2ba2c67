"""Every script under examples/ runs, with a problem small enough for a test."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
SMALL = {
    "reference_population.py": ["--steps", "90", "--noise", "60", "--value", "10", "--slots", "128"]
}
"""Arguments that make an example short."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.py")))
def test_example_runs(name: str, tmp_path: Path) -> None:
    """Runs one script in an empty folder."""
    result = subprocess.run(
        [sys.executable, str(FOLDER / name), *SMALL.get(name, [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip(), f"{name} prints nothing"
