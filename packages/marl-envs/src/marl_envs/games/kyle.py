"""The one-period auction of Kyle (1985): how much information a price takes in."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from marl_envs.base import AgentGroup, ByType
from marl_envs.games.one_shot import OneShotGame
from marl_envs.spaces import Box

Array = jax.Array


def price_impact(value_std: float, noise_std: float) -> float:
    """Kyle's lambda: price per unit of order flow in equilibrium, `value_std / (2 noise_std)`."""
    return value_std / (2.0 * noise_std)


def insider_intensity(value_std: float, noise_std: float) -> float:
    """Kyle's beta: the insider buys `beta (v - mean)`, `noise_std / value_std`."""
    return noise_std / value_std


class KyleAuction(OneShotGame):
    """An insider who knows the value trades among noise against a maker who sees the total flow.

    The value of the asset is `v ~ N(0, value_std^2)`, counted from its mean. `"insider"` sees
    `v / value_std` and chooses a quantity `x` (shares, a `Box`); noise traders buy
    `u ~ N(0, noise_std^2)`; `"market_maker"` sees nothing and commits to a slope `lambda` (a
    `Box`), so that all trade at the price `lambda (x + u)`. The insider is paid `x (v - price)`,
    the maker `-(price - v)^2`: the best price in that sense is the expectation of the value given
    the flow, at which makers who compete earn nothing. Makers move after the flow in the auction;
    to post the rule beforehand is the same in strategic form.

    In equilibrium `lambda = value_std / (2 noise_std)` (`price_impact`) and the insider trades
    `beta v` with `beta = noise_std / value_std` (`insider_intensity`), even though the insider
    may choose any function of `v`. The insider then earns `value_std noise_std / 2` on average,
    and half of the variance of the value is left after the price is known.

    Args:
        value_std: standard deviation of the value, > 0.
        noise_std: standard deviation of the noise traders' flow, > 0.

    Raises:
        ValueError: if a standard deviation is not positive.

    References:
        Kyle (1985), Continuous auctions and insider trading, theorem 1.
    """

    def __init__(self, value_std: float = 1.0, noise_std: float = 1.0) -> None:
        for name, value in (("value_std", value_std), ("noise_std", noise_std)):
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be > 0")
        self.value_std = value_std
        self.noise_std = noise_std

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The insider and the market maker; both equilibrium answers are well inside the boxes."""
        quantity = 4.0 * self.noise_std
        slope = 3.0 * price_impact(self.value_std, self.noise_std)
        return {
            "insider": AgentGroup(
                "insider",
                "insider",
                1,
                Box(-float("inf"), float("inf"), (1,)),
                Box(-quantity, quantity, (1,)),
                ("value",),
            ),
            "market_maker": AgentGroup(
                "market_maker",
                "market_maker",
                1,
                Box(0.0, 1.0, (1,)),
                Box(0.0, slope, (1,)),
                ("constant",),
            ),
        }

    def draw(self, key: Array) -> Array:
        """The value, `[]` float32, in standard deviations."""
        return jax.random.normal(key)

    def observe(self, state: Array) -> ByType:
        """The insider sees the value."""
        return {"insider": state[None, None], "market_maker": jnp.ones((1, 1))}

    def pay(self, key: Array, state: Array, action: ByType) -> tuple[ByType, dict[str, Array]]:
        """One auction."""
        value = self.value_std * state
        quantity = action["insider"][0, 0]
        flow = quantity + self.noise_std * jax.random.normal(key)
        price = action["market_maker"][0, 0] * flow
        reward = {
            "insider": (quantity * (value - price))[None],
            "market_maker": -jnp.square(price - value)[None],
        }
        return reward, {"value": value, "flow": flow, "price": price}
