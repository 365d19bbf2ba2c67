"""Rule-based market makers; the closed forms are those of the learners' action schemes."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.agents.base import Behavior
from marl_envs.agents.formulas import (
    avellaneda_stoikov,
    cartea_jaimungal,
    gueant_lehalle_fernandez_tapia,
)
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.agents.market_making.depth import two_ladders
from marl_envs.agents.market_making.optimal import quote_at
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Maker(Behavior):
    """A maker whose quotes depend on the mid of everyone else and its inventory.

    Attributes:
        fixed_quant_value: q, shares of a quote, >= 1.

    Raises:
        ValueError: if `fixed_quant_value < 1`.
    """

    fixed_quant_value: int = 10

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)

    @property
    def num_orders(self) -> int:
        """A bid and an ask."""
        return 2

    @abc.abstractmethod
    def quotes(
        self, agent: AgentState, market: MarketState, calibration: Calibration | None
    ) -> Wanted:
        """The orders it wants now."""

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Any,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Any]:
        """`quotes`, whatever happened before."""
        return self.quotes(agent, market, calibration), memory


@dataclasses.dataclass(frozen=True)
class FixedSpread(Maker):
    """`fixed_spread`: bid and ask at a fixed distance from the mid, rounded outwards.

    Attributes:
        half_spread: ticks, > 0.

    References:
        Das (2005), A learning market-maker in the Glosten-Milgrom model, Quantitative Finance
        5(2), where a fixed spread is the benchmark.
    """

    half_spread: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.half_spread <= 0:
            raise ValueError(f"half_spread is {self.half_spread}; it must be > 0")

    def quotes(
        self, agent: AgentState, market: MarketState, calibration: Calibration | None
    ) -> Wanted:
        """See the class."""
        distance = jnp.float32(self.half_spread)
        return quote_at(agent, (distance, distance), self.fixed_quant_value)


@dataclasses.dataclass(frozen=True)
class LinearSkewLadder(Maker):
    """`linear_skew_ladder`: L quotes a side around a mid that leans against the inventory.

    With the center c = mid - `skew` I / q: bid l = 0 .. L - 1 is floor(c - h - l d) and ask l is
    ceil(c + h + l d), each of q shares, and no quote crosses the market.

    Attributes:
        half_spread: h, ticks, > 0.
        num_quote_levels: L, >= 1.
        level_spacing: d, ticks, >= 1.
        skew: ticks for an inventory of q shares, >= 0.

    References:
        Amihud, Mendelson (1980), Dealership market: market-making with inventory, Journal of
        Financial Economics 8(1): both quotes fall as the inventory grows.
    """

    half_spread: float = 2.0
    num_quote_levels: int = 3
    level_spacing: int = 1
    skew: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("num_quote_levels", self.num_quote_levels, 1)
        check_at_least("level_spacing", self.level_spacing, 1)
        check_at_least("skew", self.skew, 0)
        if self.half_spread <= 0:
            raise ValueError(f"half_spread is {self.half_spread}; it must be > 0")

    @property
    def num_orders(self) -> int:
        """L a side."""
        return 2 * self.num_quote_levels

    def quotes(
        self, agent: AgentState, market: MarketState, calibration: Calibration | None
    ) -> Wanted:
        """See the class."""
        lean = self.skew * agent.account.inventory / self.fixed_quant_value
        center = (agent.best_bid + agent.best_ask) / 2 - lean
        steps = self.level_spacing * jnp.arange(self.num_quote_levels, dtype=jnp.int32)
        first_bid = jnp.floor(center - self.half_spread).astype(jnp.int32)
        first_ask = jnp.ceil(center + self.half_spread).astype(jnp.int32)
        first_bid = jnp.minimum(first_bid, agent.best_ask - 1)
        first_ask = jnp.maximum(first_ask, agent.best_bid + 1)
        sizes = jnp.full(self.num_quote_levels, self.fixed_quant_value, jnp.int32)
        return two_ladders(first_bid - steps, sizes, first_ask + steps, sizes)


@dataclasses.dataclass(frozen=True)
class ModelMaker(Maker):
    """A maker who quotes by a closed form.

    A constant that is None is estimated from the background by letting it run without agents;
    where the background is not most of the market, state them.

    Attributes:
        depth_decay: k, per tick.
    """

    depth_decay: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self._stated().items():
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}; it must be > 0")

    def _stated(self) -> dict[str, float | None]:
        """The constants that the closed form needs, None where the background decides."""
        names = [field.name for field in dataclasses.fields(Calibration)]
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    @property
    def uses_calibration(self) -> bool:
        """Whether a constant is left to be estimated."""
        return None in self._stated().values()

    def constants(self, calibration: Calibration | None) -> dict[str, Any]:
        """By name: what was stated, and the rest from the background."""
        return {
            name: getattr(calibration, name) if value is None else jnp.float32(value)
            for name, value in self._stated().items()
        }

    @abc.abstractmethod
    def distances(
        self, inventory: Array, market: MarketState, constants: dict[str, Any]
    ) -> tuple[Array, Array]:
        """Distances of bid and ask from the mid, ticks, for an inventory in units of q."""

    def quotes(
        self, agent: AgentState, market: MarketState, calibration: Calibration | None
    ) -> Wanted:
        """See the class."""
        inventory = agent.account.inventory / self.fixed_quant_value
        distances = self.distances(inventory, market, self.constants(calibration))
        return quote_at(agent, distances, self.fixed_quant_value)


@dataclasses.dataclass(frozen=True)
class AvellanedaStoikov(ModelMaker):
    """`avellaneda_stoikov`: the quotes of `formulas.avellaneda_stoikov`.

    Attributes:
        volatility: sigma, ticks a step.
        gamma: risk aversion, per tick and unit of q; > 0.
        horizon: steps of risk that count; 0 takes what is left of the episode.
    """

    volatility: float | None = None
    gamma: float = 0.05
    horizon: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gamma(self.gamma)
        check_at_least("horizon", self.horizon, 0)

    def distances(
        self, inventory: Array, market: MarketState, constants: dict[str, Any]
    ) -> tuple[Array, Array]:
        """See `formulas.avellaneda_stoikov`."""
        steps = self.horizon or market.steps_left
        variance_left = constants["volatility"] ** 2 * steps
        return avellaneda_stoikov(inventory, self.gamma, variance_left, constants["depth_decay"])


@dataclasses.dataclass(frozen=True)
class Glft(ModelMaker):
    """`glft`: the quotes of `formulas.gueant_lehalle_fernandez_tapia`.

    Attributes:
        volatility: sigma, ticks a step.
        arrival_rate: A, fills a step and side at the mid.
        gamma: risk aversion, per tick and unit of q; > 0.
    """

    volatility: float | None = None
    arrival_rate: float | None = None
    gamma: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gamma(self.gamma)

    def distances(
        self, inventory: Array, market: MarketState, constants: dict[str, Any]
    ) -> tuple[Array, Array]:
        """See `formulas.gueant_lehalle_fernandez_tapia`."""
        return gueant_lehalle_fernandez_tapia(
            inventory,
            self.gamma,
            constants["volatility"],
            constants["depth_decay"],
            constants["arrival_rate"],
        )


@dataclasses.dataclass(frozen=True)
class CarteaJaimungal(ModelMaker):
    """`cartea_jaimungal`: the quotes of `formulas.cartea_jaimungal`.

    Inventories between whole quotes take the nearest; beyond the limit it quotes one side only.

    Attributes:
        arrival_rate: A, fills a step and side at the mid.
        running_penalty: phi, ticks a step for an inventory of q; >= 0.
        terminal_penalty: alpha, ticks a quote at the end for an inventory of q; >= 0.
        inventory_limit: quotes of q shares, >= 1.
    """

    arrival_rate: float | None = None
    running_penalty: float = 0.002
    terminal_penalty: float = 0.1
    inventory_limit: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("running_penalty", self.running_penalty, 0)
        check_at_least("terminal_penalty", self.terminal_penalty, 0)
        check_at_least("inventory_limit", self.inventory_limit, 1)

    def distances(
        self, inventory: Array, market: MarketState, constants: dict[str, Any]
    ) -> tuple[Array, Array]:
        """See `formulas.cartea_jaimungal`."""
        bid, ask = cartea_jaimungal(
            market.steps_left,
            constants["depth_decay"],
            constants["arrival_rate"],
            self.running_penalty,
            self.terminal_penalty,
            self.inventory_limit,
        )
        limit = self.inventory_limit
        level = jnp.clip(jnp.round(inventory), -limit, limit).astype(jnp.int32) + limit
        return bid[level], ask[level]


def _check_gamma(gamma: float) -> None:
    if gamma <= 0:
        raise ValueError(f"gamma is {gamma}; it must be > 0")
