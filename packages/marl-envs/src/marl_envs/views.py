"""What the market and each agent look like after the messages of a step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from lob_core.types import BookState, EventType, Message, Outcome, Side

from marl_envs import own_orders
from marl_envs.sequencing import signed_taker_size
from marl_envs.types import INT32_MAX, Account, AgentState, MarketState, OwnOrders

Array = jax.Array

_MEMORY = 0.9
"""Weight of the past in the moving averages: about ten steps."""


def market_after(
    market: MarketState,
    book: BookState,
    messages: Message,
    outcome: Outcome,
    time: tuple[Array, Array],
) -> MarketState:
    """Public facts after a step.

    Args:
        market: facts before it.
        book: the book after it, leaves `[N]`.
        messages: what was sent, leaves `[M]`.
        outcome: what the engine did.
        time: seconds and nanoseconds after the step, `[]` int32 each.
    """
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
        time_s=time[0],
        time_ns=time[1],
        volume=volume,
        signed_volume=average(market.signed_volume, signed),
        average_volume=average(market.average_volume, volume),
        variance=average(market.variance, change**2),
    )


def mean_mid(messages: Message, outcome: Outcome, reference_price: Array, last: Array) -> Array:
    """Mean mid over the messages of a step, relative to the reference price.

    Args:
        messages: leaves `[M]`; NOOP rows do not count.
        outcome: the best quotes after each.
        reference_price: `[]` int32, ticks.
        last: `[]` float32, the value if no message left both sides quoted.

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
    return jnp.where(number > 0, total / (2 * jnp.maximum(number, 1)), last)


def agents_after(
    agents: AgentState, table: OwnOrders, account: Account, next_order_id: Array, book: BookState
) -> AgentState:
    """The own views of the agents of a type after a step, leaves led by `[A]`.

    Args:
        agents: their state before the step.
        table: their orders, sizes not yet read from the book.
        account: their accounts after the step.
        next_order_id: `[A]` int32.
        book: the book after the step, leaves `[N]`.
    """
    orders = own_orders.read_sizes(table, agents.agent_id, book)
    others_bid = own_orders.best_of_others(book.bids, agents.agent_id)
    others_ask = own_orders.best_of_others(book.asks, agents.agent_id)
    bid_quote, bid_quote_size = _own_quote(orders, Side.BID)
    ask_quote, ask_quote_size = _own_quote(orders, Side.ASK)
    return agents.replace(
        account=account,
        orders=orders,
        next_order_id=next_order_id,
        best_bid=jnp.where(others_bid > 0, others_bid, agents.best_bid),
        best_ask=jnp.where(others_ask > 0, others_ask, agents.best_ask),
        bid_quote=bid_quote,
        ask_quote=ask_quote,
        bid_quote_size=bid_quote_size,
        ask_quote_size=ask_quote_size,
        bid_queue=own_orders.queue_ahead(book.bids, bid_quote, agents.agent_id),
        ask_queue=own_orders.queue_ahead(book.asks, ask_quote, agents.agent_id),
    )


def _own_quote(orders: OwnOrders, side: Side) -> tuple[Array, Array]:
    """Best resting price of each agent on a side (0 if none), and its shares there, `[A]`."""
    size = jnp.where(orders.side == side, jnp.sum(orders.size, axis=-1), 0)
    signed = jnp.where(size > 0, orders.price * side, -INT32_MAX)
    best = jnp.max(signed, axis=-1, keepdims=True)
    quote_size = jnp.sum(jnp.where((signed == best) & (size > 0), size, 0), axis=-1)
    return jnp.where(jnp.any(size > 0, axis=-1), best[..., 0] * side, 0), quote_size
