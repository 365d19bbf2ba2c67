"""Trades, reports, fills and counters from the journal of a block, for the `xla` backend."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lob_core.backends.xla_pool import Labels, Pool, running_sum
from lob_core.backends.xla_request import Request, price_of
from lob_core.backends.xla_serial_tables import Marks
from lob_core.backends.xla_step import Journal
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookConfig,
    Counters,
    Fills,
    Reports,
    ResultCode,
    SelfMatch,
    Side,
    Trades,
)


def blank_trades(length: int) -> Trades:
    """A trade log of `length` unused rows."""

    def rows(value: int) -> Array:
        return jnp.full(length, value, jnp.int32)

    return Trades(
        price=rows(NO_PRICE),
        size=rows(0),
        maker_order_id=rows(NO_ORDER),
        taker_order_id=rows(NO_ORDER),
        maker_agent_id=rows(NO_AGENT),
        taker_agent_id=rows(NO_AGENT),
        aggressor_side=rows(0),
        message_index=rows(0),
        count=jnp.int32(0),
    )


def num_rows(num_messages: int, config: BookConfig) -> int:
    """Rows that `trades_of` returns: as many as a block can trade, or as the log can hold."""
    most = 2 * (config.num_slots + num_messages)
    has_gaps = config.self_match != SelfMatch.OFF
    return most if has_gaps else min(most, config.max_trades)


def trades_of(
    labels: Labels,
    pool: Pool,
    by_rank: Array,
    requests: Request,
    journal: Journal,
    first_index: Array,
    config: BookConfig,
) -> Trades:
    """The trades of a block, in order.

    Orders that were used up still have the size that was left of them then.

    Args:
        labels: of the pool.
        pool: as the block left it.
        by_rank: `[2, R]`, see `slots_by_rank`.
        requests: the block's messages, leaves `[L]`.
        journal: what was noted of them.
        first_index: `[]`, position of the block's first message in the call.
        config: capacity and rules.

    Returns:
        Leaves `[num_rows]`; rows without a trade have size zero, and follow the others. `count`
        is that of all trades.
    """
    num_makers = journal.num_gone + (journal.last_size != 0)
    end_row = running_sum(num_makers)
    row = jnp.arange(num_rows(num_makers.shape[0], config), dtype=jnp.int32)
    is_used = row < end_row[-1]
    message, begin_row = _message_of(row, end_row)

    def of_message(values: Array) -> Array:
        return values.at[message].get(mode="promise_in_bounds")

    number = row - begin_row
    is_buy = of_message(requests.is_buy)
    rank = of_message(journal.first_rank) + number
    flat = jnp.where(is_buy, by_rank.shape[1], 0) + rank  # a buyer's makers are the asks
    is_last = number == of_message(journal.num_gone)
    slot = by_rank.reshape(-1).at[flat].get(mode="clip")
    slot = jnp.where(is_last, of_message(journal.last_slot), slot)
    taker, maker = of_message(journal.agent_id), pool.agent_id[slot]
    if config.self_match != SelfMatch.OFF:
        is_used &= ~((taker == maker) & (maker >= 1))
    trades = Trades(
        price=price_of(labels.key[slot]),
        size=jnp.where(is_last, of_message(journal.last_size), pool.size[slot]),
        maker_order_id=labels.order_id[slot],
        taker_order_id=of_message(requests.order_id),
        maker_agent_id=maker,
        taker_agent_id=taker,
        aggressor_side=jnp.where(is_buy, Side.BID, Side.ASK).astype(jnp.int32),
        message_index=first_index + message,
        count=end_row[-1],
    )
    if config.self_match != SelfMatch.OFF:
        return _close_gaps(trades, is_used)
    blank = blank_trades(row.shape[0])
    used: Trades = jax.tree.map(
        lambda rows, free: jnp.where(is_used, rows, free) if rows.ndim else rows, trades, blank
    )
    return used


def _message_of(row: Array, end_row: Array) -> tuple[Array, Array]:
    """The message of each row `[T]`, and its first row, given where the rows of each `[L]` end.

    Two reductions in one are many times faster than `searchsorted`.
    """
    is_before = end_row <= row[:, None]  # [T, L]
    last = end_row.shape[0] - 1

    def combine(left: Sequence[Array], right: Sequence[Array]) -> Sequence[Array]:
        return [left[0] + right[0], jnp.maximum(left[1], right[1])]

    values = [is_before.astype(jnp.int32), jnp.where(is_before, end_row, 0)]
    message, begin = jax.lax.reduce(values, [jnp.int32(0)] * 2, combine, (1,))
    return jnp.minimum(message, last), begin


def _close_gaps(trades: Trades, is_trade: Array) -> Trades:
    """Moves the rows of trades to the front: prevented self-matches lie among them."""
    count = is_trade.sum(dtype=jnp.int32)
    row = jnp.where(is_trade, jnp.cumsum(is_trade) - 1, is_trade.shape[0])

    def move(rows: Array, blank: Array) -> Array:
        return blank.at[row].set(rows, mode="drop") if rows.ndim else count

    packed: Trades = jax.tree.map(move, trades, blank_trades(is_trade.shape[0]))
    return packed


def append(log: Trades, trades: Trades, max_trades: int) -> Trades:
    """Writes a block's trades behind those of earlier blocks; `count` goes on past the capacity.

    Args:
        log: leaves `[T + R]`, so that rows past the capacity `T` have a place.
        trades: leaves `[R]`.
        max_trades: `T`.
    """
    start = jnp.minimum(log.count, max_trades)

    def write(buffer: Array, rows: Array) -> Array:
        if buffer.ndim == 0:
            return buffer + rows
        return jax.lax.dynamic_update_slice(buffer, rows, (start,))

    written: Trades = jax.tree.map(write, log, trades)
    return written


def reports_of(requests: Request, journal: Journal | Marks) -> Reports:
    """The reports of messages, leaves `[M]`."""
    has_traded = journal.filled > 0
    rested = jnp.where(has_traded, ResultCode.PARTLY_FILLED_RESTED, ResultCode.RESTED)
    expired = jnp.where(has_traded, ResultCode.PARTLY_FILLED_EXPIRED, ResultCode.EXPIRED)
    rejected = jnp.where(
        requests.is_post_only, ResultCode.REJECTED_POST_ONLY, ResultCode.REJECTED_FOK
    )
    cases = [
        (requests.is_ignored, ResultCode.IGNORED),
        (~requests.is_known_type, ResultCode.REJECTED_UNKNOWN_TYPE),
        (~requests.is_valid, ResultCode.REJECTED_INVALID),
        (requests.is_lookup & ~journal.is_found, ResultCode.REJECTED_UNKNOWN_ID),
        (~journal.is_taker, ResultCode.DONE),
        (journal.is_rejected, rejected),
        (journal.filled == requests.size, ResultCode.FILLED),
        (~journal.is_resting, expired),
        (journal.is_dropped, ResultCode.DROPPED),
    ]
    code: Array = rested
    for applies, value in reversed(cases):  # `select` of many cases would stack them
        code = jnp.where(applies, jnp.asarray(value, jnp.int32), code)
    return Reports(
        code=code.astype(jnp.int32),
        filled_size=journal.filled,
        best_bid=journal.best_bid,
        best_ask=journal.best_ask,
    )


def fills_of(requests: Request, journal: Journal, config: BookConfig) -> Fills:
    """Trades of messages summed by account, leaves `[A]`."""
    accounts = jnp.arange(config.num_agents + 1)
    taker = journal.agent_id
    taker = jnp.where((taker >= 1) & (taker <= config.num_agents), taker, 0)
    is_taker = taker[:, None] == accounts  # [M, A]
    is_buy = requests.is_buy[:, None]
    maker_size, maker_notional = journal.maker_size, journal.maker_notional
    taker_size = jnp.where(is_taker, maker_size.sum(1, keepdims=True), 0)
    taker_notional = jnp.where(is_taker, maker_notional.sum(1, keepdims=True), 0)
    return Fills(
        bought=jnp.where(is_buy, taker_size, maker_size).sum(0),
        sold=jnp.where(is_buy, maker_size, taker_size).sum(0),
        bought_notional=jnp.where(is_buy, taker_notional, maker_notional).sum(0),
        sold_notional=jnp.where(is_buy, maker_notional, taker_notional).sum(0),
        maker_size=maker_size.sum(0),
        self_size=jnp.where(is_taker, maker_size, 0).sum(0),
    )


def count_up(
    counters: Counters, requests: Request, journal: Journal | Marks, dropped_trades: Array
) -> Counters:
    """The counters after messages."""
    is_invalid = requests.is_known_type & ~requests.is_ignored & ~requests.is_valid
    is_unknown = requests.is_lookup & ~journal.is_known

    def number(flags: Array) -> Array:
        return flags.sum(dtype=jnp.int32)

    return Counters(
        dropped_orders=counters.dropped_orders + number(journal.dropped_size > 0),
        dropped_size=counters.dropped_size + journal.dropped_size.sum(),
        dropped_trades=counters.dropped_trades + dropped_trades,
        unknown_ids=counters.unknown_ids + number(is_unknown),
        unknown_types=counters.unknown_types + number(~requests.is_known_type),
        invalid=counters.invalid + number(is_invalid),
    )
