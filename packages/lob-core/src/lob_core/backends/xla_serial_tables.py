"""Messages, and what is noted of them, as rows of tables for the `xla` backend on CPUs."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from lob_core.backends.xla_lookup import hash_of
from lob_core.backends.xla_request import Request
from lob_core.types import Array

WIDTH = 8
"""Columns of the tables of requests, trades, sums and marks."""
_FLAGS = (
    "is_buy",
    "is_lookup",
    "is_modify",
    "is_delete",
    "is_new",
    "may_rest",
    "is_fok",
    "is_post_only",
)


class Wish(NamedTuple):
    """What one message asks for, leaves `[]`; see `Request`."""

    key: Array
    crossing_key: Array
    size: Array
    order_id: Array
    agent_id: Array
    hash: Array  # by which a cancel of an unknown id chooses, as the bits of an int32
    is_buy: Array
    is_lookup: Array
    is_modify: Array
    is_delete: Array
    is_new: Array
    may_rest: Array
    is_fok: Array
    is_post_only: Array


class Marks(NamedTuple):
    """What is noted of messages, leaves `[...]`; see `Journal`."""

    is_known: Array
    is_found: Array
    is_taker: Array
    is_rejected: Array
    is_resting: Array
    is_dropped: Array
    filled: Array
    dropped_size: Array
    best_bid: Array
    best_ask: Array


_NUM_MARK_FLAGS = 6


def pack_wishes(requests: Request) -> Array:
    """Messages `[...]` as rows `[..., 8]` for `wish_of`."""
    flags = _pack_flags([getattr(requests, name) for name in _FLAGS])
    columns = (
        requests.key,
        requests.crossing_key,
        requests.size,
        requests.order_id,
        requests.agent_id,
        hash_of(requests).astype(jnp.int32),
        flags,
        flags,
    )
    return jnp.stack(columns, axis=-1)


def wish_of(row: Array) -> Wish:
    """The message of a row `[8]`."""
    return Wish(*(row[i] for i in range(6)), *_unpack_flags(row[6], len(_FLAGS)))


def pack_marks(marks: Marks) -> Array:
    """Marks of one message as a row `[8]`."""
    flags = _pack_flags(list(marks[:_NUM_MARK_FLAGS]))
    rest = marks[_NUM_MARK_FLAGS:]
    return jnp.stack([flags, *rest, *[jnp.int32(0)] * (WIDTH - 1 - len(rest))])


def unpack_marks(rows: Array) -> Marks:
    """Marks of rows `[..., 8]`."""
    rest = (rows[..., 1 + i] for i in range(len(Marks._fields) - _NUM_MARK_FLAGS))
    return Marks(*_unpack_flags(rows[..., 0], _NUM_MARK_FLAGS), *rest)


def _pack_flags(flags: list[Array]) -> Array:
    packed = flags[0].astype(jnp.int32)
    for i, flag in enumerate(flags[1:], start=1):
        packed |= flag.astype(jnp.int32) << i
    return packed


def _unpack_flags(packed: Array, number: int) -> list[Array]:
    return [(packed >> i) & 1 == 1 for i in range(number)]
