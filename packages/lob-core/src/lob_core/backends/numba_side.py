"""Moving orders within one side's buffers, compiled by numba for the CPU backend.

A side lies at `[head, head + count)` of its buffers, best order first.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from collections import namedtuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE

_BLOCK = 16  # prices compared at once: a vector operation, and one branch
_FEW = 8  # fewer orders are moved one by one, more by memmove
_MANY = 64  # a side with more orders behind an insertion is worth a gap at its head
_GAP = 32  # slots of that gap

Side = namedtuple("Side", "price size order_id agent_id")
jit = numba.njit(error_model="numpy", boundscheck=False, nogil=True)


@intrinsic
def _memmove(typing_context, pointer, target, source, count):
    """Moves `count` 32-bit integers within `pointer`; the ranges may overlap."""

    def generate(context, builder, signature, args):
        base, to, start, length = args
        size = builder.mul(length, ir.Constant(ir.IntType(64), 4))
        cgutils.raw_memmove(
            builder, builder.gep(base, [to]), builder.gep(base, [start]), size, 1, align=4
        )
        return context.get_dummy_value()

    int64 = types.int64
    return types.void(types.CPointer(types.int32), int64, int64, int64), generate


@jit
def _move(side, target, source, count):
    """Moves `count` orders within a side."""
    if count >= _FEW:
        _memmove(side.price, target, source, count)
        _memmove(side.size, target, source, count)
        _memmove(side.order_id, target, source, count)
        _memmove(side.agent_id, target, source, count)
    elif target < source:
        for i in range(count):
            _copy_order(side, target + i, source + i)
    else:
        for i in range(count - 1, -1, -1):
            _copy_order(side, target + i, source + i)


@jit
def _copy_order(side, target, source):
    side.price[target] = side.price[source]
    side.size[target] = side.size[source]
    side.order_id[target] = side.order_id[source]
    side.agent_id[target] = side.agent_id[source]


@jit
def count_ahead(price, start, stop, limit, flip, is_equal_ahead):
    """Orders of `[start, stop)` that are better than `limit` (or equal), a prefix.

    `flip` is 0 for bids; -1 for asks, whose order it reverses (`x ^ -1 == -x - 1`).
    """
    key = np.int32(limit ^ flip)
    flip = np.int32(flip)
    position = start
    while position + _BLOCK <= stop:
        found = np.int32(0)
        for i in range(_BLOCK):
            value = np.int32(price[position + i] ^ flip)
            found = np.int32(found + np.int32((value > key) | (is_equal_ahead & (value == key))))
        position += found
        if found < _BLOCK:
            return position - start
    while position < stop:
        value = np.int32(price[position] ^ flip)
        if not ((value > key) | (is_equal_ahead & (value == key))):
            break
        position += 1
    return position - start


@jit
def find(side, head, count, order_id, price, flip):
    """Slot of an order, at its price first, else anywhere; -1 if it is not there."""
    stop = head + count
    slot = head + count_ahead(side.price, head, stop, price, flip, False)
    while slot < stop and side.price[slot] == price:
        if side.order_id[slot] == order_id:
            return slot
        slot += 1
    for slot in range(head, stop):
        if side.order_id[slot] == order_id:
            return slot
    return -1


@jit
def count_live(size, num_slots):
    """Live orders of a packed side, by bisection."""
    low, high = 0, num_slots
    while low < high:
        middle = (low + high) >> 1
        if size[middle] > 0:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def remove(side, head, count, slot):
    """Closes the gap of the order at `slot`; returns the new head (count falls by one)."""
    before, behind = slot - head, head + count - 1 - slot
    if before <= behind:
        _move(side, head + 1, head, before)
        return head + 1
    _move(side, slot, slot + 1, behind)
    return head


@jit
def make_room(side, head, count, num_slots, position, is_last):
    """Frees slot `head + position` of a side that is not full; returns the new head."""
    behind = count - position
    if head == 0 and behind >= _MANY and not is_last:
        head = min(_GAP, num_slots - count)
        _move(side, head, 0, count)
    if head > 0 and (position <= behind or head + count == num_slots):
        _move(side, head - 1, head, position)
        return head - 1
    _move(side, head + position + 1, head + position, behind)
    return head


@jit
def pack(side, head, count, high):
    """Moves a side to the front and blanks what lies behind it up to `high`."""
    if head > 0:
        _move(side, 0, head, count)
    for slot in range(count, high):
        side.price[slot] = NO_PRICE
        side.size[slot] = 0
        side.order_id[slot] = NO_ORDER
        side.agent_id[slot] = NO_AGENT
