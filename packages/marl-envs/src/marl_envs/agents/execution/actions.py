"""Action schemes of execution agents: an order at one of four levels.

FT is the far touch (aggressive), M the mid rounded towards passive, NT the near touch, and PP
`n_ticks_in_book` ticks behind the near touch, all from the best quotes of everyone else. Sizes
are cut to what is left of the task; that never changes the price. Index 0 wants no order.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp

from marl_envs.agents.base import ActionScheme, wanted_orders
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.spaces import Discrete
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array

FT: Final = 0
M: Final = 1
NT: Final = 2
PP: Final = 3


def level_prices(agent: AgentState, n_ticks_in_book: int) -> Array:
    """Prices of FT, M, NT and PP for the agent's side, `[4]` int32 ticks."""
    bid, ask, side = agent.best_bid, agent.best_ask, agent.task_side
    is_buy = side > 0
    near = jnp.where(is_buy, bid, ask)
    far = jnp.where(is_buy, ask, bid)
    mid_down = (bid + ask) // 2
    middle = jnp.where(is_buy, mid_down, bid + ask - mid_down)
    return jnp.stack([far, middle, near, near - side * n_ticks_in_book])


def twap_size(agent: AgentState, market: MarketState) -> Array:
    """Shares of one step of an even schedule: ceil(remaining / steps left), `[]` int32."""
    return -(-agent.remaining // jnp.maximum(market.steps_left, 1))


@dataclasses.dataclass(frozen=True)
class LevelScheme(ActionScheme):
    """One order of one of several sizes at one of several levels; action 0 wants none.

    Attributes:
        fixed_quant_value: q, shares.
        n_ticks_in_book: ticks from NT to PP.

    Raises:
        ValueError: if a field is below 1.
    """

    fixed_quant_value: int = 10
    n_ticks_in_book: int = 1

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)
        check_at_least("n_ticks_in_book", self.n_ticks_in_book, 1)

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """(level, multiple of q) of actions 1, 2, ..."""
        raise NotImplementedError

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    @property
    def space(self) -> Discrete:
        """No order, or one of `choices`."""
        return Discrete(1 + len(self.choices))

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        table = jnp.asarray(((FT, 0), *self.choices), jnp.int32)[action]
        price = level_prices(agent, self.n_ticks_in_book)[table[0]]
        size = jnp.minimum(table[1] * self.fixed_quant_value, agent.remaining)
        return wanted_orders((agent.task_side, price, size))


@dataclasses.dataclass(frozen=True)
class FixedQuants(LevelScheme):
    """None, FT, M, NT or PP with size q; known as `fixed_quants` and `fixed_quants_1msg`.

    Attributes:
        larger_far_touch_quant: whether FT has size 10 q.
    """

    larger_far_touch_quant: bool = False

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """The four levels."""
        return ((FT, 10 if self.larger_far_touch_quant else 1), (M, 1), (NT, 1), (PP, 1))


@dataclasses.dataclass(frozen=True)
class FixedQuantsComplex(LevelScheme):
    """None, or {FT, M, NT, PP} x {q, 2 q, 5 q}: 13 actions."""

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """The four levels, each with three sizes."""
        return tuple((level, multiple) for level in (FT, M, NT, PP) for multiple in (1, 2, 5))


@dataclasses.dataclass(frozen=True)
class SimplestCase(LevelScheme):
    """None, FT or NT with size q."""

    @property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """The two touches."""
        return ((FT, 1), (NT, 1))


@dataclasses.dataclass(frozen=True)
class Twap(ActionScheme):
    """Time-weighted schedule: ceil(remaining / steps left) shares at the far touch, one action."""

    @property
    def num_orders(self) -> int:
        """One order."""
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
        """See the class."""
        price = level_prices(agent, 1)[FT]
        return wanted_orders((agent.task_side, price, twap_size(agent, market)))
