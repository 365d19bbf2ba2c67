"""Traders who look at past mids only: they follow trends, or bet on their reversal."""

from __future__ import annotations

import abc
import dataclasses

import jax
import jax.numpy as jnp

from marl_envs.agents.base import Behavior
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.population.memory import mid_window, push, trade_towards
from marl_envs.types import AgentState, Calibration, MarketState, Wanted

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Technical(Behavior):
    """Holds a position that past mids suggest, and trades towards it at the far touch.

    It waits until its window of mids is full, then looks with probability `activity` a step.

    Attributes:
        fixed_quant_value: q, most shares of one order, >= 1.
        max_position: shares held when the signal is on, >= 1.
        activity: probability of looking in a step, in (0, 1].

    Raises:
        ValueError: if a field is out of range.
    """

    fixed_quant_value: int = 10
    max_position: int = 50
    activity: float = 0.2

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)
        check_at_least("max_position", self.max_position, 1)
        if not 0 < self.activity <= 1:
            raise ValueError(f"activity is {self.activity}; it must be in (0, 1]")

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    @property
    @abc.abstractmethod
    def window(self) -> int:
        """Mids remembered, the present one among them."""

    @abc.abstractmethod
    def target(self, mids: Array, inventory: Array) -> Array:
        """The position wanted, `[]` int32 shares.

        Args:
            mids: `[window]` float32, ticks relative to the first, oldest first.
            inventory: `[]` int32, shares held.
        """

    def init_memory(self, key: Array, agent: AgentState, market: MarketState) -> Array:
        """The window, all at the present mid."""
        return mid_window(market, self.window)

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
        window = push(memory, market.mid_half_ticks)
        target = self.target((window - window[0]) / 2, agent.account.inventory)
        is_full = market.step >= self.window - 1
        looks = is_full & (jax.random.uniform(key) < self.activity)
        target = jnp.where(looks, target, agent.account.inventory)
        return trade_towards(target, agent, self.fixed_quant_value), window


@dataclasses.dataclass(frozen=True)
class Momentum(Technical):
    """`momentum`: long after a rise, short after a fall, flat in between.

    The signal is the mid now less the mid `lookback` steps ago; the position is `max_position`
    times its sign where it exceeds `threshold` ticks in size.

    Attributes:
        lookback: n, steps, >= 1.
        threshold: ticks, >= 0.

    References:
        Moskowitz, Ooi, Pedersen (2012), Time series momentum, Journal of Financial Economics
        104(2).
    """

    lookback: int = 20
    threshold: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("lookback", self.lookback, 1)
        check_at_least("threshold", self.threshold, 0)

    @property
    def window(self) -> int:
        """The lookback and the present."""
        return self.lookback + 1

    def target(self, mids: Array, inventory: Array) -> Array:
        """See the class."""
        change = mids[-1] - mids[0]
        is_on = jnp.abs(change) > self.threshold
        return (self.max_position * jnp.sign(change) * is_on).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class MovingAverageCrossover(Technical):
    """`moving_average`: long while the fast average of the mid is above the slow one, else short.

    Within a band of `threshold` ticks around the slow average it is flat.

    Attributes:
        fast: steps of the fast average, >= 1.
        slow: steps of the slow one, > `fast`.
        threshold: ticks, >= 0.

    References:
        Brock, Lakonishok, LeBaron (1992), Simple technical trading rules and the stochastic
        properties of stock returns, Journal of Finance 47(5), variable-length moving average.
    """

    fast: int = 10
    slow: int = 40
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("fast", self.fast, 1)
        check_at_least("slow", self.slow, self.fast + 1)
        check_at_least("threshold", self.threshold, 0)

    @property
    def window(self) -> int:
        """The slow window."""
        return self.slow

    def target(self, mids: Array, inventory: Array) -> Array:
        """See the class."""
        gap = jnp.mean(mids[-self.fast :]) - jnp.mean(mids)
        is_on = jnp.abs(gap) > self.threshold
        return (self.max_position * jnp.sign(gap) * is_on).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class MeanReversion(Technical):
    """`mean_reversion`: sells what is dear and buys what is cheap against a moving average.

    z = (mid - mean of the last n mids) / their standard deviation. Beyond `entry` the position is
    -`max_position` times the sign of z; within `exit` it is closed; in between it stays.

    Attributes:
        lookback: n, steps, >= 2.
        entry: standard deviations.
        exit: standard deviations, >= 0 and < `entry`.

    References:
        Gatev, Goetzmann, Rouwenhorst (2006), Pairs trading, Review of Financial Studies 19(3),
        for entry and exit in standard deviations.
    """

    lookback: int = 40
    entry: float = 2.0
    exit: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("lookback", self.lookback, 2)
        if not 0 <= self.exit < self.entry:
            raise ValueError(f"exit is {self.exit}; it must be >= 0 and below entry = {self.entry}")

    @property
    def window(self) -> int:
        """The lookback."""
        return self.lookback

    def target(self, mids: Array, inventory: Array) -> Array:
        """See the class."""
        gap, deviation = mids[-1] - jnp.mean(mids), jnp.std(mids)
        goes_in = jnp.abs(gap) > self.entry * deviation
        goes_out = jnp.abs(gap) <= self.exit * deviation
        entered = (-self.max_position * jnp.sign(gap)).astype(jnp.int32)
        return jnp.where(goes_in, entered, jnp.where(goes_out, 0, inventory))
