"""A taker against the orders of the other side, compiled by numba for the CPU backend."""

# numba infers the types of what it compiles; annotations would only repeat them.
# mypy: ignore-errors

from __future__ import annotations

from collections import namedtuple

import numpy as np

from lob_core.backends.numba_desk import (
    FILLS,
    MAX_TRADES,
    NUM_ACCOUNTS,
    NUM_SLOTS,
    NUM_TRADES,
    SELF_MATCH,
    TRADES,
    buffer,
)
from lob_core.backends.numba_memory import inline, jit, splice, words_at
from lob_core.backends.numba_record import (
    COUNT,
    agent_at,
    agent_ids,
    num_orders,
    order_ids,
    price_at,
    prices,
    set_size,
    size_at,
    sizes,
)
from lob_core.backends.numba_side import remove_first
from lob_core.types import NO_PRICE, SelfMatch, Side

_BID = int(Side.BID)
_OFF, _CANCEL_RESTING = int(SelfMatch.OFF), int(SelfMatch.CANCEL_RESTING)
_CANCEL_INCOMING = int(SelfMatch.CANCEL_INCOMING)

Taker = namedtuple("Taker", "side limit size order_id agent_id time_in_force")


@splice
def _is_crossed(taker, price):
    return price <= taker.limit if taker.side == _BID else price >= taker.limit


@inline
def is_marketable(taker, makers):
    """Whether a side has an order within the taker's limit."""
    best = prices(makers)[0]
    return (best != NO_PRICE) & _is_crossed(taker, best)


@splice
def _is_prevented(taker, maker_agent, self_match):
    """Whether self-match prevention keeps these two from trading."""
    return (self_match != _OFF) & (taker.agent_id == maker_agent) & (maker_agent >= 1)


@jit
def can_fill(taker, makers, self_match):
    """Whether the taker could trade its whole size within its limit."""
    available = 0
    for place in range(num_orders(makers)):
        if not _is_crossed(taker, price_at(makers, place)):
            return False
        if _is_prevented(taker, agent_at(makers, place), self_match):
            if self_match != _CANCEL_RESTING:
                return False
            continue
        available += size_at(makers, place)
        if available >= taker.size:
            return True
    return False


@splice
def _account(agent_id, num_accounts):
    return agent_id if 1 <= agent_id < num_accounts else 0


@splice
def _record(desk, taker, makers, place, traded, index):
    """Writes one trade to the log (if there is room) and to both accounts."""
    words = words_at(desk)
    row, num_accounts = words[NUM_TRADES], words[NUM_ACCOUNTS]
    words[NUM_TRADES] = row + 1
    price, maker_agent = prices(makers)[place], agent_ids(makers)[place]
    if row < words[MAX_TRADES]:
        buffer(desk, TRADES, 0)[row] = price
        buffer(desk, TRADES, 1)[row] = traded
        buffer(desk, TRADES, 2)[row] = order_ids(makers)[place]
        buffer(desk, TRADES, 3)[row] = taker.order_id
        buffer(desk, TRADES, 4)[row] = maker_agent
        buffer(desk, TRADES, 5)[row] = taker.agent_id
        buffer(desk, TRADES, 6)[row] = taker.side
        buffer(desk, TRADES, 7)[row] = index
    maker_row = _account(maker_agent, num_accounts)
    taker_row = _account(taker.agent_id, num_accounts)
    buyer, seller = (taker_row, maker_row) if taker.side == _BID else (maker_row, taker_row)
    buffer(desk, FILLS, 0)[buyer] += traded
    buffer(desk, FILLS, 1)[seller] += traded
    buffer(desk, FILLS, 2)[buyer] += traded * price
    buffer(desk, FILLS, 3)[seller] += traded * price
    buffer(desk, FILLS, 4)[maker_row] += traded
    if maker_row == taker_row:
        buffer(desk, FILLS, 5)[maker_row] += traded


@jit
def match(desk, taker, makers, index):
    """Runs a taker against the orders of a side.

    Returns:
        Shares traded, and shares left (negative if self-match prevention cancels them).
    """
    words = words_at(desk)
    num_slots, self_match = words[NUM_SLOTS], words[SELF_MATCH]
    filled, remaining, gone = np.int64(0), taker.size, np.int64(0)
    while remaining > 0:
        if gone == words_at(makers)[COUNT]:
            if gone == 0:
                break
            remove_first(makers, num_slots, gone)
            gone = 0
            continue
        if not _is_crossed(taker, prices(makers)[gone]):
            break
        available = np.int64(sizes(makers)[gone])
        taken = min(remaining, available)
        if not _is_prevented(taker, agent_ids(makers)[gone], self_match):
            _record(desk, taker, makers, gone, taken, index)
            filled += taken
            remaining -= taken
        elif self_match == _CANCEL_INCOMING:
            remaining = -remaining
            break
        elif self_match == _CANCEL_RESTING:
            taken = available
        else:
            remaining -= taken
        if taken == available:
            gone += 1
        else:
            set_size(makers, gone, available - taken)
    if gone > 0:
        remove_first(makers, num_slots, gone)
    return filled, remaining
