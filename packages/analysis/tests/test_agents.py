import numpy as np
import polars as pl
import pytest
from lob_analysis.agents.execution import (
    implementation_shortfall,
    participation,
    schedule,
    shortfall_path,
    vwap_price,
)
from lob_analysis.agents.market_making import (
    EPISODE,
    inventory_summary,
    markouts,
    pnl_summary,
    quoting_summary,
    split_pnl,
)
from lob_analysis.errors import AnalysisError
from lob_analysis.runs.load import load_run

KEYS = {"policy": "learned", "replaced": "", "agent_type": "market_maker", "agent": 0, "episode": 0}


def path(**columns):
    frame = pl.DataFrame(columns)
    return frame.with_columns(
        *(pl.lit(value).alias(key) for key, value in KEYS.items()),
        step=pl.int_range(len(frame)),
    )


def maker():
    """Buys 10 at 99 (mid 100), mid rises to 102, sells 10 at 103 (mid 102)."""
    return path(
        mid=[100.0, 102.0, 102.0],
        inventory=[10, 10, 0],
        worth=[10.0, 30.0, 40.0],
        bought=[10, 0, 0],
        sold=[0, 0, 10],
        buy_price=[99.0, 0, 0],
        sell_price=[0.0, 0, 103],
    )


def test_split__worked_example():
    split = split_pnl(maker())
    assert split["spread_pnl"].to_list() == [10, 0, 10]
    assert split["inventory_pnl"].to_list() == [0, 20, 0]


def test_split__parts_add_up_to_the_worth_at_the_end(run_folder):
    episodes = load_run(run_folder).episodes
    total = pnl_summary(episodes).sort(EPISODE)
    worth = episodes.group_by(EPISODE).agg(pl.col("worth").sort_by("step").last()).sort(EPISODE)
    np.testing.assert_allclose(total["pnl"], worth["worth"], atol=1e-9)
    # The spread part is what the fills made against the mid of their step.
    gain = pl.col("bought") * (pl.col("mid") - pl.col("buy_price")) + pl.col("sold") * (
        pl.col("sell_price") - pl.col("mid")
    )
    fills = episodes.group_by(EPISODE).agg(gain.sum().alias("gain"))
    np.testing.assert_allclose(total["spread_pnl"], fills.sort(EPISODE)["gain"])


def test_split__closing_cost_and_fees_are_taken_off():
    # The worth of 40 is less fees of 3: the spread earned 23 before them.
    cost = pl.DataFrame({**KEYS, "closing_cost": 7.0, "fees": 3.0})
    total = pnl_summary(maker(), cost)
    parts = ("spread_pnl", "inventory_pnl", "fee_pnl", "closing_pnl", "pnl")
    assert total.select(parts).row(0) == (23, 20, -3, -7, 33)


def test_split__missing_column_is_named():
    with pytest.raises(AnalysisError, match="worth"):
        split_pnl(maker().drop("worth"))


def test_inventory__worked_example():
    frame = path(inventory=[0, 5, -5, -5, 0, 5])
    row = inventory_summary(frame).row(0, named=True)
    assert (row["mean_abs"], row["max_abs"], row["end"]) == (20 / 6, 5, 5)
    assert row["flat_share"] == pytest.approx(1 / 3)
    assert row["crossings"] == 2


def test_markouts__a_picked_off_maker_earns_first_and_loses_later():
    frame = path(
        mid=[100.0, 98.0, 97.0],
        bought=[10, 0, 0], sold=[0, 0, 0], buy_price=[99.0, 0, 0], sell_price=[0.0, 0, 0],
    )  # fmt: skip
    found = markouts(frame, (0, 1, 2, 3))
    assert found["markout"].to_list() == [1.0, -1.0, -2.0, None]
    assert found["size"].to_list() == [10, 10, 10, 0]


def test_markouts__average_over_both_sides_by_size():
    found = markouts(maker(), (0, 1))
    assert found["markout"].to_list() == [1.0, 3.0]
    assert found["size"].to_list() == [20, 10]
    with pytest.raises(AnalysisError, match="horizons"):
        markouts(maker(), (-1,))


def test_quoting__worked_example():
    frame = path(
        best_bid=[99, 99, 99], best_ask=[101, 101, 101],
        bid_quote=[99, 98, 0], ask_quote=[101, 0, 0], bought=[0, 3, 0], sold=[0, 0, 2],
        bid_quote_size=[4, 1, 0], ask_quote_size=[4, 0, 0], maker_size=[0, 3, 0],
    )  # fmt: skip
    row = quoting_summary(frame).row(0, named=True)
    assert row["two_sided_share"] == pytest.approx(1 / 3)
    assert row["quoted_spread"] == 2
    assert row["at_touch_share"] == pytest.approx(2 / 3)
    assert row["fill_steps"] == pytest.approx(2 / 3)
    # 3 shares of quotes were taken and 9 rested; the 2 sold were taken from others.
    assert row["quote_fill_rate"] == 0.25


@pytest.mark.parametrize("side", [1, -1])
def test_shortfall__worked_example_and_mirror(side):
    # Decision at 100, trading starts at 101, 60 of 100 shares fill at 102, the rest closes at 104.
    mirrored = [200 - p if side < 0 else p for p in (100.0, 101.0, 102.0, 104.0)]
    decision, arrival, fill, close = mirrored
    found = implementation_shortfall(
        [fill, fill], [20, 40], side=side, task_size=100,
        decision_price=decision, arrival_price=arrival, closing_price=close,
    )  # fmt: skip
    assert (found.delay, found.trading, found.opportunity) == (60, 60, 160)
    assert found.total == 280
    assert found.per_share == 2.8
    assert found.fill_rate == 0.6
    # Paper portfolio minus real one.
    real = side * (60 * (close - fill))
    assert found.total == side * 100 * (close - decision) - real


def test_shortfall__refuses_bad_input():
    prices = {"arrival_price": 1, "closing_price": 1}
    with pytest.raises(AnalysisError, match="side is 0"):
        implementation_shortfall([1], [1], side=0, task_size=1, **prices)
    with pytest.raises(AnalysisError, match=r"filled 2\.0 of a task of 1"):
        implementation_shortfall([1], [2], side=1, task_size=1, **prices)
    with pytest.raises(AnalysisError, match="sizes >= 0"):
        implementation_shortfall([1], [-1], side=1, task_size=1, **prices)


def test_vwap__nothing_traded_is_not_a_number():
    assert vwap_price([10, 20], [1, 3]) == 17.5
    assert np.isnan(vwap_price([], []))


def test_participation__worked_example():
    frame = path(bought=[5, 0, 0], sold=[0, 5, 0], volume=[10, 40, 0])
    row = participation(frame).row(0, named=True)
    assert row["participation"] == 0.2
    assert row["max_participation"] == 0.5


def test_schedule_and_cost__worked_example():
    frame = path(
        mid=[100.0, 101.0], bought=[1, 3], sold=[0, 0],
        buy_price=[101.0, 102.0], sell_price=[0.0, 0],
    )  # fmt: skip
    done = schedule(shortfall_path(frame))
    assert done["progress"].to_list() == [0.25, 1.0]
    assert done["cost"].to_list() == [1, 7]
