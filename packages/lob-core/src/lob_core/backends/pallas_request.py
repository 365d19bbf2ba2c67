"""One message as flags and numbers, and what is decided from them alone, for the GPU kernel.

Only comparisons and selections of scalars: Pallas lowers neither stacks nor lists of cases.
"""

from __future__ import annotations

import functools
import operator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lob_core.types import (
    NO_ORDER,
    UNKNOWN_CANCEL_HASH,
    Array,
    EventType,
    Message,
    ResultCode,
    Side,
    TimeInForce,
)

WORST = 2**31 - 1
"""Key behind which no order comes."""


class Request(NamedTuple):
    """A message decoded, all `[]`; a key is a price whose sign is turned for bids: lower is better.

    A message that `is_valid` is of a known type that acts.
    """

    is_ignored: Array
    is_known_type: Array
    is_valid: Array
    is_lookup: Array
    is_modify: Array
    is_delete: Array
    is_buy: Array
    key: Array  # of an order that rests at the message's price
    limit: Array  # makers of the other side with keys up to it trade
    order_id: Array
    may_rest: Array
    is_fok: Array
    is_post_only: Array


class Located(NamedTuple):
    """The resting order that a cancel, delete or modify acts on, all `[]`."""

    is_known: Array  # whether it is the one that the message names
    is_found: Array
    serial: Array
    size: Array
    agent_id: Array
    keeps_priority: Array


def decode(message: Message) -> Request:
    """Flags of a message."""
    kind, time_in_force = message.event_type, message.time_in_force

    def is_any(*types: EventType) -> Array:
        return functools.reduce(operator.or_, (kind == event_type for event_type in types))

    is_ignored = is_any(EventType.NOOP, EventType.EXECUTE_HIDDEN, EventType.CROSS, EventType.HALT)
    is_submit, is_market = kind == EventType.SUBMIT, kind == EventType.MARKET
    is_modify, is_delete = kind == EventType.MODIFY, kind == EventType.DELETE
    is_execute = kind == EventType.EXECUTE_VISIBLE
    is_lookup = is_any(EventType.CANCEL, EventType.DELETE, EventType.MODIFY)
    is_known_type = is_ignored | is_submit | is_market | is_execute | is_lookup
    has_known_tif = (time_in_force >= TimeInForce.GTC) & (time_in_force <= TimeInForce.POST_ONLY)
    has_tif = is_submit | is_modify
    is_valid = (
        is_known_type
        & ~is_ignored
        & ((message.side == Side.BID) | (message.side == Side.ASK))
        & (is_delete | (message.size >= 1))
        & (~(has_tif | is_execute) | (message.price >= 1))
        & (~(is_submit | is_market) | (message.order_id >= 1))
        & (~has_tif | has_known_tif)
    )
    is_buy = (message.side == Side.BID) != is_execute
    key = jnp.where(is_buy, -message.price, message.price)
    is_post_only = has_tif & (time_in_force == TimeInForce.POST_ONLY)
    return Request(
        is_ignored=is_ignored,
        is_known_type=is_known_type,
        is_valid=is_valid,
        is_lookup=is_lookup,
        is_modify=is_modify,
        is_delete=is_delete,
        is_buy=is_buy,
        key=key,
        limit=jnp.where(is_market, WORST, -key),
        order_id=jnp.where(is_execute, NO_ORDER, message.order_id),
        may_rest=(has_tif & (time_in_force == TimeInForce.GTC)) | is_post_only,
        is_fok=has_tif & (time_in_force == TimeInForce.FOK),
        is_post_only=is_post_only,
    )


def size_left(message: Message, request: Request, located: Located, is_requeued: Array) -> Array:
    """`[]`, what remains of the located order in its place; its own size if nothing changes."""
    is_whole = request.is_delete & (located.is_known | (message.size < 1))
    cancelled = jnp.where(is_whole, 0, located.size - jnp.minimum(message.size, located.size))
    kept = jnp.where(is_requeued, 0, located.size)
    modified = jnp.where(located.keeps_priority, message.size, kept)
    changed = jnp.where(request.is_modify, modified, cancelled)
    return jnp.where(located.is_found, changed, located.size)


def result_code(
    request: Request,
    *,
    is_missing: Array,
    is_taker: Array,
    is_rejected: Array,
    filled: Array,
    is_filled: Array,
    is_resting: Array,
    is_dropped: Array,
) -> Array:
    """`[]` int32, the `ResultCode` of one message."""
    has_traded = filled > 0
    rested = jnp.where(has_traded, ResultCode.PARTLY_FILLED_RESTED, ResultCode.RESTED)
    expired = jnp.where(has_traded, ResultCode.PARTLY_FILLED_EXPIRED, ResultCode.EXPIRED)
    rejected = jnp.where(
        request.is_post_only, ResultCode.REJECTED_POST_ONLY, ResultCode.REJECTED_FOK
    )
    cases: list[tuple[Array, Array | int]] = [  # the first that holds decides
        (request.is_ignored, ResultCode.IGNORED),
        (~request.is_known_type, ResultCode.REJECTED_UNKNOWN_TYPE),
        (~request.is_valid, ResultCode.REJECTED_INVALID),
        (is_missing, ResultCode.REJECTED_UNKNOWN_ID),
        (~is_taker, ResultCode.DONE),
        (is_rejected, rejected),
        (is_filled, ResultCode.FILLED),
        (~is_resting, expired),
        (is_dropped, ResultCode.DROPPED),
    ]
    code = rested
    for condition, value in reversed(cases):
        code = jnp.where(condition, value, code)
    return code.astype(jnp.int32)


def message_hash(message: Message) -> Array:
    """The hash described at `UNKNOWN_CANCEL_HASH`, `[]` uint32."""
    a, b, c, d = UNKNOWN_CANCEL_HASH
    order_id, price, size = (
        field.astype(jnp.uint32) for field in (message.order_id, message.price, message.size)
    )
    value = order_id * np.uint32(a) ^ price * np.uint32(b) ^ size * np.uint32(c)
    value ^= value >> 15
    value *= np.uint32(d)
    return value ^ value >> 12
