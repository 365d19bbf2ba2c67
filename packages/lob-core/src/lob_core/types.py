"""Plain named data of the matching engine: messages, books, trades, reports, fills.

Every container is a frozen dataclass registered as a JAX pytree whose leaves are int32 arrays
("struct of arrays"), so it can be jitted, vmapped, scanned and donated.

Axes: `N` order slots a side, `M` messages, `T` trade slots, `A` accounts. Units: prices in integer
ticks, sizes in shares, times as seconds and nanoseconds since midnight.
"""

from __future__ import annotations

import dataclasses
from enum import IntEnum
from typing import Any, Final, Literal, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

NO_PRICE: Final = 0
"""Price of a free slot and of the missing best quote of an empty side; valid prices are >= 1."""
NO_ORDER: Final = 0
"""Order id of a free slot and of the nameless aggressor of an execution; valid ids are >= 1."""
BACKGROUND_AGENT: Final = 0
"""Agent id of order flow that belongs to no agent; agents are numbered from 1."""
OPENING_AGENT: Final = -2
"""Agent id of anonymous liquidity that stood in the book when recorded data began."""
NO_AGENT: Final = -1
"""Agent id of a free slot."""
FIRST_AGENT_ORDER_ID: Final = 2**30
"""By convention background orders use ids below this one, learning and scripted agents the rest."""


class Side(IntEnum):
    """Side of an order; the sign is that of the inventory it adds."""

    BID = 1
    ASK = -1


class EventType(IntEnum):
    """What a message asks for; 1 to 7 are LOBSTER's event codes."""

    NOOP = 0
    SUBMIT = 1
    CANCEL = 2
    DELETE = 3
    EXECUTE_VISIBLE = 4
    EXECUTE_HIDDEN = 5
    CROSS = 6
    HALT = 7
    MODIFY = 8
    MARKET = 9


class TimeInForce(IntEnum):
    """What becomes of the part of an order that does not trade at once."""

    GTC = 0
    IOC = 1
    FOK = 2
    POST_ONLY = 3


class SelfMatch(IntEnum):
    """What happens when an order would trade with a resting order of the same agent (id >= 1)."""

    OFF = 0
    """They trade."""
    CANCEL_RESTING = 1
    """The resting order is cancelled whole; the incoming one goes on."""
    CANCEL_INCOMING = 2
    """What is left of the incoming order is cancelled; the resting one stays."""
    DECREMENT_BOTH = 3
    """Both lose the smaller of the two sizes, without a trade; the incoming one goes on."""


class UnknownCancel(IntEnum):
    """What a cancel or delete does whose order is not on its side.

    Data that starts with a standing book cancels orders that were never submitted. All modes but
    `STRICT` let such a message act on another order at its price; it still counts as unknown.
    """

    STRICT = 0
    """It is rejected."""
    OPENING = 1
    """It acts on the first order of `OPENING_AGENT` at its price."""
    UNIFORM = 2
    """It acts on an order at its price that belongs to no agent (id < 1), each equally likely."""
    UNIFORM_ANY = 3
    """It acts on any order at its price, agents' included, each equally likely."""


UNKNOWN_CANCEL_HASH: Final = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x2C1B3C6D)
"""Odd multipliers of the hash by which the uniform modes choose, of id, price, size, and the mix.

`h = id * a ^ price * b ^ size * c; h ^= h >> 15; h *= d; h ^= h >> 12`, modulo 2^32; the order
chosen is number `h % count` of those in question, in priority order. The engine has no random
key, and so all backends choose alike.
"""


class ResultCode(IntEnum):
    """What the engine did with a message."""

    IGNORED = 0
    """NOOP, hidden execution, cross or halt: nothing to do."""
    DONE = 1
    """A cancel, delete or priority-keeping modify was carried out."""
    RESTED = 2
    """Nothing traded; the whole order rests."""
    PARTLY_FILLED_RESTED = 3
    """Some of it traded, the rest rests."""
    FILLED = 4
    """All of it traded."""
    PARTLY_FILLED_EXPIRED = 5
    """Some of it traded, the rest was not allowed to rest."""
    EXPIRED = 6
    """Nothing traded and nothing was allowed to rest."""
    REJECTED_POST_ONLY = 7
    """A post-only order would have traded."""
    REJECTED_FOK = 8
    """A fill-or-kill order could not be filled at once."""
    REJECTED_UNKNOWN_ID = 9
    """The order to cancel, delete or modify is not in the book."""
    REJECTED_INVALID = 10
    """A price, size, side, id or time in force outside its domain."""
    REJECTED_UNKNOWN_TYPE = 11
    """The event code is none of `EventType`."""
    DROPPED = 12
    """The order should rest but its side is full of orders with priority over it."""


_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def pytree_dataclass(cls: type[_T]) -> type[_T]:
    """Makes `cls` a frozen dataclass registered as a pytree of all its fields."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


class Replaceable:
    """Gives a pytree dataclass the method `replace`."""

    def replace(self: _T, **changes: Any) -> _T:
        """A copy with the named fields exchanged."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


@pytree_dataclass
class Message(Replaceable):
    """One message, or an array of them when the leaves carry leading axes `[..., M]`.

    Attributes:
        event_type: int32, an `EventType`.
        side: int32, the `Side` of the order concerned. For `EXECUTE_VISIBLE` it is the side of
            the resting order that is hit, as in LOBSTER files.
        price: int32, ticks; the limit price, and for `MODIFY` the new one. Ignored by `MARKET`.
        size: int32, shares; to add, to take, to cancel, or for `MODIFY` the new remaining size.
        order_id: int32, chosen by the sender, >= 1.
        agent_id: int32, owner of a new order; `BACKGROUND_AGENT` if none.
        time_in_force: int32, a `TimeInForce`; read for `SUBMIT` and `MODIFY`.
        time_s: int32, seconds since midnight.
        time_ns: int32, nanoseconds within the second.
    """

    event_type: Array
    side: Array
    price: Array
    size: Array
    order_id: Array
    agent_id: Array
    time_in_force: Array
    time_s: Array
    time_ns: Array


@pytree_dataclass
class Orders(Replaceable):
    """Resting orders on one side of the book.

    Slots are in priority order, best first (equal prices in order of arrival); live orders are
    packed at the front and free slots follow them.

    Attributes:
        price: `[..., N]` int32, ticks; `NO_PRICE` in a free slot.
        size: `[..., N]` int32, shares; zero marks a free slot.
        order_id: `[..., N]` int32; `NO_ORDER` in a free slot.
        agent_id: `[..., N]` int32; `NO_AGENT` in a free slot.
    """

    price: Array
    size: Array
    order_id: Array
    agent_id: Array


@pytree_dataclass
class Counters(Replaceable):
    """What the engine could not do as asked, summed since the book was made.

    Attributes:
        dropped_orders: `[...]` int32, orders dropped because their side was full.
        dropped_size: `[...]` int32, shares of those orders (wraps at 2^31).
        dropped_trades: `[...]` int32, trades carried out but not recorded: trade buffer full.
        unknown_ids: `[...]` int32, cancels, deletes and modifies of orders not in the book.
        unknown_types: `[...]` int32, messages whose event code is none of `EventType`.
        invalid: `[...]` int32, messages with a field outside its domain.
    """

    dropped_orders: Array
    dropped_size: Array
    dropped_trades: Array
    unknown_ids: Array
    unknown_types: Array
    invalid: Array


@pytree_dataclass
class BookState(Replaceable):
    """A limit order book.

    Attributes:
        bids: resting buy orders, highest price first.
        asks: resting sell orders, lowest price first.
        counters: what was dropped, unknown or invalid so far.
    """

    bids: Orders
    asks: Orders
    counters: Counters


@pytree_dataclass
class Trades(Replaceable):
    """Trades of one `process_messages` call, in order; unused rows have size zero.

    Attributes:
        price: `[..., T]` int32, ticks: the maker's price.
        size: `[..., T]` int32, shares.
        maker_order_id: `[..., T]` int32.
        taker_order_id: `[..., T]` int32; `NO_ORDER` for a LOBSTER execution.
        maker_agent_id: `[..., T]` int32.
        taker_agent_id: `[..., T]` int32.
        aggressor_side: `[..., T]` int32, the `Side` of the taker.
        message_index: `[..., T]` int32, position in `M` of the message that caused the trade.
        count: `[...]` int32, rows used.
    """

    price: Array
    size: Array
    maker_order_id: Array
    taker_order_id: Array
    maker_agent_id: Array
    taker_agent_id: Array
    aggressor_side: Array
    message_index: Array
    count: Array


@pytree_dataclass
class Reports(Replaceable):
    """What became of each message, and the best quotes just after it.

    Attributes:
        code: `[..., M]` int32, a `ResultCode`.
        filled_size: `[..., M]` int32, shares this message traded as taker.
        best_bid: `[..., M]` int32, ticks; `NO_PRICE` when the side is empty.
        best_ask: `[..., M]` int32, ticks; `NO_PRICE` when the side is empty.
    """

    code: Array
    filled_size: Array
    best_bid: Array
    best_ask: Array


@pytree_dataclass
class Fills(Replaceable):
    """Trades summed by account: row 0 is everyone without an account, row a is agent a.

    These sums are complete even when the trade buffer is full. An agent id outside
    `1 .. num_agents` counts as row 0. All sums are int32 and wrap modulo 2^32; because wrapping
    addition is exact modulo 2^32, `notional - reference_price * size` is exact whenever that
    difference itself fits, which is how cash should be measured.

    Attributes:
        bought: `[..., A]` int32, shares bought, as maker or taker.
        sold: `[..., A]` int32, shares sold.
        bought_notional: `[..., A]` int32, sum of price * size bought (ticks * shares, wrapping).
        sold_notional: `[..., A]` int32, the same of shares sold.
        maker_size: `[..., A]` int32, shares bought or sold as maker.
        self_size: `[..., A]` int32, shares the account traded with itself (counted in both
            `bought` and `sold`).
    """

    bought: Array
    sold: Array
    bought_notional: Array
    sold_notional: Array
    maker_size: Array
    self_size: Array


@pytree_dataclass
class Outcome(Replaceable):
    """Everything `process_messages` reports beside the new book.

    Attributes:
        trades: each trade.
        reports: the result of each message.
        fills: trades summed by account.
    """

    trades: Trades
    reports: Reports
    fills: Fills


@dataclasses.dataclass(frozen=True)
class BookConfig:
    """What fixes the shapes and rules of a book; hashable, so it can be a static argument.

    Attributes:
        num_slots: `N`, resting orders that each side can hold.
        max_trades: `T`, trades that one call can record; 0 records none (and counts none as
            dropped). Matching and `Fills` do not depend on it.
        num_agents: number of accounts kept apart in `Fills`; its axis is `A = num_agents + 1`.
        self_match: what happens when an agent would trade with itself.
        unknown_cancel: what a cancel or delete does whose order is not on its side.

    Raises:
        ValueError: if a field is out of range.
    """

    num_slots: int = 128
    max_trades: int = 128
    num_agents: int = 0
    self_match: SelfMatch = SelfMatch.OFF
    unknown_cancel: UnknownCancel = UnknownCancel.STRICT

    def __post_init__(self) -> None:
        for name, least in (("num_slots", 1), ("max_trades", 0), ("num_agents", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"BookConfig.{name} is {value!r}; it must be an int >= {least}")
        for name, kind in (("self_match", SelfMatch), ("unknown_cancel", UnknownCancel)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ValueError(
                    f"BookConfig.{name} is {value!r}; it must be a {kind.__name__}, "
                    f"one of {', '.join(mode.name for mode in kind)}"
                )


Backend = Literal["xla", "numba", "pallas"]
"""Name of an implementation of the engine."""


def zero_counters(batch_shape: tuple[int, ...] = ()) -> Counters:
    """Counters at zero, leaves of shape `batch_shape`."""
    fields = [field.name for field in dataclasses.fields(Counters)]
    return Counters(**{name: jnp.zeros(batch_shape, jnp.int32) for name in fields})


def empty_orders(num_slots: int, batch_shape: tuple[int, ...] = ()) -> Orders:
    """One side without orders, leaves `[*batch_shape, num_slots]`."""
    shape = (*batch_shape, num_slots)
    return Orders(
        price=jnp.full(shape, NO_PRICE, jnp.int32),
        size=jnp.zeros(shape, jnp.int32),
        order_id=jnp.full(shape, NO_ORDER, jnp.int32),
        agent_id=jnp.full(shape, NO_AGENT, jnp.int32),
    )


def empty_book(config: BookConfig, batch_shape: tuple[int, ...] = ()) -> BookState:
    """A book without orders, its leaves led by `batch_shape`."""
    return BookState(
        bids=empty_orders(config.num_slots, batch_shape),
        asks=empty_orders(config.num_slots, batch_shape),
        counters=zero_counters(batch_shape),
    )


def make_messages(
    event_type: Any,
    side: Any = Side.BID,
    price: Any = NO_PRICE,
    size: Any = 0,
    order_id: Any = NO_ORDER,
    agent_id: Any = BACKGROUND_AGENT,
    time_in_force: Any = TimeInForce.GTC,
    time_s: Any = 0,
    time_ns: Any = 0,
) -> Message:
    """Messages from array-likes or scalars that broadcast against each other.

    Returns:
        A `Message` whose leaves have the common broadcast shape, int32.

    Raises:
        ValueError: if a concrete value does not fit int32 (JAX would wrap it in silence).
    """
    values = {
        "event_type": event_type,
        "side": side,
        "price": price,
        "size": size,
        "order_id": order_id,
        "agent_id": agent_id,
        "time_in_force": time_in_force,
        "time_s": time_s,
        "time_ns": time_ns,
    }
    arrays = {name: _as_int32(name, value) for name, value in values.items()}
    shape = jnp.broadcast_shapes(*(jnp.shape(array) for array in arrays.values()))
    return Message(**{name: jnp.broadcast_to(array, shape) for name, array in arrays.items()})


def _as_int32(name: str, value: Any) -> Array:
    """`value` as an int32 array, refusing integers that would wrap."""
    if isinstance(value, jax.Array):
        return value.astype(jnp.int32)
    array = np.asarray(value)
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise ValueError(
            f"{name} holds {array.min()} .. {array.max()}; it must fit int32 "
            f"({limits.min} .. {limits.max})"
        )
    return jnp.asarray(array, jnp.int32)
