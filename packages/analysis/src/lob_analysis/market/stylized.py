"""Stylized facts of returns and order flow, each as a number with what real markets show.

References:
    Cont (2001), Empirical properties of asset returns: stylized facts and statistical issues,
    Quantitative Finance 1(2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import optimize
from scipy import stats as scipy_stats

from lob_analysis.market.events import EXECUTIONS
from lob_analysis.market.quality import SECOND, returns_at, trades, variance_ratio

Floats = npt.NDArray[np.float64]

EXPECTED: Final = {
    "return autocorrelation, lag 1": "near 0",
    "return autocorrelation, mean of lags 2 to 10": "near 0",
    "Hill index of absolute returns": "2 to 5: heavy tails",
    "excess kurtosis": "well above 0",
    "excess kurtosis, 10 intervals": "smaller: aggregational normality",
    "absolute return autocorrelation, lag 1": "positive: volatility clusters",
    "absolute return autocorrelation, mean of lags 2 to 10": "positive, decays slowly",
    "long memory of absolute returns (d)": "0.2 to 0.5",
    "leverage, mean of lags 1 to 10": "negative on daily data, near 0 within a day",
    "volume-volatility correlation": "positive",
    "trade sign autocorrelation, lag 1": "positive: orders are split",
    "long memory of trade signs (d)": "0.1 to 0.4",
    "variance ratio, 10 intervals": "near 1",
}


def autocorrelation(values: npt.ArrayLike, max_lag: int) -> Floats:
    """Sample autocorrelation at lags 1 to `max_lag`, `[max_lag]`; NaN if the values do not vary.

    With independent values each lies within `1.96 / sqrt(n)` of zero with probability 0.95.

    Args:
        values: `[n]` the series.
        max_lag: in steps of the series.

    Raises:
        ValueError: if there are not more than `max_lag` values.
    """
    x = np.asarray(values, np.float64)
    if not 1 <= max_lag < x.size:
        raise ValueError(f"max_lag is {max_lag}; it must be >= 1 and below the {x.size} values")
    x = x - x.mean()
    size = 1 << (2 * x.size - 1).bit_length()
    power = np.abs(np.fft.rfft(x, size)) ** 2
    covariance = np.fft.irfft(power, size)[: max_lag + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(covariance[0] > 1e-300, covariance[1:] / covariance[0], np.nan)


def hill_index(values: npt.ArrayLike, tail_share: float = 0.05) -> tuple[float, float]:
    """Tail exponent of the largest `tail_share` of positive values, and its standard error.

    `P(X > x) ~ x^-index`; below 4 the fourth moment, below 2 the variance does not exist.

    References:
        Hill (1975), A simple general approach to inference about the tail of a distribution; the
        error is index / sqrt(k).

    Raises:
        ValueError: if `tail_share` is not in (0, 1) or fewer than two values are in the tail.
    """
    if not 0 < tail_share < 1:
        raise ValueError(f"tail_share is {tail_share}; it must be in (0, 1)")
    x = np.sort(np.asarray(values, np.float64))
    x = x[x > 0]
    k = int(tail_share * x.size)
    if k < 2:
        raise ValueError(f"{x.size} positive values leave {k} in the tail; two are needed")
    with np.errstate(divide="ignore"):
        index = float(1 / np.mean(np.log(x[-k:] / x[-k - 1])))
    return index, float(index / np.sqrt(k))


def memory_parameter(values: npt.ArrayLike, exponent: float = 0.65) -> tuple[float, float]:
    """Fractional integration d by the local Whittle estimator, and its standard error.

    0 is short memory; between 0 and 0.5 autocorrelations decay like `lag^(2d - 1)`.

    Args:
        values: the series.
        exponent: the lowest `n^exponent` frequencies are used.

    References:
        Robinson (1995), Gaussian semiparametric estimation of long range dependence, Annals of
        Statistics 23(5); the error is 1 / (2 sqrt(m)).

    Raises:
        ValueError: if fewer than 32 values are given or they do not vary.
    """
    x = np.asarray(values, np.float64)
    if x.size < 32 or np.ptp(x) == 0:
        raise ValueError(f"{x.size} values, which must be at least 32 and vary")
    m = int(x.size**exponent)
    power = np.abs(np.fft.rfft(x - x.mean())[1 : m + 1]) ** 2
    logs = np.log(2 * np.pi * np.arange(1, m + 1) / x.size)

    def objective(d: float) -> float:
        return float(np.log(np.mean(np.exp(2 * d * logs) * power)) - 2 * d * logs.mean())

    found = optimize.minimize_scalar(objective, bounds=(-0.49, 0.99), method="bounded")
    return float(found.x), float(0.5 / np.sqrt(m))


def leverage(returns: npt.ArrayLike, lags: Sequence[int]) -> Floats:
    """Correlation of a return with the squared return `lag` intervals later.

    Args:
        returns: `[n]`.
        lags: >= 1, in steps of the series.

    Returns:
        `[len(lags)]`; NaN where returns do not vary or are too few.

    References:
        Bouchaud, Matacz and Potters (2001), Leverage effect in financial markets, with the
        normalization of a correlation.
    """
    x = np.asarray(returns, np.float64)
    return np.array([_correlation(x[:-lag], x[lag:] ** 2) for lag in lags])


def _correlation(left: Floats, right: Floats) -> float:
    if left.size < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(left, right)[0, 1])


def aggregated(returns: npt.ArrayLike, num_periods: int) -> Floats:
    """Sums of consecutive groups of `num_periods` returns; an incomplete last group is dropped."""
    x = np.asarray(returns, np.float64)
    whole = x.size // num_periods * num_periods
    return np.asarray(x[:whole].reshape(-1, num_periods).sum(axis=1))


def volume_volatility(events: pl.DataFrame, interval_ns: int) -> float:
    """Correlation of executed volume with the absolute mid change over intervals.

    Args:
        events: table of `market.events`.
        interval_ns: length of an interval, nanoseconds.
    """
    bins = (
        events.with_columns(
            mid=(pl.col("bid_price") + pl.col("ask_price")) / 2,
            executed=pl.when(pl.col("event_type").is_in(EXECUTIONS)).then("size").otherwise(0),
        )
        .group_by(pl.col("time_ns") // interval_ns, maintain_order=True)
        .agg(pl.col("executed").sum(), pl.col("mid").drop_nulls().last())
    )
    moved = bins.with_columns(moved=pl.col("mid").diff().abs()).drop_nulls()
    return _correlation(
        moved["executed"].cast(pl.Float64).to_numpy(), moved["moved"].cast(pl.Float64).to_numpy()
    )


def stylized_facts(events: pl.DataFrame, interval_ns: int = 10 * SECOND) -> pl.DataFrame:
    """The facts of one event table.

    Args:
        events: the event table.
        interval_ns: spacing of the returns.

    Returns:
        Columns fact, value, error (standard error under independence where there is a formula,
        else null) and expected. A fact that the table is too short for has a null value.
    """
    returns = returns_at(events, interval_ns)
    signs = trades(events)["aggressor"].cast(pl.Float64).to_numpy()
    band = 1 / np.sqrt(returns.size) if returns.size else None
    names = list(EXPECTED)
    rows: dict[str, tuple[float | None, float | None]] = dict.fromkeys(names, (None, None))
    if returns.size > 20 and np.ptp(returns) > 0:
        size = np.abs(returns)
        linear, absolute = autocorrelation(returns, 10), autocorrelation(size, 10)
        rows[names[0]] = linear[0], band
        rows[names[1]] = linear[1:].mean(), band and band / 3
        rows[names[3]] = scipy_stats.kurtosis(returns), np.sqrt(24 / returns.size)
        rows[names[4]] = scipy_stats.kurtosis(aggregated(returns, 10)), np.sqrt(240 / returns.size)
        rows[names[5]] = absolute[0], band
        rows[names[6]] = absolute[1:].mean(), band and band / 3
        rows[names[8]] = leverage(returns, range(1, 11)).mean(), band and band / np.sqrt(10)
        rows[names[9]] = volume_volatility(events, interval_ns), band
        ratio, z = variance_ratio(returns, 10)
        rows[names[12]] = ratio, abs((ratio - 1) / z) if z else None
        if (size > 0).sum() >= 40:
            rows[names[2]] = hill_index(size)
        if returns.size >= 32 and np.ptp(size) > 0:
            rows[names[7]] = memory_parameter(size)
    if signs.size >= 32 and np.ptp(signs) > 0:
        rows[names[10]] = autocorrelation(signs, 1)[0], 1 / np.sqrt(signs.size)
        rows[names[11]] = memory_parameter(signs)
    table = [
        (fact, *(None if x is None else float(x) for x in rows[fact]), EXPECTED[fact])
        for fact in names
    ]
    return pl.DataFrame(
        table,
        schema={
            "fact": pl.String,
            "value": pl.Float64,
            "error": pl.Float64,
            "expected": pl.String,
        },
        orient="row",
    )
