"""Manipulators: what they send, when they turn, and what their episode results say."""

import jax
import numpy as np
import pytest
from lob_core import EventType, Side
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.netting import no_orders
from marl_envs.population.deception import Layering, Pinging, QuoteStuffing, Spoofing
from marl_envs.population.pressure import MetaorderPredation, MomentumIgnition, PaintingTheClose
from marl_envs.testing import ScriptedFlow, make_agent, make_market

BID, ASK = int(Side.BID), int(Side.ASK)
KEY = jax.random.key(0)


def holding(shares, **changes):
    return make_agent(96, 103, account={"inventory": shares}, **changes)


def decide(behavior, agent, market=None, memory=None):
    """Wanted orders as (side, price, size, is_immediate) rows in their order, and the memory."""
    market = make_market(96, 103) if market is None else market
    memory = behavior.init_memory(KEY, agent, market) if memory is None else memory
    agent = agent.replace(orders=no_orders(behavior.num_orders))
    want, memory = behavior.decide(KEY, 0, agent, memory, market, None)
    assert want.size.shape == (behavior.num_orders,)
    columns = (want.side, want.price, want.size, want.is_immediate)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return [row for row in rows if row[2] > 0], memory


def test_layering__genuine_bid_and_bait_asks_then_the_mirror_image():
    trader = Layering(fixed_quant_value=50, num_layers=2, bait_size=300, bait_offset=2)
    rows, memory = decide(trader, holding(20))
    assert rows == [(BID, 96, 30, False), (ASK, 105, 300, False), (ASK, 106, 300, False)]
    assert int(memory.phase) == 0
    rows, memory = decide(trader, holding(50), memory=memory)
    assert rows == [(ASK, 103, 50, False), (BID, 94, 300, False), (BID, 93, 300, False)]
    rows, memory = decide(trader, holding(10), memory=memory)
    assert rows[0] == (ASK, 103, 10, False)
    rows, memory = decide(trader, holding(0), memory=memory)
    assert rows[0] == (BID, 96, 50, False)


def test_spoofing__is_layering_with_one_large_bait_next_to_the_touch():
    rows, _ = decide(Spoofing(), holding(0))
    assert rows == [(BID, 96, 50, False), (ASK, 104, 500, False)]


def test_quote_stuffing__no_order_survives_a_step():
    trader = QuoteStuffing(num_quotes=3, bait_offset=4)
    even, _ = decide(trader, holding(0), make_market(96, 103, step=2))
    odd, _ = decide(trader, holding(0), make_market(96, 103, step=3))
    assert even == [(BID, 92 - i, 1, False) for i in range(3)] + [
        (ASK, 107 + i, 1, False) for i in range(3)
    ]
    assert odd == [(BID, 89 - i, 1, False) for i in range(3)] + [
        (ASK, 110 + i, 1, False) for i in range(3)
    ]


def test_pinging__finds_a_touch_that_is_refilled_and_goes_ahead_of_it():
    trader = Pinging(fixed_quant_value=50, num_hits=2, ride_steps=2)
    memory, sides, rode = None, [], []
    bought = sold = 0
    for step in range(6):
        agent = make_agent(
            96, 103, account={"inventory": bought - sold, "bought": bought, "sold": sold}
        )
        bid_size = 100 - sold  # the bid is eaten, the ask always refilled
        market = make_market(96, 103, step=step, bid_size=bid_size, ask_size=100)
        ((side, price, size, is_immediate),), memory = decide(trader, agent, market, memory)
        assert is_immediate
        assert price == (103 if side == BID else 96)
        sides.append((side, size))
        rode.append(int(memory.phase))
        bought, sold = bought + (side == BID) * size, sold + (side == ASK) * size
    # pings of ask, bid, ask; then the second refill is known, and it sells to be 50 short
    assert sides[:3] == [(BID, 1), (ASK, 1), (BID, 1)]
    assert sides[3] == (ASK, 50)
    assert rode[:4] == [0, 0, 0, 1]
    assert bought - sold <= 0


def test_momentum_ignition__takes_a_position_ignites_and_unloads():
    trader = MomentumIgnition(
        fixed_quant_value=50, burst_size=30, position_steps=2, ignite_steps=1, unload_steps=2
    )
    _, memory = decide(trader, holding(0), make_market(96, 103, step=0))
    direction = int(memory.plan)
    assert direction in (1, -1)
    near, far = (96, 103) if direction > 0 else (103, 96)

    def at(step, shares):
        market = make_market(96, 103, step=step)
        return decide(trader, holding(direction * shares), market, memory)

    assert at(1, 10)[0] == [(direction, near, 40, False)]
    assert at(2, 50)[0] == [(direction, far, 30, True)]
    rows, after = at(3, 75)
    assert rows == [(-direction, near, 38, True)]
    assert int(after.phase) == 2
    assert at(4, 37)[0] == [(-direction, near, 37, True)]


@pytest.mark.parametrize(("direction", "side", "near", "far"), [
    ("buy", BID, 96, 103), ("sell", ASK, 103, 96),
])  # fmt: skip
def test_painting_the_close__builds_early_and_pushes_late(direction, side, near, far):
    trader = PaintingTheClose(direction=direction, paint_steps=3, paint_size=40)
    early, late = make_market(96, 103, steps_left=4), make_market(96, 103, steps_left=3)
    assert decide(trader, holding(side * 20), early)[0] == [(side, near, 30, False)]
    assert decide(trader, holding(side * 50), early)[0] == []
    assert decide(trader, holding(side * 50), late)[0] == [(side, far, 40, True)]


@pytest.mark.parametrize(
    ("signed", "shares", "expected"),
    [
        (60.0, 0, [(BID, 103, 50, True)]),
        (-60.0, 0, [(ASK, 96, 50, True)]),
        (30.0, 120, []),  # in between it holds
        (5.0, 120, [(ASK, 96, 50, True)]),
        (60.0, 190, [(BID, 103, 10, True)]),
    ],
)
def test_metaorder_predation__goes_with_a_persistent_flow(signed, shares, expected):
    market = make_market(96, 103, signed_volume=signed, average_volume=100.0)
    assert decide(MetaorderPredation(), holding(shares), market)[0] == expected


def test_route__attributes_worth_to_the_phase_whose_orders_earned_it():
    """Mid 99.5, counted from 99: 50 bought at 97 while accumulating, worth 125; then 50 lost."""
    trader = Spoofing()
    _, memory = decide(trader, holding(0))
    held = make_agent(96, 103, account={"inventory": 50, "cash": 100, "bought": 50})
    _, memory = decide(trader, held, memory=memory)
    assert memory.gains.tolist() == [125.0, 0.0]
    fallen = make_market(95, 102, mid_open_half_ticks=199)
    result = trader.report(held.replace(action_memory=memory), fallen)
    assert float(result["gain_accumulate"]) == 125.0
    assert float(result["gain_unload"]) == -50.0
    assert float(result["manipulation_cost"]) == 50.0


def test_bait__that_trades_is_reported():
    """A buyer sweeps 100 at the touch and 30 of the bait behind it."""
    sweep = ((int(EventType.MARKET), BID, 0, 130),)
    env = MarketEnv(
        EnvConfig(
            agents=(AgentSpec("manipulator", action="spoofing"),),
            num_steps=4,
            messages_per_step=2,
            num_slots=8,
        )
    )
    params = env.make_params(
        ScriptedFlow(asks=((101, 100), (110, 9)), script=((), sweep)), num_openings=1
    )
    _, state = jax.jit(env.reset)(KEY, params)
    step = jax.jit(env.step_env)
    for _ in range(3):
        _, state, *_, info = step(KEY, state, {}, params)
    result = info["episode"]["manipulator"]
    assert int(result["bait_filled"][0]) == 30
    total = result["gain_accumulate"] + result["gain_unload"]
    assert float(total[0]) == pytest.approx(float(info["agents"]["manipulator"]["worth"][0]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Layering(num_layers=0), "num_layers is 0"),
        (lambda: Spoofing(fixed_quant_value=0), "fixed_quant_value is 0"),
        (lambda: QuoteStuffing(num_quotes=0), "num_quotes is 0"),
        (lambda: Pinging(num_hits=0), "num_hits is 0"),
        (lambda: MomentumIgnition(ignite_steps=0), "ignite_steps is 0"),
        (lambda: PaintingTheClose(direction="up"), "direction is 'up'"),
        (lambda: MetaorderPredation(entry=0.1, exit=0.2), "entry is 0.1 and exit 0.2"),
    ],
)
def test_manipulators__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
