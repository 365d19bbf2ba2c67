"""Observations of directional traders: signals of where the price may go."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from lob_core.types import BookState
from lob_core.views import level_2

from marl_envs.agents.features import Features, Tamed, stack
from marl_envs.agents.market_making.observations import Engineered
from marl_envs.types import AgentState, MarketState

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Signals(Engineered):
    """What `Engineered` shows, then signals that are known to foretell short-run returns.

    `depth_imbalance` is (bids - asks) / (bids + asks) over the shares of the best levels;
    `weighted_mid` the mid of the depth-weighted average prices of both sides less the mid, ticks
    (symlog); `flow_share` the moving average of buyer- less seller-initiated volume over that of
    all volume; `return_score` the mid since the open over what the recent volatility would make of
    as many steps. With `sees_fundamental` also `fundamental_gap`, the fundamental value less the
    mid in ticks (symlog): such an agent is informed.

    Attributes:
        num_levels: levels a side, >= 1.
        sees_fundamental: whether the agent knows the fundamental value.

    Raises:
        ValueError: if `num_levels < 1`.

    References:
        Cont, Kukanov, Stoikov (2014), The price impact of order book events, Journal of Financial
        Econometrics 12(1), for flow and depth imbalance.
    """

    num_levels: int = 5
    sees_fundamental: bool = False

    def __post_init__(self) -> None:
        if self.num_levels < 1:
            raise ValueError(f"num_levels is {self.num_levels}; it must be >= 1")

    @property
    def names(self) -> tuple[str, ...]:
        """The entries of `Engineered`, then the signals."""
        signals = ("depth_imbalance", "weighted_mid", "flow_share", "return_score")
        informed = ("fundamental_gap",) if self.sees_fundamental else ()
        return (*super().names, *signals, *informed)

    def signals(self, market: MarketState, book: BookState) -> Features:
        """The signals by name, `[]` float32 each."""
        bids, asks = level_2(book, self.num_levels)
        bid_size, ask_size = jnp.sum(bids.size), jnp.sum(asks.size)
        mid = market.mid_half_ticks / 2

        def distance(levels_price: Array, levels_size: Array) -> Array:
            away = jnp.where(levels_size > 0, levels_price - mid, 0.0)
            return jnp.sum(levels_size * away) / jnp.maximum(jnp.sum(levels_size), 1)

        weighted = (distance(bids.price, bids.size) + distance(asks.price, asks.size)) / 2
        steps = jnp.maximum(market.step, 1)
        risk = jnp.sqrt(market.variance * steps + 1.0)
        features: Features = {
            "depth_imbalance": (bid_size - ask_size) / jnp.maximum(bid_size + ask_size, 1),
            "weighted_mid": Tamed(weighted),
            "flow_share": market.signed_volume / jnp.maximum(market.average_volume, 1.0),
            "return_score": (market.mid_half_ticks - market.mid_open_half_ticks) / 2 / risk,
        }
        if self.sees_fundamental:
            features["fundamental_gap"] = Tamed(market.fundamental - mid)
        return features

    def observe(self, agent: AgentState, market: MarketState, book: BookState) -> Array:
        """`[F]` float32, one entry for each of `names`."""
        seen = super().observe(agent, market, book)
        return jnp.concatenate([seen, stack(self.signals(market, book))])
