"""Noise traders: random orders that nothing but chance and the quotes determine."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import Behavior, wanted_orders
from marl_envs.population.memory import choose, keep
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class ZeroIntelligence(Behavior):
    """`zero_intelligence`: now and then replaces its order by a random one.

    In a step it acts with probability `activity`, else its order stays as it is. The side is a
    fair coin and the size one of `sizes` with `size_weights`. The limit price is the mid less
    (for a sale, plus) a shade, uniform on the integers `min_shade .. max_shade` and rounded
    towards passive: a shade below zero gives up money to trade at once.

    Attributes:
        activity: probability of acting in a step, in (0, 1].
        sizes: shares, each >= 1.
        size_weights: weight of each size; empty means equal weights.
        min_shade: ticks.
        max_shade: ticks, >= `min_shade`.

    Raises:
        ValueError: if a field is out of range.

    References:
        Gode, Sunder (1993), Allocative efficiency of markets with zero-intelligence traders,
        Journal of Political Economy 101(1).
        Cliff (1997), Minimal-intelligence agents for bargaining behaviors, HPL-97-91, for shades.
    """

    activity: float = 0.05
    sizes: tuple[int, ...] = (10, 20, 50, 100)
    size_weights: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    min_shade: int = -2
    max_shade: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        weights = tuple(self.size_weights) or (1.0,) * len(self.sizes)
        object.__setattr__(self, "size_weights", weights)
        if not 0 < self.activity <= 1:
            raise ValueError(f"activity is {self.activity}; it must be in (0, 1]")
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"sizes is {self.sizes}; it needs values >= 1")
        if len(weights) != len(self.sizes) or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(
                f"size_weights is {weights}; it needs {len(self.sizes)} values >= 0, not all zero"
            )
        if self.min_shade > self.max_shade:
            raise ValueError(
                f"min_shade is {self.min_shade}; it must not exceed max_shade = {self.max_shade}"
            )

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Any,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Any]:
        """See the class."""
        draws = jax.random.uniform(key, (4,))
        side = jnp.where(draws[0] < 0.5, Side.BID, Side.ASK)
        weights = jnp.cumsum(jnp.asarray(self.size_weights))
        index = jnp.sum(draws[1] * weights[-1] >= weights[:-1])
        size = jnp.asarray(self.sizes, jnp.int32)[index]
        num_shades = self.max_shade - self.min_shade + 1
        shade = self.min_shade + jnp.floor(draws[2] * num_shades).astype(jnp.int32)
        total = agent.best_bid + agent.best_ask
        passive_mid = jnp.where(side > 0, total // 2, -(-total // 2))
        order = wanted_orders((side, passive_mid - side * shade, size))
        return choose(draws[3] < self.activity, order, keep(agent)), memory
