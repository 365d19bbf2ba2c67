import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, BookState, Side, process_messages, reference, views
from lob_core.testing import make_book, random_messages, stack_trees

CONFIG = BookConfig(num_slots=16, max_trades=0, num_agents=2)
NUM_LEVELS = 3
SEEDS = range(6)


def reference_orders(book: BookState, side: Side) -> list[reference.Order]:
    return reference.ReferenceBook.from_state(book, CONFIG).orders[side]


@pytest.fixture(scope="module")
def books() -> list[BookState]:
    streams = [random_messages(seed, 60, num_agents=2, half_width=4) for seed in SEEDS]
    empty = make_book(config=CONFIG)
    played = [reference.process_messages(empty, s, config=CONFIG)[0] for s in streams]
    one_sided = make_book(bids=[(9, [1, 2]), (7, [4])], config=CONFIG)
    full = make_book(
        bids=[(9, [1] * 16)], asks=[(10 + i, [i + 1]) for i in range(16)], config=CONFIG
    )
    return [jax.tree.map(jnp.asarray, book) for book in [*played, empty, one_sided, full]]


def levels_by_hand(book: BookState, side: Side) -> list[tuple[int, int, int]]:
    levels: dict[int, list[int]] = {}
    for order in reference_orders(book, side):
        levels.setdefault(order.price, []).append(order.size)
    rows = [(price, sum(sizes), len(sizes)) for price, sizes in levels.items()][:NUM_LEVELS]
    return rows + [(0, 0, 0)] * (NUM_LEVELS - len(rows))


def test_level_2__equals_the_levels_of_the_reference_book(books):
    assert any(len(reference_orders(book, Side.BID)) > 3 for book in books[: len(SEEDS)])
    batched = jax.jit(jax.vmap(lambda b: views.level_2(b, NUM_LEVELS)))(stack_trees(books))
    for i, book in enumerate(books):
        for levels, side in zip(batched, (Side.BID, Side.ASK), strict=True):
            found = list(
                zip(
                    levels.price[i].tolist(),
                    levels.size[i].tolist(),
                    levels.num_orders[i].tolist(),
                    strict=True,
                )
            )
            assert found == levels_by_hand(book, side)


def test_level_2__needs_at_least_one_level(books):
    with pytest.raises(ValueError, match="num_levels is 0"):
        views.level_2(books[0], 0)


def test_level_1__is_the_first_row_of_level_2(books):
    stacked = stack_trees(books)
    quotes = jax.vmap(views.level_1)(stacked)
    bids, asks = jax.vmap(lambda b: views.level_2(b, 1))(stacked)
    np.testing.assert_array_equal(quotes.bid_price, bids.price[:, 0])
    np.testing.assert_array_equal(quotes.bid_size, bids.size[:, 0])
    np.testing.assert_array_equal(quotes.ask_price, asks.price[:, 0])
    np.testing.assert_array_equal(quotes.ask_size, asks.size[:, 0])


def as_rows(orders: views.OrderList) -> list[tuple[int, ...]]:
    columns = [orders.side, orders.price, orders.size, orders.order_id, orders.agent_id]
    return list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))


def expected_rows(book: BookState, agent_id: int | None = None) -> list[tuple[int, ...]]:
    return [
        (int(side), order.price, order.size, order.order_id, order.agent_id)
        for side in (Side.BID, Side.ASK)
        for order in reference_orders(book, side)
        if agent_id is None or order.agent_id == agent_id
    ]


def test_level_3__lists_every_order(books):
    for book in books:
        rows = as_rows(views.level_3(book))
        assert len(rows) == 2 * CONFIG.num_slots
        assert [row for row in rows if row[0] != 0] == expected_rows(book)
        assert {row for row in rows if row[0] == 0} <= {(0, 0, 0, 0, -1)}


def test_orders_of_agent__lists_only_that_agents_orders(books):
    find = jax.jit(views.orders_of_agent)
    num_found = 0
    for book in books:
        for agent_id in (1, 2):
            rows = [row for row in as_rows(find(book, agent_id)) if row[0] != 0]
            assert rows == expected_rows(book, agent_id)
            num_found += len(rows)
    assert num_found > 0


def test_volume_at_price__sums_the_queue(books):
    volume = jax.jit(views.volume_at_price)
    for book in books:
        orders = reference_orders(book, Side.ASK)
        for price in [0, 1, *{order.price for order in orders}]:
            expected = sum(order.size for order in orders if order.price == price)
            assert volume(book.asks, price) == expected


@pytest.mark.parametrize("side", [Side.BID, Side.ASK])
def test_volume_to_price__is_what_a_limit_order_would_take(books, side):
    volume = jax.jit(views.volume_to_price)
    for book in books:
        orders = reference_orders(book, side)
        for price in range(995, 1006):
            expected = sum(o.size for o in orders if o.price * side >= price * side)
            assert volume(views.orders_of_side(book, side), price, side) == expected


@pytest.mark.parametrize("side", [Side.BID, Side.ASK])
def test_queue_views__count_what_is_before_each_order_of_its_price(books, side):
    ahead, position = jax.jit(views.queue_ahead), jax.jit(views.queue_position)
    for book in books:
        array = views.orders_of_side(book, side)
        orders = reference_orders(book, side)
        by_slot = views.shares_ahead_of_slots(array)
        for slot, order in enumerate(orders):
            before = [o for o in orders[:slot] if o.price == order.price]
            shares = sum(o.size for o in before)
            assert ahead(array, order.order_id) == shares
            assert position(array, order.order_id) == len(before)
            assert by_slot[slot] == shares
        assert not by_slot[len(orders) :].any()
        assert ahead(array, 10**6) == 0
        assert position(array, 10**6) == -1


def test_find_order__prefers_the_given_price_when_an_id_is_used_twice():
    book = make_book(bids=[(100, [5]), (99, [6, 7])], config=CONFIG)
    bids = book.bids.replace(order_id=book.bids.order_id.at[2].set(1))
    assert views.find_order(bids, 1) == (0, True)
    assert views.find_order(bids, 1, 99) == (2, True)
    assert views.find_order(bids, 1, 98) == (0, True)
    assert views.queue_ahead(bids, 1, 99) == 6
    assert views.queue_position(bids, 1, 99) == 1


def test_views__see_the_book_that_the_engine_leaves(books):
    messages = jax.tree.map(jnp.asarray, random_messages(99, 20, half_width=4))
    book, outcome = process_messages(books[0], messages, config=CONFIG)
    quotes = views.level_1(book)
    assert quotes.bid_price == outcome.reports.best_bid[-1]
    assert quotes.ask_price == outcome.reports.best_ask[-1]
