"""A market small enough to work out by hand."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    BookConfig,
    BookState,
    Message,
    Orders,
    empty_book,
    make_messages,
)

from marl_envs.types import Replaceable

Array = jax.Array


@struct.dataclass
class ScriptState(Replaceable):
    """State of a `ScriptedFlow`.

    Attributes:
        time_s: `[]` int32, seconds since midnight; one more every step.
        time_ns: `[]` int32.
        next_order_id: `[]` int32, past every id of the opening book.
        step: `[]` int32, steps done.
    """

    time_s: Array
    time_ns: Array
    next_order_id: Array
    step: Array


@dataclasses.dataclass(frozen=True)
class ScriptedFlow:
    """A flow model that opens with a given book and sends given messages, whatever happens.

    Attributes:
        bids: (price, size) of each opening bid, best first.
        asks: (price, size) of each opening ask, best first.
        script: for each step, its messages as (event type, side, price, size); steps beyond the
            script are quiet. New orders get ids of their own; a cancel or delete is not possible.
    """

    bids: tuple[tuple[int, int], ...] = ((99, 100), (98, 100), (97, 100))
    asks: tuple[tuple[int, int], ...] = ((101, 100), (102, 100), (103, 100))
    script: tuple[tuple[tuple[int, int, int, int], ...], ...] = ()

    @property
    def refresh_every(self) -> int:
        """More than any step sends: the script does not look at the book."""
        return 2**30

    def default_params(self) -> dict[str, Array]:
        """No parameters."""
        return {}

    def opening(
        self, key: Array, params: dict[str, Array], config: BookConfig
    ) -> tuple[BookState, ScriptState]:
        """The given book at 09:30."""
        book = empty_book(config).replace(
            bids=_orders(self.bids, 1, config.num_slots),
            asks=_orders(self.asks, 1 + len(self.bids), config.num_slots),
        )
        zero = jnp.zeros((), jnp.int32)
        first_id = zero + 1 + len(self.bids) + len(self.asks)
        state = ScriptState(time_s=zero + 34200, time_ns=zero, next_order_id=first_id, step=zero)
        return book, state

    def sample(
        self,
        key: Array,
        book: BookState,
        state: ScriptState,
        params: dict[str, Array],
        num_messages: int,
    ) -> tuple[Message, ScriptState]:
        """The messages of the step, padded with NOOP to `num_messages` rows.

        Raises:
            ValueError: if a step of the script has more rows than that.
        """
        rows = np.zeros((len(self.script) + 1, num_messages, 4), np.int32)
        rows[:, :, 1] = 1
        for step, messages in enumerate(self.script):
            if len(messages) > num_messages:
                raise ValueError(f"step {step} has {len(messages)} messages, not {num_messages}")
            for row, message in enumerate(messages):
                rows[step, row] = message
        table = jnp.asarray(rows)[jnp.minimum(state.step, len(self.script))]
        ids = state.next_order_id + jnp.arange(num_messages, dtype=jnp.int32)
        event_type, side, price, size = table.T
        drawn = make_messages(
            event_type=event_type,
            side=side,
            price=price,
            size=size,
            order_id=ids,
            time_s=state.time_s + 1,
            time_ns=state.time_ns,
        )
        state = state.replace(
            time_s=state.time_s + 1,
            next_order_id=state.next_order_id + num_messages,
            step=state.step + 1,
        )
        return drawn, state


def _orders(levels: tuple[tuple[int, int], ...], first_id: int, num_slots: int) -> Orders:
    """One order a level, padded to `num_slots`."""
    columns = np.tile(np.array([NO_PRICE, 0, NO_ORDER, NO_AGENT], np.int32), (num_slots, 1))
    for row, (price, size) in enumerate(levels):
        columns[row] = (price, size, first_id + row, 0)
    return Orders(*(jnp.asarray(column) for column in columns.T))
