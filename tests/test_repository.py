"""Promises of the repository: one direction, one test command, no lock files, no market data."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))


def tracked_files() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name]


def test_imports_point_in_one_direction() -> None:
    result = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "one direction KEPT" in result.stdout


def test_every_package_has_what_a_package_needs() -> None:
    assert len(PACKAGES) == 5
    for package in PACKAGES:
        for name in ("README.md", "CHANGELOG.md", "LICENSE", "src", "tests", "benchmarks"):
            assert (package / name).exists(), f"{package.name} has no {name}"
        assert list(package.glob("src/*/py.typed")), f"{package.name} has no py.typed"


def test_declared_versions_of_siblings_admit_the_siblings() -> None:
    projects = [tomllib.loads((p / "pyproject.toml").read_text())["project"] for p in PACKAGES]
    versions = {project["name"]: project["version"] for project in projects}
    for project in projects:
        for requirement in project["dependencies"]:
            name = re.match(r"[A-Za-z0-9_-]+", requirement)[0]
            if name in versions:
                major, minor = versions[name].split(".")[:2]
                assert f">={major}.{minor}," in requirement, requirement


def test_every_nox_session_has_a_docstring() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    sessions = [f for f in functions if any("session" in ast.unparse(d) for d in f.decorator_list)]
    assert {s.name for s in sessions} >= {
        "tests",
        "lint",
        "typecheck",
        "bench",
        "train",
        "report",
        "prepare",
        "build",
    }
    for session in sessions:
        assert ast.get_docstring(session), session.name


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = 'python -m pip install "nox[uv]" && nox -s tests'
    assert command in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci/run").read_text().rstrip().endswith(command)


def test_no_lock_file_or_registry_address_is_tracked() -> None:
    for path in tracked_files():
        assert path.name not in {"uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock"}, path
        if path.parent.name == "constraints":
            assert "://" not in path.read_text(), f"{path} records an address"


def test_no_market_data_is_tracked() -> None:
    lobster_name = re.compile(r"_(message|orderbook)_\d+\.(csv|zip|7z)")
    suffixes = {".parquet", ".arrow", ".npz", ".npy", ".gz", ".zst", ".7z", ".zip", ".pkl"}
    for path in tracked_files():
        assert path.suffix not in suffixes, path
        assert not lobster_name.search(path.name), path


def test_importing_the_packages_changes_no_jax_setting() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    modules = tools["importlinter"]["root_packages"]
    assert set(modules) == {path.name for package in PACKAGES for path in package.glob("src/*")}
    code = (
        "import importlib, os, jax; before = dict(jax.config.values)\n"
        "from jax._src import xla_bridge\n"
        "def flags(): return {k: v for k, v in os.environ.items() if k[:4] in ('JAX_', 'XLA_')}\n"
        "env = flags()\n"
        f"for module in {modules}:\n"
        "    importlib.import_module(module)\n"
        "    assert dict(jax.config.values) == before, module\n"
        "    assert flags() == env, module\n"
        "    assert not xla_bridge._backends, module\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
