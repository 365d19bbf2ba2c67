"""Decoding messages into flags and keys, for the `xla` backend."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from lob_core.types import (
    NO_ORDER,
    Array,
    EventType,
    Message,
    Side,
    TimeInForce,
)

MAX = 2**31 - 1


class Request(NamedTuple):
    """Messages decoded into flags and the orders they would send, leaves `[M]`.

    A *key* is a price that sorts best first and whose sign tells the side: that of an ask is its
    price, that of a bid is `~price`, which is negative.
    """

    is_ignored: Array
    is_known_type: Array
    is_valid: Array
    is_lookup: Array  # valid, and names a resting order
    is_modify: Array
    is_delete: Array
    is_new: Array  # valid, and sends an order of its own
    is_buy: Array
    key: Array  # the limit, as a key of the order's own side
    crossing_key: Array  # the limit, as a key of the opposite side: makers up to it trade
    size: Array
    order_id: Array
    agent_id: Array
    may_rest: Array
    is_fok: Array
    is_post_only: Array


def make_key(price: Array, is_bid: Array) -> Array:
    """Prices as keys of a side; the inverse of `price_of`."""
    return jnp.where(is_bid, ~price, price)


def price_of(key: Array) -> Array:
    """Prices of keys, of either side."""
    return jnp.where(key < 0, ~key, key)


def decode(messages: Message) -> Request:
    """Flags of messages; `is_valid` implies a known type that acts."""
    kind = messages.event_type

    def is_any(*types: EventType) -> Array:
        found = kind == types[0]
        for event_type in types[1:]:
            found |= kind == event_type
        return found

    is_ignored = is_any(EventType.NOOP, EventType.EXECUTE_HIDDEN, EventType.CROSS, EventType.HALT)
    is_submit, is_market = kind == EventType.SUBMIT, kind == EventType.MARKET
    is_modify, is_delete = kind == EventType.MODIFY, kind == EventType.DELETE
    is_execute = kind == EventType.EXECUTE_VISIBLE
    is_lookup = is_any(EventType.CANCEL, EventType.DELETE, EventType.MODIFY)
    is_known_type = is_ignored | is_submit | is_market | is_execute | is_lookup
    needs_price = is_submit | is_modify | is_execute
    has_known_tif = (messages.time_in_force >= TimeInForce.GTC) & (
        messages.time_in_force <= TimeInForce.POST_ONLY
    )
    is_valid = (
        is_known_type
        & ~is_ignored
        & ((messages.side == Side.BID) | (messages.side == Side.ASK))
        & (is_delete | (messages.size >= 1))
        & (~needs_price | (messages.price >= 1))
        & (~(is_submit | is_market) | (messages.order_id >= 1))
        & (~(is_submit | is_modify) | has_known_tif)
    )
    is_buy = (messages.side == Side.BID) != is_execute
    has_tif = is_submit | is_modify
    is_gtc = messages.time_in_force == TimeInForce.GTC
    is_post_only = has_tif & (messages.time_in_force == TimeInForce.POST_ONLY)
    return Request(
        is_ignored=is_ignored,
        is_known_type=is_known_type,
        is_valid=is_valid,
        is_lookup=is_valid & is_lookup,
        is_modify=is_modify,
        is_delete=is_delete,
        is_new=is_valid & ~is_lookup,
        is_buy=is_buy,
        key=make_key(messages.price, is_buy),
        crossing_key=jnp.where(is_market, MAX, make_key(messages.price, ~is_buy)),
        size=messages.size,
        order_id=jnp.where(is_execute, NO_ORDER, messages.order_id),
        agent_id=messages.agent_id,
        may_rest=(has_tif & is_gtc) | is_post_only,
        is_fok=has_tif & (messages.time_in_force == TimeInForce.FOK),
        is_post_only=is_post_only,
    )
