"""Tables of rows that are searched and changed row by row, for the `xla` backend on CPUs.

Everything here is a small `while_loop`. XLA's CPU compiler keeps a table in place as long as
nothing that was read from it is wanted after it is written, because it may read again instead of
keeping what it has read. So what is read leaves a loop as one of its results, and what happens only
sometimes is a loop of at most one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from lob_core.types import Array

KEY, SIZE, ORDER_ID, AGENT_ID = range(4)
"""Columns of a row of orders; `xla_request.Request` says what a key is."""


class Side(NamedTuple):
    """One side of the book, leaves `[]`.

    Its orders are the rows `[start, start + number)` of a table, the one of lowest priority first:
    so whatever happens near the touch moves few rows.
    """

    start: Array
    number: Array  # of its orders
    best: Array  # key of its best order; of no meaning if there is none


def loop(condition: Callable[..., Array], body: Callable[..., Any], *state: Any) -> Any:
    """`while_loop` over several values."""
    return lax.while_loop(lambda s: condition(*s), lambda s: body(*s), state)


def row_at(table: Array, row: Array) -> Array:
    """A row `[W]` of `[R, W]`; `row` must be in range."""
    start, shape = (row, jnp.int32(0)), (1, table.shape[1])
    return lax.dynamic_slice(table, start, shape, allow_negative_indices=False)[0]


def with_row(table: Array, row: Array, values: Array) -> Array:
    """`[R, W]` with `[W]` values in a row, which must be in range."""
    start = (row, jnp.int32(0))
    return lax.dynamic_update_slice(table, values[None], start, allow_negative_indices=False)


def read_if(is_wanted: Array, table: Array, row: Array) -> Array:
    """A row `[W]` if it is wanted, else zeros; a value that XLA does not read again."""
    nothing = jnp.zeros(table.shape[1], jnp.int32)

    def read(_: Array, __: Array) -> tuple[Array, Array]:
        return jnp.bool_(False), row_at(table, row)

    values: Array = loop(lambda pending, _: pending, read, is_wanted, nothing)[1]
    return values


def find(
    orders: Array, side: Side, key: Array, order_id: Array, is_wanted: Array
) -> tuple[Array, Array, Array]:
    """The best order of an id: at the price `key`, else anywhere on the side.

    Returns:
        Its place within the side, its row `[4]`, and whether it is wanted and there.
    """
    at_price, anywhere, found, missing = range(4)

    def look(place: Array, _: Array, phase: Array) -> tuple[Array, Array, Array]:
        row = row_at(orders, side.start + jnp.maximum(place, 0))
        is_past = (place < 0) | ((phase == at_price) & (row[KEY] > key))
        is_here = ~is_past & (row[ORDER_ID] == order_id)
        is_here &= (phase == anywhere) | (row[KEY] == key)
        place = jnp.where(is_here, place, jnp.where(is_past, side.number - 1, place - 1))
        after = jnp.where(phase == at_price, anywhere, missing)
        phase = jnp.where(is_here, found, jnp.where(is_past, after, phase))
        return place, row, phase

    begin = jnp.where(is_wanted, at_price, missing)
    state = (side.number - 1, jnp.zeros(4, jnp.int32), begin)
    place, row, phase = loop(lambda place, row, phase: phase < found, look, *state)
    return place, row, phase == found


def find_nth(
    orders: Array,
    side: Side,
    key: Array,
    is_one: Callable[[Array], Array],
    number: Array,
    is_wanted: Array,
) -> tuple[Array, Array, Array, Array]:
    """Order `number` (from 0, best first) of those at the price `key` that `is_one`.

    Returns:
        Its place within the side, its row `[4]`, whether it is wanted and there, and what is left
        of `number` after those that were passed over.
    """
    looking, found, missing = range(3)

    def look(place: Array, _: Array, phase: Array, left: Array) -> tuple[Array, ...]:
        row = row_at(orders, side.start + jnp.maximum(place, 0))
        is_past = (place < 0) | (row[KEY] > key)
        counts = ~is_past & (row[KEY] == key) & is_one(row)
        is_here = counts & (left == 0)
        phase = jnp.where(is_here, found, jnp.where(is_past, missing, phase))
        return jnp.where(is_here, place, place - 1), row, phase, left - (counts & ~is_here)

    begin = jnp.where(is_wanted, looking, missing)
    state = (side.number - 1, jnp.zeros(4, jnp.int32), begin, number)
    place, row, phase, left = loop(lambda _, __, phase, ___: phase == looking, look, *state)
    return place, row, phase == found, left


def replace(
    orders: Array, side: Side, place: Array, row: Array, *, removes: Array, changes: Array
) -> tuple[Array, Side]:
    """Takes the order at a place out, or else, if it `changes`, puts another row there."""
    last = orders.shape[0] - 1

    def move(orders: Array, place: Array) -> tuple[Array, Array]:
        to = side.start + place
        better = row_at(orders, jnp.minimum(to + 1, last))
        return with_row(orders, to, jnp.where(removes, better, row)), place + 1

    stop = jnp.where(removes, side.number - 1, jnp.where(changes, place + 1, place))
    orders, _ = loop(lambda _, place: place < stop, move, orders, place)
    return orders, side._replace(number=side.number - removes)


def make_room(orders: Array, side: Side, key: Array, is_wanted: Array) -> tuple[Array, Side, Array]:
    """Takes the order of lowest priority out if that is wanted, and it is worse than `key`.

    Returns:
        The orders, the side, and the size of the order that was taken out, or zero.
    """

    def drop(_: Array, orders: Array, number: Array, __: Array) -> tuple[Array, ...]:
        worst = read_if(number > 0, orders, side.start)
        is_worse = worst[KEY] > key
        nothing = jnp.zeros(4, jnp.int32)
        orders, kept = replace(
            orders, side, jnp.int32(0), nothing, removes=is_worse, changes=is_worse
        )
        return jnp.bool_(False), orders, kept.number, jnp.where(is_worse, worst[SIZE], 0)

    state = (is_wanted, orders, side.number, jnp.int32(0))
    _, orders, number, size = loop(lambda pending, *_: pending, drop, *state)
    return orders, side._replace(number=number), size


def insert(orders: Array, side: Side, row: Array, is_wanted: Array) -> tuple[Array, Side]:
    """Puts an order behind all that are at least as good; the side must have room."""

    def move(orders: Array, place: Array, _: Array) -> tuple[Array, Array, Array]:
        other = row_at(orders, side.start + jnp.maximum(place, 0))
        is_better = (place >= 0) & (other[KEY] <= row[KEY])
        moved = jnp.where(is_better, other, row)
        return with_row(orders, side.start + place + 1, moved), place - 1, is_better

    state = (orders, side.number - 1, is_wanted)
    orders = loop(lambda _, __, goes_on: goes_on, move, *state)[0]
    return orders, side._replace(number=side.number + is_wanted)
