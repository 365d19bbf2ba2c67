import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import BookConfig, Side, measures
from lob_core.testing import make_book, stack_trees
from lob_core.views import level_1

CONFIG = BookConfig(num_slots=8, max_trades=0)
BOOK = make_book(bids=[(100, [5, 7]), (98, [10])], asks=[(103, [3]), (104, [1, 1])], config=CONFIG)
EMPTY = make_book(config=CONFIG)
ONE_SIDED = make_book(bids=[(100, [4])], config=CONFIG)


def test_measures__of_a_book_worked_out_by_hand():
    assert measures.best_bid(BOOK) == 100
    assert measures.best_ask(BOOK) == 103
    assert measures.best_price(BOOK, Side.BID) == 100
    assert measures.best_price(BOOK, Side.ASK) == 103
    assert measures.mid_half_ticks(BOOK) == 203
    assert measures.mid(BOOK) == 101.5
    assert measures.spread(BOOK) == 3
    assert measures.microprice(BOOK) == pytest.approx((100 * 3 + 103 * 12) / 15, rel=1e-6)
    assert measures.imbalance(BOOK) == pytest.approx((12 - 3) / 15)
    assert measures.imbalance(BOOK, 2) == pytest.approx((22 - 5) / 27)
    assert measures.depth(BOOK.bids, 1) == 12
    assert measures.depth(BOOK.bids, 5) == 22
    assert measures.depth_within(BOOK.bids, 0) == 12
    assert measures.depth_within(BOOK.bids, 2) == 22
    assert measures.depth_within(BOOK.asks, 1) == 5


@pytest.mark.parametrize("book", [EMPTY, ONE_SIDED])
def test_measures__need_both_sides_to_speak_of_a_mid(book):
    assert not measures.has_both_sides(book)
    for measure in (
        measures.mid_half_ticks,
        measures.mid,
        measures.spread,
        measures.microprice,
    ):
        assert measure(book) == 0
    assert measures.imbalance(book) == (1.0 if book is ONE_SIDED else 0.0)


def test_microprice__is_exact_enough_at_large_prices():
    book = make_book(bids=[(2_000_000, [1])], asks=[(2_000_001, [3])], config=CONFIG)
    assert measures.microprice(book) == np.float32(2_000_000.25)


def test_measures__vmap_equals_one_at_a_time():
    books = [BOOK, EMPTY, ONE_SIDED]

    def all_measures(book):
        return (
            measures.mid(book),
            measures.spread(book),
            measures.microprice(book),
            measures.imbalance(book, 2),
            measures.depth(book.asks, 2),
        )

    batched = jax.jit(jax.vmap(all_measures))(stack_trees(books))
    single = stack_trees([all_measures(book) for book in books])
    jax.tree.map(np.testing.assert_array_equal, batched, single)


def touch(bid, bid_size, ask, ask_size):
    return level_1(
        make_book(
            bids=[(bid, [bid_size])] if bid_size else [],
            asks=[(ask, [ask_size])] if ask_size else [],
            config=CONFIG,
        )
    )


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ((100, 5, 103, 7), 0),  # nothing happened
        ((100, 9, 103, 7), 4),  # bid grows
        ((100, 5, 103, 4), 3),  # ask shrinks
        ((101, 2, 103, 7), 2),  # bid improves
        ((99, 2, 103, 7), -5),  # bid falls back
        ((100, 5, 102, 6), -6),  # ask improves
        ((100, 5, 104, 6), 7),  # ask falls back
        ((100, 0, 103, 7), -5),  # bids vanish
        ((100, 5, 103, 0), 7),  # asks vanish
    ],
)
def test_order_flow_imbalance__follows_the_formula(after, expected):
    assert measures.order_flow_imbalance(touch(100, 5, 103, 7), touch(*after)) == expected


def test_order_flow_imbalance__adds_up_what_an_empty_side_gains():
    assert measures.order_flow_imbalance(touch(0, 0, 0, 0), touch(100, 5, 103, 7)) == 5 - 7


@pytest.mark.parametrize(
    ("size", "expected"), [(0, (0, 0)), (2, (2, 2)), (4, (4, 3 + 2)), (99, (5, 3 + 2 + 2))]
)
def test_walk_notional__pays_best_prices_first(size, expected):
    filled, notional = measures.walk_notional(BOOK.asks, jnp.int32(size), 102)
    assert (int(filled), int(notional)) == expected
