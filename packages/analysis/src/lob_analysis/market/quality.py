"""How good a market is: spreads, depth, volatility, efficiency, order flow, intraday shape.

Works on the event table of `lob_analysis.market.events`. Prices are in ticks, sizes in shares.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from lob_analysis.market.events import CANCELS, EXECUTIONS

SECOND: Final = 1_000_000_000


def with_measures(events: pl.DataFrame) -> pl.DataFrame:
    """Adds mid, spread, imbalance and microprice after each event, and the mid before it.

    `imbalance` is `(bid_size - ask_size) / (bid_size + ask_size)` at the touch;
    `microprice` is the size-weighted mid, nearer to the thinner side. `mid_before` is null in the
    first row.
    """
    bid, ask = pl.col("bid_price"), pl.col("ask_price")
    bid_size, ask_size = pl.col("bid_size"), pl.col("ask_size")
    total = bid_size + ask_size
    return events.with_columns(
        mid=(bid + ask) / 2,
        spread=ask - bid,
        imbalance=pl.when(total > 0).then((bid_size - ask_size) / total),
        microprice=pl.when(total > 0).then((bid * ask_size + ask * bid_size) / total),
    ).with_columns(mid_before=pl.col("mid").shift(1))


def trades(events: pl.DataFrame) -> pl.DataFrame:
    """Trades by aggressor: executions of one time stamp and side that follow each other.

    LOBSTER writes a marketable order as a run of executions; they count as one trade here.

    Returns:
        A row per trade: time_ns, aggressor (+1 buyer, -1 seller), price (size-weighted mean,
        ticks), size, mid_before (before its first execution), mid (after its last).
    """
    measured = events if "mid_before" in events.columns else with_measures(events)
    is_execution = pl.col("event_type").is_in(EXECUTIONS)
    return (
        measured.with_columns(
            _run=pl.struct(is_execution.alias("x"), pl.col("time_ns"), pl.col("side")).rle_id()
        )
        .filter(is_execution & (pl.col("size") > 0))
        .group_by("_run", maintain_order=True)
        .agg(
            pl.col("time_ns").first(),
            aggressor=-pl.col("side").first().cast(pl.Int64),
            price=(pl.col("price") * pl.col("size")).sum() / pl.col("size").sum(),
            size=pl.col("size").sum(),
            mid_before=pl.col("mid_before").first(),
            mid=pl.col("mid").last(),
        )
        .drop("_run")
    )


def sample_mid(events: pl.DataFrame, interval_ns: int) -> pl.DataFrame:
    """The mid at equally spaced times: columns time_ns and mid, the last known one at each time.

    The first time is the first multiple of the interval at which a mid is known.

    Raises:
        ValueError: if the interval is not positive.
    """
    if interval_ns <= 0:
        raise ValueError(f"interval_ns is {interval_ns}; it must be positive")
    known = events.select("time_ns", mid=(pl.col("bid_price") + pl.col("ask_price")) / 2)
    known = known.drop_nulls()
    if known.is_empty():
        return known
    first, last = int(known["time_ns"][0]), int(known["time_ns"][-1])
    start = -(-first // interval_ns) * interval_ns
    grid = pl.DataFrame({"time_ns": np.arange(start, last + 1, interval_ns, dtype=np.int64)})
    return grid.join_asof(known, on="time_ns", strategy="backward")


def returns_at(events: pl.DataFrame, interval_ns: int) -> npt.NDArray[np.float64]:
    """Changes of the log mid over equally spaced intervals."""
    return np.diff(np.log(sample_mid(events, interval_ns)["mid"].to_numpy()))


def variance_ratio(returns: npt.ArrayLike, num_periods: int) -> tuple[float, float]:
    """Variance of `num_periods`-period returns over that of one-period ones, and its z score.

    A random walk has 1; below 1 prices revert, above 1 they trend. The z score is robust to
    heteroskedasticity and standard normal under the random walk.

    Args:
        returns: `[n]` one-period returns.
        num_periods: periods of the longer return, >= 2 and well below n.

    Raises:
        ValueError: if `num_periods` is out of range.

    References:
        Lo and MacKinlay (1988), Stock market prices do not follow random walks, Review of
        Financial Studies 1(1): overlapping unbiased estimator, robust statistic z*(q).
    """
    x = np.asarray(returns, np.float64)
    n, q = x.size, num_periods
    if not 2 <= q <= n // 2:
        raise ValueError(f"num_periods is {q}; it must be between 2 and {n // 2} for {n} returns")
    centered = x - x.mean()
    variance = float(centered @ centered) / (n - 1)
    if variance == 0:
        return float("nan"), float("nan")
    level = np.concatenate([[0.0], np.cumsum(x)])
    long = level[q:] - level[:-q] - q * x.mean()
    scale = q * (n - q + 1) * (1 - q / n)
    ratio = float(long @ long) / scale / variance
    squares = centered**2
    total = squares.sum() ** 2
    theta = sum(
        (2 * (q - lag) / q) ** 2 * float(squares[lag:] @ squares[:-lag]) / total
        for lag in range(1, q)
    )
    return ratio, (ratio - 1) / float(np.sqrt(theta))


def quality_summary(events: pl.DataFrame, *, horizon_s: float = 10.0) -> dict[str, float]:
    """The usual numbers about a market over the whole table.

    Args:
        events: the event table.
        horizon_s: seconds after which a trade's realized spread is taken.

    Returns:
        By name: `spread_ticks` and `spread_bps` (time-weighted), `effective_spread_ticks`
        (2 aggressor (price - mid before), size-weighted), `realized_spread_ticks` (against the mid
        `horizon_s` later), `price_impact_ticks` (their difference), `touch_depth` and `depth`
        (shares a side, time-weighted; NaN without depth columns), `imbalance_abs`,
        `volatility_ticks` (of one-second mid changes, per square root of a second),
        `variance_ratio_10s` (ten seconds against one), `flow_r2_10s` (share of the variance of
        mid changes over ten seconds that order-flow imbalance explains, linearly),
        `trades_per_minute`, `messages_per_minute`, `cancel_share` (of the orders removed, those
        not executed).

    References:
        Huang and Stoll (1996), Dealer versus auction markets, for the split of the effective
        spread into realized spread and price impact.
        Cont, Kukanov and Stoikov (2014), as in `event_flow`, for the share that flow explains.
    """
    measured = with_measures(events)
    gap = (pl.col("time_ns").shift(-1) - pl.col("time_ns")).fill_null(0)

    def weighted(value: pl.Expr) -> float:
        table = measured.select(v=value, w=gap).drop_nulls()
        return _mean(table["v"], table["w"])

    deals = trades(measured)
    num_trades = deals.height
    deals = deals.drop_nulls()
    later = deals.select(pl.col("time_ns") + int(horizon_s * SECOND)).with_row_index("deal")
    known = measured.select("time_ns", later_mid="mid").drop_nulls()
    last_ns = int(measured["time_ns"][-1])
    after = later.join_asof(known, on="time_ns", strategy="backward")
    is_late = after["time_ns"] <= last_ns
    deals = deals.with_columns(later_mid=after["later_mid"]).filter(is_late)
    signed = 2 * deals["aggressor"]
    effective = _mean(signed * (deals["price"] - deals["mid_before"]), deals["size"])
    realized = _mean(signed * (deals["price"] - deals["later_mid"]), deals["size"])
    mids = sample_mid(measured, SECOND)["mid"].to_numpy()
    changes = np.diff(mids)
    minutes = (last_ns - int(measured["time_ns"][0])) / (60 * SECOND)
    num_cancels = measured.filter(pl.col("event_type").is_in(CANCELS)).height
    num_removed = num_cancels + measured.filter(pl.col("event_type").is_in(EXECUTIONS)).height
    has_depth = "bid_depth" in events.columns
    per_minute = 1 / minutes if minutes > 0 else float("nan")
    return {
        "spread_ticks": weighted(pl.col("spread")),
        "spread_bps": weighted(1e4 * pl.col("spread") / pl.col("mid")),
        "effective_spread_ticks": effective,
        "realized_spread_ticks": realized,
        "price_impact_ticks": effective - realized,
        "touch_depth": weighted((pl.col("bid_size") + pl.col("ask_size")) / 2),
        "depth": weighted((pl.col("bid_depth") + pl.col("ask_depth")) / 2)
        if has_depth
        else float("nan"),
        "imbalance_abs": weighted(pl.col("imbalance").abs()),
        "volatility_ticks": float(np.std(changes)) if changes.size else float("nan"),
        "variance_ratio_10s": variance_ratio(changes, 10)[0] if changes.size >= 20 else np.nan,
        "flow_r2_10s": _explained(order_flow_imbalance(events)),
        "trades_per_minute": num_trades * per_minute,
        "messages_per_minute": measured.height * per_minute,
        "cancel_share": num_cancels / num_removed if num_removed else float("nan"),
    }


def _mean(values: pl.Series, weights: pl.Series) -> float:
    w = weights.to_numpy()
    return float(values.to_numpy() @ w) / float(w.sum()) if w.sum() > 0 else float("nan")


def _explained(by_interval: pl.DataFrame) -> float:
    """Squared correlation of `ofi` and `change`; NaN where one of them does not vary."""
    x, y = (by_interval[name].to_numpy().astype(np.float64) for name in ("ofi", "change"))
    if x.size < 3 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def event_flow(events: pl.DataFrame) -> pl.DataFrame:
    """What each event adds to the imbalance of order flow: columns time_ns, flow, change.

    `flow` is in shares, positive where buyers gain: size added at or above the best bid, or taken
    away at or below the best ask. `change` is that of the mid, in ticks. Events that leave a side
    empty are left out, and so is the first one, which has none before it.

    References:
        Cont, Kukanov and Stoikov (2014), The price impact of order book events, Journal of
        Financial Econometrics 12(1), equations 3 and 4.
    """
    quoted = with_measures(events).drop_nulls(["bid_price", "ask_price"])
    bid, ask = pl.col("bid_price"), pl.col("ask_price")
    old = {
        name: pl.col(name).shift(1) for name in ("bid_price", "ask_price", "bid_size", "ask_size")
    }
    flow = (
        pl.when(bid >= old["bid_price"]).then(pl.col("bid_size")).otherwise(0)
        - pl.when(bid <= old["bid_price"]).then(old["bid_size"]).otherwise(0)
        - pl.when(ask <= old["ask_price"]).then(pl.col("ask_size")).otherwise(0)
        + pl.when(ask >= old["ask_price"]).then(old["ask_size"]).otherwise(0)
    )
    return quoted.select("time_ns", flow=flow, change=pl.col("mid").diff()).slice(1)


def order_flow_imbalance(events: pl.DataFrame, interval_ns: int = 10 * SECOND) -> pl.DataFrame:
    """`event_flow` summed by interval of time: columns time_ns, ofi (shares), change (ticks)."""
    return (
        event_flow(events)
        .group_by(time_ns=pl.col("time_ns") // interval_ns * interval_ns, maintain_order=True)
        .agg(ofi=pl.col("flow").sum(), change=pl.col("change").sum())
    )


def intraday(events: pl.DataFrame, interval_ns: int = 600 * SECOND) -> pl.DataFrame:
    """Shape of the day: a row per interval.

    Returns:
        time_ns, messages, volume (shares executed), spread (mean over events, ticks), touch_depth
        (mean shares a side) and volatility (root of summed squared mid changes, ticks).
    """
    executed = pl.when(pl.col("event_type").is_in(EXECUTIONS)).then(pl.col("size")).otherwise(0)
    change = (pl.col("mid") - pl.col("mid_before")).fill_null(0.0)
    return (
        with_measures(events)
        .with_columns(executed=executed, change=change)
        .group_by(time_ns=pl.col("time_ns") // interval_ns * interval_ns, maintain_order=True)
        .agg(
            messages=pl.len(),
            volume=pl.col("executed").sum(),
            spread=pl.col("spread").mean(),
            touch_depth=((pl.col("bid_size") + pl.col("ask_size")) / 2).mean(),
            volatility=(pl.col("change") ** 2).sum().sqrt(),
        )
    )
