"""One message on the pool, branch-free, for the `xla` backend: look, decide, update."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lob_core.backends.xla_change import Out, Taken, decide, out_terms, update
from lob_core.backends.xla_lookup import lookup_terms, place_of
from lob_core.backends.xla_matching import Reach, match_terms, prevent, reach_of
from lob_core.backends.xla_pool import (
    Labels,
    Pool,
    Queue,
    Slots,
    Term,
    least,
    look,
    reduce_pair,
    reduce_slots,
    select,
    total,
)
from lob_core.backends.xla_request import MAX, Request, price_of
from lob_core.types import NO_PRICE, Array, BookConfig, SelfMatch


class State(NamedTuple):
    """What the scan over messages carries."""

    pool: Pool
    bids: Queue
    asks: Queue


class Journal(NamedTuple):
    """What is noted of each message, leaves `[M]` (`[M, A]` where said)."""

    is_known: Array  # the order it names is in the book
    is_found: Array  # that order is, or one in its place
    is_taker: Array
    is_rejected: Array
    filled: Array
    is_resting: Array  # something is left, and may rest
    is_dropped: Array  # but found no room
    dropped_size: Array  # shares dropped from its side
    best_bid: Array
    best_ask: Array
    agent_id: Array  # the taker's
    first_rank: Array  # of its first maker
    num_gone: Array  # makers it used up
    last_slot: Array  # of the maker of which it took a part
    last_size: Array  # that part, zero if there is none
    maker_size: Array  # [M, A], shares that the makers of each account traded
    maker_notional: Array  # [M, A]


class _Makers(NamedTuple):
    """The opposite side after a taker, if there is one, leaves `[]`."""

    best: Array
    first_agent: Array  # agent of the new first order
    first_slot: Array
    gone: Array  # shares of the orders used up


def _maker_terms(labels: Labels, pool: Pool, slots: Slots, reach: Reach) -> list[Term]:
    is_gone = slots.is_opposite & (pool.rank < reach.head)
    is_first = slots.is_opposite & (pool.rank == reach.head)
    slot = jnp.arange(pool.rank.shape[0], dtype=jnp.int32)
    return [
        least(jnp.where(slots.is_opposite & ~is_gone, labels.key, MAX)),
        total(jnp.where(is_first, pool.agent_id, 0)),
        total(jnp.where(is_first, slot, 0)),
        total(jnp.where(is_gone, pool.size, 0)),
    ]


def _by_account(
    labels: Labels, pool: Pool, slots: Slots, reach: Reach, config: BookConfig
) -> tuple[Array, Array]:
    """Shares and notional, `[A]`, of the orders used up, but for prevented self-matches."""
    is_traded = slots.is_opposite & (pool.rank < reach.head) & ~reach.is_prevented
    size = jnp.where(is_traded & _is_account(pool.agent_id, config), pool.size, 0)  # [A, W]
    return reduce_pair(size, size * price_of(labels.key))  # int32, wraps: see `Fills`


def _is_account(agent_id: Array, config: BookConfig) -> Array:
    """`[A, ...]`, whether an agent has account `a`; row 0 is for all who have none."""
    has_account = (agent_id >= 1) & (agent_id <= config.num_agents)
    accounts = jnp.arange(config.num_agents + 1, dtype=jnp.int32)
    account = jnp.where(has_account, agent_id, 0)
    return account == accounts.reshape(-1, *[1] * agent_id.ndim)


def step(
    labels: Labels, state: State, request: Request, new_slot: Array, config: BookConfig
) -> tuple[State, Journal]:
    """Carries out one message.

    Args:
        labels: of the block's pool.
        state: the book.
        request: the message, leaves `[]`.
        new_slot: `[]`, the pool's slot for the order that it may add.
        config: rules.

    Returns:
        The new state, and the message's row of the journal.
    """
    pool = state.pool
    own = select(request.is_buy, state.bids, state.asks)
    opposite = select(request.is_buy, state.asks, state.bids)
    slots = look(labels, pool, request, state.bids, state.asks)

    # Two passes over the slots; a mode of self-match prevention needs to know the agent first.
    looks = lookup_terms(labels, pool, slots, request)
    if config.self_match == SelfMatch.OFF:
        values = reduce_slots(looks + match_terms(pool, slots, request, slots.is_crossed))
        place = place_of(values[: len(looks)], labels, pool, slots, request, config)
        reach = reach_of(values[len(looks) :], slots, opposite)
        out_rank = jnp.where(request.is_lookup, place.rank, own.tail - 1)
        outs = out_terms(labels, pool, slots, out_rank)
        values = reduce_slots(outs + _maker_terms(labels, pool, slots, reach))
        out, makers = Out(out_rank, *values[: len(outs)]), _Makers(*values[len(outs) :])
        agent_id = jnp.where(request.is_lookup, out.agent_id, request.agent_id)
    else:
        place = place_of(reduce_slots(looks), labels, pool, slots, request, config)
        out_rank = jnp.where(request.is_lookup, place.rank, own.tail - 1)
        out = Out(out_rank, *reduce_slots(out_terms(labels, pool, slots, out_rank)))
        agent_id = jnp.where(request.is_lookup, out.agent_id, request.agent_id)
        reach = prevent(pool, slots, request, opposite, agent_id, config)
        makers = _Makers(*reduce_slots(_maker_terms(labels, pool, slots, reach)))

    keeps_place = (out.key == request.key) & (request.size <= out.size)
    is_requeue = request.is_modify & place.is_found & ~keeps_place
    is_taker = request.is_new | is_requeue
    is_crossing = (opposite.tail > opposite.head) & (opposite.best <= request.crossing_key)
    is_rejected = (request.is_fok & (reach.fillable < request.size)) | (
        request.is_post_only & is_crossing
    )
    is_active = is_taker & ~is_rejected

    advance = jnp.where(is_active, reach.advance, 0)
    partial = jnp.where(is_active, reach.advance - makers.gone, 0)
    is_self_match = (makers.first_agent == agent_id) & (agent_id >= 1)
    is_prevented = is_self_match & (config.self_match != SelfMatch.OFF)
    is_first = _is_account(makers.first_agent, config) & ~is_prevented
    partial_size = jnp.where(is_first, partial, 0)
    maker_size, maker_notional = (
        jnp.where(is_active, of_gone, 0) + of_first
        for of_gone, of_first in zip(
            _by_account(labels, pool, slots, reach, config),
            (partial_size, partial_size * price_of(makers.best)),
            strict=True,
        )
    )
    filled = maker_size.sum(dtype=jnp.int32)
    spent = advance if config.self_match == SelfMatch.DECREMENT_BOTH else filled
    may_rest = is_active & request.may_rest & ~reach.is_stopped
    taken = Taken(
        is_taker=is_taker,
        is_requeue=is_requeue,
        is_rejected=is_rejected,
        is_active=is_active,
        agent_id=agent_id,
        head=reach.head,
        advance=advance,
        partial=partial,
        left=jnp.where(may_rest, request.size - spent, 0),
    )

    change = decide(request, place, out, own, opposite, taken, config)
    # Without the barrier, XLA computes these scalars again for every slot.
    change = jax.lax.optimization_barrier(change)  # type: ignore[no-untyped-call]
    pool = update(labels, pool, slots, request, out, change, new_slot)
    best = jnp.where(change.is_gone, out.next_best, own.best)
    own = Queue(
        head=own.head,
        tail=own.tail - change.is_gone + (change.added > 0),
        best=jnp.minimum(best, jnp.where(change.added > 0, request.key, MAX)),
    )
    best = jnp.where(is_active, makers.best, opposite.best)
    left_over = Queue(change.head, opposite.tail, best)
    state = State(
        pool,
        bids=select(request.is_buy, own, left_over),
        asks=select(request.is_buy, left_over, own),
    )
    journal = Journal(
        is_known=place.is_known,
        is_found=place.is_found,
        is_taker=is_taker,
        is_rejected=is_rejected,
        filled=filled,
        is_resting=taken.left > 0,
        is_dropped=change.is_dropped,
        dropped_size=change.dropped_size,
        best_bid=_quote(state.bids),
        best_ask=_quote(state.asks),
        agent_id=agent_id,
        first_rank=opposite.head,
        num_gone=change.head - opposite.head,
        last_slot=makers.first_slot,
        last_size=partial,
        maker_size=maker_size,
        maker_notional=maker_notional,
    )
    return state, journal


def _quote(queue: Queue) -> Array:
    return jnp.where(queue.tail > queue.head, price_of(queue.best), NO_PRICE)
