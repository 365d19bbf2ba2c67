"""A maker against someone who picks the market: drift and fill rates within bounds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from marl_envs.base import AgentGroup, ByType
from marl_envs.games.quoting import QuotingState, SingleMaker
from marl_envs.spaces import Box

Array = jax.Array

ADVERSARY = "adversary"
"""Name of the type that picks the market."""


class DriftGame(SingleMaker):
    """The market of `SingleMaker`, whose drift and fills an opponent picks in every step.

    The type `"adversary"` sees what the maker sees (its inventory, one-hot) and chooses three
    numbers in `[0, 1]`: where the drift of the mid lies in `[-max_drift, max_drift]`, and where
    intensity and fill decay lie in their ranges. It earns what the maker loses. The maker has no
    penalty on inventory of its own. `params`, if they are not None, are a `max_drift` to play with
    in place of the game's.

    In equilibrium the drift goes against the inventory, fills are as scarce and as sensitive to
    distance as they can be, and the maker quotes `quoting.robust_offsets`: skewed, although it
    does not mind risk. A maker who has only met a market without drift quotes `1 / k` on both
    sides at every inventory (but beside its limits).

    Args:
        max_drift: units of price a second, >= 0.
        intensity: lowest and highest A, orders a second.
        fill_decay: lowest and highest k, per unit of distance.
        volatility: of the mid, per square root of a second.
        max_inventory: Q, >= 1.
        step_seconds: dt, > 0.
        num_steps: steps of an episode.

    Raises:
        ValueError: if a number is outside its domain.

    References:
        Spooner and Savani (2020), Robust market making via adversarial reinforcement learning,
        IJCAI, sections 3 and 4.
    """

    def __init__(
        self,
        max_drift: float = 0.3,
        intensity: tuple[float, float] = (1.0, 1.0),
        fill_decay: tuple[float, float] = (1.0, 1.0),
        volatility: float = 0.1,
        max_inventory: int = 3,
        step_seconds: float = 0.25,
        num_steps: int = 64,
    ) -> None:
        for name, (low, high) in (("intensity", intensity), ("fill_decay", fill_decay)):
            if not 0.0 < low <= high:
                raise ValueError(f"{name} is {(low, high)}; it must be positive and in order")
        if max_drift < 0.0:
            raise ValueError(f"max_drift is {max_drift}; it must be >= 0")
        super().__init__(
            fill_decay=sum(fill_decay) / 2,
            intensity=sum(intensity) / 2,
            penalty=0.0,
            volatility=volatility,
            max_inventory=max_inventory,
            step_seconds=step_seconds,
            num_steps=num_steps,
        )
        self.max_drift = max_drift
        self.intensity_range = intensity
        self.fill_decay_range = fill_decay

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The maker, and who picks the market."""
        (maker,) = super().groups.values()
        seen, names = maker.observation_space, maker.observation_names
        picked = Box(0.0, 1.0, (3,))
        adversary = AgentGroup(ADVERSARY, ADVERSARY, 1, seen, picked, names)
        return {"market_maker": maker, ADVERSARY: adversary}

    def _nature(self, action: ByType, params: Any) -> tuple[Array, Array, Array]:
        place = jnp.clip(action[ADVERSARY][0], 0.0, 1.0)
        bound = self.max_drift if params is None else params
        ranges = ((-bound, bound), self.intensity_range, self.fill_decay_range)
        drift, intensity, fill_decay = (
            low + (high - low) * place[i] for i, (low, high) in enumerate(ranges)
        )
        return drift, intensity, fill_decay

    def _observe(self, state: QuotingState) -> ByType:
        seen = super()._observe(state)["market_maker"]
        return {"market_maker": seen, ADVERSARY: seen}

    def step_env(
        self, key: Array, state: QuotingState, action: ByType, params: Any
    ) -> tuple[ByType, QuotingState, ByType, ByType, ByType, dict[str, Any]]:
        """Fills, then the mid moves; the adversary earns what the maker loses."""
        obs, after, reward, terminated, truncated, info = super().step_env(
            key, state, action, params
        )
        reward = {**reward, ADVERSARY: -reward["market_maker"]}
        terminated, truncated, active = (
            {**flags, ADVERSARY: flags["market_maker"]}
            for flags in (terminated, truncated, info["active"])
        )
        return obs, after, reward, terminated, truncated, {**info, "active": active}
