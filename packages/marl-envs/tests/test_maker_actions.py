import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs.agents.market_making.actions import (
    DoNothing,
    FixedQuants,
    liquidate,
)
from marl_envs.agents.market_making.optimal import AvellanedaStoikov
from marl_envs.testing import make_agent, make_market
from marl_envs.types import Calibration

CALIBRATION = Calibration(
    volatility=jnp.float32(0.5), depth_decay=jnp.float32(0.3), arrival_rate=jnp.float32(0.4)
)


def orders(scheme, action, agent, market=None):
    """Wanted orders as sorted (side, price, size, is_immediate) rows."""
    market = make_market() if market is None else market
    want = scheme.wanted(jnp.int32(action), agent, market, CALIBRATION)
    columns = (want.side, want.price, want.size, want.is_immediate)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return sorted(row for row in rows if row[2] > 0)


@pytest.mark.parametrize(
    ("action", "bid", "ask"),
    [
        (0, 96, 103),
        (1, 92, 107),
        (2, 88, 111),
        (3, 84, 115),
        (4, 80, 119),
        (5, 96, 111),
        (6, 88, 103),
        (7, 76, 107),
        (8, 92, 123),
    ],
)
def test_fixed_quants__quotes_at_multiples_of_h(action, bid, ask):
    """Spread 7: h = floor(3.5) + 1 = 4."""
    agent = make_agent(best_bid=96, best_ask=103)
    quotes = orders(FixedQuants(), action, agent)
    assert quotes == [(Side.ASK, ask, 10, False), (Side.BID, bid, 10, False)]


@pytest.mark.parametrize(("inventory", "side", "size"), [(15, Side.ASK, 8), (-15, Side.BID, 8)])
def test_fixed_quants__tenth_action_trades_out_part_of_the_inventory(inventory, side, size):
    agent = make_agent(account={"inventory": inventory})
    ((got_side, price, got_size, is_immediate),) = orders(FixedQuants(), 9, agent)
    assert (got_side, got_size, is_immediate) == (side, size, True)
    assert price == 1 if side == Side.ASK else price > 10**9


def test_fixed_quants__tenth_action_can_be_left_out():
    assert FixedQuants().space.n == 10
    assert FixedQuants(tenth_action="NA").space.n == 9


def test_fixed_quants__too_much_inventory_is_traded_out_whatever_was_chosen():
    scheme = FixedQuants(auto_liquidate_threshold=20, auto_liquidate_alpha=0.25)
    assert len(orders(scheme, 0, make_agent(account={"inventory": 20}))) == 2
    assert orders(scheme, 0, make_agent(account={"inventory": 21})) == [(Side.ASK, 1, 6, True)]


def test_fixed_quants__never_quotes_below_one_tick_or_crossed_with_itself():
    agent = make_agent(best_bid=2, best_ask=9)
    quotes = orders(FixedQuants(), 4, agent)
    assert quotes[1][1] == 1
    crossed = make_agent(best_bid=101, best_ask=101)
    ask, bid = orders(FixedQuants(), 0, crossed)
    assert ask[1] > bid[1]


def test_liquidate__nothing_to_do_when_flat():
    assert int(liquidate(jnp.int32(0), 0.5).size.sum()) == 0


def test_avellaneda_stoikov__worked_example():
    """gamma .2 k / 1.5 = .04, sigma^2 tau = 2.5, I = 2 quotes long, mid 1000.

    risk = .1; reservation = 999.8; half spread = .05 + ln(1 + .04 / .3) / .04 = 3.179.
    """
    agent = make_agent(best_bid=990, best_ask=1010, account={"inventory": 20})
    quotes = orders(AvellanedaStoikov(), 1, agent, make_market(990, 1010))
    assert quotes == [(Side.ASK, 1003, 10, False), (Side.BID, 996, 10, False)]


def test_avellaneda_stoikov__stays_passive_however_large_the_inventory():
    agent = make_agent(best_bid=990, best_ask=1010, account={"inventory": 10_000})
    ask, bid = orders(AvellanedaStoikov(), 7, agent, make_market(990, 1010))
    assert ask[1] == 991
    assert bid[1] < 990


def test_avellaneda_stoikov__needs_a_calibration():
    with pytest.raises(ValueError, match="calibration"):
        AvellanedaStoikov().wanted(jnp.int32(0), make_agent(), make_market(), None)


def test_do_nothing__wants_nothing():
    assert orders(DoNothing(), 0, make_agent()) == []


@pytest.mark.parametrize("scheme", [FixedQuants(), AvellanedaStoikov()])
def test_maker_schemes__every_action_differs_from_every_other(scheme):
    seen = {action: [] for action in range(scheme.space.n)}
    for spread, inventory in ((4, 30), (7, -45), (12, 75)):
        agent = make_agent(1000, 1000 + spread, account={"inventory": inventory})
        market = make_market(1000, 1000 + spread, steps_left=60)
        for action, views in seen.items():
            views.append(tuple(orders(scheme, action, agent, market)))
    assert len({tuple(views) for views in seen.values()}) == scheme.space.n


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedQuants(fixed_quant_value=0), "fixed_quant_value is 0"),
        (lambda: FixedQuants(tenth_action="maybe"), "tenth_action is 'maybe'"),
        (lambda: FixedQuants(auto_liquidate_alpha=1.5), "auto_liquidate_alpha is 1.5"),
        (lambda: AvellanedaStoikov(gammas=(1.0, 1.0)), "gammas"),
        (lambda: AvellanedaStoikov(gammas=(0.0,)), "gammas"),
    ],
)
def test_maker_schemes__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
