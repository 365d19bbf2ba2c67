"""The sides of a book as columns and as rows, for the `xla` backend on CPUs.

A book comes and goes as columns, best order first. It is played in a table of rows, one side behind
the other, each worst order first. Sides are copied several orders at once: the last few of these
may be none, and so there are as many blank rows below each side's first.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import lax

from lob_core.backends.xla_request import make_key, price_of
from lob_core.backends.xla_serial_rows import KEY, Side, row_at
from lob_core.types import NO_AGENT, NO_ORDER, NO_PRICE, Array

Columns = list[Array]
"""Price, size, order id and agent id of one side of all books, `[B * N]` each."""
_BLANK = (NO_PRICE, 0, NO_ORDER, NO_AGENT)
_MOST_AT_ONCE = 16
"""Orders that are copied at once, if sides consist of such parts: against one at a time, 1.2 times
the messages/s in calls of 10 for 1024 books of 128 slots, 1.6 times with 1024 slots."""


def _num_at_once(num_slots: int) -> int:
    """Orders `k` that are copied at once."""
    return math.gcd(num_slots, _MOST_AT_ONCE)


def blank_rows(num_slots: int) -> Array:
    """A table `[2 * (k + N), 4]` without orders."""
    return jnp.tile(jnp.array(_BLANK, jnp.int32), (2 * (_num_at_once(num_slots) + num_slots), 1))


def open_sides(
    orders: Array, bids: Columns, asks: Columns, first: Array, counts: list[Array], num_slots: int
) -> tuple[Array, Side, Side]:
    """Copies a book into the table.

    Args:
        orders: the table.
        bids: where the bids are, best order first.
        asks: where the asks are.
        first: the slot of the best order of either.
        counts: the orders of either.
        num_slots: `N`.
    """
    at_once = _num_at_once(num_slots)
    starts = jnp.int32(at_once), jnp.int32(2 * at_once + num_slots)
    orders = _open_side(orders, bids, first, starts[0], counts[0], at_once, is_bid=True)
    orders = _open_side(orders, asks, first, starts[1], counts[1], at_once, is_bid=False)
    # Were the best bid read before the asks are written, XLA would copy the table.
    best = [
        row_at(orders, start + jnp.maximum(count - 1, 0))[KEY]
        for start, count in zip(starts, counts, strict=True)
    ]
    opened = [Side(*side) for side in zip(starts, counts, best, strict=True)]
    return orders, opened[0], opened[1]


def _open_side(
    orders: Array,
    columns: Columns,
    first: Array,
    start: Array,
    count: Array,
    at_once: int,
    *,
    is_bid: bool,
) -> Array:
    """The table with a side in the rows from `start` on, worst order first."""

    def copy(i: Array, orders: Array) -> Array:
        slot, row = first + at_once * i, start + count - at_once * (i + 1)
        for field, column in enumerate(columns):
            values = lax.dynamic_slice(column, (slot,), (at_once,), allow_negative_indices=False)
            values = make_key(values, jnp.bool_(is_bid)) if field == KEY else values
            corner = (row, jnp.int32(field))
            orders = lax.dynamic_update_slice(
                orders, values[::-1, None], corner, allow_negative_indices=False
            )
        return orders

    opened: Array = lax.fori_loop(0, -(-count // at_once), copy, orders)
    return opened


def close_side(
    columns: Columns, first: Array, orders: Array, side: Side, count_before: Array, num_slots: int
) -> Columns:
    """Copies a side back, and blanks the slots behind it that were in use before.

    Args:
        columns: where it belongs, best order first.
        first: the slot of its best order.
        orders: the table.
        side: the side.
        count_before: its orders when it was opened.
        num_slots: `N`.
    """
    at_once = _num_at_once(num_slots)

    def with_items(column: Array, i: Array, items: Array) -> Array:
        slot = (first + at_once * i,)
        return lax.dynamic_update_slice(column, items, slot, allow_negative_indices=False)

    def copy(i: Array, columns: Columns) -> Columns:
        row, copied = side.start + side.number - at_once * (i + 1), []
        for field, column in enumerate(columns):
            corner, shape = (row, jnp.int32(field)), (at_once, 1)
            items = lax.dynamic_slice(orders, corner, shape, allow_negative_indices=False)
            items = items[::-1, 0]
            copied.append(with_items(column, i, price_of(items) if field == KEY else items))
        return copied

    def blank(i: Array, columns: Columns) -> Columns:
        blanks = (jnp.full(at_once, value, jnp.int32) for value in _BLANK)
        return [with_items(c, i, items) for c, items in zip(columns, blanks, strict=True)]

    stop = -(-side.number // at_once)
    columns = lax.fori_loop(0, stop, copy, columns)
    blanked: Columns = lax.fori_loop(stop, -(-count_before // at_once), blank, columns)
    return blanked
