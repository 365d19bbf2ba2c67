import numpy as np
import polars as pl
import pytest
from lob_analysis.errors import AnalysisError
from lob_analysis.events import make_events, read_events
from lob_analysis.market_quality import (
    SECOND,
    intraday,
    order_flow_imbalance,
    quality_summary,
    response,
    sample_mid,
    trades,
    variance_ratio,
    with_measures,
)

NAMES = [
    "time_ns", "event_type", "side", "price", "size",
    "bid_price", "ask_price", "bid_size", "ask_size",
]  # fmt: skip


def table(*rows):
    """Rows in the order of NAMES, times in seconds."""
    frame = pl.DataFrame([(int(r[0] * SECOND), *r[1:]) for r in rows], schema=NAMES, orient="row")
    return make_events(frame)


def small_market():
    """A bid improves, a buyer takes the ask in two executions, and the ask comes back."""
    return table(
        (0, 1, -1, 104.0, 10, 100.0, 104.0, 10, 10),
        (1, 1, 1, 102.0, 30, 102.0, 104.0, 30, 10),
        (3, 4, -1, 104.0, 4, 102.0, 104.0, 30, 6),
        (3, 4, -1, 104.0, 6, 102.0, 106.0, 30, 20),
        (5, 1, -1, 104.0, 10, 102.0, 104.0, 30, 10),
        (9, 2, 1, 102.0, 10, 102.0, 104.0, 20, 10),
    )


def test_measures__worked_example():
    row = with_measures(small_market()).row(1, named=True)
    assert (row["mid"], row["spread"], row["imbalance"]) == (103, 2, 0.5)
    # Size-weighted mid: the heavy bid pushes it towards the ask.
    assert row["microprice"] == 103.5
    assert row["mid_before"] == 102


def test_trades__executions_of_one_order_are_one_trade():
    found = trades(small_market())
    assert found.height == 1
    assert found.row(0, named=True) == {
        "time_ns": 3 * SECOND, "aggressor": 1, "price": 104, "size": 10, "mid_before": 103,
        "mid": 104,
    }  # fmt: skip


def test_trades__sides_and_times_tell_orders_apart():
    rows = [(t, 4, side, 100.0, 1, 99.0, 101.0, 5, 5) for t, side in ((1, 1), (1, -1), (2, -1))]
    assert trades(table(*rows))["aggressor"].to_list() == [-1, 1, 1]


def test_sample_mid__takes_the_last_known_one():
    found = sample_mid(small_market(), 2 * SECOND)
    assert (found["time_ns"] / SECOND).to_list() == [0, 2, 4, 6, 8]
    assert found["mid"].to_list() == [102, 103, 104, 103, 103]
    with pytest.raises(ValueError, match="interval_ns is 0"):
        sample_mid(small_market(), 0)


def test_summary__worked_example():
    found = quality_summary(small_market(), horizon_s=2.0)
    # Spread 4 for one second, 2 for two, 4 for two and 2 for four.
    assert found["spread_ticks"] == pytest.approx((4 * 1 + 2 * 2 + 4 * 2 + 2 * 4) / 9)
    # Bought at 104 with the mid at 103, which is at 103 again two seconds later.
    assert found["effective_spread_ticks"] == 2
    assert found["realized_spread_ticks"] == 2
    assert found["price_impact_ticks"] == 0
    assert quality_summary(small_market(), horizon_s=1.0)["price_impact_ticks"] == 2
    assert found["trades_per_minute"] == pytest.approx(60 / 9)
    assert found["cancel_share"] == pytest.approx(1 / 3)
    assert np.isnan(found["depth"])


def test_variance_ratio__known_processes():
    random = np.random.default_rng(0)
    noise = random.normal(size=20_000)
    # Under a random walk |z| > 4 has probability 6e-5.
    ratio, z = variance_ratio(noise, 5)
    assert abs(z) < 4
    assert ratio == pytest.approx(1, abs=0.06)
    # MA(1) returns with coefficient b: VR(q) = 1 + 2 (1 - 1/q) b / (1 + b^2).
    trending = noise[1:] + 0.5 * noise[:-1]
    assert variance_ratio(trending, 2)[0] == pytest.approx(1 + 0.5 / 1.25, abs=0.03)
    bouncing = np.diff(noise)
    assert variance_ratio(bouncing, 4)[0] == pytest.approx(1 / 4, abs=0.02)
    with pytest.raises(ValueError, match="num_periods is 1"):
        variance_ratio(noise, 1)


def test_response__worked_example():
    found = response(small_market(), (1, 2))

    def at(kind, moves, lag):
        rows = found.filter(
            (pl.col("kind") == kind) & (pl.col("moves") == moves) & (pl.col("lag") == lag)
        )
        return rows.select("response", "count").row(0)

    # The bid lifts the mid by 1; the ask that comes back pushes down by 1.
    assert at("limit order", True, 1) == (1, 2)
    # The second execution lifts it by 1 and the returning ask takes that back.
    assert at("market order", True, 1) == (1, 1)
    assert at("market order", True, 2) == (0, 1)
    # The first one moves nothing at once, 1 with the next event.
    assert at("market order", False, 1) == (0, 1)
    assert at("market order", False, 2) == (1, 1)
    with pytest.raises(ValueError, match="lags"):
        response(small_market(), (0,))


def test_order_flow_imbalance__worked_example():
    found = order_flow_imbalance(small_market(), 10 * SECOND)
    # New best bid +30; execution +4; ask gone +6; ask back -10; bid cancelled -10.
    assert found["ofi"].to_list() == [30 + 4 + 6 - 10 - 10]
    assert found["change"].to_list() == [1]


def test_intraday__worked_example():
    found = intraday(small_market(), 4 * SECOND)
    assert found["messages"].to_list() == [4, 1, 1]
    assert found["volume"].to_list() == [10, 0, 0]
    assert found["volatility"].to_list() == [pytest.approx(np.sqrt(2)), 1, 0]


def test_events__bad_tables_are_refused():
    good = small_market()
    with pytest.raises(AnalysisError, match="ask_size"):
        make_events(good.drop("ask_size"))
    with pytest.raises(AnalysisError, match="time goes back at row 1"):
        make_events(good[[1, 0]])
    crossed = pl.Series("bid_price", [100.0, 102, 104, 102, 102, 102])
    with pytest.raises(AnalysisError, match="crossed or locked at row 2"):
        make_events(good.with_columns(crossed))
    with pytest.raises(AnalysisError, match="no rows"):
        make_events(good.clear())


def test_events__empty_sides_are_null_not_zero():
    frame = small_market().with_columns(ask_price=pl.lit(None, dtype=pl.Float64))
    measured = with_measures(make_events(frame))
    assert measured["mid"].null_count() == measured.height
    assert np.isnan(quality_summary(frame)["spread_ticks"])


def test_read_events__folder_without_a_pair(tmp_path):
    with pytest.raises(AnalysisError, match=str(tmp_path)):
        read_events(tmp_path)
