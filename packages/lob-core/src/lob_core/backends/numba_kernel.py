"""The scalar matching kernel of the CPU backend, compiled by numba.

It works inside the buffers of one book. While a call lasts, a side may lie anywhere in its
buffer, `[head, head + count)`: a sweep moves `head`, and an insertion or removal moves whichever
end is shorter, so a deep book costs little more than a shallow one near the touch. At the end
each side is packed to the front again and what was used behind it is blanked.
"""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from collections import namedtuple

import numpy as np

from lob_core.backends.numba_side import (
    count_ahead,
    count_live,
    find,
    jit,
    make_room,
    pack,
    remove,
)
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    OPENING_AGENT,
    UNKNOWN_CANCEL_HASH,
    EventType,
    ResultCode,
    SelfMatch,
    Side,
    TimeInForce,
    UnknownCancel,
)

_NOOP, _HIDDEN = int(EventType.NOOP), int(EventType.EXECUTE_HIDDEN)
_CROSS, _HALT = int(EventType.CROSS), int(EventType.HALT)
_SUBMIT, _CANCEL, _DELETE = int(EventType.SUBMIT), int(EventType.CANCEL), int(EventType.DELETE)
_EXECUTE, _MODIFY, _MARKET = (
    int(EventType.EXECUTE_VISIBLE),
    int(EventType.MODIFY),
    int(EventType.MARKET),
)
_GTC, _IOC = int(TimeInForce.GTC), int(TimeInForce.IOC)
_FOK, _POST_ONLY = int(TimeInForce.FOK), int(TimeInForce.POST_ONLY)
_CODE = {code.name: int(code) for code in ResultCode}
_IGNORED, _DONE, _RESTED = _CODE["IGNORED"], _CODE["DONE"], _CODE["RESTED"]
_PARTLY_FILLED_RESTED, _FILLED = _CODE["PARTLY_FILLED_RESTED"], _CODE["FILLED"]
_PARTLY_FILLED_EXPIRED, _EXPIRED = _CODE["PARTLY_FILLED_EXPIRED"], _CODE["EXPIRED"]
_REJECTED_POST_ONLY, _REJECTED_FOK = _CODE["REJECTED_POST_ONLY"], _CODE["REJECTED_FOK"]
_REJECTED_UNKNOWN_ID, _REJECTED_INVALID = _CODE["REJECTED_UNKNOWN_ID"], _CODE["REJECTED_INVALID"]
_REJECTED_UNKNOWN_TYPE, _DROPPED = _CODE["REJECTED_UNKNOWN_TYPE"], _CODE["DROPPED"]
_BID, _ASK = int(Side.BID), int(Side.ASK)
_OFF, _CANCEL_RESTING = int(SelfMatch.OFF), int(SelfMatch.CANCEL_RESTING)
_CANCEL_INCOMING = int(SelfMatch.CANCEL_INCOMING)
_STRICT, _OPENING = int(UnknownCancel.STRICT), int(UnknownCancel.OPENING)
_UNIFORM, _UNIFORM_ANY = int(UnknownCancel.UNIFORM), int(UnknownCancel.UNIFORM_ANY)
_HASH_A, _HASH_B, _HASH_C, _HASH_D = UNKNOWN_CANCEL_HASH
_INT32_MAX, _INT32_MIN = 2**31 - 1, -(2**31)

Messages = namedtuple("Messages", "event_type side price size order_id agent_id time_in_force")
_Message = namedtuple("_Message", Messages._fields)
Trades = namedtuple(
    "Trades",
    "price size maker_order_id taker_order_id maker_agent_id taker_agent_id aggressor_side "
    "message_index count",
)
Reports = namedtuple("Reports", "code filled_size best_bid best_ask")
Counters = namedtuple(
    "Counters", "dropped_orders dropped_size dropped_trades unknown_ids unknown_types invalid"
)
Fills = namedtuple("Fills", "bought sold bought_notional sold_notional maker_size self_size")
_Taker = namedtuple("_Taker", "side limit size order_id agent_id time_in_force")
Sizes = namedtuple(
    "Sizes", "num_slots num_messages max_trades num_accounts self_match unknown_cancel"
)


@jit
def _is_valid(message):
    """Whether every field that a known, acting event type reads is in its domain."""
    kind = message.event_type
    has_known_tif = (message.time_in_force >= _GTC) & (message.time_in_force <= _POST_ONLY)
    is_unpriced = (kind == _CANCEL) | (kind == _DELETE) | (kind == _MARKET)
    return (
        ((message.side == _BID) | (message.side == _ASK))
        & ((kind == _DELETE) | (message.size >= 1))
        & (is_unpriced | (message.price >= 1))
        & (((kind != _SUBMIT) & (kind != _MARKET)) | (message.order_id >= 1))
        & (((kind != _SUBMIT) & (kind != _MODIFY)) | has_known_tif)
    )


@jit
def _is_crossed(taker, price):
    return price <= taker.limit if taker.side == _BID else price >= taker.limit


@jit
def _is_prevented(taker, maker_agent, self_match):
    """Whether self-match prevention keeps these two from trading."""
    return (self_match != _OFF) & (taker.agent_id == maker_agent) & (maker_agent >= 1)


@jit
def _can_fill(taker, makers, head, count, self_match):
    """Whether the taker could trade its whole size within its limit."""
    available = 0
    for slot in range(head, head + count):
        if not _is_crossed(taker, makers.price[slot]):
            return False
        if _is_prevented(taker, makers.agent_id[slot], self_match):
            if self_match != _CANCEL_RESTING:
                return False
            continue
        available += makers.size[slot]
        if available >= taker.size:
            return True
    return False


@jit
def _account(agent_id, num_accounts):
    return agent_id if 1 <= agent_id < num_accounts else 0


@jit
def _record(taker, makers, slot, traded, index, sizes, trades, fills, num_trades):
    """Writes one trade to the log (if there is room) and to both accounts."""
    price, maker_agent = makers.price[slot], makers.agent_id[slot]
    if num_trades < sizes.max_trades:
        trades.price[num_trades] = price
        trades.size[num_trades] = traded
        trades.maker_order_id[num_trades] = makers.order_id[slot]
        trades.taker_order_id[num_trades] = taker.order_id
        trades.maker_agent_id[num_trades] = maker_agent
        trades.taker_agent_id[num_trades] = taker.agent_id
        trades.aggressor_side[num_trades] = taker.side
        trades.message_index[num_trades] = index
    maker_row = _account(maker_agent, sizes.num_accounts)
    taker_row = _account(taker.agent_id, sizes.num_accounts)
    buyer, seller = (taker_row, maker_row) if taker.side == _BID else (maker_row, taker_row)
    fills.bought[buyer] += traded
    fills.bought_notional[buyer] += traded * price
    fills.sold[seller] += traded
    fills.sold_notional[seller] += traded * price
    fills.maker_size[maker_row] += traded
    if maker_row == taker_row:
        fills.self_size[maker_row] += traded


@jit
def blank_outputs(sizes, trades, fills):
    """Blanks the trade log and the accounts of one book."""
    for row in range(sizes.max_trades):
        trades.price[row] = NO_PRICE
        trades.size[row] = 0
        trades.maker_order_id[row] = NO_ORDER
        trades.taker_order_id[row] = NO_ORDER
        trades.maker_agent_id[row] = NO_AGENT
        trades.taker_agent_id[row] = NO_AGENT
        trades.aggressor_side[row] = 0
        trades.message_index[row] = 0
    for row in range(sizes.num_accounts):
        fills.bought[row] = 0
        fills.sold[row] = 0
        fills.bought_notional[row] = 0
        fills.sold_notional[row] = 0
        fills.maker_size[row] = 0
        fills.self_size[row] = 0


@jit
def _match(taker, makers, head, count, index, sizes, trades, fills, num_trades):
    """Runs a taker against the makers at `[head, head + count)`.

    Returns:
        The makers' new head and count, shares traded, shares left (negative if self-match
        prevention cancels them), and the number of trades so far.
    """
    filled, remaining = 0, taker.size
    while remaining > 0 and count > 0 and _is_crossed(taker, makers.price[head]):
        available = makers.size[head]
        taken = min(remaining, available)
        if not _is_prevented(taker, makers.agent_id[head], sizes.self_match):
            _record(taker, makers, head, taken, index, sizes, trades, fills, num_trades)
            num_trades += 1
            filled += taken
            remaining -= taken
        elif sizes.self_match == _CANCEL_INCOMING:
            return head, count, filled, -remaining, num_trades
        elif sizes.self_match == _CANCEL_RESTING:
            taken = available
        else:
            remaining -= taken
        if taken == available:
            head += 1
            count -= 1
        else:
            makers.size[head] = available - taken
    return head, count, filled, remaining, num_trades


@jit
def _rest(own, head, count, taker, remaining, flip, sizes, counters, is_last):
    """Rests what a taker has left behind all orders at least as good, on a side that may be full.

    Returns:
        The side's new head and count, and whether the order itself was dropped.
    """
    position = count_ahead(own.price, head, head + count, taker.limit, flip, True)
    if count == sizes.num_slots:
        counters.dropped_orders[0] += 1
        if position == count:
            counters.dropped_size[0] += remaining
            return head, count, True
        count -= 1
        counters.dropped_size[0] += own.size[head + count]
    head = make_room(own, head, count, sizes.num_slots, position, is_last)
    slot = head + position
    own.price[slot] = taker.limit
    own.size[slot] = remaining
    own.order_id[slot] = taker.order_id
    own.agent_id[slot] = taker.agent_id
    return head, count + 1, False


@jit
def _refusal(taker, makers, head, count, self_match):
    """The code with which a post-only or fill-or-kill order is rejected, else `_IGNORED`."""
    if taker.time_in_force == _POST_ONLY and count > 0 and _is_crossed(taker, makers.price[head]):
        return _REJECTED_POST_ONLY
    if taker.time_in_force == _FOK and not _can_fill(taker, makers, head, count, self_match):
        return _REJECTED_FOK
    return _IGNORED


@jit
def _taken_code(taker, filled):
    """The code of an order of which nothing rests."""
    if filled == taker.size:
        return _FILLED
    return _PARTLY_FILLED_EXPIRED if filled > 0 else _EXPIRED


@jit
def _message_at(messages, index):
    """One message's fields, as 64-bit integers."""
    return _Message(
        np.int64(messages.event_type[index]),
        np.int64(messages.side[index]),
        np.int64(messages.price[index]),
        np.int64(messages.size[index]),
        np.int64(messages.order_id[index]),
        np.int64(messages.agent_id[index]),
        np.int64(messages.time_in_force[index]),
    )


@jit
def _refuse(message, counters):
    """The code of a message that needs no look at the book, counting it; else `_DONE`."""
    kind = message.event_type
    if (kind == _NOOP) | (kind == _HIDDEN) | (kind == _CROSS) | (kind == _HALT):
        return _IGNORED
    if (kind < _NOOP) | (kind > _MARKET):
        counters.unknown_types[0] += 1
        return _REJECTED_UNKNOWN_TYPE
    if not _is_valid(message):
        counters.invalid[0] += 1
        return _REJECTED_INVALID
    return _DONE


@jit
def _taker_of(message, is_buy):
    """The order that a `SUBMIT`, `MARKET` or `EXECUTE_VISIBLE` sends into the book."""
    side = _BID if is_buy else _ASK
    limit, order_id, time_in_force = message.price, message.order_id, message.time_in_force
    if message.event_type == _MARKET:
        limit = _INT32_MAX if is_buy else _INT32_MIN
        time_in_force = _IOC
    elif message.event_type == _EXECUTE:
        order_id, time_in_force = NO_ORDER, _IOC
    return _Taker(side, limit, message.size, order_id, message.agent_id, time_in_force)


@jit
def _hash(message):
    """The hash described at `UNKNOWN_CANCEL_HASH`."""
    value = message.order_id * _HASH_A ^ message.price * _HASH_B ^ message.size * _HASH_C
    value &= 0xFFFFFFFF
    value ^= value >> 15
    value = value * _HASH_D & 0xFFFFFFFF
    return value ^ value >> 12


@jit
def _can_stand_in(agent_id, mode):
    return (
        ((mode == _OPENING) & (agent_id == OPENING_AGENT))
        | ((mode == _UNIFORM) & (agent_id < 1))
        | (mode == _UNIFORM_ANY)
    )


@jit
def _stand_in(side, head, count, message, flip, mode):
    """Slot of the order on which a cancel of an unknown id acts instead; -1 if there is none."""
    first = head + count_ahead(side.price, head, head + count, message.price, flip, False)
    stop, found = first, 0
    while stop < head + count and side.price[stop] == message.price:
        found += _can_stand_in(side.agent_id[stop], mode)
        stop += 1
    if found == 0:
        return -1
    number = 0 if mode == _OPENING else _hash(message) % found
    for slot in range(first, stop):
        if _can_stand_in(side.agent_id[slot], mode):
            if number == 0:
                return slot
            number -= 1
    return -1


@jit
def _with_agent(taker, agent_id):
    return _Taker(
        taker.side,
        taker.limit,
        taker.size,
        taker.order_id,
        np.int64(agent_id),
        taker.time_in_force,
    )


@jit
def play(sizes, bids, asks, counters, messages, trades, reports, fills):
    """Plays the messages of one book; `lob_core.reference` has the same rules in plain words."""
    bid_head, bid_count = 0, count_live(bids.size, sizes.num_slots)
    ask_head, ask_count = 0, count_live(asks.size, sizes.num_slots)
    bid_high, ask_high = bid_count, ask_count
    num_trades = 0
    for index in range(sizes.num_messages):
        message = _message_at(messages, index)
        is_buy = (message.side == _BID) != (message.event_type == _EXECUTE)
        flip = 0 if is_buy else -1
        own, makers = (bids, asks) if is_buy else (asks, bids)
        head, count = (bid_head, bid_count) if is_buy else (ask_head, ask_count)
        maker_head, maker_count = (ask_head, ask_count) if is_buy else (bid_head, bid_count)

        code, filled, slot = _refuse(message, counters), 0, -1
        taker = _taker_of(message, is_buy)
        is_taker = code == _DONE
        kind = message.event_type
        if is_taker and ((kind == _CANCEL) | (kind == _DELETE) | (kind == _MODIFY)):
            is_taker = False
            slot = find(own, head, count, message.order_id, message.price, flip)
            is_whole = kind == _DELETE
            if slot < 0:
                counters.unknown_ids[0] += 1
                is_whole = message.size < 1
                if kind != _MODIFY and sizes.unknown_cancel != _STRICT:
                    slot = _stand_in(own, head, count, message, flip, sizes.unknown_cancel)
            if slot < 0:
                code = _REJECTED_UNKNOWN_ID
            elif kind == _MODIFY:
                if message.price == own.price[slot] and message.size <= own.size[slot]:
                    own.size[slot] = message.size
                else:
                    is_taker = True
                    taker = _with_agent(taker, own.agent_id[slot])
            elif is_whole or message.size >= own.size[slot]:
                head = remove(own, head, count, slot)
                count -= 1
            else:
                own.size[slot] -= message.size

        if is_taker:
            code = _refusal(taker, makers, maker_head, maker_count, sizes.self_match)
            if code == _IGNORED:
                if slot >= 0:
                    head = remove(own, head, count, slot)
                    count -= 1
                maker_head, maker_count, filled, remaining, num_trades = _match(
                    taker, makers, maker_head, maker_count, index, sizes, trades, fills, num_trades
                )
                code = _taken_code(taker, filled)
                if remaining > 0 and taker.time_in_force != _IOC and taker.time_in_force != _FOK:
                    is_last = index == sizes.num_messages - 1
                    head, count, is_dropped = _rest(
                        own, head, count, taker, remaining, flip, sizes, counters, is_last
                    )
                    code = _PARTLY_FILLED_RESTED if filled > 0 else _RESTED
                    code = _DROPPED if is_dropped else code

        if is_buy:
            bid_head, bid_count, bid_high = head, count, max(bid_high, head + count)
            ask_head, ask_count = maker_head, maker_count
        else:
            ask_head, ask_count, ask_high = head, count, max(ask_high, head + count)
            bid_head, bid_count = maker_head, maker_count
        reports.code[index] = code
        reports.filled_size[index] = filled
        reports.best_bid[index] = bids.price[bid_head] if bid_count > 0 else NO_PRICE
        reports.best_ask[index] = asks.price[ask_head] if ask_count > 0 else NO_PRICE

    pack(bids, bid_head, bid_count, bid_high)
    pack(asks, ask_head, ask_count, ask_high)
    trades.count[0] = min(num_trades, sizes.max_trades)
    if num_trades > sizes.max_trades > 0:
        counters.dropped_trades[0] += num_trades - sizes.max_trades
