"""Numbers that describe a book: mid, microprice, spread, imbalance, depth, order-flow imbalance.

Pure functions of one book (leaves `[N]`); use `vmap` for batches. A measure that needs both sides
says what it returns when one is empty: `has_both_sides` tells.
"""

from __future__ import annotations

import jax.numpy as jnp

from lob_core.types import Array, BookState, Orders, Side
from lob_core.views import Quotes, level_1, level_2, levels_of_side


def has_both_sides(book: BookState) -> Array:
    """`[]` bool, whether both sides hold an order."""
    return (book.bids.size[0] > 0) & (book.asks.size[0] > 0)


def best_bid(book: BookState) -> Array:
    """`[]` int32, ticks; `NO_PRICE` if there are no bids."""
    return book.bids.price[0]


def best_ask(book: BookState) -> Array:
    """`[]` int32, ticks; `NO_PRICE` if there are no asks."""
    return book.asks.price[0]


def mid_half_ticks(book: BookState) -> Array:
    """`[]` int32, best bid plus best ask: the mid in half ticks, exact; 0 unless both exist.

    Notes:
        Wraps if the sum passes 2^31, that is for prices above about 10^9 ticks.
    """
    return jnp.where(has_both_sides(book), best_bid(book) + best_ask(book), 0)


def mid(book: BookState) -> Array:
    """`[]` float32, ticks; 0 unless both sides exist. Exact up to 2^23 ticks."""
    return mid_half_ticks(book).astype(jnp.float32) * 0.5


def spread(book: BookState) -> Array:
    """`[]` int32, ticks from best bid to best ask; 0 unless both exist (a real one is >= 1)."""
    return jnp.where(has_both_sides(book), best_ask(book) - best_bid(book), 0)


def microprice(book: BookState) -> Array:
    """Mid weighted by the opposite touch: `(bid * ask_size + ask * bid_size) / (sum of sizes)`.

    Returns:
        `[]` float32, ticks; 0 unless both sides exist. It is computed as the mid plus a
        correction, which keeps float32's precision for the small part.

    References:
        Gatheral, Oomen (2010), Zero-intelligence realized variance estimation, Finance and
        Stochastics 14, where it is called the weighted mid.
    """
    quotes = level_1(book)
    correction = 0.5 * spread(book) * _relative_difference(quotes.bid_size, quotes.ask_size)
    return jnp.where(has_both_sides(book), mid(book) + correction, 0.0)


def imbalance(book: BookState, num_levels: int = 1) -> Array:
    """`(bid depth - ask depth) / (bid depth + ask depth)` over the best levels; > 0 is bid-heavy.

    Args:
        book: one book.
        num_levels: price levels of each side that count, static.

    Returns:
        `[]` float32 in -1 .. 1; 0 for an empty book.
    """
    bids, asks = level_2(book, num_levels)
    return _relative_difference(bids.size.sum(), asks.size.sum())


def _relative_difference(a: Array, b: Array) -> Array:
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return jnp.where(a + b > 0, (a - b) / jnp.maximum(a + b, 1.0), 0.0)


def depth(orders: Orders, num_levels: int) -> Array:
    """`[]` int32, shares on the best `num_levels` (static) price levels of one side."""
    return levels_of_side(orders, num_levels).size.sum()


def depth_within(orders: Orders, num_ticks: Array | int) -> Array:
    """Shares of one side within `num_ticks` of its best price.

    Args:
        orders: one side, leaves `[N]`.
        num_ticks: `[]` int32; 0 counts the best level alone.

    Returns:
        `[]` int32, shares (wraps at 2^31).
    """
    is_near = jnp.abs(orders.price - orders.price[0]) <= num_ticks
    return jnp.where((orders.size > 0) & is_near, orders.size, 0).sum()


def order_flow_imbalance(before: Quotes, after: Quotes) -> Array:
    """Net shares that orders added to the bid and took from the ask between two looks.

    `e = [P_b' >= P_b] q_b' - [P_b' <= P_b] q_b - [P_a' <= P_a] q_a' + [P_a' >= P_a] q_a`, where a
    prime marks the later look. Summed over successive looks it measures the pressure on the price.
    An empty side counts as a price beyond all others with no shares.

    Args:
        before: the earlier best quotes.
        after: the later ones; leading axes may differ from `before`'s if they broadcast.

    Returns:
        `[...]` int32, shares; > 0 is buying pressure.

    References:
        Cont, Kukanov, Stoikov (2014), The price impact of order book events, Journal of Financial
        Econometrics 12(1), equation 4.
    """
    far = 2**31 - 1
    ask_before = jnp.where(before.ask_size > 0, before.ask_price, far)
    ask_after = jnp.where(after.ask_size > 0, after.ask_price, far)
    bid = jnp.where(after.bid_price >= before.bid_price, after.bid_size, 0) - jnp.where(
        after.bid_price <= before.bid_price, before.bid_size, 0
    )
    ask = jnp.where(ask_after <= ask_before, after.ask_size, 0) - jnp.where(
        ask_after >= ask_before, before.ask_size, 0
    )
    return bid - ask


def walk_notional(
    orders: Orders, size: Array | int, reference_price: Array | int
) -> tuple[Array, Array]:
    """What taking `size` shares from a side would fill, and at what total price.

    Args:
        orders: the side that would be hit, leaves `[N]`.
        size: `[]` int32, shares wanted.
        reference_price: `[]` int32, ticks, from which prices are measured so that the sum stays
            small.

    Returns:
        Shares filled, `[]` int32, and the sum of `(price - reference_price) * shares`, `[]`
        int32, ticks times shares (wraps at 2^31). Side totals above 2^31 shares wrap too.
    """
    ahead = jnp.cumsum(orders.size) - orders.size
    fill = jnp.clip(size - ahead, 0, orders.size)
    return fill.sum(), (fill * (orders.price - reference_price)).sum()


def best_price(book: BookState, side: Array | int) -> Array:
    """`[]` int32, ticks, best price of `side` (`[]` int32, a `Side`); `NO_PRICE` if empty."""
    return jnp.where(jnp.asarray(side) == Side.BID, best_bid(book), best_ask(book))
