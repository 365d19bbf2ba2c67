"""The oracle: a plain-Python engine, slow and obvious, that every backend must equal bit for bit.

It knows one book at a time, keeps orders in Python lists and uses unbounded integers, wrapping to
int32 only where a field of the contract is documented to wrap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    OPENING_AGENT,
    UNKNOWN_CANCEL_HASH,
    Array,
    BookConfig,
    BookState,
    Counters,
    EventType,
    Fills,
    Message,
    Orders,
    Outcome,
    Reports,
    ResultCode,
    SelfMatch,
    Side,
    TimeInForce,
    Trades,
    UnknownCancel,
)

_INT32 = np.iinfo(np.int32)
_IGNORED_TYPES = {EventType.NOOP, EventType.EXECUTE_HIDDEN, EventType.CROSS, EventType.HALT}
_SIZED_TYPES = {
    EventType.SUBMIT,
    EventType.MARKET,
    EventType.CANCEL,
    EventType.MODIFY,
    EventType.EXECUTE_VISIBLE,
}
_PRICED_TYPES = {EventType.SUBMIT, EventType.MODIFY, EventType.EXECUTE_VISIBLE}
_LOOKUP_TYPES = {EventType.CANCEL, EventType.DELETE, EventType.MODIFY}
_MAY_REST = {TimeInForce.GTC, TimeInForce.POST_ONLY}


@dataclass
class Order:
    """One resting order."""

    price: int
    size: int
    order_id: int
    agent_id: int


@dataclass
class Taker:
    """An order on its way into the book."""

    side: int
    limit: int
    size: int
    order_id: int
    agent_id: int
    time_in_force: int


@dataclass
class Trade:
    """One row of `Trades`."""

    price: int
    size: int
    maker_order_id: int
    taker_order_id: int
    maker_agent_id: int
    taker_agent_id: int
    aggressor_side: int
    message_index: int


def _leaf(values: int | list[int]) -> Array:
    """A NumPy leaf where the contract's types name JAX arrays."""
    return cast(Array, np.array(values, np.int32))


def _wrap(value: int) -> int:
    """`value` modulo 2^32 as a signed 32-bit integer."""
    return (value + 2**31) % 2**32 - 2**31


def _hash(message: dict[str, int]) -> int:
    """The hash described at `UNKNOWN_CANCEL_HASH`."""
    a, b, c, d = UNKNOWN_CANCEL_HASH
    value = (message["order_id"] * a ^ message["price"] * b ^ message["size"] * c) % 2**32
    value ^= value >> 15
    value = value * d % 2**32
    return value ^ value >> 12


@dataclass
class ReferenceBook:
    """A mutable book of Python lists, best order first.

    Attributes:
        config: shapes and rules.
        orders: the two sides.
        counters: values of `Counters`, unwrapped.
        trades: recorded trades of the current call.
        fills: values of `Fills`, unwrapped, one list of accounts a field.
    """

    config: BookConfig
    orders: dict[int, list[Order]] = field(default_factory=lambda: {Side.BID: [], Side.ASK: []})
    counters: dict[str, int] = field(
        default_factory=lambda: {f.name: 0 for f in dataclasses.fields(Counters)}
    )
    trades: list[Trade] = field(default_factory=list)
    fills: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        names = [f.name for f in dataclasses.fields(Fills)]
        self.fills = {name: [0] * (self.config.num_agents + 1) for name in names}

    @classmethod
    def from_state(cls, book: BookState, config: BookConfig) -> ReferenceBook:
        """The same book as `book` (leaves `[N]`), as lists."""
        result = cls(config)
        for side, orders in ((Side.BID, book.bids), (Side.ASK, book.asks)):
            rows = zip(
                *(np.asarray(x).tolist() for x in (orders.price, orders.size)),
                *(np.asarray(x).tolist() for x in (orders.order_id, orders.agent_id)),
                strict=True,
            )
            result.orders[side] = [Order(*row) for row in rows if row[1] > 0]
        for name in result.counters:
            result.counters[name] = int(getattr(book.counters, name))
        return result

    def best(self, side: int) -> int:
        """Best price of `side` in ticks, `NO_PRICE` if it is empty."""
        return self.orders[side][0].price if self.orders[side] else NO_PRICE

    def apply(self, message: dict[str, int], index: int) -> tuple[ResultCode, int]:
        """Carries out one message.

        Args:
            message: the fields of `Message` as integers.
            index: its position in the call.

        Returns:
            What was done, and the shares traded as taker.
        """
        kind = message["event_type"]
        if kind in _IGNORED_TYPES:
            return ResultCode.IGNORED, 0
        if kind not in set(EventType):
            self.counters["unknown_types"] += 1
            return ResultCode.REJECTED_UNKNOWN_TYPE, 0
        if not _is_valid(message):
            self.counters["invalid"] += 1
            return ResultCode.REJECTED_INVALID, 0
        if kind in _LOOKUP_TYPES:
            return self._apply_to_resting(message, index)
        return self._apply_taker(_taker_of(message), None, index)

    def _apply_to_resting(self, message: dict[str, int], index: int) -> tuple[ResultCode, int]:
        side, kind, size = message["side"], message["event_type"], message["size"]
        order = self.find(side, message["order_id"], message["price"])
        is_whole = kind == EventType.DELETE
        if order is None:
            self.counters["unknown_ids"] += 1
            order = None if kind == EventType.MODIFY else self._stand_in(message)
            if order is None:
                return ResultCode.REJECTED_UNKNOWN_ID, 0
            is_whole = size < 1
        if kind == EventType.MODIFY:
            if message["price"] != order.price or size > order.size:
                taker = Taker(
                    side=side,
                    limit=message["price"],
                    size=size,
                    order_id=order.order_id,
                    agent_id=order.agent_id,
                    time_in_force=message["time_in_force"],
                )
                return self._apply_taker(taker, order, index)
            order.size = size
        elif is_whole or size >= order.size:
            self._remove(side, order)
        else:
            order.size -= size
        return ResultCode.DONE, 0

    def _stand_in(self, message: dict[str, int]) -> Order | None:
        """The order on which a cancel of an unknown id acts instead, if any."""
        mode = self.config.unknown_cancel
        at_price = [o for o in self.orders[message["side"]] if o.price == message["price"]]
        if mode == UnknownCancel.STRICT:
            return None
        if mode == UnknownCancel.OPENING:
            return next((o for o in at_price if o.agent_id == OPENING_AGENT), None)
        if mode == UnknownCancel.UNIFORM:
            at_price = [o for o in at_price if o.agent_id < 1]
        return at_price[_hash(message) % len(at_price)] if at_price else None

    def find(self, side: int, order_id: int, price: int) -> Order | None:
        """The resting order `order_id`: first at `price`, else anywhere on `side`; best first."""
        named = [order for order in self.orders[side] if order.order_id == order_id]
        at_price = [order for order in named if order.price == price]
        return next(iter(at_price + named), None)

    def _remove(self, side: int, order: Order) -> None:
        self.orders[side] = [other for other in self.orders[side] if other is not order]

    def _apply_taker(
        self, taker: Taker, replaced: Order | None, index: int
    ) -> tuple[ResultCode, int]:
        makers = [o for o in self.orders[-taker.side] if _crosses(taker, o.price)]
        if taker.time_in_force == TimeInForce.POST_ONLY and makers:
            return ResultCode.REJECTED_POST_ONLY, 0
        if taker.time_in_force == TimeInForce.FOK and self._available(taker, makers) < taker.size:
            return ResultCode.REJECTED_FOK, 0
        if replaced is not None:
            self._remove(taker.side, replaced)
        filled, remaining, is_stopped = self._match(taker, makers, index)
        if filled == taker.size:
            return ResultCode.FILLED, filled
        if remaining == 0 or is_stopped or taker.time_in_force not in _MAY_REST:
            code = ResultCode.PARTLY_FILLED_EXPIRED if filled else ResultCode.EXPIRED
            return code, filled
        if not self._insert(taker, remaining):
            return ResultCode.DROPPED, filled
        return (ResultCode.PARTLY_FILLED_RESTED if filled else ResultCode.RESTED), filled

    def _is_prevented(self, taker: Taker, maker: Order) -> bool:
        """Whether self-match prevention keeps these two from trading."""
        is_same_agent = taker.agent_id == maker.agent_id and taker.agent_id >= 1
        return is_same_agent and self.config.self_match != SelfMatch.OFF

    def _available(self, taker: Taker, makers: list[Order]) -> int:
        """Shares of `makers` that the taker could trade before it is stopped or decremented."""
        available = 0
        for maker in makers:
            if not self._is_prevented(taker, maker):
                available += maker.size
            elif self.config.self_match != SelfMatch.CANCEL_RESTING:
                break
        return available

    def _match(self, taker: Taker, makers: list[Order], index: int) -> tuple[int, int, bool]:
        """Runs the taker against the makers: shares traded, shares left, and whether stopped."""
        filled, remaining = 0, taker.size
        for maker in makers:
            if remaining == 0:
                break
            taken = min(remaining, maker.size)
            if not self._is_prevented(taker, maker):
                remaining -= taken
                filled += taken
                self._record(taker, maker, taken, index)
            elif self.config.self_match == SelfMatch.CANCEL_INCOMING:
                return filled, remaining, True
            elif self.config.self_match == SelfMatch.CANCEL_RESTING:
                taken = maker.size
            else:
                remaining -= taken
            maker.size -= taken
            if maker.size == 0:
                self._remove(-taker.side, maker)
        return filled, remaining, False

    def _insert(self, taker: Taker, size: int) -> bool:
        """Rests `size` shares behind all orders at least as good; False if they were dropped."""
        side = self.orders[taker.side]
        new = Order(taker.limit, size, taker.order_id, taker.agent_id)
        position = sum(order.price * taker.side >= new.price * taker.side for order in side)
        side.insert(position, new)
        if len(side) <= self.config.num_slots:
            return True
        dropped = side.pop()
        self.counters["dropped_orders"] += 1
        self.counters["dropped_size"] += dropped.size
        return dropped is not new

    def _record(self, taker: Taker, maker: Order, size: int, index: int) -> None:
        trade = Trade(
            price=maker.price,
            size=size,
            maker_order_id=maker.order_id,
            taker_order_id=taker.order_id,
            maker_agent_id=maker.agent_id,
            taker_agent_id=taker.agent_id,
            aggressor_side=taker.side,
            message_index=index,
        )
        if len(self.trades) < self.config.max_trades:
            self.trades.append(trade)
        elif self.config.max_trades > 0:
            self.counters["dropped_trades"] += 1
        taker_row, maker_row = self._account(taker.agent_id), self._account(maker.agent_id)
        buyer, seller = taker_row, maker_row
        if taker.side == Side.ASK:
            buyer, seller = maker_row, taker_row
        self.fills["bought"][buyer] += size
        self.fills["bought_notional"][buyer] += size * maker.price
        self.fills["sold"][seller] += size
        self.fills["sold_notional"][seller] += size * maker.price
        self.fills["maker_size"][maker_row] += size
        if taker_row == maker_row:
            self.fills["self_size"][taker_row] += size

    def _account(self, agent_id: int) -> int:
        return agent_id if 1 <= agent_id <= self.config.num_agents else 0

    def to_state(self) -> BookState:
        """This book as int32 arrays, leaves `[N]`."""
        return BookState(
            bids=_orders_of(self.orders[Side.BID], self.config.num_slots),
            asks=_orders_of(self.orders[Side.ASK], self.config.num_slots),
            counters=Counters(**{k: _leaf(_wrap(v)) for k, v in self.counters.items()}),
        )

    def trades_state(self) -> Trades:
        """The recorded trades as int32 arrays, leaves `[T]`."""
        blank = Trade(NO_PRICE, 0, NO_ORDER, NO_ORDER, NO_AGENT, NO_AGENT, 0, 0)
        rows = self.trades + [blank] * (self.config.max_trades - len(self.trades))
        columns = {
            f.name: _leaf([getattr(row, f.name) for row in rows]) for f in dataclasses.fields(Trade)
        }
        return Trades(**columns, count=_leaf(len(self.trades)))


def _is_valid(message: dict[str, int]) -> bool:
    """Whether every field that the event type reads is in its domain."""
    kind = message["event_type"]
    return (
        message["side"] in (Side.BID, Side.ASK)
        and (kind not in _SIZED_TYPES or message["size"] >= 1)
        and (kind not in _PRICED_TYPES or message["price"] >= 1)
        and (kind not in (EventType.SUBMIT, EventType.MARKET) or message["order_id"] >= 1)
        and (
            kind not in (EventType.SUBMIT, EventType.MODIFY)
            or message["time_in_force"] in set(TimeInForce)
        )
    )


def _taker_of(message: dict[str, int]) -> Taker:
    """The incoming order that a SUBMIT, MARKET or EXECUTE_VISIBLE stands for."""
    side, limit = message["side"], message["price"]
    order_id, time_in_force = message["order_id"], message["time_in_force"]
    if message["event_type"] == EventType.MARKET:
        limit = _INT32.max if side == Side.BID else _INT32.min
        time_in_force = TimeInForce.IOC
    elif message["event_type"] == EventType.EXECUTE_VISIBLE:
        side, order_id, time_in_force = -side, NO_ORDER, TimeInForce.IOC
    return Taker(side, limit, message["size"], order_id, message["agent_id"], time_in_force)


def _crosses(taker: Taker, price: int) -> bool:
    return price <= taker.limit if taker.side == Side.BID else price >= taker.limit


def _orders_of(orders: Iterable[Order], num_slots: int) -> Orders:
    rows = list(orders)
    rows += [Order(NO_PRICE, 0, NO_ORDER, NO_AGENT)] * (num_slots - len(rows))
    return Orders(
        **{f.name: _leaf([getattr(row, f.name) for row in rows]) for f in dataclasses.fields(Order)}
    )


def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book, in plain Python.

    Args:
        book: leaves `[N]`.
        messages: leaves `[M]`.
        config: shapes and rules.

    Returns:
        The new book and what happened, as NumPy arrays.
    """
    reference = ReferenceBook.from_state(book, config)
    names = [f.name for f in dataclasses.fields(Message)]
    columns = [np.asarray(getattr(messages, name)).tolist() for name in names]
    reports: list[tuple[int, int, int, int]] = []
    for index, row in enumerate(zip(*columns, strict=True)):
        code, filled = reference.apply(dict(zip(names, row, strict=True)), index)
        reports.append((code, filled, reference.best(Side.BID), reference.best(Side.ASK)))
    table = np.array(reports, np.int32).reshape(-1, 4)
    outcome = Outcome(
        trades=reference.trades_state(),
        reports=Reports(*table.T),
        fills=Fills(
            **{
                name: _leaf([_wrap(value) for value in values])
                for name, values in reference.fills.items()
            }
        ),
    )
    return reference.to_state(), outcome
