"""Columns, units and sentinels of LOBSTER files."""

from __future__ import annotations

from typing import Final

from lob_core.packing import MAX_VALUES

MESSAGE_COLUMNS: Final = ("time", "event_type", "order_id", "size", "price", "side")
"""The six columns of a message file, in order; later columns are read past."""

COLUMNS_PER_LEVEL: Final = 4
"""Ask price, ask size, bid price, bid size."""
DOLLAR: Final = 10_000
"""Price units in a dollar."""
CENT: Final = 100
"""Price units in a cent: the tick of a US stock at or above one dollar."""
DUMMY_PRICE: Final = 9_999_999_999
"""Price (ask, or minus bid) of a level that is not occupied; does not fit int32."""
TRADING_RESUMES: Final = 1
"""Price of a halt marker (type 7) with which trading resumes; with -1 it halts, with 0 only quoting
resumes."""
NS_PER_SECOND: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NS_PER_SECOND

MAX_PRICE: Final = MAX_VALUES["price"]
"""Largest price in ticks that the 16-byte device encoding holds."""
MAX_SIZE: Final = MAX_VALUES["size"]
"""Largest size in shares of one message in the device encoding."""
MAX_ORDER_ID: Final = MAX_VALUES["order_id"]
"""Largest order id in the device encoding."""


def book_columns(num_levels: int) -> list[str]:
    """Names of the columns of an order book file, `ask_price_1, ask_size_1, bid_price_1, ...`."""
    names = ("ask_price", "ask_size", "bid_price", "bid_size")
    return [f"{name}_{level}" for level in range(1, num_levels + 1) for name in names]


def format_time(ts_ns: int) -> str:
    """A time since midnight as LOBSTER writes it: seconds, trailing zeros dropped."""
    whole, fraction = divmod(int(ts_ns), NS_PER_SECOND)
    return f"{whole}.{fraction:09d}".rstrip("0").rstrip(".")
