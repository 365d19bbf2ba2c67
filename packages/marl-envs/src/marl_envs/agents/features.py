"""Features that observations are put together from, as `{name: float32 []}`.

Prices are relative to the market and in ticks, tamed by `symlog`; sizes are logs. Nothing depends
on the price level of the stock.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from marl_envs.agents.base import symlog
from marl_envs.types import AgentState, MarketState

Array = jax.Array
Features = dict[str, Array]


def stack(features: Features) -> Array:
    """The features as one vector, `[F]` float32, in their order."""
    return jnp.stack([jnp.asarray(value, jnp.float32) for value in features.values()])


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
        "own_bid_distance": symlog(bid_distance),
        "own_ask_distance": symlog(ask_distance),
        "own_bid_size": jnp.log1p(agent.bid_quote_size),
        "own_ask_size": jnp.log1p(agent.ask_quote_size),
        "own_bid_queue": jnp.log1p(agent.bid_queue),
        "own_ask_queue": jnp.log1p(agent.ask_queue),
    }


def position(agent: AgentState, market: MarketState, unit: int) -> Features:
    """Inventory, cash less fees and worth in units of `unit` shares, and the time left."""
    cash = agent.account.net_cash / unit
    # cash is counted from the reference price, which is the mid at the open rounded down
    mark = mid_return(market) + (market.mid_open_half_ticks % 2) / 2
    inventory = agent.account.inventory / unit
    return {
        "inventory": symlog(inventory),
        "cash": symlog(cash),
        "worth": symlog(cash + inventory * mark),
        "time_left": time_left(market),
    }


def market_features(market: MarketState) -> Features:
    """Return, spread, touch sizes, imbalance, microprice, signed volume and volatility."""
    bid_size = market.bid_size.astype(jnp.float32)
    ask_size = market.ask_size.astype(jnp.float32)
    imbalance = (bid_size - ask_size) / jnp.maximum(bid_size + ask_size, 1.0)
    spread = (market.best_ask - market.best_bid).astype(jnp.float32)
    return {
        "mid_return": symlog(mid_return(market)),
        "spread": symlog(spread),
        "bid_size": jnp.log1p(bid_size),
        "ask_size": jnp.log1p(ask_size),
        "imbalance": imbalance,
        "microprice": symlog(imbalance * spread / 2),
        "signed_volume": symlog(market.signed_volume),
        "volatility": jnp.log1p(jnp.sqrt(market.variance)),
    }
