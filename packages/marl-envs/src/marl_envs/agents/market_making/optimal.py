"""Action schemes that quote by a closed form; the action chooses the risk aversion."""

from __future__ import annotations

import abc
import dataclasses
from typing import Final

import jax
import jax.numpy as jnp

from marl_envs.agents.base import ActionScheme
from marl_envs.agents.formulas import avellaneda_stoikov, gueant_lehalle_fernandez_tapia
from marl_envs.agents.market_making.actions import FAR_LIMIT, check_at_least, passive_quotes
from marl_envs.spaces import Discrete
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array

PAPER_DECAY: Final = 1.5
"""k in the numerical examples of Avellaneda and Stoikov."""


def quote_at(agent: AgentState, distances: tuple[Array, Array], size: Array | int) -> Wanted:
    """Quotes at distances from the mid of everyone else, rounded outwards and kept passive.

    Args:
        agent: who quotes.
        distances: of bid and ask, ticks; an infinite one means no quote on that side.
        size: shares of each quote.
    """
    mid = (agent.best_bid + agent.best_ask) / 2
    limit = float(FAR_LIMIT // 2)
    bid = jnp.clip(jnp.floor(mid - distances[0]), 1.0, limit).astype(jnp.int32)
    ask = jnp.clip(jnp.ceil(mid + distances[1]), 1.0, limit).astype(jnp.int32)
    bid_size = jnp.where(jnp.isfinite(distances[0]), size, 0)
    ask_size = jnp.where(jnp.isfinite(distances[1]), size, 0)
    return passive_quotes(agent, bid, bid_size, ask, ask_size)


@dataclasses.dataclass(frozen=True)
class RiskGrid(ActionScheme):
    """A closed form for one of several risk aversions.

    sigma (ticks a step), k (per tick) and A (a step) are estimated from the background and tau is
    the number of steps left. I counts quotes of size q rather than shares, and gamma is given for
    the k = 1.5 of the examples of Avellaneda and Stoikov: in ticks it is gamma k / 1.5. So an
    action means the same in a market of tight and of wide spreads.

    Attributes:
        fixed_quant_value: q, shares of each quote.
        gammas: one risk aversion an action, all > 0 and different.

    Raises:
        ValueError: if a field is out of range.
    """

    fixed_quant_value: int = 10
    gammas: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gammas", tuple(self.gammas))
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)
        if not self.gammas or min(self.gammas) <= 0 or len(set(self.gammas)) < len(self.gammas):
            raise ValueError(f"gammas is {self.gammas}; it needs different values > 0")

    @property
    def uses_calibration(self) -> bool:
        """True: sigma, k and A come from it."""
        return True

    @property
    def num_orders(self) -> int:
        """A bid and an ask."""
        return 2

    @property
    def space(self) -> Discrete:
        """One action for each of `gammas`."""
        return Discrete(len(self.gammas))

    @abc.abstractmethod
    def distances(
        self, inventory: Array, gamma: Array, steps_left: Array, calibration: Calibration
    ) -> tuple[Array, Array]:
        """Distances of bid and ask from the mid, ticks, for a gamma in ticks."""

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        if calibration is None:
            name = type(self).__name__
            raise ValueError(f"{name} needs EnvParams.calibration; use env.make_params")
        scale = calibration.depth_decay / PAPER_DECAY
        gamma = jnp.asarray(self.gammas, jnp.float32)[action] * scale
        inventory = agent.account.inventory / self.fixed_quant_value
        distances = self.distances(inventory, gamma, market.steps_left, calibration)
        return quote_at(agent, distances, self.fixed_quant_value)


@dataclasses.dataclass(frozen=True)
class AvellanedaStoikov(RiskGrid):
    """`AvSt`: the quotes of Avellaneda and Stoikov; see `avellaneda_stoikov` and `RiskGrid`."""

    def distances(
        self, inventory: Array, gamma: Array, steps_left: Array, calibration: Calibration
    ) -> tuple[Array, Array]:
        """See `avellaneda_stoikov`."""
        variance_left = calibration.volatility**2 * steps_left
        return avellaneda_stoikov(inventory, gamma, variance_left, calibration.depth_decay)


@dataclasses.dataclass(frozen=True)
class Glft(RiskGrid):
    """`glft`: the far-horizon quotes of Gueant, Lehalle and Fernandez-Tapia, and no quote.

    The last action wants nothing; see `gueant_lehalle_fernandez_tapia` and `RiskGrid`.

    Attributes:
        gammas: one risk aversion an action but the last, all > 0 and different. The half spread
            is least for some gamma and grows to either side; inventory weighs ever more.
    """

    gammas: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 2.0)

    @property
    def space(self) -> Discrete:
        """One action for each of `gammas`, and no quote."""
        return Discrete(len(self.gammas) + 1)

    def distances(
        self, inventory: Array, gamma: Array, steps_left: Array, calibration: Calibration
    ) -> tuple[Array, Array]:
        """See `gueant_lehalle_fernandez_tapia`."""
        return gueant_lehalle_fernandez_tapia(
            inventory,
            gamma,
            calibration.volatility,
            calibration.depth_decay,
            calibration.arrival_rate,
        )

    def wanted(
        self,
        action: Array,
        agent: AgentState,
        market: MarketState,
        calibration: Calibration | None,
    ) -> Wanted:
        """See the class."""
        is_quoting = action < len(self.gammas)
        index = jnp.minimum(action, len(self.gammas) - 1)
        quotes = super().wanted(index, agent, market, calibration)
        return quotes.replace(size=jnp.where(is_quoting, quotes.size, 0))
