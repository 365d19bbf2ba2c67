"""The rules of docs/semantics.md as worked examples, for every engine."""

import dataclasses

import jax
import numpy as np
import pytest
from lob_core import BookConfig, ResultCode, SelfMatch, Side, TimeInForce, UnknownCancel
from lob_core.testing import make_book
from lob_core.testing.agreement import ENGINES, assert_sound, make_engine
from lob_core.testing.scripts import (
    cancel,
    delete,
    execute,
    market,
    modify,
    script,
    submit,
)
from lob_core.types import OPENING_AGENT

BID, ASK = Side.BID, Side.ASK
CONFIG = BookConfig(num_slots=8, max_trades=12, num_agents=2)
LENGTH = 12
INT32_MAX = 2**31 - 1


class Desk:
    """Plays short scripts on one engine and reads the results."""

    def __init__(self, engine: str) -> None:
        self.engine = make_engine(engine, CONFIG)

    def play(self, book, *rows):
        self.num_rows = len(rows)
        self.before = book
        self.book, self.outcome = self.engine(book, script(*rows, length=LENGTH))
        assert_sound(self.book)
        return self

    @property
    def codes(self):
        return [ResultCode(c).name for c in np.asarray(self.outcome.reports.code)[: self.num_rows]]

    @property
    def filled(self):
        return np.asarray(self.outcome.reports.filled_size)[: self.num_rows].tolist()

    @property
    def trades(self):
        trades, count = self.outcome.trades, int(self.outcome.trades.count)
        columns = (trades.price, trades.size, trades.maker_order_id, trades.taker_order_id)
        return list(zip(*(np.asarray(c)[:count].tolist() for c in columns), strict=True))

    def side(self, name):
        orders = getattr(self.book, name)
        columns = (orders.price, orders.size, orders.order_id)
        rows = list(zip(*(np.asarray(c).tolist() for c in columns), strict=True))
        return [row for row in rows if row[1] > 0]

    @property
    def bids(self):
        return self.side("bids")

    @property
    def asks(self):
        return self.side("asks")

    def assert_orders_unchanged(self):
        for name in ("bids", "asks"):
            for field in ("price", "size", "order_id", "agent_id"):
                np.testing.assert_array_equal(
                    getattr(getattr(self.book, name), field),
                    getattr(getattr(self.before, name), field),
                )

    def counters(self):
        values = dataclasses.asdict(self.book.counters)
        return {name: int(value) for name, value in values.items() if int(value)}


@pytest.fixture(params=ENGINES)
def desk(request):
    return Desk(request.param)


def queue_book():
    """Bids 1-3 at 100, 4 at 99; asks 5-6 at 102, 7 at 104."""
    return make_book(
        bids=[(100, [5, 6, 7]), (99, [8])], asks=[(102, [3, 4]), (104, [9])], config=CONFIG
    )


@pytest.mark.parametrize(("order_id", "left"), [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])])
def test_delete__head_middle_or_tail_loses_nobody_else(desk, order_id, left):
    desk.play(queue_book(), delete(BID, 100, order_id))
    assert [row[2] for row in desk.bids] == [*left, 4]
    assert desk.codes == ["DONE"]
    assert len(desk.asks) == 3


def test_delete__many_scattered_orders_loses_nobody_else(desk):
    book = make_book(bids=[(100, [1, 2, 3, 4]), (99, [5, 6, 7, 8])], config=CONFIG)
    desk.play(book, *[delete(BID, 100 if i <= 4 else 99, i) for i in (7, 1, 4, 6, 3)])
    assert desk.bids == [(100, 2, 2), (99, 5, 5), (99, 8, 8)]


def test_delete__of_the_only_order_leaves_no_phantom_quote(desk):
    desk.play(make_book(asks=[(102, [3])], config=CONFIG), delete(ASK, 102, 1))
    assert desk.asks == []
    assert desk.outcome.reports.best_ask[0] == 0


def test_sweep__goes_best_level_first_and_exact_sweep_leaves_nothing(desk):
    desk.play(queue_book(), submit(BID, 104, 16, 50))
    assert desk.trades == [(102, 3, 5, 50), (102, 4, 6, 50), (104, 9, 7, 50)]
    assert desk.asks == []
    assert desk.codes == ["FILLED"]
    assert len(desk.bids) == 4


def test_sweep__remainder_becomes_the_new_touch_and_can_be_hit(desk):
    desk.play(queue_book(), submit(BID, 103, 10, 50), submit(ASK, 103, 2, 51))
    assert desk.codes == ["PARTLY_FILLED_RESTED", "FILLED"]
    assert desk.trades == [(102, 3, 5, 50), (102, 4, 6, 50), (103, 2, 50, 51)]
    assert desk.bids[0] == (103, 1, 50)
    assert desk.outcome.reports.best_bid[:2].tolist() == [103, 103]
    assert desk.outcome.reports.best_ask[:2].tolist() == [104, 104]


def test_sweep__one_message_can_take_every_slot(desk):
    book = make_book(asks=[(100 + i, [1]) for i in range(8)], config=CONFIG)
    desk.play(book, market(BID, 8, 50))
    assert len(desk.trades) == 8
    assert desk.asks == []


def test_trades__print_at_the_resting_price_with_both_parties(desk):
    book = make_book(asks=[(102, [3])], config=CONFIG, agent_id=2)
    desk.play(book, submit(BID, 110, 3, 50, agent_id=1))
    trades = desk.outcome.trades
    assert desk.trades == [(102, 3, 1, 50)]
    assert (trades.maker_agent_id[0], trades.taker_agent_id[0]) == (2, 1)
    assert (trades.aggressor_side[0], trades.message_index[0]) == (BID, 0)
    assert (trades.size[1:] == 0).all()


def test_fills__credit_both_accounts_and_row_zero_for_everyone_else(desk):
    book = make_book(asks=[(102, [3]), (103, [4])], config=CONFIG, agent_id=2)
    desk.play(
        book,
        submit(BID, 102, 3, 50, agent_id=1),
        submit(BID, 103, 1, 51, agent_id=2),
        submit(BID, 103, 2, 52, agent_id=3),
    )
    fills = desk.outcome.fills
    assert fills.bought.tolist() == [2, 3, 1]
    assert fills.sold.tolist() == [0, 0, 6]
    assert fills.bought_notional.tolist() == [206, 306, 103]
    assert fills.sold_notional.tolist() == [0, 0, 306 + 309]
    assert fills.maker_size.tolist() == [0, 0, 6]
    assert fills.self_size.tolist() == [0, 0, 1]


def test_modify__that_crosses_trades_at_the_makers_price(desk):
    desk.play(queue_book(), modify(BID, 102, 5, 1))
    assert desk.trades == [(102, 3, 5, 1), (102, 2, 6, 1)]
    assert desk.codes == ["FILLED"]
    assert [row[2] for row in desk.bids] == [2, 3, 4]


@pytest.mark.parametrize(
    ("price", "size", "expected"),
    [
        (100, 4, [(100, 4, 1), (100, 6, 2), (100, 7, 3), (99, 8, 4)]),  # smaller: keeps its place
        (100, 5, [(100, 5, 1), (100, 6, 2), (100, 7, 3), (99, 8, 4)]),  # same: keeps its place
        (100, 9, [(100, 6, 2), (100, 7, 3), (100, 9, 1), (99, 8, 4)]),  # larger: goes behind
        (99, 5, [(100, 6, 2), (100, 7, 3), (99, 8, 4), (99, 5, 1)]),  # elsewhere: goes behind
        (101, 5, [(101, 5, 1), (100, 6, 2), (100, 7, 3), (99, 8, 4)]),
    ],
)
def test_modify__keeps_priority_only_when_it_shrinks_in_place(desk, price, size, expected):
    desk.play(queue_book(), modify(BID, price, size, 1))
    assert desk.bids == expected


def test_modify__rejected_by_its_time_in_force_leaves_the_order(desk):
    rows = [modify(BID, 102, 5, 1, TimeInForce.POST_ONLY), modify(BID, 102, 8, 2, TimeInForce.FOK)]
    desk.play(queue_book(), *rows)
    assert desk.codes == ["REJECTED_POST_ONLY", "REJECTED_FOK"]
    desk.assert_orders_unchanged()


def test_cancel_and_modify__after_a_partial_fill_work_on_the_remainder(desk):
    desk.play(queue_book(), market(ASK, 2, 50), cancel(BID, 100, 1, 1), modify(BID, 100, 1, 1))
    assert desk.bids[0] == (100, 1, 1)
    desk.play(queue_book(), market(ASK, 2, 50), cancel(BID, 100, 99, 1))
    assert desk.bids[0] == (100, 6, 2)


@pytest.mark.parametrize("order_id", [1, 77])
def test_lookup__of_a_filled_or_never_seen_id_is_rejected_and_changes_nothing(desk, order_id):
    filled = desk.play(queue_book(), market(ASK, 5, 50)).book
    desk.play(
        filled,
        cancel(BID, 100, 1, order_id),
        delete(BID, 100, order_id),
        modify(BID, 101, 1, order_id),
        delete(ASK, 100, 2),
    )
    assert desk.codes == ["REJECTED_UNKNOWN_ID"] * 4
    desk.assert_orders_unchanged()
    assert desk.counters() == {"unknown_ids": 4}


def test_lookup__finds_an_order_whose_price_the_message_has_wrong(desk):
    desk.play(queue_book(), delete(BID, 50, 2), cancel(ASK, 104, 1, 5))
    assert desk.codes == ["DONE", "DONE"]
    assert [row[2] for row in desk.bids] == [1, 3, 4]
    assert desk.asks[0] == (102, 2, 5)


def test_lookup__prefers_the_order_at_the_message_price_when_an_id_rests_twice(desk):
    rows = [submit(BID, 99, 1, 9), submit(BID, 98, 2, 9), delete(BID, 98, 9)]
    desk.play(make_book(bids=[(100, [5])], config=CONFIG), *rows)
    assert desk.bids == [(100, 5, 1), (99, 1, 9)]


def test_order_id__can_be_used_again_after_it_is_gone(desk):
    desk.play(queue_book(), delete(BID, 100, 1), submit(BID, 100, 2, 1), delete(BID, 100, 1))
    assert desk.codes == ["DONE", "RESTED", "DONE"]
    assert [row[2] for row in desk.bids] == [2, 3, 4]


def test_ioc__remainder_never_rests(desk):
    desk.play(
        queue_book(),
        submit(BID, 103, 9, 50, TimeInForce.IOC),
        submit(BID, 103, 1, 51, TimeInForce.IOC),
    )
    assert desk.codes == ["PARTLY_FILLED_EXPIRED", "EXPIRED"]
    assert desk.filled == [7, 0]
    assert desk.bids[0][0] == 100


def test_fok__fills_all_or_nothing(desk):
    desk.play(
        queue_book(),
        submit(BID, 103, 8, 50, TimeInForce.FOK),
        submit(BID, 103, 7, 51, TimeInForce.FOK),
    )
    assert desk.codes == ["REJECTED_FOK", "FILLED"]
    assert desk.filled == [0, 7]


def test_fok__sees_more_shares_than_int32_holds(desk):
    book = make_book(asks=[(102, [INT32_MAX, INT32_MAX])], config=CONFIG)
    desk.play(book, submit(BID, 102, INT32_MAX, 50, TimeInForce.FOK))
    assert desk.codes == ["FILLED"]
    assert desk.asks == [(102, INT32_MAX, 2)]


def test_post_only__never_takes(desk):
    desk.play(
        queue_book(),
        submit(BID, 102, 1, 50, TimeInForce.POST_ONLY),
        submit(BID, 101, 1, 51, TimeInForce.POST_ONLY),
    )
    assert desk.codes == ["REJECTED_POST_ONLY", "RESTED"]
    assert desk.trades == []
    assert desk.bids[0] == (101, 1, 51)


def test_marketable_limit__stops_at_its_limit_and_rests_there(desk):
    desk.play(queue_book(), submit(BID, 102, 8, 50))
    assert desk.bids[0] == (102, 1, 50)
    assert desk.asks == [(104, 9, 7)]


def test_market__takes_at_any_price_and_never_rests(desk):
    desk.play(queue_book(), market(BID, 20, 50), market(BID, 1, 51))
    assert desk.codes == ["PARTLY_FILLED_EXPIRED", "EXPIRED"]
    assert desk.filled == [16, 0]
    assert desk.asks == []


def test_maker__keeps_its_place_across_takers_after_a_partial_fill(desk):
    desk.play(queue_book(), market(ASK, 2, 50), submit(BID, 100, 9, 51), market(ASK, 2, 52))
    assert desk.trades == [(100, 2, 1, 50), (100, 2, 1, 52)]
    assert [row[2] for row in desk.bids] == [1, 2, 3, 51, 4]


def test_execute__hits_the_named_side_up_to_its_price(desk):
    desk.play(queue_book(), execute(BID, 100, 6, 1), execute(ASK, 102, 99))
    assert desk.trades == [(100, 5, 1, 0), (100, 1, 2, 0), (102, 3, 5, 0), (102, 4, 6, 0)]
    assert desk.outcome.trades.aggressor_side[:4].tolist() == [ASK, ASK, BID, BID]
    assert desk.codes == ["FILLED", "PARTLY_FILLED_EXPIRED"]
    assert desk.asks == [(104, 9, 7)]


@pytest.mark.parametrize("event_type", [0, 5, 6, 7])
def test_ignored_types__change_nothing(desk, event_type):
    desk.play(queue_book(), {**submit(BID, 110, 5, 50), "event_type": event_type})
    assert desk.codes == ["IGNORED"]
    desk.assert_orders_unchanged()
    assert desk.counters() == {}


@pytest.mark.parametrize("event_type", [-1, 10, INT32_MAX, -INT32_MAX - 1])
def test_unknown_types__are_counted_and_change_nothing(desk, event_type):
    desk.play(queue_book(), {**submit(BID, 110, 5, 50), "event_type": event_type})
    assert desk.codes == ["REJECTED_UNKNOWN_TYPE"]
    desk.assert_orders_unchanged()
    assert desk.counters() == {"unknown_types": 1}


@pytest.mark.parametrize(
    "row",
    [
        submit(0, 100, 5, 50),
        submit(BID, 0, 5, 50),
        submit(BID, 110, 0, 50),
        submit(BID, 110, -5, 50),
        submit(BID, 110, 5, 0),
        submit(BID, 110, 5, 50, 4),
        market(BID, 0, 50),
        market(BID, 5, -1),
        market(2, 5, 50),
        cancel(BID, 100, 0, 1),
        delete(-2, 100, 1),
        modify(BID, 0, 5, 1),
        modify(BID, 100, 0, 1),
        modify(BID, 101, 5, 1, -1),
        execute(BID, 0, 5),
        execute(BID, 100, 0),
    ],
)
def test_invalid_fields__are_rejected_and_change_nothing(desk, row):
    desk.play(queue_book(), row)
    assert desk.codes == ["REJECTED_INVALID"]
    desk.assert_orders_unchanged()
    assert desk.counters() == {"invalid": 1}


def test_limits_of_int32__are_valid_prices_and_sizes(desk):
    desk.play(
        make_book(config=CONFIG),
        submit(ASK, INT32_MAX, INT32_MAX, INT32_MAX),
        submit(BID, INT32_MAX - 1, 5, 2),
        submit(ASK, 1, 4, 3),
        market(BID, INT32_MAX, 4),
    )
    assert desk.codes == ["RESTED", "RESTED", "FILLED", "FILLED"]
    assert desk.trades == [(INT32_MAX - 1, 4, 2, 3), (INT32_MAX, INT32_MAX, INT32_MAX, 4)]


def full_book():
    return make_book(bids=[(100 - i, [i + 1]) for i in range(8)], config=CONFIG)


def test_full_side__drops_the_order_of_lowest_priority_and_counts_it(desk):
    desk.play(full_book(), submit(BID, 97, 4, 50))
    assert desk.codes == ["RESTED"]
    assert desk.bids[4] == (97, 4, 50)
    assert [row[2] for row in desk.bids] == [1, 2, 3, 4, 50, 5, 6, 7]
    assert desk.counters() == {"dropped_orders": 1, "dropped_size": 8}


@pytest.mark.parametrize("price", [93, 90])
def test_full_side__drops_the_incoming_order_if_that_is_the_lowest(desk, price):
    desk.play(full_book(), submit(BID, price, 4, 50))
    assert desk.codes == ["DROPPED"]
    desk.assert_orders_unchanged()
    assert desk.counters() == {"dropped_orders": 1, "dropped_size": 4}


def test_full_side__modify_of_one_of_its_orders_drops_nothing(desk):
    desk.play(full_book(), modify(BID, 90, 3, 1))
    assert desk.bids[-1] == (90, 3, 1)
    assert desk.counters() == {}


def test_full_trade_buffer__still_fills_and_accounts_and_counts(desk):
    asks = [(101, [1, 1, 1, 1]), (102, [1, 1, 1, 1])]
    book = make_book(asks=asks, config=CONFIG)
    rows = [market(BID, 8, 50, 1), *[submit(ASK, 101, 1, i) for i in range(60, 66)]]
    desk.play(book, *rows, market(BID, 6, 51, 1))
    assert desk.outcome.trades.count == 12
    assert desk.outcome.fills.bought.tolist() == [0, 14, 0]
    assert desk.outcome.fills.sold.tolist() == [14, 0, 0]
    assert desk.counters() == {"dropped_trades": 2}


def standing_book():
    """Bids at 100: id 1 of the background, 2 and 3 of the opening book, 4 of agent 1."""
    book = make_book(bids=[(100, [5, 6, 7, 8]), (99, [9])], config=CONFIG)
    agents = book.bids.agent_id.at[:4].set(np.array([0, OPENING_AGENT, OPENING_AGENT, 1]))
    return book.replace(bids=book.bids.replace(agent_id=agents))


@pytest.mark.parametrize(
    ("mode", "possible"),
    [
        ("STRICT", set()),
        ("OPENING", {2}),
        ("UNIFORM", {1, 2, 3}),
        ("UNIFORM_ANY", {1, 2, 3, 4}),
    ],
)
def test_unknown_cancel__acts_on_each_order_its_mode_allows(request, desk, mode, possible):
    config = dataclasses.replace(CONFIG, unknown_cancel=UnknownCancel[mode])
    desk.engine = make_engine(request.node.callspec.params["desk"], config)
    hit = set()
    for unknown_id in range(500, 530):
        desk.play(standing_book(), cancel(BID, 100, 2, unknown_id))
        assert desk.codes == ["DONE" if possible else "REJECTED_UNKNOWN_ID"]
        assert desk.counters() == {"unknown_ids": 1}
        sizes = {order_id: size for _, size, order_id in desk.bids}
        before = {1: 5, 2: 6, 3: 7, 4: 8, 5: 9}
        changed = {i for i in before if sizes[i] != before[i]}
        assert all(sizes[i] == before[i] - 2 for i in changed)
        assert len(changed) == (1 if possible else 0)
        hit |= changed
    assert hit == possible


def test_unknown_cancel__deletes_the_recorded_size_and_never_leaves_its_price(request, desk):
    config = dataclasses.replace(CONFIG, unknown_cancel=UnknownCancel.OPENING)
    desk.engine = make_engine(request.node.callspec.params["desk"], config)
    desk.play(
        standing_book(),
        {**delete(BID, 100, 500), "size": 4},
        delete(BID, 100, 501),
        delete(BID, 99, 502),
        modify(BID, 100, 1, 503),
        delete(ASK, 100, 504),
    )
    assert desk.codes == ["DONE", "DONE", *["REJECTED_UNKNOWN_ID"] * 3]
    assert desk.bids == [(100, 5, 1), (100, 7, 3), (100, 8, 4), (99, 9, 5)]
    assert desk.counters() == {"unknown_ids": 5}


def own_book():
    """Asks: agent 2 has 3 shares at 101, agent 1 has 4 at 101, agent 2 has 5 at 102."""
    book = make_book(asks=[(101, [3, 4]), (102, [5])], config=CONFIG, agent_id=2)
    return book.replace(asks=book.asks.replace(agent_id=book.asks.agent_id.at[1].set(1)))


@pytest.mark.parametrize(
    ("mode", "code", "filled", "asks", "bids"),
    [
        ("OFF", "FILLED", 9, [(102, 3, 3)], []),
        ("CANCEL_RESTING", "PARTLY_FILLED_RESTED", 8, [], [(102, 1, 50)]),
        ("CANCEL_INCOMING", "PARTLY_FILLED_EXPIRED", 3, [(101, 4, 2), (102, 5, 3)], []),
        ("DECREMENT_BOTH", "PARTLY_FILLED_EXPIRED", 5, [(102, 3, 3)], []),
    ],
)
def test_self_match__prevention_modes(request, desk, mode, code, filled, asks, bids):
    config = dataclasses.replace(CONFIG, self_match=SelfMatch[mode])
    desk.engine = make_engine(request.node.callspec.params["desk"], config)
    desk.play(own_book(), submit(BID, 102, 9, 50, agent_id=1))
    assert (desk.codes, desk.filled) == ([code], [filled])
    assert (desk.asks, desk.bids) == (asks, bids)
    is_prevented = mode != "OFF"
    assert (2 not in [row[2] for row in desk.trades]) == is_prevented
    assert int(desk.outcome.fills.self_size[1]) == (0 if is_prevented else 4)


@pytest.mark.parametrize("mode", list(SelfMatch))
@pytest.mark.parametrize(("size", "is_refused"), [(3, set()), (8, {2, 3}), (9, {1, 2, 3})])
def test_self_match__fok_counts_only_what_it_could_trade(request, desk, mode, size, is_refused):
    config = dataclasses.replace(CONFIG, self_match=mode)
    desk.engine = make_engine(request.node.callspec.params["desk"], config)
    desk.play(own_book(), submit(BID, 102, size, 50, TimeInForce.FOK, agent_id=1))
    assert desk.codes == ["REJECTED_FOK" if int(mode) in is_refused else "FILLED"]


@pytest.mark.parametrize("agent_id", [0, -3])
def test_self_match__is_never_prevented_for_those_without_an_agent(request, desk, agent_id):
    config = dataclasses.replace(CONFIG, self_match=SelfMatch.CANCEL_RESTING)
    desk.engine = make_engine(request.node.callspec.params["desk"], config)
    book = make_book(asks=[(101, [3])], config=CONFIG, agent_id=agent_id)
    desk.play(book, submit(BID, 101, 3, 50, agent_id=agent_id))
    assert desk.codes == ["FILLED"]


def test_equal_timestamps__never_reorder(desk):
    rows = [{**submit(BID, 100, 1, i), "time_s": 5} for i in (3, 1, 2)]
    desk.play(make_book(config=CONFIG), *rows, {**market(ASK, 2, 9), "time_s": 5})
    assert [row[2] for row in desk.trades] == [3, 1]


@pytest.mark.parametrize(
    "field", [{"num_slots": 0}, {"max_trades": -1}, {"self_match": 1}, {"unknown_cancel": "strict"}]
)
def test_config__names_the_field_that_is_wrong(field):
    with pytest.raises(ValueError, match=f"BookConfig.{next(iter(field))} is"):
        BookConfig(**field)


def test_batch__equals_the_same_messages_one_call_each(desk):
    rows = [submit(ASK, 103, 4, 20), market(BID, 5, 21), modify(BID, 101, 9, 2), delete(BID, 99, 4)]
    together = desk.play(queue_book(), *rows).book
    book = queue_book()
    for row in rows:
        book = desk.play(book, row).book
    jax.tree.map(np.testing.assert_array_equal, book, together)
