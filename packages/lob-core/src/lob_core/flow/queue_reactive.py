"""Order flow whose rates depend on the sizes of the queues around a reference price."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.flow.base import FlowState, as_float
from lob_core.flow.composing import (
    Events,
    Look,
    compose,
    is_background,
    num_spare_draws,
    wait_from_uniform,
)
from lob_core.flow.draws import find_in_sums, running_sum
from lob_core.types import (
    BACKGROUND_AGENT,
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookConfig,
    BookState,
    Message,
    Orders,
    Replaceable,
    Side,
    pytree_dataclass,
    zero_counters,
)


@pytree_dataclass
class QueueReactiveParams(Replaceable):
    """Intensities by distance `i = 1 .. K` (row `i - 1`) and queue size `n = 0 .. B - 1` (column).

    The queue at distance `i` rests at the price `i - 1/2` ticks from the reference price, bids
    below and asks above; both sides have the same parameters. It holds `n` units: its shares
    divided by `event_size`, rounded up; the last column is for that many units or more. All rates
    are per second and belong to the whole queue.

    Attributes:
        limit_rate: `[K, B]` float32, limit orders that join the queue.
        cancel_rate: `[K, B]` float32, cancels of one of its orders; column 0 is not read.
        market_rate: `[K, B]` float32, market orders that hit the queue while it is the best of
            its side; column 0 is not read.
        event_size: `[K]` int32, shares of one unit, the size of every order at that distance.
        far_cancel_rate: `[]` float32, cancels of each order farther away than `K`.
        move_probability: `[]` float32, that the reference price follows a move of the mid.
        opening_price: `[]` int32, ticks, the best bid of opening books that have no empty queue.
        opening_time_s: `[]` int32, seconds since midnight.
    """

    limit_rate: Array
    cancel_rate: Array
    market_rate: Array
    event_size: Array
    far_cancel_rate: Array
    move_probability: Array
    opening_price: Array
    opening_time_s: Array


@pytree_dataclass
class QueueReactiveState(FlowState):
    """Adds the reference price and the mid last seen.

    Attributes:
        reference: `[]` int32, ticks; the reference price is half a tick above it.
        mid_half_ticks: `[]` int32, best bid plus best ask of the last look.
    """

    reference: Array
    mid_half_ticks: Array


@dataclasses.dataclass(frozen=True)
class QueueReactive:
    """Model I of Huang, Lehalle and Rosenbaum: queues that react to their own size.

    Between moves of the reference price each queue is a birth-death chain of its own: limit
    orders of one unit arrive and single orders leave at rates given by its size and distance, and
    market orders of one unit hit the best queue of a side at the rate of its size and distance,
    if that is at most `K`.
    When the mid has moved since the last look, the reference price moves one tick the same way
    with probability `move_probability`; it always lies between the best quotes.

    With more than one message a look, rates and reference price stay those of the look for all of
    them, and cancels are chosen as in `ZeroIntelligence`. Agents' orders count in the sizes of
    queues; they are never cancelled.

    Departures from the paper: market orders hit the best queue only, as its model II has it; a
    queue that comes into view when the reference price moves holds what rests there instead of a
    draw from its stationary law; and the book is not redrawn as a whole after such a move (that
    is, the paper's `theta^reinit` is zero).

    Attributes:
        num_levels: `K`, distances at which limit orders arrive.
        num_sizes: `B`, sizes of a queue told apart, of which the last is "or more".
        refresh_every: messages that `simulate` draws from one look at the book; 1 is exact.

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

    def __post_init__(self) -> None:
        for name, least in (("num_levels", 1), ("num_sizes", 2), ("refresh_every", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"QueueReactive.{name} is {value!r}; it must be an int >= {least}")

    def default_params(self) -> QueueReactiveParams:
        """A liquid market of the shapes found in the paper's figures, with rates of our own.

        Limit orders join short queues most eagerly, except at the best quote; cancels grow with
        the queue and level off; market orders prefer short queues. Spread of 1-3 ticks, prices
        about 10,000 ticks, orders of 100 shares.
        """
        distance = np.arange(1, self.num_levels + 1)[:, None]
        size = np.arange(self.num_sizes)
        limit = 2.0 * distance**-0.3 * np.exp(-0.03 * size)
        cancel = (0.35 - 0.15 * (distance == 1)) * size / (1 + 0.02 * size)
        market = np.broadcast_to(0.9 * np.exp(-0.05 * size), limit.shape)
        return QueueReactiveParams(
            limit_rate=as_float(limit),
            cancel_rate=as_float(cancel),
            market_rate=as_float(market * (size > 0)),
            event_size=jnp.full(self.num_levels, 100, jnp.int32),
            far_cancel_rate=as_float(0.1),
            move_probability=as_float(0.7),
            opening_price=jnp.int32(10_000),
            opening_time_s=jnp.int32(34_200),
        )

    def opening(
        self, key: Array, params: QueueReactiveParams, config: BookConfig
    ) -> tuple[BookState, QueueReactiveState]:
        """A random book whose queues have the stationary laws of `stationary_law`.

        The best level of a side that would be empty holds one unit at the farthest distance.

        Args:
            key: PRNG key, consumed.
            params: the model's parameters.
            config: shapes; orders beyond `num_slots` a side are left out, the farthest first.

        Returns:
            A book with leaves `[N]` and the state at `opening_time_s`.
        """
        reference = jnp.asarray(params.opening_price, jnp.int32)
        law = stationary_law(params)
        uniform = jax.random.uniform(key, (2, self.num_levels))
        counts = (uniform[..., None] >= jnp.cumsum(law, axis=-1)).sum(-1, dtype=jnp.int32)
        counts = jnp.minimum(counts, self.num_sizes - 1)
        is_empty = counts.sum(-1, keepdims=True) == 0
        counts = jnp.where(
            is_empty & (jnp.arange(self.num_levels) == self.num_levels - 1), 1, counts
        )
        bids, num_bids = _opening_side(counts[0], params, config, Side.BID, reference)
        asks, num_asks = _opening_side(counts[1], params, config, Side.ASK, reference + 1)
        asks = asks.replace(order_id=jnp.where(asks.size > 0, asks.order_id + num_bids, NO_ORDER))
        state = QueueReactiveState(
            time_s=jnp.asarray(params.opening_time_s, jnp.int32),
            time_ns=jnp.int32(0),
            next_order_id=1 + num_bids + num_asks,
            reference=reference,
            mid_half_ticks=bids.price[0] + asks.price[0],
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
        num_draws = 3 * num_messages + num_spare_draws(num_messages)
        uniform = jax.random.uniform(key, (num_draws + 1,))
        state = _follow(uniform[-1], book, state, params)
        rates, cancel_rate = self.rates(book, state, params)
        sums = running_sum(jnp.append(rates, cancel_rate.sum()))
        # Rates are those of limit buys and sells by distance, market buys, market sells, cancels.
        kind = find_in_sums(sums[:-1], uniform[:num_messages] * sums[-1])
        levels = self.num_levels
        is_cancel = kind == rates.shape[0]
        is_market = (kind >= 2 * levels) & ~is_cancel
        is_buy = (kind < levels) | (kind == 2 * levels)
        level = kind % levels
        price = jnp.where(is_buy, state.reference - level, state.reference + 1 + level)
        best_bid, best_ask = _best_levels(book, state, levels)
        hit_level = jnp.where(is_buy, best_ask, best_bid)
        events = Events(
            wait_s=wait_from_uniform(uniform[num_messages : 2 * num_messages], sums[-1]),
            is_cancel=is_cancel,
            is_market=is_market,
            is_buy=is_buy,
            price=jnp.maximum(price, 1),
            size=params.event_size[jnp.where(is_market, hit_level, level)],
            cancel_draw=uniform[2 * num_messages : num_draws],
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
        best_bid, best_ask = _best_levels(book, state, self.num_levels)
        bid = _side_rates(book.bids, state.reference - book.bids.price, best_bid, params)
        ask = _side_rates(book.asks, book.asks.price - state.reference - 1, best_ask, params)
        market = jnp.stack([ask[1], bid[1]])
        return jnp.concatenate([bid[0], ask[0], market]), jnp.concatenate([bid[2], ask[2]])


def stationary_law(params: QueueReactiveParams) -> Array:
    """The law of each queue's size while the reference price stays.

    A queue is a birth-death chain, so `P(n) ~ prod_{k=1}^n limit(k - 1) / (cancel(k) +
    market(k))` (section 2.3.1 of the paper). Market orders are counted at distance 1 only, whose
    queue is the best one unless it is empty.

    Returns:
        `[K, B]` float32, each row a distribution over `0 .. B - 1` units, cut there.
    """
    is_first = np.arange(params.limit_rate.shape[0])[:, None] == 0
    deaths = params.cancel_rate + jnp.where(is_first, params.market_rate, 0.0)
    steps = jnp.log(jnp.maximum(params.limit_rate[:, :-1], 1e-30))
    steps -= jnp.log(jnp.maximum(deaths[:, 1:], 1e-30))
    logs = jnp.pad(jnp.cumsum(steps, axis=1), ((0, 0), (1, 0)))
    return jax.nn.softmax(logs, axis=1)


def _best_levels(
    book: BookState, state: QueueReactiveState, num_levels: int
) -> tuple[Array, Array]:
    """`[]` int32 each: distance less one of the best bid and ask, between 0 and `K - 1`."""
    bid = state.reference - book.bids.price[0]
    ask = book.asks.price[0] - state.reference - 1
    return jnp.clip(bid, 0, num_levels - 1), jnp.clip(ask, 0, num_levels - 1)


def _side_rates(
    orders: Orders, level: Array, best_level: Array, params: QueueReactiveParams
) -> tuple[Array, Array, Array]:
    """Rates of limit orders `[K]`, of market orders that hit this side `[]`, of cancels `[N]`."""
    num_levels, num_sizes = params.limit_rate.shape
    levels = jnp.arange(num_levels)
    is_here = (level == levels[:, None]) & (orders.size > 0)
    shares = jnp.where(is_here, orders.size, 0).sum(-1)
    units = jnp.minimum(-(-shares // params.event_size), num_sizes - 1)
    is_ours = is_background(orders)
    num_ours = jnp.where(is_here & is_ours, 1.0, 0.0).sum(-1)
    each = params.cancel_rate[levels, units] / jnp.maximum(num_ours, 1.0)
    near = each[jnp.clip(level, 0, num_levels - 1)]
    cancel = jnp.where(level < num_levels, near, params.far_cancel_rate)
    market = params.market_rate[best_level, units[best_level]]
    is_hit = (orders.size[0] > 0) & (units[best_level] > 0)
    return (
        params.limit_rate[levels, units],
        jnp.where(is_hit, market, 0.0),
        jnp.where(is_ours, cancel, 0.0),
    )


def _follow(
    uniform: Array, book: BookState, state: QueueReactiveState, params: QueueReactiveParams
) -> QueueReactiveState:
    """The state with the reference price after a look at the book."""
    is_quoted = (book.bids.size[0] > 0) & (book.asks.size[0] > 0)
    best_bid, best_ask = book.bids.price[0], book.asks.price[0]
    mid = jnp.where(is_quoted, best_bid + best_ask, state.mid_half_ticks)
    step = jnp.where(uniform < params.move_probability, jnp.sign(mid - state.mid_half_ticks), 0)
    lowest = jnp.where(book.bids.size[0] > 0, best_bid, 1)
    highest = jnp.where(book.asks.size[0] > 0, best_ask - 1, np.iinfo(np.int32).max)
    reference = jnp.clip(state.reference + step, lowest, highest)
    return state.replace(reference=reference, mid_half_ticks=mid)


def _opening_side(
    counts: Array, params: QueueReactiveParams, config: BookConfig, side: Side, nearest: Array
) -> tuple[Orders, Array]:
    """One side with `[K]` orders by distance, and how many it holds."""
    slot = jnp.arange(config.num_slots, dtype=jnp.int32)
    level = (slot[:, None] >= jnp.cumsum(counts)).sum(-1, dtype=jnp.int32)
    price = nearest - side * level
    is_live = (level < counts.shape[0]) & (price >= 1)
    size = params.event_size[jnp.minimum(level, counts.shape[0] - 1)]
    orders = Orders(
        price=jnp.where(is_live, price, NO_PRICE),
        size=jnp.where(is_live, size, 0),
        order_id=jnp.where(is_live, slot + 1, NO_ORDER),
        agent_id=jnp.where(is_live, BACKGROUND_AGENT, NO_AGENT),
    )
    return orders, is_live.sum(dtype=jnp.int32)
