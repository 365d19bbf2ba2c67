"""The portable backend: a branch-free update of sorted order arrays, scanned over the messages.

Each message runs the same straight line of vector operations over `[N]` slots, whatever its type:
what does not apply is masked out. There is no `while_loop` and no `switch`, so `vmap` costs no
divergence. Because orders are sorted, a sweep is a cumulative sum and consumes a prefix, and an
insertion or a removal is one shift.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lob_core.backends.xla_records import add_fills, blank_trades, finish_trades, record
from lob_core.backends.xla_request import Request, decode
from lob_core.backends.xla_side import (
    Located,
    Match,
    consume,
    insert,
    locate,
    match_taker,
    reduce_order,
)
from lob_core.types import (
    NO_ORDER,
    Array,
    BookConfig,
    BookState,
    Counters,
    Fills,
    Message,
    Orders,
    Outcome,
    Reports,
    ResultCode,
    Side,
    TimeInForce,
    Trades,
)


class _Carry(NamedTuple):
    """State of the scan over messages."""

    book: BookState
    trades: Trades  # leaves [T + N]: a message writes a window of N rows past the last one
    fills: Fills


@functools.partial(jax.jit, static_argnames="config")
def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`)."""
    padded = config.max_trades + config.num_slots
    carry = _Carry(
        book=book,
        trades=blank_trades(padded),
        fills=Fills(*(jnp.zeros(config.num_agents + 1, jnp.int32) for _ in range(6))),
    )
    indices = jnp.arange(messages.price.shape[0], dtype=jnp.int32)

    def step(carry: _Carry, item: tuple[Message, Array]) -> tuple[_Carry, Reports]:
        return _apply(carry, *item, config)

    carry, reports = jax.lax.scan(step, carry, (messages, indices))
    book, trades = finish_trades(carry.book, carry.trades, config)
    return book, Outcome(trades=trades, reports=reports, fills=carry.fills)


def _apply(
    carry: _Carry, message: Message, index: Array, config: BookConfig
) -> tuple[_Carry, Reports]:
    """Carries out one message."""
    book = carry.book
    request = decode(message)
    is_buy = request.taker_side == Side.BID
    own = _select(is_buy, book.bids, book.asks)
    opposite = _select(is_buy, book.asks, book.bids)

    located = locate(own, message, request, config)
    is_requeue = request.is_modify & located.is_found & ~located.keeps_priority
    is_taker = request.is_valid & (~request.is_lookup | is_requeue)
    order_id = jnp.where(request.is_execute, NO_ORDER, message.order_id)
    agent_id = jnp.where(request.is_lookup, located.agent_id, message.agent_id)

    take = jnp.where(is_taker, message.size, 0)
    match = match_taker(opposite, request, take, agent_id, is_buy, config)
    is_active = is_taker & ~match.is_rejected
    may_rest = ~match.is_stopped & (
        (request.time_in_force == TimeInForce.GTC)
        | (request.time_in_force == TimeInForce.POST_ONLY)
    )
    rest_size = jnp.where(may_rest & is_active, match.remaining, 0)

    opposite = consume(opposite, match.removed)
    own = reduce_order(own, located, _new_size(message, request, located, is_requeue & is_active))
    incoming = Orders(price=request.limit, size=rest_size, order_id=order_id, agent_id=agent_id)
    own, dropped_size, is_self_dropped = insert(own, incoming, is_buy)

    is_unknown = request.is_valid & request.is_lookup & ~located.is_known
    is_missing = is_unknown & ~located.is_found
    is_acting = ~request.is_ignored
    counters = book.counters
    counters = Counters(
        dropped_orders=counters.dropped_orders + (dropped_size > 0),
        dropped_size=counters.dropped_size + dropped_size,
        dropped_trades=counters.dropped_trades,
        unknown_ids=counters.unknown_ids + is_unknown,
        unknown_types=counters.unknown_types + ~request.is_known_type,
        invalid=counters.invalid + (is_acting & request.is_known_type & ~request.is_valid),
    )
    new_book = BookState(
        bids=_select(is_buy, own, opposite),
        asks=_select(is_buy, opposite, own),
        counters=counters,
    )
    makers = _select(is_buy, book.asks, book.bids)
    trades = record(
        carry.trades, makers, match, order_id, agent_id, request.taker_side, index, config
    )
    fills = add_fills(carry.fills, makers, match, agent_id, is_buy, config)
    is_filled = match.filled == message.size
    is_resting = may_rest & (match.remaining > 0)
    code = _result_code(
        request, is_missing, is_taker, match, is_filled, is_resting, is_self_dropped
    )
    report = Reports(
        code=code,
        filled_size=match.filled,
        best_bid=new_book.bids.price[0],
        best_ask=new_book.asks.price[0],
    )
    return _Carry(new_book, trades, fills), report


def _select(condition: Array, if_true: Orders, if_false: Orders) -> Orders:
    chosen: Orders = jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)
    return chosen


def _new_size(message: Message, request: Request, located: Located, is_requeued: Array) -> Array:
    """`[]`, what remains of the located order in its place; its own size if nothing changes."""
    is_whole = request.is_delete & (located.is_known | (message.size < 1))
    cancelled = jnp.where(is_whole, 0, located.size - jnp.minimum(message.size, located.size))
    modified = jnp.where(
        located.keeps_priority, message.size, jnp.where(is_requeued, 0, located.size)
    )
    changed = jnp.where(request.is_modify, modified, cancelled)
    return jnp.where(located.is_found, changed, located.size)


def _result_code(
    request: Request,
    is_missing: Array,
    is_taker: Array,
    match: Match,
    is_filled: Array,
    is_resting: Array,
    is_dropped: Array,
) -> Array:
    """`[]` int32, the `ResultCode` of one message."""
    has_traded = match.filled > 0
    rested = jnp.where(has_traded, ResultCode.PARTLY_FILLED_RESTED, ResultCode.RESTED)
    expired = jnp.where(has_traded, ResultCode.PARTLY_FILLED_EXPIRED, ResultCode.EXPIRED)
    is_post_only = request.time_in_force == TimeInForce.POST_ONLY
    rejected = jnp.where(is_post_only, ResultCode.REJECTED_POST_ONLY, ResultCode.REJECTED_FOK)
    cases = [
        (request.is_ignored, ResultCode.IGNORED),
        (~request.is_known_type, ResultCode.REJECTED_UNKNOWN_TYPE),
        (~request.is_valid, ResultCode.REJECTED_INVALID),
        (is_missing, ResultCode.REJECTED_UNKNOWN_ID),
        (~is_taker, ResultCode.DONE),
        (match.is_rejected, rejected),
        (is_filled, ResultCode.FILLED),
        (~is_resting, expired),
        (is_dropped, ResultCode.DROPPED),
    ]
    return jnp.select([c for c, _ in cases], [jnp.int32(v) for _, v in cases], rested).astype(
        jnp.int32
    )
