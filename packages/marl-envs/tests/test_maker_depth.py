"""Action schemes that spread shares over prices or choose quotes freely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs.agents.market_making.depth import ContinuousQuotes, FixedPrices, Ladder
from marl_envs.agents.market_making.optimal import Glft
from marl_envs.testing import make_agent, make_market
from marl_envs.types import Calibration

BID, ASK = int(Side.BID), int(Side.ASK)
CALIBRATION = Calibration(
    volatility=jnp.float32(0.5), depth_decay=jnp.float32(0.3), arrival_rate=jnp.float32(0.4)
)
AGENT = make_agent(96, 103)


def orders(scheme, action, agent=AGENT):
    """Wanted orders as sorted (side, price, size) rows."""
    want = scheme.wanted(jnp.asarray(action), agent, make_market(96, 103), CALIBRATION)
    assert want.size.shape == (scheme.num_orders,)
    assert not bool(want.is_immediate.any())
    columns = (want.side, want.price, want.size)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return sorted(row for row in rows if row[2] > 0)


def test_fixed_prices__eight_prices():
    """Mid 99.5 rounds towards passive: 99 for bids, 100 for asks."""
    scheme = FixedPrices(n_ticks_in_book=2)
    assert orders(scheme, [1, 2, 3, 0, 0, 0, 0, 0]) == [(BID, 94, 20), (BID, 96, 10), (BID, 99, 30)]
    assert orders(scheme, [0, 0, 0, 0, 3, 2, 1, 0]) == [
        (ASK, 100, 10),
        (ASK, 103, 30),
        (ASK, 105, 20),
    ]
    assert orders(scheme, [0, 0, 0, 2, 0, 0, 0, 0]) == [(BID, 103, 20)]
    assert orders(scheme, [0, 0, 0, 0, 0, 0, 0, 2]) == [(ASK, 96, 20)]
    assert orders(scheme, [0] * 8) == []


def test_fixed_prices__asks_move_up_together_rather_than_meet_an_own_bid():
    assert orders(FixedPrices(), [0, 0, 0, 1, 1, 2, 0, 0]) == [
        (ASK, 104, 10),
        (ASK, 105, 20),
        (BID, 103, 10),
    ]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ((1 / 6, 1 / 6, 1.0, 0.5), [(ASK, 103, 10), (BID, 96, 20)]),  # offset 0: the touch
        ((0.5, 1 / 3, 0.25, 1.0), [(ASK, 107, 20), (BID, 89, 5)]),  # 2 and 1 half spreads: 7, 3.5
        ((0.0, 1.0, 0.5, 0.0), [(BID, 100, 10)]),  # the mid, rounded from 3.5 to 4 ticks inside
        ((0.3, 0.7, 0.0, 0.0), []),
        ((9.0, -9.0, 2.0, -1.0), [(BID, 78, 20)]),  # outside the space: clipped
    ],
)
def test_continuous_quotes__offsets_in_half_spreads(action, expected):
    assert orders(ContinuousQuotes(), action) == expected


def test_continuous_quotes__stay_passive():
    ((_, ask, _), (_, bid, _)) = orders(ContinuousQuotes(), (0, 0, 1, 1), make_agent(100, 101))
    assert (bid, ask) == (100, 101)


def test_ladder__sizes_are_those_of_a_scaled_beta():
    """Modes 0, 1/2, 1 with c = 4 are Beta(1, 3), (2, 2), (3, 1): F = 1-(1-x)^3, 3x^2-2x^3, x^3."""
    scheme = Ladder(num_quote_levels=4, ladder_size=640, concentration=4.0)
    assert scheme.sizes().tolist() == [[370, 190, 70, 10], [100, 220, 220, 100], [10, 70, 190, 370]]


def test_ladder__pairs_of_modes():
    scheme = Ladder(num_quote_levels=2, ladder_size=80, level_spacing=3, concentration=4.0)
    assert scheme.space.n == 10
    assert orders(scheme, 0) == []
    near, deep = 70, 10  # F(1/2) of Beta(1, 3) is 7/8
    assert orders(scheme, 1 + 0 * 3 + 2) == [
        (ASK, 103, deep),
        (ASK, 106, near),
        (BID, 93, deep),
        (BID, 96, near),
    ]


def test_glft__worked_example():
    """gamma .3 k / 1.5 = .06; ln(1.2) / .06 = 3.0387; slope .5 sqrt(.06 / .24 1.2^6) = .432."""
    agent = make_agent(990, 1010, account={"inventory": 20})
    assert orders(Glft(), 3, agent) == [(ASK, 1003, 10), (BID, 995, 10)]
    assert orders(Glft(), 6, agent) == []


@pytest.mark.parametrize("scheme", [FixedPrices(), ContinuousQuotes(), Ladder(), Glft()])
def test_schemes__different_actions_want_different_orders(scheme):
    if isinstance(scheme, Ladder | Glft):
        actions = list(range(scheme.space.n))
    else:
        keys = jax.random.split(jax.random.key(3), 24)
        actions = sorted({tuple(np.asarray(scheme.space.sample(key)).tolist()) for key in keys})
    agents = [
        make_agent(1000, 1000 + spread, account={"inventory": inventory})
        for spread, inventory in ((6, 5), (9, -30), (14, 200))
    ]
    seen = {tuple(tuple(orders(scheme, action, agent)) for agent in agents) for action in actions}
    assert len(seen) == len(actions)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedPrices(max_multiple=0), "max_multiple is 0"),
        (lambda: ContinuousQuotes(max_offset=0.0), "max_offset is 0"),
        (lambda: ContinuousQuotes(max_quote_size=0), "max_quote_size is 0"),
        (lambda: Ladder(modes=(0.5, 0.5)), "modes"),
        (lambda: Ladder(modes=(1.5,)), "modes"),
        (lambda: Ladder(concentration=1.0), "concentration is 1"),
        (lambda: Glft(gammas=(-1.0,)), "gammas"),
    ],
)
def test_schemes__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
