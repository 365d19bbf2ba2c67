"""Books played one after the other, one order at a time: the `xla` backend on CPUs.

The whole of a call, the loops over books, messages and orders, is one function of XLA's, marked so
that its CPU compiler makes one kernel of it: started operation by operation, each message would
cost as many microseconds as it has steps.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jax.experimental.xla_metadata import set_xla_metadata

from lob_core.backends.xla_records import blank_trades, count_up, reports_of
from lob_core.backends.xla_request import decode
from lob_core.backends.xla_serial_columns import (
    Columns,
    blank_rows,
    close_side,
    open_sides,
)
from lob_core.backends.xla_serial_matching import Ledger
from lob_core.backends.xla_serial_rows import row_at, with_row
from lob_core.backends.xla_serial_step import step
from lob_core.backends.xla_serial_tables import (
    WIDTH,
    pack_marks,
    pack_wishes,
    unpack_marks,
    wish_of,
)
from lob_core.types import (
    Array,
    BookConfig,
    BookState,
    Fills,
    Message,
    Orders,
    Outcome,
    Trades,
)

_mark: Any = set_xla_metadata
_FIELDS = ("event_type", "side", "price", "size", "order_id", "agent_id", "time_in_force")


def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`).

    Under `vmap`, of any depth, one kernel plays all books.
    """
    play = _player(config)
    one = jax.tree.map(lambda x: x[None], (book, messages))
    result: tuple[BookState, Outcome] = jax.tree.map(lambda x: x[0], play(*one))
    return result


@functools.cache
def _player(config: BookConfig) -> Any:
    """A function of books with leaves `[B, N]` and messages `[B, M]`."""

    @custom_vmap
    def play(books: BookState, messages: Message) -> tuple[BookState, Outcome]:
        with _mark(xla_cpu_small_call="true", inlineable="false"):
            # A parameter that the kernel does not read would be an error inside XLA.
            fields = [getattr(messages, name) for name in _FIELDS]
            result: tuple[BookState, Outcome] = _kernel(books, fields, config=config)
        return result

    @play.def_vmap
    def _(axis_size: int, in_batched: Any, *args: Any) -> tuple[Any, Any]:
        def flatten(x: Array, is_batched: bool) -> Array:
            x = x if is_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
            return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

        def unflatten(x: Array) -> Array:
            return x.reshape(axis_size, x.shape[0] // axis_size, *x.shape[1:])

        result = jax.tree.map(unflatten, play(*jax.tree.map(flatten, args, tuple(in_batched))))
        return result, jax.tree.map(lambda _: True, result)

    return play


@functools.partial(jax.jit, static_argnames="config")
def _kernel(
    books: BookState, fields: list[Array], *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """Leaves `[B, N]`, `[B, M]`; called with the mark that makes a kernel of it."""
    unread = jnp.zeros_like(fields[0])
    messages = Message(**dict(zip(_FIELDS, fields, strict=True)), time_s=unread, time_ns=unread)
    # What is inside the kernel is not to be marked as the call of it is.
    with _mark(xla_cpu_small_call="false", inlineable="true"):
        return _play_books(books, messages, config)


def _play_books(
    books: BookState, messages: Message, config: BookConfig
) -> tuple[BookState, Outcome]:
    """Leaves `[B, N]`, `[B, M]`."""
    num_books, num_messages = messages.price.shape
    if num_messages == 0:  # a table without rows cannot be read
        messages = jax.tree.map(lambda x: jnp.zeros((num_books, 1), jnp.int32), messages)
    requests = decode(messages)
    length = requests.key.shape[1]
    blank = jnp.stack(jax.tree.leaves(blank_trades(1))[:WIDTH], axis=-1)
    sides = [
        [x.reshape(-1) for x in (side.price, side.size, side.order_id, side.agent_id)]
        for side in (books.bids, books.asks)
    ]
    counts = [(side.size > 0).sum(axis=1, dtype=jnp.int32) for side in (books.bids, books.asks)]
    state = _State(
        bids=sides[0],
        asks=sides[1],
        orders=blank_rows(config.num_slots),
        trades=jnp.broadcast_to(blank, (num_books * (config.max_trades + 1), WIDTH)),
        sums=jnp.zeros((num_books * (config.num_agents + 1), WIDTH), jnp.int32),
        marks=jnp.zeros((num_books * length, WIDTH), jnp.int32),
        num_trades=jnp.zeros(num_books, jnp.int32),
    )
    play = functools.partial(
        _play_book, counts=counts, wishes=pack_wishes(requests).reshape(-1, WIDTH), config=config
    )
    state = lax.fori_loop(0, num_books, play, state)
    marks = unpack_marks(state.marks.reshape(num_books, length, WIDTH))
    count = jnp.minimum(state.num_trades, config.max_trades)
    dropped = state.num_trades - count if config.max_trades else jnp.zeros_like(count)
    rows = state.trades.reshape(num_books, config.max_trades + 1, WIDTH)[:, :-1]
    sums = state.sums.reshape(num_books, config.num_agents + 1, WIDTH)
    shape = books.bids.price.shape
    book = BookState(
        bids=Orders(*(x.reshape(shape) for x in state.bids)),
        asks=Orders(*(x.reshape(shape) for x in state.asks)),
        counters=jax.vmap(count_up)(books.counters, requests, marks, dropped),
    )
    return book, Outcome(
        trades=Trades(*[*(rows[..., i] for i in range(WIDTH)), count]),
        reports=jax.tree.map(lambda x: x[:, :num_messages], reports_of(requests, marks)),
        fills=Fills(*(sums[..., i] for i in range(len(dataclasses.fields(Fills))))),
    )


class _State(NamedTuple):
    """What the loop over books carries; orders in rows are those of the book at work."""

    bids: Columns
    asks: Columns
    orders: Array  # [R, 4], see `xla_serial_columns`
    trades: Array  # [B * (T + 1), 8]
    sums: Array  # [B * A, 8]
    marks: Array  # [B * M, 8]
    num_trades: Array  # [B]


def _play_book(
    b: Array, state: _State, *, counts: list[Array], wishes: Array, config: BookConfig
) -> _State:
    """Plays book `b`: `counts` are the bids and asks `[B]` of all, `wishes` `[B * M, 8]`."""
    num_slots, length = config.num_slots, wishes.shape[0] // state.num_trades.shape[0]
    before = [_item(count, b) for count in counts]
    first = b * num_slots
    orders, bids, asks = open_sides(state.orders, state.bids, state.asks, first, before, num_slots)
    ledger = Ledger(
        state.trades,
        state.sums,
        num_trades=jnp.int32(0),
        first_trade=b * (config.max_trades + 1),
        first_sum=b * (config.num_agents + 1),
        number=jnp.int32(0),
    )

    def play(i: Array, state: Any) -> Any:
        orders, (bids, asks), ledger, marks = state
        ledger = ledger._replace(number=i - b * length)
        wish = wish_of(row_at(wishes, i))
        orders, bids, asks, ledger, noted = step(orders, bids, asks, ledger, wish, config)
        return orders, (bids, asks), ledger, with_row(marks, i, pack_marks(noted))

    played = (orders, (bids, asks), ledger, state.marks)
    span = b * length, (b + 1) * length
    orders, (bids, asks), ledger, marks = lax.fori_loop(*span, play, played)
    return _State(
        bids=close_side(state.bids, first, orders, bids, before[0], num_slots),
        asks=close_side(state.asks, first, orders, asks, before[1], num_slots),
        orders=orders,
        trades=ledger.trades,
        sums=ledger.sums,
        marks=marks,
        num_trades=_with_item(state.num_trades, b, ledger.num_trades),
    )


def _item(values: Array, i: Array) -> Array:
    return lax.dynamic_slice(values, (i,), (1,), allow_negative_indices=False)[0]


def _with_item(values: Array, i: Array, value: Array) -> Array:
    return lax.dynamic_update_slice(values, value[None], (i,), allow_negative_indices=False)
