"""Rewards that damp what the inventory earns: gains in the mid are luck, those in the spread skill.

Notation and units as in `rewards`.

References:
    Spooner, Fearnley, Savani, Koukorinis (2018), Market making via reinforcement learning, AAMAS,
    section 4.2.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.agents.base import StepResult
from marl_envs.agents.market_making.rewards import Marked, inventory_gain

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Spooner(Marked):
    """`spooner`: buy + sell + rebate + inv."""

    def traded(self, result: StepResult) -> Array:
        """Buy + sell + rebate, ticks times shares."""
        return self.buy_sell(result) - result.fees

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        return self.traded(result) + inventory_gain(result), memory


@dataclasses.dataclass(frozen=True)
class SpoonerDamped(Spooner):
    """`spooner_damped`: buy + sell + rebate + (1 - eta) inv.

    Attributes:
        eta: damping.
    """

    eta: float = 0.6

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        return self.traded(result) + (1 - self.eta) * inventory_gain(result), memory


@dataclasses.dataclass(frozen=True)
class SpoonerAsymDamped(Spooner):
    """`spooner_asym_damped`: buy + sell + rebate + inv - max(0, eta inv).

    Attributes:
        eta: share of inventory gains that is not paid out.
    """

    eta: float = 0.6

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        inv = inventory_gain(result)
        return self.traded(result) + inv - jnp.maximum(0.0, self.eta * inv), memory


@dataclasses.dataclass(frozen=True)
class SpoonerAsymDamped2(Spooner):
    """`spooner_asym_damped2`: buy + sell + rebate + gamma (inv - max(0, eta inv)).

    Attributes:
        eta: share of inventory gains that is not paid out.
        gamma: weight of what the inventory does.
    """

    eta: float = 0.6
    gamma: float = 0.5

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        inv = inventory_gain(result)
        damped = inv - jnp.maximum(0.0, self.eta * inv)
        return self.traded(result) + self.gamma * damped, memory


@dataclasses.dataclass(frozen=True)
class SpoonerScaled(Spooner):
    """`spooner_scaled`: buy + sell + rebate + eta (inv - (1 - eta) max(0, inv)).

    Attributes:
        eta: damping.
    """

    eta: float = 0.6

    def formula(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """See the class."""
        inv = inventory_gain(result)
        damped = inv - (1 - self.eta) * jnp.maximum(0.0, inv)
        return self.traded(result) + self.eta * damped, memory
