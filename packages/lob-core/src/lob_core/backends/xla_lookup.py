"""Finding the order that a message names, and the place of a new one, for the `xla` backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from lob_core.backends.xla_pool import (
    NOWHERE,
    Labels,
    Pool,
    Slots,
    Term,
    least,
    reduce_slots,
    total,
)
from lob_core.backends.xla_request import MAX, Request, price_of
from lob_core.types import OPENING_AGENT, UNKNOWN_CANCEL_HASH, Array, BookConfig, UnknownCancel


class Place(NamedTuple):
    """Where a message acts on its own side, all `[]`."""

    is_known: Array  # the order it names is there
    is_found: Array  # that one is, or one in its place
    rank: Array  # of the order found
    num_ahead: Array  # orders with priority over a new one at the message's price
    shares_ahead: Array  # the sum of their `Pool.size`


def lookup_terms(labels: Labels, pool: Pool, slots: Slots, request: Request) -> list[Term]:
    """What `place_of` needs to know of the slots."""
    is_named = slots.is_own & (labels.order_id == request.order_id) & request.is_lookup
    elsewhere = jnp.where(labels.key == request.key, 0, NOWHERE)
    is_ahead = slots.is_own & (labels.key <= request.key)
    return [
        least(jnp.where(is_named, pool.rank + elsewhere, MAX)),
        total(is_ahead),
        total(jnp.where(is_ahead, pool.size, 0)),
    ]


def place_of(
    values: Sequence[Array],
    labels: Labels,
    pool: Pool,
    slots: Slots,
    request: Request,
    config: BookConfig,
) -> Place:
    """The place, from the values of `lookup_terms`.

    The named order is found first at the message's price, else anywhere on its side. If it is not
    there, `config.unknown_cancel` may put another order in its place.
    """
    found, num_ahead, shares_ahead = values
    is_known = found < MAX
    rank = jnp.where(is_known & (found >= NOWHERE), found - NOWHERE, found)
    if config.unknown_cancel != UnknownCancel.STRICT:
        is_open = request.is_lookup & ~request.is_modify & ~is_known
        other = _stand_in(labels, pool, slots, request, config)
        rank = jnp.where(is_open, other, rank)
    return Place(is_known, rank < MAX, rank, num_ahead, shares_ahead)


def _stand_in(
    labels: Labels, pool: Pool, slots: Slots, request: Request, config: BookConfig
) -> Array:
    """`[]`, rank of the order on which a cancel of an unknown id acts instead, `MAX` if none."""
    is_candidate = slots.is_own & (labels.key == request.key)
    if config.unknown_cancel == UnknownCancel.OPENING:
        is_candidate &= pool.agent_id == OPENING_AGENT
    else:
        if config.unknown_cancel == UnknownCancel.UNIFORM:
            is_candidate &= pool.agent_id < 1
        number = jnp.cumsum(is_candidate)  # at one price, slots are in order of priority
        count = jnp.maximum(number[-1], 1).astype(jnp.uint32)
        chosen = (hash_of(request) % count).astype(jnp.int32)
        is_candidate &= number == chosen + 1
    (rank,) = reduce_slots([least(jnp.where(is_candidate, pool.rank, MAX))])
    return rank


def hash_of(request: Request) -> Array:
    """The hash described at `UNKNOWN_CANCEL_HASH`, `[...]` uint32."""
    a, b, c, d = (jnp.uint32(multiplier) for multiplier in UNKNOWN_CANCEL_HASH)
    order_id, price, size = (
        field.astype(jnp.uint32)
        for field in (request.order_id, price_of(request.key), request.size)
    )
    value = order_id * a ^ price * b ^ size * c
    value ^= value >> 15
    value *= d
    mixed: Array = value ^ value >> 12
    return mixed
