"""What `lob-data` shows: tables, JSON, progress bars."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from rich.table import Column, Table

from lob_data.calibration import Calibration
from lob_data.calibration.result import leaves_of
from lob_data.errors import LobDataError
from lob_data.manifest import Manifest
from lob_data.progress import Progress as ReportProgress
from lob_data.verify import VerifyReport

_LEAST_WIDTH: Final = 100
_MOST_ROWS: Final = 21
"""Rows of a table of parameters; of longer ones, such as 128 quantiles of sizes, some are shown."""


@contextmanager
def show_progress(verb: str) -> Iterator[ReportProgress]:
    """A progress bar on stderr, if that is a terminal; told of what is done."""
    columns = (SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn())
    console = Console(stderr=True)
    is_quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_quiet) as bar:
        task = bar.add_task(verb, total=None)

        def report(label: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{verb} {label}")

        yield report


def print_json(content: dict[str, Any]) -> None:
    """Writes `content` to stdout."""
    sys.stdout.write(json.dumps(content, indent=2) + "\n")


def print_reports(reports: list[VerifyReport]) -> None:
    """Shows what each pair's replay gave."""
    table = _table("pair", "rows", "levels", "wrong", "sync", "share")
    for r in reports:
        counts = (r.rows, r.levels, r.mismatches, r.sync_messages)
        share = f"{r.sync_messages / r.rows:.2%}"
        table.add_row(r.label, *(f"{count:,}" for count in counts), share)
    if reports:
        _console().print(table)


def print_calibration(result: Calibration) -> None:
    """Shows parameters and figures of a fit."""
    console = _console()
    leaves = {name: np.asarray(leaf) for name, leaf in leaves_of(result.params).items()}
    for length in dict.fromkeys(leaf.shape[0] for leaf in leaves.values() if leaf.ndim == 1):
        columns = {name: leaf for name, leaf in leaves.items() if leaf.shape == (length,)}
        rows = np.unique(np.linspace(0, length - 1, min(length, _MOST_ROWS)).round().astype(int))
        is_short = len(rows) < length
        title = f"{result.name}, {len(rows)} of {length} rows" if is_short else result.name
        table = Table("", *columns, title=title)
        for i in rows:
            table.add_row(str(i + 1), *(f"{column[i]:.4g}" for column in columns.values()))
        console.print(table)
    for name, leaf in leaves.items():
        if leaf.ndim == 2:
            table = Table("", *map(str, range(leaf.shape[1])), title=name)
            for i, row in enumerate(leaf, start=1):
                table.add_row(str(i), *(f"{value:.4g}" for value in row))
            console.print(table)
    scalars = (f"{name} {leaf:.6g}" for name, leaf in leaves.items() if leaf.ndim == 0)
    console.print("; ".join(scalars))
    console.print("fit: " + ", ".join(f"{name} {value:.4g}" for name, value in result.fit.items()))


def print_manifest(path: Path, manifest: Manifest) -> None:
    """Shows a store as tables."""
    console = _console()
    table = _table("day", "rows", "sync share", "orders a side", "exact", title=str(path))
    for day in manifest.days:
        shape = f"{day.rows:,}", f"{day.sync_share:.2%}", f"{max(day.max_orders):,}"
        table.add_row(day.label, *shape, "yes" if day.is_verified else "unchecked")
    console.print(table)
    splits = Table("split", "segments", "rows", title=f"split by {manifest.split_by}")
    for name, segments in manifest.splits.items():
        rows = sum(segment.row_end - segment.row_start for segment in segments)
        splits.add_row(name, str(len(segments)), f"{rows:,}")
    console.print(splits)
    options = manifest.options
    changed = [
        f"{field.name}={getattr(options, field.name)}"
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != field.default
    ]
    chosen = "; other options than the defaults: " + ", ".join(changed) if changed else ""
    console.print(f"tick {manifest.tick_size} dollars{chosen}", highlight=False)


def _console() -> Console:
    """Standard output, wide enough for the tables also where no terminal says how wide it is."""
    return Console(width=max(Console().width, _LEAST_WIDTH))


def _table(*titles: str, title: str | None = None) -> Table:
    """An empty table whose cells are never cut short."""
    return Table(*(Column(text, no_wrap=True) for text in titles), title=title)


def warn(failures: list[LobDataError]) -> None:
    """Lists on stderr what failed."""
    for failure in failures:
        sys.stderr.write(f"lob-data: failed: {failure}\n")
