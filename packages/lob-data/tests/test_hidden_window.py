"""Any day that the reference engine can have, seen through k levels, replays as it was seen."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from lob_core import BookConfig, process_messages
from lob_core.packing import pad_with_noops, unpack_messages
from lob_core.reference import ReferenceBook
from lob_core.replay import ReplayWindows, opening_book
from lob_core.types import EventType, Message
from lob_data import PrepareOptions, open_store, prepare
from lob_data.schema import CENT, DUMMY_PRICE
from lob_data.testing import Levels, MessageRow, cut_to_levels, write_pair

BID, ASK = 1, -1
CONFIG = BookConfig(num_slots=128, max_trades=0)
NUM_PLAYED = 2048  # one shape for every example


@dataclass
class Exchange:
    """The reference engine behind a feed in LOBSTER's format: one event for each order hit."""

    book: ReferenceBook = field(default_factory=lambda: ReferenceBook(CONFIG))
    events: list[tuple[MessageRow, Levels]] = field(default_factory=list)
    ts_ns: int = 34_200_000_000_000
    next_id: int = 1

    def levels(self) -> Levels:
        totals: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
        for side, at_price in totals.items():
            for order in self.book.orders[side]:
                at_price[order.price] = at_price.get(order.price, 0) + order.size
        return {side: list(at_price.items()) for side, at_price in totals.items()}

    def send(self, kind: int, side: int, price: int, size: int, order_id: int) -> None:
        names = Message.__dataclass_fields__
        message = dict.fromkeys(names, 0) | {
            "event_type": kind,
            "side": side,
            "price": price,
            "size": size,
            "order_id": order_id,
        }
        self.book.apply(message, 0)

    def record(self, kind: int, order_id: int, size: int, raw_price: int, side: int) -> None:
        row = (self.ts_ns, int(kind), order_id, size, raw_price, side)
        self.events.append((row, self.levels()))

    def quote(self, side: int, price: int, size: int) -> None:
        """A limit order, which may cross: executions first, then what is left of it."""
        self.ts_ns += 1000
        while size > 0 and (others := self.book.orders[-side]):
            maker = others[0]
            if side * maker.price > side * price:
                break
            taken, order_id, at = min(size, maker.size), maker.order_id, maker.price
            self.send(EventType.EXECUTE_VISIBLE, -side, at, taken, 0)
            self.record(EventType.EXECUTE_VISIBLE, order_id, taken, at * CENT, -side)
            size -= taken
        if size > 0:
            self.send(EventType.SUBMIT, side, price, size, self.next_id)
            self.record(EventType.SUBMIT, self.next_id, size, price * CENT, side)
            self.next_id += 1

    def take_away(self, side: int, index: int, size: int) -> None:
        """Cancels `size` shares of some resting order, or all of it."""
        self.ts_ns += 1000
        if not (orders := self.book.orders[side]):
            return
        order = orders[index % len(orders)]
        is_whole = size >= order.size
        kind = EventType.DELETE if is_whole else EventType.CANCEL
        size = order.size if is_whole else size
        self.send(kind, side, order.price, size, order.order_id)
        self.record(kind, order.order_id, size, order.price * CENT, side)


@cache
def player():
    """Plays packed messages one by one and shows both sides after each."""

    def step(book, message):
        one = jax.tree.map(lambda leaf: leaf[None], message)
        book, _ = process_messages(book, one, config=CONFIG)
        return book, (book.bids, book.asks, book.counters)

    return jax.jit(lambda book, packed: jax.lax.scan(step, book, unpack_messages(packed))[1])


def replayed_rows(windows: ReplayWindows, num_levels: int) -> list[list[int]]:
    """The order book rows that lob_core shows after each step of the only window."""
    ends = np.asarray(windows.step_start[0][1:]) - 1
    packed = np.asarray(windows.packed)[: ends[-1] + 1]
    played = jnp.asarray(pad_with_noops(packed, NUM_PLAYED - len(packed)))
    bids, asks, counters = player()(opening_book(windows, 0), played)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(counters))
    rows = []
    sides = [
        (np.asarray(orders.price)[ends], np.asarray(orders.size)[ends], dummy)
        for orders, dummy in ((asks, DUMMY_PRICE), (bids, -DUMMY_PRICE))
    ]
    for row in range(len(ends)):
        shown = []
        for prices, sizes, dummy in sides:
            totals: dict[int, int] = {}
            for price, size in zip(prices[row].tolist(), sizes[row].tolist(), strict=True):
                if size > 0:
                    totals[price * CENT] = totals.get(price * CENT, 0) + size
            levels = [*totals.items(), *[(dummy, 0)] * num_levels][:num_levels]
            shown.append(levels)
        rows.append([value for ask, bid in zip(*shown, strict=True) for value in (*ask, *bid)])
    return rows


def count_returns(messages: list[MessageRow], books: list[list[int]]) -> int:
    """Levels that come back into view without a message of their own."""
    seen: set[int] = set()
    returns = 0
    for i, (message, row) in enumerate(zip(messages, books, strict=True)):
        prices = {price for price in row[::2] if abs(price) != DUMMY_PRICE}
        before = set(books[i - 1][::2]) if i else prices
        returns += len((prices - before - {message[4]}) & seen)
        seen |= prices
    return returns


def assert_replays(exchange: Exchange, opening: Levels, num_levels: int) -> tuple[int, int]:
    """Rows and returning levels of the day, after it was prepared and replayed."""
    messages, books = cut_to_levels(opening, exchange.events, num_levels)
    if not messages:
        return 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pair(folder / "raw", messages, books)
        options = PrepareOptions(verify=False, train=1.0, validation=0.0)
        prepare(folder / "raw", folder / "store", options)
        store = open_store(folder / "store")
        windows = store.windows(num_steps=len(books), messages_per_step=1, config=CONFIG)
    assert windows.num_windows == 1
    assert replayed_rows(windows, num_levels) == books
    return len(books), count_returns(messages, books)


actions = st.lists(
    st.tuples(
        st.sampled_from(["quote", "quote", "take", "take", "hidden", "halt"]),
        st.sampled_from([BID, ASK]),
        st.integers(-4, 14),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=80,
)


@settings(max_examples=60, deadline=None)
@given(actions=actions, num_levels=st.integers(1, 4), num_standing=st.integers(0, 12))
def test_hidden_window__any_day_replays_in_every_level_of_every_row(
    actions, num_levels, num_standing
):
    exchange = Exchange()
    for distance in range(num_standing):
        for side in (BID, ASK):
            exchange.quote(side, 100 - side * (1 + 2 * distance), 1 + distance % 3)
    opening = exchange.levels()
    exchange.events.clear()
    for kind, side, distance, size in actions:
        if kind == "quote":
            exchange.quote(side, 100 - side * distance, size)
        elif kind == "take":
            exchange.take_away(side, distance + 4, size)
        elif kind == "hidden":
            exchange.record(EventType.EXECUTE_HIDDEN, 0, size, 100 * CENT + 50, side)
        else:
            exchange.record(EventType.HALT, 0, 0, size % 3 - 1, ASK)
    _, returns = assert_replays(exchange, opening, num_levels)
    event("levels return" if returns else "no level returns")


@pytest.mark.parametrize("num_levels", [1, 3])
def test_hidden_window__a_long_day_whose_levels_slide_out_and_back(num_levels):
    rng = np.random.default_rng(num_levels)
    exchange = Exchange()
    for distance in range(1, 13):
        for side in (BID, ASK):
            exchange.quote(side, 100 - side * distance, 5)
    opening = exchange.levels()
    exchange.events.clear()
    for _ in range(1500):
        side = int(rng.choice([BID, ASK]))
        if rng.random() < 0.5 and len(exchange.book.orders[side]) < 40:
            best = exchange.book.best(-side) or 100 + side
            exchange.quote(side, best - side * int(rng.integers(-1, 14)), int(rng.integers(1, 9)))
        else:
            exchange.take_away(side, int(rng.integers(0, 40)), int(rng.integers(1, 9)))
    rows, returns = assert_replays(exchange, opening, num_levels)
    assert rows > 300
    assert returns > 50
