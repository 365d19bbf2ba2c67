"""Value traders: they learn a fundamental from noisy signals and trade against mispricing."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import Side

from marl_envs.agents.base import Behavior, wanted_orders
from marl_envs.agents.formulas import mean_reverting_forecast, optimal_fundamental_estimate
from marl_envs.agents.market_making.actions import check_at_least
from marl_envs.population.memory import choose, keep, seconds_since, time_of
from marl_envs.types import AgentState, Calibration, MarketState, Replaceable, Wanted

Array = jax.Array


@struct.dataclass
class Belief(Replaceable):
    """What a value trader thinks, leaves `[]`.

    Attributes:
        mean: float32, ticks relative to the mid at the open.
        variance: float32, ticks^2.
        time: seconds and nanoseconds of the last signal, int32.
    """

    mean: Array
    variance: Array
    time: tuple[Array, Array]


@dataclasses.dataclass(frozen=True)
class Value(Behavior):
    """`value`: a Bayesian who knows that the fundamental reverts to its mean.

    With probability `activity` a step it receives the fundamental plus normal noise. Its belief,
    carried on since the last signal by the law of the fundamental (`mean_reverting_forecast`), is
    updated (`optimal_fundamental_estimate`) and carried on to the end of a horizon, whose mean is
    its value estimate V. It then replaces its order by one of q shares on the side on which V is
    away from the mid: a purchase at floor(V - surplus) or a sale at ceil(V + surplus), which
    trades at once as far as that price reaches. Otherwise its order stays.

    Attributes:
        fixed_quant_value: q, shares, >= 1.
        activity: probability of acting in a step, in (0, 1].
        signal_noise: standard deviation of a signal, ticks, > 0.
        surplus: ticks it wants to gain, >= 0.
        fundamental_mean: ticks; None takes the mid at the open.
        reversion: 1/s, > 0; by default that of `lob_core.flow.OrnsteinUhlenbeck`.
        volatility: ticks per square root of a second, >= 0; likewise.
        horizon_s: seconds ahead for which it estimates the value, >= 0.

    Raises:
        ValueError: if a field is out of range.

    References:
        Wah, Wright, Wellman (2017), Welfare effects of market making in continuous double
        auctions, Journal of Artificial Intelligence Research 59, section 3.
        Byrd, Hybinette, Balch (2019), ABIDES, arXiv 1904.12066, for the Bayesian estimate.
    """

    fixed_quant_value: int = 10
    activity: float = 0.05
    signal_noise: float = 3.0
    surplus: float = 1.0
    fundamental_mean: float | None = None
    reversion: float = 0.01
    volatility: float = 0.5
    horizon_s: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("fixed_quant_value", self.fixed_quant_value, 1)
        for name in ("surplus", "volatility", "horizon_s"):
            check_at_least(name, getattr(self, name), 0)
        for name in ("signal_noise", "reversion"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be > 0")
        if not 0 < self.activity <= 1:
            raise ValueError(f"activity is {self.activity}; it must be in (0, 1]")

    @property
    def num_orders(self) -> int:
        """One order."""
        return 1

    def _mean(self, market: MarketState) -> Array:
        """Long-run mean of the fundamental relative to the mid at the open, ticks."""
        if self.fundamental_mean is None:
            return jnp.zeros((), jnp.float32)
        return jnp.asarray(self.fundamental_mean - market.mid_open_half_ticks / 2, jnp.float32)

    def init_memory(self, key: Array, agent: AgentState, market: MarketState) -> Belief:
        """The stationary law of the fundamental."""
        variance = jnp.float32(self.volatility**2 / (2 * self.reversion))
        return Belief(mean=self._mean(market), variance=variance, time=time_of(market))

    def estimate(self, belief: Belief, signal: Array, market: MarketState) -> tuple[Belief, Array]:
        """The belief after a signal, and the value estimate; ticks from the mid at the open."""
        law = (self._mean(market), self.reversion, self.volatility)
        waited = seconds_since(belief.time, market)
        prior = mean_reverting_forecast(belief.mean, belief.variance, *law, waited)
        mean, variance = optimal_fundamental_estimate(*prior, signal, self.signal_noise**2)
        value, _ = mean_reverting_forecast(mean, variance, *law, self.horizon_s)
        return Belief(mean=mean, variance=variance, time=time_of(market)), value

    def decide(
        self,
        key: Array,
        action: Array,
        agent: AgentState,
        memory: Belief,
        market: MarketState,
        calibration: Calibration | None,
    ) -> tuple[Wanted, Belief]:
        """See the class."""
        key_act, key_signal = jax.random.split(key)
        acts = jax.random.uniform(key_act) < self.activity
        center = market.mid_open_half_ticks / 2
        signal = market.fundamental - center
        signal += self.signal_noise * jax.random.normal(key_signal)
        belief, value = self.estimate(memory, signal, market)
        is_buy = value + center > (agent.best_bid + agent.best_ask) / 2
        bid = jnp.floor(value + center - self.surplus)
        ask = jnp.ceil(value + center + self.surplus)
        order = wanted_orders(
            (
                jnp.where(is_buy, Side.BID, Side.ASK),
                jnp.where(is_buy, bid, ask),
                self.fixed_quant_value,
            )
        )
        return choose(acts, order, keep(agent)), choose(acts, belief, memory)
