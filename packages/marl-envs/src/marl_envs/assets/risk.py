"""Risk of a portfolio as it is seen and as it is paid for."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from flax import struct

from marl_envs.types import Replaceable

Array = jax.Array

_MEMORY: Final = 0.9
"""Weight of the past in the moving averages: about ten steps."""


@struct.dataclass
class Risk(Replaceable):
    """Risk measures of agents across assets, leaves `[A]` float32.

    Attributes:
        value: worth gained since the open, ticks times shares.
        peak: highest `value` so far.
        drawdown: `peak - value`.
        variance: moving average of squared changes of `value` in a step.
        exposure: sum over assets of the absolute position at the mid, ticks times shares.
    """

    value: Array
    peak: Array
    drawdown: Array
    variance: Array
    exposure: Array


def no_risk(num_agents: int) -> Risk:
    """At the open, without positions."""
    zero = jnp.zeros(num_agents, jnp.float32)
    return Risk(value=zero, peak=zero, drawdown=zero, variance=zero, exposure=zero)


def risk_after(risk: Risk, gain: Array, exposure: Array) -> Risk:
    """The measures after a step in which the portfolio gained `gain` `[A]`."""
    value = risk.value + gain
    peak = jnp.maximum(risk.peak, value)
    return Risk(
        value=value,
        peak=peak,
        drawdown=peak - value,
        variance=_MEMORY * risk.variance + (1 - _MEMORY) * gain**2,
        exposure=exposure,
    )


@dataclasses.dataclass(frozen=True)
class RiskPenalty:
    """What risk costs in the reward of a step, before scaling.

    Attributes:
        variance_penalty: per squared gain of the step.
        drawdown_penalty: per tick times share by which the drawdown grew.
        exposure_penalty: per tick times share of exposure.

    Raises:
        ValueError: if one is negative.
    """

    variance_penalty: float = 0.0
    drawdown_penalty: float = 0.0
    exposure_penalty: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value < 0:
                raise ValueError(f"{field.name} is {value}; it must be >= 0")

    def cost(self, before: Risk, after: Risk) -> Array:
        """`[A]` float32, >= 0."""
        gain = after.value - before.value
        growth = jnp.maximum(after.drawdown - before.drawdown, 0)
        return (
            self.variance_penalty * gain**2
            + self.drawdown_penalty * growth
            + self.exposure_penalty * after.exposure
        )
