"""The market of Glosten and Milgrom (1985): why there is a spread without any cost of trading."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from marl_envs.base import AgentGroup, ByType
from marl_envs.games.one_shot import OneShotGame
from marl_envs.spaces import Box

Array = jax.Array


def zero_profit_half_spread(informed_share: float, value_range: float) -> float:
    """Half spread at which makers expect to earn nothing, in the unit of the value.

    The value is high or low with equal probability, so its expectation given a buy is
    `informed_share * value_range / 2` above its mean.
    """
    return informed_share * value_range / 2.0


class GlostenMilgrom(OneShotGame):
    """Makers compete for one trader who may know more than they do.

    The value is `+-value_range / 2` around its mean with equal probability. Each of `num_makers`
    agents of the type `"market_maker"` chooses how far its ask lies above the mean and its bid
    below, as shares of `value_range / 2` (a `Box` `[0, 1]` of two entries: ask, bid). One trader
    arrives: with probability `informed_share` it knows the value and buys a share if it is high,
    sells if it is low; else it buys or sells by chance. It trades at the best price with the maker
    who quotes it; makers with equal prices share the trade. A maker is paid price minus value of
    what it sold, value minus price of what it bought, in units of `value_range / 2`.

    With at least two makers, competition leaves the price at which a trade earns nothing: the
    expectation of the value given that it happens. The half spread is then `informed_share` in
    units of `value_range / 2` on both sides (`zero_profit_half_spread`).

    Args:
        informed_share: probability that the trader knows the value, in [0, 1).
        value_range: high minus low value, > 0.
        num_makers: how many compete, >= 2.

    Raises:
        ValueError: if a number is outside its domain.

    References:
        Glosten and Milgrom (1985), Bid, ask and transaction prices in a specialist market with
        heterogeneously informed traders, section 2.
    """

    def __init__(
        self, informed_share: float = 0.3, value_range: float = 2.0, num_makers: int = 2
    ) -> None:
        if not 0.0 <= informed_share < 1.0:
            raise ValueError(f"informed_share is {informed_share}; it must lie in [0, 1)")
        if not value_range > 0.0:
            raise ValueError(f"value_range is {value_range}; it must be > 0")
        if num_makers < 2:
            raise ValueError(f"num_makers is {num_makers}; competition needs >= 2")
        self.informed_share = informed_share
        self.value_range = value_range
        self.num_makers = num_makers

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The makers."""
        seen, quotes = Box(0.0, 1.0, (1,)), Box(0.0, 1.0, (2,))
        return {
            "market_maker": AgentGroup(
                "market_maker", "market_maker", self.num_makers, seen, quotes, ("constant",)
            )
        }

    def draw(self, key: Array) -> Array:
        """The value, `[]` float32, +-1."""
        return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)

    def observe(self, state: Array) -> ByType:
        """Makers see a constant."""
        return {"market_maker": jnp.ones((self.num_makers, 1))}

    def pay(self, key: Array, state: Array, action: ByType) -> tuple[ByType, dict[str, Array]]:
        """One trade."""
        key_kind, key_side = jax.random.split(key)
        is_informed = jax.random.bernoulli(key_kind, self.informed_share)
        by_chance = jnp.where(jax.random.bernoulli(key_side), 1.0, -1.0)
        side = jnp.where(is_informed, state, by_chance)
        quotes = jnp.where(side > 0, action["market_maker"][:, 0], action["market_maker"][:, 1])
        best = jnp.min(quotes)
        is_best = (quotes == best).astype(jnp.float32)
        reward = is_best / jnp.sum(is_best) * (best - side * state)
        half = self.value_range / 2.0
        return {"market_maker": reward}, {"half_spread": best * half, "side": side}
