"""The trade log and the accounts of one call, for the `xla` backend."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lob_core.backends.xla_side import Match
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookConfig,
    BookState,
    Fills,
    Orders,
    SelfMatch,
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


def record(
    trades: Trades,
    makers: Orders,
    match: Match,
    order_id: Array,
    agent_id: Array,
    taker_side: Array,
    index: Array,
    config: BookConfig,
) -> Trades:
    """Writes the makers' prefix after the last trade; later messages overwrite what is unused.

    `count` goes on past the capacity: `finish_trades` turns the excess into dropped trades.
    """
    if config.max_trades == 0:
        return trades
    shape = match.fill.shape
    window = Trades(
        price=makers.price,
        size=match.fill,
        maker_order_id=makers.order_id,
        taker_order_id=jnp.broadcast_to(order_id, shape),
        maker_agent_id=makers.agent_id,
        taker_agent_id=jnp.broadcast_to(agent_id, shape),
        aggressor_side=jnp.broadcast_to(taker_side, shape),
        message_index=jnp.broadcast_to(index, shape),
        count=match.num_trades,
    )
    if config.self_match != SelfMatch.OFF:
        window = _close_gaps(window, match.fill > 0)
    start = jnp.minimum(trades.count, config.max_trades)

    def write(buffer: Array, rows: Array) -> Array:
        if buffer.ndim == 0:
            return buffer + rows
        return jax.lax.dynamic_update_slice(buffer, rows, (start,))

    written: Trades = jax.tree.map(write, trades, window)
    return written


def _close_gaps(window: Trades, is_trade: Array) -> Trades:
    """Moves the rows of trades to the front: prevented self-matches lie among them."""
    num_rows = is_trade.shape[0]
    row = jnp.where(is_trade, jnp.cumsum(is_trade) - 1, num_rows)

    def move(rows: Array) -> Array:
        return jnp.zeros_like(rows).at[row].set(rows, mode="drop") if rows.ndim else rows

    packed: Trades = jax.tree.map(move, window)
    return packed


def finish_trades(book: BookState, trades: Trades, config: BookConfig) -> tuple[BookState, Trades]:
    """Cuts the buffer to its capacity, blanks what is unused and counts what did not fit."""
    capacity = config.max_trades
    total = trades.count
    count = jnp.minimum(total, capacity)
    is_used = jnp.arange(capacity) < count
    blank = blank_trades(capacity)

    def finish(buffer: Array, empty: Array) -> Array:
        return jnp.where(is_used, buffer[:capacity], empty) if buffer.ndim else count

    finished: Trades = jax.tree.map(finish, trades, blank)
    counters = book.counters
    counters = counters.replace(dropped_trades=counters.dropped_trades + total - count)
    return book.replace(counters=counters), finished


def add_fills(
    fills: Fills,
    makers: Orders,
    match: Match,
    taker_agent: Array,
    is_buy: Array,
    config: BookConfig,
) -> Fills:
    """Adds one message's trades to the accounts of both parties."""
    accounts = jnp.arange(config.num_agents + 1)

    def account(agent_id: Array) -> Array:
        return jnp.where((agent_id >= 1) & (agent_id <= config.num_agents), agent_id, 0)

    notional = match.fill * makers.price  # int32, wraps: see `Fills`
    is_maker = account(makers.agent_id)[:, None] == accounts  # [N, A]
    is_taker = account(taker_agent) == accounts  # [A]
    maker_size = jnp.where(is_maker, match.fill[:, None], 0).sum(0)
    maker_notional = jnp.where(is_maker, notional[:, None], 0).sum(0)
    taker_size = jnp.where(is_taker, match.filled, 0)
    taker_notional = jnp.where(is_taker, notional.sum(), 0)
    return Fills(
        bought=fills.bought + jnp.where(is_buy, taker_size, maker_size),
        sold=fills.sold + jnp.where(is_buy, maker_size, taker_size),
        bought_notional=fills.bought_notional + jnp.where(is_buy, taker_notional, maker_notional),
        sold_notional=fills.sold_notional + jnp.where(is_buy, maker_notional, taker_notional),
        maker_size=fills.maker_size + maker_size,
        self_size=fills.self_size + jnp.where(is_taker, maker_size, 0),
    )
