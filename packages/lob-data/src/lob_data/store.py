"""Prepared stores: folders of Parquet files with a manifest, replaced whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import polars as pl
from lob_core.replay import ReplayWindows
from lob_core.types import BookConfig

from lob_data.errors import StoreError
from lob_data.manifest import MANIFEST, Manifest, SplitName
from lob_data.prepared import PreparedDay, read_day, sync_to_disk
from lob_data.windows import build_windows, plan_windows

DAYS: Final = "days"


class Store:
    """A prepared store, opened for reading.

    Attributes:
        path: its folder.
        manifest: what it holds.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest = Manifest.load(self.path)

    @property
    def labels(self) -> list[str]:
        """Names of the days it holds."""
        return [day.label for day in self.manifest.days]

    def day(self, label: str) -> PreparedDay:
        """Reads one day.

        Raises:
            StoreError: if there is no such day or its files are missing or damaged.
        """
        for entry in self.manifest.days:
            if entry.label == label:
                return read_day(self.path / entry.folder, entry)
        raise StoreError(
            f"holds no day {label!r}; it holds {', '.join(self.labels)}", path=self.path
        )

    def events(self, label: str) -> pl.DataFrame:
        """The recorded messages of one day, without synchronising ones, for analysis.

        Columns: ts_ns, event_type, side, price (ticks; null for types 5 to 7), size (shares),
        raw_price (1/10000 dollar, as recorded), raw_size.
        """
        prepared = self.day(label)
        rows = pl.read_parquet(
            self.path / prepared.entry.folder / "rows.parquet",
            columns=["ts_ns", "event_type", "side", "raw_price", "raw_size"],
        )
        is_displayed = pl.col("event_type") <= 4
        ticks = pl.col("raw_price") // self.manifest.options.tick_units
        return rows.select(
            "ts_ns",
            "event_type",
            "side",
            pl.when(is_displayed).then(ticks).alias("price"),
            pl.col("raw_size").alias("size"),
            "raw_price",
        )

    def windows(
        self,
        *,
        num_steps: int,
        messages_per_step: int | None = None,
        seconds_per_step: float | None = None,
        stride: float | None = None,
        split: SplitName | None = None,
        ticker: str | None = None,
        config: BookConfig | None = None,
    ) -> ReplayWindows:
        """Cuts the days into episodes for the device; see `plan_windows` for what counts as a step.

        Args:
            num_steps: steps of each window, `S`.
            messages_per_step: recorded messages in a step. Synchronising messages come on top:
                they travel with the recorded message that they follow.
            seconds_per_step: length of a step in seconds; give this or `messages_per_step`.
            stride: distance between the starts of windows, in recorded messages or in seconds;
                None is the length of a window, less makes windows overlap (which costs no copies).
            split: which part of the data; None takes all. No window crosses a split or a day.
            ticker: the stock; None takes all that the store holds.
            config: the book to replay into; None chooses the least number of slots that holds
                these windows, with 16 to spare for other orders.

        Returns:
            The windows, `W` of them, in order of day and time.

        Raises:
            OptionError: if an option is out of range, or `config` has too few slots.
            StoreError: if the split holds no such window.
            FormatError: if a value does not fit the device encoding.
        """
        plan = plan_windows(
            self.manifest,
            self.day,
            num_steps=num_steps,
            messages_per_step=messages_per_step,
            seconds_per_step=seconds_per_step,
            stride=stride,
            split=split,
            ticker=ticker,
        )
        return build_windows(plan, config)


def open_store(path: Path | str) -> Store:
    """Opens a prepared store.

    Raises:
        StoreError: if `path` is none, or has another schema version.
    """
    return Store(path)


def write_manifest(store: Path, manifest: Manifest) -> None:
    """Makes the store say `manifest`, in one step that cannot be seen half done."""
    partial = store / f".{MANIFEST}.partial-{os.getpid()}"
    partial.write_text(manifest.to_json())
    sync_to_disk(partial)
    partial.replace(store / MANIFEST)


def remove_unreferenced(store: Path, manifest: Manifest) -> None:
    """Deletes what earlier or killed preparations left behind."""
    kept = {Path(day.folder).name for day in manifest.days}
    for folder in (store / DAYS).iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)
    for partial in store.glob(f".{MANIFEST}.partial-*"):
        partial.unlink(missing_ok=True)
