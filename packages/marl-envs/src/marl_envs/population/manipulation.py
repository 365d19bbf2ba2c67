"""What manipulators have in common: phases, and a record of which phase paid and which cost.

They act only through orders, like everyone else. Their purpose here is robustness: to train and
test others against them.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from marl_envs.agents.base import Behavior
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.types import AgentState, Calibration, MarketState, Replaceable, Wanted

Array = jax.Array


@struct.dataclass
class Route(Replaceable):
    """Where the money went so far, and what is planned.

    Attributes:
        phase: `[]` int32, the phase in which the present orders were sent.
        worth: `[]` float32, cash less fees plus inventory at the mid, when last looked at.
        gains: `[P]` float32, what each phase brought, ticks times shares.
        bait: `[]` int32, shares of bait in the present orders.
        bait_filled: `[]` int32, shares of bait that traded although they were not meant to.
        traded: `[]` int32, shares traded so far.
        plan: what the manipulator itself remembers, a pytree.
    """

    phase: Array
    worth: Array
    gains: Array
    bait: Array
    bait_filled: Array
    traded: Array
    plan: Any


@dataclasses.dataclass(frozen=True)
class Plot:
    """Orders of one step.

    Attributes:
        wanted: the orders, leaves `[K]`; rows from `num_genuine` on are bait.
        phase: `[]` int32, index into `phases`.
        plan: what to remember, the tree of `init_plan`.
    """

    wanted: Wanted
    phase: Array
    plan: Any


@dataclasses.dataclass(frozen=True)
class Manipulator(Behavior):
    """A behavior with phases, whose episode result says what each of them brought.

    `info["episode"]` reports, beside what every type reports: `gain_<phase>`, the change of cash
    less fees plus inventory at the mid while orders of that phase were out (they add up to the
    worth at the mid); `manipulation_cost`, the sum of the losing phases, positive; and
    `bait_filled`, shares of orders that were meant to be cancelled but traded.

    Attributes:
        fixed_quant_value: q, shares of its genuine orders, >= 1.

    Raises:
        ValueError: if `fixed_quant_value < 1`.
    """

    fixed_quant_value: int = 50

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)

    @property
    @abc.abstractmethod
    def phases(self) -> tuple[str, ...]:
        """Names of the phases."""

    @property
    def num_genuine(self) -> int:
        """Rows of its orders that are meant to trade; the others are bait."""
        return 1

    @property
    def num_orders(self) -> int:
        """One genuine order, unless there is bait."""
        return 1

    def init_plan(self, key: Array, market: MarketState) -> Any:
        """What it remembers of its own when an episode begins."""
        return ()

    @abc.abstractmethod
    def plot(self, key: Array, agent: AgentState, plan: Any, market: MarketState) -> Plot:
        """Orders, phase and plan of this step."""

    def init_memory(self, key: Array, agent: AgentState, market: MarketState) -> Route:
        """Nothing gained in any phase."""
        zero = jnp.zeros((), jnp.int32)
        return Route(
            phase=zero,
            worth=jnp.zeros((), jnp.float32),
            gains=jnp.zeros(len(self.phases), jnp.float32),
            bait=zero,
            bait_filled=zero,
            traded=zero,
            plan=self.init_plan(key, market),
        )

    def account_for(self, route: Route, agent: AgentState, market: MarketState) -> Route:
        """The route after what happened since the last step."""
        reference = market.mid_open_half_ticks // 2
        mark = market.mid_half_ticks / 2 - reference
        worth = agent.account.net_cash + agent.account.inventory * mark
        is_phase = jnp.arange(len(self.phases)) == route.phase
        resting = jnp.sum(agent.orders.size[self.num_genuine :])
        traded = agent.account.bought + agent.account.sold
        filled = jnp.clip(route.bait - resting, 0, traded - route.traded)
        return route.replace(
            worth=worth.astype(jnp.float32),
            gains=route.gains + jnp.where(is_phase, worth - route.worth, 0.0),
            bait_filled=route.bait_filled + filled,
            traded=traded,
        )

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Route,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Route]:
        """See the class."""
        route = self.account_for(memory, agent, market)
        plot = self.plot(key, agent, route.plan, market)
        bait = jnp.sum(plot.wanted.size[self.num_genuine :])
        phase = jnp.asarray(plot.phase, jnp.int32)
        return plot.wanted, route.replace(phase=phase, bait=bait, plan=plot.plan)

    def report(self, agent: AgentState, market: MarketState) -> dict[str, Array]:
        """See the class."""
        route = self.account_for(agent.action_memory, agent, market)
        gains = {f"gain_{name}": route.gains[i] for i, name in enumerate(self.phases)}
        cost = -jnp.sum(jnp.minimum(route.gains, 0.0))
        return {**gains, "manipulation_cost": cost, "bait_filled": route.bait_filled}
