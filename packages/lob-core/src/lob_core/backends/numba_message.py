"""Messages as the kernel reads them: fields, what is refused at sight, and the order they send.

Compiled by numba for the CPU backend.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from collections import namedtuple

import numpy as np

from lob_core.backends.numba_desk import INVALID, MESSAGES, UNKNOWN_TYPES, buffer, tally
from lob_core.backends.numba_matching import Taker
from lob_core.backends.numba_memory import inline
from lob_core.types import (
    NO_ORDER,
    UNKNOWN_CANCEL_HASH,
    EventType,
    ResultCode,
    Side,
    TimeInForce,
)

BID, _ASK = int(Side.BID), int(Side.ASK)
CANCEL, DELETE = int(EventType.CANCEL), int(EventType.DELETE)
EXECUTE, MODIFY = int(EventType.EXECUTE_VISIBLE), int(EventType.MODIFY)
_SUBMIT, _MARKET = int(EventType.SUBMIT), int(EventType.MARKET)
_NOOP, _HIDDEN = int(EventType.NOOP), int(EventType.EXECUTE_HIDDEN)
_CROSS, _HALT = int(EventType.CROSS), int(EventType.HALT)
IOC, FOK, POST_ONLY = int(TimeInForce.IOC), int(TimeInForce.FOK), int(TimeInForce.POST_ONLY)
_GTC = int(TimeInForce.GTC)
IGNORED, DONE = int(ResultCode.IGNORED), int(ResultCode.DONE)
_REJECTED_INVALID = int(ResultCode.REJECTED_INVALID)
_REJECTED_UNKNOWN_TYPE = int(ResultCode.REJECTED_UNKNOWN_TYPE)
_HASH_A, _HASH_B, _HASH_C, _HASH_D = UNKNOWN_CANCEL_HASH
_INT32_MAX, _INT32_MIN = 2**31 - 1, -(2**31)

_Message = namedtuple("_Message", "event_type side price size order_id agent_id time_in_force")


@inline
def _is_valid(message):
    """Whether every field that a known, acting event type reads is in its domain."""
    kind = message.event_type
    has_known_tif = (message.time_in_force >= _GTC) & (message.time_in_force <= POST_ONLY)
    is_unpriced = (kind == CANCEL) | (kind == DELETE) | (kind == _MARKET)
    return (
        ((message.side == BID) | (message.side == _ASK))
        & ((kind == DELETE) | (message.size >= 1))
        & (is_unpriced | (message.price >= 1))
        & (((kind != _SUBMIT) & (kind != _MARKET)) | (message.order_id >= 1))
        & (((kind != _SUBMIT) & (kind != MODIFY)) | has_known_tif)
    )


@inline
def message_at(desk, index):
    """One message's fields, as 64-bit integers."""
    return _Message(
        np.int64(buffer(desk, MESSAGES, 0)[index]),
        np.int64(buffer(desk, MESSAGES, 1)[index]),
        np.int64(buffer(desk, MESSAGES, 2)[index]),
        np.int64(buffer(desk, MESSAGES, 3)[index]),
        np.int64(buffer(desk, MESSAGES, 4)[index]),
        np.int64(buffer(desk, MESSAGES, 5)[index]),
        np.int64(buffer(desk, MESSAGES, 6)[index]),
    )


@inline
def refuse(desk, message):
    """The code of a message that needs no look at the book, counting it; else `DONE`."""
    kind = message.event_type
    if (kind == _NOOP) | (kind == _HIDDEN) | (kind == _CROSS) | (kind == _HALT):
        return IGNORED
    if (kind < _NOOP) | (kind > _MARKET):
        tally(desk, UNKNOWN_TYPES, 1)
        return _REJECTED_UNKNOWN_TYPE
    if not _is_valid(message):
        tally(desk, INVALID, 1)
        return _REJECTED_INVALID
    return DONE


@inline
def taker_of(message, is_buy):
    """The order that a `SUBMIT`, `MARKET` or `EXECUTE_VISIBLE` sends into the book."""
    side = BID if is_buy else _ASK
    limit, order_id, time_in_force = message.price, message.order_id, message.time_in_force
    if message.event_type == _MARKET:
        limit = _INT32_MAX if is_buy else _INT32_MIN
        time_in_force = IOC
    elif message.event_type == EXECUTE:
        order_id, time_in_force = NO_ORDER, IOC
    return Taker(side, limit, message.size, order_id, message.agent_id, time_in_force)


@inline
def hash_of(message):
    """The hash described at `UNKNOWN_CANCEL_HASH`."""
    value = message.order_id * _HASH_A ^ message.price * _HASH_B ^ message.size * _HASH_C
    value &= 0xFFFFFFFF
    value ^= value >> 15
    value = value * _HASH_D & 0xFFFFFFFF
    return value ^ value >> 12
