"""Execution by schedule: how much of a task is to be done by when, and by which orders."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.agents.base import Behavior, wanted_orders
from marl_envs.agents.execution.actions import FT, NT, level_prices
from marl_envs.agents.formulas import (
    almgren_chriss_remaining,
    almgren_chriss_urgency,
    curve_remaining,
    obizhaeva_wang_remaining,
)
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Schedule(Behavior):
    """Takes at the far touch what a curve says should be done by the end of the step.

    Shares that could not be had are asked for again on the next step, as the curve is one of what
    is left of the whole task.
    """

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    @abc.abstractmethod
    def share_left(self, step: Array, num_steps: Array, calibration: Calibration | None) -> Array:
        """Share of the task to be left after `step` of `num_steps` steps, from 1 to 0."""

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
        num_steps = market.step + market.steps_left
        share = self.share_left(market.step + 1, num_steps, calibration)
        left = jnp.round(agent.task_size * share).astype(jnp.int32)
        price = level_prices(agent, 1)[FT]
        return wanted_orders((agent.task_side, price, agent.remaining - left)), memory


@dataclasses.dataclass(frozen=True)
class Vwap(Schedule):
    """`vwap`: in proportion to the volume that is usual at that time; see `curve_remaining`.

    Attributes:
        volume_curve: volume of equally long parts of the episode, in any unit; estimate it on
            training days only.

    Raises:
        ValueError: if the curve is empty, has a negative entry or sums to zero.

    References:
        Konishi (2002), Optimal slice of a VWAP trade, Journal of Financial Markets 5(2).
    """

    volume_curve: tuple[float, ...] = (1.6, 1.1, 0.8, 0.7, 0.7, 0.8, 1.0, 1.8)

    def __post_init__(self) -> None:
        object.__setattr__(self, "volume_curve", tuple(self.volume_curve))
        curve = self.volume_curve
        if not curve or min(curve) < 0 or sum(curve) <= 0:
            raise ValueError(f"volume_curve is {curve}; it needs values >= 0, not all zero")

    def share_left(self, step: Array, num_steps: Array, calibration: Calibration | None) -> Array:
        """See `curve_remaining`."""
        return curve_remaining(step / num_steps, self.volume_curve)


@dataclasses.dataclass(frozen=True)
class AlmgrenChriss(Schedule):
    """`almgren_chriss`: the optimal trajectory for linear impact and a price for risk.

    Attributes:
        risk_aversion: lambda >= 0, per tick times share; 0 is an even schedule.
        temporary_impact: eta, ticks for each share a step, > 0.
        volatility: sigma, ticks a step; None estimates it from the background.

    Raises:
        ValueError: if a field is out of range.

    References:
        See `formulas.almgren_chriss_remaining` and `formulas.almgren_chriss_urgency`.
    """

    risk_aversion: float = 1e-3
    temporary_impact: float = 0.05
    volatility: float | None = None

    def __post_init__(self) -> None:
        check_at_least("risk_aversion", self.risk_aversion, 0)
        if self.temporary_impact <= 0:
            raise ValueError(f"temporary_impact is {self.temporary_impact}; it must be > 0")
        if self.volatility is not None and self.volatility <= 0:
            raise ValueError(f"volatility is {self.volatility}; it must be > 0")

    @property
    def uses_calibration(self) -> bool:
        """Whether sigma is left to be estimated."""
        return self.volatility is None

    def share_left(self, step: Array, num_steps: Array, calibration: Calibration | None) -> Array:
        """See `formulas.almgren_chriss_remaining`."""
        volatility: Any = self.volatility
        if calibration is not None and self.volatility is None:
            volatility = calibration.volatility
        urgency = almgren_chriss_urgency(self.risk_aversion, volatility, self.temporary_impact)
        return almgren_chriss_remaining(step, num_steps, urgency)


@dataclasses.dataclass(frozen=True)
class ObizhaevaWang(Schedule):
    """`obizhaeva_wang`: a block first, a block last, a steady rate in between; the book heals.

    Attributes:
        resilience: rho, a step, > 0; the impact of a trade fades by exp(-rho) a step.

    Raises:
        ValueError: if `resilience <= 0`.

    References:
        See `formulas.obizhaeva_wang_remaining`.
    """

    resilience: float = 0.2

    def __post_init__(self) -> None:
        if self.resilience <= 0:
            raise ValueError(f"resilience is {self.resilience}; it must be > 0")

    def share_left(self, step: Array, num_steps: Array, calibration: Calibration | None) -> Array:
        """See `formulas.obizhaeva_wang_remaining`."""
        return obizhaeva_wang_remaining(step, num_steps, self.resilience)


@dataclasses.dataclass(frozen=True)
class PercentageOfVolume(Behavior):
    """`pov`: keeps its share of all volume so far at a rate, by taking at the far touch.

    With V the volume of everyone since the episode began and X what it has executed, it takes
    ceil((rate V - X) / (1 - rate)) where that is positive: its own trades add to V.

    Attributes:
        participation_rate: in (0, 1).

    Raises:
        ValueError: if `participation_rate` is out of range.

    References:
        Almgren, Thum, Hauptmann, Li (2005), Direct estimation of equity market impact, Risk 18(7):
        execution at a constant share of the volume.
    """

    participation_rate: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.participation_rate < 1:
            raise ValueError(
                f"participation_rate is {self.participation_rate}; it must be in (0, 1)"
            )

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    def init_memory(self, key: Array, agent: AgentState, market: MarketState) -> Array:
        """Volume since the episode began, `[]` float32."""
        return jnp.zeros((), jnp.float32)

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Array,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Array]:
        """See the class."""
        volume = memory + market.volume
        behind = self.participation_rate * volume - agent.executed
        size = jnp.ceil(behind / (1 - self.participation_rate)).astype(jnp.int32)
        size = jnp.minimum(size, agent.remaining)
        return wanted_orders((agent.task_side, level_prices(agent, 1)[FT], size)), volume


@dataclasses.dataclass(frozen=True)
class Iceberg(Behavior):
    """`iceberg`: shows a slice of the task at the near touch and renews it when it is gone.

    What shows follows the near touch of everyone else. In the last step everything is taken at
    the far touch.

    Attributes:
        display_size: shares shown, >= 1.

    Raises:
        ValueError: if `display_size < 1`.

    References:
        Esser, Moench (2007), The navigation of an iceberg: the optimal use of hidden orders,
        Finance Research Letters 4(2).
    """

    display_size: int = 20

    def __post_init__(self) -> None:
        check_at_least("display_size", self.display_size, 1)

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
        shown = jnp.sum(agent.orders.size)
        slice_size = jnp.where(shown > 0, shown, self.display_size)
        is_last = market.steps_left <= 1
        prices = level_prices(agent, 1)
        price = jnp.where(is_last, prices[FT], prices[NT])
        size = jnp.where(is_last, agent.remaining, jnp.minimum(slice_size, agent.remaining))
        return wanted_orders((agent.task_side, price, size)), memory


@dataclasses.dataclass(frozen=True)
class SubmitAndLeave(Behavior):
    """`submit_and_leave`: one limit order for the whole task, then the far touch for the rest.

    The order is sent at the start, `limit_offset` ticks behind the near touch, and left alone
    until `leave_until` of the episode has gone.

    Attributes:
        limit_offset: ticks behind the near touch; negative lies inside the spread.
        leave_until: share of the episode, in [0, 1].

    Raises:
        ValueError: if `leave_until` is out of range.

    References:
        Nevmyvaka, Kearns, Papandreou, Sycara (2005), Electronic trading in order-driven markets:
        efficient execution, IEEE CEC: submit and leave.
    """

    limit_offset: int = 0
    leave_until: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.leave_until <= 1:
            raise ValueError(f"leave_until is {self.leave_until}; it must be in [0, 1]")

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    def init_memory(self, key: Array, agent: AgentState, market: MarketState) -> Array:
        """The limit price, `[]` int32 ticks."""
        near = level_prices(agent, 1)[NT]
        return (near - agent.task_side * self.limit_offset).astype(jnp.int32)

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Array,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Array]:
        """See the class."""
        num_steps = market.step + market.steps_left
        is_late = (market.step >= self.leave_until * num_steps) | (market.steps_left <= 1)
        price = jnp.where(is_late, level_prices(agent, 1)[FT], memory)
        return wanted_orders((agent.task_side, price, agent.remaining)), memory
