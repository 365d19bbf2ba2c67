"""Zero-intelligence order flow: independent Poisson streams of limit, market and cancel orders."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lob_core.flow.base import (
    FlowState,
    advance_clock,
    as_float,
    number_orders,
    sample_index,
    sample_sizes,
)
from lob_core.types import (
    BACKGROUND_AGENT,
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookConfig,
    BookState,
    EventType,
    Message,
    Orders,
    Replaceable,
    Side,
    TimeInForce,
    pytree_dataclass,
    zero_counters,
)

_LIMIT_BUY, _LIMIT_SELL, _MARKET_BUY, _MARKET_SELL, _CANCEL = range(5)
_DEFAULT_CANCEL_RATES = (0.71, 0.81, 0.68, 0.56, 0.47, 0.10)


@pytree_dataclass
class ZeroIntelligenceParams(Replaceable):
    """Rates are per second and side; `L` is the model's `num_levels`.

    Attributes:
        limit_rate: `[L]` float32, limit orders at a distance of 1, 2, ... ticks from the best
            quote of the opposite side.
        cancel_rate: `[L]` float32, cancels per resting order by the same distance; orders farther
            away use the last.
        market_rate: `[]` float32, market orders.
        lot_size: `[]` int32, shares of one lot.
        limit_mean_lots: `[]` float32, mean lots of a limit order (geometric, `sample_sizes`).
        market_mean_lots: `[]` float32, mean lots of a market order.
        opening_price: `[]` int32, ticks, about where the first mid lies.
        opening_time_s: `[]` int32, seconds since midnight.
    """

    limit_rate: Array
    cancel_rate: Array
    market_rate: Array
    lot_size: Array
    limit_mean_lots: Array
    market_mean_lots: Array
    opening_price: Array
    opening_time_s: Array


@pytree_dataclass
class ZeroIntelligenceState(FlowState):
    """Adds the best quotes last seen, to which a side that has run empty refers.

    Attributes:
        last_bid: `[]` int32, ticks.
        last_ask: `[]` int32, ticks.
    """

    last_bid: Array
    last_ask: Array


class Look(NamedTuple):
    """The book as the model sees it: bids then asks, `[2N]`, and the reference prices, `[]`."""

    price: Array
    size: Array
    order_id: Array
    cancel_rate: Array  # per second, zero for free slots and agents' orders
    best_bid: Array
    best_ask: Array


@dataclasses.dataclass(frozen=True)
class ZeroIntelligence:
    """The model of Cont, Stoikov and Talreja, with geometric instead of constant sizes.

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
        """A liquid market: spread of 1-3 ticks, mid near 10,000 ticks, lots of 100 shares."""
        distance = jnp.arange(1, self.num_levels + 1)
        listed = as_float(_DEFAULT_CANCEL_RATES)
        return ZeroIntelligenceParams(
            limit_rate=1.92 * distance**-0.52,
            cancel_rate=listed[jnp.minimum(distance, listed.shape[0]) - 1],
            market_rate=as_float(0.94),
            lot_size=jnp.int32(100),
            limit_mean_lots=as_float(1.5),
            market_mean_lots=as_float(1.5),
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
        counts = _poisson(key_count, params.limit_rate / params.cancel_rate)
        counts = jnp.where(distance < spread, 0, counts)
        counts = jnp.where(distance == spread, jnp.maximum(counts, 1), counts)
        slot = jnp.arange(config.num_slots, dtype=jnp.int32)
        level = (slot[:, None] >= jnp.cumsum(counts)).sum(-1, dtype=jnp.int32)
        price = opposite_best - side * (level + 1)
        is_live = (level < self.num_levels) & (price >= 1)
        sizes = sample_sizes(key_size, params.lot_size, params.limit_mean_lots, config.num_slots)
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
        key_kind, key_wait, key_rest = jax.random.split(key, 3)
        look = self.look(book, state, params)
        rates = jnp.append(self.arrival_rates(params), look.cancel_rate.sum())
        kind = sample_index(key_kind, rates, num_messages)
        waits_s = jax.random.exponential(key_wait, (num_messages,)) / rates.sum()
        return self.compose(key_rest, kind, waits_s, look, state, params)

    def arrival_rates(self, params: ZeroIntelligenceParams) -> Array:
        """`[4]` float32, per second: limit buys and sells, market buys and sells."""
        limit_rate = params.limit_rate.sum()
        return jnp.stack([limit_rate, limit_rate, params.market_rate, params.market_rate])

    def compose(
        self,
        key: Array,
        kind: Array,
        waits_s: Array,
        look: Look,
        state: ZeroIntelligenceState,
        params: ZeroIntelligenceParams,
    ) -> tuple[Message, ZeroIntelligenceState]:
        """Messages of given kinds and waits: draws prices, sizes and the orders to cancel.

        Args:
            key: PRNG key, consumed.
            kind: `[M]` int32, 0 to 4: limit buy, limit sell, market buy, market sell, cancel.
            waits_s: `[M]` float32, seconds from each message to the one before.
            look: the book as the model sees it.
            state: state of the model.
            params: its parameters.

        Returns:
            Messages `[M]` and the new state.
        """
        num_messages = kind.shape[0]
        best_bid, best_ask = look.best_bid, look.best_ask
        key_level, key_size, key_cancel = jax.random.split(key, 3)
        time_s, time_ns = advance_clock(state.time_s, state.time_ns, waits_s)

        is_limit = (kind == _LIMIT_BUY) | (kind == _LIMIT_SELL)
        is_market = (kind == _MARKET_BUY) | (kind == _MARKET_SELL)
        is_buy = (kind == _LIMIT_BUY) | (kind == _MARKET_BUY)
        distance = 1 + sample_index(key_level, params.limit_rate, num_messages)
        price = jnp.maximum(jnp.where(is_buy, best_ask - distance, best_bid + distance), 1)
        mean_lots = jnp.where(is_limit, params.limit_mean_lots, params.market_mean_lots)
        size = sample_sizes(key_size, params.lot_size, mean_lots, num_messages)

        is_cancel = kind == _CANCEL
        slot, is_possible = _choose_cancels(
            key_cancel,
            look,
            is_cancel,
            bought=jnp.where(kind == _MARKET_BUY, size, 0).sum(),
            sold=jnp.where(kind == _MARKET_SELL, size, 0).sum(),
        )
        ids, next_order_id = number_orders(state.next_order_id, ~is_cancel)
        is_bid = jnp.where(is_cancel, slot < look.size.shape[0] // 2, is_buy)
        event_type = jnp.where(is_limit, EventType.SUBMIT, EventType.MARKET)
        event_type = jnp.where(is_cancel, EventType.DELETE, event_type)
        messages = Message(
            event_type=jnp.where(is_cancel & ~is_possible, EventType.NOOP, event_type),
            side=jnp.where(is_bid, Side.BID, Side.ASK),
            price=jnp.where(is_cancel, look.price[slot], jnp.where(is_market, NO_PRICE, price)),
            size=jnp.where(is_cancel, look.size[slot], size),
            order_id=jnp.where(is_cancel, look.order_id[slot], ids),
            agent_id=jnp.full(num_messages, BACKGROUND_AGENT, jnp.int32),
            time_in_force=jnp.full(num_messages, TimeInForce.GTC, jnp.int32),
            time_s=time_s,
            time_ns=time_ns,
        )
        messages = jax.tree.map(lambda x: x.astype(jnp.int32), messages)
        return messages, ZeroIntelligenceState(
            time_s=time_s[-1],
            time_ns=time_ns[-1],
            next_order_id=next_order_id,
            last_bid=best_bid,
            last_ask=best_ask,
        )

    def look(
        self, book: BookState, state: ZeroIntelligenceState, params: ZeroIntelligenceParams
    ) -> Look:
        """Both sides in a row, with the rate at which each order is cancelled."""
        best_bid = jnp.where(book.bids.size[0] > 0, book.bids.price[0], state.last_bid)
        best_ask = jnp.where(book.asks.size[0] > 0, book.asks.price[0], state.last_ask)
        distance = jnp.concatenate([best_ask - book.bids.price, book.asks.price - best_bid])
        both = jax.tree.map(lambda b, a: jnp.concatenate([b, a]), book.bids, book.asks)
        rate = params.cancel_rate[jnp.clip(distance, 1, self.num_levels) - 1]
        is_background = (both.size > 0) & (both.agent_id == BACKGROUND_AGENT)
        return Look(
            price=both.price,
            size=both.size,
            order_id=both.order_id,
            cancel_rate=jnp.where(is_background, rate, 0.0),
            best_bid=best_bid,
            best_ask=best_ask,
        )


def _choose_cancels(
    key: Array, look: Look, is_cancel: Array, bought: Array, sold: Array
) -> tuple[Array, Array]:
    """Slots `[M]` in `look` that the cancels name, drawn without replacement by rate.

    Adding Gumbel noise to the log rates and taking the largest draws without replacement (the
    Gumbel top-k trick). Orders with fewer shares ahead of them than the market orders of this
    look take are left out, so that every cancel finds its order.

    Returns:
        Slots, and whether there was an order left for each.
    """
    num_orders, num_messages = look.size.shape[0], is_cancel.shape[0]
    rate = look.cancel_rate
    if num_messages > 1:
        sizes = look.size.reshape(2, -1)
        ahead = (jnp.cumsum(sizes.astype(jnp.float32), axis=1) - sizes).reshape(-1)
        taken = jnp.repeat(jnp.stack([sold, bought]), num_orders // 2)
        rate = jnp.where(ahead >= taken, rate, 0.0)
    score = jnp.where(rate > 0, jnp.log(rate), -jnp.inf)
    score += jax.random.gumbel(key, (num_orders,))
    best, slots = jax.lax.top_k(score, min(num_messages, num_orders))
    rank = jnp.cumsum(is_cancel.astype(jnp.int32)) - 1
    is_possible = (rank < slots.shape[0]) & (best[jnp.minimum(rank, slots.shape[0] - 1)] > -jnp.inf)
    return slots[jnp.clip(rank, 0, slots.shape[0] - 1)], is_possible


def _poisson(key: Array, mean: Array, largest: int = 31) -> Array:
    """Poisson counts with means `[L]`, by inversion, cut at `largest`; no loop under `vmap`."""
    count = jnp.arange(largest, dtype=jnp.float32)
    log_factorial = jnp.cumsum(jnp.log(jnp.maximum(count, 1.0)))
    log_mean = jnp.log(jnp.maximum(mean, jnp.finfo(jnp.float32).tiny))  # a mean of 0 counts 0
    log_pmf = count * log_mean[:, None] - mean[:, None] - log_factorial
    cdf = jnp.cumsum(jnp.exp(log_pmf), axis=1)
    return (jax.random.uniform(key, mean.shape)[:, None] > cdf).sum(-1, dtype=jnp.int32)
