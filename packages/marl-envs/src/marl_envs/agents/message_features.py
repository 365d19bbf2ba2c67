"""The latest messages of the market as features."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import BookState, EventType, Message

from marl_envs.agents.base import Extended, symlog
from marl_envs.types import MarketState

Array = jax.Array

_FIELDS: Final = (
    "is_submit",
    "is_cancel",
    "is_execution",
    "side",
    "distance",
    "log_size",
    "age",
)
_MILLISECONDS: Final = 1e3


def latest(market: MarketState, num_messages: int) -> Message:
    """The last `num_messages` messages, newest last, unused rows NOOP; leaves `[num_messages]`."""
    if market.recent is None:
        raise ValueError("MarketState.recent is None; no agent asked for messages")
    last: Message = jax.tree.map(lambda leaf: leaf[-num_messages:], market.recent)
    return last


@dataclasses.dataclass(frozen=True)
class RecentMessages(Extended):
    """The latest messages of the market behind another observation.

    Each message has seven features: whether it adds, takes away or executes an order, its side
    (+1 bid, -1 ask), the distance of its price from the mid towards the passive side in ticks
    (symlog), ln(1 + size), and ln(1 + its age in milliseconds). Unused rows are zero.

    Attributes:
        num_messages: messages shown, >= 1, the newest last.

    Raises:
        ValueError: if `num_messages < 1`.
    """

    num_messages: int = 10

    def __post_init__(self) -> None:
        if self.num_messages < 1:
            raise ValueError(f"num_messages is {self.num_messages}; it must be >= 1")

    @property
    def num_recent_messages(self) -> int:
        """Messages that the market has to remember."""
        return self.num_messages

    def more_names(self) -> tuple[str, ...]:
        """The features of each message; message 1 is the newest."""
        numbers = range(self.num_messages, 0, -1)
        return tuple(f"message_{i}_{field}" for i in numbers for field in _FIELDS)

    def extend(self, vector: Array, market: MarketState, book: BookState) -> Array:
        """`vector` `[F]`, then the messages, `[F + 7 M]` float32."""
        messages = latest(market, self.num_messages)
        event = messages.event_type
        is_used = event != EventType.NOOP
        is_submit = (event == EventType.SUBMIT) | (event == EventType.MODIFY)
        is_cancel = (event == EventType.CANCEL) | (event == EventType.DELETE)
        is_execution = (event == EventType.EXECUTE_VISIBLE) | (event == EventType.MARKET)
        distance = messages.side * (market.mid_half_ticks - 2 * messages.price) / 2
        seconds = (market.time_s - messages.time_s) + (market.time_ns - messages.time_ns) * 1e-9
        columns = (
            is_submit,
            is_cancel,
            is_execution,
            messages.side,
            jnp.where(messages.price > 0, symlog(distance), 0.0),
            jnp.log1p(messages.size),
            jnp.log1p(jnp.maximum(seconds, 0.0) * _MILLISECONDS),
        )
        rows = jnp.stack([jnp.asarray(column, jnp.float32) for column in columns], axis=1)
        return jnp.concatenate([vector, jnp.where(is_used[:, None], rows, 0.0).reshape(-1)])
