import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs.agents.execution.actions import (
    FixedQuants,
    FixedQuantsComplex,
    SimplestCase,
    Twap,
    level_prices,
)
from marl_envs.agents.execution.task import ExecutionTask
from marl_envs.testing import make_agent, make_market


def buyer(size=600, done=0, **changes):
    return make_agent(task_side=1, task_size=size, account={"bought": done}, **changes)


def seller(size=600, done=0, **changes):
    return make_agent(task_side=-1, task_size=size, account={"sold": done}, **changes)


def order(scheme, action, agent, market=None):
    """(side, price, size) of the one wanted order."""
    market = make_market() if market is None else market
    want = scheme.wanted(jnp.int32(action), agent, market, None)
    assert want.size.shape == (1,)
    assert not bool(want.is_immediate[0])
    return tuple(int(np.asarray(x)[0]) for x in (want.side, want.price, want.size))


def test_levels__far_mid_near_and_behind_on_both_sides():
    """The mid of 96 and 103 is 99.5, rounded towards passive."""
    assert level_prices(buyer(best_bid=96, best_ask=103), 2).tolist() == [103, 99, 96, 94]
    assert level_prices(seller(best_bid=96, best_ask=103), 2).tolist() == [96, 100, 103, 105]


def test_fixed_quants__five_actions():
    agent = buyer(best_bid=96, best_ask=103)
    prices = [order(FixedQuants(), action, agent)[1:] for action in range(5)]
    assert prices[0][1] == 0
    assert prices[1:] == [(103, 10), (99, 10), (96, 10), (95, 10)]
    assert order(FixedQuants(larger_far_touch_quant=True), 1, agent) == (1, 103, 100)


def test_fixed_quants_complex__three_sizes_at_each_level():
    agent = seller(best_bid=96, best_ask=103)
    rows = [order(FixedQuantsComplex(), action, agent) for action in range(1, 13)]
    expected = [(-1, p, q) for p in (96, 100, 103, 104) for q in (10, 20, 50)]
    assert rows == expected


def test_simplest_case__three_actions():
    agent = buyer(best_bid=96, best_ask=103)
    assert SimplestCase().space.n == 3
    assert [order(SimplestCase(), action, agent)[1] for action in (1, 2)] == [103, 96]


@pytest.mark.parametrize(
    ("remaining", "steps_left", "size"), [(600, 10, 60), (601, 10, 61), (5, 10, 1), (7, 1, 7)]
)
def test_twap__spreads_the_remainder_evenly(remaining, steps_left, size):
    agent = buyer(size=700, done=700 - remaining)
    assert order(Twap(), 0, agent, make_market(steps_left=steps_left)) == (1, 101, size)


@pytest.mark.parametrize("action", [3, 6, 9, 12])
def test_clip__an_oversize_order_is_cut_but_keeps_its_price(action):
    """An oversize passive order must stay passive."""
    small = order(FixedQuantsComplex(), action, buyer(size=600, done=593))
    full = order(FixedQuantsComplex(), action, buyer(size=600))
    assert small == (full[0], full[1], 7)


@pytest.mark.parametrize("make", [buyer, seller])
def test_clip__an_overfilled_task_wants_nothing(make):
    assert order(FixedQuantsComplex(), 1, make(size=600, done=605))[2] == 0


@pytest.mark.parametrize("scheme", [FixedQuants(), FixedQuantsComplex(), SimplestCase()])
def test_execution_schemes__every_action_differs_from_every_other(scheme):
    for make in (buyer, seller):
        agent = make(best_bid=96, best_ask=103)
        rows = [order(scheme, action, agent) for action in range(scheme.space.n)]
        assert len(set(rows[1:])) == scheme.space.n - 1
        assert rows[0][2] == 0


def test_task__random_sides_are_drawn_for_every_agent_on_its_own():
    side, size = ExecutionTask(task_size=50).sample(jax.random.key(0), 200)
    assert set(size.tolist()) == {50}
    assert set(side.tolist()) == {Side.BID, Side.ASK}
    assert 60 < int((side == Side.BID).sum()) < 140


@pytest.mark.parametrize(("task", "side"), [("buy", Side.BID), ("sell", Side.ASK)])
def test_task__fixed_side(task, side):
    assert ExecutionTask(task=task).sample(jax.random.key(0), 3)[0].tolist() == [side] * 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExecutionTask(task="hold"), "task is 'hold'"),
        (lambda: ExecutionTask(task_size=0), "task_size is 0"),
        (lambda: FixedQuants(n_ticks_in_book=0), "n_ticks_in_book is 0"),
    ],
)
def test_execution__refuses_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
