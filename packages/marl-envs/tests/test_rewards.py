"""Worked examples: every formula, with numbers small enough to check by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from marl_envs.agents.execution import rewards as execution
from marl_envs.agents.market_making import rewards as maker
from marl_envs.agents.market_making import spooner, utilities
from marl_envs.testing import make_result

# Bought 10 at -2, sold 4 at +3, relative to the reference price; held 5; the mid rose from 0 to 1.
STEP = make_result(
    bought=10.0,
    bought_value=-20.0,
    sold=4.0,
    sold_value=12.0,
    inventory_before=5.0,
    inventory=11.0,
    cash_before=-7.0,
    cash=25.0,
    mid_before=0.0,
    mid=1.0,
    mid_mean=0.5,
    best_bid=0.0,
    best_ask=2.0,
)
BUY_SELL = 10 * (1 + 2) + 4 * (3 - 1)  # at the last mid
INV = 5.0


def pay(reward, result=STEP, memory=None):
    memory = reward.init() if memory is None else memory
    return float(reward.reward(result, memory)[0])


@pytest.mark.parametrize(
    ("cls", "value"),
    [
        (maker.BuySellPnl, BUY_SELL),
        (spooner.Spooner, BUY_SELL + INV),
        (spooner.SpoonerDamped, BUY_SELL + 0.4 * INV),
        (spooner.SpoonerAsymDamped, BUY_SELL + INV - 0.6 * INV),
        (spooner.SpoonerAsymDamped2, BUY_SELL + 0.5 * (INV - 0.6 * INV)),
        (spooner.SpoonerScaled, BUY_SELL + 0.6 * (INV - 0.4 * INV)),
        (maker.WeightPnlInventoryPnl, 0.5 * BUY_SELL + 0.5 * INV),
        (maker.PortfolioValue, 25 + 11),
        (maker.DeltaPortfolioValue, 36 - 0),
        (maker.ZeroInventory, -11),
    ],
)
def test_maker_rewards__worked_examples(cls, value):
    assert pay(cls(reward_scale=1.0)) == pytest.approx(value)
    assert pay(cls(reward_scale=50.0)) == pytest.approx(value / 50)


@pytest.mark.parametrize(
    ("cls", "inv"),
    [
        (spooner.SpoonerDamped, 0.4 * -5),
        (spooner.SpoonerAsymDamped, -5),
        (spooner.SpoonerAsymDamped2, 0.5 * -5),
        (spooner.SpoonerScaled, 0.6 * -5),
    ],
)
def test_maker_rewards__losses_of_the_inventory_are_damped_only_where_said(cls, inv):
    result = make_result(inventory_before=5.0, inventory=5.0, mid=-1.0)
    assert pay(cls(reward_scale=1.0), result) == pytest.approx(inv)


def test_spooner__takes_the_fees_off_and_adds_rebates():
    paid = STEP.replace(fees=jnp.float32(3))
    for cls in (spooner.Spooner, spooner.SpoonerDamped, spooner.SpoonerAsymDamped2):
        assert pay(cls(reward_scale=1.0)) - pay(cls(reward_scale=1.0), paid) == pytest.approx(3)
    assert pay(maker.BuySellPnl(reward_scale=1.0), paid) == BUY_SELL


def test_implementation_shortfall__takes_the_fees_off():
    paid = SELL.replace(fees=jnp.float32(3))
    reward = execution.ImplementationShortfall(reward_scale=1.0)
    assert pay(reward, SELL) - pay(reward, paid) == 3


def test_spooner__at_the_last_mid_is_the_change_of_portfolio_value():
    before = maker.PortfolioValue(reward_scale=1.0)
    worth_before = -7.0 + 5.0 * 0.0
    assert pay(spooner.Spooner(reward_scale=1.0)) == pytest.approx(pay(before) - worth_before)


def test_delta_portfolio_value__remembers_the_last_value():
    reward = maker.DeltaPortfolioValue(reward_scale=1.0)
    _, memory = reward.reward(STEP, reward.init())
    assert pay(reward, STEP, memory) == 0.0


def test_portfolio_value_scaled__divides_by_quote_and_opening_spread():
    reward = maker.PortfolioValueScaled(fixed_quant_value=9)
    assert pay(reward) == pytest.approx(36 / (9 * 2))


@pytest.mark.parametrize(("inventory", "mark"), [(11.0, 0.0), (-11.0, 2.0), (0.0, 1.0)])
def test_far_touch__marks_a_long_position_at_the_bid_and_a_short_one_at_the_ask(inventory, mark):
    result = STEP.replace(inventory=jnp.float32(inventory))
    assert float(maker.reference(result, "far_touch")) == mark
    assert float(maker.reference(result, "near_touch")) == mark


def test_reference__mean_mid_is_that_of_the_step():
    assert pay(maker.BuySellPnl(reward_scale=1.0, reference_price="mean_mid")) == pytest.approx(
        10 * 2.5 + 4 * 2.5
    )


@pytest.mark.parametrize(
    ("kind", "inventory", "value"),
    [
        ("none", 20, 0),
        ("linear", -20, -20),
        ("quadratic", 20, -8),
        ("threshold", 10, 0),
        ("threshold", -20, -8),
        ("exp4", 100, -16),
    ],
)
def test_inventory_penalty__worked_examples(kind, inventory, value):
    assert float(maker.inventory_penalty(jnp.float32(inventory), kind)) == pytest.approx(value)
    result = make_result(inventory=float(inventory))
    reward = maker.BuySellPnl(
        reward_scale=1.0, inventory_penalty=kind, inventory_penalty_weight=2.0
    )
    marked = reward.reward(result.replace(mid=jnp.float32(0)), ())[0]
    assert float(marked) == pytest.approx(2 * value)


def test_volume_bonus__is_the_share_of_volume_and_zero_without_trades():
    reward = maker.BuySellPnl(reward_scale=1.0, volume_traded_bonus=8.0)
    assert pay(reward, make_result(volume=40.0, others_size=30.0)) == pytest.approx(2.0)
    assert pay(reward, make_result(volume=0.0)) == 0.0


def test_clip_and_extreme_spreads():
    assert pay(spooner.Spooner(reward_scale=1.0, reward_clip=3.0)) == 3.0
    assert pay(spooner.Spooner(reward_scale=1.0, exclude_spread_above=1.0)) == 0.0
    assert pay(spooner.Spooner(reward_scale=1.0, exclude_spread_above=2.0)) == BUY_SELL + INV


# A sell of 10 at 4 while others traded 20 at 3 on average; arrival at 1.
SELL = make_result(
    sold=10.0,
    sold_value=40.0,
    others_size=20.0,
    others_value=60.0,
    mid_mean=2.0,
    arrival_price=1.0,
    remaining=30.0,
)


def test_execution__worked_examples():
    assert float(execution.advantage(SELL)) == 10 * (4 - 3)
    assert float(execution.drift(SELL)) == 10 * (3 - 1)
    assert pay(execution.Normal(reward_scale=5.0, reward_lambda=0.5), SELL) == (10 + 10) / 5
    assert pay(execution.SimplestCase(reward_scale=5.0), SELL) == 30 / 5
    assert pay(execution.FinishFast(reward_scale=5.0), SELL) == -30 / 5


def test_execution__a_buy_is_the_mirror_image():
    buy = make_result(
        bought=10.0,
        bought_value=-40.0,
        others_size=20.0,
        others_value=-60.0,
        arrival_price=-1.0,
    )
    assert float(execution.advantage(buy)) == 10.0
    assert float(execution.drift(buy)) == 20.0


def test_execution__without_other_trades_the_mean_mid_is_the_benchmark():
    result = SELL.replace(others_size=jnp.float32(0), others_value=jnp.float32(0))
    assert float(execution.advantage(result)) == 10 * (4 - 2)


def trade(before, bought=(0, 0), sold=(0, 0)):
    """A step that began with that inventory; trades are (shares, price)."""
    return make_result(
        inventory_before=float(before),
        bought=float(bought[0]),
        bought_value=float(bought[0] * bought[1]),
        sold=float(sold[0]),
        sold_value=float(sold[0] * sold[1]),
    )


def test_pnl__realizes_against_the_average_cost():
    """Buy 10 at 2 and 10 at 4 (cost 3), sell 5 at 7, then 20 at 1 through zero, buy 5 at 0."""
    reward = utilities.RealizedPnl(reward_scale=1.0)
    memory, paid, costs = reward.init(), [], []
    for step in (
        trade(0, bought=(10, 2)),
        trade(10, bought=(10, 4)),
        trade(20, sold=(5, 7)),
        trade(15, sold=(20, 1)),
        trade(-5, bought=(5, 0)),
    ):
        value, memory = reward.reward(step, memory)
        paid.append(float(value))
        costs.append(float(memory))
    assert paid == [0, 0, 5 * (7 - 3), 15 * (1 - 3), 5 * (1 - 0)]
    assert costs[:4] == [2, 3, 3, 1]


def test_pnl__a_round_trip_within_the_step_is_realized_at_once():
    reward = utilities.RealizedPnl(reward_scale=1.0)
    assert pay(reward, trade(0, bought=(10, 2), sold=(4, 5))) == 4 * 3


def test_cara__worked_example():
    """PV rises by 36, in units of 12: 3."""
    reward = utilities.Cara(reward_scale=12.0, risk_aversion=0.5)
    assert pay(reward) == pytest.approx((1 - np.exp(-1.5)) / 0.5, rel=1e-5)


def test_mean_variance__worked_example():
    reward = utilities.MeanVariance(reward_scale=12.0, risk_aversion=0.2)
    assert pay(reward) == pytest.approx(3 - 0.1 * 9)


def test_complex__worked_example():
    """4 matched earn 5 each; 6 bought at -2 marked at 1 earn 3 each; inv 5 counts .36 of it."""
    reward = utilities.Complex(unrealized_lambda=0.5)
    assert pay(reward) == pytest.approx((4 * 5 + 0.5 * 6 * 3 + 0.36 * 5) / 10)
    falling = STEP.replace(mid_before=jnp.float32(2))
    assert pay(reward, falling) == pytest.approx((4 * 5 + 0.5 * 6 * 3 - 0.6 * 5) / 10)


def test_complex__with_unit_weights_is_buy_plus_sell():
    reward = utilities.Complex(fixed_quant_value=1, eta=0.0)
    assert pay(reward) == pytest.approx(BUY_SELL)


def test_sharpe__divides_by_the_running_deviation():
    """PV rises by 36, in units of 12: 3. Variance .9 (.1 9) = .81; mean .3; then no change."""
    reward = utilities.Sharpe(reward_scale=12.0, variance_decay=0.9)
    value, memory = reward.reward(STEP, reward.init())
    assert float(value) == pytest.approx(3 / np.sqrt(1.81))
    assert float(memory[1]) == pytest.approx(0.3)
    still, memory = reward.reward(STEP, memory)
    assert float(still) == 0.0
    assert float(memory[2]) == pytest.approx(0.9 * (0.81 + 0.1 * 0.09))


def test_implementation_shortfall__marks_what_is_left_and_prices_the_risk():
    """Sold 10 at 4 against arrival 1, 30 left at mid 3: 30 + 60, of which 15 were known before."""
    result = SELL.replace(task_side=jnp.int32(-1), mid=jnp.float32(3), mid_before=jnp.float32(2.5))
    reward = execution.ImplementationShortfall(reward_scale=5.0, risk_aversion=0.01)
    value, memory = reward.reward(result, jnp.float32(15))
    assert float(memory) == 60.0
    assert float(value) == pytest.approx((30 + 60 - 15 - 0.01 * (30 * 0.5) ** 2) / 5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: utilities.Complex(eta=2.0), "eta is 2"),
        (lambda: utilities.Complex(fixed_quant_value=0), "fixed_quant_value is 0"),
        (lambda: utilities.Sharpe(variance_decay=1.0), "variance_decay is 1"),
        (lambda: utilities.Cara(risk_aversion=0.0), "risk_aversion is 0"),
        (lambda: utilities.MeanVariance(risk_aversion=-1.0), "risk_aversion is -1"),
        (lambda: execution.ImplementationShortfall(risk_aversion=-1.0), "risk_aversion is -1"),
        (lambda: spooner.Spooner(reward_scale=0.0), "reward_scale is 0"),
        (lambda: spooner.Spooner(inventory_penalty="cubic"), "inventory_penalty is 'cubic'"),
        (lambda: spooner.Spooner(reference_price="open"), "reference_price is 'open'"),
        (lambda: maker.WeightPnlInventoryPnl(pnl_weight=2.0), "pnl_weight is 2"),
        (lambda: execution.Normal(reward_scale=-1.0), "reward_scale is -1"),
    ],
)
def test_rewards__refuse_bad_parameters(make, words):
    with pytest.raises(ValueError, match=words):
        make()
