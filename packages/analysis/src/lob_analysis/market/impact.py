"""Price response to six kinds of event, and how far a simulation's is from the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from lob_core.types import EventType

from lob_analysis.market.distances import NUM_BLOCKS, Floats, Score, from_draws, halvings, resamples
from lob_analysis.market.events import CANCELS
from lob_analysis.market.quality import with_measures

_KINDS: Final = (
    ("market order", (int(EventType.EXECUTE_VISIBLE),), -1),
    ("limit order", (int(EventType.SUBMIT),), 1),
    ("cancellation", CANCELS, -1),
)
LAGS: Final = (1, 2, 5, 10, 20, 50, 100)
"""Events after which the response is taken."""


def _signed(events: pl.DataFrame, lags: Sequence[int]) -> pl.DataFrame:
    """A row per event that can change the displayed book: time_ns, kind, moves, and moved by lag.

    `moved_l` is `sign (mid before event t + l - mid before event t)`, in ticks; null at the end.

    Raises:
        ValueError: if a lag is below 1.
    """
    if any(lag < 1 for lag in lags):
        raise ValueError(f"lags are {list(lags)}; each must be >= 1")
    measured = with_measures(events.filter(pl.col("event_type") <= int(EventType.EXECUTE_VISIBLE)))
    kind = pl.lit(None, dtype=pl.String)
    sign = pl.lit(0, dtype=pl.Int64)
    for name, types, direction in _KINDS:
        is_kind = pl.col("event_type").is_in(types)
        kind = pl.when(is_kind).then(pl.lit(name)).otherwise(kind)
        sign = pl.when(is_kind).then(direction * pl.col("side").cast(pl.Int64)).otherwise(sign)
    return measured.select(
        "time_ns",
        kind=kind,
        moves=pl.col("mid") != pl.col("mid_before"),
        **{
            f"moved_{lag}": sign * (pl.col("mid").shift(-(lag - 1)) - pl.col("mid_before"))
            for lag in lags
        },
    )


def response(events: pl.DataFrame, lags: Sequence[int] = LAGS) -> pl.DataFrame:
    """Price response to six kinds of event, in event time.

    Kinds are market orders, limit orders and cancellations, each split by whether the event moved
    the mid. The sign of an event is the direction in which it pushes: buyer-initiated trades, new
    bids and cancelled asks push up. `R(l) = E[sign (mid before event t + l - mid before event t)]`,
    so `l = 1` is the immediate effect. Only events that can change the displayed book count.

    Args:
        events: the event table.
        lags: in events, each >= 1.

    Returns:
        Columns kind, moves (bool), lag, response (ticks), error (standard error without regard to
        overlap) and count.

    References:
        Eisler, Bouchaud and Kockelkoren (2012), The price impact of order book events: market
        orders, limit orders and cancellations, Quantitative Finance 12(9), equation 9.
    """
    signed = _signed(events, lags)
    parts = [
        signed.select("kind", "moves", moved=f"moved_{lag}")
        .drop_nulls("moved")
        .group_by("kind", "moves")
        .agg(
            response=pl.col("moved").mean(),
            error=pl.col("moved").std() / pl.len().sqrt(),
            count=pl.len(),
        )
        .with_columns(lag=pl.lit(lag, dtype=pl.Int64))
        for lag in lags
    ]
    columns = ["kind", "moves", "lag", "response", "error", "count"]
    return pl.concat(parts).select(columns).sort("kind", "moves", "lag")


def _block_sums(
    events: pl.DataFrame, kinds: Sequence[tuple[str, bool]], lags: Sequence[int], num_blocks: int
) -> Floats:
    """`[B, K, 2, L]` sums of moves in mean spreads, and their counts, by block of time."""
    spread = float((events["ask_price"] - events["bid_price"]).drop_nulls().to_numpy().mean())
    signed = _signed(events, lags)
    time = signed["time_ns"].to_numpy()
    span = max(int(time[-1] - time[0]), 1)
    block = np.minimum((time - time[0]) * num_blocks // span, num_blocks - 1)
    columns = [f"moved_{lag}" for lag in lags]
    table = (
        signed.with_columns(block=pl.Series(block))
        .group_by("block", "kind", "moves")
        .agg(pl.col(columns).sum() / spread, pl.col(columns).count().name.prefix("count_"))
    )
    sums = np.zeros((num_blocks, len(kinds), 2, len(lags)))
    places = {place: number for number, place in enumerate(kinds)}
    for block_of, kind, moves, *values in table.iter_rows():
        if (kind, moves) in places:
            sums[block_of, places[kind, moves]] = np.reshape(values, (2, len(lags)))
    return sums


def _gap(left: Floats, right: Floats) -> Floats:
    """`[n, K]` mean absolute difference over lags of responses from `[n, K, 2, L]` sums.

    NaN where one of them has no event of the kind.
    """
    with np.errstate(invalid="ignore"):
        a, b = (x[:, :, 0] / x[:, :, 1] for x in (left, right))
    return np.asarray(np.abs(a - b).mean(axis=2))


def impact_scores(
    real: pl.DataFrame,
    sim: pl.DataFrame,
    lags: Sequence[int] = LAGS,
    *,
    num_blocks: int = NUM_BLOCKS,
    num_resamples: int = 400,
    seed: int = 0,
) -> dict[str, Score]:
    """Mean absolute difference of the price response functions, by kind of event.

    Both are divided by the mean spread of their market, so that the score is free of units. Blocks
    of time are resampled, and the floor is the difference between random halves of the real
    blocks, as in `distances.score`.

    Args:
        real: event table of real data.
        sim: event table of simulated data.
        lags: in events, each >= 1.
        num_blocks: blocks of time.
        num_resamples: bootstrap replications, and random halvings.
        seed: of both.

    Returns:
        By kind of event, such as `market order, moves the mid`; kinds that a table lacks at some
        lag, or that only one block of the real one has, are left out.
    """
    kinds = [(name, moves) for name, _, _ in _KINDS for moves in (False, True)]
    sums = [_block_sums(events, kinds, lags, num_blocks) for events in (real, sim)]
    random = np.random.default_rng(seed)

    def mixed(weights: Floats, blocks: Floats) -> Floats:
        return np.tensordot(weights, blocks, axes=1)

    whole = _gap(*(x.sum(axis=0, keepdims=True) for x in sums))[0]
    drawn = _gap(*(mixed(resamples(random, num_blocks, num_resamples), x) for x in sums))
    halves = halvings(random, num_blocks, num_resamples)
    floor = _gap(mixed(halves, sums[0]), mixed(1 - halves, sums[0]))
    found = {}
    for number, (name, moves) in enumerate(kinds):
        if all(np.isfinite(x[..., number]).any() for x in (whole, drawn, floor)):
            label = f"{name}, {'moves' if moves else 'does not move'} the mid"
            found[label] = from_draws(whole[number], drawn[:, number], floor[:, number])
    return found
