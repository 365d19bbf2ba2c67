"""What a prepared store says of itself: options, days and splits, as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from lob_data.errors import OptionError, StoreError
from lob_data.schema import CENT, DOLLAR

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: Final[tuple[SplitName, ...]] = ("train", "validation", "test")


@dataclass(frozen=True)
class PrepareOptions:
    """How raw files become a store.

    Attributes:
        tick_units: size of a tick in 1/10000 dollar; 100 is a cent.
        keep_hidden: whether executions of hidden orders (type 5) stay in the stream, as messages
            that change nothing.
        merge_executions: whether the executions that one aggressor caused become one message.
        session_start: first time to keep, seconds after midnight; None keeps all.
        session_end: first time to leave out again, seconds after midnight; None keeps all.
        ticker: prepare this stock only; None takes every one.
        level: prepare files of this level only; None takes every one, and there must be only one
            for each stock and day.
        train: share of the days (or of the one day's time) for training.
        validation: share for validation; the rest is for testing.
        verify: whether each day is replayed through `lob_core` before it is stored.

    Raises:
        OptionError: if a value is out of range.
    """

    tick_units: int = CENT
    keep_hidden: bool = True
    merge_executions: bool = False
    session_start: float | None = None
    session_end: float | None = None
    ticker: str | None = None
    level: int | None = None
    train: float = 0.7
    validation: float = 0.15
    verify: bool = True

    def __post_init__(self) -> None:
        if self.tick_units < 1:
            raise OptionError(f"tick_units is {self.tick_units}; it must be at least 1")
        if not (self.train > 0 and self.validation >= 0 and self.train + self.validation <= 1):
            raise OptionError(
                f"train is {self.train} and validation {self.validation}; they are shares of one "
                "whole, and train must be positive"
            )
        start = 0.0 if self.session_start is None else self.session_start
        end = 86_400.0 if self.session_end is None else self.session_end
        if not 0 <= start < end <= 86_400:
            raise OptionError(
                f"session is {start} to {end} seconds after midnight; it must start before it ends"
            )

    def key_of(self, label: str, digests: tuple[str, str]) -> str:
        """A digest of all that a prepared day depends on: sources, options, schema version.

        Args:
            label: name of the pair.
            digests: sha256 of its two files.
        """
        chosen = dataclasses.asdict(self)
        for name in ("ticker", "level", "train", "validation"):
            del chosen[name]
        text = json.dumps([SCHEMA_VERSION, label, chosen, digests], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class DayEntry:
    """One prepared day in the manifest.

    Attributes:
        label: name of the pair: ticker, date, session window in ms, level.
        ticker: symbol.
        date: ISO date.
        level: price levels a side of the recorded book.
        key: digest of sources and options.
        folder: where its files lie, relative to the store.
        sources: file name and sha256 of both raw files.
        rows: recorded messages.
        messages: recorded and synchronising messages.
        sync_messages: synchronising messages.
        sync_rows: rows that need any.
        stand_ins: recorded removals that act on a stand-in for an unknown order.
        max_orders: largest number of orders at one time, [bids, asks].
        num_orders: order ids in use.
        first_ts_ns: time of the first row.
        last_ts_ns: time of the last row.
        event_counts: rows of each event type, by code.
        is_verified: whether replay through `lob_core` was checked and exact.
    """

    label: str
    ticker: str
    date: str
    level: int
    key: str
    folder: str
    sources: list[dict[str, str]]
    rows: int
    messages: int
    sync_messages: int
    sync_rows: int
    stand_ins: int
    max_orders: list[int]
    num_orders: int
    first_ts_ns: int
    last_ts_ns: int
    event_counts: dict[str, int]
    is_verified: bool

    @property
    def sync_share(self) -> float:
        """Synchronising messages per recorded row."""
        return self.sync_messages / self.rows


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of one day that belong to one split.

    Attributes:
        day: label of the day.
        row_start: first row, from 0.
        row_end: row behind the last.
    """

    day: str
    row_start: int
    row_end: int


@dataclass(frozen=True)
class Manifest:
    """All that a store says of itself.

    Attributes:
        options: how it was prepared.
        days: the days it holds.
        split_by: `"day"`, or `"time"` if some day is divided.
        splits: the segments of each split.
        schema_version: version of the layout.
    """

    options: PrepareOptions
    days: list[DayEntry]
    split_by: str
    splits: dict[str, list[Segment]]
    schema_version: int = field(default=SCHEMA_VERSION)

    @property
    def tick_size(self) -> float:
        """Dollars in a tick."""
        return self.options.tick_units / DOLLAR

    @property
    def max_orders(self) -> tuple[int, int]:
        """Largest number of orders at one time on any day, (bids, asks)."""
        bids, asks = zip(*(day.max_orders for day in self.days), strict=True)
        return max(bids), max(asks)

    def to_json(self) -> str:
        """The manifest as it is stored."""
        content = dataclasses.asdict(self)
        content["tick_size"] = self.tick_size
        content["max_orders"] = list(self.max_orders)
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    @classmethod
    def load(cls, store: Path) -> Manifest:
        """Reads and checks the manifest of a store.

        Raises:
            StoreError: if there is none, it is damaged, or it has another schema version.
        """
        path = store / MANIFEST
        if not path.is_file():
            raise StoreError(f"is no prepared store (no {MANIFEST} in it)", path=store)
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            version = content["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"damaged manifest: {error!r}", path=path) from error
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"has schema version {version}; this version of lob-data reads {SCHEMA_VERSION}: "
                "prepare the raw files again",
                path=path,
            )
        try:
            return cls(
                options=PrepareOptions(**content["options"]),
                days=[DayEntry(**day) for day in content["days"]],
                split_by=content["split_by"],
                splits={
                    name: [Segment(**segment) for segment in content["splits"][name]]
                    for name in SPLIT_NAMES
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"damaged manifest: {error!r}", path=path) from error


def make_splits(
    days: list[DayEntry],
    times: dict[str, npt.NDArray[np.int64]],
    options: PrepareOptions,
) -> tuple[str, dict[str, list[Segment]]]:
    """Divides days into train, validation and test, the earlier for training.

    With three dates or more whole dates are divided, so that no day is in two splits. With fewer,
    there are not enough: each day's time is divided instead, in the same proportions.

    Args:
        days: the prepared days.
        times: `[D]` row times of each day by label, ns; needed for days that are divided.
        options: the shares.

    Returns:
        `"day"` or `"time"`, and the segments of each split.
    """
    dates = sorted({day.date for day in days})
    splits: dict[str, list[Segment]] = {name: [] for name in SPLIT_NAMES}
    if len(dates) >= 3:
        num_train, num_validation = divide_dates(len(dates), options)
        for day in days:
            index = dates.index(day.date)
            name = SPLIT_NAMES[(index >= num_train) + (index >= num_train + num_validation)]
            splits[name].append(Segment(day.label, 0, day.rows))
        return "day", splits
    for day in days:
        ts_ns = times[day.label]
        span = int(ts_ns[-1] - ts_ns[0])
        shares = (options.train, options.train + options.validation)
        cuts = [int(np.searchsorted(ts_ns, int(ts_ns[0]) + int(share * span))) for share in shares]
        cuts = [day.rows if share >= 1 else cut for cut, share in zip(cuts, shares, strict=True)]
        bounds = [0, *cuts, day.rows]
        for name, start, end in zip(SPLIT_NAMES, bounds[:-1], bounds[1:], strict=True):
            if start < end:
                splits[name].append(Segment(day.label, start, end))
    return "time", splits


def divide_dates(num_dates: int, options: PrepareOptions) -> tuple[int, int]:
    """Numbers of training and validation dates; every share that is not zero gets at least one."""
    test = 1 - options.train - options.validation
    least_validation = int(options.validation > 0)
    least_test = int(test > 1e-9)
    num_train = round(options.train * num_dates)
    num_train = min(max(num_train, 1), num_dates - least_validation - least_test)
    num_validation = round(options.validation * num_dates)
    num_validation = max(num_validation, least_validation)
    num_validation = min(num_validation, num_dates - num_train - least_test)
    if least_test == 0:
        num_validation = num_dates - num_train if least_validation else 0
        num_train = num_dates - num_validation
    return num_train, num_validation
