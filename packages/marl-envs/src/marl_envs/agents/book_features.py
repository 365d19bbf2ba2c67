"""Levels of the book as features, read off the sorted sides without a sort."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from lob_core.types import BookState
from lob_core.views import level_2

from marl_envs.agents.base import Extended, symlog
from marl_envs.types import MarketState

Array = jax.Array


def level_names(num_levels: int) -> tuple[str, ...]:
    """Names of the entries of `level_features`."""
    return tuple(
        f"{side}_{what}_{level}"
        for side in ("bid", "ask")
        for what in ("distance", "log_size")
        for level in range(1, num_levels + 1)
    )


def level_features(book: BookState, market: MarketState, num_levels: int) -> Array:
    """Distance from the mid in ticks (symlog, 0 where a level is missing) and ln(1 + size).

    Returns:
        `[4 L]` float32, in the order of `level_names`.
    """
    parts = []
    for levels, sign in zip(level_2(book, num_levels), (-1, 1), strict=True):
        distance = sign * (2 * levels.price - market.mid_half_ticks) / 2
        parts += [jnp.where(levels.size > 0, symlog(distance), 0.0), jnp.log1p(levels.size)]
    return jnp.concatenate(parts).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class Levels(Extended):
    """The best levels of both sides behind another observation.

    Attributes:
        num_levels: levels a side, >= 1.

    Raises:
        ValueError: if `num_levels < 1`.
    """

    num_levels: int = 5

    def __post_init__(self) -> None:
        if self.num_levels < 1:
            raise ValueError(f"num_levels is {self.num_levels}; it must be >= 1")

    def more_names(self) -> tuple[str, ...]:
        """Bid distances, bid sizes, ask distances, ask sizes."""
        return level_names(self.num_levels)

    def extend(self, vector: Array, market: MarketState, book: BookState) -> Array:
        """`vector` `[F]`, then the levels, `[F + 4 L]` float32."""
        return jnp.concatenate([vector, level_features(book, market, self.num_levels)])
