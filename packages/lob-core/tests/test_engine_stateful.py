"""A book driven by rules, one message after the other, each engine against a model of orders.

The model knows no sorted arrays: it keeps the orders in a list and looks for the best one. It is
simpler than `lob_core.reference`, with which all engines must agree as well.
"""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from lob_core import BookConfig, ResultCode, Side, TimeInForce, empty_book
from lob_core.testing.agreement import ENGINES, assert_same, assert_sound, make_engine
from lob_core.testing.scripts import cancel, delete, execute, market, modify, script, submit

CONFIG = BookConfig(num_slots=3, max_trades=3, num_agents=2)
SIDES = st.sampled_from([Side.BID, Side.ASK])
PRICES = st.integers(1, 5)
SIZES = st.integers(1, 6)
IDS = st.integers(1, 8)
AGENTS = st.integers(0, 3)
KINDS = st.sampled_from(TimeInForce)


@dataclasses.dataclass
class Order:
    side: int
    price: int
    size: int
    order_id: int
    arrival: int

    @property
    def rank(self):
        return (-self.side * self.price, self.arrival)


class Market(RuleBasedStateMachine):
    """Rules for every way of changing a book; a side has three slots, so that it overflows."""

    engine = "reference"

    def __init__(self):
        super().__init__()
        self.play = make_engine(self.engine, CONFIG)
        self.oracle = make_engine("reference", CONFIG)
        self.book = jax.device_get(empty_book(CONFIG))
        self.orders = []
        self.dropped = self.arrivals = 0

    def send(self, row):
        messages = script(row)
        expected = self.oracle(self.book, messages)
        self.book, outcome = self.play(self.book, messages)
        assert_same((self.book, outcome), expected)
        code = ResultCode(int(outcome.reports.code[0]))
        return code, int(outcome.reports.filled_size[0])

    def on(self, side):
        return sorted((o for o in self.orders if o.side == side), key=lambda o: o.rank)

    def take(self, side, limit, size):
        """Trades against the other side of the model; returns shares filled."""
        filled = 0
        for maker in self.on(-side):
            if filled == size or side * (maker.price - limit) > 0:
                break
            taken = min(size - filled, maker.size)
            maker.size -= taken
            filled += taken
        self.orders = [order for order in self.orders if order.size]
        return filled

    def rest(self, side, price, size, order_id):
        """Adds what is left of an order, dropping the worst if the side is full."""
        self.arrivals += 1
        self.orders.append(Order(side, price, size, order_id, self.arrivals))
        for worst in self.on(side)[CONFIG.num_slots :]:
            self.orders.remove(worst)
            self.dropped += 1

    def find(self, side, price, order_id):
        named = [order for order in self.on(side) if order.order_id == order_id]
        return next((o for o in named if o.price == price), named[0] if named else None)

    def enter(self, side, price, size, order_id, kind, filled):
        """A limit order in the model, checked against what the engine filled."""
        makers = [m for m in self.on(-side) if side * (m.price - price) <= 0]
        available = sum(maker.size for maker in makers)
        if (kind == TimeInForce.POST_ONLY and makers) or (
            kind == TimeInForce.FOK and available < size
        ):
            assert filled == 0
            return False
        assert self.take(side, price, size) == filled == min(size, available)
        if filled < size and kind in (TimeInForce.GTC, TimeInForce.POST_ONLY):
            self.rest(side, price, size - filled, order_id)
        return True

    @rule(side=SIDES, price=PRICES, size=SIZES, order_id=IDS, kind=KINDS, agent_id=AGENTS)
    def submit(self, side, price, size, order_id, kind, agent_id):
        _, filled = self.send(submit(side, price, size, order_id, kind, agent_id))
        self.enter(side, price, size, order_id, kind, filled)

    @rule(side=SIDES, size=SIZES, order_id=IDS, agent_id=AGENTS)
    def market(self, side, size, order_id, agent_id):
        _, filled = self.send(market(side, size, order_id, agent_id))
        assert self.take(side, side * 100, size) == filled

    @rule(side=SIDES, price=PRICES, size=SIZES)
    def execute(self, side, price, size):
        _, filled = self.send(execute(side, price, size))
        assert self.take(-side, price, size) == filled

    @rule(side=SIDES, price=PRICES, size=SIZES, order_id=IDS)
    def cancel(self, side, price, size, order_id):
        code, _ = self.send(cancel(side, price, size, order_id))
        order = self.find(side, price, order_id)
        assert (code == ResultCode.DONE) == (order is not None)
        if order:
            order.size -= min(size, order.size)
            self.orders = [order for order in self.orders if order.size]

    @rule(side=SIDES, price=PRICES, order_id=IDS)
    def delete(self, side, price, order_id):
        code, _ = self.send(delete(side, price, order_id))
        order = self.find(side, price, order_id)
        assert (code == ResultCode.DONE) == (order is not None)
        if order:
            self.orders.remove(order)

    @rule(side=SIDES, price=PRICES, size=SIZES, order_id=IDS, kind=KINDS)
    def modify(self, side, price, size, order_id, kind):
        _, filled = self.send(modify(side, price, size, order_id, kind))
        order = self.find(side, price, order_id)
        if order is None:
            assert filled == 0
        elif order.price == price and size <= order.size:
            order.size = size
        else:
            self.orders.remove(order)
            if not self.enter(side, price, size, order_id, kind, filled):
                self.orders.append(order)

    @invariant()
    def book_is_the_models(self):
        assert_sound(self.book)
        for side, orders in ((Side.BID, self.book.bids), (Side.ASK, self.book.asks)):
            columns = (orders.price, orders.size, orders.order_id)
            rows = list(zip(*(np.asarray(c).tolist() for c in columns), strict=True))
            found = [row for row in rows if row[1]]
            assert found == [(o.price, o.size, o.order_id) for o in self.on(side)]
        assert int(self.book.counters.dropped_orders) == self.dropped


@pytest.mark.parametrize("engine", ENGINES)
def test_engine__equals_a_list_of_orders_whatever_the_rules_do(engine):
    machine = type("Market", (Market,), {"engine": engine})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=10, stateful_step_count=25, deadline=None)
    )
