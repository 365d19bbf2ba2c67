"""Quantities whose distributions tell a simulated market from a real one.

References:
    Nagy et al. (2025), LOB-Bench: benchmarking generative AI for finance, ICML (arXiv 2502.09172).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl
from lob_core.types import EventType, Side

from lob_analysis.market.events import CANCELS
from lob_analysis.market.quality import SECOND, event_flow

Quantity = Callable[[pl.DataFrame], pl.DataFrame]
"""Maps events with measures to columns time_ns and value."""

FLOW_EVENTS: Final = 100
"""Events over which order-flow imbalance is averaged."""


def _column(value: pl.Expr, where: pl.Expr | None = None) -> Quantity:
    def quantity(events: pl.DataFrame) -> pl.DataFrame:
        rows = events if where is None else events.filter(where)
        return rows.select("time_ns", value=value.cast(pl.Float64))

    return quantity


def _is_new(side: Side) -> pl.Expr:
    return (pl.col("event_type") == int(EventType.SUBMIT)) & (pl.col("side") == int(side))


def _is_cancel(side: Side) -> pl.Expr:
    return pl.col("event_type").is_in(CANCELS) & (pl.col("side") == int(side))


def _levels(where: pl.Expr) -> Quantity:
    """Level of the book at which an event happens, 1 the best; nothing without that column."""

    def quantity(events: pl.DataFrame) -> pl.DataFrame:
        if "level" not in events.columns:
            return events.clear().select("time_ns", value=pl.lit(0.0))
        return _column(pl.col("level"), where)(events)

    return quantity


def _depth(column: str) -> Quantity:
    """Shares on all visible levels of a side; nothing without that column."""

    def quantity(events: pl.DataFrame) -> pl.DataFrame:
        if column not in events.columns:
            return events.clear().select("time_ns", value=pl.lit(0.0))
        return _column(pl.col(column))(events)

    return quantity


def _volume_per_minute(events: pl.DataFrame) -> pl.DataFrame:
    """Visible executions of each second that has one, times 60.

    LOB-Bench also corrects the first and the last second of its short sequences.
    """
    return (
        events.filter(pl.col("event_type") == int(EventType.EXECUTE_VISIBLE))
        .group_by(pl.col("time_ns") // SECOND * SECOND, maintain_order=True)
        .agg(value=60.0 * pl.col("size").sum())
    )


def _mean_flow(events: pl.DataFrame) -> pl.DataFrame:
    """Columns time_ns, value and change: after each event, the mean flow of the last ones."""
    value = pl.col("flow").rolling_sum(FLOW_EVENTS) / FLOW_EVENTS
    return event_flow(events).select("time_ns", "change", value=value)


def _flow_imbalance(events: pl.DataFrame) -> pl.DataFrame:
    return _mean_flow(events).select("time_ns", "value").drop_nulls()


def _flow_before(direction: int) -> Quantity:
    """Mean flow before the events that move the mid up (1), leave it (0) or move it down (-1)."""

    def quantity(events: pl.DataFrame) -> pl.DataFrame:
        before = _mean_flow(events).with_columns(pl.col("value").shift(1))
        moved = before.filter(pl.col("change").sign() == direction)
        return moved.select("time_ns", "value").drop_nulls()

    return quantity


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
    "ask_volume": (_depth("ask_depth"), "shares"),
    "bid_volume": (_depth("bid_depth"), "shares"),
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
    "limit_ask_order_levels": (_levels(_is_new(Side.ASK)), "level"),
    "limit_bid_order_levels": (_levels(_is_new(Side.BID)), "level"),
    "ask_cancellation_levels": (_levels(_is_cancel(Side.ASK)), "level"),
    "bid_cancellation_levels": (_levels(_is_cancel(Side.BID)), "level"),
    "limit_order_size": (
        _column(pl.col("size"), pl.col("event_type") == int(EventType.SUBMIT)),
        "shares",
    ),
    "vol_per_min": (_volume_per_minute, "shares"),
    "ofi": (_flow_imbalance, "shares an event"),
    "ofi_up": (_flow_before(1), "shares an event"),
    "ofi_stay": (_flow_before(0), "shares an event"),
    "ofi_down": (_flow_before(-1), "shares an event"),
}
"""Unconditional quantities with their units: LOB-Bench's 21 under its names, and
`limit_order_size`.

`ofi` is the mean `event_flow` of the last 100 events; `ofi_up`, `ofi_stay` and `ofi_down` are that
mean just before an event that moves the mid up, leaves it, or moves it down.
"""

_MOVED: Final = (pl.col("mid") - pl.col("mid_before")).fill_null(0.0)
_VOLATILITY: Final = (_MOVED**2).sum().over(pl.col("time_ns") // (60 * SECOND)).sqrt()
"""Root of the summed squared mid changes of the minute, ticks."""

CONDITIONAL: Final[dict[str, tuple[pl.Expr, pl.Expr]]] = {
    "ask_volume | spread": (pl.col("ask_size"), pl.col("spread")),
    "bid_volume | spread": (pl.col("bid_size"), pl.col("spread")),
    "spread | time": (pl.col("spread"), pl.col("time_ns")),
    "spread | volatility": (pl.col("spread"), _VOLATILITY),
    "spread | imbalance": (pl.col("spread"), pl.col("imbalance").abs()),
}
"""Value and condition of each conditional score.

As in LOB-Bench the volumes are those at the touch. Conditions are cut at quantiles of the real
data; volatility is that of the minute, where LOB-Bench takes that of a sequence.
"""
