"""Parameters and state of the queue-reactive model."""

from __future__ import annotations

from lob_core.flow.base import FlowState
from lob_core.types import Array, Replaceable, pytree_dataclass


@pytree_dataclass
class QueueReactiveParams(Replaceable):
    """Intensities by distance `i = 1 .. K` (row `i - 1`) and size of the queue (column).

    The queue at distance `i` rests at the price `i - 1/2` ticks from the reference price, bids
    below and asks above; both sides have the same parameters. It holds `n` units: its shares
    divided by `event_size`, rounded up. Column `b` is for `size_floor[b]` units up to one less
    than `size_floor[b + 1]`, the last column for its floor and everything above. All rates are
    per second.

    Attributes:
        limit_rate: `[K, B]` float32, limit orders that join the queue.
        cancel_rate: `[K, B]` float32, cancels of each of its orders; column 0 is not read.
        market_rate: `[K, B]` float32, market orders that hit the queue while it is the best of
            its side; column 0 is not read.
        size_floor: `[B]` int32, units, ascending from 0 and 1.
        queue_size: `[K, S]` int32, units; books are drawn with queues of these, all as likely.
        event_size: `[K]` int32, shares of one unit; orders of a book that is drawn have it.
        limit_size: `[S]` int32, shares; limit orders have one of these sizes, all as likely.
        market_size: `[S]` int32, shares; likewise of market orders.
        far_cancel_rate: `[]` float32, cancels of each order farther away than `K`.
        move_probability: `[]` float32, that the reference price follows a move of the mid; the
            paper's `theta`.
        opening_price: `[]` int32, ticks, the best bid of opening books that have no empty queue.
        opening_time_s: `[]` int32, seconds since midnight.
    """

    limit_rate: Array
    cancel_rate: Array
    market_rate: Array
    size_floor: Array
    queue_size: Array
    event_size: Array
    limit_size: Array
    market_size: Array
    far_cancel_rate: Array
    move_probability: Array
    opening_price: Array
    opening_time_s: Array


@pytree_dataclass
class QueueReactiveState(FlowState):
    """Adds the reference price, the mid last seen, and the book that is being drawn anew.

    Attributes:
        reference: `[]` int32, ticks; the reference price is half a tick above it.
        mid_half_ticks: `[]` int32, best bid plus best ask of the last look.
        is_redrawing: `[]` bool, whether messages still turn the book into the one drawn.
        drawn: `[2, K]` int32, units of the bids and asks of the book last drawn.
    """

    reference: Array
    mid_half_ticks: Array
    is_redrawing: Array
    drawn: Array
