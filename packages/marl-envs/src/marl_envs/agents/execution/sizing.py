"""Action schemes of execution agents that choose sizes: at fixed prices, or of the volume."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp

from marl_envs.agents.base import ActionScheme, wanted_orders
from marl_envs.agents.execution.actions import FT, NT, PP, M, level_prices, twap_size
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.spaces import Box, MultiDiscrete
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array

LEVEL_SETS: Final = {1: (FT,), 2: (FT, NT), 3: (FT, NT, PP), 4: (FT, M, NT, PP)}
"""Levels of `FixedPrices` for each number of them."""


@dataclasses.dataclass(frozen=True)
class FixedPrices(ActionScheme):
    """`fixed_prices`: a size for each of up to four levels.

    The levels are FT; FT, NT; FT, NT, PP; or FT, M, NT, PP. With `action_type="pure"` an entry
    x = 0 .. m wants x q shares. With `"delta"` an entry x = 0 .. 2 m wants (x - m) q more than
    the schedule: the shares of an even schedule (`twap_size`), divided over the levels with the
    odd ones at the first. Negative sizes count as zero, and what would exceed the task is cut
    from the last levels first. All zeros want nothing when pure; as deltas, when m q covers the
    schedule.

    Attributes:
        fixed_quant_value: q, shares.
        num_price_levels: 1 to 4.
        action_type: `"pure"` or `"delta"`.
        max_multiple: m, >= 1.
        n_ticks_in_book: ticks from NT to PP, >= 1.

    Raises:
        ValueError: if a field is out of range.
    """

    fixed_quant_value: int = 10
    num_price_levels: int = 4
    action_type: str = "pure"
    max_multiple: int = 3
    n_ticks_in_book: int = 1

    def __post_init__(self) -> None:
        for name in ("fixed_quant_value", "max_multiple", "n_ticks_in_book"):
            check_at_least(name, getattr(self, name), 1)
        if self.num_price_levels not in LEVEL_SETS:
            raise ValueError(f"num_price_levels is {self.num_price_levels}; it must be 1, 2, 3, 4")
        if self.action_type not in ("pure", "delta"):
            raise ValueError(f"action_type is {self.action_type!r}; it must be 'pure' or 'delta'")

    @property
    def num_orders(self) -> int:
        """One a level."""
        return self.num_price_levels

    @property
    def space(self) -> MultiDiscrete:
        """A multiple of q for each level."""
        largest = self.max_multiple if self.action_type == "pure" else 2 * self.max_multiple
        return MultiDiscrete((largest + 1,) * self.num_price_levels)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        levels = LEVEL_SETS[self.num_price_levels]
        sizes = action * self.fixed_quant_value
        if self.action_type == "delta":
            share, odd = jnp.divmod(twap_size(agent, market), len(levels))
            schedule = share + (jnp.arange(len(levels)) < odd)
            sizes = schedule + sizes - self.max_multiple * self.fixed_quant_value
        sizes = jnp.maximum(sizes, 0)
        left = jnp.maximum(agent.remaining - (jnp.cumsum(sizes) - sizes), 0)
        sizes = jnp.minimum(sizes, left)
        prices = level_prices(agent, self.n_ticks_in_book)
        return wanted_orders(
            *((agent.task_side, prices[level], sizes[i]) for i, level in enumerate(levels))
        )


@dataclasses.dataclass(frozen=True)
class Participation(ActionScheme):
    """`participation`: a rate of the recent volume and an aggressiveness, each in [0, 1].

    The size is the rate times `max_participation` times the moving average of the volume of a
    step, rounded up and cut to what is left; a rate of 0 does nothing, and while nobody has
    traded there is no volume to take part in. The price goes from the near touch (0) to the far
    touch (1), rounded towards passive.

    Attributes:
        max_participation: largest share of the recent volume, > 0.

    Raises:
        ValueError: if `max_participation <= 0`.
    """

    max_participation: float = 0.5

    def __post_init__(self) -> None:
        if self.max_participation <= 0:
            raise ValueError(f"max_participation is {self.max_participation}; it must be > 0")

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    @property
    def space(self) -> Box:
        """Rate and aggressiveness."""
        return Box(0.0, 1.0, (2,))

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        rate, aggressiveness = jnp.clip(action, 0.0, 1.0)
        shares = rate * self.max_participation * market.average_volume
        size = jnp.minimum(jnp.ceil(shares).astype(jnp.int32), agent.remaining)
        spread = agent.best_ask - agent.best_bid
        inside = jnp.floor(aggressiveness * spread).astype(jnp.int32)
        near = level_prices(agent, 1)[NT]
        return wanted_orders((agent.task_side, near + agent.task_side * inside, size))
