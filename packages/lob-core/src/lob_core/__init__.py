"""A price-time limit order book in JAX: one contract, several backends, the same bits."""

from lob_core.engine import process_messages
from lob_core.types import (
    BookConfig,
    BookState,
    Counters,
    EventType,
    Fills,
    Message,
    Orders,
    Outcome,
    Reports,
    ResultCode,
    SelfMatch,
    Side,
    TimeInForce,
    Trades,
    UnknownCancel,
    empty_book,
    make_messages,
)

__all__ = [
    "BookConfig",
    "BookState",
    "Counters",
    "EventType",
    "Fills",
    "Message",
    "Orders",
    "Outcome",
    "Reports",
    "ResultCode",
    "SelfMatch",
    "Side",
    "TimeInForce",
    "Trades",
    "UnknownCancel",
    "empty_book",
    "make_messages",
    "process_messages",
]
