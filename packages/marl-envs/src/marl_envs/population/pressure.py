"""Manipulators who push prices: momentum ignition, painting the close, metaorder predation."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.base import wanted_orders
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.population.manipulation import Manipulator, Plot
from marl_envs.population.memory import choose, trade_towards
from marl_envs.types import AgentState, MarketState, Wanted

Array = jax.Array


def rest_towards(target: Array, agent: AgentState, limit: int) -> Wanted:
    """One resting order at the near touch that brings the inventory closer to a target."""
    missing = jnp.clip(target - agent.account.inventory, -limit, limit)
    side = jnp.where(missing > 0, Side.BID, Side.ASK)
    price = jnp.where(missing > 0, agent.best_bid, agent.best_ask)
    return wanted_orders((side, price, jnp.abs(missing)))


@dataclasses.dataclass(frozen=True)
class MomentumIgnition(Manipulator):
    """`momentum_ignition`: takes a position, starts a move that others follow, and sells to them.

    In cycles, each in a random direction: for `position_steps` it rests orders at the near touch
    until it holds q shares; for `ignite_steps` it takes `burst_size` shares a step at the far
    touch; for `unload_steps` it trades its inventory out at the far touch, an equal part of what
    is left each step.

    Attributes:
        burst_size: shares, >= 1.
        position_steps: >= 1.
        ignite_steps: >= 1.
        unload_steps: >= 1.

    Raises:
        ValueError: if a field is below 1.

    References:
        U.S. Securities and Exchange Commission (2010), Concept release on equity market structure,
        34-61358, section IV.B: momentum ignition.
    """

    burst_size: int = 50
    position_steps: int = 20
    ignite_steps: int = 5
    unload_steps: int = 15

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("burst_size", "position_steps", "ignite_steps", "unload_steps"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def phases(self) -> tuple[str, ...]:
        """The three parts of a cycle."""
        return "position", "ignite", "unload"

    def init_plan(self, key: Array, market: MarketState) -> Array:
        """Direction of the cycle, +1 or -1, `[]` int32; drawn when a cycle begins."""
        return jnp.ones((), jnp.int32)

    def plot(self, key: Array, agent: AgentState, plan: Array, market: MarketState) -> Plot:
        """See the class."""
        start, end = self.position_steps, self.position_steps + self.ignite_steps
        place = market.step % (end + self.unload_steps)
        drawn = jnp.where(jax.random.bernoulli(key), 1, -1)
        direction = jnp.where(place == 0, drawn, plan).astype(jnp.int32)
        phase = (place >= start).astype(jnp.int32) + (place >= end)
        inventory = agent.account.inventory
        position = rest_towards(direction * self.fixed_quant_value, agent, self.fixed_quant_value)
        ignite = trade_towards(inventory + direction * self.burst_size, agent, self.burst_size)
        steps_left = end + self.unload_steps - place
        part = -(-jnp.abs(inventory) // jnp.maximum(steps_left, 1))
        unload = trade_towards(jnp.zeros_like(inventory), agent, part)
        wanted = choose(phase == 0, position, choose(phase == 1, ignite, unload))
        return Plot(wanted, phase, direction)


@dataclasses.dataclass(frozen=True)
class PaintingTheClose(Manipulator):
    """`painting_the_close`: takes a position, and pushes the last prices of the episode its way.

    It rests orders at the near touch until it holds q shares of its side; in the last
    `paint_steps` steps it takes `paint_size` shares a step at the far touch, which raises (a
    short position: lowers) the price at which its position is marked.

    Attributes:
        direction: `"buy"`, `"sell"`, or `"random"`, drawn when an episode begins.
        paint_steps: >= 1.
        paint_size: shares, >= 1.

    Raises:
        ValueError: if a field is out of range.

    References:
        Comerton-Forde, Putnins (2011), Measuring closing price manipulation, Journal of Financial
        Intermediation 20(2).
    """

    direction: str = "random"
    paint_steps: int = 5
    paint_size: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("paint_steps", self.paint_steps, 1)
        check_at_least("paint_size", self.paint_size, 1)
        if self.direction not in ("buy", "sell", "random"):
            raise ValueError(
                f"direction is {self.direction!r}; it must be 'buy', 'sell' or 'random'"
            )

    @property
    def phases(self) -> tuple[str, ...]:
        """Before the close, and at it."""
        return "position", "paint"

    def init_plan(self, key: Array, market: MarketState) -> Array:
        """Direction, +1 or -1, `[]` int32."""
        if self.direction == "random":
            return jnp.where(jax.random.bernoulli(key), 1, -1).astype(jnp.int32)
        return jnp.asarray(1 if self.direction == "buy" else -1, jnp.int32)

    def plot(self, key: Array, agent: AgentState, plan: Array, market: MarketState) -> Plot:
        """See the class."""
        paints = market.steps_left <= self.paint_steps
        position = rest_towards(plan * self.fixed_quant_value, agent, self.fixed_quant_value)
        beyond = agent.account.inventory + plan * self.paint_size
        paint = trade_towards(beyond, agent, self.paint_size)
        return Plot(choose(paints, paint, position), paints, plan)


@dataclasses.dataclass(frozen=True)
class MetaorderPredation(Manipulator):
    """`metaorder_predation`: trades ahead of a large order that shows in the flow.

    The signal is the moving average of buyer-initiated less seller-initiated volume over that of
    all volume. Beyond `entry` it holds `max_position` in the direction of the flow, so that the
    large order buys dearer; within `exit` it closes the position; in between it holds. It trades
    at most q shares a step, at the far touch.

    Attributes:
        max_position: shares, >= 1.
        entry: share of the volume, in (0, 1].
        exit: share of the volume, >= 0 and < `entry`.

    Raises:
        ValueError: if a field is out of range.

    References:
        Brunnermeier, Pedersen (2005), Predatory trading, Journal of Finance 60(4).
    """

    max_position: int = 200
    entry: float = 0.5
    exit: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("max_position", self.max_position, 1)
        if not 0 <= self.exit < self.entry <= 1:
            raise ValueError(
                f"entry is {self.entry} and exit {self.exit}; needed is 0 <= exit < entry <= 1"
            )

    @property
    def phases(self) -> tuple[str, ...]:
        """Waiting or closing, and holding a position with the flow."""
        return "watch", "prey"

    def plot(self, key: Array, agent: AgentState, plan: tuple[()], market: MarketState) -> Plot:
        """See the class."""
        flow = market.signed_volume / jnp.maximum(market.average_volume, 1.0)
        goes_in, goes_out = jnp.abs(flow) > self.entry, jnp.abs(flow) < self.exit
        entered = (jnp.sign(flow) * self.max_position).astype(jnp.int32)
        held = jnp.where(goes_out, 0, agent.account.inventory)
        target = jnp.where(goes_in, entered, held)
        wanted = trade_towards(target, agent, self.fixed_quant_value)
        return Plot(wanted, target != 0, plan)
