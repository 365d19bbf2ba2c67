"""From events of an order-flow model to messages: what all models share."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lob_core.flow.base import FlowState, advance_clock, number_orders
from lob_core.flow.draws import find_in_sums, running_sum
from lob_core.types import (
    BACKGROUND_AGENT,
    NO_PRICE,
    Array,
    BookState,
    EventType,
    Message,
    Orders,
    Side,
    TimeInForce,
)


class Look(NamedTuple):
    """The book as a model sees it.

    Attributes:
        book: one book, leaves `[N]`.
        best_bid: `[]` int32, ticks, the reference for asks; a model's own if the side is empty.
        best_ask: `[]` int32, ticks, likewise.
        cancel_rate: `[2N]` float32, per second, of each order, bids then asks; zero for free
            slots and for orders of agents.
    """

    book: BookState
    best_bid: Array
    best_ask: Array
    cancel_rate: Array


class Events(NamedTuple):
    """What happens in the market, leaves `[M]`; an event that is no cancel is an order.

    Attributes:
        wait_s: float32, seconds since the event before.
        is_cancel: bool.
        is_market: bool.
        is_buy: bool; not read for cancels.
        price: int32, ticks; read for limit orders.
        size: int32, shares; not read for cancels.
        cancel_draw: `[M + S]` float32 uniform numbers in `[0, 1)`: those of the cancels choose the
            orders that go, and the last `S = num_spare_draws(M)` take their place if need be.
    """

    wait_s: Array
    is_cancel: Array
    is_market: Array
    is_buy: Array
    price: Array
    size: Array
    cancel_draw: Array


def is_background(orders: Orders) -> Array:
    """`[N]` bool, live orders that belong to no agent."""
    return (orders.size > 0) & (orders.agent_id == BACKGROUND_AGENT)


def num_spare_draws(num_messages: int) -> int:
    """Further draws that replace those of cancels which cannot be used.

    Draws of one look repeat each other in proportion to the square of their number.
    """
    return 4 + num_messages * (num_messages + 40) // 160 if num_messages > 1 else 0


def wait_from_uniform(uniform: Array, rate: Array) -> Array:
    """Exponential waits in seconds at a rate per second, from uniform numbers in `[0, 1)`."""
    return -jnp.log1p(-uniform) / rate


def compose(events: Events, look: Look, state: FlowState) -> tuple[Message, dict[str, Array]]:
    """Messages of some events.

    Args:
        events: what happens.
        look: the book that the model sees.
        state: of the model before the events.

    Returns:
        Messages `[M]`, and the fields of `FlowState` after them.
    """
    is_cancel, is_limit = events.is_cancel, ~(events.is_cancel | events.is_market)
    time_s, time_ns = advance_clock(state.time_s, state.time_ns, events.wait_s)
    ids, next_order_id = number_orders(state.next_order_id, ~is_cancel)
    slot, is_possible = choose_cancels(events, look)
    num_slots = look.book.bids.size.shape[0]
    is_bid_slot = slot < num_slots

    def resting(name: str) -> Array:
        bids, asks = getattr(look.book.bids, name), getattr(look.book.asks, name)
        return jnp.where(
            is_bid_slot,
            bids[jnp.minimum(slot, num_slots - 1)],
            asks[jnp.maximum(slot - num_slots, 0)],
        )

    event_type = jnp.where(is_limit, EventType.SUBMIT, EventType.MARKET)
    event_type = jnp.where(is_cancel, EventType.DELETE, event_type)
    messages = Message(
        event_type=jnp.where(is_cancel & ~is_possible, EventType.NOOP, event_type),
        side=jnp.where(jnp.where(is_cancel, is_bid_slot, events.is_buy), Side.BID, Side.ASK),
        price=jnp.where(is_cancel, resting("price"), jnp.where(is_limit, events.price, NO_PRICE)),
        size=jnp.where(is_cancel, resting("size"), events.size),
        order_id=jnp.where(is_cancel, resting("order_id"), ids),
        agent_id=jnp.full(ids.shape, BACKGROUND_AGENT),
        time_in_force=jnp.full(ids.shape, TimeInForce.GTC),
        time_s=time_s,
        time_ns=time_ns,
    )
    messages = jax.tree.map(lambda x: x.astype(jnp.int32), messages)
    clock = {"time_s": time_s[-1], "time_ns": time_ns[-1], "next_order_id": next_order_id}
    return messages, clock


def choose_cancels(events: Events, look: Look) -> tuple[Array, Array]:
    """Slots `[M]`, of bids then asks, that the cancels name, drawn without replacement by rate.

    Draws with replacement of which repeats are left out are draws without replacement. Orders
    with fewer shares ahead of them than the market orders of this look take are left out too, so
    that every cancel finds its order.

    Returns:
        Slots, and whether there was a draw left for each.
    """
    num_messages, num_draws = events.is_cancel.shape[0], events.cancel_draw.shape[0]
    num_orders = look.cancel_rate.shape[0]
    sums = running_sum(look.cancel_rate)
    drawn = jnp.minimum(find_in_sums(sums, events.cancel_draw * sums[-1]), num_orders - 1)
    is_usable = look.cancel_rate[drawn] > 0
    if num_messages == 1:
        return drawn, is_usable
    num_bids, num_asks = _num_taken(events, look)
    is_bid = drawn < num_orders // 2
    is_usable &= jnp.where(is_bid, drawn >= num_bids, drawn >= num_asks + num_orders // 2)
    is_usable &= jnp.pad(events.is_cancel, (0, num_draws - num_messages), constant_values=True)
    number = jnp.arange(num_draws)
    first = jnp.full(num_orders, num_draws)
    first = first.at[jnp.where(is_usable, drawn, num_orders)].min(number, mode="drop")
    turn = running_sum((first[drawn] == number).astype(jnp.float32))
    cancel_turn = running_sum(events.is_cancel.astype(jnp.float32))
    mine = jnp.minimum(find_in_sums(turn, cancel_turn - 0.5), num_draws - 1)
    return drawn[mine], cancel_turn <= turn[-1]


def _num_taken(events: Events, look: Look) -> Array:
    """`[2]` int32: bids and asks at the front that market orders of these events can reach.

    Limit orders that cross the spread count as such.
    """
    book = look.book
    is_crossing = jnp.where(
        events.is_buy, events.price >= look.best_ask, events.price <= look.best_bid
    )
    is_hit = (events.is_market | is_crossing) & ~events.is_cancel
    hits = jnp.stack([is_hit & ~events.is_buy, is_hit & events.is_buy])
    sizes = jnp.stack([book.bids.size, book.asks.size])
    num_slots = sizes.shape[-1]

    def is_short(now: tuple[Array, Array]) -> Array:
        return (now[1] > 0).any()

    def take(now: tuple[Array, Array]) -> tuple[Array, Array]:
        count, left = now
        front = jnp.take_along_axis(sizes, jnp.minimum(count, num_slots - 1)[:, None], 1)[:, 0]
        is_over = count + 1 >= num_slots
        return count + (left > 0), jnp.where(is_over, 0, left - front)

    taken = jnp.where(hits, events.size, 0).sum(-1)
    count: Array = jax.lax.while_loop(is_short, take, (jnp.zeros(2, jnp.int32), taken))[0]
    return count
