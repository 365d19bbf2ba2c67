"""What rule-based agents remember and how they act on it; all functions see one agent."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import wanted_orders
from marl_envs.types import AgentState, MarketState, Wanted

Array = jax.Array


def keep(agent: AgentState) -> Wanted:
    """The agent's resting orders as they are, so that they keep their places; leaves `[K]`."""
    orders = agent.orders
    size = jnp.sum(orders.size, axis=-1)
    return Wanted(
        side=jnp.where(size > 0, orders.side, Side.BID),
        price=jnp.maximum(orders.price, 1),
        size=size,
        is_immediate=jnp.zeros_like(size, bool),
    )


def choose(flag: Array, if_true: Any, if_false: Any) -> Any:
    """One of two trees of equal shapes, by a `[]` bool."""
    return jax.tree.map(lambda a, b: jnp.where(flag, a, b), if_true, if_false)


def trade_towards(target: Array, agent: AgentState, limit: Array | int) -> Wanted:
    """One immediate order at the far touch that brings the inventory closer to a target.

    Args:
        target: `[]` int32, shares.
        agent: whose inventory it is.
        limit: most shares of the order.
    """
    missing = jnp.clip(target - agent.account.inventory, -limit, limit)
    is_buy = missing > 0
    side = jnp.where(is_buy, Side.BID, Side.ASK)
    price = jnp.where(is_buy, agent.best_ask, agent.best_bid)
    return wanted_orders((side, price, jnp.abs(missing)), is_immediate=True)


def mid_window(market: MarketState, length: int) -> Array:
    """A memory of mids in half ticks, `[length]` int32, filled with the present one."""
    return jnp.full(length, market.mid_half_ticks, jnp.int32)


def push(window: Array, value: Array) -> Array:
    """The window with a value at its end and without its first."""
    return jnp.concatenate([window[1:], value[None]])


def seconds_since(time: tuple[Array, Array], market: MarketState) -> Array:
    """Seconds between a time (seconds, nanoseconds) and now, `[]` float32."""
    return (market.time_s - time[0]) + (market.time_ns - time[1]).astype(jnp.float32) * 1e-9


def time_of(market: MarketState) -> tuple[Array, Array]:
    """The time now, seconds and nanoseconds, int32."""
    return market.time_s, market.time_ns
