"""Rule-based makers and execution schedules against their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lob_core import Side
from marl_envs.agents import formulas
from marl_envs.population import makers, schedules
from marl_envs.testing import make_agent, make_market
from marl_envs.types import Calibration, OwnOrders

BID, ASK = int(Side.BID), int(Side.ASK)
CALIBRATION = Calibration(
    volatility=jnp.float32(0.5), depth_decay=jnp.float32(0.3), arrival_rate=jnp.float32(0.4)
)
KEY = jax.random.key(0)


def orders(behavior, agent, market, calibration=CALIBRATION, memory=()):
    """Wanted orders as sorted (side, price, size) rows."""
    want, _ = behavior.decide(KEY, 0, agent, memory, market, calibration)
    assert want.size.shape == (behavior.num_orders,)
    columns = (want.side, want.price, want.size)
    rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return sorted(row for row in rows if row[2] > 0)


def maker_quotes(behavior, inventory=0, **market):
    agent = make_agent(990, 1010, account={"inventory": inventory})
    return orders(behavior, agent, make_market(990, 1010, **market))


def test_fixed_spread__distance_from_the_mid_rounded_outwards():
    assert maker_quotes(makers.FixedSpread(half_spread=2.5)) == [(ASK, 1003, 10), (BID, 997, 10)]


def test_linear_skew_ladder__leans_against_the_inventory():
    """20 shares are two quotes: the center falls by 3 ticks to 997."""
    maker = makers.LinearSkewLadder(half_spread=2.0, num_quote_levels=2, level_spacing=4, skew=1.5)
    assert maker_quotes(maker, inventory=20) == [
        (ASK, 999, 10),
        (ASK, 1003, 10),
        (BID, 991, 10),
        (BID, 995, 10),
    ]
    assert maker_quotes(maker, inventory=-20)[2:] == [(BID, 997, 10), (BID, 1001, 10)]


def expected_quotes(distances):
    bid, ask = (float(distance) for distance in distances)
    return [(ASK, int(np.ceil(1000 + ask)), 10), (BID, int(np.floor(1000 - bid)), 10)]


@pytest.mark.parametrize("inventory", [0, 30, -10])
def test_avellaneda_stoikov__quotes_its_closed_form(inventory):
    exact = formulas.avellaneda_stoikov(inventory / 10, 0.02, 0.25 * 40, 0.3)
    maker = makers.AvellanedaStoikov(gamma=0.02)
    assert maker_quotes(maker, inventory, steps_left=40) == expected_quotes(exact)
    fixed = makers.AvellanedaStoikov(gamma=0.02, horizon=40, volatility=0.5, depth_decay=0.3)
    assert not fixed.uses_calibration
    agent = make_agent(990, 1010, account={"inventory": inventory})
    assert orders(fixed, agent, make_market(990, 1010), None) == expected_quotes(exact)


@pytest.mark.parametrize("inventory", [0, 30, -10])
def test_glft__quotes_its_closed_form(inventory):
    exact = formulas.gueant_lehalle_fernandez_tapia(inventory / 10, 0.05, 0.5, 0.3, 0.4)
    assert maker_quotes(makers.Glft(gamma=0.05), inventory) == expected_quotes(exact)


@pytest.mark.parametrize("inventory", [0, 30, -12])
def test_cartea_jaimungal__quotes_its_closed_form(inventory):
    maker = makers.CarteaJaimungal(inventory_limit=4)
    bid, ask = formulas.cartea_jaimungal(50, 0.3, 0.4, 0.002, 0.1, 4)
    level = round(inventory / 10) + 4
    assert maker_quotes(maker, inventory, steps_left=50) == expected_quotes(
        (bid[level], ask[level])
    )


def test_cartea_jaimungal__quotes_one_side_at_its_limit():
    maker = makers.CarteaJaimungal(inventory_limit=4)
    assert [row[0] for row in maker_quotes(maker, inventory=40)] == [ASK]
    assert [row[0] for row in maker_quotes(maker, inventory=-90)] == [BID]


def executed(schedule, size=600, num_steps=20, calibration=CALIBRATION):
    """Shares done after each step when every order is filled at once, `[num_steps]`."""
    done = []
    for step in range(num_steps):
        agent = make_agent(task_side=-1, task_size=size, account={"sold": done[-1] if done else 0})
        market = make_market(step=step, steps_left=num_steps - step)
        rows = orders(schedule, agent, market, calibration)
        assert all((side, price) == (ASK, 99) for side, price, _ in rows)  # the far touch
        done.append(int(agent.account.sold) + sum(row[2] for row in rows))
    return np.asarray(done)


def exact_done(left, size=600):
    return size - np.round(size * np.asarray(left, np.float64))


def test_vwap__follows_the_volume_curve():
    done = executed(schedules.Vwap(volume_curve=(3.0, 1.0)))
    assert done[9] == 450
    assert np.allclose(np.diff(done[:10]), 45)
    assert done[-1] == 600


def test_almgren_chriss__follows_its_trajectory():
    schedule = schedules.AlmgrenChriss(risk_aversion=0.02, temporary_impact=0.4)
    urgency = formulas.almgren_chriss_urgency(0.02, 0.5, 0.4)
    left = formulas.almgren_chriss_remaining(jnp.arange(1, 21), 20, urgency)
    assert np.abs(executed(schedule) - exact_done(left)).max() <= 1
    even = executed(schedules.AlmgrenChriss(risk_aversion=0.0, volatility=0.5), calibration=None)
    assert np.allclose(np.diff(even), 30)


def test_obizhaeva_wang__trades_blocks_first_and_last():
    done = executed(schedules.ObizhaevaWang(resilience=0.1))
    left = formulas.obizhaeva_wang_remaining(jnp.arange(1, 21), 20, 0.1)
    assert np.abs(done - exact_done(left)).max() <= 1
    trades = np.diff(done, prepend=0)
    assert trades[0] == pytest.approx(trades[-1], abs=1)
    assert trades[0] > 5 * trades[10]


def test_schedules__ask_again_for_what_could_not_be_had():
    agent = make_agent(task_side=1, task_size=600, account={"bought": 100})
    market = make_market(step=9, steps_left=11)
    assert orders(schedules.Vwap(volume_curve=(1.0,)), agent, market) == [(BID, 101, 200)]


def test_pov__catches_up_with_its_share_of_the_volume():
    """20 % of 400 + 100 shares is 100; it has 60, and its own 50 will add to the volume."""
    schedule = schedules.PercentageOfVolume(participation_rate=0.2)
    agent = make_agent(task_side=1, task_size=600, account={"bought": 60})
    market = make_market(volume=100)
    want, memory = schedule.decide(KEY, 0, agent, jnp.float32(400), market, None)
    assert float(memory) == 500
    assert (int(want.price[0]), int(want.size[0])) == (101, 50)
    assert (60 + 50) / (500 + 50) == 0.2
    nearly_done = make_agent(task_side=1, task_size=600, account={"bought": 595})
    assert int(schedule.decide(KEY, 0, nearly_done, memory * 99, market, None)[0].size[0]) == 5


def test_iceberg__shows_a_slice_and_renews_it():
    schedule = schedules.Iceberg(display_size=20)
    agent = make_agent(task_side=1, task_size=600)
    assert orders(schedule, agent, make_market()) == [(BID, 99, 20)]
    partly = OwnOrders(
        side=jnp.asarray([BID]),
        price=jnp.asarray([99]),
        size=jnp.asarray([[5, 0]]),
        order_id=jnp.asarray([[7, 0]]),
    )
    shown = make_agent(task_side=1, task_size=600, account={"bought": 15}).replace(orders=partly)
    assert orders(schedule, shown, make_market()) == [(BID, 99, 5)]
    assert orders(schedule, shown, make_market(steps_left=1)) == [(BID, 101, 585)]


def test_submit_and_leave__keeps_its_first_price_until_it_is_late():
    schedule = schedules.SubmitAndLeave(limit_offset=2, leave_until=0.8)
    agent = make_agent(task_side=-1, task_size=600)
    memory = schedule.init_memory(KEY, agent, make_market())
    moved = make_agent(107, 109, task_side=-1, task_size=600, account={"sold": 40})
    early = make_market(107, 109, step=7, steps_left=3)
    assert orders(schedule, moved, early, None, memory) == [(ASK, 103, 560)]
    late = make_market(107, 109, step=8, steps_left=2)
    assert orders(schedule, moved, late, None, memory) == [(ASK, 107, 560)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: makers.FixedSpread(half_spread=0.0), "half_spread is 0"),
        (lambda: makers.FixedSpread(fixed_quant_value=0), "fixed_quant_value is 0"),
        (lambda: makers.LinearSkewLadder(skew=-1.0), "skew is -1"),
        (lambda: makers.AvellanedaStoikov(gamma=0.0), "gamma is 0"),
        (lambda: makers.Glft(arrival_rate=0.0), "arrival_rate is 0"),
        (lambda: makers.CarteaJaimungal(inventory_limit=0), "inventory_limit is 0"),
        (lambda: schedules.Vwap(volume_curve=(0.0,)), "volume_curve"),
        (lambda: schedules.AlmgrenChriss(temporary_impact=0.0), "temporary_impact is 0"),
        (lambda: schedules.AlmgrenChriss(volatility=-1.0), "volatility is -1"),
        (lambda: schedules.ObizhaevaWang(resilience=0.0), "resilience is 0"),
        (lambda: schedules.PercentageOfVolume(participation_rate=1.0), "participation_rate is 1"),
        (lambda: schedules.Iceberg(display_size=0), "display_size is 0"),
        (lambda: schedules.SubmitAndLeave(leave_until=2.0), "leave_until is 2"),
    ],
)
def test_rules__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
