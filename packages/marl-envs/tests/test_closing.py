import jax.numpy as jnp
import pytest
from marl_envs.closing import PositionClosing, TaskClosing, close
from marl_envs.testing import make_agent, make_book, make_market

BOOK = make_book(bids=[(99, 10), (97, 10)], asks=[(102, 10), (104, 10)])
MARKET = make_market(best_bid=99, best_ask=102)
REFERENCE = jnp.int32(100)


@pytest.mark.parametrize(
    ("rule", "quantity", "cash"),
    [
        ("mid", 10, -10 * (101 - 100)),  # the mid is 100.5: a buyer pays 101
        ("mid", -10, 10 * (100 - 100)),
        ("near_touch", 10, -10 * (99 - 100)),
        ("near_touch", -10, 10 * (102 - 100)),
        ("far_touch", 10, -10 * (102 - 100)),
        ("far_touch", -10, 10 * (99 - 100)),
        ("book_walk", 15, -(10 * 2 + 5 * 4)),
        ("book_walk", -15, 10 * -1 + 5 * -3),
        ("book_walk", 25, -(10 * 2 + 15 * 4)),  # 5 shares more than the book shows
        ("book_walk", 0, 0),
    ],
)
def test_close__worked_examples(rule, quantity, cash):
    args = (make_agent(99, 102), MARKET, BOOK, REFERENCE)
    assert int(close(jnp.int32(quantity), rule, 0, *args)) == cash


@pytest.mark.parametrize("rule", ["mid", "near_touch", "far_touch", "book_walk"])
@pytest.mark.parametrize("quantity", [8, -8])
def test_close__penalty_costs_its_ticks_for_every_share(rule, quantity):
    args = (make_agent(99, 102), MARKET, BOOK, REFERENCE)
    without = close(jnp.int32(quantity), rule, 0, *args)
    assert int(without - close(jnp.int32(quantity), rule, 5, *args)) == 5 * 8


def test_close__does_not_trade_with_the_agents_own_orders():
    asks = BOOK.asks.replace(agent_id=BOOK.asks.agent_id.at[0].set(1))
    args = (make_agent(agent_id=1), MARKET, BOOK.replace(asks=asks), REFERENCE)
    assert int(close(jnp.int32(5), "book_walk", 0, *args)) == -5 * 4


def test_close__the_touch_is_that_of_everyone_else():
    """A long agent whose own bid at 101 is the best one closes at the 99 of the others."""
    args = (make_agent(99, 102), make_market(best_bid=101, best_ask=102), BOOK, REFERENCE)
    assert int(close(jnp.int32(-10), "far_touch", 0, *args)) == 10 * (99 - 100)


def test_close__an_empty_side_is_priced_at_the_last_known_quote():
    book = make_book(bids=[(99, 10)])
    assert int(close(jnp.int32(5), "book_walk", 0, make_agent(), MARKET, book, REFERENCE)) == -10


def test_position_closing__brings_the_inventory_to_zero():
    agent = make_agent(account={"inventory": 7})
    assert int(PositionClosing().quantity(agent)) == -7
    assert int(PositionClosing().cash(agent, MARKET, BOOK, REFERENCE)) == 7 * (99 - 100)
    assert int(PositionClosing(closing_price="none").quantity(agent)) == 0


@pytest.mark.parametrize(
    ("side", "done", "quantity"), [(1, 20, 10), (-1, 20, -10), (1, 33, -3), (-1, 33, 3)]
)
def test_task_closing__executes_the_rest_or_undoes_the_excess(side, done, quantity):
    account = {"bought": done} if side == 1 else {"sold": done}
    agent = make_agent(account=account, task_side=side, task_size=30)
    assert int(TaskClosing().quantity(agent)) == quantity


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PositionClosing(closing_price="last_trade"), "closing_price is 'last_trade'"),
        (lambda: PositionClosing(closing_penalty=-1), "closing_penalty is -1"),
        (lambda: TaskClosing(doom_price_penalty=-1), "doom_price_penalty is -1"),
    ],
)
def test_closing__refuses_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
