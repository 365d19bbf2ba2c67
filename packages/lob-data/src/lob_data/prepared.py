"""One prepared day on disk: a folder of three Parquet files."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from lob_data.day import Day
from lob_data.errors import StoreError
from lob_data.manifest import DayEntry
from lob_data.replay import RowSummary
from lob_data.sync import Stream

_STREAM_COLUMNS: Final = ("event_type", "side", "price", "size", "order_id", "is_sync")
_OPENING_COLUMNS: Final = ("side", "price", "size", "order_id")
_RECORDED_COLUMNS: Final = ("ts_ns", "event_type", "side", "raw_price", "raw_size")
_SUMMARY_FIELDS: Final = ("num_orders", "edge", "num_in_view")


@dataclass(frozen=True)
class PreparedDay:
    """One day of a store.

    Attributes:
        entry: what the manifest says of it.
        stream: its messages.
        ts_ns: `[D]` int64, time of each recorded row, ns since midnight.
        summary: shape of the book after each row.
    """

    entry: DayEntry
    stream: Stream
    ts_ns: npt.NDArray[np.int64]
    summary: RowSummary


def write_day(folder: Path, day: Day, stream: Stream, summary: RowSummary) -> None:
    """Writes one day's files into a new folder: aside first, then renamed into place."""
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    recorded = {
        name: getattr(day, name)
        for name in ("ts_ns", "event_type", "side", "raw_price", "raw_size")
    }
    shape = {
        f"{name}_{side}": getattr(summary, name)[row]
        for row, side in enumerate(("bid", "ask"))
        for name in _SUMMARY_FIELDS
    }
    tables = {
        "messages": pl.DataFrame({name: getattr(stream, name) for name in _STREAM_COLUMNS}),
        "rows": pl.DataFrame({**recorded, "first_message": stream.row_start[:-1], **shape}),
        "opening": pl.DataFrame(dict(zip(_OPENING_COLUMNS, stream.opening, strict=True))),
    }
    try:
        for name, table in tables.items():
            path = partial / f"{name}.parquet"
            table.write_parquet(path, compression="zstd", compression_level=1)
            sync_to_disk(path)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def sync_to_disk(path: Path) -> None:
    """Waits until a file's content is on disk, so that a rename cannot overtake it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_day(folder: Path, entry: DayEntry) -> PreparedDay:
    """Reads what `write_day` wrote.

    Raises:
        StoreError: if a file is missing, damaged, or not of the length in the manifest.
    """
    try:
        messages, rows, opening = (
            pl.read_parquet(folder / f"{name}.parquet") for name in ("messages", "rows", "opening")
        )
        columns = {name: messages[name].to_numpy() for name in _STREAM_COLUMNS}
        summary = RowSummary(
            *(
                np.stack([rows[f"{name}_{side}"].to_numpy() for side in ("bid", "ask")])
                for name in _SUMMARY_FIELDS
            )
        )
        ts_ns = rows["ts_ns"].to_numpy()
        row_start = np.append(rows["first_message"].to_numpy(), messages.height)
        orders = np.stack([opening[name].to_numpy() for name in _OPENING_COLUMNS])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"a prepared day cannot be read: {error}", path=folder) from error
    if (rows.height, messages.height) != (entry.rows, entry.messages):
        raise StoreError(
            f"holds {rows.height} rows and {messages.height} messages; the manifest says "
            f"{entry.rows} and {entry.messages}",
            path=folder,
        )
    ids = columns["order_id"]
    if ids.min() < 0 or ids.max() > entry.num_orders:
        raise StoreError(f"holds an order id that is not 0 to {entry.num_orders}", path=folder)
    stream = Stream(
        **columns,
        row_start=row_start,
        opening=orders,
        max_orders=(entry.max_orders[0], entry.max_orders[1]),
        num_orders=entry.num_orders,
        num_stand_ins=entry.stand_ins,
    )
    return PreparedDay(entry, stream, ts_ns, summary)
