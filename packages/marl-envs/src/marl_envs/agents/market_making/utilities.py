"""Rewards that weigh gains against risk, and realized profit."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.agents.base import StepResult
from marl_envs.agents.market_making.rewards import DeltaPortfolioValue, MakerReward

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class RealizedPnl(MakerReward):
    """`pnl`: what trades that reduce the position earn against its average cost.

    The average cost of a position changes when it grows and stays when it shrinks; a trade through
    zero closes the old position and opens a new one at its own price. The net trade of a step
    counts at the step's average prices, and a round trip within the step is realized at once.
    """

    def init(self) -> Array:
        """Average cost of the position, relative to the market's reference price."""
        return jnp.zeros((), jnp.float32)

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        buy_price = result.bought_value / jnp.maximum(result.bought, 1.0)
        sell_price = result.sold_value / jnp.maximum(result.sold, 1.0)
        matched = jnp.minimum(result.bought, result.sold)
        net = result.bought - result.sold
        price = jnp.where(net > 0, buy_price, sell_price)
        before, after = result.inventory_before, result.inventory_before + net
        is_reducing = before * net < 0
        closed = jnp.where(is_reducing, jnp.minimum(jnp.abs(net), jnp.abs(before)), 0.0)
        realized = matched * (sell_price - buy_price)
        realized += closed * jnp.sign(before) * (price - memory)
        grown = (jnp.abs(before) * memory + jnp.abs(net) * price) / jnp.maximum(jnp.abs(after), 1.0)
        through_zero = before * after < 0
        cost = jnp.where(is_reducing, jnp.where(through_zero, price, memory), grown)
        return realized, jnp.where(net == 0, memory, cost)


@dataclasses.dataclass(frozen=True)
class Cara(DeltaPortfolioValue):
    """`cara`: (1 - exp(-a x)) / a with x the change of PV in units of `reward_scale`.

    Attributes:
        risk_aversion: a > 0, of constant absolute risk aversion.

    Raises:
        ValueError: if `risk_aversion <= 0`.

    References:
        Pratt (1964), Risk aversion in the small and in the large, Econometrica 32(1/2).
    """

    risk_aversion: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.risk_aversion <= 0:
            raise ValueError(f"risk_aversion is {self.risk_aversion}; it must be > 0")

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        change, memory = super().formula(result, memory)
        utility = -jnp.expm1(-self.risk_aversion * change / self.reward_scale) / self.risk_aversion
        return utility * self.reward_scale, memory


@dataclasses.dataclass(frozen=True)
class MeanVariance(DeltaPortfolioValue):
    """`mean_variance`: x - (kappa / 2) x^2 with x the change of PV in units of `reward_scale`.

    Attributes:
        risk_aversion: kappa >= 0.

    Raises:
        ValueError: if `risk_aversion < 0`.

    References:
        Ritter (2017), Machine learning for trading, equation 8, with the mean in the square
        taken as zero.
    """

    risk_aversion: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.risk_aversion < 0:
            raise ValueError(f"risk_aversion is {self.risk_aversion}; it must be >= 0")

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        change, memory = super().formula(result, memory)
        scaled = change / self.reward_scale
        return (scaled - self.risk_aversion / 2 * scaled**2) * self.reward_scale, memory
