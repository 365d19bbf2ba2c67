"""Messages written one by one, for worked examples: `script(submit(BID, 100, 5, 1), ...)`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lob_core.types import (
    BACKGROUND_AGENT,
    NO_ORDER,
    NO_PRICE,
    EventType,
    Message,
    TimeInForce,
)

Row = dict[str, int]
"""One message, by field; fields left out are zero."""

_NAMES = [field.name for field in dataclasses.fields(Message)]


def submit(
    side: int,
    price: int,
    size: int,
    order_id: int,
    time_in_force: int = TimeInForce.GTC,
    agent_id: int = BACKGROUND_AGENT,
) -> Row:
    """A limit order."""
    return {
        "event_type": EventType.SUBMIT,
        "side": side,
        "price": price,
        "size": size,
        "order_id": order_id,
        "time_in_force": time_in_force,
        "agent_id": agent_id,
    }


def market(side: int, size: int, order_id: int, agent_id: int = BACKGROUND_AGENT) -> Row:
    """A market order."""
    row = submit(side, NO_PRICE, size, order_id, agent_id=agent_id)
    return {**row, "event_type": EventType.MARKET}


def cancel(side: int, price: int, size: int, order_id: int) -> Row:
    """Takes `size` shares off a resting order."""
    return {**submit(side, price, size, order_id), "event_type": EventType.CANCEL}


def delete(side: int, price: int, order_id: int) -> Row:
    """Takes a resting order out."""
    return {**submit(side, price, 0, order_id), "event_type": EventType.DELETE}


def modify(
    side: int, price: int, size: int, order_id: int, time_in_force: int = TimeInForce.GTC
) -> Row:
    """Gives a resting order a new price and size."""
    row = submit(side, price, size, order_id, time_in_force)
    return {**row, "event_type": EventType.MODIFY}


def execute(side: int, price: int, size: int, order_id: int = NO_ORDER) -> Row:
    """A LOBSTER execution that hits the resting side `side`."""
    return {**submit(side, price, size, order_id), "event_type": EventType.EXECUTE_VISIBLE}


def script(*rows: Row, length: int | None = None) -> Message:
    """The rows as one `Message`.

    Args:
        *rows: messages, in order.
        length: `M`; shorter scripts are filled up with `NOOP`, so that scripts of one length
            share one compilation. None takes as many as there are rows.

    Returns:
        NumPy int32 leaves `[M]`.

    Raises:
        ValueError: if there are more rows than `length`, or a field is unknown.
    """
    length = len(rows) if length is None else length
    unknown = {name for row in rows for name in row} - set(_NAMES)
    if unknown or len(rows) > length:
        raise ValueError(f"{len(rows)} rows for length {length}; unknown fields {sorted(unknown)}")
    table = np.zeros((len(_NAMES), length), np.int32)
    for column, row in enumerate(rows):
        for name, value in row.items():
            table[_NAMES.index(name), column] = value
    columns: dict[str, Any] = dict(zip(_NAMES, table, strict=True))
    return Message(**columns)
