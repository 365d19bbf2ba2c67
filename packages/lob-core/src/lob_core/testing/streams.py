"""Random message streams for tests and benchmarks, of any length, from a seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lob_core.types import EventType, Message, Side, TimeInForce

MIXED_FLOW: dict[EventType, float] = {
    EventType.SUBMIT: 0.5,
    EventType.CANCEL: 0.08,
    EventType.DELETE: 0.22,
    EventType.EXECUTE_VISIBLE: 0.05,
    EventType.MODIFY: 0.05,
    EventType.MARKET: 0.05,
    EventType.NOOP: 0.02,
    EventType.EXECUTE_HIDDEN: 0.01,
    EventType.CROSS: 0.01,
    EventType.HALT: 0.01,
}
"""Shares of event types that exercise every path of the engine."""


def random_messages(
    seed: int | np.random.Generator,
    num_messages: int,
    *,
    mid: int = 1000,
    half_width: int = 8,
    max_size: int = 20,
    num_agents: int = 0,
    lifetime: int = 40,
    weights: Mapping[EventType, float] | None = None,
) -> Message:
    """A stream whose cancels, deletes and modifies often name orders that still rest.

    Message `i` submits order `i + 1`; lookups name an id of the last `lifetime` messages, with
    the side and usually the price that it was submitted at. Prices cross the mid now and then, so
    that orders trade; some ids are never found and some are named twice.

    Args:
        seed: of NumPy's generator.
        num_messages: `M`.
        mid: ticks around which prices lie.
        half_width: ticks; prices lie within `mid +- half_width`.
        max_size: shares; sizes are uniform in `1 .. max_size`.
        num_agents: agents are uniform in `0 .. num_agents + 1`, so one id has no account.
        lifetime: messages an id remains a target for.
        weights: shares of event types; `MIXED_FLOW` if None.

    Returns:
        A `Message` with NumPy int32 leaves `[M]`.
    """
    rng = np.random.default_rng(seed)
    weights = weights or MIXED_FLOW
    total = sum(weights.values())
    types = np.array([int(event_type) for event_type in weights])
    event_type = rng.choice(types, num_messages, p=[w / total for w in weights.values()])
    side = rng.choice([int(Side.BID), int(Side.ASK)], num_messages)
    offset = rng.integers(-2, half_width + 1, num_messages)
    price = np.maximum(mid - side * offset, 1)
    size = rng.integers(1, max_size + 1, num_messages)
    index = np.arange(num_messages)
    order_id = index + 1

    is_lookup = np.isin(event_type, [EventType.CANCEL, EventType.DELETE, EventType.MODIFY])
    target = np.maximum(index - rng.integers(1, lifetime + 1, num_messages), 0)
    order_id = np.where(is_lookup, target + 1, order_id)
    side = np.where(is_lookup, side[target], side)
    is_moved = rng.random(num_messages) < 0.3
    price = np.where(is_lookup & ~is_moved, price[target], price)

    tif_weights = [0.7, 0.1, 0.1, 0.1]
    columns: dict[str, npt.NDArray[Any]] = {
        "event_type": event_type,
        "side": side,
        "price": price,
        "size": size,
        "order_id": order_id,
        "agent_id": rng.integers(0, num_agents + 2, num_messages),
        "time_in_force": rng.choice([int(t) for t in TimeInForce], num_messages, p=tif_weights),
        "time_s": np.full(num_messages, 34_200),
        "time_ns": index,
    }
    return Message(**{name: column.astype(np.int32) for name, column in columns.items()})  # type: ignore[arg-type]
