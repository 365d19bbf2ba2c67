"""A taker against the orders of the other side, one after the other, for `xla` on CPUs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from lob_core.backends.xla_request import price_of
from lob_core.backends.xla_serial_rows import (
    AGENT_ID,
    KEY,
    ORDER_ID,
    SIZE,
    Side,
    loop,
    read_if,
    row_at,
    with_row,
)
from lob_core.backends.xla_serial_tables import WIDTH, Wish
from lob_core.types import Array, BookConfig, SelfMatch
from lob_core.types import Side as Sign


class Ledger(NamedTuple):
    """Where trades are written, of which one book has a part."""

    trades: Array  # [R, 8], fields of `Trades` in order; the row past the log's end is scratch
    sums: Array  # [S, 8], fields of `Fills` in order
    num_trades: Array  # [], of this book so far
    first_trade: Array  # [], its first row in `trades`
    first_sum: Array  # [], its first row in `sums`
    number: Array  # [], of the message that trades


def _is_prevented(row: Array, agent_id: Array, config: BookConfig) -> Array:
    """Whether self-match prevention keeps a maker and a taker of this agent from trading."""
    is_same = (row[AGENT_ID] == agent_id) & (agent_id >= 1)
    return is_same & (config.self_match != SelfMatch.OFF)


def cannot_fill(
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


def match(
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

    def run(
        _: Array, orders: Array, ledger: Ledger, count: Array, __: Array, ___: Array, left: Array
    ) -> tuple[Any, ...]:
        first = read_if(count > 0, orders, makers.start + jnp.maximum(count - 1, 0))
        state = (orders, ledger, first, count, jnp.zeros(2, jnp.int32), left)
        orders, ledger, row, count, done, left = loop(
            lambda _, __, row, count, ___, left: goes_on(row, count, left), trade, *state
        )
        change = jnp.where(column == of_taker, done[0], 0)
        change += jnp.where(column == 2 + of_taker, done[1], 0)
        sums = with_row(ledger.sums, taker_sum, row_at(ledger.sums, taker_sum) + change)
        ledger = ledger._replace(sums=sums)
        return jnp.bool_(False), orders, ledger, count, row[KEY], done[0], left

    state = (wanted > 0, orders, ledger, makers.number, makers.best, jnp.int32(0), wanted)
    _, orders, ledger, count, best, filled, left = loop(lambda pending, *_: pending, run, *state)
    return orders, makers._replace(number=count, best=best), ledger, filled, left
