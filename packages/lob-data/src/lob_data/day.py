"""One recorded day in ticks, shares and nanoseconds: what everything after reading works on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from lob_core.types import EventType


@dataclass(frozen=True)
class Day:
    """Messages and order book rows of one stock and day; `D` rows, `L` levels.

    Attributes:
        label: name of the pair it was read from.
        tick_units: size of a tick in 1/10000 dollar.
        ts_ns: `[D]` int64, ns since midnight.
        event_type: `[D]` int8, `lob_core.EventType` 1 to 7.
        side: `[D]` int8, side of the order named (for executions, of the resting order).
        price: `[D]` int32, ticks; `NO_PRICE` for types 5 to 7, which may lie off the grid.
        size: `[D]` int32, shares; zero for type 6. Of type 7 it is 1 while nothing trades (trading
            halts, or only quoting resumes) and 0 when trading resumes.
        order: `[D]` int32, dense index of the order id among the day's ids.
        raw_price: `[D]` int64, the price as recorded, 1/10000 dollar.
        raw_size: `[D]` int64, the size as recorded.
        book_price: `[2, D, L]` int32, ticks, bids then asks, best first; `NO_PRICE` where no level
            is occupied.
        book_size: `[2, D, L]` int32, shares.
    """

    label: str
    tick_units: int
    ts_ns: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    size: npt.NDArray[np.int32]
    order: npt.NDArray[np.int32]
    raw_price: npt.NDArray[np.int64]
    raw_size: npt.NDArray[np.int64]
    book_price: npt.NDArray[np.int32]
    book_size: npt.NDArray[np.int32]

    @property
    def num_rows(self) -> int:
        """`D`."""
        return len(self.ts_ns)

    @property
    def num_levels(self) -> int:
        """`L`."""
        return int(self.book_price.shape[2])

    @property
    def affects_book(self) -> npt.NDArray[np.bool_]:
        """`[D]`, whether the message can change the displayed book (types 1 to 4)."""
        return self.event_type <= EventType.EXECUTE_VISIBLE

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Day:
        """The day reduced to some of its rows, in the order given."""
        changes = {
            field.name: getattr(self, field.name)[rows]
            for field in dataclasses.fields(self)
            if field.name not in ("label", "tick_units", "book_price", "book_size")
        }
        changes["book_price"] = self.book_price[:, rows]
        changes["book_size"] = self.book_size[:, rows]
        return dataclasses.replace(self, **changes)
