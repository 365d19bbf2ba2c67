"""Observations of execution agents."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from lob_core.types import BookState

from marl_envs.agents.base import Observation
from marl_envs.agents.book_features import Levels
from marl_envs.agents.features import (
    Features,
    Tamed,
    market_features,
    own_orders,
    position,
    stack,
)
from marl_envs.agents.message_features import RecentMessages
from marl_envs.agents.token_features import Tokenizer
from marl_envs.types import AgentState, MarketState

Array = jax.Array

_OWN = (
    "side",
    "executed",
    "remaining",
    "inventory",
    "cash",
    "worth",
    "time_left",
    "own_bid_distance",
    "own_ask_distance",
    "own_bid_size",
    "own_ask_size",
    "own_bid_queue",
    "own_ask_queue",
)


@dataclasses.dataclass(frozen=True)
class Basic(Observation):
    """The agent's own state, its task and the spread.

    Attributes:
        fixed_quant_value: shares that count as one unit.
    """

    fixed_quant_value: int = 10

    @property
    def names(self) -> tuple[str, ...]:
        """Own state, then the spread."""
        return (*_OWN, "spread")

    def _own(self, agent: AgentState, market: MarketState) -> Features:
        task = jnp.maximum(agent.task_size, 1)
        return {
            "side": agent.task_side,
            "executed": agent.executed / task,
            "remaining": Tamed(agent.remaining / self.fixed_quant_value),
            **position(agent, market, self.fixed_quant_value),
            **own_orders(agent),
        }

    def observe(self, agent: AgentState, market: MarketState, book: BookState) -> Array:
        """`[F]` float32, one entry for each of `names`."""
        spread = Tamed(market.best_ask - market.best_bid)
        return stack({**self._own(agent, market), "spread": spread})


@dataclasses.dataclass(frozen=True)
class Engineered(Basic):
    """The agent's own state and task, the touches from its side, and the market.

    Far and near touch are advantages relative to the arrival price: how much better than at
    arrival the task's side could trade there, in ticks.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Own state and task, the touches, then the market."""
        return (
            *_OWN,
            "far_touch",
            "near_touch",
            "far_size",
            "near_size",
            "mid_return",
            "spread",
            "bid_size",
            "ask_size",
            "imbalance",
            "microprice",
            "signed_volume",
            "volatility",
        )

    def observe(self, agent: AgentState, market: MarketState, book: BookState) -> Array:
        """`[F]` float32, one entry for each of `names`."""
        is_buy = agent.task_side > 0
        far = jnp.where(is_buy, market.best_ask, market.best_bid)
        near = jnp.where(is_buy, market.best_bid, market.best_ask)
        arrival = market.mid_open_half_ticks
        touches = {
            "far_touch": Tamed(agent.task_side * (arrival - 2 * far) / 2),
            "near_touch": Tamed(agent.task_side * (arrival - 2 * near) / 2),
            "far_size": Tamed(jnp.where(is_buy, market.ask_size, market.bid_size)),
            "near_size": Tamed(jnp.where(is_buy, market.bid_size, market.ask_size)),
        }
        return stack({**self._own(agent, market), **touches, **market_features(market)})


@dataclasses.dataclass(frozen=True)
class Book(Levels, Basic):
    """What `Basic` shows, then the best levels of both sides; see `Levels`."""


@dataclasses.dataclass(frozen=True)
class Messages(RecentMessages, Basic):
    """What `Basic` shows, then the latest messages of the market; see `RecentMessages`."""


@dataclasses.dataclass(frozen=True)
class Tokens(Tokenizer, Basic):
    """What `Basic` shows, the best levels and the latest messages, as tokens; see `Tokenizer`."""
