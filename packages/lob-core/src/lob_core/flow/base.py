"""What every order-flow model offers, and the closed loop of model and engine."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp

from lob_core.engine import process_messages
from lob_core.flow.draws import running_sum
from lob_core.types import (
    FIRST_AGENT_ORDER_ID,
    Array,
    Backend,
    BookConfig,
    BookState,
    Message,
    Outcome,
    Replaceable,
    pytree_dataclass,
)

NANOSECONDS_PER_SECOND = 1_000_000_000
_LONGEST_WAIT_S = 1_000.0
_MOST_WAITS = 16_000


@pytree_dataclass
class FlowState(Replaceable):
    """What a model remembers between looks at the book; models add their own leaves.

    Attributes:
        time_s: `[]` int32, seconds since midnight of the last message.
        time_ns: `[]` int32, nanoseconds within that second.
        next_order_id: `[]` int32, id of the next order; stays below `FIRST_AGENT_ORDER_ID`.
    """

    time_s: Array
    time_ns: Array
    next_order_id: Array


StateT = TypeVar("StateT", bound=FlowState)
ParamsT = TypeVar("ParamsT")


class FlowModel(Protocol[StateT, ParamsT]):
    """An order-flow model: a frozen, hashable object whose methods are pure.

    Attributes:
        refresh_every: messages that `simulate` draws from one look at the book; 1 is exact.
    """

    @property
    def refresh_every(self) -> int:
        """Messages that `simulate` draws from one look at the book."""
        ...

    def default_params(self) -> ParamsT:
        """Parameters of a liquid market, a pytree of arrays."""
        ...

    def opening(self, key: Array, params: ParamsT, config: BookConfig) -> tuple[BookState, StateT]:
        """A random book to start from, leaves `[N]`, and the state that goes with it."""
        ...

    def sample(
        self, key: Array, book: BookState, state: StateT, params: ParamsT, num_messages: int
    ) -> tuple[Message, StateT]:
        """The next messages, leaves `[num_messages]`, all drawn from one look at `book`."""
        ...


def simulate(
    model: FlowModel[StateT, ParamsT],
    key: Array,
    book: BookState,
    state: StateT,
    params: ParamsT,
    num_messages: int,
    config: BookConfig,
    *,
    backend: Backend | None = None,
) -> tuple[BookState, StateT, Message, Outcome]:
    """Lets the market run: the model looks at the book, sends messages, the engine plays them.

    Args:
        model: an order-flow model.
        key: PRNG key, consumed.
        book: one book, leaves `[N]`.
        state: the model's state.
        params: the model's parameters.
        num_messages: `M`, a multiple of `model.refresh_every`.
        config: shapes and rules of the book.
        backend: as in `process_messages`.

    Returns:
        The new book and state, the messages `[M]`, and their outcome, as one
        `process_messages` call over all of them gives it.

    Raises:
        ValueError: if `num_messages` is not a positive multiple of `model.refresh_every`.
    """
    chunk = model.refresh_every
    if num_messages < 1 or num_messages % chunk:
        raise ValueError(
            f"num_messages is {num_messages}; it must be a positive multiple of "
            f"refresh_every = {chunk}"
        )
    quiet = dataclasses.replace(config, max_trades=0)

    def look(
        carry: tuple[BookState, StateT], key: Array
    ) -> tuple[tuple[BookState, StateT], Message]:
        book, state = carry
        messages, state = model.sample(key, book, state, params, chunk)
        book, _ = process_messages(book, messages, config=quiet, backend=backend)
        return (book, state), messages

    keys = jax.random.split(key, num_messages // chunk)
    (_, state), chunks = jax.lax.scan(look, (book, state), keys)
    messages: Message = jax.tree.map(lambda x: x.reshape(num_messages), chunks)
    book, outcome = process_messages(book, messages, config=config, backend=backend)
    return book, state, messages, outcome


def advance_clock(time_s: Array, time_ns: Array, waits_s: Array) -> tuple[Array, Array]:
    """Times after each of several consecutive waits.

    Args:
        time_s: `[]` int32, seconds before the first wait.
        time_ns: `[]` int32, nanoseconds within that second.
        waits_s: `[M]` float32, seconds, >= 0; longer waits than 1,000 s count as that.

    Returns:
        `[M]` int32 seconds and `[M]` int32 nanoseconds. A wait keeps float32's relative
        precision, 6e-8; the sums are exact.

    Raises:
        ValueError: if `M` is above 16,000, where the sums would not be exact.
    """
    if waits_s.shape[0] > _MOST_WAITS:
        raise ValueError(f"{waits_s.shape[0]} messages of one look; at most {_MOST_WAITS}")
    waits_s = jnp.minimum(waits_s, _LONGEST_WAIT_S)
    whole = jnp.floor(waits_s)
    nanoseconds = ((waits_s - whole) * NANOSECONDS_PER_SECOND).astype(jnp.int32)
    # Sums of numbers below 1000 are exact in float32.
    thousands = [1_000_000, 1_000, 1]
    parts = [whole, *(nanoseconds // scale % 1_000 for scale in thousands)]
    start = [time_s, *(time_ns // scale % 1_000 for scale in thousands)]
    sums = running_sum(jnp.stack([part.astype(jnp.float32) for part in parts]))
    total = [sums[i].astype(jnp.int32) + start[i] for i in range(len(parts))]
    for i in (3, 2, 1):
        carry = total[i] // 1_000
        total[i - 1], total[i] = total[i - 1] + carry, total[i] - carry * 1_000
    return total[0], (total[1] * 1_000 + total[2]) * 1_000 + total[3]


def number_orders(next_order_id: Array, is_new: Array) -> tuple[Array, Array]:
    """Ids for new orders.

    Args:
        next_order_id: `[]` int32.
        is_new: `[M]` bool, messages that submit an order.

    Returns:
        `[M]` int32, an id in `1 .. FIRST_AGENT_ORDER_ID - 1` for each new order (for the others,
        that of the next one), and the id to go on with. Ids start again at 1 when used up.
    """
    limit = FIRST_AGENT_ORDER_ID - 1
    count = running_sum(is_new.astype(jnp.float32)).astype(jnp.int32)
    ids = (next_order_id - 1 + count - is_new) % limit + 1
    return ids, (next_order_id - 1 + count[-1]) % limit + 1


def as_float(value: Any) -> Array:
    """`value` as a float32 array."""
    return jnp.asarray(value, jnp.float32)
