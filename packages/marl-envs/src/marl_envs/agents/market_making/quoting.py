"""Further action schemes of market makers; prices start from the best quotes of everyone else."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import ActionScheme, two_sided, wanted_orders
from marl_envs.agents.market_making.actions import check_at_least, passive_quotes
from marl_envs.spaces import Discrete
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array

PAPER_OFFSETS: Final = ((2, 2), (4, 4), (-1, -1), (0, 2), (2, 0), (5, -1), (-1, 5))
"""(bid, ask) offsets of actions 1 to 7 of `FixedQuantsPaper`."""


@dataclasses.dataclass(frozen=True)
class TwoSidedScheme(ActionScheme):
    """A scheme that wants one bid and one ask.

    Attributes:
        fixed_quant_value: q, shares of a quote.

    Raises:
        ValueError: if `fixed_quant_value < 1`.
    """

    fixed_quant_value: int = 10

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)

    @property
    def num_orders(self) -> int:
        """A bid and an ask."""
        return 2


@dataclasses.dataclass(frozen=True)
class FixedQuantsPaper(TwoSidedScheme):
    """`fixed_quants_paper`: no trade, or quotes at one of `PAPER_OFFSETS`.

    Offsets >= 0 count units of h = floor(half spread) + 1 ticks behind the touch; -1 is one tick
    inside the spread, where that does not cross the market.
    """

    @property
    def space(self) -> Discrete:
        """No trade, and one action for each pair."""
        return Discrete(1 + len(PAPER_OFFSETS))

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        offsets = jnp.asarray(((0, 0), *PAPER_OFFSETS), jnp.int32)[action]
        unit = (agent.best_ask - agent.best_bid) // 2 + 1
        ticks = jnp.where(offsets < 0, offsets, offsets * unit)
        size = jnp.where(action == 0, 0, self.fixed_quant_value)
        bid, ask = agent.best_bid - ticks[0], agent.best_ask + ticks[1]
        return passive_quotes(agent, bid, size, ask, size)


@dataclasses.dataclass(frozen=True)
class SpreadSkew(TwoSidedScheme):
    """`spread_skew`: 3 s + k chooses the spread s and the skew k.

    The spread is the current one (s = 0) or `spread_multiplier` times it (s = 1); the mid is moved
    by `skew_multiplier` ticks down (k = 0), not at all, or up (k = 2). Quotes lie half a spread to
    either side, rounded outwards, and are kept from crossing the market.

    Attributes:
        spread_multiplier: >= 2.
        skew_multiplier: ticks, >= 1.

    Raises:
        ValueError: if a field is out of range.
    """

    spread_multiplier: int = 3
    skew_multiplier: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("spread_multiplier", self.spread_multiplier, 2)
        check_at_least("skew_multiplier", self.skew_multiplier, 1)

    @property
    def space(self) -> Discrete:
        """Two spreads times three skews."""
        return Discrete(6)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        spread = agent.best_ask - agent.best_bid
        width = jnp.where(action >= 3, self.spread_multiplier * spread, spread)
        center = agent.best_bid + agent.best_ask + 2 * (action % 3 - 1) * self.skew_multiplier
        bid, ask = (center - width) // 2, -((-center - width) // 2)
        return passive_quotes(agent, bid, self.fixed_quant_value, ask, self.fixed_quant_value)


@dataclasses.dataclass(frozen=True)
class BobStrategy(TwoSidedScheme):
    """`bobStrategy`: quotes at the touch whose sizes lean against the inventory.

    Action a sets kappa = (a + 1) / (5 v0). With the inventory I in units of q, the bid has size
    round(q v0 max(1 - kappa I, 0)) and the ask round(q v0 max(1 + kappa I, 0)).

    Attributes:
        v0: size of a quote without inventory, in units of q; >= 1.

    Raises:
        ValueError: if a field is out of range.
    """

    v0: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("v0", self.v0, 1)

    @property
    def space(self) -> Discrete:
        """Five strengths."""
        return Discrete(5)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        kappa = (action + 1) / (5 * self.v0)
        lean = kappa * agent.account.inventory / self.fixed_quant_value
        base = self.fixed_quant_value * self.v0
        bid_size = jnp.round(base * jnp.maximum(1 - lean, 0)).astype(jnp.int32)
        ask_size = jnp.round(base * jnp.maximum(1 + lean, 0)).astype(jnp.int32)
        return two_sided(agent.best_bid, bid_size, agent.best_ask, ask_size)


@dataclasses.dataclass(frozen=True)
class BobRL(TwoSidedScheme):
    """`bobRL`: quotes at the touch whose sizes, in units of q, add up to 2 v0.

    Actions 0, 1, 2, ... are (v0, v0), (v0 + 1, v0 - 1), (v0 - 1, v0 + 1), ..., (2 v0, 0),
    (0, 2 v0).

    Attributes:
        v0: size of each quote when they are equal, in units of q; >= 1.

    Raises:
        ValueError: if a field is out of range.
    """

    v0: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("v0", self.v0, 1)

    @property
    def space(self) -> Discrete:
        """All ways to split 2 v0 units."""
        return Discrete(2 * self.v0 + 1)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        shift = (action + 1) // 2 * jnp.where(action % 2 == 1, 1, -1)
        bid_size = (self.v0 + shift) * self.fixed_quant_value
        ask_size = (self.v0 - shift) * self.fixed_quant_value
        return two_sided(agent.best_bid, bid_size, agent.best_ask, ask_size)


@dataclasses.dataclass(frozen=True)
class Simple(TwoSidedScheme):
    """`simple`: 0 quotes both touches, 1 buys q at once, 2 sells q at once, 3 wants nothing.

    Actions 1 and 2 are immediate orders at the far touch.
    """

    @property
    def space(self) -> Discrete:
        """Four actions."""
        return Discrete(4)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        q = self.fixed_quant_value
        bid = jnp.where(action == 1, agent.best_ask, agent.best_bid)
        ask = jnp.where(action == 2, agent.best_bid, agent.best_ask)
        return wanted_orders(
            (Side.BID, bid, jnp.where((action == 0) | (action == 1), q, 0)),
            (Side.ASK, ask, jnp.where((action == 0) | (action == 2), q, 0)),
            is_immediate=action != 0,
        )
