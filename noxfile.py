"""Automation: `nox -l` is the manual, `nox -s NAME -- ARGS` passes ARGS through."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "typecheck", "tests"]

ROOT = Path(__file__).parent
PACKAGES = ("lob-core", "lob-data", "marl-envs", "marl-algos", "analysis")
MODULES = {
    "lob-core": "lob_core",
    "lob-data": "lob_data",
    "marl-envs": "marl_envs",
    "marl-algos": "marl_algos",
    "analysis": "lob_analysis",
}
CPU_FLAG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"
"""Cures a hang of jax 0.10 on machines with two cores; costs nothing elsewhere."""


def constraints() -> list[str]:
    """Installer arguments that pin versions for the running interpreter, if pins exist for it."""
    path = ROOT / "constraints" / f"py{sys.version_info.major}.{sys.version_info.minor}.txt"
    return ["--constraint", str(path)] if path.exists() else []


def install(session: nox.Session, *packages: str, test: bool = False) -> None:
    """Installs packages of this workspace with what they declare, and nothing else.

    Where somebody waits for what is installed, uv compiles it to bytecode, as pip does.
    """
    arguments = [item for name in packages for item in ("--editable", f"packages/{name}")]
    if test:
        for name in packages:
            arguments += ["--group", f"packages/{name}/pyproject.toml:test"]
    session.install(*arguments, *constraints(), env={} if test else {"UV_COMPILE_BYTECODE": "1"})


def jax_environment(*, compilation_cache: Path | None = None) -> dict[str, str]:
    """Environment variables for sessions that run JAX.

    With a `compilation_cache`, processes share the programs that they compile, also over runs.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if CPU_FLAG.split("=")[0] not in flags:
        flags = f"{flags} {CPU_FLAG}".strip()
    variables = {"XLA_FLAGS": flags}
    if compilation_cache is not None:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(compilation_cache)
        variables["JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    return variables


@nox.session
@nox.parametrize("package", [*PACKAGES, "workspace"], ids=[*PACKAGES, "workspace"])
def tests(session: nox.Session, package: str) -> None:
    """Run the tests, each package in an environment of its declared dependencies only."""
    if package == "workspace":
        install(session, *PACKAGES, test=True)
        session.install("--group", "pyproject.toml:test", *constraints())
        target = "tests"
    else:
        install(session, package, test=True)
        target = f"packages/{package}/tests"
    spread = ["--numprocesses=auto", "--dist=loadfile"]
    environment = jax_environment(compilation_cache=Path(session.cache_dir).resolve() / "jax")
    session.run("python", "-m", "pytest", *spread, target, *session.posargs, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the direction of imports; `-- --fix` repairs what it can."""
    install(session, *PACKAGES)
    session.install("--group", "pyproject.toml:lint", *constraints())
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("lint-imports")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check the types of every package's sources (strict)."""
    install(session, *PACKAGES, test=True)
    session.install("--group", "pyproject.toml:typecheck", *constraints())
    for package in PACKAGES:
        session.run("mypy", f"packages/{package}/src/{MODULES[package]}", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure speed: `-- lob-core marl-envs` for some packages, further arguments go to pytest."""
    chosen = [name for name in session.posargs if name in PACKAGES]
    rest = [argument for argument in session.posargs if argument not in PACKAGES]
    install(session, *PACKAGES, test=True)
    session.install("--group", "packages/lob-data/pyproject.toml:bench", *constraints())
    folder = ROOT / ".benchmarks"
    folder.mkdir(exist_ok=True)
    results = []
    for package in chosen or PACKAGES:
        results.append(folder / f"{package}.json")
        session.run(
            "python",
            "-m",
            "pytest",
            f"packages/{package}/benchmarks",
            "-o",
            "python_files=test_benchmark_*.py",
            "-o",
            "timeout=1800",
            f"--benchmark-json={results[-1]}",
            "--benchmark-columns=median,iqr,rounds",
            *rest,
            env=jax_environment(),
        )
    session.run("python", "tools/bench_table.py", *map(str, results))


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Measure all on a GPU in eight minutes; `-- --tiny --device cpu` tries it anywhere."""
    install(session, "lob-core", "lob-data", "marl-envs", "marl-algos")
    session.install("jax[cuda13]", *constraints())
    session.run("bash", "bench/gpu.sh", *session.posargs, env={"PYTHON": "python"}, external=True)


@nox.session(default=False)
def learn(session: nox.Session) -> None:
    """Run the long proofs, mostly of learning: `-- marl-algos` for one package, `-k` for some."""
    chosen = [name for name in session.posargs if name in PACKAGES]
    rest = [argument for argument in session.posargs if argument not in PACKAGES]
    packages = chosen or ["lob-core", "marl-algos", "analysis"]
    install(session, *PACKAGES, test=True)
    session.install("--group", "packages/marl-algos/pyproject.toml:learn", *constraints())
    targets = [f"packages/{package}/tests" for package in packages]
    options = ["-m", "learn", "-o", "timeout=3600", "--durations=0"]
    session.run("python", "-m", "pytest", *options, *targets, *rest, env=jax_environment())


@nox.session(default=False)
def train(session: nox.Session) -> None:
    """Train, evaluate and write report.html; Hydra overrides after `--`, e.g. `-- seed=3`."""
    install(session, *PACKAGES)
    session.run("python", "-m", "marl_algos.train", *session.posargs, env=jax_environment())
    if not {"--help", "--cfg", "--info"} & set(session.posargs):
        session.run("lob-analysis", "report", env=jax_environment())


def run_app(session: nox.Session, module: str) -> None:
    """Runs one of the applications beside training with the session's arguments."""
    install(session, *PACKAGES)
    session.run("python", "-m", f"marl_algos.{module}", *session.posargs, env=jax_environment())


@nox.session(default=False)
def evaluate(session: nox.Session) -> None:
    """Play the policies of a run again: `-- runs/NAME evaluation.num_episodes=1024`."""
    run_app(session, "evaluate")


@nox.session(default=False)
def selfplay(session: nox.Session) -> None:
    """Train against a pool of frozen snapshots; Hydra overrides after `--`."""
    run_app(session, "selfplay")


@nox.session(default=False)
def pbt(session: nox.Session) -> None:
    """Train a population whose settings evolve; Hydra overrides after `--`."""
    run_app(session, "pbt")


@nox.session(default=False)
def psro(session: nox.Session) -> None:
    """Grow a game among policies by best responses; Hydra overrides after `--`."""
    run_app(session, "psro")


@nox.session(default=False)
def clone(session: nox.Session) -> None:
    """Imitate rules, e.g. `-- +clone.choices.market_maker=3`; then `transfer.run=runs/NAME`."""
    run_app(session, "clone")


@nox.session(default=False)
def prove(session: nox.Session) -> None:
    """Train five seeds and say what beats the rules; `-- data.path=FOLDER` on recorded flow too."""
    run_app(session, "market_proof")


@nox.session(default=False)
def analyse(session: nox.Session) -> None:
    """Study a run: `-- exploit runs/NAME`, `-- attack runs/NAME`; `-- --help` lists all."""
    install(session, *PACKAGES)
    session.run("lob-analysis", *session.posargs, env=jax_environment())


@nox.session(default=False)
def report(session: nox.Session) -> None:
    """Write report.html of a run folder: `-- runs/NAME`, or the newest run when none is named."""
    install(session, *PACKAGES)
    session.run("lob-analysis", "report", *session.posargs, env=jax_environment())


@nox.session(default=False)
def notebooks(session: nox.Session) -> None:
    """Execute the teaching notebooks: `-- 03 07` for some; they go to notebooks/executed."""
    install(session, *PACKAGES)
    session.install("--group", "packages/analysis/pyproject.toml:notebooks", *constraints())
    script = "packages/analysis/notebooks/run.py"
    session.run("python", script, *session.posargs, env=jax_environment())


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Run the examples in docstrings and build the site into site/; a broken link is an error."""
    install(session, *PACKAGES, test=True)
    session.install("--group", "pyproject.toml:docs", *constraints())
    sources = sorted(ROOT.glob("packages/*/src/**/*.py"))
    examples = [str(path) for path in sources if ">>>" in path.read_text(encoding="utf-8")]
    session.run("python", "-m", "pytest", "--doctest-modules", *examples, env=jax_environment())
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session(default=False)
def prepare(session: nox.Session) -> None:
    """Turn LOBSTER files into a prepared store: `-- RAW_FOLDER STORE_FOLDER`."""
    install(session, "lob-data")
    session.run("lob-data", "prepare", *session.posargs, env=jax_environment())


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build every wheel and sdist and import each wheel in an environment of its own."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    for package in PACKAGES:
        session.run("uv", "build", f"packages/{package}", "--out-dir", str(dist), external=True)
    for package in PACKAGES:
        distribution = "lob-analysis" if package == "analysis" else package
        (wheel,) = dist.glob(f"{distribution.replace('-', '_')}-*.whl")
        scratch = Path(session.create_tmp()).resolve() / package
        session.run("uv", "venv", "--clear", str(scratch), external=True)
        python = scratch / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        session.run(
            "uv",
            "pip",
            "install",
            "--python",
            str(python),
            "--find-links",
            str(dist),
            *constraints(),
            str(wheel),
            external=True,
        )
        module = MODULES[package]
        with session.chdir(scratch):
            session.run(
                str(python),
                "-c",
                f"import {module}; print({module}.__name__, 'from', {module}.__file__)",
                external=True,
            )


@nox.session(default=False)
def pins(session: nox.Session) -> None:
    """Pin what the packages declare in constraints/; `-- --upgrade` moves old pins, too."""
    sources = [f"packages/{name}/pyproject.toml" for name in PACKAGES]
    groups = [item for path in sources for item in ("--group", f"{path}:test")]
    groups += ["--group", "packages/marl-algos/pyproject.toml:learn"]
    groups += ["--group", "packages/analysis/pyproject.toml:notebooks"]
    for name in ("test", "lint", "typecheck", "docs"):
        groups += ["--group", f"pyproject.toml:{name}"]
    for version in ("3.11", "3.12", "3.13"):
        session.run(
            "uv",
            "pip",
            "compile",
            "--quiet",
            *session.posargs,
            "--python-version",
            version,
            "--no-header",
            "--no-annotate",
            "--no-emit-index-url",
            "--no-emit-package=lob-core",
            "--no-emit-package=lob-data",
            "--no-emit-package=marl-envs",
            "--no-emit-package=marl-algos",
            *sources,
            *groups,
            "--output-file",
            f"constraints/py{version}.txt",
            external=True,
        )
