"""What runs of populations share: the length of the run, one table that grows."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import polars as pl

from marl_algos.conf.load import ConfigError
from marl_algos.runs.harness import Session


class Table:
    """A parquet file that grows by rows and forgets those of steps that are done again.

    Attributes:
        path: the file.
        step: the column that counts steps.
    """

    def __init__(self, path: Path, step: str) -> None:
        self.path = path
        self.step = step
        self.rows: list[dict[str, Any]] = []

    def resume(self, done: int) -> None:
        """Takes up what was written up to step `done`."""
        if done and self.path.exists():
            self.rows = pl.read_parquet(self.path).filter(pl.col(self.step) <= done).to_dicts()

    def save(self) -> None:
        """Writes all rows."""
        if self.rows:
            pl.DataFrame(self.rows, infer_schema_length=None).write_parquet(self.path)


class Population(Session[Any]):
    """What sessions of populations share: length of the run, time of the first step, one table."""

    table: Table

    def begin(self, updates_per_step: int) -> int:
        """Sets the length of the run; returns updates of a learner in all.

        Raises:
            ConfigError: if something that only training has is asked for.
        """
        if self.config.num_seeds != 1:
            raise ConfigError(
                f"num_seeds is {self.config.num_seeds}; populations run one seed at a time "
                "(sweep over seeds by --multirun)"
            )
        if self.config.num_devices != 1 or self.config.federated.num_workers != 1:
            raise ConfigError("num_devices and federated.num_workers are for training only")
        if self.config.transfer.run is not None:
            raise ConfigError("transfer.run is for training; populations start from nothing")
        algo = self.config.algo
        per_update = algo.num_envs * algo.num_steps
        self.env_steps_per_step = updates_per_step * per_update
        self.total = math.ceil(algo.total_env_steps / self.env_steps_per_step)
        return self.total * updates_per_step

    def resume(self, done: int) -> None:
        """Drops rows that come after step `done`."""
        self.table.resume(done)

    def save_tables(self) -> None:
        """Writes the table."""
        self.table.save()

    def timed(self, began: float) -> None:
        """Counts the first step as the time of compiling, of which it mostly consists."""
        if self.compile_seconds == 0.0:
            self.compile_seconds = time.perf_counter() - began
