"""Rewards of execution agents.

With d = +1 for a sell and -1 for a buy, Q shares executed in the step at prices p, and P the
volume-weighted price of the trades between other participants in the step (the mean mid if there
were none): advantage = d (sum p q - P Q), drift = d Q (P - arrival). In the last step the closing
entries count among the executed shares.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.agents.base import Reward, StepResult

Array = jax.Array


def market_vwap(result: StepResult) -> Array:
    """P, relative to the market's reference price, ticks."""
    price = result.others_value / jnp.maximum(result.others_size, 1.0)
    return jnp.where(result.others_size > 0, price, result.mid_mean)


def advantage(result: StepResult) -> Array:
    """D (sum p q - P Q), ticks times shares; > 0 is better than the market."""
    price = market_vwap(result)
    sold = result.sold_value - price * result.sold
    return sold - (result.bought_value - price * result.bought)


def drift(result: StepResult) -> Array:
    """D Q (P - arrival), ticks times shares; > 0 when the market moved in the agent's favor."""
    price = market_vwap(result) - result.arrival_price
    return (result.sold - result.bought) * price


@dataclasses.dataclass(frozen=True)
class ExecutionReward(Reward):
    """A reward measured in `reward_scale`.

    Attributes:
        reward_scale: ticks times shares (for `finish_fast`, shares) that count as one; > 0. The
            default is the default task size, which makes the sum over an episode a number of
            ticks a share.

    Raises:
        ValueError: if `reward_scale <= 0`.
    """

    reward_scale: float = 600.0

    def __post_init__(self) -> None:
        if self.reward_scale <= 0:
            raise ValueError(f"reward_scale is {self.reward_scale}; it must be > 0")


@dataclasses.dataclass(frozen=True)
class Normal(ExecutionReward):
    """`normal`: (advantage + lambda drift) / scale.

    Attributes:
        reward_lambda: weight of the drift; with 1 the sum over an episode is minus the
            implementation shortfall.
    """

    reward_lambda: float = 1.0

    def reward(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        value = advantage(result) + self.reward_lambda * drift(result)
        return value / self.reward_scale, memory


@dataclasses.dataclass(frozen=True)
class FinishFast(ExecutionReward):
    """`finish_fast`: -remaining / scale, with what is left at the end of the step."""

    def reward(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        return -jnp.maximum(result.remaining, 0.0) / self.reward_scale, memory


@dataclasses.dataclass(frozen=True)
class SimplestCase(ExecutionReward):
    """`simplest_case`: d sum (p - arrival) q / scale."""

    def reward(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        sold = result.sold_value - result.arrival_price * result.sold
        bought = result.bought_value - result.arrival_price * result.bought
        return (sold - bought) / self.reward_scale, memory


@dataclasses.dataclass(frozen=True)
class ImplementationShortfall(ExecutionReward):
    """`implementation_shortfall`: the change of V, less a price for the risk of waiting.

    V = d sum over all executed (p - arrival) q - fees + d remaining (mid - arrival), so the rewards
    of an episode add up to minus the shortfall. The risk term is lambda (remaining (mid
    change))^2, whose expectation is lambda sigma^2 remaining^2.

    Attributes:
        risk_aversion: lambda >= 0, per tick times share.

    Raises:
        ValueError: if `risk_aversion < 0`.

    References:
        Perold (1988), The implementation shortfall: paper versus reality.
        Almgren, Chriss (2000), Optimal execution of portfolio transactions, equations 4 and 5.
    """

    risk_aversion: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.risk_aversion < 0:
            raise ValueError(f"risk_aversion is {self.risk_aversion}; it must be >= 0")

    def init(self) -> Array:
        """Value of the unexecuted part at the arrival price: nothing gained yet."""
        return jnp.zeros((), jnp.float32)

    def reward(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        sold = result.sold_value - result.arrival_price * result.sold
        bought = result.bought_value - result.arrival_price * result.bought
        waiting = -result.task_side * result.remaining * (result.mid - result.arrival_price)
        risk = (result.remaining * (result.mid - result.mid_before)) ** 2
        value = sold - bought - result.fees + waiting - memory - self.risk_aversion * risk
        return value / self.reward_scale, waiting
