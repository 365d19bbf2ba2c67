"""Own state, book and messages as integer tokens of one vocabulary, for sequence models."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import BookState, EventType
from lob_core.views import level_2

from marl_envs.agents.base import Extended
from marl_envs.agents.book_features import level_names
from marl_envs.agents.message_features import latest
from marl_envs.spaces import MultiDiscrete
from marl_envs.types import MarketState

Array = jax.Array

_NUM_OWN: Final = 128
_OWN_PER_UNIT: Final = 8
_NUM_SIZES: Final = 24
_NUM_EVENTS: Final = max(EventType) + 1
_NUM_SIDES: Final = 3
_FIELDS: Final = ("event", "side", "distance", "size")


@dataclasses.dataclass(frozen=True)
class Tokenizer(Extended):
    """Another observation, the best levels and the latest messages, all as integer tokens.

    Each kind of number has its own part of the vocabulary.

    In order: 128 tokens for features of the own state (steps of 1/8 from -8 on), 2 D + 2 for
    distances from the mid (missing, then -D .. D ticks, farther ones cut), 24 for sizes (0, then
    doublings), 10 for `EventType`, 3 for the side (none, bid, ask).

    Attributes:
        num_levels: levels a side, >= 1.
        num_messages: messages, >= 1, the newest last.
        max_distance: D, ticks, >= 1.

    Raises:
        ValueError: if a field is below 1.
    """

    num_levels: int = 5
    num_messages: int = 10
    max_distance: int = 31

    def __post_init__(self) -> None:
        for name in ("num_levels", "num_messages", "max_distance"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be >= 1")

    @property
    def num_recent_messages(self) -> int:
        """Messages that the market has to remember."""
        return self.num_messages

    @property
    def vocabulary(self) -> tuple[int, int, int, int, int]:
        """Tokens of each part: own state, distance, size, event, side."""
        return _NUM_OWN, 2 * self.max_distance + 2, _NUM_SIZES, _NUM_EVENTS, _NUM_SIDES

    @property
    def space(self) -> MultiDiscrete:
        """Every token has the whole vocabulary as its range."""
        return MultiDiscrete((sum(self.vocabulary),) * len(self.names))

    def more_names(self) -> tuple[str, ...]:
        """Levels as in `level_names`, then messages, number 1 the newest."""
        numbers = range(self.num_messages, 0, -1)
        messages = (f"message_{i}_{field}" for i in numbers for field in _FIELDS)
        return (*level_names(self.num_levels), *messages)

    def own(self, vector: Array) -> Array:
        """Tokens of features that are logs, shares or flags, `[F]` int32."""
        bucket = jnp.floor(_OWN_PER_UNIT * vector).astype(jnp.int32) + _NUM_OWN // 2
        return jnp.clip(bucket, 0, _NUM_OWN - 1)

    def distance(self, price: Array, market: MarketState, is_there: Array) -> Array:
        """Tokens of prices relative to the mid, rounded down, int32."""
        ticks = (2 * price - market.mid_half_ticks) // 2
        inside = jnp.clip(ticks, -self.max_distance, self.max_distance) + self.max_distance + 1
        return self._offset(1) + jnp.where(is_there, inside, 0)

    def size(self, size: Array) -> Array:
        """Tokens of sizes: 0 is 0, then 1, 2-3, 4-7, ...; int32."""
        bits = 32 - jax.lax.clz(jnp.maximum(size, 0))
        return self._offset(2) + jnp.minimum(bits, _NUM_SIZES - 1)

    def extend(self, vector: Array, market: MarketState, book: BookState) -> Array:
        """Tokens of `vector` `[F]`, of the levels and of the messages, `[F + 4 L + 4 M]` int32."""
        parts = [self.own(vector)]
        for levels in level_2(book, self.num_levels):
            parts += [self.distance(levels.price, market, levels.size > 0), self.size(levels.size)]
        messages = latest(market, self.num_messages)
        is_known = (messages.event_type >= 0) & (messages.event_type < _NUM_EVENTS)
        event = self._offset(3) + jnp.where(is_known, messages.event_type, 0)
        is_used = event != self._offset(3)
        side = self._offset(4) + jnp.where(is_used, jnp.where(messages.side > 0, 1, 2), 0)
        distance = self.distance(messages.price, market, is_used & (messages.price > 0))
        size = self.size(jnp.where(is_used, messages.size, 0))
        rows = jnp.stack([event, side, distance, size], axis=1)
        return jnp.concatenate([*parts, rows.reshape(-1)]).astype(jnp.int32)

    def _offset(self, part: int) -> int:
        return sum(self.vocabulary[:part])
