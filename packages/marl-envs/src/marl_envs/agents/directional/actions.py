"""Action scheme of directional traders."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import ActionScheme, wanted_orders
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.spaces import Discrete
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class DirectionalTrading(ActionScheme):
    """`directional_trading`: 0 wants nothing, 1 buys q at the best ask, 2 sells q at the best bid.

    Sizes are cut to what the position limit still allows.

    Attributes:
        fixed_quant_value: q, shares.
        order_type: `"IOC"`, or `"resting"`: what does not trade at once stays at that price.
        position_limit: largest absolute inventory, shares. If every instance has its own, the
            scheme keeps to the largest and the market holds each to its own (`terms.Terms`).

    Raises:
        ValueError: if a field is out of range.
    """

    fixed_quant_value: int = 10
    order_type: str = "IOC"
    position_limit: int | tuple[int, ...] = 100

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)
        check_at_least("position_limit", self._largest, 1)
        if self.order_type not in ("IOC", "resting"):
            raise ValueError(f"order_type is {self.order_type!r}; it must be 'IOC' or 'resting'")

    @property
    def _largest(self) -> int:
        limit = self.position_limit
        return limit if isinstance(limit, int) else max(limit)

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    @property
    def space(self) -> Discrete:
        """Three actions."""
        return Discrete(3)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        is_buy = action == 1
        side = jnp.where(is_buy, Side.BID, Side.ASK)
        price = jnp.where(is_buy, agent.best_ask, agent.best_bid)
        room = self._largest - side * agent.account.inventory
        size = jnp.where(action == 0, 0, jnp.minimum(self.fixed_quant_value, room))
        return wanted_orders((side, price, size), is_immediate=self.order_type == "IOC")
