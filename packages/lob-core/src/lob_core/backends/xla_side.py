"""Vector operations on one side of sorted orders `[N]`, branch-free, for the `xla` backend."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lob_core.backends.xla_request import Request
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    OPENING_AGENT,
    UNKNOWN_CANCEL_HASH,
    Array,
    BookConfig,
    Message,
    Orders,
    SelfMatch,
    TimeInForce,
    UnknownCancel,
)

_MAX = 2**31 - 1
_MIN = -(2**31)
_FREE = Orders(price=NO_PRICE, size=0, order_id=NO_ORDER, agent_id=NO_AGENT)  # type: ignore[arg-type]


class Located(NamedTuple):
    """The resting order that a cancel, delete or modify acts on, all `[]`."""

    is_known: Array  # whether it is the one that the message names
    is_found: Array
    position: Array
    size: Array
    agent_id: Array
    keeps_priority: Array


class Match(NamedTuple):
    """Result of running a taker against the opposite side."""

    fill: Array  # [N], shares traded with each maker
    removed: Array  # [N], shares each maker loses: its fill, or what self-match prevention takes
    filled: Array  # [], the sum of `fill`
    remaining: Array  # [], shares the taker has left
    is_stopped: Array  # [], whether self-match prevention cancels what the taker has left
    is_rejected: Array  # [], post-only or fill-or-kill
    num_trades: Array  # []


def locate(own: Orders, message: Message, request: Request, config: BookConfig) -> Located:
    """Finds the named order: first at the message's price, else anywhere on its side.

    If it is not there, `config.unknown_cancel` may put another order in its place.
    """
    is_named = (own.size > 0) & (own.order_id == message.order_id)
    is_named &= request.is_valid & request.is_lookup
    is_at_price = is_named & (own.price == message.price)
    is_known = is_named.any()
    is_it = jnp.where(is_at_price.any(), is_at_price, is_named)
    if config.unknown_cancel != UnknownCancel.STRICT:
        is_open = ~is_known & request.is_valid & request.is_lookup & ~request.is_modify
        is_it = jnp.where(is_open, _stand_in(own, message, config), is_it)
    position = jnp.argmax(is_it)
    size = own.size[position]
    return Located(
        is_known=is_known,
        is_found=is_it.any(),
        position=position,
        size=size,
        agent_id=own.agent_id[position],
        keeps_priority=(own.price[position] == message.price) & (message.size <= size),
    )


def _stand_in(own: Orders, message: Message, config: BookConfig) -> Array:
    """`[N]` bool, true for the order on which a cancel of an unknown id acts instead, if any."""
    is_candidate = (own.size > 0) & (own.price == message.price)
    if config.unknown_cancel == UnknownCancel.OPENING:
        return is_candidate & (own.agent_id == OPENING_AGENT)  # argmax takes the first
    if config.unknown_cancel == UnknownCancel.UNIFORM:
        is_candidate &= own.agent_id < 1
    number = jnp.cumsum(is_candidate)
    count = jnp.maximum(number[-1], 1).astype(jnp.uint32)
    chosen = (_hash(message) % count).astype(jnp.int32)
    return is_candidate & (number == chosen + 1)


def _hash(message: Message) -> Array:
    """The hash described at `UNKNOWN_CANCEL_HASH`, `[]` uint32."""
    a, b, c, d = (jnp.uint32(multiplier) for multiplier in UNKNOWN_CANCEL_HASH)
    order_id, price, size = (
        field.astype(jnp.uint32) for field in (message.order_id, message.price, message.size)
    )
    value = order_id * a ^ price * b ^ size * c
    value ^= value >> 15
    value *= d
    mixed: Array = value ^ value >> 12
    return mixed


def _saturating_cumsum(sizes: Array) -> Array:
    """Inclusive cumulative sum of non-negative int32 that stops at the largest int32."""

    def add(a: Array, b: Array) -> Array:
        return jnp.where(a > _MAX - b, _MAX, a + b)

    num_slots = sizes.shape[0]
    distance = 1
    while distance < num_slots:
        sizes = add(sizes, jnp.pad(sizes, (distance, 0))[:num_slots])
        distance *= 2
    return sizes


def match_taker(
    opposite: Orders,
    request: Request,
    take: Array,
    agent_id: Array,
    is_buy: Array,
    config: BookConfig,
) -> Match:
    """Shares that a taker of `take` shares gets from each maker of the opposite side."""
    is_crossed = (opposite.size > 0) & jnp.where(
        is_buy, opposite.price <= request.limit, opposite.price >= request.limit
    )
    mode = config.self_match
    is_own = is_crossed & (opposite.agent_id == agent_id) & (agent_id >= 1)
    if mode == SelfMatch.OFF:
        is_own = jnp.zeros_like(is_own)
    is_before_own = jnp.cumsum(is_own) == 0
    is_tradable = is_crossed & ~is_own
    if mode in (SelfMatch.CANCEL_INCOMING, SelfMatch.DECREMENT_BOTH):
        is_tradable &= is_before_own
    is_reachable = is_crossed if mode == SelfMatch.DECREMENT_BOTH else is_tradable

    reachable = jnp.where(is_reachable, opposite.size, 0)
    cumulative = _saturating_cumsum(reachable)
    available = cumulative[-1]
    if mode == SelfMatch.DECREMENT_BOTH:
        available = jnp.where(is_tradable, cumulative, 0).max()
    is_killed = (request.time_in_force == TimeInForce.FOK) & (available < take)
    would_take = (request.time_in_force == TimeInForce.POST_ONLY) & is_crossed[0]
    is_rejected = is_killed | would_take
    take = jnp.where(is_rejected, 0, take)
    ahead = jnp.pad(cumulative, (1, 0))[:-1]
    used = jnp.clip(take - ahead, 0, reachable)
    fill = jnp.where(is_own, 0, used)
    remaining = take - used.sum()
    removed = used
    if mode == SelfMatch.CANCEL_RESTING:
        removed = jnp.where(is_own & (ahead < take), opposite.size, used)
    return Match(
        fill=fill,
        removed=removed,
        filled=fill.sum(),
        remaining=remaining,
        is_stopped=(mode == SelfMatch.CANCEL_INCOMING) & is_own.any() & (remaining > 0),
        is_rejected=is_rejected,
        num_trades=(fill > 0).sum(dtype=jnp.int32),
    )


def consume(opposite: Orders, removed: Array) -> Orders:
    """Takes shares off the makers; those used up are a prefix, which is shifted out."""
    num_slots = removed.shape[0]
    left = opposite.replace(size=opposite.size - removed)
    num_gone = ((opposite.size > 0) & (left.size == 0)).sum()
    source = jnp.arange(num_slots) + num_gone

    def shift_out(x: Array, free: int) -> Array:
        return x.at[source].get(mode="fill", fill_value=free)

    packed: Orders = jax.tree.map(shift_out, left, _FREE)
    return packed


def reduce_order(own: Orders, located: Located, new_size: Array) -> Orders:
    """Sets the located order's size, closing the gap if nothing remains."""
    slots = jnp.arange(own.size.shape[0])
    is_it = located.is_found & (slots == located.position)
    own = own.replace(size=jnp.where(is_it, new_size, own.size))
    is_behind = located.is_found & (new_size == 0) & (slots >= located.position)

    def close_gap(x: Array, free: int) -> Array:
        return jnp.where(is_behind, jnp.append(x[1:], jnp.int32(free)), x)

    closed: Orders = jax.tree.map(close_gap, own, _FREE)
    return closed


def insert(own: Orders, new: Orders, is_buy: Array) -> tuple[Orders, Array, Array]:
    """Rests `new` (if its size > 0) behind every order at least as good.

    Returns:
        The side, the shares dropped from a full side, and whether they were those of `new`.
    """
    num_slots = own.size.shape[0]
    slots = jnp.arange(num_slots)
    is_ahead = (own.size > 0) & jnp.where(is_buy, own.price >= new.price, own.price <= new.price)
    position = is_ahead.sum()
    is_inserted = new.size > 0
    is_full = own.size[-1] > 0
    is_self_dropped = is_inserted & (position == num_slots)
    dropped = jnp.where(is_self_dropped, new.size, own.size[-1])

    def shift(x: Array, value: Array) -> Array:
        moved = jnp.where(slots > position, jnp.roll(x, 1), x)
        return jnp.where(is_inserted, jnp.where(slots == position, value, moved), x)

    side = jax.tree.map(shift, own, new)
    return side, jnp.where(is_inserted & is_full, dropped, 0), is_self_dropped
