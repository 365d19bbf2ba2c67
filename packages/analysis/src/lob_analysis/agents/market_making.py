"""Where a market maker's money comes from: PnL split, inventory, adverse selection.

Tables are those of `episodes.parquet`: a row per step with `mid` (ticks), `inventory` (shares,
after the step), `worth` (ticks times shares: cash plus inventory at the mid, counted from a
reference price), `bought` and `sold` (shares in the step).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from lob_analysis.errors import AnalysisError

EPISODE: Final = ("policy", "replaced", "agent_type", "agent", "episode")
"""Columns that identify the path of one agent in the episode table."""


def require(frame: pl.DataFrame, columns: Sequence[str], what: str) -> None:
    """Checks that a table has the columns an analysis needs.

    Raises:
        AnalysisError: naming the missing columns.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise AnalysisError(f"{what} needs the columns {missing}; got {frame.columns}")


def split_pnl(episodes: pl.DataFrame, by: Sequence[str] = EPISODE) -> pl.DataFrame:
    """Splits each step's PnL into spread capture and inventory PnL.

    With worth W, inventory q and mid m after each step, `inventory_pnl = q[t-1] (m[t] - m[t-1])`
    is what the position held made, and `spread_pnl = W[t] - W[t-1] - inventory_pnl` is what the
    step's trades made against the mid at its end. They add up to the change of worth exactly.
    An episode starts flat with no worth, so its first step has no inventory PnL.

    Args:
        episodes: rows in time order within each group; columns step, mid, inventory, worth.
        by: columns that identify one path.

    Returns:
        The rows with added `step_pnl`, `inventory_pnl` and `spread_pnl`, ticks times shares.

    Raises:
        AnalysisError: if a column is missing.

    References:
        Spooner et al. (2018), Market making via reinforcement learning, equations 6 to 9;
        here the trades are marked at the mid after the step.
    """
    require(episodes, [*by, "step", "mid", "inventory", "worth"], "split_pnl")
    held = pl.col("inventory").shift(1, fill_value=0)
    moved = pl.col("mid").diff().fill_null(0.0)
    return (
        episodes.sort(*by, "step", maintain_order=True)
        .with_columns(
            step_pnl=pl.col("worth").diff().fill_null(pl.col("worth")).over(*by),
            inventory_pnl=(held * moved).over(*by),
        )
        .with_columns(spread_pnl=pl.col("step_pnl") - pl.col("inventory_pnl"))
    )


def pnl_summary(
    episodes: pl.DataFrame,
    costs: pl.DataFrame | None = None,
    by: Sequence[str] = EPISODE,
) -> pl.DataFrame:
    """Totals of the split by path: spread_pnl, inventory_pnl, fee_pnl, closing_pnl, pnl.

    Args:
        episodes: as in `split_pnl`; its worth is less fees.
        costs: columns `by`, `closing_cost` (ticks times shares, what closing the last position
            cost against the mid) and `fees` (ticks times shares, paid to the venue); None counts
            no closing and leaves fees within the spread.
        by: columns that identify one path.

    Returns:
        A row per path; `pnl` is the sum of the four.
    """
    totals = (
        split_pnl(episodes, by)
        .group_by(*by, maintain_order=True)
        .agg(pl.col("spread_pnl").sum(), pl.col("inventory_pnl").sum())
    )
    if costs is None:
        totals = totals.with_columns(closing_cost=pl.lit(0.0), fees=pl.lit(0.0))
    else:
        totals = totals.join(
            costs.select(*by, "closing_cost", "fees"),
            on=list(by),
            how="left",
            maintain_order="left",
        ).with_columns(pl.col("closing_cost", "fees").fill_null(0.0))
    return totals.with_columns(
        spread_pnl=pl.col("spread_pnl") + pl.col("fees"),
        fee_pnl=0.0 - pl.col("fees"),
        closing_pnl=0.0 - pl.col("closing_cost"),
        pnl=pl.col("spread_pnl") + pl.col("inventory_pnl") - pl.col("closing_cost"),
    ).drop("closing_cost", "fees")


def inventory_summary(episodes: pl.DataFrame, by: Sequence[str] = EPISODE) -> pl.DataFrame:
    """How much inventory was carried, and for how long.

    Returns:
        A row per path: mean_abs, max_abs and end (shares), `flat_share` (share of steps without
        a position) and `crossings` (times the position changed sign).
    """
    require(episodes, [*by, "step", "inventory"], "inventory_summary")
    held = pl.col("inventory")
    sign = held.sign().filter(held != 0)
    return (
        episodes.sort(*by, "step", maintain_order=True)
        .group_by(*by, maintain_order=True)
        .agg(
            mean_abs=held.abs().mean(),
            max_abs=held.abs().max(),
            end=held.last(),
            flat_share=(held == 0).mean(),
            crossings=(sign.diff().fill_null(0) != 0).sum(),
        )
    )


def markouts(
    episodes: pl.DataFrame, horizons: Sequence[int] = (0, 1, 5, 10), by: Sequence[str] = EPISODE
) -> pl.DataFrame:
    """Adverse selection: what fills are worth some steps later, per share.

    A buy at average price p is worth `mid[t + h] - p` a share h steps after the step in which it
    happened, a sale `p - mid[t + h]`. A maker that is picked off earns at h = 0 and loses later.

    Args:
        episodes: columns mid, bought, sold, buy_price and sell_price (average price of the step's
            fills, ticks), in time order.
        horizons: steps after the fill, each >= 0.
        by: columns that identify one path.

    Returns:
        A row per path and horizon: `markout` (ticks a share, null if nothing traded early enough)
        and `size` (shares behind it).

    Raises:
        AnalysisError: if a column is missing or a horizon is negative.
    """
    require(
        episodes,
        [*by, "step", "mid", "bought", "sold", "buy_price", "sell_price"],
        "markouts",
    )
    if any(h < 0 for h in horizons):
        raise AnalysisError(f"horizons are {list(horizons)}; each must be >= 0")
    ordered = episodes.sort(*by, "step", maintain_order=True)
    parts = []
    for horizon in horizons:
        later = pl.col("mid").shift(-horizon).over(*by)
        value = pl.col("bought") * (later - pl.col("buy_price")) + pl.col("sold") * (
            pl.col("sell_price") - later
        )
        size = pl.when(later.is_not_null()).then(pl.col("bought") + pl.col("sold")).otherwise(0)
        part = (
            ordered.with_columns(_value=value, _size=size)
            .group_by(*by, maintain_order=True)
            .agg(pl.col("_value").sum(), size=pl.col("_size").sum())
        )
        parts.append(
            part.select(
                *by,
                pl.lit(horizon).alias("horizon"),
                pl.when(pl.col("size") > 0)
                .then(pl.col("_value") / pl.col("size"))
                .alias("markout"),
                "size",
            )
        )
    return pl.concat(parts)


def quoting_summary(episodes: pl.DataFrame, by: Sequence[str] = EPISODE) -> pl.DataFrame:
    """How an agent quoted: a row per path.

    Returns:
        `two_sided_share` (share of steps with both quotes), `quoted_spread` (mean of ask minus bid
        quote while both rest, ticks), `at_touch_share` (share of resting quotes at or inside the
        best price of the market), `fill_steps` (share of steps with a fill) and
        `quote_fill_rate` (shares traded as maker over those and the shares that rest at the end
        of each step: what part of its quotes was taken within a step).
    """
    require(
        episodes,
        [*by, "best_bid", "best_ask", "bid_quote", "ask_quote", "bid_quote_size",
         "ask_quote_size", "bought", "sold", "maker_size"],
        "quoting_summary",
    )  # fmt: skip
    bid = pl.col("bid_quote").fill_null(0) > 0
    ask = pl.col("ask_quote").fill_null(0) > 0
    width = (pl.col("ask_quote") - pl.col("bid_quote")).filter(bid & ask)
    touch = (bid & (pl.col("bid_quote") >= pl.col("best_bid"))).sum() + (
        ask & (pl.col("ask_quote") <= pl.col("best_ask"))
    ).sum()
    resting = bid.sum() + ask.sum()
    taken = pl.col("maker_size").sum()
    quoted = taken + pl.col("bid_quote_size").sum() + pl.col("ask_quote_size").sum()
    return episodes.group_by(*by, maintain_order=True).agg(
        two_sided_share=(bid & ask).mean(),
        quoted_spread=width.mean(),
        at_touch_share=pl.when(resting > 0).then(touch / resting),
        fill_steps=((pl.col("bought") + pl.col("sold")) > 0).mean(),
        quote_fill_rate=pl.when(quoted > 0).then(taken / quoted),
    )
