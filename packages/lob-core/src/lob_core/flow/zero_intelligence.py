"""Zero-intelligence order flow: independent Poisson streams of limit, market and cancel orders."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

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
from lob_core.flow.draws import (
    count_at_most,
    geometric_sizes,
    index_from_uniform,
    poisson_counts,
    running_sum,
    size_from_uniform,
)
from lob_core.flow.zero_params import (
    DEFAULT_CANCEL_RATES,
    DEFAULT_MARKET_RATE,
    ZeroIntelligenceParams,
    ZeroIntelligenceState,
    default_limit_rates,
)
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
    Side,
    zero_counters,
)

_LIMIT_BUY, _LIMIT_SELL, _MARKET_BUY, _MARKET_SELL, _CANCEL = range(5)
_MOST_ORDERS = 31
"""Orders that a level of an opening book can hold."""

_StateT = TypeVar("_StateT", bound=ZeroIntelligenceState)


@dataclasses.dataclass(frozen=True)
class ZeroIntelligence:
    """The model of Cont, Stoikov and Talreja, with random instead of constant sizes.

    Limit orders arrive at a distance of `i` ticks from the opposite best quote with rate
    `lambda(i)`, market orders with rate `mu`, and each resting order at that distance is
    cancelled with rate `theta(i)`; all streams are independent and Poisson given the book, so
    waits between messages are exponential with the total rate.

    With `refresh_every` above 1, or several messages from one `sample`, rates and reference
    prices stay those of the look for all of its messages. Cancels of one look then name distinct
    orders, none of which the look's market orders can reach; a cancel for which no order is left
    becomes a `NOOP`. Orders of agents are never cancelled.

    Attributes:
        num_levels: `L`, distances in ticks at which limit orders arrive.
        refresh_every: messages that `simulate` draws from one look at the book; 1 is exact.

    Raises:
        ValueError: if a field is below 1.

    References:
        Cont, Stoikov, Talreja (2010), A stochastic model for order book dynamics, Operations
        Research 58(3), section 2. The default rates of market orders and of cancels at distances
        1-5 are those of its table 1, limit orders follow its power law `1.92 i^-0.52`. Farther
        orders are more patient than any there (0.1 per second), so that no side runs empty.
    """

    num_levels: int = 10
    refresh_every: int = 1

    def __post_init__(self) -> None:
        for name in ("num_levels", "refresh_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"ZeroIntelligence.{name} is {value!r}; it must be an int >= 1")

    def default_params(self) -> ZeroIntelligenceParams:
        """A liquid market: spread of 1-3 ticks, mid near 10,000 ticks, 1.5 lots of 100 an order."""
        listed = np.array(DEFAULT_CANCEL_RATES)
        level = np.minimum(np.arange(self.num_levels), listed.size - 1)
        return ZeroIntelligenceParams(
            limit_rate=as_float(default_limit_rates(self.num_levels)),
            cancel_rate=as_float(listed[level]),
            market_rate=as_float(DEFAULT_MARKET_RATE),
            limit_size=geometric_sizes(100, 1.5),
            market_size=geometric_sizes(100, 1.5),
            opening_price=jnp.int32(10_000),
            opening_time_s=jnp.int32(34_200),
        )

    def opening(
        self, key: Array, params: ZeroIntelligenceParams, config: BookConfig
    ) -> tuple[BookState, ZeroIntelligenceState]:
        """A random book near the stationary one.

        The spread is 1 tick with probability 3/4, else 2. At each farther distance the number of
        orders is Poisson with mean `lambda(i) / theta(i)`, which is the stationary law of a queue
        that no market order reaches; the best level holds at least one order.

        Args:
            key: PRNG key, consumed.
            params: the model's parameters.
            config: shapes; orders beyond `num_slots` a side are left out, the farthest first.

        Returns:
            A book with leaves `[N]` and the state at `opening_time_s`.
        """
        key_spread, key_bid, key_ask = jax.random.split(key, 3)
        spread = 1 + jax.random.bernoulli(key_spread, 0.25).astype(jnp.int32)
        best_ask = params.opening_price + 1
        best_bid = best_ask - spread
        bids, num_bids = self._opening_side(key_bid, params, config, Side.BID, spread, best_ask)
        asks, num_asks = self._opening_side(key_ask, params, config, Side.ASK, spread, best_bid)
        asks = asks.replace(order_id=jnp.where(asks.size > 0, asks.order_id + num_bids, NO_ORDER))
        state = ZeroIntelligenceState(
            time_s=jnp.asarray(params.opening_time_s, jnp.int32),
            time_ns=jnp.int32(0),
            next_order_id=1 + num_bids + num_asks,
            last_bid=best_bid,
            last_ask=best_ask,
        )
        return BookState(bids=bids, asks=asks, counters=zero_counters()), state

    def _opening_side(
        self,
        key: Array,
        params: ZeroIntelligenceParams,
        config: BookConfig,
        side: Side,
        spread: Array,
        opposite_best: Array,
    ) -> tuple[Orders, Array]:
        """Orders at distances `spread .. L` from the opposite best, and how many they are."""
        key_count, key_size = jax.random.split(key)
        distance = jnp.arange(1, self.num_levels + 1, dtype=jnp.int32)
        spread = jnp.minimum(spread, self.num_levels)
        counts = poisson_counts(key_count, params.limit_rate / params.cancel_rate, _MOST_ORDERS)
        counts = jnp.where(distance < spread, 0, counts)
        counts = jnp.where(distance == spread, jnp.maximum(counts, 1), counts)
        slot = jnp.arange(config.num_slots, dtype=jnp.int32)
        level = (slot[:, None] >= jnp.cumsum(counts)).sum(-1, dtype=jnp.int32)
        price = opposite_best - side * (level + 1)
        is_live = (level < self.num_levels) & (price >= 1)
        uniform = jax.random.uniform(key_size, (config.num_slots,))
        sizes = size_from_uniform(uniform, params.limit_size)
        orders = Orders(
            price=jnp.where(is_live, price, NO_PRICE),
            size=jnp.where(is_live, sizes, 0),
            order_id=jnp.where(is_live, slot + 1, NO_ORDER),
            agent_id=jnp.where(is_live, BACKGROUND_AGENT, NO_AGENT),
        )
        return orders, is_live.sum(dtype=jnp.int32)

    def sample(
        self,
        key: Array,
        book: BookState,
        state: ZeroIntelligenceState,
        params: ZeroIntelligenceParams,
        num_messages: int,
    ) -> tuple[Message, ZeroIntelligenceState]:
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
        spare = num_spare_draws(num_messages)
        uniform = jax.random.uniform(key, (3 * num_messages + spare,))
        for_kind, for_wait = uniform[:num_messages], uniform[num_messages : 2 * num_messages]
        look = self.look(book, state, params)
        rates = jnp.append(self.arrival_rates(params), look.cancel_rate.sum())
        sums = running_sum(rates)
        target = for_kind * sums[-1]
        kind = count_at_most(sums[:-1], target)
        within = (target - (sums - rates)[kind]) / rates[kind]
        wait_s = wait_from_uniform(for_wait, sums[-1])
        return self.compose(kind, wait_s, within, uniform[2 * num_messages :], look, state, params)

    def arrival_rates(self, params: ZeroIntelligenceParams) -> Array:
        """`[4]` float32, per second: limit buys and sells, market buys and sells."""
        limit_rate = params.limit_rate.sum()
        return jnp.stack([limit_rate, limit_rate, params.market_rate, params.market_rate])

    def compose(
        self,
        kind: Array,
        wait_s: Array,
        for_level: Array,
        for_rest: Array,
        look: Look,
        state: _StateT,
        params: ZeroIntelligenceParams,
    ) -> tuple[Message, _StateT]:
        """Messages of given kinds and waits, with prices, sizes and orders to cancel.

        Args:
            kind: `[M]` int32, 0 to 4: limit buy, limit sell, market buy, market sell, cancel.
            wait_s: `[M]` float32, seconds from each message to the one before.
            for_level: `[M]` float32 uniform numbers, which give distances.
            for_rest: `[M + S]` float32 uniform numbers, `S` as `num_spare_draws` says, which give
                sizes of orders and slots of cancels.
            look: the book as the model sees it.
            state: state of the model.
            params: its parameters.

        Returns:
            Messages `[M]` and the new state.
        """
        events = self.events(kind, wait_s, for_level, for_rest, look, params)
        messages, clock = compose(events, look, state)
        return messages, state.replace(**clock, last_bid=look.best_bid, last_ask=look.best_ask)

    def events(
        self,
        kind: Array,
        wait_s: Array,
        for_level: Array,
        for_rest: Array,
        look: Look,
        params: ZeroIntelligenceParams,
    ) -> Events:
        """What the messages of `compose`, whose arguments these are, stand for."""
        is_limit = kind < _MARKET_BUY
        is_buy = (kind == _LIMIT_BUY) | (kind == _MARKET_BUY)
        distance = 1 + index_from_uniform(for_level, params.limit_rate)
        price = jnp.where(is_buy, look.best_ask - distance, look.best_bid + distance)
        for_size = for_rest[: kind.shape[0]]
        limit_size = size_from_uniform(for_size, params.limit_size)
        market_size = size_from_uniform(for_size, params.market_size)
        return Events(
            wait_s=wait_s,
            is_cancel=kind == _CANCEL,
            is_market=(kind == _MARKET_BUY) | (kind == _MARKET_SELL),
            is_buy=is_buy,
            price=jnp.maximum(price, 1),
            size=jnp.where(is_limit, limit_size, market_size),
            cancel_draw=for_rest,
        )

    def look(
        self, book: BookState, state: ZeroIntelligenceState, params: ZeroIntelligenceParams
    ) -> Look:
        """The book with the rate at which each order is cancelled."""
        best_bid = jnp.where(book.bids.size[0] > 0, book.bids.price[0], state.last_bid)
        best_ask = jnp.where(book.asks.size[0] > 0, book.asks.price[0], state.last_ask)

        def rates(orders: Orders, distance: Array) -> Array:
            rate = params.cancel_rate[jnp.clip(distance, 1, self.num_levels) - 1]
            return jnp.where(is_background(orders), rate, 0.0)

        bid_rates = rates(book.bids, best_ask - book.bids.price)
        ask_rates = rates(book.asks, book.asks.price - best_bid)
        return Look(book, best_bid, best_ask, jnp.concatenate([bid_rates, ask_rates]))
