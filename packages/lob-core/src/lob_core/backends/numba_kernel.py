"""The scalar matching kernel of the CPU backend, compiled by numba.

It plays the messages of one book, which lies on a desk (`numba_desk`).
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from lob_core.backends.numba_desk import (
    BOOK,
    DROPPED_ORDERS,
    DROPPED_SIZE,
    DROPPED_TRADES,
    MAX_TRADES,
    NUM_ASKED,
    NUM_MESSAGES,
    NUM_SLOTS,
    NUM_TRADES,
    REPORTS,
    SELF_MATCH,
    TRADES,
    UNKNOWN_CANCEL,
    UNKNOWN_IDS,
    ask_ahead,
    asks_of,
    bids_of,
    buffer,
    num_lines_ahead,
    side_of,
    tally,
)
from lob_core.backends.numba_matching import Taker, can_fill, is_marketable, match
from lob_core.backends.numba_memory import inline, jit, splice, words_at
from lob_core.backends.numba_message import (
    BID,
    CANCEL,
    DELETE,
    DONE,
    EXECUTE,
    FOK,
    IGNORED,
    IOC,
    MODIFY,
    POST_ONLY,
    hash_of,
    message_at,
    refuse,
    taker_of,
)
from lob_core.backends.numba_record import (
    agent_at,
    lay_down,
    num_orders,
    price_at,
    prices,
    set_size,
    size_at,
    store,
    take_up,
)
from lob_core.backends.numba_side import (
    drop_last,
    find,
    insert,
    place_behind,
    place_of_price,
    remove,
)
from lob_core.types import OPENING_AGENT, ResultCode, UnknownCancel

_CODE = {code.name: int(code) for code in ResultCode}
_RESTED, _PARTLY_FILLED_RESTED = _CODE["RESTED"], _CODE["PARTLY_FILLED_RESTED"]
_FILLED, _PARTLY_FILLED_EXPIRED = _CODE["FILLED"], _CODE["PARTLY_FILLED_EXPIRED"]
_EXPIRED, _DROPPED = _CODE["EXPIRED"], _CODE["DROPPED"]
_REJECTED_POST_ONLY, _REJECTED_FOK = _CODE["REJECTED_POST_ONLY"], _CODE["REJECTED_FOK"]
_REJECTED_UNKNOWN_ID = _CODE["REJECTED_UNKNOWN_ID"]
_STRICT, _OPENING = int(UnknownCancel.STRICT), int(UnknownCancel.OPENING)
_UNIFORM, _UNIFORM_ANY = int(UnknownCancel.UNIFORM), int(UnknownCancel.UNIFORM_ANY)


@splice
def _rest(desk, own, taker, remaining, flip):
    """Rests what a taker has left behind all orders at least as good, on a side that may be full.

    Returns:
        Whether the order itself was dropped.
    """
    num_slots = words_at(desk)[NUM_SLOTS]
    take_up(own, num_slots)
    place = place_behind(own, taker.limit, flip)
    if num_orders(own) == num_slots:
        tally(desk, DROPPED_ORDERS, 1)
        if place == num_slots:
            tally(desk, DROPPED_SIZE, remaining)
            return True
        tally(desk, DROPPED_SIZE, drop_last(own))
    insert(own, num_slots, place, taker.limit, remaining, taker.order_id, taker.agent_id)
    return False


@splice
def _refusal(taker, makers, num_slots, self_match):
    """The code with which a post-only or fill-or-kill order is rejected, else `IGNORED`."""
    if taker.time_in_force == POST_ONLY:
        if is_marketable(taker, makers):
            return _REJECTED_POST_ONLY
    elif taker.time_in_force == FOK:
        take_up(makers, num_slots)
        if not can_fill(taker, makers, self_match):
            return _REJECTED_FOK
    return IGNORED


@inline
def _taken_code(taker, filled):
    """The code of an order of which nothing rests."""
    if filled == taker.size:
        return _FILLED
    return _PARTLY_FILLED_EXPIRED if filled > 0 else _EXPIRED


@inline
def _can_stand_in(agent_id, mode):
    return (
        ((mode == _OPENING) & (agent_id == OPENING_AGENT))
        | ((mode == _UNIFORM) & (agent_id < 1))
        | (mode == _UNIFORM_ANY)
    )


@jit
def _stand_in(side, message, flip, mode):
    """Place of the order on which a cancel of an unknown id acts instead; -1 if there is none."""
    count = num_orders(side)
    first, found = place_of_price(side, message.price, flip), 0
    stop = first
    while stop < count and price_at(side, stop) == message.price:
        found += _can_stand_in(agent_at(side, stop), mode)
        stop += 1
    if found == 0:
        return -1
    number = 0 if mode == _OPENING else hash_of(message) % found
    for place in range(first, stop):
        if _can_stand_in(agent_at(side, place), mode):
            if number == 0:
                return place
            number -= 1
    return -1


@inline
def _with_agent(taker, agent_id):
    return Taker(
        taker.side,
        taker.limit,
        taker.size,
        taker.order_id,
        np.int64(agent_id),
        taker.time_in_force,
    )


@splice
def _carry_out(desk, index, num_slots, self_match, unknown_cancel):
    """Plays one message and reports on it."""
    message = message_at(desk, index)
    is_buy = (message.side == BID) != (message.event_type == EXECUTE)
    flip = 0 if is_buy else -1
    own, makers = side_of(desk, is_buy), side_of(desk, not is_buy)

    code, filled, place = refuse(desk, message), np.int64(0), np.int64(-1)
    taker = taker_of(message, is_buy)
    is_taker = code == DONE
    kind = message.event_type
    if is_taker and ((kind == CANCEL) | (kind == DELETE) | (kind == MODIFY)):
        is_taker = False
        take_up(own, num_slots)
        place = find(own, message.order_id, message.price, flip)
        is_whole = kind == DELETE
        if place < 0:
            tally(desk, UNKNOWN_IDS, 1)
            is_whole = message.size < 1
            if kind != MODIFY and unknown_cancel != _STRICT:
                place = _stand_in(own, message, flip, unknown_cancel)
        if place < 0:
            code = _REJECTED_UNKNOWN_ID
        elif kind == MODIFY:
            if message.price == price_at(own, place) and message.size <= size_at(own, place):
                set_size(own, place, message.size)
            else:
                is_taker = True
                taker = _with_agent(taker, agent_at(own, place))
        elif is_whole or message.size >= size_at(own, place):
            remove(own, num_slots, place)
        else:
            set_size(own, place, size_at(own, place) - message.size)

    if is_taker:
        code = _refusal(taker, makers, num_slots, self_match)
        if code == IGNORED:
            if place >= 0:
                remove(own, num_slots, place)
            remaining = taker.size
            if is_marketable(taker, makers):
                take_up(makers, num_slots)
                filled, remaining = match(desk, taker, makers, index)
            code = _taken_code(taker, filled)
            if remaining > 0 and taker.time_in_force != IOC and taker.time_in_force != FOK:
                is_dropped = _rest(desk, own, taker, remaining, flip)
                code = _PARTLY_FILLED_RESTED if filled > 0 else _RESTED
                code = _DROPPED if is_dropped else code

    buffer(desk, REPORTS, 0)[index] = code
    buffer(desk, REPORTS, 1)[index] = filled
    buffer(desk, REPORTS, 2)[index] = prices(bids_of(desk))[0]
    buffer(desk, REPORTS, 3)[index] = prices(asks_of(desk))[0]


@splice
def play(desk):
    """Plays the messages of one book; `lob_core.reference` has the same rules in plain words."""
    words = words_at(desk)
    num_slots, num_messages = words[NUM_SLOTS], words[NUM_MESSAGES]
    self_match, unknown_cancel = words[SELF_MATCH], words[UNKNOWN_CANCEL]
    words[NUM_TRADES], words[NUM_ASKED] = 0, 0
    num_lines = num_lines_ahead(desk)
    lay_down(bids_of(desk), desk + 8 * BOOK)
    lay_down(asks_of(desk), desk + 8 * (BOOK + 4))
    stride = 1 if num_lines > 0 else max(1, num_messages)
    for first in range(0, num_messages, stride):
        if words[NUM_ASKED] < num_lines:
            ask_ahead(desk)
        for index in range(first, min(first + stride, num_messages)):
            _carry_out(desk, index, num_slots, self_match, unknown_cancel)
    while words[NUM_ASKED] < num_lines:
        ask_ahead(desk)
    store(bids_of(desk), num_slots)
    store(asks_of(desk), num_slots)
    num_trades, max_trades = words[NUM_TRADES], words[MAX_TRADES]
    buffer(desk, TRADES, 8)[0] = min(num_trades, max_trades)
    if num_trades > max_trades > 0:
        tally(desk, DROPPED_TRADES, num_trades - max_trades)
