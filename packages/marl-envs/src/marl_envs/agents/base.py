"""The pieces an agent type is made of; a user's own agent subclasses these.

Every piece is a frozen dataclass whose fields are its parameters, so it is hashable and a variant
is a small class rather than a branch. All methods see **one** agent: the environment vmaps them
over the instances of a type.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import BookState, Side

from marl_envs.spaces import Box, MultiDiscrete, Space
from marl_envs.types import AgentState, Calibration, MarketState, Replaceable, Wanted

Array = jax.Array


@struct.dataclass
class StepResult(Replaceable):
    """What happened to one agent in one step, for rewards; leaves `[]`.

    Prices are float32 ticks relative to the reference price, values ticks times shares relative
    to it; sums are exact while below 2^24. In the last step `bought`, `sold` and their values
    include the closing entries, and `remaining` and `inventory` are what is left after them.

    Attributes:
        bought: shares bought.
        sold: shares sold.
        bought_value: what was paid for them.
        sold_value: what was earned with them.
        maker_size: shares of those traded as maker.
        fees: what it paid the venue; negative if rebates were more.
        inventory_before: shares before the step.
        inventory: shares after it.
        cash_before: cash less fees before the step.
        cash: cash less fees after it.
        mid_before: mid before the step.
        mid: mid after it.
        mid_mean: mean mid over the messages of the step.
        best_bid: best bid after the step.
        best_ask: best ask after the step.
        bid_before: best bid before the step.
        ask_before: best ask before the step.
        others_size: shares traded between other participants.
        others_value: their value.
        volume: shares traded by anyone, without closing entries.
        arrival_price: mid when the episode began.
        spread_open: spread when the episode began, ticks.
        task_side: side of the task, 0 without one.
        task_size: shares of the task.
        remaining: shares of the task left.
        is_last: bool, whether the episode ends with this step.
    """

    bought: Array
    sold: Array
    bought_value: Array
    sold_value: Array
    maker_size: Array
    fees: Array
    inventory_before: Array
    inventory: Array
    cash_before: Array
    cash: Array
    mid_before: Array
    mid: Array
    mid_mean: Array
    best_bid: Array
    best_ask: Array
    bid_before: Array
    ask_before: Array
    others_size: Array
    others_value: Array
    volume: Array
    arrival_price: Array
    spread_open: Array
    task_side: Array
    task_size: Array
    remaining: Array
    is_last: Array


@dataclasses.dataclass(frozen=True)
class Behavior(abc.ABC):
    """Decides what one agent wants; base of rule-based behaviors and of action schemes."""

    @property
    def uses_calibration(self) -> bool:
        """Whether `EnvParams.calibration` must be there."""
        return False

    @property
    @abc.abstractmethod
    def num_orders(self) -> int:
        """`K`, the most orders it can want at once."""

    def init_memory(self, key: Array, agent: AgentState, market: MarketState) -> Any:
        """What the agent remembers when an episode begins: a pytree, empty by default.

        Args:
            key: consumed; the agent's own.
            agent: the agent's own state.
            market: public facts.
        """
        return ()

    @abc.abstractmethod
    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Any,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Any]:
        """Orders the agent wants after this step, and what it remembers.

        Args:
            key: consumed; the agent's own, independent of what anybody does.
            action: an element of the action space; 0 for a rule-based agent.
            agent: the agent's own state.
            memory: what it remembered, the tree of `init_memory`.
            market: public facts.
            calibration: constants of the background; None unless `uses_calibration`.

        Returns:
            Leaves `[num_orders]`, and memory of the same tree, shapes and types.

        Notes:
            It is called on every step, also while the agent may not act: then its orders are
            ignored, but its memory goes on.
        """

    def report(self, agent: AgentState, market: MarketState) -> dict[str, Array]:
        """What the episode result of the agent says beside what every type reports.

        Args:
            agent: the agent's own state; what it remembers is in `action_memory`.
            market: public facts.

        Returns:
            Arrays by name, leaves `[]`; empty by default.
        """
        return {}


@dataclasses.dataclass(frozen=True)
class ActionScheme(Behavior):
    """Turns an action into wanted orders; one with memory overrides `decide`."""

    @property
    @abc.abstractmethod
    def space(self) -> Space:
        """The actions of one agent."""

    @abc.abstractmethod
    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """Orders the agent wants after this step.

        Args:
            action: an element of `space`.
            agent: the agent's own state.
            market: public facts.
            calibration: constants of the background; None unless `uses_calibration`.

        Returns:
            Leaves `[num_orders]`.
        """

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Any,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Any]:
        """`wanted`, with the memory as it was."""
        return self.wanted(action, agent, market, calibration), memory


@dataclasses.dataclass(frozen=True)
class Observation(abc.ABC):
    """Turns an agent's view into a vector."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """A name for every entry of the vector."""

    @property
    def space(self) -> Box | MultiDiscrete:
        """Shape and limits of the vector; `MultiDiscrete` when it consists of tokens."""
        return Box(-jnp.inf, jnp.inf, (len(self.names),))

    @property
    def num_recent_messages(self) -> int:
        """Messages that `MarketState.recent` must hold; 0 if it is not read."""
        return 0

    @abc.abstractmethod
    def observe(self, agent: AgentState, market: MarketState, book: BookState) -> Array:
        """`[F]`, one entry for each of `names`: float32, or int32 when it consists of tokens."""


@dataclasses.dataclass(frozen=True)
class Extended(Observation):
    """What another observation shows, then more: list it before that one among the bases."""

    @abc.abstractmethod
    def more_names(self) -> tuple[str, ...]:
        """Names of what is added."""

    @abc.abstractmethod
    def extend(self, vector: Array, market: MarketState, book: BookState) -> Array:
        """`vector` `[F]` of the other observation with what is added behind it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the other observation, then what is added."""
        return (*super().names, *self.more_names())  # type: ignore[safe-super]

    def observe(self, agent: AgentState, market: MarketState, book: BookState) -> Array:
        """One entry for each of `names`."""
        vector = super().observe(agent, market, book)  # type: ignore[safe-super]
        return self.extend(vector, market, book)


@dataclasses.dataclass(frozen=True)
class Reward(abc.ABC):
    """Pays an agent for a step."""

    def init(self) -> Any:
        """What the reward remembers at the start of an episode: a pytree, empty by default."""
        return ()

    @abc.abstractmethod
    def reward(self, result: StepResult, memory: Any) -> tuple[Array, Any]:
        """The reward `[]` float32, and the new memory."""


class Closing(Protocol):
    """What becomes of a position or task when the episode ends."""

    @property
    def is_terminal(self) -> bool:
        """Whether the end of the episode is real rather than a truncation."""

    def quantity(self, agent: AgentState) -> Array:
        """Shares to trade by bookkeeping, int32; positive buys; any leading shape."""

    def cash(
        self, agent: AgentState, market: MarketState, book: BookState, reference_price: Array
    ) -> Array:
        """`[]` int32, what that trade brings, relative to the reference price."""


class Task(Protocol):
    """Gives every agent something to do."""

    def sample(self, key: Array, num_agents: int) -> tuple[Array, Array]:
        """`task_side` and `task_size`, each `[num_agents]` int32."""


@dataclasses.dataclass(frozen=True)
class NoTask:
    """No order to execute; the agent is active until the episode ends."""

    def sample(self, key: Array, num_agents: int) -> tuple[Array, Array]:
        """Zeros, `[num_agents]` int32 each."""
        zeros = jnp.zeros(num_agents, jnp.int32)
        return zeros, zeros


def wanted_orders(*orders: tuple[Any, Any, Any], is_immediate: Any = False) -> Wanted:
    """`Wanted` from `(side, price, size)` triples of scalars.

    Sizes below zero become zero and prices below one tick become one.
    """
    sides, prices, sizes = zip(*orders, strict=True)
    return Wanted(
        side=jnp.stack([jnp.asarray(side, jnp.int32) for side in sides]),
        price=jnp.maximum(jnp.stack([jnp.asarray(price, jnp.int32) for price in prices]), 1),
        size=jnp.maximum(jnp.stack([jnp.asarray(size, jnp.int32) for size in sizes]), 0),
        is_immediate=jnp.broadcast_to(jnp.asarray(is_immediate, bool), (len(orders),)),
    )


def two_sided(bid: Any, bid_size: Any, ask: Any, ask_size: Any) -> Wanted:
    """A bid and an ask, the ask moved up so that the pair is never crossed with itself."""
    bid = jnp.maximum(jnp.asarray(bid, jnp.int32), 1)
    ask = jnp.maximum(jnp.asarray(ask, jnp.int32), bid + 1)
    return wanted_orders((Side.BID, bid, bid_size), (Side.ASK, ask, ask_size))


def symlog(value: Any) -> Array:
    """`sign(x) ln(1 + |x|)` as float32: keeps the sign, tames the scale."""
    value = jnp.asarray(value, jnp.float32)
    return jnp.sign(value) * jnp.log1p(jnp.abs(value))
