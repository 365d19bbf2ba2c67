"""Decoding one message into flags, for the `xla` backend."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from lob_core.types import (
    Array,
    EventType,
    Message,
    Side,
    TimeInForce,
)

_MAX = 2**31 - 1
_MIN = -(2**31)


class Request(NamedTuple):
    """A message decoded into flags and the order it would send, all `[]`."""

    is_ignored: Array
    is_known_type: Array
    is_valid: Array
    is_lookup: Array
    is_modify: Array
    is_delete: Array
    is_execute: Array
    taker_side: Array
    limit: Array
    time_in_force: Array


def decode(message: Message) -> Request:
    """Flags of a message; `is_valid` implies a known type that acts."""
    kind = message.event_type

    def is_any(*types: EventType) -> Array:
        return jnp.stack([kind == event_type for event_type in types]).any()

    is_ignored = is_any(EventType.NOOP, EventType.EXECUTE_HIDDEN, EventType.CROSS, EventType.HALT)
    is_submit, is_market = kind == EventType.SUBMIT, kind == EventType.MARKET
    is_modify, is_delete = kind == EventType.MODIFY, kind == EventType.DELETE
    is_execute = kind == EventType.EXECUTE_VISIBLE
    is_lookup = is_any(EventType.CANCEL, EventType.DELETE, EventType.MODIFY)
    is_known_type = is_ignored | is_submit | is_market | is_execute | is_lookup
    needs_price = is_submit | is_modify | is_execute
    has_known_tif = (message.time_in_force >= TimeInForce.GTC) & (
        message.time_in_force <= TimeInForce.POST_ONLY
    )
    is_valid = (
        is_known_type
        & ~is_ignored
        & ((message.side == Side.BID) | (message.side == Side.ASK))
        & (is_delete | (message.size >= 1))
        & (~needs_price | (message.price >= 1))
        & (~(is_submit | is_market) | (message.order_id >= 1))
        & (~(is_submit | is_modify) | has_known_tif)
    )
    market_limit = jnp.where(message.side == Side.BID, _MAX, _MIN)
    return Request(
        is_ignored=is_ignored,
        is_known_type=is_known_type,
        is_valid=is_valid,
        is_lookup=is_lookup,
        is_modify=is_modify,
        is_delete=is_delete,
        is_execute=is_execute,
        taker_side=jnp.where(is_execute, -message.side, message.side),
        limit=jnp.where(is_market, market_limit, message.price),
        time_in_force=jnp.where(is_market | is_execute, TimeInForce.IOC, message.time_in_force),
    )
