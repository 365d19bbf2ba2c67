"""Simulated against real order flow: LOB-Bench style scores beside a real-versus-real floor.

The distances, their intervals and the floor are those of `lob_analysis.distances`.

References:
    Nagy et al. (2025), LOB-Bench: benchmarking generative AI for finance, ICML (arXiv 2502.09172),
    for the quantities and the two distances; blocks and floor are additions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl
from lob_core.types import EventType, Side

from lob_analysis.distances import NUM_BLOCKS, make_blocks, score
from lob_analysis.events import CANCELS
from lob_analysis.market_quality import SECOND, order_flow_imbalance, response, with_measures

Quantity = Callable[[pl.DataFrame], pl.DataFrame]
"""Maps events with measures to columns time_ns and value."""


def _column(value: pl.Expr, where: pl.Expr | None = None) -> Quantity:
    def quantity(events: pl.DataFrame) -> pl.DataFrame:
        rows = events if where is None else events.filter(where)
        return rows.select("time_ns", value=value.cast(pl.Float64))

    return quantity


def _is_new(side: Side) -> pl.Expr:
    return (pl.col("event_type") == int(EventType.SUBMIT)) & (pl.col("side") == int(side))


def _is_cancel(side: Side) -> pl.Expr:
    return pl.col("event_type").is_in(CANCELS) & (pl.col("side") == int(side))


def _volume_per_minute(events: pl.DataFrame) -> pl.DataFrame:
    minute = pl.col("time_ns") // (60 * SECOND) * (60 * SECOND)
    executed = pl.when(pl.col("event_type").is_in([4, 5])).then(pl.col("size")).otherwise(0)
    return events.group_by(minute, maintain_order=True).agg(value=executed.sum().cast(pl.Float64))


def _flow_imbalance(events: pl.DataFrame) -> pl.DataFrame:
    return order_flow_imbalance(events).select("time_ns", value=pl.col("ofi").cast(pl.Float64))


def _time_to_cancel(events: pl.DataFrame) -> pl.DataFrame:
    """Log seconds from the submission of an order to its first cancellation."""
    if "order_id" not in events.columns:
        return events.clear().select("time_ns", value=pl.lit(0.0))
    born = events.filter(pl.col("event_type") == int(EventType.SUBMIT)).select(
        "order_id", born="time_ns"
    )
    gone = events.filter(pl.col("event_type").is_in(CANCELS)).select("order_id", "time_ns")
    life = gone.unique("order_id", keep="first", maintain_order=True).join(
        born.unique("order_id", keep="first", maintain_order=True),
        on="order_id",
        maintain_order="left",
    )
    seconds = (pl.col("time_ns") - pl.col("born")) / SECOND
    return life.select("time_ns", value=seconds.clip(1e-9).log10())


_LATER: Final = (pl.col("time_ns").diff() / SECOND).clip(1e-9).log10()
QUANTITIES: Final[dict[str, tuple[Quantity, str]]] = {
    "spread": (_column(pl.col("spread")), "ticks"),
    "orderbook_imbalance": (_column(pl.col("imbalance")), "share"),
    "log_inter_arrival_time": (_column(_LATER), "log10 s"),
    "log_time_to_cancel": (_time_to_cancel, "log10 s"),
    "ask_volume_touch": (_column(pl.col("ask_size")), "shares"),
    "bid_volume_touch": (_column(pl.col("bid_size")), "shares"),
    "limit_ask_order_depth": (
        _column(pl.col("price") - pl.col("mid_before"), _is_new(Side.ASK)),
        "ticks",
    ),
    "limit_bid_order_depth": (
        _column(pl.col("mid_before") - pl.col("price"), _is_new(Side.BID)),
        "ticks",
    ),
    "ask_cancellation_depth": (
        _column(pl.col("price") - pl.col("mid_before"), _is_cancel(Side.ASK)),
        "ticks",
    ),
    "bid_cancellation_depth": (
        _column(pl.col("mid_before") - pl.col("price"), _is_cancel(Side.BID)),
        "ticks",
    ),
    "limit_order_size": (
        _column(pl.col("size"), pl.col("event_type") == int(EventType.SUBMIT)),
        "shares",
    ),
    "volume_per_minute": (_volume_per_minute, "shares"),
    "order_flow_imbalance": (_flow_imbalance, "shares a 10 s"),
}
"""Unconditional quantities by LOB-Bench's names, with their units."""

CONDITIONAL: Final[dict[str, tuple[pl.Expr, pl.Expr]]] = {
    "ask_volume_touch | spread": (pl.col("ask_size"), pl.col("spread")),
    "bid_volume_touch | spread": (pl.col("bid_size"), pl.col("spread")),
    "spread | imbalance": (pl.col("spread"), pl.col("imbalance").abs()),
}
"""Value and condition of each conditional score."""


def realism_scores(
    real: pl.DataFrame,
    sim: pl.DataFrame,
    *,
    quantities: Mapping[str, tuple[Quantity, str]] = QUANTITIES,
    num_blocks: int = NUM_BLOCKS,
    num_conditions: int = 10,
    seed: int = 0,
) -> pl.DataFrame:
    """All scores of a simulation.

    Args:
        real: event table of real data.
        sim: event table of simulated data.
        quantities: unconditional quantities.
        num_blocks: blocks of time.
        num_conditions: quantile bins of a condition.
        seed: of the resampling.

    Returns:
        Columns score, unit, kind (`unconditional` or `conditional`), distance (`l1` or
        `wasserstein`), value, low, high, floor, floor_high and told_apart. Quantities of which
        either table has fewer values than blocks (no order ids, a short recording) are left out.
    """
    measured = with_measures(real), with_measures(sim)
    samples: list[tuple[str, str, str, pl.DataFrame, pl.DataFrame, int]] = []
    for name, (quantity, unit) in quantities.items():
        left, right = (quantity(frame).drop_nulls() for frame in measured)
        samples.append((name, unit, "unconditional", left, right, 1))
    for name, (value, condition) in CONDITIONAL.items():
        left, right = (
            frame.select(
                "time_ns",
                value=value.cast(pl.Float64),
                condition=condition.cast(pl.Float64),
            ).drop_nulls()
            for frame in measured
        )
        samples.append((name, "", "conditional", left, right, num_conditions))
    rows = []
    for name, unit, kind, left, right, conditions in samples:
        if min(left.height, right.height) < num_blocks:
            continue
        for distance in ("l1", "wasserstein"):
            blocks = make_blocks(
                left,
                right,
                is_l1=distance == "l1",
                num_blocks=num_blocks,
                num_conditions=conditions,
            )
            found = score(blocks, seed=seed)
            rows.append(
                {
                    "score": name,
                    "unit": unit,
                    "kind": kind,
                    "distance": distance,
                    "value": found.value,
                    "low": found.low,
                    "high": found.high,
                    "floor": found.floor,
                    "floor_high": found.floor_high,
                    "told_apart": found.is_told_apart,
                }
            )
    return pl.DataFrame(rows)


def impact_scores(
    real: pl.DataFrame, sim: pl.DataFrame, lags: Sequence[int] = (1, 2, 5, 10, 20, 50, 100)
) -> pl.DataFrame:
    """Mean absolute difference of the price response functions, by kind of event.

    Both are divided by the mean spread of their market, so that the score is free of units. The
    floor is the difference between the two halves of the real table.

    Returns:
        Columns kind, moves, value and floor; kinds that a table lacks are left out.
    """

    def scaled(events: pl.DataFrame) -> pl.DataFrame:
        spread = (events["ask_price"] - events["bid_price"]).mean()
        unit = float(spread) if isinstance(spread, float) and spread > 0 else 1.0
        return response(events, lags).with_columns(pl.col("response") / unit)

    def gap(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        both = scaled(left).join(scaled(right), on=["kind", "moves", "lag"], suffix="_other")
        distance = (pl.col("response") - pl.col("response_other")).abs()
        return both.group_by("kind", "moves").agg(value=distance.mean())

    half = real.height // 2
    floor = gap(real.head(half), real.tail(real.height - half)).rename({"value": "floor"})
    found = gap(real, sim).join(floor, on=["kind", "moves"], how="left")
    return found.sort("kind", "moves")
