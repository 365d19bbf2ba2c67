import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs.agents.directional.actions import DirectionalTrading
from marl_envs.agents.market_making.quoting import (
    BobRL,
    BobStrategy,
    FixedQuantsPaper,
    Simple,
    SpreadSkew,
)
from marl_envs.testing import make_agent, make_market

BID, ASK = int(Side.BID), int(Side.ASK)


def orders(scheme, action, agent=None):
    """Wanted orders as (side, price, size, is_immediate), bids first."""
    agent = make_agent(96, 103) if agent is None else agent
    want = scheme.wanted(jnp.int32(action), agent, make_market(96, 103), None)
    assert want.size.shape == (scheme.num_orders,)
    columns = (want.side, want.price, want.size, want.is_immediate)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return sorted((row for row in rows if row[2] > 0), reverse=True)


def holding(shares, bid=96, ask=103):
    return make_agent(bid, ask, account={"inventory": shares})


@pytest.mark.parametrize(
    ("action", "bid", "ask"),
    [
        (1, 88, 111),
        (2, 80, 119),
        (3, 97, 102),
        (4, 96, 111),
        (5, 88, 103),
        (6, 76, 102),
        (7, 97, 123),
    ],
)
def test_fixed_quants_paper__offsets_in_h_and_one_tick_inside(action, bid, ask):
    """Spread 7: h = 4."""
    assert orders(FixedQuantsPaper(), action) == [(BID, bid, 10, False), (ASK, ask, 10, False)]


def test_fixed_quants_paper__no_trade_and_no_crossing_of_a_one_tick_spread():
    assert orders(FixedQuantsPaper(), 0) == []
    bid, ask = orders(FixedQuantsPaper(), 3, make_agent(100, 101))
    assert (bid[1], ask[1]) == (100, 101)


@pytest.mark.parametrize(
    ("action", "bid", "ask"),
    [(0, 91, 98), (1, 96, 103), (2, 101, 108), (3, 84, 105), (4, 89, 110), (5, 94, 115)],
)
def test_spread_skew__spread_and_skew(action, bid, ask):
    """Mid 99.5, spread 7 or 21, skew 5."""
    assert orders(SpreadSkew(), action) == [(BID, bid, 10, False), (ASK, ask, 10, False)]


def test_spread_skew__stays_passive_in_a_tight_market():
    bid, ask = orders(SpreadSkew(), 2, make_agent(100, 101))
    assert bid[1] == 100
    assert ask[1] == 106


@pytest.mark.parametrize(
    ("action", "inventory", "sizes"),
    [(0, 0, (10, 10)), (0, 10, (8, 12)), (4, 10, (0, 20)), (2, -10, (16, 4)), (4, 30, (0, 40))],
)
def test_bob_strategy__sizes_lean_against_the_inventory(action, inventory, sizes):
    rows = {row[0]: row[1:3] for row in orders(BobStrategy(), action, holding(inventory))}
    assert rows.get(BID, (96, 0)) == (96, sizes[0])
    assert rows.get(ASK, (103, 0)) == (103, sizes[1])


def test_bob_rl__sizes_add_up_and_alternate():
    sizes = []
    for action in range(5):
        rows = {row[0]: row[2] for row in orders(BobRL(v0=2), action)}
        sizes.append((rows.get(BID, 0) // 10, rows.get(ASK, 0) // 10))
    assert sizes == [(2, 2), (3, 1), (1, 3), (4, 0), (0, 4)]
    assert BobRL(v0=10).space.n == 21


def test_simple__four_actions():
    assert orders(Simple(), 0) == [(BID, 96, 10, False), (ASK, 103, 10, False)]
    assert orders(Simple(), 1) == [(BID, 103, 10, True)]
    assert orders(Simple(), 2) == [(ASK, 96, 10, True)]
    assert orders(Simple(), 3) == []


def test_directional__buys_and_sells_at_the_touch_within_the_limit():
    scheme = DirectionalTrading(position_limit=25)
    assert orders(scheme, 0) == []
    assert orders(scheme, 1) == [(BID, 103, 10, True)]
    assert orders(scheme, 2) == [(ASK, 96, 10, True)]
    assert orders(scheme, 1, holding(20)) == [(BID, 103, 5, True)]
    assert orders(scheme, 1, holding(25)) == []
    assert orders(scheme, 2, holding(25)) == [(ASK, 96, 10, True)]
    assert orders(DirectionalTrading(order_type="resting"), 1) == [(BID, 103, 10, False)]


@pytest.mark.parametrize(
    "scheme",
    [FixedQuantsPaper(), SpreadSkew(), BobStrategy(), BobRL(v0=5), Simple(), DirectionalTrading()],
)
def test_schemes__every_action_differs_from_every_other(scheme):
    agents = [holding(shares, 1000, 1000 + spread) for spread, shares in ((4, 5), (9, -7), (12, 3))]
    seen = {
        tuple(tuple(orders(scheme, action, agent)) for agent in agents)
        for action in range(scheme.space.n)
    }
    assert len(seen) == scheme.space.n


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BobRL(v0=0), "v0 is 0"),
        (lambda: SpreadSkew(spread_multiplier=1), "spread_multiplier is 1"),
        (lambda: DirectionalTrading(order_type="FOK"), "order_type is 'FOK'"),
        (lambda: DirectionalTrading(position_limit=0), "position_limit is 0"),
    ],
)
def test_schemes__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
