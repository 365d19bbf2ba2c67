"""Execution schemes that choose sizes: at fixed prices, or of the recent volume."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs.agents.execution.sizing import FixedPrices, Participation
from marl_envs.testing import make_agent, make_market


def buyer(size=600, done=0):
    return make_agent(96, 103, task_side=1, task_size=size, account={"bought": done})


def seller(size=600):
    return make_agent(96, 103, task_side=-1, task_size=size)


def rows(scheme, action, agent, **market):
    """(price, size) of each level."""
    want = scheme.wanted(jnp.asarray(action), agent, make_market(96, 103, **market), None)
    assert want.size.shape == (scheme.num_orders,)
    assert (want.side == agent.task_side).all()
    return list(zip(want.price.tolist(), want.size.tolist(), strict=True))


@pytest.mark.parametrize(
    ("number", "prices"),
    [(1, [103]), (2, [103, 96]), (3, [103, 96, 95]), (4, [103, 99, 96, 95])],
)
def test_fixed_prices__levels(number, prices):
    scheme = FixedPrices(num_price_levels=number)
    action = list(range(number))
    assert rows(scheme, action, buyer()) == [(p, 10 * i) for i, p in enumerate(prices)]
    assert scheme.space.ns == (4,) * number


def test_fixed_prices__a_seller_mirrors():
    expected = [(96, 10), (100, 10), (103, 10), (104, 10)]
    assert rows(FixedPrices(), [1, 1, 1, 1], seller()) == expected


def test_fixed_prices__delta_is_relative_to_the_even_schedule():
    """ceil(601 / 10) = 61 shares: 21, 20, 20; -2 q, 0, +3 q."""
    scheme = FixedPrices(num_price_levels=3, action_type="delta")
    assert scheme.space.ns == (7, 7, 7)
    assert [size for _, size in rows(scheme, [1, 3, 6], buyer(601))] == [1, 20, 50]
    assert [size for _, size in rows(scheme, [0, 0, 0], buyer(601))] == [0, 0, 0]


def test_fixed_prices__cuts_the_last_levels_first_and_keeps_prices():
    assert rows(FixedPrices(), [3, 0, 3, 3], buyer(600, 555)) == [
        (103, 30),
        (99, 0),
        (96, 15),
        (95, 0),
    ]


@pytest.mark.parametrize(
    "scheme", [FixedPrices(max_multiple=1), FixedPrices(action_type="delta", max_multiple=1)]
)
def test_fixed_prices__every_action_differs_from_every_other(scheme):
    actions = itertools.product(*(range(n) for n in scheme.space.ns))
    seen = [tuple(rows(scheme, action, buyer())) for action in actions]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("action", "price", "size"),
    [((0.5, 0.0), 96, 20), ((1.0, 1.0), 103, 40), ((0.51, 0.5), 99, 21), ((0.0, 1.0), 103, 0)],
)
def test_participation__share_of_the_volume_between_the_touches(action, price, size):
    """Half of 80 shares a step is the most; the spread is 7."""
    got = rows(Participation(), action, buyer(), average_volume=80.0)
    assert got == [(price, size)]


def test_participation__is_cut_to_the_task_and_mirrors_for_a_seller():
    assert rows(Participation(), (1.0, 0.5), seller(15), average_volume=80.0) == [(100, 15)]
    assert rows(Participation(), (1.0, 0.5), seller(15)) == [(100, 0)]


def test_participation__different_actions_want_different_orders():
    grid = list(itertools.product(np.linspace(0.1, 1, 5), np.linspace(0, 1, 5)))
    seen = {tuple(rows(Participation(), action, buyer(), average_volume=80.0)) for action in grid}
    assert len(seen) == len(grid)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedPrices(num_price_levels=5), "num_price_levels is 5"),
        (lambda: FixedPrices(action_type="both"), "action_type is 'both'"),
        (lambda: FixedPrices(max_multiple=0), "max_multiple is 0"),
        (lambda: Participation(max_participation=0.0), "max_participation is 0"),
    ],
)
def test_sizing__refuses_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
