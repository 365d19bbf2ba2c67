"""The part of an agent across assets that trades in one book."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import ActionScheme, wanted_orders
from marl_envs.agents.kinds import AgentKind, register_agent
from marl_envs.agents.market_making import observations, rewards
from marl_envs.spaces import Box
from marl_envs.types import INT32_MAX, AgentState, Calibration, MarketState, Wanted

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class TargetPosition(ActionScheme):
    """Trades towards a position, the action, by an immediate order at the far touch.

    Attributes:
        max_order: most shares in one order.

    Raises:
        ValueError: if `max_order < 1`.
    """

    max_order: int = 1000

    def __post_init__(self) -> None:
        if self.max_order < 1:
            raise ValueError(f"max_order is {self.max_order}; it must be >= 1")

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    @property
    def space(self) -> Box:
        """A position in shares."""
        return Box(-float(INT32_MAX), float(INT32_MAX), ())

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        missing = action.astype(jnp.int32) - agent.account.inventory
        is_buy = missing > 0
        side = jnp.where(is_buy, Side.BID, Side.ASK)
        price = jnp.where(is_buy, agent.best_ask, agent.best_bid)
        size = jnp.minimum(jnp.abs(missing), self.max_order)
        return wanted_orders((side, price, size), is_immediate=True)


LEG: Final = "leg"
"""Name of the kind of agent; it is known once this module is imported."""

register_agent(
    LEG,
    AgentKind(
        actions={"target_position": TargetPosition},
        observations={
            "engineered": observations.Engineered,
            "basic": observations.Basic,
            "book": observations.Book,
        },
        rewards={"delta_portfolio_value": rewards.DeltaPortfolioValue},
        description="The part of an agent across assets that trades in one book.",
    ),
)
