"""Reads the files of a run; what is missing or damaged becomes a notice, not an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml  # type: ignore[import-untyped]

LEARNING_SCHEMA: Final = {
    "update": pl.Int64,
    "env_steps": pl.Int64,
    "seconds": pl.Float64,
    "group": pl.String,
    "agent_type": pl.String,
    "metric": pl.String,
    "seed": pl.Int64,
    "value": pl.Float64,
}


def read_mapping(path: Path, notices: list[str]) -> dict[str, Any]:
    """A JSON or YAML mapping; empty if missing, and with a notice if damaged."""
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        value = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        notices.append(f"{path.name} cannot be read: {str(error).splitlines()[0]}.")
        return {}
    if not isinstance(value, dict):
        notices.append(f"{path.name} holds a {type(value).__name__}, not a mapping.")
        return {}
    return value


def read_table(path: Path, keys: tuple[str, ...], notices: list[str]) -> pl.DataFrame | None:
    """A Parquet table with at least the key columns; None without, with a notice if damaged."""
    if not path.is_file():
        return None
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        notices.append(f"{path.name} cannot be read: {str(error).splitlines()[0]}.")
        return None
    missing = [key for key in keys if key not in frame.columns]
    if missing:
        notices.append(f"{path.name} lacks the columns {', '.join(missing)}; it is left out.")
        return None
    if frame.is_empty():
        notices.append(f"{path.name} has no rows.")
        return None
    return frame


def complete_episodes(episodes: pl.DataFrame | None) -> pl.DataFrame | None:
    """Recorded episodes as this version writes them.

    Policy names lose the `:agent_type` that tells equal ones apart; `replaced`, `episode` and
    `window` are added where they are missing.
    """
    if episodes is None:
        return None
    for name, default in (("episode", pl.lit(0)), ("window", pl.col("episode"))):
        if name not in episodes.columns:
            episodes = episodes.with_columns(default.alias(name))
    parts = pl.col("policy").str.splitn(":", 2).struct.unnest()
    names = episodes.select(parts).fill_null("")
    replaced = names["field_1"] if "replaced" not in episodes.columns else episodes["replaced"]
    return episodes.with_columns(
        names["field_0"].alias("policy"), replaced.fill_null("").alias("replaced")
    )


def read_metrics(path: Path, notices: list[str]) -> pl.DataFrame:
    """The long table of `metrics.jsonl`; of a repeated update (a resumed run) the last counts."""
    empty = pl.DataFrame(schema=LEARNING_SCHEMA)
    if not path.is_file():
        return empty
    records: dict[int, dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            records[int(record["update"])] = record
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            where = "ends in the middle of a line" if number == len(lines) else "is damaged"
            notices.append(f"metrics.jsonl {where} (line {number}); that line is left out.")
    if not records:
        notices.append("metrics.jsonl has no complete line: there are no learning curves.")
        return empty
    rows = [row for update in sorted(records) for row in _flatten(records[update])]
    return pl.DataFrame(rows, schema=LEARNING_SCHEMA, orient="row")


def _flatten(record: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    update, steps = int(record["update"]), int(record.get("env_steps", 0))
    seconds = float(record.get("seconds", float("nan")))

    def rows(group: str, agent_type: str | None, metrics: Any, prefix: str = "") -> Iterator[Any]:
        for metric, value in metrics.items() if isinstance(metrics, dict) else ():
            name = f"{prefix}{metric}"
            if isinstance(value, dict):
                yield from rows(group, agent_type, value, f"{name}.")
                continue
            for seed, one in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(one, int | float):
                    yield update, steps, seconds, group, agent_type, name, seed, float(one)

    for agent_type, metrics in (record.get("agents") or {}).items():
        yield from rows("agents", agent_type, metrics)
    for group in ("market", "counters"):
        yield from rows(group, None, record.get(group) or {})
    known = {"update", "env_steps", "agents", "market", "counters"}
    yield from rows("run", None, {key: x for key, x in record.items() if key not in known})
