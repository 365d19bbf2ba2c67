"""What a message changes on both sides of a book, for the `xla` backend."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from lob_core.backends.xla_lookup import Place
from lob_core.backends.xla_pool import (
    NOWHERE,
    Labels,
    Pool,
    Queue,
    Slots,
    Term,
    least,
    total,
)
from lob_core.backends.xla_request import MAX, Request
from lob_core.types import Array, BookConfig


class Out(NamedTuple):
    """The order that a message may take shares off: the one it names, else its side's last."""

    rank: Array
    size: Array
    agent_id: Array
    key: Array
    next_best: Array  # best key of its side without it


def out_terms(labels: Labels, pool: Pool, slots: Slots, rank: Array) -> list[Term]:
    """What `Out` needs to know of the slots; `rank` is that of the order."""
    is_out = slots.is_own & (pool.rank == rank)
    fields = (pool.size, pool.agent_id, labels.key)
    without = jnp.where(slots.is_own & ~is_out, labels.key, MAX)
    return [*(total(jnp.where(is_out, field, 0)) for field in fields), least(without)]


class Taken(NamedTuple):
    """What a message takes from the opposite side, leaves `[]`."""

    is_taker: Array
    is_requeue: Array  # it is a modify that sends its order in anew
    is_rejected: Array  # post-only or fill-or-kill
    is_active: Array  # a taker that is not rejected
    agent_id: Array
    head: Array  # the opposite side's new head, if active
    advance: Array  # shares by which it is used up
    partial: Array  # those of them that are taken off its new first order
    left: Array  # shares that are left to rest


class Change(NamedTuple):
    """What a message does to both sides, leaves `[]`."""

    removed: Array  # shares taken off the order that goes or shrinks
    is_gone: Array  # nothing of it is left
    added: Array  # shares of the new order, zero if there is none
    rank: Array  # of the new order
    depth: Array
    is_dropped: Array  # the new order found no room
    dropped_size: Array  # shares dropped from its side
    agent_id: Array  # of the new order, and of the taker
    head: Array  # new head of the opposite side
    advance: Array  # shares by which a taker uses it up
    partial: Array  # those of them that are taken off its new first order


def decide(
    request: Request,
    place: Place,
    out: Out,
    own: Queue,
    opposite: Queue,
    taken: Taken,
    config: BookConfig,
) -> Change:
    """What a message takes off its own side and adds to it, and what it takes off the other.

    Args:
        request: the message.
        place: where it acts on its own side.
        out: the order there that may go or shrink.
        own: its own side.
        opposite: the other side.
        taken: what it takes from the other side, and has left.
        config: capacity.
    """
    is_whole = request.is_delete & (place.is_known | (request.size < 1))
    cancelled = jnp.where(is_whole, out.size, jnp.minimum(request.size, out.size))
    modified = jnp.where(
        taken.is_requeue, jnp.where(taken.is_active, out.size, 0), out.size - request.size
    )
    removed = jnp.where(request.is_modify, modified, cancelled)
    removed = jnp.where(place.is_found, removed, 0)

    is_full = ~request.is_lookup & (taken.left > 0) & (own.tail - own.head == config.num_slots)
    rank = own.head + place.num_ahead
    is_dropped = is_full & (rank == own.tail)
    is_pushed_out = is_full & ~is_dropped
    removed = jnp.where(is_pushed_out, out.size, removed)
    is_gone = (removed > 0) & (removed == out.size)
    was_ahead = is_gone & request.is_lookup & (out.key <= request.key)
    added = jnp.where(is_dropped, 0, taken.left)
    return Change(
        removed=removed,
        is_gone=is_gone,
        added=added,
        rank=rank - was_ahead,
        depth=place.shares_ahead - jnp.where(was_ahead, out.size, 0) + added,
        is_dropped=is_dropped,
        dropped_size=jnp.where(is_dropped, taken.left, jnp.where(is_pushed_out, out.size, 0)),
        agent_id=taken.agent_id,
        head=jnp.where(taken.is_active, taken.head, opposite.head),
        advance=taken.advance,
        partial=taken.partial,
    )


def update(
    labels: Labels,
    pool: Pool,
    slots: Slots,
    request: Request,
    out: Out,
    change: Change,
    new_slot: Array,
) -> Pool:
    """Carries a change out, in one elementwise pass over the slots.

    Args:
        labels: of the pool.
        pool: before the message.
        slots: as the message sees them.
        request: the message.
        out: the order that goes or shrinks.
        change: what happens.
        new_slot: `[]`, the slot of the order that the message may add.
    """
    slot = jnp.arange(pool.rank.shape[0], dtype=jnp.int32)
    is_new = (slot == new_slot) & (change.added > 0)
    is_out = slots.is_own & (pool.rank == out.rank)
    is_behind_out = slots.is_own & (pool.rank > out.rank)
    is_behind_new = slots.is_own & (labels.key > request.key) & (change.added > 0)
    rank = pool.rank - (is_behind_out & change.is_gone) + is_behind_new
    depth = pool.depth - jnp.where(is_out | is_behind_out, change.removed, 0)
    depth += jnp.where(is_behind_new, change.added, 0)
    depth -= jnp.where(slots.is_opposite, change.advance, 0)
    size = pool.size - jnp.where(is_out, change.removed, 0)
    size -= jnp.where(slots.is_opposite & (pool.rank == change.head), change.partial, 0)
    return Pool(
        rank=jnp.where(is_new, change.rank, jnp.where(is_out & change.is_gone, NOWHERE, rank)),
        depth=jnp.where(is_new, change.depth, depth),
        size=jnp.where(is_new, change.added, size),
        agent_id=pool.agent_id.at[new_slot].set(change.agent_id),
    )
