"""What agents across assets can do: from an action to a wanted position in every asset."""

from __future__ import annotations

import abc
import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from marl_envs.agents.base import symlog
from marl_envs.spaces import Box, Discrete, Space
from marl_envs.types import Replaceable

Array = jax.Array


@struct.dataclass
class PortfolioView(Replaceable):
    """What a scheme sees of one agent's assets, leaves `[S]`.

    Attributes:
        inventory: int32, shares.
        mid: float32, ticks.
        mid_open: float32, ticks, when the episode began.
    """

    inventory: Array
    mid: Array
    mid_open: Array


@dataclasses.dataclass(frozen=True)
class PortfolioScheme(abc.ABC):
    """Turns the action of an agent across assets into positions it wants to hold."""

    @property
    def num_assets(self) -> int | None:
        """Number of assets that the scheme is for; None fits any."""
        return None

    @abc.abstractmethod
    def space(self, num_assets: int) -> Space:
        """The actions of one agent."""

    @abc.abstractmethod
    def targets(self, action: Array, view: PortfolioView) -> Array:
        """Positions to hold, `[S]` int32 shares; an agent trades towards them at the far touch."""

    def features(self, view: PortfolioView) -> dict[str, Array]:
        """Further entries of the observation by name, leaves `[]`; empty by default."""
        return {}


@dataclasses.dataclass(frozen=True)
class Allocation(PortfolioScheme):
    """`allocation`: a share of the largest position for every asset, negative to be short.

    Attributes:
        max_position: shares, >= 1.

    Raises:
        ValueError: if `max_position < 1`.
    """

    max_position: int = 100

    def __post_init__(self) -> None:
        if self.max_position < 1:
            raise ValueError(f"max_position is {self.max_position}; it must be >= 1")

    def space(self, num_assets: int) -> Box:
        """A number in [-1, 1] for every asset."""
        return Box(-1.0, 1.0, (num_assets,))

    def targets(self, action: Array, view: PortfolioView) -> Array:
        """The shares, rounded."""
        return jnp.round(jnp.clip(action, -1, 1) * self.max_position).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class IndexArbitrage(PortfolioScheme):
    """`index_arbitrage`: 0 holds nothing, 1 buys the basket and sells the index, 2 the reverse.

    The last asset is the index, worth `weights` shares of the others. Its mispricing is its mid
    less the value of the basket, counted from the difference when the episode began.

    Attributes:
        weights: shares of each other asset in one share of the index, positive whole numbers.
        fixed_quant_value: shares of the index in a position.

    Raises:
        ValueError: if a field is out of range.
    """

    weights: tuple[int, ...] = (1,)
    fixed_quant_value: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))
        if not self.weights or min(self.weights) < 1:
            raise ValueError(f"weights is {self.weights}; it needs whole numbers >= 1")
        if self.fixed_quant_value < 1:
            raise ValueError(f"fixed_quant_value is {self.fixed_quant_value}; it must be >= 1")

    @property
    def num_assets(self) -> int:
        """One for each weight, and the index."""
        return len(self.weights) + 1

    def space(self, num_assets: int) -> Discrete:
        """Three positions."""
        return Discrete(3)

    def mispricing(self, view: PortfolioView) -> Array:
        """`[]` float32, ticks; positive when the index is dear."""
        change = view.mid - view.mid_open
        return change[-1] - jnp.sum(jnp.asarray(self.weights, jnp.float32) * change[:-1])

    def targets(self, action: Array, view: PortfolioView) -> Array:
        """Basket one way, index the other."""
        direction = jnp.asarray((0, 1, -1), jnp.int32)[action]
        basket = jnp.asarray((*self.weights, -1), jnp.int32)
        return direction * self.fixed_quant_value * basket

    def features(self, view: PortfolioView) -> dict[str, Array]:
        """The mispricing."""
        return {"mispricing": symlog(self.mispricing(view))}


@dataclasses.dataclass(frozen=True)
class IndexArbitrageRule(IndexArbitrage):
    """`index_arbitrage_rule`: the position of `IndexArbitrage` that the mispricing asks for.

    It opens a position when the mispricing exceeds `threshold`, and closes it when the mispricing
    has changed its sign: a baseline that takes no decision.

    Attributes:
        threshold: ticks, > 0.

    Raises:
        ValueError: if a field is out of range.
    """

    threshold: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold}; it must be > 0")

    def space(self, num_assets: int) -> Discrete:
        """One action."""
        return Discrete(1)

    def targets(self, action: Array, view: PortfolioView) -> Array:
        """See the class."""
        gap = self.mispricing(view)
        held = -jnp.sign(view.inventory[-1])  # 1 with the basket bought, -1 with it sold
        keeps = jnp.where(held * gap > 0, held, 0)
        wanted = jnp.where(jnp.abs(gap) > self.threshold, jnp.sign(gap).astype(jnp.int32), keeps)
        return super().targets(jnp.where(wanted < 0, 2, wanted), view)
