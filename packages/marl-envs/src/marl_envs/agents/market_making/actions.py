"""Action schemes of market makers.

All offsets start from the best quotes of everyone else, so that an agent does not chase itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import ActionScheme, two_sided, wanted_orders
from marl_envs.spaces import Discrete
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array

FIXED_QUANTS_OFFSETS: Final = (
    (0, 0),
    (1, 1),
    (2, 2),
    (3, 3),
    (4, 4),
    (0, 2),
    (2, 0),
    (5, 1),
    (1, 5),
)
"""(bid, ask) offsets of `FixedQuants` away from the touch, in units of h."""
FAR_LIMIT: Final = 2**30
"""A limit no price reaches: an immediate order at it is a market order."""


def check_at_least(name: str, value: float, least: float) -> None:
    """Refuses a parameter below its least value with a `ValueError` that names it."""
    if value < least:
        raise ValueError(f"{name} is {value}; it must be >= {least}")


def passive_quotes(agent: AgentState, bid: Any, bid_size: Any, ask: Any, ask_size: Any) -> Wanted:
    """A bid and an ask, kept from crossing the market of everyone else and one another."""
    bid = jnp.minimum(bid, agent.best_ask - 1)
    ask = jnp.maximum(ask, agent.best_bid + 1)
    return two_sided(bid, bid_size, ask, ask_size)


@dataclasses.dataclass(frozen=True)
class FixedQuants(ActionScheme):
    """Two quotes of fixed size at one of nine pairs of offsets, or a market order.

    With h = floor(half spread) + 1 ticks: bid = best_bid - a h, ask = best_ask + b h, size q; the
    pairs (a, b) are `FIXED_QUANTS_OFFSETS`. The tenth action is an immediate order that trades
    `auto_liquidate_alpha` of the inventory, rounded up, towards zero. While the inventory exceeds
    `auto_liquidate_threshold`, that order replaces whatever was chosen.

    Attributes:
        fixed_quant_value: q, shares of each quote.
        tenth_action: `"MarketOrder"`, or `"NA"` to leave it out.
        auto_liquidate_alpha: share of the inventory to trade, in (0, 1].
        auto_liquidate_threshold: shares.

    Raises:
        ValueError: if a field is out of range.
    """

    fixed_quant_value: int = 10
    tenth_action: str = "MarketOrder"
    auto_liquidate_alpha: float = 0.5
    auto_liquidate_threshold: int = 500

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)
        check_at_least("auto_liquidate_threshold", self.auto_liquidate_threshold, 0)
        if self.tenth_action not in ("MarketOrder", "NA"):
            raise ValueError(
                f"tenth_action is {self.tenth_action!r}; it must be 'MarketOrder' or 'NA'"
            )
        if not 0 < self.auto_liquidate_alpha <= 1:
            raise ValueError(
                f"auto_liquidate_alpha is {self.auto_liquidate_alpha}; it must be in (0, 1]"
            )

    @property
    def num_orders(self) -> int:
        """A bid and an ask."""
        return 2

    @property
    def space(self) -> Discrete:
        """Nine pairs of offsets, and the market order unless `tenth_action` is `"NA"`."""
        return Discrete(len(FIXED_QUANTS_OFFSETS) + (self.tenth_action == "MarketOrder"))

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        offsets = jnp.asarray((*FIXED_QUANTS_OFFSETS, (0, 0)), jnp.int32)[action]
        unit = (agent.best_ask - agent.best_bid) // 2 + 1
        quotes = two_sided(
            agent.best_bid - offsets[0] * unit,
            self.fixed_quant_value,
            agent.best_ask + offsets[1] * unit,
            self.fixed_quant_value,
        )
        liquidation = liquidate(agent.account.inventory, self.auto_liquidate_alpha)
        trades_out = (action >= len(FIXED_QUANTS_OFFSETS)) | (
            jnp.abs(agent.account.inventory) > self.auto_liquidate_threshold
        )
        chosen: Wanted = jax.tree.map(lambda a, b: jnp.where(trades_out, a, b), liquidation, quotes)
        return chosen


def liquidate(inventory: Array, alpha: float) -> Wanted:
    """An immediate order for `ceil(alpha |inventory|)` shares towards zero, `[2]` rows."""
    size = jnp.ceil(alpha * jnp.abs(inventory)).astype(jnp.int32)
    is_long = inventory > 0
    side = jnp.where(is_long, Side.ASK, Side.BID)
    price = jnp.where(is_long, 1, FAR_LIMIT)
    return wanted_orders((side, price, size), (Side.BID, 1, 0), is_immediate=True)


@dataclasses.dataclass(frozen=True)
class DoNothing(ActionScheme):
    """Never wants an order: the baseline that any agent must beat."""

    @property
    def num_orders(self) -> int:
        """One row, never used."""
        return 1

    @property
    def space(self) -> Discrete:
        """One action."""
        return Discrete(1)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """No order."""
        return wanted_orders((Side.BID, 1, 0))
