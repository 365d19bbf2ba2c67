"""Reads a run folder into tables, and says what is missing instead of guessing it.

Layout, all plain text or Parquet:

- `config.yaml`: the resolved configuration.
- `meta.json`: schema, status, versions, seed, device, data, times.
- `metrics.jsonl`: one line per update, with nested groups `agents`, `market` and `counters`.
- `evaluation.parquet`: a row per policy set, agent type, agent and episode.
- `evaluation.json`: a summary of it.
- `matrix.parquet`: the same for every combination of learned policies and baselines.
- `episodes.parquet`: a row per step, policy set and agent of the recorded episodes.
- `book.parquet`: the book in the first of them, a row per step, side and level.
- `win_rates.parquet`, `lineage.parquet`, `psro.parquet`: what self-play, PBT and PSRO write.
- `exploitability.json`, `robustness.json`, `transfer.json`, `population.json`: studies that play
  the policies again.

A root folder holds many runs and the file `latest`, which names the newest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from lob_analysis.errors import RunError
from lob_analysis.runs.run_files import (
    LEARNING_SCHEMA,
    complete_episodes,
    read_mapping,
    read_metrics,
    read_table,
)

SCHEMA: Final = 1
"""Version of the run layout that this package reads."""

ROOT: Final = "runs"
EVALUATION_KEYS: Final = ("policy", "agent_type", "agent", "episode", "seed", "split")
EPISODE_KEYS: Final = ("policy", "step", "agent_type", "agent", "mid")
MATRIX_KEYS: Final = ("combination", *EVALUATION_KEYS)
POPULATION_KEYS: Final = {
    "win_rates": ("round", "learner", "opponent", "slot", "born", "win_rate"),
    "lineage": ("generation", "member", "parent", "score"),
    "psro": ("iteration", "gap", "gains", "mixture"),
}
"""Key columns of the tables that runs of populations write, by name."""
BOOK_KEYS: Final = ("policy", "step", "side", "level", "price", "size")
STUDIES: Final = ("exploitability", "robustness", "transfer", "population")
"""Studies of a run, by the name of their file."""
_RUN_FILES: Final = (
    "meta.json",
    "config.yaml",
    "metrics.jsonl",
    "evaluation.parquet",
    "evaluation.json",
    "matrix.parquet",
    "episodes.parquet",
    "book.parquet",
)


NOT_THE_MIXTURE: Final = (
    "This is a run of PSRO: what is evaluated and studied are its newest best responses, not the "
    "mixture of all its policies that solves their game; `lob-analysis population` plays that game "
    "and solves it."
)
"""What a reader must know about results of PSRO."""


@dataclass(frozen=True)
class Run:
    """A run folder, read.

    Attributes:
        path: the folder.
        config: resolved configuration; empty if missing.
        meta: facts of the run; empty if missing.
        learning: long table of `metrics.jsonl`: update, env_steps, seconds, group (`agents`,
            `market`, `counters` or `run`), agent_type, metric, seed (index where a value is a
            list over training seeds, else 0), value.
        evaluation: rows of `evaluation.parquet`; None if there are none.
        summary: `evaluation.json`; empty if missing.
        matrix: rows of `matrix.parquet`; None if there are none.
        episodes: rows of `episodes.parquet`; None if there are none. `replaced` names the agent
            type that the policy plays while the others play as learned; empty if it is all.
            Runs that recorded one episode have it as `episode` 0.
        populations: by name, tables that runs of populations write.
        book: rows of `book.parquet`; None if there are none.
        studies: by name, what `exploitability.json` and the like hold.
        notices: what a reader must know: parts that are missing, damaged or unfinished.
    """

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    learning: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEARNING_SCHEMA))
    evaluation: pl.DataFrame | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    matrix: pl.DataFrame | None = None
    episodes: pl.DataFrame | None = None
    populations: dict[str, pl.DataFrame] = field(default_factory=dict)
    book: pl.DataFrame | None = None
    studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the run: its folder."""
        return self.path.resolve().name

    @property
    def status(self) -> str:
        """`finished`, `running`, `failed`, or `unknown` without `meta.json`."""
        return str(self.meta.get("status", "unknown"))

    @property
    def agent_types(self) -> list[str]:
        """Agent types that appear anywhere, in order of appearance."""
        found: dict[str, None] = {}
        for frame in (self.evaluation, self.learning, self.episodes):
            if frame is not None and "agent_type" in frame.columns:
                names = frame["agent_type"].drop_nulls().unique(maintain_order=True)
                found |= dict.fromkeys(names.to_list())
        return list(found)


def find_run(run: Path | str | None = None, root: Path | str = ROOT) -> Path:
    """The folder of a run.

    Args:
        run: a folder, or the name of a run under `root`; None takes the newest.
        root: where runs lie.

    Raises:
        RunError: if there is no such run.
    """
    root = Path(root)
    if run is not None:
        for path in (Path(run), root / run):
            if path.is_dir():
                return path
        raise RunError(run, f"no such run folder, here or under {root}/")
    if not root.is_dir():
        raise RunError(root, "no such folder; train first, or name a run folder")
    latest = root / "latest"
    if latest.is_file():
        path = root / latest.read_text().strip()
        if path.is_dir() and path != root:
            return path
    runs = [path for path in root.iterdir() if path.is_dir() and _present(path)]
    if not runs:
        raise RunError(root, "holds no run; train first, or name a run folder")
    return max(runs, key=lambda path: max(file.stat().st_mtime for file in _present(path)))


def _present(path: Path) -> list[Path]:
    return [path / name for name in _RUN_FILES if (path / name).is_file()]


def load_run(path: Path | str) -> Run:
    """Reads what a run folder holds.

    What is missing, damaged or unfinished becomes a notice. A run of another schema version keeps
    its configuration and facts; its results are left out, because their meaning may differ.

    Args:
        path: the folder.

    Returns:
        The run.

    Raises:
        RunError: if the folder does not exist or holds no file of a run.
    """
    path = Path(path)
    if not path.is_dir():
        raise RunError(path, "no such run folder")
    if not _present(path):
        raise RunError(path, f"is no run folder: it holds none of {', '.join(_RUN_FILES)}")
    notices: list[str] = []
    meta = read_mapping(path / "meta.json", notices)
    config = read_mapping(path / "config.yaml", notices)
    schema = meta.get("schema", SCHEMA if not meta else None)
    if schema != SCHEMA:
        notices.append(
            f"This run was written with layout version {schema}; this report reads version "
            f"{SCHEMA}. Only its facts and configuration are shown."
        )
        return Run(path=path, config=config, meta=meta, notices=tuple(notices))
    notices += _status_notices(meta)
    missing = [name for name in _RUN_FILES if not (path / name).is_file()]
    if missing:
        notices.append(
            f"Missing: {', '.join(missing)}. The parts of the report that need them are left out."
        )
    populations = _read_populations(path, notices)
    if "psro" in populations:
        notices.append(NOT_THE_MIXTURE)
    return Run(
        path=path,
        config=config,
        meta=meta,
        learning=read_metrics(path / "metrics.jsonl", notices),
        evaluation=read_table(path / "evaluation.parquet", EVALUATION_KEYS, notices),
        summary=read_mapping(path / "evaluation.json", notices),
        matrix=read_table(path / "matrix.parquet", MATRIX_KEYS, notices),
        episodes=complete_episodes(read_table(path / "episodes.parquet", EPISODE_KEYS, notices)),
        populations=populations,
        book=read_table(path / "book.parquet", BOOK_KEYS, notices),
        studies=_read_studies(path, notices),
        notices=tuple(notices),
    )


def _read_studies(path: Path, notices: list[str]) -> dict[str, dict[str, Any]]:
    """The studies that have been made; one of another layout version is left out."""
    found = {}
    for name in STUDIES:
        file = path / f"{name}.json"
        study = read_mapping(file, notices) if file.is_file() else {}
        if study and study.get("schema") != SCHEMA:
            notices.append(
                f"{file.name} has layout version {study.get('schema')}; this report reads "
                f"version {SCHEMA}. Make it again with this version."
            )
        elif study:
            found[name] = study
    return found


def _read_populations(path: Path, notices: list[str]) -> dict[str, pl.DataFrame]:
    """The tables of populations that the folder holds."""
    found = {}
    for name, keys in POPULATION_KEYS.items():
        file = path / f"{name}.parquet"
        table = read_table(file, keys, notices) if file.is_file() else None
        if table is not None:
            found[name] = table
    return found


def _status_notices(meta: dict[str, Any]) -> list[str]:
    status = meta.get("status")
    if status == "running":
        return [
            "This run is not finished: it is still training or was stopped. "
            "What it has written so far is shown."
        ]
    if status == "failed":
        return ["This run failed before its end. What it had written until then is shown."]
    return []
