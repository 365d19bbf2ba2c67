"""How far a taker comes on the opposite side, for the `xla` backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from lob_core.backends.xla_pool import Pool, Queue, Slots, Term, least, most, reduce_slots
from lob_core.backends.xla_request import MAX, Request
from lob_core.types import Array, BookConfig, SelfMatch


class Reach(NamedTuple):
    """Where a taker ends, if it is not rejected; leaves `[]`, one `[W]`."""

    head: Array  # rank of the first maker that is not used up
    advance: Array  # shares by which the side is used up
    fillable: Array  # shares that a fill-or-kill order can count on
    is_stopped: Array  # self-match prevention cancels what it has left
    is_prevented: Array  # [W], makers with which it must not trade


def match_terms(pool: Pool, slots: Slots, request: Request, is_reachable: Array) -> list[Term]:
    """What `reach_of` needs to know of the slots."""
    size = request.size.astype(jnp.uint32)
    depth = pool.depth.astype(jnp.uint32)
    is_used_up = is_reachable & (depth <= size)
    taken = jnp.minimum(depth, size).astype(jnp.int32)
    return [
        least(jnp.where(slots.is_opposite & ~is_used_up, pool.rank, MAX)),
        most(jnp.where(is_reachable, taken, 0)),
    ]


def reach_of(values: Sequence[Array], slots: Slots, opposite: Queue) -> Reach:
    """The reach without self-match prevention, from the values of `match_terms`."""
    head, taken = values
    return Reach(
        head=jnp.minimum(head, opposite.tail),
        advance=taken,
        fillable=taken,
        is_stopped=jnp.bool(False),
        is_prevented=jnp.zeros_like(slots.is_own),
    )


def prevent(
    pool: Pool,
    slots: Slots,
    request: Request,
    opposite: Queue,
    agent_id: Array,
    config: BookConfig,
) -> Reach:
    """The reach of an agent's taker under `config.self_match`, which is not `OFF`."""
    is_own = slots.is_opposite & (pool.agent_id == agent_id) & (agent_id >= 1)
    if config.self_match == SelfMatch.CANCEL_RESTING:
        return _past_own(pool, slots, request, opposite, is_own)
    (own_rank,) = reduce_slots([least(jnp.where(slots.is_crossed & is_own, pool.rank, MAX))])
    is_free = slots.is_crossed & (pool.rank < own_rank)
    free = reach_of(reduce_slots(match_terms(pool, slots, request, is_free)), slots, opposite)
    if config.self_match == SelfMatch.CANCEL_INCOMING:
        return free._replace(is_stopped=(own_rank < MAX) & (free.advance < request.size))
    terms = match_terms(pool, slots, request, slots.is_crossed)
    reach = reach_of(reduce_slots(terms), slots, opposite)
    return reach._replace(fillable=free.fillable, is_prevented=is_own)


def _past_own(pool: Pool, slots: Slots, request: Request, opposite: Queue, is_own: Array) -> Reach:
    """The reach if the agent's own makers on the way are cancelled, by a sum in order of rank."""
    num_ranks = pool.rank.shape[0]
    row = jnp.where(slots.is_crossed, pool.rank - opposite.head, num_ranks)

    def by_rank(values: Array) -> Array:
        return jnp.zeros(num_ranks, values.dtype).at[row].set(values, mode="drop")

    sizes, owns = by_rank(pool.size), by_rank(is_own)
    others = jnp.where(owns, 0, sizes)
    cumulative = _saturating_cumsum(others)
    ahead = jnp.pad(cumulative, (1, 0))[:-1]
    stays = jnp.where(owns, ahead >= request.size, cumulative > request.size) | (sizes == 0)
    num_used_up = jnp.argmax(stays).astype(jnp.int32)
    is_used_up = jnp.arange(num_ranks) < num_used_up
    fillable = jnp.minimum(cumulative[-1], request.size)
    return Reach(
        head=opposite.head + num_used_up,
        advance=fillable + jnp.where(owns & is_used_up, sizes, 0).sum(dtype=jnp.int32),
        fillable=fillable,
        is_stopped=jnp.bool(False),
        is_prevented=is_own,
    )


def _saturating_cumsum(sizes: Array) -> Array:
    """Inclusive cumulative sum of non-negative int32 that stops at the largest int32."""

    def add(a: Array, b: Array) -> Array:
        return jnp.where(a > MAX - b, MAX, a + b)

    num_slots = sizes.shape[0]
    distance = 1
    while distance < num_slots:
        sizes = add(sizes, jnp.pad(sizes, (distance, 0))[:num_slots])
        distance *= 2
    return sizes
