"""Metrics as JSON lines, the record of a run, and progress for people."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import jax
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

WALL_CLOCK_KEYS: Final = ("seconds", "steps_per_second")
"""Keys of a metrics line that differ between runs of equal configuration."""
_LINE_INTERVAL = 5.0
"""Seconds between two progress lines when there is no terminal."""


def to_plain(tree: Any) -> Any:
    """Nested dicts of arrays as nested dicts of Python numbers; what is not finite becomes None."""
    if isinstance(tree, dict):
        return {key: to_plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [to_plain(value) for value in tree]
    if isinstance(tree, jax.Array | np.ndarray | np.generic):
        value = np.asarray(tree)
        return to_plain(value.item() if value.ndim == 0 else value.tolist())
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree


def flatten(line: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a metrics line by path: means of lists over learners; null is left out."""
    flat: dict[str, float] = {}
    for key, value in line.items():
        path = f"{prefix}/{key}" if prefix else key
        if isinstance(value, dict):
            flat |= flatten(value, path)
        elif isinstance(value, bool | int | float):
            flat[path] = float(value)
        elif isinstance(value, list) and None not in value:
            flat[path] = float(np.mean(value))
    return flat


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file by `text` so that a reader sees the old or the new content, never a part."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with scratch.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def is_scratch(path: Path, target: Path) -> bool:
    """Whether `path` is what a killed `write_atomically(target, ...)` leaves behind."""
    return path.name.startswith(f".{target.name}.")


def write_json(path: Path, value: Any) -> None:
    """Writes an object as indented JSON, atomically."""
    write_atomically(path, json.dumps(to_plain(value), indent=2) + "\n")


class MetricsLog:
    """One JSON line for each update.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, last_update: int, sinks: Sequence[Any] = ()) -> None:
        """Opens the file and drops what comes after `last_update`, which will be done again.

        Args:
            path: the file; made if it does not exist.
            last_update: update of the checkpoint from which the run goes on; 0 empties the file.
            sinks: further takers of every line, `marl_algos.runs.sinks.Sink`.
        """
        self.path = path
        self.sinks = sinks
        kept: list[str] = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    update = json.loads(line)["update"]
                except (ValueError, KeyError, TypeError):
                    break
                if update > last_update:
                    break
                kept.append(line)
        write_atomically(path, "".join(f"{line}\n" for line in kept))
        self._file: TextIO = path.open("a")

    def write(self, line: dict[str, Any]) -> None:
        """Appends one line and hands it to the operating system."""
        plain = to_plain(line)
        self._file.write(json.dumps(plain) + "\n")
        self._file.flush()
        for sink in self.sinks:
            sink.write(plain["update"], flatten(plain))

    def sync(self) -> None:
        """Waits until all lines are on disk; called before a checkpoint that relies on them."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file and the sinks."""
        self._file.close()
        for sink in self.sinks:
            sink.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All lines of a metrics file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class ProgressReport:
    """A progress bar on a terminal, plain lines elsewhere.

    Attributes:
        style: `"auto"`, `"lines"` or `"none"`.
    """

    def __init__(self, total: int, done: int, style: str) -> None:
        """Starts reporting.

        Args:
            total: updates of the run.
            done: updates done before.
            style: see `Config.progress`.
        """
        self.style = style
        self._total = total
        self._last_line = 0.0
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if style == "auto" and console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[returns]}"),
                console=console,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=total, completed=done, rate="", returns="")

    def update(self, line: dict[str, Any]) -> None:
        """Shows one metrics line."""
        rate = f"{line['steps_per_second']:,.0f} env steps/s"
        shown = {
            name: np.asarray(values["episode_return"], np.float64).mean()
            for name, values in line["agents"].items()
            if "episode_return" in values  # imitation plays no episodes
        }
        returns = "  ".join(
            f"{name} return {value:+.3g}" for name, value in shown.items() if np.isfinite(value)
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=line["update"], rate=rate, returns=returns)
        elif self.style != "none":
            now = time.monotonic()
            is_last = line["update"] == self._total
            if is_last or now - self._last_line >= _LINE_INTERVAL:
                self._last_line = now
                left = (self._total - line["update"]) * line["seconds"]
                text = f"update {line['update']}/{self._total}  {rate}  ETA {left:.0f} s  {returns}"
                sys.stderr.write(text + "\n")
                sys.stderr.flush()

    def close(self) -> None:
        """Ends the report."""
        if self._bar is not None:
            self._bar.stop()
