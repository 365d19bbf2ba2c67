"""Cuts prepared days into episodes: step boundaries over one flat array, and opening books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from lob_core.packing import pad_with_noops
from lob_core.replay import ReplayWindows, check_windows
from lob_core.types import BookConfig

from lob_data.errors import OptionError, StoreError
from lob_data.manifest import SPLIT_NAMES, Manifest, Segment, SplitName
from lob_data.prepared import PreparedDay
from lob_data.replay import Snapshots, pack_rows, record_books
from lob_data.schema import NS_PER_SECOND
from lob_data.verify import book_state

_SPARE_SLOTS: Final = 16
_INT32_MAX: Final = np.iinfo(np.int32).max

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DayPlan:
    """Windows of one day.

    Attributes:
        day: the day's data.
        step_row: `[W, S + 1]` int64; step s of window w holds rows `step_row[w, s]` up to
            `step_row[w, s + 1]`.
        start_ns: `[W]` int64, time at which each window starts, ns since midnight.
    """

    day: PreparedDay
    step_row: Int64
    start_ns: Int64


@dataclass(frozen=True)
class WindowPlan:
    """Where the windows of a store lie, before any book is recorded.

    Attributes:
        days: the windows of each day that has any.
    """

    days: list[DayPlan]

    @property
    def num_windows(self) -> int:
        """`W`, over all days."""
        return sum(len(day.start_ns) for day in self.days)


def plan_windows(
    manifest: Manifest,
    read: Callable[[str], PreparedDay],
    *,
    num_steps: int,
    messages_per_step: int | None = None,
    seconds_per_step: float | None = None,
    stride: float | None = None,
    split: SplitName | None = None,
    ticker: str | None = None,
) -> WindowPlan:
    """Decides where windows start and how rows fall into their steps.

    By messages, a step is `messages_per_step` recorded rows of any type; synchronising messages do
    not count and travel with the row they follow. By time, a step holds the rows of
    `seconds_per_step` of clock time, which may be none. A segment of a split is filled with windows
    from its start; what is left at its end and does not make a whole window is not used.

    Args:
        manifest: of the store.
        read: reads a day by its label.
        num_steps: `S`.
        messages_per_step: recorded rows in a step; give this or `seconds_per_step`.
        seconds_per_step: seconds in a step.
        stride: distance of window starts in rows (a whole number) or seconds; None is the length
            of a window.
        split: which part of the data; None takes all, segment by segment.
        ticker: the stock; None takes all.

    Raises:
        OptionError: if an option is out of range.
        StoreError: if there is no such window.
    """
    if (messages_per_step is None) == (seconds_per_step is None):
        raise OptionError("give either messages_per_step or seconds_per_step")
    for name, value in (
        ("num_steps", num_steps),
        ("messages_per_step", messages_per_step),
    ):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise OptionError(f"{name} is {value!r}; it must be a whole number of at least 1")
    if seconds_per_step is not None and not seconds_per_step * NS_PER_SECOND >= 1:
        raise OptionError(f"seconds_per_step is {seconds_per_step!r}; it must be at least 1e-9")
    if stride is not None and not stride > 0:
        raise OptionError(f"stride is {stride!r}; it must be positive")
    if messages_per_step is not None and stride is not None and stride != int(stride):
        raise OptionError(f"stride is {stride!r}; with messages_per_step it must be whole")
    if split is not None and split not in SPLIT_NAMES:
        raise OptionError(f"split is {split!r}; it must be one of {', '.join(SPLIT_NAMES)}")
    tickers = sorted({day.ticker for day in manifest.days})
    if ticker is not None and ticker not in tickers:
        raise OptionError(f"ticker is {ticker!r}; the store holds {', '.join(tickers)}")

    entries = [day for day in manifest.days if ticker in (None, day.ticker)]
    labels = {day.label for day in entries}
    segments = [
        s
        for name in SPLIT_NAMES
        for s in manifest.splits[name]
        if split in (None, name) and s.day in labels
    ]
    plans: list[DayPlan] = []
    for entry in entries:
        own = [segment for segment in segments if segment.day == entry.label]
        if not own:
            continue
        day = read(entry.label)
        pieces = [
            _plan_by_rows(day, segment, num_steps, messages_per_step, stride)
            if messages_per_step is not None
            else _plan_by_time(day, segment, num_steps, float(seconds_per_step or 0), stride)
            for segment in sorted(own, key=lambda s: s.row_start)
        ]
        rows = np.concatenate([piece[0] for piece in pieces])
        if len(rows):
            plans.append(DayPlan(day, rows, np.concatenate([piece[1] for piece in pieces])))
    if not plans:
        length = (
            f"{messages_per_step} messages"
            if messages_per_step is not None
            else f"{seconds_per_step} seconds"
        )
        where = "the store" if split is None else f"split {split!r}"
        most = max((s.row_end - s.row_start for s in segments), default=0)
        raise StoreError(
            f"{where} holds no window of {num_steps} steps of {length}; its longest segment has "
            f"{most} messages"
        )
    return WindowPlan(plans)


def _plan_by_rows(
    day: PreparedDay, segment: Segment, num_steps: int, rows_per_step: int, stride: float | None
) -> tuple[Int64, Int64]:
    length = num_steps * rows_per_step
    step = length if stride is None else int(stride)
    starts = np.arange(segment.row_start, segment.row_end - length + 1, step, dtype=np.int64)
    offsets = np.arange(0, length + 1, rows_per_step, dtype=np.int64)
    return starts[:, None] + offsets, day.ts_ns[starts]


def _plan_by_time(
    day: PreparedDay, segment: Segment, num_steps: int, seconds: float, stride: float | None
) -> tuple[Int64, Int64]:
    step_ns = round(seconds * NS_PER_SECOND)
    stride_ns = num_steps * step_ns if stride is None else max(1, round(stride * NS_PER_SECOND))
    ts_ns = day.ts_ns[segment.row_start : segment.row_end]
    first, last = int(ts_ns[0]), int(ts_ns[-1])
    starts = np.arange(first, last - num_steps * step_ns + 2, stride_ns, dtype=np.int64)
    bounds = starts[:, None] + step_ns * np.arange(num_steps + 1, dtype=np.int64)
    return segment.row_start + np.searchsorted(ts_ns, bounds), starts


def build_windows(plan: WindowPlan, config: BookConfig | None = None) -> ReplayWindows:
    """Packs the messages of planned windows and records their opening books.

    An opening book holds every level that is in view at some time in its window. What stays out of
    view throughout is left out: nothing recorded in the window can touch it, and it would cost
    slots.

    Args:
        plan: where the windows lie.
        config: the book to replay into; None takes the least number of slots that holds these
            windows, with 16 to spare.

    Raises:
        OptionError: if `config` has too few slots.
        FormatError: if a value does not fit the device encoding.
    """
    needed = max(_slots_needed(day) for day in plan.days)
    num_slots = needed + _SPARE_SLOTS if config is None else config.num_slots
    if num_slots < needed:
        raise OptionError(
            f"num_slots is {num_slots}; these windows hold up to {needed} orders on a side"
        )
    packed, step_start, books = [], [], []
    base = 0
    for planned in plan.days:
        stream = planned.day.stream
        first, end = planned.step_row.min(), planned.step_row.max()
        packed.append(pack_rows(planned.day.stream, planned.day.ts_ns, int(first), int(end)))
        step_start.append(stream.row_start[planned.step_row] - stream.row_start[first] + base)
        base += len(packed[-1])
        books.append(_opening_books(planned, num_slots))
    starts = np.concatenate(step_start)
    if base > _INT32_MAX:
        raise StoreError(f"holds {base} messages; one set of windows takes {_INT32_MAX}")
    longest = max(1, int(np.diff(starts, axis=1).max()))
    start_ns = np.concatenate([planned.start_ns for planned in plan.days])
    columns = (
        np.concatenate([getattr(book, name) for book in books], axis=1)
        for name in ("price", "size", "order_id", "agent_id")
    )
    return check_windows(
        ReplayWindows(
            packed=jnp.asarray(pad_with_noops(np.concatenate(packed), longest)),
            step_start=jnp.asarray(starts.astype(np.int32)),
            opening=book_state(*columns),
            time_s=jnp.asarray((start_ns // NS_PER_SECOND).astype(np.int32)),
            time_ns=jnp.asarray((start_ns % NS_PER_SECOND).astype(np.int32)),
            max_messages_per_step=longest,
        )
    )


def _kept_prices(planned: DayPlan) -> npt.NDArray[np.int32]:
    """`[2, W]` int32, the worst price on each side that is in view at some time in each window."""
    edge = planned.day.summary.edge
    start, end = planned.step_row[:, 0], planned.step_row[:, -1]
    # The row before the first one is the opening book; before row 0 everything is in view.
    bounds = np.stack([np.maximum(start - 1, 0), np.maximum(end, start)], axis=1)
    bounds[:, 1] = np.maximum(bounds[:, 1], bounds[:, 0] + 1)
    worst = np.stack(
        [
            _reduce_ranges(np.minimum, edge[0], bounds),
            _reduce_ranges(np.maximum, edge[1], bounds),
        ]
    )
    worst[:, start == 0] = np.array([[1], [_INT32_MAX]], np.int32)
    return worst


def _reduce_ranges(
    ufunc: np.ufunc, values: npt.NDArray[np.int32], bounds: Int64
) -> npt.NDArray[np.int32]:
    """`ufunc` over `values[start:end]` for each row of `bounds` `[W, 2]`; no range is empty."""
    padded = np.append(values, values[-1])
    reduced: npt.NDArray[np.int32] = ufunc.reduceat(padded, bounds.ravel())[::2]
    return reduced


def _opening_books(planned: DayPlan, num_slots: int) -> Snapshots:
    """Opening books of the windows of one day, levels out of view left out."""
    rows = planned.step_row[:, 0]
    order = np.argsort(rows, kind="stable")
    kept = _kept_prices(planned)
    books = record_books(planned.day.stream, rows[order], num_slots, kept[:, order])
    back = np.argsort(order, kind="stable")
    return Snapshots(books.price[:, back], books.size[:, back], books.order_id[:, back])


def _slots_needed(planned: DayPlan) -> int:
    """The largest number of orders on one side at any time in any window of a day."""
    stream, summary = planned.day.stream, planned.day.summary
    start, end = planned.step_row[:, 0], planned.step_row[:, -1]
    widest = int(summary.num_orders.max()) + 1
    opening = _opening_books(planned, widest)
    kept = (opening.size > 0).sum(axis=2)
    opening_orders = (stream.opening[0] > 0).sum(), (stream.opening[0] < 0).sum()
    needed = 0
    for side in range(2):
        after = np.concatenate([[opening_orders[side]], summary.num_orders[side]])
        bounds = np.stack([start, end + 1], axis=1)
        # An order that enters is there before one that leaves because of it is removed.
        most = _reduce_ranges(np.maximum, after.astype(np.int32), bounds) + 1
        needed = max(needed, int((most - (after[start] - kept[side])).max()))
    return needed
