"""What the kernel does to one side of a book: find, remove and insert orders at their places.

See `numba_record` for what a side is while a call lasts.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from lob_core.backends.numba_memory import inline, ints_at, jit, words_at
from lob_core.backends.numba_record import (
    AGENT_ID,
    BUFFERS,
    CAPACITY,
    COUNT,
    IS_CHANGED,
    ORDER_ID,
    PRICE,
    SHORT,
    SIZE,
    STOP,
    TAIL,
    USED,
    agent_ids,
    fill_blocks,
    move_within,
    num_orders,
    order_ids,
    prices,
    reload,
    size_at,
    sizes,
)
from lob_core.backends.numba_vector import (
    BLOCK,
    IS_WIDE,
    STRETCH,
    copy_block,
    first_below,
    first_match,
    shift_in_block,
    shift_in_stretch,
    shift_out_block,
    shift_out_stretch,
)
from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE


@jit
def _tail_ahead(side, key, flip):
    """Orders of the tail that are better than a price with that key, by bisection."""
    words = words_at(side)
    low, high = words[TAIL], words[STOP]
    price = ints_at(words[BUFFERS])
    while low < high:
        middle = (low + high) >> 1
        if (price[middle] ^ flip) >= key:
            low = middle + 1
        else:
            high = middle
    return low - words[TAIL]


@inline
def place_behind(side, price, flip):
    """Orders that are better than `price` or equal: the place behind them.

    `flip` is 0 for bids; -1 for asks, whose order it reverses (`x ^ -1 == -x - 1`).
    """
    words = words_at(side)
    count, key = words[COUNT], price ^ flip
    place = first_below(side + PRICE, key, flip, count)
    if place >= count:
        place = count
        if words[STOP] > words[TAIL]:
            place += _tail_ahead(side, key, flip)
    return place


@inline
def place_of_price(side, price, flip):
    """Place of the first order at `price`, or any at which there is another or no order."""
    words = words_at(side)
    count = words[COUNT]
    place = first_match(side + PRICE, price, side + PRICE, price, count)
    if place >= count:
        place = count + _tail_ahead(side, (price ^ flip) + 1, flip)
    return place


@inline
def find(side, order_id, price, flip):
    """Place of an order, at its price first, else anywhere; -1 if it is not there."""
    count = words_at(side)[COUNT]
    place = first_match(side + PRICE, price, side + ORDER_ID, order_id, count)
    return place if place < count else _find_anywhere(side, order_id, price, flip)


@jit
def _find_anywhere(side, order_id, price, flip):
    """`find` for an order that is not in the front at its price."""
    words = words_at(side)
    count, tail, stop = words[COUNT], words[TAIL], words[STOP]
    in_tail, at_price = ints_at(words[BUFFERS + 2]), ints_at(words[BUFFERS])
    slot = tail + _tail_ahead(side, (price ^ flip) + 1, flip)
    while slot < stop and at_price[slot] == price:
        if in_tail[slot] == order_id:
            return count + slot - tail
        slot += 1
    place = first_match(side + ORDER_ID, order_id, side + ORDER_ID, order_id, count)
    if place < count:
        return place
    for slot in range(tail, stop):
        if in_tail[slot] == order_id:
            return count + slot - tail
    return -1


@jit
def remove(side, num_slots, place):
    """Takes out the order at a place."""
    words = words_at(side)
    words[IS_CHANGED] = 1
    count = words[COUNT]
    if place < count:
        if IS_WIDE and count <= STRETCH:
            shift_out_stretch(side + PRICE, place)
            shift_out_stretch(side + SIZE, place)
            shift_out_stretch(side + ORDER_ID, place)
            shift_out_stretch(side + AGENT_ID, place)
        else:
            for block in range(place // BLOCK, count // BLOCK + 1):
                offset, lane = side + SHORT * block, place - BLOCK * block
                shift_out_block(offset + PRICE, lane)
                shift_out_block(offset + SIZE, lane)
                shift_out_block(offset + ORDER_ID, lane)
                shift_out_block(offset + AGENT_ID, lane)
        words[COUNT] = count - 1
        if count == 1 and words[STOP] > words[TAIL]:
            reload(side, num_slots)
    else:
        _remove_from_tail(side, place - count)


@jit
def _remove_from_tail(side, ahead):
    words = words_at(side)
    tail, stop = words[TAIL], words[STOP]
    behind = stop - tail - ahead - 1
    if ahead <= behind:
        move_within(side, tail + 1, tail, ahead)
        words[TAIL] = tail + 1
    else:
        move_within(side, tail + ahead, tail + ahead + 1, behind)
        words[STOP] = stop - 1


@jit
def remove_first(side, num_slots, number):
    """Takes out the best orders of the front."""
    words = words_at(side)
    words[IS_CHANGED] = 1
    count = words[COUNT] - number
    for block in range((count + BLOCK - 1) // BLOCK):
        offset, ahead = side + SHORT * block, 4 * number
        copy_block(offset + PRICE, offset + PRICE + ahead)
        copy_block(offset + SIZE, offset + SIZE + ahead)
        copy_block(offset + ORDER_ID, offset + ORDER_ID + ahead)
        copy_block(offset + AGENT_ID, offset + AGENT_ID + ahead)
    fill_blocks(side, (count + BLOCK - 1) // BLOCK, (count + number + BLOCK - 1) // BLOCK)
    words[COUNT] = count
    if count == 0 and words[STOP] > words[TAIL]:
        reload(side, num_slots)


@inline
def drop_last(side):
    """Takes the worst order off a side that is about to get a better one; returns its size."""
    words = words_at(side)
    size = np.int64(size_at(side, num_orders(side) - 1))
    if words[STOP] > words[TAIL]:
        words[STOP] -= 1
    else:
        last = words[COUNT] - 1
        words[COUNT] = last
        prices(side)[last], sizes(side)[last] = NO_PRICE, 0
        order_ids(side)[last], agent_ids(side)[last] = NO_ORDER, NO_AGENT
    return size


@inline
def insert(side, num_slots, place, price, size, order_id, agent_id):
    """Puts an order at a place of a side that is not full."""
    words = words_at(side)
    words[IS_CHANGED] = 1
    if words[COUNT] == CAPACITY and place <= CAPACITY:
        reload(side, num_slots)
    count = words[COUNT]
    if place <= count:
        if IS_WIDE and count < STRETCH:
            shift_in_stretch(side + PRICE, place, price)
            shift_in_stretch(side + SIZE, place, size)
            shift_in_stretch(side + ORDER_ID, place, order_id)
            shift_in_stretch(side + AGENT_ID, place, agent_id)
        else:
            for block in range(count // BLOCK, place // BLOCK - 1, -1):
                offset, lane = side + SHORT * block, place - BLOCK * block
                shift_in_block(offset + PRICE, lane, price)
                shift_in_block(offset + SIZE, lane, size)
                shift_in_block(offset + ORDER_ID, lane, order_id)
                shift_in_block(offset + AGENT_ID, lane, agent_id)
        words[COUNT] = count + 1
    else:
        slot = _room_in_tail(side, num_slots, place - count)
        ints_at(words[BUFFERS])[slot] = price
        ints_at(words[BUFFERS + 1])[slot] = size
        ints_at(words[BUFFERS + 2])[slot] = order_id
        ints_at(words[BUFFERS + 3])[slot] = agent_id


@jit
def _room_in_tail(side, num_slots, ahead):
    """Frees a slot behind `ahead` orders of the tail; returns it."""
    words = words_at(side)
    tail, stop = words[TAIL], words[STOP]
    behind = stop - tail - ahead
    if tail > 0 and (ahead <= behind or stop == num_slots):
        move_within(side, tail - 1, tail, ahead)
        words[TAIL] = tail - 1
        return tail - 1 + ahead
    move_within(side, tail + ahead + 1, tail + ahead, behind)
    words[STOP] = stop + 1
    words[USED] = max(words[USED], stop + 1)
    return tail + ahead
