"""What the market and each agent look like after the messages of a step."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.types import BookState, EventType, Message, Outcome, Side

from marl_envs import latency, own_orders
from marl_envs.playing import Played
from marl_envs.sequencing import append, signed_taker_size
from marl_envs.types import INT32_MAX, Account, AgentState, MarketState, OwnOrders

Array = jax.Array

_MEMORY = 0.9
"""Weight of the past in the moving averages: about ten steps."""


def market_after(market: MarketState, played: Played) -> MarketState:
    """Public facts after a step.

    Args:
        market: facts before it.
        played: the step.
    """
    book, messages, outcome = played.book, played.messages, played.outcome
    bid, ask = book.bids.price[0], book.asks.price[0]
    best_bid = jnp.where(bid > 0, bid, market.best_bid)
    best_ask = jnp.where(ask > 0, ask, market.best_ask)
    volume = jnp.sum(outcome.fills.bought)
    signed = signed_taker_size(messages, outcome.reports.filled_size)
    change = (best_bid + best_ask - market.mid_half_ticks) / 2

    def average(past: Array, now: Array) -> Array:
        return (_MEMORY * past + (1 - _MEMORY) * now).astype(jnp.float32)

    return market.replace(
        best_bid=best_bid,
        best_ask=best_ask,
        bid_size=jnp.sum(jnp.where(book.bids.price == bid, book.bids.size, 0)),
        ask_size=jnp.sum(jnp.where(book.asks.price == ask, book.asks.size, 0)),
        is_quoted=market.is_quoted | ((best_bid > 0) & (best_ask > 0)),
        step=market.step + 1,
        steps_left=market.steps_left - 1,
        time_s=played.time[0],
        time_ns=played.time[1],
        volume=volume,
        signed_volume=average(market.signed_volume, signed),
        average_volume=average(market.average_volume, volume),
        variance=average(market.variance, change**2),
        is_halted=played.is_halted,
        recent=None if market.recent is None else last_messages(market.recent, messages),
    )


def last_messages(recent: Message, messages: Message) -> Message:
    """The last `M` messages of two sequences, without `NOOP` rows in between.

    Args:
        recent: leaves `[M]`, oldest first, unused rows in front.
        messages: what came afterwards, leaves `[rows]`.

    Returns:
        Leaves `[M]`; unused rows, all in front, are zero.
    """
    number = recent.event_type.shape[0]
    joined = append(recent, messages)
    count = jnp.cumsum(joined.event_type != EventType.NOOP)
    wanted = count[-1] - number + 1 + jnp.arange(number)
    row = jnp.searchsorted(count, wanted, side="left", method="scan_unrolled")
    kept: Message = jax.tree.map(lambda leaf: jnp.where(wanted > 0, leaf[row], 0), joined)
    return kept


def mean_mid(
    messages: Message, outcome: Outcome, market: MarketState, reference_price: Array
) -> Array:
    """Mean mid over the messages of a step, relative to the reference price.

    Args:
        messages: leaves `[M]`; NOOP rows do not count.
        outcome: the best quotes after each.
        market: facts after the step, whose mid it is if no message left both sides quoted.
        reference_price: `[]` int32, ticks.

    Returns:
        `[]` float32, ticks.
    """
    reports = outcome.reports
    counts = (
        (messages.event_type != EventType.NOOP) & (reports.best_bid > 0) & (reports.best_ask > 0)
    )
    half_ticks = reports.best_bid + reports.best_ask - 2 * reference_price
    number = jnp.sum(counts)
    total = jnp.sum(jnp.where(counts, half_ticks, 0))
    last = market.mid_half_ticks - 2 * reference_price
    return jnp.where(number > 0, total / (2 * jnp.maximum(number, 1)), last / 2)


def agents_after(
    agents: Sequence[AgentState],
    tables: Sequence[OwnOrders],
    accounts: Sequence[Account],
    book: BookState,
) -> list[AgentState]:
    """The own views of all agents after a step, by type, leaves led by `[A]`.

    Agents of all types look at the book together: what compiles does not grow with the types.

    Args:
        agents: their state before the step, but with the messages that are still on their way, in
            the order of their numbers, which begin with 1.
        tables: their orders, sizes not yet read from the book.
        accounts: their accounts after the step.
        book: the book after the step, leaves `[N]`.
    """
    numbers = [own.agent_id.shape[0] for own in agents]
    ends = np.cumsum(numbers).tolist()
    everyone = jnp.arange(1, ends[-1] + 1, dtype=jnp.int32)
    orders = [
        own_orders.read_sizes(table, own.agent_id, book)
        for table, own in zip(tables, agents, strict=True)
    ]
    orders = [
        latency.expected(table, own.pending) if isinstance(own.pending, latency.Timed) else table
        for table, own in zip(orders, agents, strict=True)
    ]
    views = []
    for side, resting in ((Side.BID, book.bids), (Side.ASK, book.asks)):
        quotes = [_own_quote(table, side) for table in orders]
        quote, size = (jnp.concatenate(column) for column in zip(*quotes, strict=True))
        queue = own_orders.queue_ahead(resting, quote, everyone)
        views.append((own_orders.best_of_others(resting, everyone), quote, size, queue))
    after = []
    for own, table, account, number, end in zip(
        agents, orders, accounts, numbers, ends, strict=True
    ):
        bid, ask = ([column[end - number : end] for column in view] for view in views)
        after.append(
            own.replace(
                account=account,
                orders=table,
                best_bid=jnp.where(bid[0] > 0, bid[0], own.best_bid),
                best_ask=jnp.where(ask[0] > 0, ask[0], own.best_ask),
                bid_quote=bid[1],
                ask_quote=ask[1],
                bid_quote_size=bid[2],
                ask_quote_size=ask[2],
                bid_queue=bid[3],
                ask_queue=ask[3],
            )
        )
    return after


def _own_quote(orders: OwnOrders, side: Side) -> tuple[Array, Array]:
    """Best resting price of each agent on a side (0 if none), and its shares there, `[A]`."""
    size = jnp.where(orders.side == side, jnp.sum(orders.size, axis=-1), 0)
    signed = jnp.where(size > 0, orders.price * side, -INT32_MAX)
    best = jnp.max(signed, axis=-1, keepdims=True)
    quote_size = jnp.sum(jnp.where((signed == best) & (size > 0), size, 0), axis=-1)
    return jnp.where(jnp.any(size > 0, axis=-1), best[..., 0] * side, 0), quote_size
