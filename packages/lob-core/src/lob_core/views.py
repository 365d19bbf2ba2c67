"""Snapshots of a book: levels, orders, queues. Pure; each view costs O(slots) and sorts nothing.

A side is kept in priority order, so a price level is a run of slots: levels are numbered by a
cumulative sum over the slots where the price changes, and sizes are summed by that number.
All functions take one book or side (leaves `[N]`); use `vmap` for batches.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookState,
    Orders,
    Side,
    pytree_dataclass,
)


@pytree_dataclass
class Quotes:
    """The best quotes (level 1).

    Attributes:
        bid_price: `[]` int32, ticks; `NO_PRICE` if the side is empty.
        bid_size: `[]` int32, shares at that price.
        ask_price: `[]` int32, ticks; `NO_PRICE` if the side is empty.
        ask_size: `[]` int32, shares at that price.
    """

    bid_price: Array
    bid_size: Array
    ask_price: Array
    ask_size: Array


@pytree_dataclass
class Levels:
    """Price levels of one side, best first (level 2).

    Attributes:
        price: `[L]` int32, ticks; `NO_PRICE` where there is no such level.
        size: `[L]` int32, shares (wraps at 2^31).
        num_orders: `[L]` int32.
    """

    price: Array
    size: Array
    num_orders: Array


@pytree_dataclass
class OrderList:
    """Orders of both sides in a row, `K` of them: bids then asks (level 3).

    Attributes:
        side: `[K]` int32, a `Side`; 0 in an unused row.
        price: `[K]` int32, ticks; `NO_PRICE` in an unused row.
        size: `[K]` int32, shares; 0 in an unused row.
        order_id: `[K]` int32; `NO_ORDER` in an unused row.
        agent_id: `[K]` int32; `NO_AGENT` in an unused row.
    """

    side: Array
    price: Array
    size: Array
    order_id: Array
    agent_id: Array


def orders_of_side(book: BookState, side: Array | int) -> Orders:
    """The orders of `side` (`[]` int32, a `Side`), leaves `[N]`."""
    is_bid = jnp.asarray(side) == Side.BID
    chosen: Orders = jax.tree.map(lambda b, a: jnp.where(is_bid, b, a), book.bids, book.asks)
    return chosen


def level_1(book: BookState) -> Quotes:
    """Best bid and ask with the shares at each."""
    return Quotes(
        bid_price=book.bids.price[0],
        bid_size=volume_at_price(book.bids, book.bids.price[0]),
        ask_price=book.asks.price[0],
        ask_size=volume_at_price(book.asks, book.asks.price[0]),
    )


def level_2(book: BookState, num_levels: int) -> tuple[Levels, Levels]:
    """The best `num_levels` price levels of bids and asks.

    Args:
        book: one book.
        num_levels: `L`, static, >= 1.

    Returns:
        Levels of the bids and of the asks, leaves `[L]`.

    Raises:
        ValueError: if `num_levels` is below 1.
    """
    return levels_of_side(book.bids, num_levels), levels_of_side(book.asks, num_levels)


def levels_of_side(orders: Orders, num_levels: int) -> Levels:
    """The best `num_levels` price levels of one side, leaves `[L]`.

    Raises:
        ValueError: if `num_levels` is below 1.
    """
    if num_levels < 1:
        raise ValueError(f"num_levels is {num_levels}; it must be >= 1")
    is_live = orders.size > 0
    is_new_level = is_live & (orders.price != jnp.roll(orders.price, 1))
    is_new_level = is_new_level.at[0].set(is_live[0])
    number = jnp.cumsum(is_new_level) - 1  # [N], 0 for the best level
    number = jnp.where(is_live, number, num_levels)

    def by_level(values: Array) -> Array:
        return jnp.zeros(num_levels, jnp.int32).at[number].add(values, mode="drop")

    return Levels(
        price=by_level(jnp.where(is_new_level, orders.price, NO_PRICE)),
        size=by_level(orders.size),
        num_orders=by_level(is_live.astype(jnp.int32)),
    )


def level_3(book: BookState) -> OrderList:
    """Every order of both sides, leaves `[2 N]`."""
    return _list_orders(book, book.bids.size > 0, book.asks.size > 0)


def orders_of_agent(book: BookState, agent_id: Array | int) -> OrderList:
    """The resting orders of one agent, in their rows of `level_3`; other rows are unused.

    Args:
        book: one book.
        agent_id: `[]` int32.

    Returns:
        Leaves `[2 N]`.
    """
    return _list_orders(
        book,
        (book.bids.size > 0) & (book.bids.agent_id == agent_id),
        (book.asks.size > 0) & (book.asks.agent_id == agent_id),
    )


def _list_orders(book: BookState, is_bid_listed: Array, is_ask_listed: Array) -> OrderList:
    is_listed = jnp.concatenate([is_bid_listed, is_ask_listed])
    num_bids = is_bid_listed.shape[0]
    side = jnp.where(jnp.arange(is_listed.shape[0]) < num_bids, Side.BID, Side.ASK)

    def rows(name: str, unused: int) -> Array:
        both = jnp.concatenate([getattr(book.bids, name), getattr(book.asks, name)])
        return jnp.where(is_listed, both, unused)

    return OrderList(
        side=jnp.where(is_listed, side, 0).astype(jnp.int32),
        price=rows("price", NO_PRICE),
        size=rows("size", 0),
        order_id=rows("order_id", NO_ORDER),
        agent_id=rows("agent_id", NO_AGENT),
    )


def volume_at_price(orders: Orders, price: Array | int) -> Array:
    """`[]` int32, shares resting on one side at `price` (`[]` int32, ticks)."""
    return jnp.where((orders.size > 0) & (orders.price == price), orders.size, 0).sum()


def volume_to_price(orders: Orders, price: Array | int, side: Array | int) -> Array:
    """Shares that a taker can have from a side without paying more than `price`.

    Args:
        orders: the side that would be hit.
        price: `[]` int32, ticks; included.
        side: `[]` int32, the `Side` of `orders`.

    Returns:
        `[]` int32, shares (wraps at 2^31).
    """
    is_bid = jnp.asarray(side) == Side.BID
    is_within = jnp.where(is_bid, orders.price >= price, orders.price <= price)
    return jnp.where((orders.size > 0) & is_within, orders.size, 0).sum()


def find_order(
    orders: Orders, order_id: Array | int, price: Array | int | None = None
) -> tuple[Array, Array]:
    """Where an order rests, found as the engine finds it.

    Args:
        orders: the side it should be on.
        order_id: `[]` int32.
        price: `[]` int32, ticks; orders at this price are preferred. None means no preference.

    Returns:
        Its slot, `[]` int32, and whether it was found, `[]` bool. The slot is 0 if not.
    """
    is_named = (orders.size > 0) & (orders.order_id == order_id)
    if price is not None:
        is_at_price = is_named & (orders.price == price)
        is_named = jnp.where(is_at_price.any(), is_at_price, is_named)
    return jnp.argmax(is_named).astype(jnp.int32), is_named.any()


def queue_ahead(orders: Orders, order_id: Array | int, price: Array | int | None = None) -> Array:
    """Shares that trade before a resting order at the same price.

    Args:
        orders: the side the order rests on.
        order_id: `[]` int32, the order to look up.
        price: `[]` int32, ticks; orders at this price are preferred. None means no preference.

    Returns:
        `[]` int32, shares; zero if the order is first, or is not on this side.
    """
    slot, is_found = find_order(orders, order_id, price)
    is_ahead = (jnp.arange(orders.size.shape[0]) < slot) & (orders.price == orders.price[slot])
    return jnp.where(is_found & is_ahead, orders.size, 0).sum()


def queue_position(
    orders: Orders, order_id: Array | int, price: Array | int | None = None
) -> Array:
    """Orders that trade before a resting order at the same price.

    Args:
        orders: the side the order rests on.
        order_id: `[]` int32, the order to look up.
        price: `[]` int32, ticks; orders at this price are preferred. None means no preference.

    Returns:
        `[]` int32; 0 for the first in the queue, -1 if the order is not on this side.
    """
    slot, is_found = find_order(orders, order_id, price)
    is_ahead = (jnp.arange(orders.size.shape[0]) < slot) & (orders.price == orders.price[slot])
    return jnp.where(is_found, is_ahead.sum(dtype=jnp.int32), -1)


def shares_ahead_of_slots(orders: Orders) -> Array:
    """`[N]` int32, for every slot the shares at its price that trade before it (free slots: 0)."""
    is_live = orders.size > 0
    before = jnp.cumsum(orders.size) - orders.size  # int32, wraps; the difference below is exact
    is_first = (orders.price != jnp.roll(orders.price, 1)).at[0].set(True)
    slots = jnp.arange(orders.size.shape[0])
    first_slot = jax.lax.cummax(jnp.where(is_first, slots, 0))
    return jnp.where(is_live, before - before[first_slot], 0)
