"""Wanted orders against resting ones, played through the engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lob_core import BookConfig, EventType, Message, Side, process_messages
from marl_envs.netting import merge_duplicates, net_orders, no_orders, num_requests
from marl_envs.own_orders import read_sizes
from marl_envs.testing import make_book
from marl_envs.types import OwnOrders, Wanted

K = 2
FIRST_ID = 2**30
CONFIG = BookConfig(num_slots=16, max_trades=0, num_agents=1)
NET = jax.jit(net_orders, static_argnums=3)


def wanted(*orders, is_immediate=False):
    rows = [*orders, *[(Side.BID, 1, 0)] * (K - len(orders))]
    side, price, size = (jnp.array(column, jnp.int32) for column in zip(*rows, strict=True))
    return Wanted(side=side, price=price, size=size, is_immediate=jnp.full(K, is_immediate))


@jax.jit
def play(book, table, want, first_id):
    """One agent's step: netting, engine, sizes read back."""
    requests, table = net_orders(want, table, first_id, 1)
    count = num_requests(K)
    messages = Message(
        event_type=requests.event_type,
        side=requests.side,
        price=requests.price,
        size=requests.size,
        order_id=requests.order_id,
        agent_id=jnp.ones(count, jnp.int32),
        time_in_force=requests.time_in_force,
        time_s=jnp.zeros(count, jnp.int32),
        time_ns=jnp.zeros(count, jnp.int32),
    )
    book, outcome = process_messages(book, messages, config=CONFIG)
    tables = jax.tree.map(lambda leaf: leaf[None], table)
    tables = read_sizes(tables, jnp.ones(1, jnp.int32), book)
    return book, jax.tree.map(lambda leaf: leaf[0], tables), requests, outcome


def own(book, side):
    """(price, size, id) of the agent's orders on a side, in priority order."""
    orders = book.bids if side == Side.BID else book.asks
    rows = zip(*(np.asarray(x) for x in (orders.price, orders.size, orders.order_id)), strict=True)
    mine = np.asarray(orders.agent_id) == 1
    return [tuple(map(int, row)) for row, is_own in zip(rows, mine, strict=True) if is_own]


def sent(requests):
    kinds = np.asarray(requests.event_type)
    return [EventType(kind).name for kind in kinds if kind != EventType.NOOP]


@pytest.fixture
def book():
    return make_book(bids=[(99, 100)], asks=[(101, 100)])


def test_net__an_unchanged_order_is_not_touched(book):
    want = wanted((Side.BID, 99, 10))
    book, table, _, _ = play(book, no_orders(K), want, FIRST_ID)
    after, table, requests, _ = play(book, table, want, FIRST_ID + K)
    assert sent(requests) == []
    assert own(after, Side.BID) == [(99, 10, FIRST_ID)]
    assert table.size.tolist() == [[10, 0], [0, 0]]


def test_net__a_smaller_order_shrinks_and_keeps_its_id(book):
    book, table, _, _ = play(book, no_orders(K), wanted((Side.BID, 99, 10)), FIRST_ID)
    book, _, requests, _ = play(book, table, wanted((Side.BID, 99, 4)), FIRST_ID + K)
    assert sent(requests) == ["CANCEL"]
    assert own(book, Side.BID) == [(99, 4, FIRST_ID)]


def test_net__a_larger_order_sends_only_the_difference(book):
    book, table, _, _ = play(book, no_orders(K), wanted((Side.BID, 99, 10)), FIRST_ID)
    book, table, requests, _ = play(book, table, wanted((Side.BID, 99, 15)), FIRST_ID + K)
    assert sent(requests) == ["SUBMIT"]
    assert own(book, Side.BID) == [(99, 10, FIRST_ID), (99, 5, FIRST_ID + K)]
    assert table.size[0].tolist() == [10, 5]


def test_net__growing_again_renews_only_the_youngest_part(book):
    table = no_orders(K)
    for step, size in enumerate((10, 15, 22)):
        want = wanted((Side.BID, 99, size))
        book, table, _, _ = play(book, table, want, FIRST_ID + K * step)
    assert own(book, Side.BID) == [(99, 10, FIRST_ID), (99, 12, FIRST_ID + 2 * K)]


def test_net__shrinking_takes_the_youngest_shares_first(book):
    table = no_orders(K)
    for step, size in enumerate((10, 15, 12, 7)):
        want = wanted((Side.BID, 99, size))
        book, table, _, _ = play(book, table, want, FIRST_ID + K * step)
    assert own(book, Side.BID) == [(99, 7, FIRST_ID)]


def test_net__cancel_and_new_order_on_opposite_sides_both_happen(book):
    """Same size, other side: they must not annihilate each other."""
    book, table, _, _ = play(book, no_orders(K), wanted((Side.BID, 99, 10)), FIRST_ID)
    book, table, requests, _ = play(book, table, wanted((Side.ASK, 101, 10)), FIRST_ID + K)
    assert sent(requests) == ["DELETE", "SUBMIT"]
    assert own(book, Side.BID) == []
    assert own(book, Side.ASK) == [(101, 10, FIRST_ID + K)]


def test_net__same_price_on_the_other_side_is_another_order(book):
    book, table, _, _ = play(book, no_orders(K), wanted((Side.BID, 100, 10)), FIRST_ID)
    book, _, _, _ = play(book, table, wanted((Side.ASK, 100, 10)), FIRST_ID + K)
    assert own(book, Side.BID) == []
    assert own(book, Side.ASK) == [(100, 10, FIRST_ID + K)]


def test_net__an_immediate_order_never_rests_and_replaces_quotes(book):
    book, table, _, _ = play(book, no_orders(K), wanted((Side.BID, 99, 10)), FIRST_ID)
    want = wanted((Side.BID, 101, 130), is_immediate=True)
    book, table, _, outcome = play(book, table, want, FIRST_ID + K)
    assert own(book, Side.BID) == []
    assert int(outcome.fills.bought[1]) == 100
    assert int(table.size.sum()) == 0


def test_net__a_partly_filled_order_is_topped_up_behind_itself(book):
    book, table, _, _ = play(book, no_orders(K), wanted((Side.BID, 100, 10)), FIRST_ID)
    table = table.replace(size=table.size.at[0, 0].set(6))
    resting = book.bids.replace(size=jnp.where(book.bids.order_id == FIRST_ID, 6, book.bids.size))
    book = book.replace(bids=resting)
    book, _, _, _ = play(book, table, wanted((Side.BID, 100, 10)), FIRST_ID + K)
    assert own(book, Side.BID) == [(100, 6, FIRST_ID), (100, 4, FIRST_ID + K)]


def test_merge_duplicates__adds_equal_rows_up():
    merged = merge_duplicates(wanted((Side.BID, 99, 10), (Side.BID, 99, 5)))
    assert merged.size.tolist() == [15, 0]
    merged = merge_duplicates(wanted((Side.BID, 99, 10), (Side.ASK, 99, 5)))
    assert merged.size.tolist() == [10, 5]


quotes = st.tuples(
    st.sampled_from([90, 91, 92]), st.integers(0, 9), st.sampled_from([110, 111]), st.integers(0, 9)
)


@settings(max_examples=40, deadline=None)
@given(st.lists(quotes, min_size=1, max_size=6))
def test_net__book_always_holds_exactly_what_is_wanted(episode):
    book = make_book(bids=[(91, 100)], asks=[(110, 100)])
    table = no_orders(K)
    for step, (bid, bid_size, ask, ask_size) in enumerate(episode):
        want = wanted((Side.BID, bid, bid_size), (Side.ASK, ask, ask_size))
        first_id = FIRST_ID + K * step
        book, table, _, _ = play(book, table, want, first_id)
        for side, price, size in ((Side.BID, bid, bid_size), (Side.ASK, ask, ask_size)):
            mine = own(book, side)
            assert sum(order[1] for order in mine) == size
            assert all(order[0] == price for order in mine)
            ids = {order[2] for order in mine}
            assert ids <= set(np.asarray(table.order_id).ravel().tolist())
        assert int(book.counters.unknown_ids) == 0
        assert int(book.counters.invalid) == 0


def test_read_sizes__an_empty_slot_matches_nothing():
    book = make_book(bids=[(99, 100)])
    table = OwnOrders(
        side=jnp.array([[1]]),
        price=jnp.array([[99]]),
        size=jnp.zeros((1, 1, 2), jnp.int32),
        order_id=jnp.zeros((1, 1, 2), jnp.int32),
    )
    assert int(read_sizes(table, jnp.ones(1, jnp.int32), book).size.sum()) == 0
