"""Rewards that weigh gains against risk, and what trades and positions earn apart."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.agents.base import StepResult
from marl_envs.agents.market_making.rewards import (
    DeltaPortfolioValue,
    MakerReward,
    Marked,
    inventory_gain,
    reference,
)

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


@dataclasses.dataclass(frozen=True)
class Complex(Marked):
    """`complex`: spread captured + lambda_u unrealized + eta min(inv, eta inv), in ticks a quote.

    Of B shares bought and S sold in the step, m = min(B, S) captured m (average selling price -
    average buying price); the others are marked at the reference price r: (B - m)(r - average
    buying price) or (S - m)(average selling price - r). So gains of the inventory count eta^2 and
    losses eta. Everything is divided by q, which leaves ticks.

    Attributes:
        fixed_quant_value: q, shares.
        unrealized_lambda: lambda_u, weight of the shares without a counterpart.
        eta: weight of the inventory, in [0, 1].

    Raises:
        ValueError: if a field is out of range.
    """

    reward_scale: float = 1.0
    fixed_quant_value: int = 10
    unrealized_lambda: float = 1.0
    eta: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta is {self.eta}; it must be in [0, 1]")
        if self.fixed_quant_value < 1:
            raise ValueError(f"fixed_quant_value is {self.fixed_quant_value}; it must be >= 1")

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        mark = reference(result, self.reference_price)
        buy_price = result.bought_value / jnp.maximum(result.bought, 1.0)
        sell_price = result.sold_value / jnp.maximum(result.sold, 1.0)
        matched = jnp.minimum(result.bought, result.sold)
        captured = matched * (sell_price - buy_price)
        unrealized = (result.bought - matched) * (mark - buy_price)
        unrealized += (result.sold - matched) * (sell_price - mark)
        inv = inventory_gain(result)
        held = self.eta * jnp.minimum(inv, self.eta * inv)
        total = captured + self.unrealized_lambda * unrealized + held
        return total / self.fixed_quant_value, memory


@dataclasses.dataclass(frozen=True)
class Sharpe(DeltaPortfolioValue):
    """`sharpe`: x / sqrt(v + 1) with x the change of PV in units of `reward_scale`.

    v is a moving average of the squared deviation of x from its own moving average, both with
    weight `variance_decay` on the past, and v includes the present step; the 1 keeps a quiet
    start from being divided by zero.

    Attributes:
        variance_decay: in [0, 1).

    Raises:
        ValueError: if `variance_decay` is out of range.

    References:
        Moody, Saffell (2001), Learning to trade via direct reinforcement, IEEE Transactions on
        Neural Networks 12(4), whose differential Sharpe ratio uses the same moving moments.
    """

    variance_decay: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.variance_decay < 1:
            raise ValueError(f"variance_decay is {self.variance_decay}; it must be in [0, 1)")

    def init(self) -> Any:
        """PV, mean and variance at the start."""
        return super().init(), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32)

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        worth, mean, variance = memory
        change, worth = super().formula(result, worth)
        change = change / self.reward_scale
        weight = 1 - self.variance_decay
        variance = self.variance_decay * (variance + weight * (change - mean) ** 2)
        mean = mean + weight * (change - mean)
        ratio = change / jnp.sqrt(variance + 1.0)
        return ratio * self.reward_scale, (worth, mean, variance)
