"""Prints pytest-benchmark JSON files as one table of rates a file: `bench_table.py FILE ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def format_value(value: Any) -> str:
    """A number with three significant digits and thousands separators; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rows_of(path: Path) -> list[dict[str, str]]:
    """One row a benchmark: its name, median time and whatever it recorded beside it."""
    rows = []
    for entry in json.loads(path.read_text())["benchmarks"]:
        row = {
            "benchmark": entry["name"],
            "median ms": format_value(entry["stats"]["median"] * 1e3),
        }
        row |= {key: format_value(value) for key, value in entry["extra_info"].items()}
        rows.append(row)
    return rows


def print_table(title: str, rows: list[dict[str, str]]) -> None:
    """Prints one table.

    If benchmarks say `what` they time, that is the first column in place of their names. Columns
    are those that any row has; a row leaves blank what it does not record.
    """
    if any("what" in row for row in rows):
        rows = [{"what": row.get("what", row["benchmark"])} | row for row in rows]
        rows = [{k: v for k, v in row.items() if k not in ("benchmark", "device")} for row in rows]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    widths = {c: max(len(c), *(len(row.get(c, "")) for row in rows)) for c in columns}
    print(f"\n{title}\n")
    for row in [{c: c for c in columns}, *rows]:
        print("  ".join(row.get(c, "").ljust(widths[c]) for c in columns).rstrip())


def main(paths: list[str]) -> None:
    """Prints a table for each file."""
    for path in map(Path, paths):
        print_table(path.stem, rows_of(path))
        print(f"JSON: {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
