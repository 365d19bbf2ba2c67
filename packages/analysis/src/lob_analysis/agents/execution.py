"""What executing an order cost: shortfall and its parts, participation, fill rate.

Signs: a cost is positive. Sides are `+1` for buying and `-1` for selling. Prices are in ticks,
sizes in shares, costs in ticks times shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from lob_analysis.agents.market_making import EPISODE, require
from lob_analysis.errors import AnalysisError


@dataclass(frozen=True)
class Shortfall:
    """Implementation shortfall of one order and its parts, ticks times shares.

    Attributes:
        total: all of it.
        delay: what the market moved between the decision and the first order.
        trading: what the fills cost against the price when trading began.
        opportunity: what the part that was not filled costs at the closing price.
        filled: shares filled.
        task_size: shares ordered.
    """

    total: float
    delay: float
    trading: float
    opportunity: float
    filled: float
    task_size: float

    @property
    def per_share(self) -> float:
        """Total over the size of the task, ticks."""
        return self.total / self.task_size

    @property
    def fill_rate(self) -> float:
        """Share of the task that was filled."""
        return self.filled / self.task_size


def implementation_shortfall(
    price: npt.ArrayLike,
    size: npt.ArrayLike,
    *,
    side: int,
    task_size: float,
    arrival_price: float,
    closing_price: float,
    decision_price: float | None = None,
) -> Shortfall:
    """Paper portfolio minus real one, in the expanded form.

    Args:
        price: `[n]` prices of the fills.
        size: `[n]` their sizes, >= 0.
        side: +1 for a buy order, -1 for a sell order.
        task_size: shares ordered.
        arrival_price: mid when trading began.
        closing_price: what the unfilled part is valued at.
        decision_price: mid when the decision was made; None takes the arrival price.

    Returns:
        The shortfall; `delay + trading + opportunity` is its total. Delay counts the filled
        shares, opportunity the others from the decision price on.

    Raises:
        AnalysisError: if the side is not +1 or -1, sizes are negative or exceed the task.

    References:
        Perold (1988), The implementation shortfall: paper versus reality; the split is that of
        Kissell (2006), The expanded implementation shortfall, Journal of Trading 1(3).
    """
    p, q = np.atleast_1d(np.asarray(price, np.float64)), np.atleast_1d(np.asarray(size, np.float64))
    if side not in (-1, 1):
        raise AnalysisError(f"side is {side}; it must be +1 (buy) or -1 (sell)")
    if p.shape != q.shape or (q < 0).any():
        raise AnalysisError(f"prices {p.shape} and sizes {q.shape} must match, with sizes >= 0")
    filled = float(q.sum())
    if filled > task_size or task_size <= 0:
        raise AnalysisError(f"filled {filled} of a task of {task_size} shares")
    decision = arrival_price if decision_price is None else decision_price
    delay = side * filled * (arrival_price - decision)
    trading = side * float(((p - arrival_price) * q).sum())
    opportunity = side * (task_size - filled) * (closing_price - decision)
    return Shortfall(
        delay + trading + opportunity, delay, trading, opportunity, filled, float(task_size)
    )


def twap_price(mid: npt.ArrayLike) -> float:
    """Time-weighted average price of equally spaced mids."""
    return float(np.mean(np.asarray(mid, np.float64)))


def vwap_price(price: npt.ArrayLike, size: npt.ArrayLike) -> float:
    """Volume-weighted average price; NaN if nothing traded."""
    p, q = np.asarray(price, np.float64), np.asarray(size, np.float64)
    total = q.sum()
    return float((p * q).sum() / total) if total > 0 else float("nan")


def participation(episodes: pl.DataFrame, by: Sequence[str] = EPISODE) -> pl.DataFrame:
    """Share of the market's volume that an agent traded: a row per path.

    Args:
        episodes: columns bought, sold and volume (shares traded in the step, the agent's own
            included), one row a step.
        by: columns that identify one path.

    Returns:
        `participation` over the episode (null if the market did not trade), `max_participation`
        over its steps, `traded` and `volume` in shares.
    """
    require(episodes, [*by, "bought", "sold", "volume"], "participation")
    traded = pl.col("bought") + pl.col("sold")
    rate = pl.when(pl.col("volume") > 0).then(traded / pl.col("volume"))
    return episodes.group_by(*by, maintain_order=True).agg(
        participation=pl.when(pl.col("volume").sum() > 0).then(
            traded.sum() / pl.col("volume").sum()
        ),
        max_participation=rate.max(),
        traded=traded.sum(),
        volume=pl.col("volume").sum(),
    )


def schedule(episodes: pl.DataFrame, by: Sequence[str] = EPISODE) -> pl.DataFrame:
    """Progress of each path: the rows with added `executed` (shares so far) and `progress`.

    `progress` is the share of the path's final traded volume that was done after each step, so
    that an even schedule (TWAP) is a straight line.
    """
    require(episodes, [*by, "step", "bought", "sold"], "schedule")
    executed = (pl.col("bought") + pl.col("sold")).cum_sum().over(*by)
    ordered = episodes.sort(*by, "step", maintain_order=True).with_columns(executed=executed)
    total = pl.col("executed").last().over(*by)
    return ordered.with_columns(progress=pl.when(total > 0).then(pl.col("executed") / total))


def shortfall_path(episodes: pl.DataFrame, by: Sequence[str] = EPISODE) -> pl.DataFrame:
    """Cost so far against the arrival mid: the rows with added `cost`, ticks times shares.

    Step t adds `bought (buy_price - arrival) + sold (arrival - sell_price)`, where the arrival
    price is the mid of the path's first row, the end of the first step.
    """
    require(
        episodes,
        [*by, "step", "mid", "bought", "sold", "buy_price", "sell_price"],
        "shortfall_path",
    )
    arrival = pl.col("mid").first().over(*by)
    step = pl.col("bought") * (pl.col("buy_price") - arrival) + pl.col("sold") * (
        arrival - pl.col("sell_price")
    )
    return (
        episodes.sort(*by, "step", maintain_order=True)
        .with_columns(cost=step)
        .with_columns(pl.col("cost").cum_sum().over(*by))
    )
