import numpy as np
import polars as pl
import pytest
from lob_analysis.errors import AnalysisError
from lob_analysis.market.events import make_events, read_events
from lob_analysis.market.impact import impact_scores, response
from lob_analysis.market.quality import (
    SECOND,
    intraday,
    order_flow_imbalance,
    quality_summary,
    sample_mid,
    trades,
    variance_ratio,
    with_measures,
)
from lob_analysis.market.quantities import QUANTITIES

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
    assert np.isnan(found["flow_r2_10s"])


def test_summary__flow_that_moves_the_mid_explains_it():
    # In each ten seconds the bid moves by one tick or not at all, and so does the flow.
    steps = np.random.default_rng(0).integers(0, 2, 40)
    bids = 100.0 + np.cumsum(steps)
    rows = [(10 * t, 1, 1, bid, 1, bid, 200.0, 7, 10) for t, bid in enumerate(bids)]
    assert quality_summary(table(*rows))["flow_r2_10s"] == pytest.approx(1)


def test_variance_ratio__known_processes():
    random = np.random.default_rng(0)
    noise = random.normal(size=20_000)
    # Under a random walk |z| > 4 has probability 6e-5. Of 1,000 redraws none of these four failed.
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


def test_impact_scores__worked_example():
    # The same six events every minute, so that every block of time says the same; in the other
    # market all prices are twice as far apart, but so is the spread that responses are measured in.
    rows = [
        (int(t + 60 * SECOND * minute), *rest)
        for minute in range(60)
        for t, *rest in small_market().select(NAMES).rows()
    ]
    market = pl.DataFrame(rows, schema=small_market().schema, orient="row")
    prices = ("price", "bid_price", "ask_price")
    wide = market.with_columns(pl.col(name) * 2 for name in prices)
    found = impact_scores(market, wide, (1, 2), num_blocks=20)
    assert {"market order, moves the mid", "limit order, moves the mid"} <= set(found)
    for score in found.values():
        assert score.value == pytest.approx(0)
        assert not score.is_told_apart
    # Without the return of the ask after each trade the mean spread is the same in every block, but
    # the response two events after a trade stays where it was.
    lasting = market.with_columns(
        pl.when(pl.col("time_ns") // SECOND % 60 == 5).then(106.0).otherwise("ask_price")
        .alias("ask_price")
    )  # fmt: skip
    found = impact_scores(market, lasting, (2,), num_blocks=20)["market order, moves the mid"]
    before, after = (
        response(events, (2,)).filter(kind="market order", moves=True)["response"].item()
        / (events["ask_price"] - events["bid_price"]).mean()
        for events in (market, lasting)
    )
    assert (before, after) == (0, pytest.approx(1 / 3))
    assert found.value == pytest.approx(abs(after - before), rel=0.02)
    assert found.low <= found.value * 1.02
    assert found.is_told_apart


def test_quantities__worked_example():
    # Orders by id: 1 asks, 2 bids and is cancelled eight seconds later, 1 is executed.
    events = small_market().with_columns(
        order_id=pl.Series([1, 2, 1, 1, 3, 2]),
        bid_depth=pl.Series([10, 40, 40, 40, 40, 30]),
        ask_depth=pl.Series([50, 50, 46, 40, 50, 50]),
        level=pl.Series([1, 1, 1, 1, 1, 1]),
    )
    measured = with_measures(events)
    found = {
        name: quantity(measured)["value"].drop_nulls().to_list()
        for name, (quantity, _) in QUANTITIES.items()
    }
    assert found["spread"] == [4, 2, 2, 4, 2, 2]
    assert found["orderbook_imbalance"][:2] == [0, 0.5]
    seconds = [10**x for x in found["log_inter_arrival_time"]]
    assert seconds == pytest.approx([1, 2, 1e-9, 2, 4])
    assert [10**x for x in found["log_time_to_cancel"]] == pytest.approx([8])
    assert found["ask_volume_touch"] == [10, 10, 6, 20, 10, 10]
    assert found["bid_volume_touch"] == [10, 30, 30, 30, 30, 20]
    assert found["ask_volume"] == [50, 50, 46, 40, 50, 50]
    assert found["bid_volume"] == [10, 40, 40, 40, 40, 30]
    # From the mid before the event, of which the first has none.
    assert found["limit_ask_order_depth"] == [0]
    assert found["limit_bid_order_depth"] == [0]
    assert found["bid_cancellation_depth"] == [1]
    assert found["ask_cancellation_depth"] == []
    assert found["limit_ask_order_levels"] == [1, 1]
    assert found["limit_bid_order_levels"] == [1]
    assert found["bid_cancellation_levels"] == [1]
    assert found["limit_order_size"] == [10, 30, 10]
    # Ten shares in the one second with executions; five events are too few for a mean of 100.
    assert found["vol_per_min"] == [600]
    assert found["ofi"] == []
    bare = with_measures(small_market())
    for name in ("ask_volume", "limit_ask_order_levels", "log_time_to_cancel"):
        assert QUANTITIES[name][0](bare).is_empty()


def test_flow_quantities__worked_example():
    # Each event adds 2 shares to the bid, but for ten: the 120th puts 1 share a tick higher, where
    # nothing happens until the 130th takes it away again, and 5 are left a tick lower.
    sizes = 10 + 2 * np.arange(151)
    bids = np.full(151, 100.0)
    bids[120:130] = 101.0
    sizes[120:130] = 1
    sizes[130:] = 5 + 2 * np.arange(21)
    events = table(*((t, 1, 1, bids[t], 1, bids[t], 104.0, sizes[t], 10) for t in range(len(bids))))
    names = ("ofi", "ofi_up", "ofi_stay", "ofi_down")
    found = {name: QUANTITIES[name][0](events) for name in names}
    values = {name: frame["value"].to_list() for name, frame in found.items()}
    # A mean of 100 exists from the 100th event on, the 20 before the move are all 2.
    assert values["ofi"][:20] == [2.0] * 20
    # The best bid is new: +1; then nothing for nine events; it is gone: -1; then 2 again.
    assert values["ofi"][20:32] == pytest.approx(
        [(2 * 99 + 1) / 100, *((2 * (98 - k) + 1) / 100 for k in range(9)), 1.78, 1.78]
    )
    assert len(values["ofi"]) == 51
    # What was known before the event that moves the mid, with its time.
    assert values["ofi_up"] == [2.0]
    assert values["ofi_down"] == pytest.approx([values["ofi"][29]])
    assert found["ofi_up"]["time_ns"].to_list() == [120 * SECOND]
    # All others of which 100 events came before: 101 to 150 without the two.
    assert len(values["ofi_stay"]) == 48
    assert values["ofi_stay"] == pytest.approx(
        [x for k, x in enumerate(values["ofi"][:-1]) if k not in (19, 29)]
    )
    # LOB-Bench's 21 and one more.
    assert len(QUANTITIES) == 22


def test_read_events__levels_are_where_the_order_is_seen(tmp_path):
    # A bid enters behind the best, is cancelled in part there, and the best bid is executed.
    messages = [
        "34200.1,1,11,10,1000000,1", "34200.2,1,12,20,1010000,-1", "34200.3,1,13,5,990000,1",
        "34200.4,2,13,2,990000,1", "34200.5,4,11,10,1000000,1", "34200.6,5,0,1,1005000,1",
    ]  # fmt: skip
    empty_ask, empty_bid = "9999999999,0", "-9999999999,0"
    books = [
        f"{empty_ask},1000000,10,{empty_ask},{empty_bid}",
        f"1010000,20,1000000,10,{empty_ask},{empty_bid}",
        f"1010000,20,1000000,10,{empty_ask},990000,5",
        f"1010000,20,1000000,10,{empty_ask},990000,3",
        f"1010000,20,990000,3,{empty_ask},{empty_bid}",
        f"1010000,20,990000,3,{empty_ask},{empty_bid}",
    ]
    for kind, lines in (("message", messages), ("orderbook", books)):
        name = f"TEST_2020-01-02_34200000_57600000_{kind}_2.csv"
        (tmp_path / name).write_text("".join(line + "\n" for line in lines))
    (events,) = read_events(tmp_path).values()
    assert events["level"].to_list() == [1, 1, 2, 2, 1, None]
    assert events["bid_depth"].to_list() == [10, 10, 15, 13, 3, 3]


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
