"""Action schemes of market makers that spread shares over prices, or choose quotes freely."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betainc
from lob_core.types import Side

from marl_envs.agents.base import ActionScheme, wanted_orders
from marl_envs.agents.market_making.actions import check_at_least, passive_quotes
from marl_envs.spaces import Box, Discrete, MultiDiscrete
from marl_envs.types import INT32_MAX, AgentState, Calibration, MarketState, Wanted

Array = jax.Array

FIXED_PRICE_LEVELS: Final = ("near touch", "passive", "mid", "far touch")
"""Entries 0 to 3 (bids) and 4 to 7 (asks) of an action of `FixedPrices`."""


def two_ladders(bids: Array, bid_sizes: Array, asks: Array, ask_sizes: Array) -> Wanted:
    """Bids and asks at several prices, never crossed with one another.

    Where a bid would meet an ask, all asks move up together, until the lowest lies one tick above
    the highest bid. Prices of rows without shares do not matter.

    Args:
        bids: `[L]` int32, ticks.
        bid_sizes: `[L]` int32, shares.
        asks: `[L]` int32, ticks.
        ask_sizes: `[L]` int32, shares.
    """
    bids = jnp.maximum(bids, 1)
    highest = jnp.max(jnp.where(bid_sizes > 0, bids, 0))
    lowest = jnp.min(jnp.where(ask_sizes > 0, asks, INT32_MAX - 1))
    asks = asks + jnp.maximum(highest + 1 - lowest, 0)
    return wanted_orders(
        *((Side.BID, price, size) for price, size in zip(bids, bid_sizes, strict=True)),
        *((Side.ASK, price, size) for price, size in zip(asks, ask_sizes, strict=True)),
    )


@dataclasses.dataclass(frozen=True)
class FixedPrices(ActionScheme):
    """`fixed_prices`: a size at the near touch, deeper, at the mid and at the far touch, each side.

    Entries 0 to 3 are the bids in the order of `FIXED_PRICE_LEVELS`, 4 to 7 the asks; an entry x
    wants x q shares, so all zeros want nothing. The mid is rounded towards passive. Orders of one
    action never cross one another: see `two_ladders`.

    Attributes:
        fixed_quant_value: q, shares.
        max_multiple: largest entry, >= 1.
        n_ticks_in_book: ticks from the near touch to the passive level, >= 1.

    Raises:
        ValueError: if a field is below 1.
    """

    fixed_quant_value: int = 10
    max_multiple: int = 3
    n_ticks_in_book: int = 1

    def __post_init__(self) -> None:
        for name in ("fixed_quant_value", "max_multiple", "n_ticks_in_book"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def num_orders(self) -> int:
        """Four a side."""
        return 2 * len(FIXED_PRICE_LEVELS)

    @property
    def space(self) -> MultiDiscrete:
        """A multiple of q for each of the eight prices."""
        return MultiDiscrete((self.max_multiple + 1,) * self.num_orders)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        bid, ask, deeper = agent.best_bid, agent.best_ask, self.n_ticks_in_book
        mid_down = (bid + ask) // 2
        bids = jnp.stack([bid, bid - deeper, mid_down, ask])
        asks = jnp.stack([ask, ask + deeper, bid + ask - mid_down, bid])
        sizes = action * self.fixed_quant_value
        return two_ladders(bids, sizes[:4], asks, sizes[4:])


@dataclasses.dataclass(frozen=True)
class ContinuousQuotes(ActionScheme):
    """`continuous_quotes`: bid offset, ask offset, bid size and ask size, each in [0, 1].

    An offset x lies -1 + x (1 + `max_offset`) half spreads behind the touch: 0 is the mid, 1 the
    farthest, rounded to a tick and kept from crossing the market. A size x is the rounded
    x `max_quote_size`; both sizes 0 is doing nothing.

    Attributes:
        max_offset: half spreads behind the touch, > 0.
        max_quote_size: shares, >= 1.

    Raises:
        ValueError: if a field is out of range.
    """

    max_offset: float = 5.0
    max_quote_size: int = 20

    def __post_init__(self) -> None:
        check_at_least("max_quote_size", self.max_quote_size, 1)
        if self.max_offset <= 0:
            raise ValueError(f"max_offset is {self.max_offset}; it must be > 0")

    @property
    def num_orders(self) -> int:
        """A bid and an ask."""
        return 2

    @property
    def space(self) -> Box:
        """Two offsets and two sizes."""
        return Box(0.0, 1.0, (4,))

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        share = jnp.clip(action, 0.0, 1.0)
        half_spread = (agent.best_ask - agent.best_bid) / 2
        ticks = half_spread * (share[:2] * (1 + self.max_offset) - 1)
        ticks = jnp.round(ticks).astype(jnp.int32)
        size = jnp.round(share[2:] * self.max_quote_size).astype(jnp.int32)
        bid, ask = agent.best_bid - ticks[0], agent.best_ask + ticks[1]
        return passive_quotes(agent, bid, size[0], ask, size[1])


@dataclasses.dataclass(frozen=True)
class Ladder(ActionScheme):
    """`ladder`: shares over L prices a side, as a scaled Beta law distributes them.

    Action 0 wants nothing; action 1 + i m + j takes mode i of the m `modes` for the bids and mode
    j for the asks. Level l = 0 .. L - 1 lies l `level_spacing` ticks behind the touch and gets
    the mass that Beta(a, b) has in [l / L, (l + 1) / L], with a = w (c - 2) + 1 and
    b = (1 - w)(c - 2) + 1 for a mode w and concentration c. Shares are rounded so that each side
    adds up to `ladder_size`.

    Attributes:
        num_quote_levels: L, prices a side, >= 1.
        ladder_size: shares a side, >= 1.
        level_spacing: ticks, >= 1.
        modes: where the law has its mode, 0 at the touch, 1 at the deepest level; all different.
        concentration: c >= 2; 2 spreads the shares evenly whatever the mode.

    Raises:
        ValueError: if a field is out of range.

    References:
        Jerome, Palmer, Savani (2022), Market making with scaled beta policies, ICAIF, section 3.
    """

    num_quote_levels: int = 5
    ladder_size: int = 50
    level_spacing: int = 1
    modes: tuple[float, ...] = (0.0, 0.5, 1.0)
    concentration: float = 6.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "modes", tuple(self.modes))
        for name in ("num_quote_levels", "ladder_size", "level_spacing"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("concentration", self.concentration, 2)
        is_inside = all(0 <= mode <= 1 for mode in self.modes)
        if not self.modes or not is_inside or len(set(self.modes)) < len(self.modes):
            raise ValueError(f"modes is {self.modes}; it needs different values in [0, 1]")

    @property
    def num_orders(self) -> int:
        """L a side."""
        return 2 * self.num_quote_levels

    @property
    def space(self) -> Discrete:
        """Nothing, and every pair of modes."""
        return Discrete(1 + len(self.modes) ** 2)

    def sizes(self) -> np.ndarray:
        """Shares of each level for each mode, `[modes, L]` int32."""
        return np.stack([self._sizes_of(mode) for mode in self.modes])

    def _sizes_of(self, mode: float) -> np.ndarray:
        extra = self.concentration - 2
        grid = np.linspace(0.0, 1.0, self.num_quote_levels + 1, dtype=np.float32)
        with jax.ensure_compile_time_eval():
            cumulative = np.asarray(betainc(mode * extra + 1, (1 - mode) * extra + 1, grid))
        reached = np.round(cumulative * self.ladder_size).astype(np.int32)
        return np.diff(reached)

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        table = jnp.asarray(self.sizes())
        pair = jnp.maximum(action - 1, 0)
        bid_sizes = jnp.where(action > 0, table[pair // len(self.modes)], 0)
        ask_sizes = jnp.where(action > 0, table[pair % len(self.modes)], 0)
        steps = self.level_spacing * jnp.arange(self.num_quote_levels, dtype=jnp.int32)
        return two_ladders(agent.best_bid - steps, bid_sizes, agent.best_ask + steps, ask_sizes)
