"""The yardstick: a matching engine of the usual JAX design, one order at a time.

Orders lie in any slot, with the number of their message as time of arrival. A taker runs in a
`while_loop` that looks for the best resting order on every pass; a new order takes a free slot.
Limit (GTC), market, cancel and delete messages only, and no rule for a side that is full. It trades
what `lob_core` trades, which the benchmarks check.

It flatters its kind. JAX-LOB (Frey et al. 2023, ICAIF), the engine of JaxMARL-HFT, is built in the
same way but does more for each message: it branches on side and type by `lax.switch`, all of whose
four branches `vmap` carries out, two of them with a matching loop, and breaks ties of price by two
columns of time.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from lob_core import BookConfig, BookState, EventType, Message, Orders, Side
from lob_core.types import Array


class Slots(NamedTuple):
    """One side, leaves `[N]`; free slots have size zero."""

    price: Array
    size: Array
    order_id: Array
    agent_id: Array
    arrival: Array


class Log(NamedTuple):
    """Trades, leaves `[T]`; what comes after the last row is lost."""

    price: Array
    size: Array
    maker_order_id: Array
    taker_order_id: Array
    count: Array  # []


def _as_slots(orders: Orders) -> Slots:
    """A sorted side; those ahead in the array came first."""
    arrival = jnp.arange(orders.size.shape[0], dtype=jnp.int32) - orders.size.shape[0]
    return Slots(orders.price, orders.size, orders.order_id, orders.agent_id, arrival)


def _best(makers: Slots, direction: Array) -> Array:
    """Slot of the order of highest priority; `direction` is -1 if high prices come first."""
    worst = jnp.iinfo(jnp.int32).max
    price = jnp.where(makers.size > 0, makers.price * direction, worst)
    return jnp.argmin(jnp.where(price == price.min(), makers.arrival, worst))


def _match(
    makers: Slots, log: Log, size: Array, limit: Array, direction: Array, order_id: Array
) -> tuple[Slots, Log, Array]:
    """Runs a taker against the makers; returns what it has left as well."""

    def goes_on(state: tuple[Slots, Log, Array]) -> Array:
        makers, _, left = state
        slot = _best(makers, direction)
        is_crossed = makers.price[slot] * direction <= limit * direction
        return (left > 0) & (makers.size[slot] > 0) & is_crossed

    def trade(state: tuple[Slots, Log, Array]) -> tuple[Slots, Log, Array]:
        makers, log, left = state
        slot = _best(makers, direction)
        traded = jnp.minimum(left, makers.size[slot])
        log = Log(
            price=log.price.at[log.count].set(makers.price[slot], mode="drop"),
            size=log.size.at[log.count].set(traded, mode="drop"),
            maker_order_id=log.maker_order_id.at[log.count].set(makers.order_id[slot], mode="drop"),
            taker_order_id=log.taker_order_id.at[log.count].set(order_id, mode="drop"),
            count=log.count + 1,
        )
        return makers._replace(size=makers.size.at[slot].add(-traded)), log, left - traded

    return jax.lax.while_loop(goes_on, trade, (makers, log, size))


def _rest(own: Slots, message: Message, size: Array, index: Array) -> Slots:
    """Puts an order into the first free slot."""
    slot = jnp.argmin(own.size)
    new = Slots(message.price, size, message.order_id, message.agent_id, index)
    return jax.tree.map(lambda x, value: x.at[slot].set(value), own, new)


def _take_off(own: Slots, message: Message) -> Slots:
    """Carries out a cancel or delete."""
    is_it = (own.order_id == message.order_id) & (own.size > 0)
    is_delete = message.event_type == EventType.DELETE
    taken = jnp.where(is_delete, own.size, jnp.minimum(message.size, own.size))
    return own._replace(size=own.size - jnp.where(is_it, taken, 0))


def play(book: BookState, messages: Message, config: BookConfig) -> tuple[tuple[Slots, Slots], Log]:
    """Plays messages `[M]` through a book with leaves `[N]`.

    Returns:
        Both sides, bids first, and the trades.
    """
    rows = jnp.zeros(config.max_trades, jnp.int32)
    log = Log(rows, rows, rows, rows, jnp.int32(0))

    def step(state, item):
        bids, asks, log = state
        message, index = item
        is_buy = message.side == Side.BID
        own, makers = jax.lax.cond(is_buy, lambda: (bids, asks), lambda: (asks, bids))
        kind = message.event_type
        is_limit, is_market = kind == EventType.SUBMIT, kind == EventType.MARKET
        direction = jnp.where(is_buy, 1, -1)
        any_price = jnp.where(is_buy, jnp.iinfo(jnp.int32).max, 0)
        limit = jnp.where(is_market, any_price, message.price)
        size = jnp.where(is_limit | is_market, message.size, 0)
        makers, log, left = _match(makers, log, size, limit, direction, message.order_id)
        own = jax.lax.cond(
            is_limit & (left > 0), lambda: _rest(own, message, left, index), lambda: own
        )
        is_reduction = (kind == EventType.CANCEL) | (kind == EventType.DELETE)
        own = jax.lax.cond(is_reduction, lambda: _take_off(own, message), lambda: own)
        bids, asks = jax.lax.cond(is_buy, lambda: (own, makers), lambda: (makers, own))
        return (bids, asks, log), None

    indices = jnp.arange(messages.price.shape[0], dtype=jnp.int32)
    state = (_as_slots(book.bids), _as_slots(book.asks), log)
    (bids, asks, log), _ = jax.lax.scan(step, state, (messages, indices))
    return (bids, asks), log
