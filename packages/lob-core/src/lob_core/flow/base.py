"""What every order-flow model offers, and the closed loop of model and engine."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.engine import process_messages
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
_LONGEST_WAIT_S = 100_000.0
_TINY = float(np.finfo(np.float32).tiny)


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
        waits_s: `[M]` float32, seconds, >= 0; longer waits than 100,000 s count as that.

    Returns:
        `[M]` int32 seconds and `[M]` int32 nanoseconds. A wait keeps float32's relative
        precision, 6e-8; the sums are exact.
    """
    waits_s = jnp.minimum(waits_s, _LONGEST_WAIT_S)
    whole = jnp.floor(waits_s)
    nanoseconds = ((waits_s - whole) * NANOSECONDS_PER_SECOND).astype(jnp.int32)

    def add(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        carry, ns = _carry_second(a[1], b[1])
        return a[0] + b[0] + carry, ns

    seconds, nanoseconds = jax.lax.associative_scan(add, (whole.astype(jnp.int32), nanoseconds))
    carry, nanoseconds = _carry_second(nanoseconds, time_ns)
    return time_s + seconds + carry, nanoseconds


def _carry_second(a_ns: Array, b_ns: Array) -> tuple[Array, Array]:
    """Whole seconds and the rest of `a_ns + b_ns`, each below one second."""
    total = a_ns + b_ns
    carry = (total >= NANOSECONDS_PER_SECOND).astype(jnp.int32)
    return carry, total - carry * NANOSECONDS_PER_SECOND


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
    count = jnp.cumsum(is_new.astype(jnp.int32))
    ids = (next_order_id - 1 + count - is_new) % limit + 1
    return ids, (next_order_id - 1 + count[-1]) % limit + 1


def sample_index(key: Array, weights: Array, num_samples: int) -> Array:
    """`[num_samples]` int32 indices drawn with replacement in proportion to `[K]` weights.

    Args:
        key: PRNG key, consumed.
        weights: `[K]` float32, >= 0, with a positive sum; zero weights are never drawn.
        num_samples: how many.
    """
    cumulative = jnp.cumsum(weights)
    draw = jax.random.uniform(key, (num_samples,)) * cumulative[-1]
    index = (draw[:, None] >= cumulative).sum(-1, dtype=jnp.int32)
    last = jnp.max(jnp.where(weights > 0, jnp.arange(weights.shape[0]), 0))
    return jnp.minimum(index, last)


def sample_sizes(key: Array, lot_size: Array, mean_lots: Array, num_samples: int) -> Array:
    """`[num_samples]` int32 shares: `lot_size` times a geometric number of lots.

    Args:
        key: PRNG key, consumed.
        lot_size: `[]` int32, shares.
        mean_lots: `[]` or `[num_samples]` float32, >= 1; 1 makes every order one lot.
        num_samples: how many.

    Notes:
        `P(k lots) = p (1 - p)^(k - 1)`, `p = 1 / mean_lots`, for `k = 1, 2, ...`, drawn by
        inversion and cut at 10,000 lots.
    """
    draw = jax.random.uniform(key, (num_samples,), minval=_TINY)
    log_tail = jnp.log1p(-1.0 / jnp.maximum(mean_lots, 1.0))  # -inf when every order is one lot
    extra = jnp.floor(jnp.log(draw) / log_tail)
    lots = 1 + jnp.clip(extra, 0, 9_999).astype(jnp.int32)
    return lots * lot_size


def as_float(value: Any) -> Array:
    """`value` as a float32 array."""
    return jnp.asarray(value, jnp.float32)
