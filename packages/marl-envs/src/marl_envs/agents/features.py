"""Features that observations are put together from, as `{name: float32 []}`.

Prices are relative to the market and in ticks, tamed by `symlog`; sizes are logs. Nothing depends
on the price level of the stock. What is to be tamed is only marked as such and tamed together with
the rest of its vector: one logarithm compiles and runs faster than twenty.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from marl_envs.agents.base import symlog
from marl_envs.types import AgentState, MarketState

Array = jax.Array


class Tamed(NamedTuple):
    """A feature that enters its vector as `symlog(value)`; of a size that is ln(1 + size)."""

    value: Array


Features: TypeAlias = dict[str, Array | Tamed]


def stack(features: Features) -> Array:
    """The features as one vector, `[F]` float32, in their order."""
    is_tamed = np.array([isinstance(value, Tamed) for value in features.values()])
    numbers = [value.value if isinstance(value, Tamed) else value for value in features.values()]
    vector = jnp.stack([jnp.asarray(number, jnp.float32) for number in numbers])
    return jnp.where(is_tamed, symlog(vector), vector)


def time_left(market: MarketState) -> Array:
    """Share of the episode's steps that is left, 1 at the start and 0 at the end."""
    return market.steps_left / jnp.maximum(market.step + market.steps_left, 1)


def mid_return(market: MarketState) -> Array:
    """Mid minus the mid when the episode began, ticks."""
    return (market.mid_half_ticks - market.mid_open_half_ticks) / 2


def own_orders(agent: AgentState) -> Features:
    """Own quotes: presence, distance behind the touch of the others, size, queue ahead."""
    has_bid, has_ask = agent.bid_quote > 0, agent.ask_quote > 0
    bid_distance = jnp.where(has_bid, agent.best_bid - agent.bid_quote, 0)
    ask_distance = jnp.where(has_ask, agent.ask_quote - agent.best_ask, 0)
    return {
        "own_bid_distance": Tamed(bid_distance),
        "own_ask_distance": Tamed(ask_distance),
        "own_bid_size": Tamed(agent.bid_quote_size),
        "own_ask_size": Tamed(agent.ask_quote_size),
        "own_bid_queue": Tamed(agent.bid_queue),
        "own_ask_queue": Tamed(agent.ask_queue),
    }


def position(agent: AgentState, market: MarketState, unit: int) -> Features:
    """Inventory, cash less fees and worth in units of `unit` shares, and the time left."""
    cash = agent.account.net_cash / unit
    # cash is counted from the reference price, which is the mid at the open rounded down
    mark = mid_return(market) + (market.mid_open_half_ticks & 1) / 2
    inventory = agent.account.inventory / unit
    return {
        "inventory": Tamed(inventory),
        "cash": Tamed(cash),
        "worth": Tamed(cash + inventory * mark),
        "time_left": time_left(market),
    }


def market_features(market: MarketState) -> Features:
    """Return, spread, touch sizes, imbalance, microprice, signed volume and volatility."""
    bid_size = market.bid_size.astype(jnp.float32)
    ask_size = market.ask_size.astype(jnp.float32)
    imbalance = (bid_size - ask_size) / jnp.maximum(bid_size + ask_size, 1.0)
    spread = (market.best_ask - market.best_bid).astype(jnp.float32)
    return {
        "mid_return": Tamed(mid_return(market)),
        "spread": Tamed(spread),
        "bid_size": Tamed(bid_size),
        "ask_size": Tamed(ask_size),
        "imbalance": imbalance,
        "microprice": Tamed(imbalance * spread / 2),
        "signed_volume": Tamed(market.signed_volume),
        "volatility": Tamed(jnp.sqrt(market.variance)),
    }
