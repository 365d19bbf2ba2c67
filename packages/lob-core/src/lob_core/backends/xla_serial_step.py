"""One message on one book, one order after the other, for the `xla` backend on CPUs."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from lob_core.backends.xla_lookup import hash_of
from lob_core.backends.xla_request import Request, price_of
from lob_core.backends.xla_serial_rows import (
    AGENT_ID,
    KEY,
    ORDER_ID,
    SIZE,
    Side,
    drop_worst,
    find,
    find_nth,
    insert,
    loop,
    read_if,
    replace,
    row_at,
    with_row,
)
from lob_core.types import (
    OPENING_AGENT,
    Array,
    BookConfig,
    SelfMatch,
    UnknownCancel,
)
from lob_core.types import Side as Sign

WIDTH = 8
"""Columns of the tables of requests, trades, sums and marks."""
_FLAGS = (
    "is_buy",
    "is_lookup",
    "is_modify",
    "is_delete",
    "is_new",
    "may_rest",
    "is_fok",
    "is_post_only",
)


class Wish(NamedTuple):
    """What one message asks for, leaves `[]`; see `Request`."""

    key: Array
    crossing_key: Array
    size: Array
    order_id: Array
    agent_id: Array
    hash: Array  # by which a cancel of an unknown id chooses, as the bits of an int32
    is_buy: Array
    is_lookup: Array
    is_modify: Array
    is_delete: Array
    is_new: Array
    may_rest: Array
    is_fok: Array
    is_post_only: Array


class Ledger(NamedTuple):
    """Where trades are written, of which one book has a part."""

    trades: Array  # [R, 8], fields of `Trades` in order; the row past the log's end is scratch
    sums: Array  # [S, 8], fields of `Fills` in order
    num_trades: Array  # [], of this book so far
    first_trade: Array  # [], its first row in `trades`
    first_sum: Array  # [], its first row in `sums`
    number: Array  # [], of the message that trades


class Marks(NamedTuple):
    """What is noted of messages, leaves `[...]`; see `Journal`."""

    is_known: Array
    is_found: Array
    is_taker: Array
    is_rejected: Array
    is_resting: Array
    is_dropped: Array
    filled: Array
    dropped_size: Array
    best_bid: Array
    best_ask: Array


_NUM_MARK_FLAGS = 6


def pack_wishes(requests: Request) -> Array:
    """Messages `[...]` as rows `[..., 8]` for `wish_of`."""
    flags = _pack_flags([getattr(requests, name) for name in _FLAGS])
    columns = (
        requests.key,
        requests.crossing_key,
        requests.size,
        requests.order_id,
        requests.agent_id,
        hash_of(requests).astype(jnp.int32),
        flags,
        flags,
    )
    return jnp.stack(columns, axis=-1)


def wish_of(row: Array) -> Wish:
    """The message of a row `[8]`."""
    return Wish(*(row[i] for i in range(6)), *_unpack_flags(row[6], len(_FLAGS)))


def pack_marks(marks: Marks) -> Array:
    """Marks of one message as a row `[8]`."""
    flags = _pack_flags(list(marks[:_NUM_MARK_FLAGS]))
    rest = marks[_NUM_MARK_FLAGS:]
    return jnp.stack([flags, *rest, *[jnp.int32(0)] * (WIDTH - 1 - len(rest))])


def unpack_marks(rows: Array) -> Marks:
    """Marks of rows `[..., 8]`."""
    rest = (rows[..., 1 + i] for i in range(len(Marks._fields) - _NUM_MARK_FLAGS))
    return Marks(*_unpack_flags(rows[..., 0], _NUM_MARK_FLAGS), *rest)


def _pack_flags(flags: list[Array]) -> Array:
    packed = flags[0].astype(jnp.int32)
    for i, flag in enumerate(flags[1:], start=1):
        packed |= flag.astype(jnp.int32) << i
    return packed


def _unpack_flags(packed: Array, number: int) -> list[Array]:
    return [(packed >> i) & 1 == 1 for i in range(number)]


def step(
    orders: Array, bids: Side, asks: Side, ledger: Ledger, wish: Wish, config: BookConfig
) -> tuple[Array, Side, Side, Ledger, Marks]:
    """Carries out one message.

    Args:
        orders: `[R, 4]`, the rows of both sides.
        bids: where the bids are.
        asks: where the asks are.
        ledger: where trades go.
        wish: the message.
        config: rules.
    """
    own = Side(*(jnp.where(wish.is_buy, b, a) for b, a in zip(bids, asks, strict=True)))
    opposite = Side(*(jnp.where(wish.is_buy, a, b) for b, a in zip(bids, asks, strict=True)))

    place, row, is_known, is_found = _look_up(orders, own, wish, config)
    keeps_place = (row[KEY] == wish.key) & (wish.size <= row[SIZE])
    is_requeue = wish.is_modify & is_found & ~keeps_place
    is_taker = wish.is_new | is_requeue
    agent_id = jnp.where(is_requeue, row[AGENT_ID], wish.agent_id)
    is_crossing = (opposite.number > 0) & (opposite.best <= wish.crossing_key)
    is_short = _is_short(orders, opposite, wish, agent_id, wish.is_fok & is_taker, config)
    is_rejected = is_short | (wish.is_post_only & is_crossing)
    is_active = is_taker & ~is_rejected

    is_whole = wish.is_delete & (is_known | (wish.size < 1))
    after = jnp.where(is_whole, 0, row[SIZE] - jnp.minimum(wish.size, row[SIZE]))
    after = jnp.where(wish.is_modify, wish.size, after)
    orders, own = replace(
        orders,
        own,
        jnp.where(is_found, place, 0),
        jnp.stack([row[KEY], after, row[ORDER_ID], row[AGENT_ID]]),
        removes=is_found & jnp.where(is_requeue, is_active, after == 0),
        changes=is_found & ~is_requeue,
    )

    wanted = jnp.where(is_active & is_crossing, wish.size, 0)
    orders, opposite, ledger, filled, left = _match(
        orders, opposite, ledger, wish, agent_id, wanted, config
    )
    left = jnp.where(is_crossing, left, wish.size)
    left = jnp.where(is_active & wish.may_rest, left, 0)

    is_full = (left > 0) & (own.number == config.num_slots)
    worst = read_if(is_full, orders, own.start)
    is_dropped = is_full & (worst[KEY] <= wish.key)
    is_pushed_out = is_full & ~is_dropped
    orders, own = drop_worst(orders, own, is_pushed_out)
    new = jnp.stack([wish.key, left, wish.order_id, agent_id])
    orders, own = insert(orders, own, new, (left > 0) & ~is_dropped)
    best = read_if(own.number > 0, orders, own.start + own.number - 1)[KEY]
    own = own._replace(best=best)

    bids = Side(*(jnp.where(wish.is_buy, a, b) for a, b in zip(own, opposite, strict=True)))
    asks = Side(*(jnp.where(wish.is_buy, b, a) for a, b in zip(own, opposite, strict=True)))
    marks = Marks(
        is_known=is_known,
        is_found=is_found,
        is_taker=is_taker,
        is_rejected=is_rejected,
        is_resting=left > 0,
        is_dropped=is_dropped,
        filled=filled,
        dropped_size=jnp.where(is_dropped, left, worst[SIZE]),
        best_bid=jnp.where(bids.number > 0, price_of(bids.best), 0),
        best_ask=jnp.where(asks.number > 0, price_of(asks.best), 0),
    )
    return orders, bids, asks, ledger, marks


def _look_up(
    orders: Array, own: Side, wish: Wish, config: BookConfig
) -> tuple[Array, Array, Array, Array]:
    """Place and row of the order that a message acts on; whether its id is known, and it is there.

    `config.unknown_cancel` may put another order in the place of one that is not there.
    """
    place, row, is_known = find(orders, own, wish.key, wish.order_id, wish.is_lookup)
    if config.unknown_cancel == UnknownCancel.STRICT:
        return place, row, is_known, is_known
    is_open = wish.is_lookup & ~wish.is_modify & ~is_known

    def is_candidate(row: Array) -> Array:
        if config.unknown_cancel == UnknownCancel.OPENING:
            return row[AGENT_ID] == OPENING_AGENT
        return (row[AGENT_ID] < 1) | (config.unknown_cancel == UnknownCancel.UNIFORM_ANY)

    number = jnp.int32(0)
    if config.unknown_cancel != UnknownCancel.OPENING:
        most = jnp.int32(config.num_slots)
        *_, left = find_nth(orders, own, wish.key, is_candidate, most, is_open)
        count = jnp.maximum(most - left, 1).astype(jnp.uint32)
        number = (wish.hash.astype(jnp.uint32) % count).astype(jnp.int32)
    other, other_row, is_there, _ = find_nth(orders, own, wish.key, is_candidate, number, is_open)
    place, row = jnp.where(is_open, other, place), jnp.where(is_open, other_row, row)
    return place, row, is_known, is_known | is_there


def _is_prevented(row: Array, agent_id: Array, config: BookConfig) -> Array:
    """Whether self-match prevention keeps a maker and a taker of this agent from trading."""
    is_same = (row[AGENT_ID] == agent_id) & (agent_id >= 1)
    return is_same & (config.self_match != SelfMatch.OFF)


def _is_short(
    orders: Array, makers: Side, wish: Wish, agent_id: Array, is_wanted: Array, config: BookConfig
) -> Array:
    """Whether a fill-or-kill order could not trade whole."""

    def count(place: Array, left: Array, _: Array) -> tuple[Array, Array, Array]:
        row = row_at(orders, makers.start + jnp.maximum(place, 0))
        is_reached = (place >= 0) & (row[KEY] <= wish.crossing_key)
        is_prevented = _is_prevented(row, agent_id, config)
        is_passed_over = is_prevented & (config.self_match == SelfMatch.CANCEL_RESTING)
        is_reached &= ~is_prevented | is_passed_over
        taken = jnp.where(is_reached & ~is_prevented, jnp.minimum(left, row[SIZE]), 0)
        return place - 1, left - taken, is_reached & (left > taken)

    state = (makers.number - 1, jnp.where(is_wanted, wish.size, 0), is_wanted)
    left: Array = loop(lambda _, __, goes_on: goes_on, count, *state)[1]
    return left > 0


def _match(
    orders: Array,
    makers: Side,
    ledger: Ledger,
    wish: Wish,
    agent_id: Array,
    wanted: Array,
    config: BookConfig,
) -> tuple[Array, Side, Ledger, Array, Array]:
    """Runs a taker of `wanted` shares against the makers.

    Returns:
        The orders, the makers, the ledger, shares traded, and shares left.
    """
    has_account = (agent_id >= 1) & (agent_id <= config.num_agents)
    taker_sum = ledger.first_sum + jnp.where(has_account, agent_id, 0)
    sign = jnp.where(wish.is_buy, Sign.BID, Sign.ASK).astype(jnp.int32)
    column = jnp.arange(WIDTH, dtype=jnp.int32)
    is_sell = (~wish.is_buy).astype(jnp.int32)
    of_taker, of_maker = is_sell, 1 - is_sell  # columns `bought`, `sold`; notionals two further

    def goes_on(row: Array, count: Array, left: Array) -> Array:
        return (left > 0) & (count > 0) & (row[KEY] <= wish.crossing_key)

    def trade(
        orders: Array, ledger: Ledger, row: Array, count: Array, done: Array, left: Array
    ) -> tuple[Array, Ledger, Array, Array, Array, Array]:
        is_prevented = _is_prevented(row, agent_id, config)
        reached = jnp.minimum(left, row[SIZE])
        taken = reached
        if config.self_match == SelfMatch.CANCEL_RESTING:
            taken = jnp.where(is_prevented, row[SIZE], reached)
        elif config.self_match == SelfMatch.CANCEL_INCOMING:
            taken = jnp.where(is_prevented, 0, reached)
        size = jnp.where(is_prevented, 0, reached)
        ledger = _record(ledger, row, size, ~is_prevented)
        orders = with_row(
            orders,
            makers.start + count - 1,
            jnp.stack([row[KEY], row[SIZE] - taken, row[ORDER_ID], row[AGENT_ID]]),
        )
        count = count - (taken == row[SIZE])
        if config.self_match == SelfMatch.CANCEL_INCOMING:
            left = jnp.where(is_prevented, 0, left - size)
        elif config.self_match == SelfMatch.CANCEL_RESTING:
            left = left - size
        else:
            left = left - reached
        maker, row = row, row_at(orders, makers.start + jnp.maximum(count - 1, 0))
        done += jnp.stack([size, size * price_of(maker[KEY])])
        return orders, ledger, row, count, done, left

    def _record(ledger: Ledger, row: Array, size: Array, is_trade: Array) -> Ledger:
        price = price_of(row[KEY])
        number = jnp.where(is_trade, ledger.num_trades, config.max_trades)
        values = [price, size, row[ORDER_ID], wish.order_id, row[AGENT_ID], agent_id, sign]
        trades = with_row(
            ledger.trades,
            ledger.first_trade + jnp.minimum(number, config.max_trades),
            jnp.stack([*values, ledger.number]),
        )
        maker = row[AGENT_ID]
        maker = jnp.where((maker >= 1) & (maker <= config.num_agents), maker, 0)
        maker_sum = ledger.first_sum + maker
        is_self = maker_sum == taker_sum
        is_size = (column == of_maker) | (column == 4) | ((column == 5) & is_self)
        change = jnp.where(is_size, size, 0) + jnp.where(column == 2 + of_maker, size * price, 0)
        sums = with_row(ledger.sums, maker_sum, row_at(ledger.sums, maker_sum) + change)
        num_trades = ledger.num_trades + is_trade
        return ledger._replace(trades=trades, sums=sums, num_trades=num_trades)

    first = read_if(wanted > 0, orders, makers.start + jnp.maximum(makers.number - 1, 0))
    state = (orders, ledger, first, makers.number, jnp.zeros(2, jnp.int32), wanted)
    orders, ledger, row, count, done, left = loop(
        lambda _, __, row, count, ___, left: goes_on(row, count, left), trade, *state
    )
    change = jnp.where(column == of_taker, done[0], 0)
    change += jnp.where(column == 2 + of_taker, done[1], 0)
    sums = with_row(ledger.sums, taker_sum, row_at(ledger.sums, taker_sum) + change)
    best = jnp.where(wanted > 0, row[KEY], makers.best)
    makers = makers._replace(number=count, best=best)
    return orders, makers, ledger._replace(sums=sums), done[0], left
