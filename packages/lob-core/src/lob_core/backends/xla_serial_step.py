"""One message on one book, one order after the other, for the `xla` backend on CPUs."""

from __future__ import annotations

import jax.numpy as jnp

from lob_core.backends.xla_request import price_of
from lob_core.backends.xla_serial_matching import Ledger, cannot_fill, match
from lob_core.backends.xla_serial_rows import (
    AGENT_ID,
    KEY,
    ORDER_ID,
    SIZE,
    Side,
    find,
    find_nth,
    insert,
    make_room,
    read_if,
    replace,
)
from lob_core.backends.xla_serial_tables import Marks, Wish
from lob_core.types import OPENING_AGENT, Array, BookConfig, UnknownCancel


def step(
    orders: Array, bids: Side, asks: Side, ledger: Ledger, wish: Wish, config: BookConfig
) -> tuple[Array, Side, Side, Ledger, Marks]:
    """Carries out one message.

    Args:
        orders: `[R, 4]`, the rows of both sides.
        bids: where the bids are.
        asks: where the asks are.
        ledger: where trades go.
        wish: the message.
        config: rules.
    """
    own = Side(*(jnp.where(wish.is_buy, b, a) for b, a in zip(bids, asks, strict=True)))
    opposite = Side(*(jnp.where(wish.is_buy, a, b) for b, a in zip(bids, asks, strict=True)))

    place, row, is_known, is_found = _look_up(orders, own, wish, config)
    keeps_place = (row[KEY] == wish.key) & (wish.size <= row[SIZE])
    is_requeue = wish.is_modify & is_found & ~keeps_place
    is_taker = wish.is_new | is_requeue
    agent_id = jnp.where(is_requeue, row[AGENT_ID], wish.agent_id)
    is_crossing = (opposite.number > 0) & (opposite.best <= wish.crossing_key)
    is_short = cannot_fill(orders, opposite, wish, agent_id, wish.is_fok & is_taker, config)
    is_rejected = is_short | (wish.is_post_only & is_crossing)
    is_active = is_taker & ~is_rejected

    is_whole = wish.is_delete & (is_known | (wish.size < 1))
    after = jnp.where(is_whole, 0, row[SIZE] - jnp.minimum(wish.size, row[SIZE]))
    after = jnp.where(wish.is_modify, wish.size, after)
    orders, own = replace(
        orders,
        own,
        jnp.where(is_found, place, 0),
        jnp.stack([row[KEY], after, row[ORDER_ID], row[AGENT_ID]]),
        removes=is_found & jnp.where(is_requeue, is_active, after == 0),
        changes=is_found & ~is_requeue,
    )

    wanted = jnp.where(is_active & is_crossing, wish.size, 0)
    orders, opposite, ledger, filled, left = match(
        orders, opposite, ledger, wish, agent_id, wanted, config
    )
    left = jnp.where(is_crossing, left, wish.size)
    left = jnp.where(is_active & wish.may_rest, left, 0)

    is_full = (left > 0) & (own.number == config.num_slots)
    orders, own, pushed_out = make_room(orders, own, wish.key, is_full)
    is_dropped = is_full & (pushed_out == 0)
    new = jnp.stack([wish.key, left, wish.order_id, agent_id])
    orders, own = insert(orders, own, new, (left > 0) & ~is_dropped)
    best = read_if(own.number > 0, orders, own.start + own.number - 1)[KEY]
    own = own._replace(best=best)

    bids = Side(*(jnp.where(wish.is_buy, a, b) for a, b in zip(own, opposite, strict=True)))
    asks = Side(*(jnp.where(wish.is_buy, b, a) for a, b in zip(own, opposite, strict=True)))
    marks = Marks(
        is_known=is_known,
        is_found=is_found,
        is_taker=is_taker,
        is_rejected=is_rejected,
        is_resting=left > 0,
        is_dropped=is_dropped,
        filled=filled,
        dropped_size=jnp.where(is_dropped, left, pushed_out),
        best_bid=jnp.where(bids.number > 0, price_of(bids.best), 0),
        best_ask=jnp.where(asks.number > 0, price_of(asks.best), 0),
    )
    return orders, bids, asks, ledger, marks


def _look_up(
    orders: Array, own: Side, wish: Wish, config: BookConfig
) -> tuple[Array, Array, Array, Array]:
    """Place and row of the order that a message acts on; whether its id is known, and it is there.

    `config.unknown_cancel` may put another order in the place of one that is not there.
    """
    place, row, is_known = find(orders, own, wish.key, wish.order_id, wish.is_lookup)
    if config.unknown_cancel == UnknownCancel.STRICT:
        return place, row, is_known, is_known
    is_open = wish.is_lookup & ~wish.is_modify & ~is_known

    def is_candidate(row: Array) -> Array:
        if config.unknown_cancel == UnknownCancel.OPENING:
            return row[AGENT_ID] == OPENING_AGENT
        return (row[AGENT_ID] < 1) | (config.unknown_cancel == UnknownCancel.UNIFORM_ANY)

    number = jnp.int32(0)
    if config.unknown_cancel != UnknownCancel.OPENING:
        most = jnp.int32(config.num_slots)
        *_, left = find_nth(orders, own, wish.key, is_candidate, most, is_open)
        count = jnp.maximum(most - left, 1).astype(jnp.uint32)
        number = (wish.hash.astype(jnp.uint32) % count).astype(jnp.int32)
    other, other_row, is_there, _ = find_nth(orders, own, wish.key, is_candidate, number, is_open)
    place, row = jnp.where(is_open, other, place), jnp.where(is_open, other_row, row)
    return place, row, is_known, is_known | is_there
