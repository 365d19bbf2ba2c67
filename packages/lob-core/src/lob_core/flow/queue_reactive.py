"""Order flow whose rates depend on the sizes of the queues around a reference price."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.flow.base import as_float
from lob_core.flow.composing import (
    Events,
    Look,
    compose,
    is_background,
    num_spare_draws,
    wait_from_uniform,
)
from lob_core.flow.draws import SIZE_TABLE_LENGTH, find_in_sums, running_sum, size_from_uniform
from lob_core.flow.queue_params import QueueReactiveParams, QueueReactiveState
from lob_core.flow.queue_sizes import (
    differences,
    draw_queues,
    law_table,
    opening_side,
    size_bins,
    stationary_law,
)
from lob_core.types import (
    NO_ORDER,
    Array,
    BookConfig,
    BookState,
    Message,
    Orders,
    Side,
    zero_counters,
)


@dataclasses.dataclass(frozen=True)
class QueueReactive:
    """Model I of Huang, Lehalle and Rosenbaum: queues that react to their own size.

    Between moves of the reference price limit orders arrive and single orders leave each queue at
    rates given by its size and distance, and market orders hit the best queue of a side at the
    rate of its size and distance, if that is at most `K`. With orders of one unit each queue is a
    birth-death chain of its own.
    When the mid has moved since the last look, the reference price moves as far the same way,
    rounded up to whole ticks, with probability `move_probability`; it always lies between the
    best quotes. When it has moved, the book is drawn anew with probability `redraw_probability`:
    the next messages, which take no time, first add the orders that its `K` queues lack and then
    take away those that they have too many.

    With more than one message a look, rates and reference price stay those of the look for all of
    them, and cancels are chosen as in `ZeroIntelligence`; the messages that a look does not need
    to finish a new book are `NOOP`. Agents' orders count in the sizes of queues; they are never
    cancelled.

    Departures from the paper: market orders hit the best queue only, as its model II has it; the
    reference price follows a mid that jumps by several ticks all the way, and not by one tick,
    for books with gaps; orders may be larger or smaller than a unit; cancels have a rate per order,
    so that long queues end; a queue that comes into view when the reference price moves holds what
    rests there instead of a draw from its law.

    Attributes:
        num_levels: `K`, distances at which limit orders arrive.
        num_sizes: `B`, bins of the size of a queue.
        refresh_every: messages that `simulate` draws from one look at the book; 1 is exact.
        redraw_probability: that the book is drawn anew when the reference price has moved, the
            paper's `theta^reinit`; at 0 that costs nothing.

    Raises:
        ValueError: if a field is out of range.

    References:
        Huang, Lehalle, Rosenbaum (2015), Simulating and analyzing order book data: the
        queue-reactive model, Journal of the American Statistical Association 110(509), sections
        2.2 and 3.
    """

    num_levels: int = 5
    num_sizes: int = 21
    refresh_every: int = 1
    redraw_probability: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("num_levels", 1), ("num_sizes", 2), ("refresh_every", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"QueueReactive.{name} is {value!r}; it must be an int >= {least}")
        value = self.redraw_probability
        if not 0 <= value <= 1:
            raise ValueError(f"QueueReactive.redraw_probability is {value!r}; it must be in [0, 1]")

    def default_params(self) -> QueueReactiveParams:
        """A liquid market of the shapes found in the paper's figures, with rates of our own.

        Limit orders join short queues most eagerly, except at the best quote; cancels grow with
        the queue and level off; market orders prefer short queues. Every size up to `B - 1` has a
        bin. Spread of 1-3 ticks, prices about 10,000 ticks, orders of 100 shares.
        """
        distance = np.arange(1, self.num_levels + 1)[:, None]
        size = np.arange(self.num_sizes)
        limit = as_float(2.0 * distance**-0.3 * np.exp(-0.03 * size))
        cancel = as_float((0.35 - 0.15 * (distance == 1)) / (1 + 0.02 * size) * (size > 0))
        market = as_float(np.broadcast_to(0.9 * np.exp(-0.05 * size) * (size > 0), limit.shape))
        floor = jnp.asarray(size, jnp.int32)
        return QueueReactiveParams(
            limit_rate=limit,
            cancel_rate=cancel,
            market_rate=market,
            size_floor=floor,
            queue_size=law_table(stationary_law(limit, cancel, market, floor, self.num_sizes)),
            event_size=jnp.full(self.num_levels, 100, jnp.int32),
            limit_size=jnp.full(SIZE_TABLE_LENGTH, 100, jnp.int32),
            market_size=jnp.full(SIZE_TABLE_LENGTH, 100, jnp.int32),
            far_cancel_rate=as_float(0.1),
            move_probability=as_float(0.7),
            opening_price=jnp.int32(10_000),
            opening_time_s=jnp.int32(34_200),
        )

    def opening(
        self, key: Array, params: QueueReactiveParams, config: BookConfig
    ) -> tuple[BookState, QueueReactiveState]:
        """A random book whose queues have the laws of `queue_size`.

        The best level of a side that would be empty holds one unit at the farthest distance.

        Args:
            key: PRNG key, consumed.
            params: the model's parameters.
            config: shapes; orders beyond `num_slots` a side are left out, the farthest first.

        Returns:
            A book with leaves `[N]` and the state at `opening_time_s`.
        """
        reference = jnp.asarray(params.opening_price, jnp.int32)
        uniform = jax.random.uniform(key, (2, self.num_levels))
        drawn = draw_queues(uniform, params.queue_size)
        bids, num_bids = opening_side(drawn[0], params.event_size, config, Side.BID, reference)
        asks, num_asks = opening_side(drawn[1], params.event_size, config, Side.ASK, reference + 1)
        asks = asks.replace(order_id=jnp.where(asks.size > 0, asks.order_id + num_bids, NO_ORDER))
        state = QueueReactiveState(
            time_s=jnp.asarray(params.opening_time_s, jnp.int32),
            time_ns=jnp.int32(0),
            next_order_id=1 + num_bids + num_asks,
            reference=reference,
            mid_half_ticks=bids.price[0] + asks.price[0],
            is_redrawing=jnp.bool_(False),
            drawn=drawn,
        )
        return BookState(bids=bids, asks=asks, counters=zero_counters()), state

    def sample(
        self,
        key: Array,
        book: BookState,
        state: QueueReactiveState,
        params: QueueReactiveParams,
        num_messages: int,
    ) -> tuple[Message, QueueReactiveState]:
        """The next messages, all drawn from one look at the book.

        Args:
            key: PRNG key, consumed.
            book: one book, leaves `[N]`.
            state: state of the model.
            params: its parameters; the rates must not all be zero.
            num_messages: `M`, static.

        Returns:
            Messages `[M]` of types `SUBMIT`, `MARKET`, `DELETE` (and `NOOP`, see the class), and
            the new state.
        """
        levels = self.num_levels
        num_draws = 4 * num_messages + num_spare_draws(num_messages)
        num_redraws = 1 + 2 * levels if self.redraw_probability else 0
        uniform = jax.random.uniform(key, (num_draws + 1 + num_redraws,))
        for_redraw = uniform[num_draws + 1 :]
        state = self._follow(uniform[num_draws], for_redraw, book, state, params)
        rates, cancel_rate = self.rates(book, state, params)
        sums = running_sum(jnp.append(rates, cancel_rate.sum()))
        # Rates are those of limit buys and sells by distance, market buys, market sells, cancels.
        kind = find_in_sums(sums[:-1], uniform[:num_messages] * sums[-1])
        wait_s = wait_from_uniform(uniform[num_messages : 2 * num_messages], sums[-1])
        for_size = uniform[2 * num_messages : 3 * num_messages]
        limit_size = size_from_uniform(for_size, params.limit_size)
        if self.redraw_probability:
            lacking, excess = _differences(book, state, params)
            is_redrawing = state.is_redrawing & (lacking.sum() + excess.sum() > 0)
            turn = find_in_sums(running_sum(lacking), jnp.arange(num_messages) + 0.5)
            turn = jnp.where(turn < 2 * levels, turn, rates.shape[0])
            kind = jnp.where(is_redrawing, turn, kind)
            wait_s = jnp.where(is_redrawing, 0.0, wait_s)
            limit_size = jnp.where(is_redrawing, params.event_size[kind % levels], limit_size)
            cancel_rate = jnp.where(is_redrawing, excess, cancel_rate)
            state = state.replace(is_redrawing=is_redrawing)
        is_cancel = kind == rates.shape[0]
        is_market = (kind >= 2 * levels) & ~is_cancel
        is_buy = (kind < levels) | (kind == 2 * levels)
        level = kind % levels
        price = jnp.where(is_buy, state.reference - level, state.reference + 1 + level)
        market_size = size_from_uniform(for_size, params.market_size)
        events = Events(
            wait_s=wait_s,
            is_cancel=is_cancel,
            is_market=is_market,
            is_buy=is_buy,
            price=jnp.maximum(price, 1),
            size=jnp.where(is_market, market_size, limit_size),
            cancel_draw=uniform[3 * num_messages : num_draws],
        )
        look = Look(book, state.reference, state.reference + 1, cancel_rate)
        messages, clock = compose(events, look, state)
        return messages, state.replace(**clock)

    def rates(
        self, book: BookState, state: QueueReactiveState, params: QueueReactiveParams
    ) -> tuple[Array, Array]:
        """The intensities of all events given the book.

        Args:
            book: one book, leaves `[N]`.
            state: state of the model; only `reference` is read.
            params: its parameters.

        Returns:
            `[2 K + 2]` float32 per second: limit buys by distance, limit sells by distance,
            market buys, market sells; and `[2N]` float32, the cancels of each order.
        """
        bids_away, asks_away = _distances(book, state)
        bid = _side_rates(book.bids, bids_away, params)
        ask = _side_rates(book.asks, asks_away, params)
        market = jnp.stack([ask[1], bid[1]])
        return jnp.concatenate([bid[0], ask[0], market]), jnp.concatenate([bid[2], ask[2]])

    def _follow(
        self,
        for_move: Array,
        for_redraw: Array,
        book: BookState,
        state: QueueReactiveState,
        params: QueueReactiveParams,
    ) -> QueueReactiveState:
        """The state after a look at the book: its reference price, and perhaps a book to draw."""
        is_quoted = (book.bids.size[0] > 0) & (book.asks.size[0] > 0)
        best_bid, best_ask = book.bids.price[0], book.asks.price[0]
        mid = jnp.where(is_quoted, best_bid + best_ask, state.mid_half_ticks)
        move = mid - state.mid_half_ticks
        is_follower = (for_move < params.move_probability) & ~state.is_redrawing
        step = jnp.where(is_follower, jnp.sign(move) * ((jnp.abs(move) + 1) // 2), 0)
        lowest = jnp.where(book.bids.size[0] > 0, best_bid, 1)
        highest = jnp.where(book.asks.size[0] > 0, best_ask - 1, np.iinfo(np.int32).max)
        reference = jnp.clip(state.reference + step, lowest, highest)
        changes = {"reference": reference, "mid_half_ticks": mid}
        if self.redraw_probability:
            is_new = (reference != state.reference) & ~state.is_redrawing
            is_new &= for_redraw[0] < self.redraw_probability
            drawn = draw_queues(for_redraw[1:].reshape(2, -1), params.queue_size)
            is_a_price = reference - np.arange(self.num_levels) >= 1
            drawn = drawn.at[0].set(jnp.where(is_a_price, drawn[0], 0))
            changes["drawn"] = jnp.where(is_new, drawn, state.drawn)
            changes["is_redrawing"] = state.is_redrawing | is_new
        return state.replace(**changes)


def _distances(book: BookState, state: QueueReactiveState) -> tuple[Array, Array]:
    """`[N]` int32, distances less one of bids and of asks from the reference price."""
    return state.reference - book.bids.price, book.asks.price - state.reference - 1


def _side_rates(
    orders: Orders, level: Array, params: QueueReactiveParams
) -> tuple[Array, Array, Array]:
    """Rates of limit orders `[K]`, of market orders that hit this side `[]`, of cancels `[N]`."""
    num_levels = params.limit_rate.shape[0]
    levels = jnp.arange(num_levels)
    is_here = (level == levels[:, None]) & (orders.size > 0)
    shares = jnp.where(is_here, orders.size, 0).sum(-1)
    cell = size_bins(params.size_floor, -(-shares // params.event_size))
    near = params.cancel_rate[levels, cell][jnp.clip(level, 0, num_levels - 1)]
    cancel = jnp.where(level < num_levels, near, params.far_cancel_rate)
    best = jnp.clip(level[0], 0, num_levels - 1)
    market = params.market_rate[best, cell[best]]
    is_hit = (orders.size[0] > 0) & (cell[best] > 0)
    return (
        params.limit_rate[levels, cell],
        jnp.where(is_hit, market, 0.0),
        jnp.where(is_background(orders), cancel, 0.0),
    )


def _differences(
    book: BookState, state: QueueReactiveState, params: QueueReactiveParams
) -> tuple[Array, Array]:
    """`[2 K]` orders that the queues of bids and asks lack, `[2N]` those that are too many."""
    wanted = state.drawn * params.event_size
    sides = zip((book.bids, book.asks), _distances(book, state), wanted, strict=True)
    bids, asks = (differences(*side, params.event_size) for side in sides)
    return jnp.concatenate([bids[0], asks[0]]), jnp.concatenate([bids[1], asks[1]])
