"""Rewards of market makers.

Over a step with purchases B and sales S, reference price r, inventory I and q the size of a quote:
buy = sum over B of (r - p) q, sell = sum over S of (p - r) q,
rebate = maker rebates less taker fees, and inv = I before the step times the change of the mid. In
the last step the closing entries count among B and S. Sums are in ticks times shares and divided by
`reward_scale` at the end.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any, Final

import jax
import jax.numpy as jnp

from marl_envs.agents.base import Reward, StepResult

Array = jax.Array

_PRICES: Final = ("mean_mid", "last_mid", "near_touch", "far_touch")
_PENALTIES: Final = ("none", "linear", "quadratic", "threshold", "exp4")


def reference(result: StepResult, name: str) -> Array:
    """The price at which shares are valued, relative to the market's reference price.

    Args:
        result: what happened.
        name: `"mean_mid"` (over the messages of the step), `"last_mid"`, or a touch. A position
            is never marked better than the mid, so both names of a touch mean the same quote:
            the bid for a long position (`"near_touch"`, the side on which it was built, and
            `"far_touch"`, the one at which it could be closed) and the ask for a short one.

    Returns:
        `[]` float32, ticks.
    """
    if name == "mean_mid":
        return result.mid_mean
    if name == "last_mid":
        return result.mid
    touch = jnp.where(result.inventory > 0, result.best_bid, result.best_ask)
    return jnp.where(result.inventory == 0, result.mid, touch)


def inventory_penalty(
    inventory: Array, kind: str, scale: float = 50.0, threshold: float = 10.0
) -> Array:
    """A number <= 0 that grows with the inventory.

    Args:
        inventory: `[]`, shares.
        kind: `"none"` 0; `"linear"` -|I|; `"quadratic"` -I^2 / scale; `"threshold"` -I^2 / scale
            where |I| exceeds `threshold`, else 0; `"exp4"` -(I / scale)^4.
        scale: N, shares.
        threshold: shares.
    """
    size = jnp.abs(inventory).astype(jnp.float32)
    if kind == "linear":
        return -size
    if kind == "quadratic":
        return -(size**2) / scale
    if kind == "threshold":
        return jnp.where(size > threshold, -(size**2) / scale, 0.0)
    if kind == "exp4":
        return -((size / scale) ** 4)
    return jnp.zeros_like(size)


def traded_share(result: StepResult) -> Array:
    """The agent's share of the volume of the step; 0, never NaN, when nothing traded."""
    traded = result.volume - result.others_size
    return jnp.where(result.volume > 0, traded / jnp.maximum(result.volume, 1.0), 0.0)


@dataclasses.dataclass(frozen=True)
class MakerReward(Reward):
    """A formula, plus the terms any formula can be combined with.

    reward = clip((formula + w_i penalty(I) + w_v volume share) / reward_scale).

    Attributes:
        reward_scale: ticks times shares that count as one; > 0.
        inventory_penalty: one of `"none"`, `"linear"`, `"quadratic"`, `"threshold"`, `"exp4"`.
        inventory_penalty_weight: w_i.
        inventory_penalty_scale: N of the penalty, shares.
        inventory_penalty_threshold: shares.
        volume_traded_bonus: w_v, ticks times shares for doing all the trading of a step.
        reward_clip: largest absolute reward; > 0.
        exclude_spread_above: steps that end with a wider spread, in ticks, earn nothing.

    Raises:
        ValueError: if a field is out of range.
    """

    reward_scale: float = 100.0
    inventory_penalty: str = "none"
    inventory_penalty_weight: float = 1.0
    inventory_penalty_scale: float = 50.0
    inventory_penalty_threshold: float = 10.0
    volume_traded_bonus: float = 0.0
    reward_clip: float = math.inf
    exclude_spread_above: float = math.inf

    def __post_init__(self) -> None:
        if self.inventory_penalty not in _PENALTIES:
            raise ValueError(
                f"inventory_penalty is {self.inventory_penalty!r}; it must be one of {_PENALTIES}"
            )
        for name in ("reward_scale", "reward_clip", "inventory_penalty_scale"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be > 0")

    @abc.abstractmethod
    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """The unscaled reward, ticks times shares, and the new memory."""

    def reward(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        value, memory = self.formula(result, memory)
        penalty = inventory_penalty(
            result.inventory,
            self.inventory_penalty,
            self.inventory_penalty_scale,
            self.inventory_penalty_threshold,
        )
        value += self.inventory_penalty_weight * penalty
        if self.volume_traded_bonus:
            value += self.volume_traded_bonus * traded_share(result)
        is_extreme = result.best_ask - result.best_bid > self.exclude_spread_above
        value = jnp.where(is_extreme, 0.0, value / self.reward_scale)
        return jnp.clip(value, -self.reward_clip, self.reward_clip), memory


@dataclasses.dataclass(frozen=True)
class Marked(MakerReward):
    """A formula that values shares at a reference price.

    Attributes:
        reference_price: see `reference`.
    """

    reference_price: str = "last_mid"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference_price not in _PRICES:
            raise ValueError(
                f"reference_price is {self.reference_price!r}; it must be one of {_PRICES}"
            )

    def buy_sell(self, result: StepResult) -> Array:
        """Buy + sell, ticks times shares."""
        mark = reference(result, self.reference_price)
        buy = mark * result.bought - result.bought_value
        return buy + result.sold_value - mark * result.sold

    def worth(self, result: StepResult) -> Array:
        """Cash plus inventory at the reference price, ticks times shares."""
        mark = reference(result, self.reference_price)
        return result.cash + result.inventory * mark


def inventory_gain(result: StepResult) -> Array:
    """inv: the inventory held into the step times the change of the mid."""
    return result.inventory_before * (result.mid - result.mid_before)


@dataclasses.dataclass(frozen=True)
class PortfolioValue(Marked):
    """`portfolio_value`: PV = cash + I r, counted from 0 at the start of the episode."""

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        return self.worth(result), memory


@dataclasses.dataclass(frozen=True)
class DeltaPortfolioValue(Marked):
    """`delta_portfolio_value`, `delta_netWorth`: the change of PV = cash + I r in the step."""

    def init(self) -> Array:
        """PV at the start."""
        return jnp.zeros((), jnp.float32)

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        worth = self.worth(result)
        return worth - memory, worth


@dataclasses.dataclass(frozen=True)
class PortfolioValueScaled(DeltaPortfolioValue):
    """`portfolio_value_scaled`: the change of PV divided by q times the spread at the open.

    Attributes:
        fixed_quant_value: q, shares.
    """

    reward_scale: float = 1.0
    fixed_quant_value: int = 10

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        change, memory = super().formula(result, memory)
        return change / (self.fixed_quant_value * jnp.maximum(result.spread_open, 1.0)), memory


@dataclasses.dataclass(frozen=True)
class BuySellPnl(Marked):
    """`buy_sell_pnl`: buy + sell."""

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        return self.buy_sell(result), memory


@dataclasses.dataclass(frozen=True)
class ZeroInventory(MakerReward):
    """`zero_inv`: -|I|, shares."""

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        return -jnp.abs(result.inventory), memory


@dataclasses.dataclass(frozen=True)
class WeightPnlInventoryPnl(Marked):
    """`weight_pnl_inventory_pnl`: w (buy + sell) + (1 - w) inv.

    Attributes:
        pnl_weight: w, in [0, 1].

    Raises:
        ValueError: if `pnl_weight` is out of range.
    """

    pnl_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.pnl_weight <= 1:
            raise ValueError(f"pnl_weight is {self.pnl_weight}; it must be in [0, 1]")

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        weight = self.pnl_weight
        return weight * self.buy_sell(result) + (1 - weight) * inventory_gain(result), memory
