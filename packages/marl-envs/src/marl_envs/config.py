"""What a market is made of: its agents, shapes and rules; static and hashable."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lob_core.flow import OrnsteinUhlenbeck
from lob_core.types import Backend, BookConfig


@dataclasses.dataclass(frozen=True)
class AgentSpec:
    """One type of agent in a market: what it does, sees and is paid for.

    Attributes:
        kind: a registered kind of agent, such as `"market_maker"` or `"execution"`.
        num_agents: instances of this type, each with its own account, orders and task.
        action: name of an action scheme of that kind; empty takes the kind's default.
        observation: name of an observation; empty takes the default.
        reward: name of a reward; empty takes the default.
        name: key of this type in every dict; empty takes `kind`. Give two types of the same
            kind different names.
        settings: parameters of the pieces above, as a mapping or as pairs, e.g.
            `{"fixed_quant_value": 5}`, and the terms that every kind understands: latencies,
            fees, position limit, bankruptcy (`terms.Terms`). A setting that none of the pieces
            reads is refused when the environment is built.

    Raises:
        ValueError: if `num_agents < 1`.
    """

    kind: str
    num_agents: int = 1
    action: str = ""
    observation: str = ""
    reward: str = ""
    name: str = ""
    settings: Any = ()

    def __post_init__(self) -> None:
        if self.num_agents < 1:
            raise ValueError(f"AgentSpec.num_agents is {self.num_agents}; it must be >= 1")
        items = self.settings.items() if isinstance(self.settings, Mapping) else self.settings
        object.__setattr__(self, "settings", tuple(sorted((str(k), v) for k, v in items)))
        if not self.name:
            object.__setattr__(self, "name", self.kind)


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """What fixes the shapes and rules of a market; hashable.

    Attributes:
        agents: the types of agent; names must differ.
        num_steps: steps of an episode.
        messages_per_step: background messages a flow model sends in a step. A replayed
            background brings its own number and does not read this.
        num_slots: resting orders that each side of the book can hold.
        backend: engine backend; None takes the best for the device.
        fundamental: law of a fundamental value that agents may know; None has none.
        pending_steps: steps' worth of messages of an agent that can be on their way at once. When
            there is no room for another step's, it sends nothing (counted in `held_back`).
        feed_depth: market states kept for agents that see the market late, one a step. An agent
            whose feed is older than all of them sees the oldest (counted in `feed_too_short`).

    Raises:
        ValueError: if a field is out of range or two agent types share a name.
    """

    agents: tuple[AgentSpec, ...] = (AgentSpec("market_maker"), AgentSpec("execution"))
    num_steps: int = 64
    messages_per_step: int = 100
    num_slots: int = 128
    backend: Backend | None = None
    fundamental: OrnsteinUhlenbeck | None = None
    pending_steps: int = 4
    feed_depth: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "agents", tuple(self.agents))
        for name in ("num_steps", "messages_per_step", "num_slots", "pending_steps", "feed_depth"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"EnvConfig.{name} is {value}; it must be >= 1")
        names = [spec.name for spec in self.agents]
        if not names:
            raise ValueError("EnvConfig.agents is empty; a market needs at least one agent type")
        if len(set(names)) < len(names):
            raise ValueError(f"EnvConfig.agents has the names {names}; they must differ")

    @property
    def num_agents(self) -> int:
        """Agents of all types together."""
        return sum(spec.num_agents for spec in self.agents)

    @property
    def book(self) -> BookConfig:
        """Configuration of the matching engine; accounts need no list of trades."""
        return BookConfig(num_slots=self.num_slots, max_trades=0, num_agents=self.num_agents)
