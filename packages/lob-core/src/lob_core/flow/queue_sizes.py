"""Sizes of the queues of `QueueReactive`: their bins, their stationary law, books drawn from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.flow.composing import is_background
from lob_core.flow.draws import (
    SIZE_TABLE_LENGTH,
    count_at_most,
    running_sum,
    size_from_uniform,
)
from lob_core.types import (
    BACKGROUND_AGENT,
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookConfig,
    Orders,
    Side,
)


def size_bins(size_floor: Array, units: Array) -> Array:
    """The bin of each queue.

    Args:
        size_floor: `[B]` int32, the smallest size of each bin, ascending from 0.
        units: `[...]` int32, sizes of queues.

    Returns:
        `[...]` int32, 0 to `B - 1`.
    """
    return count_at_most(size_floor[1:], units)


def stationary_law(
    limit_rate: Array, cancel_rate: Array, market_rate: Array, size_floor: Array, num_units: int
) -> Array:
    """The law of each queue's size while the reference price stays and orders are of one unit.

    A queue of `n` units is a birth-death chain, so `P(n) ~ prod_{k=1}^n limit(k - 1) /
    (k cancel(k) + market(k))`. Market orders are counted at distance 1 only, whose queue is the
    best one unless it is empty.

    Args:
        limit_rate: `[K, B]`, as in `QueueReactiveParams`.
        cancel_rate: `[K, B]`.
        market_rate: `[K, B]`.
        size_floor: `[B]`.
        num_units: `U`; sizes `0 .. U - 1` are counted, greater ones are cut off.

    Returns:
        `[K, U]` float32, each row a distribution.

    References:
        Huang, Lehalle, Rosenbaum (2015), section 2.3.1.
    """
    unit = jnp.arange(num_units, dtype=jnp.int32)
    column = size_bins(size_floor, unit)
    is_first = np.arange(limit_rate.shape[0])[:, None] == 0
    deaths = unit * cancel_rate[:, column] + jnp.where(is_first, market_rate[:, column], 0.0)
    steps = jnp.log(jnp.maximum(limit_rate[:, column[:-1]], 1e-30))
    steps -= jnp.log(jnp.maximum(deaths[:, 1:], 1e-30))
    logs = jnp.pad(jnp.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    return jax.nn.softmax(logs, axis=1)


def law_table(law: Array) -> Array:
    """`[K, SIZE_TABLE_LENGTH]` int32, equally likely sizes of laws `[K, U]` over `0 .. U - 1`."""
    share = (jnp.arange(SIZE_TABLE_LENGTH) + 0.5) / SIZE_TABLE_LENGTH
    sums = jnp.cumsum(law, axis=1)[:, :-1]
    return (sums[:, None, :] <= share[:, None]).sum(-1, dtype=jnp.int32)


def draw_queues(uniform: Array, queue_size: Array) -> Array:
    """Sizes of both sides' queues, independent of each other.

    Args:
        uniform: `[2, K]` float32 in `[0, 1)`.
        queue_size: `[K, S]` int32, equally likely sizes at each distance.

    Returns:
        `[2, K]` int32 units. The farthest queue of a side that would be empty holds one.
    """
    sizes = jax.vmap(size_from_uniform, (1, 0), 1)(uniform, queue_size)
    is_empty = sizes.sum(-1, keepdims=True) == 0
    is_last = np.arange(queue_size.shape[0]) == queue_size.shape[0] - 1
    return jnp.where(is_empty & is_last, 1, sizes)


def differences(
    orders: Orders, away: Array, wanted: Array, event_size: Array
) -> tuple[Array, Array]:
    """What the queues of one side lack of those drawn, and have too much.

    Args:
        orders: one side of the book, `[N]`.
        away: `[N]` int32, distances of its orders, from 0.
        wanted: `[K]` int32, shares that the queues should hold.
        event_size: `[K]` int32, shares of the orders that fill them.

    Returns:
        `[K]` float32, orders that each queue lacks, zero if there is no room for all of them; and
        `[N]` float32, 1 for the orders that stand behind as many shares of their queue as it
        should hold and are not agents', else 0.
    """
    num_levels = wanted.shape[0]
    is_live = orders.size > 0
    is_here = (away == jnp.arange(num_levels)[:, None]) & is_live
    shares = jnp.where(is_here, orders.size, 0).sum(-1)
    lacking = -(-jnp.maximum(wanted - shares, 0) // event_size)
    has_room = is_live.sum() + lacking.sum() <= away.shape[0]
    ahead = running_sum(orders.size.astype(jnp.float32)) - orders.size
    enough = running_sum(shares.astype(jnp.float32)) - shares + wanted
    is_over = ahead >= enough[jnp.clip(away, 0, num_levels - 1)]
    is_excess = is_background(orders) & (away < num_levels) & is_over
    return jnp.where(has_room, lacking, 0).astype(jnp.float32), is_excess.astype(jnp.float32)


def opening_side(
    counts: Array, event_size: Array, config: BookConfig, side: Side, nearest: Array
) -> tuple[Orders, Array]:
    """One side of an opening book.

    Args:
        counts: `[K]` int32, orders of one unit by distance.
        event_size: `[K]` int32, shares of one unit.
        config: shapes; orders beyond `num_slots` are left out, the farthest first.
        side: bids or asks.
        nearest: `[]` int32, price of the nearest distance, ticks.

    Returns:
        Orders `[N]`, with ids from 1, and how many they are.
    """
    slot = jnp.arange(config.num_slots, dtype=jnp.int32)
    level = (slot[:, None] >= jnp.cumsum(counts)).sum(-1, dtype=jnp.int32)
    price = nearest - side * level
    is_live = (level < counts.shape[0]) & (price >= 1)
    size = event_size[jnp.minimum(level, counts.shape[0] - 1)]
    orders = Orders(
        price=jnp.where(is_live, price, NO_PRICE),
        size=jnp.where(is_live, size, 0),
        order_id=jnp.where(is_live, slot + 1, NO_ORDER),
        agent_id=jnp.where(is_live, BACKGROUND_AGENT, NO_AGENT),
    )
    return orders, is_live.sum(dtype=jnp.int32)
