"""Fits `lob_core.flow.QueueReactive`: events over exposure, by distance and size of the queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from lob_core.flow import QueueReactive, QueueReactiveParams
from lob_core.flow.queue_sizes import law_table

from lob_data.calibration.exposure_kernel import CANCEL, LIMIT, MARKET, OTHER
from lob_data.calibration.figures import Float, exponential_ks, size_table
from lob_data.calibration.flow_data import FlowData, FlowPart, Int64
from lob_data.calibration.queue_kernel import (
    FAR_COUNT,
    FAR_SECONDS,
    MOVED,
    OUTSIDE,
    Events,
    QueueRates,
    Queues,
    count_queues,
    record_quotes,
    trace_reference,
)
from lob_data.calibration.queue_tables import (
    aic,
    pool_sizes,
    size_floors,
    smooth_rates,
    spread_sizes,
)
from lob_data.calibration.result import Calibration
from lob_data.errors import StoreError

_RATES: Final = ("limit_rate", "cancel_rate", "market_rate")
_COUNTS: Final = ("limit_count", "cancel_count", "market_count")
_EXPOSURES: Final = ("seconds", "order_seconds", "best_seconds")
_NUM_BLOCKS: Final = 8
"""Stretches of time, each left out in turn, by which the smoothing of rates is chosen."""
_COVERED: Final = 0.95
_MOST_LEVELS: Final = 50
_MOST_UNITS: Final = 1024
"""Sizes told apart before they are put into bins; longer queues count as the longest."""


class Trace(NamedTuple):
    """A segment with its reference price `[D]` and the distance of each row from it, from 0."""

    part: FlowPart
    reference: npt.NDArray[np.int32]
    level: Int64


def fit_queue_reactive(data: FlowData, num_levels: int | None) -> Calibration:
    """Maximum likelihood for `QueueReactive`, smoothed where the data say little.

    The reference price is not recorded. It is followed as the model moves it; whether it moved with
    the mid shows in the sides of the limit orders that come next (`trace_reference`), and where it
    does not show, it is taken to have done what it mostly does. Queues out of view do not count.
    The unit of a queue is the mean size of all events at its distance, as in the paper. Sizes of
    queues are put into geometric bins, and rates are smoothed as much as makes stretches of time
    that were left out likeliest (`queue_tables`). The law of the queues' sizes is that of the data;
    so are the sizes of orders. The model's `redraw_probability` is 0: no record of a book shows it
    drawn anew.

    Args:
        data: the order flow.
        num_levels: `K` of the model; None takes the distance within which 95 % of the recorded
            limit orders lie, at most 50.

    Returns:
        The fit. Standard errors (of the rates, rate divided by the square root of the number of
        events that speak for it, and of `move_probability`). Further figures: `covered`, share of
        limit orders within `K`; `aic`, which counts every cell of a table as a parameter, and
        `aic_poisson` of rates that do not depend on the queue's size; `decisions`, moves of the mid
        after which it could be told whether the reference price followed.

    Raises:
        StoreError: if no limit order, cancel or market order lies within `K`, or the mid never
            moved so that it could be told.

    References:
        Huang, Lehalle, Rosenbaum (2015), Simulating and analyzing order book data: the
        queue-reactive model, Journal of the American Statistical Association 110(509), section
        2.2.2 (the estimators).
    """
    decided = np.zeros(2)
    _trace_all(data, False, decided)
    if not decided.sum():
        raise StoreError("the mid never moves so that a reference price can be told from it")
    move_probability = float(decided[MOVED] / decided.sum())
    traces = _trace_all(data, move_probability > 0.5, np.zeros(2))
    limit_levels = np.concatenate([_levels_of(trace, LIMIT) for trace in traces])
    if num_levels is None:
        num_levels = int(np.quantile(limit_levels, _COVERED, method="higher")) + 1
        num_levels = min(max(num_levels, 1), _MOST_LEVELS)
    event_size = _event_sizes(traces, num_levels)
    blocks = [_count(block, event_size, None)[0] for block in _blocks(traces)]
    counts, exposures = (
        np.stack([[getattr(block, name) for name in names] for block in blocks])
        for names in (_COUNTS, _EXPOSURES)
    )
    if not counts.sum((0, 2, 3)).all():
        raise StoreError("the data hold too little order flow to fit a model to")
    law = _size_law(exposures[:, 0].sum(0))
    floors = size_floors(counts.sum((0, 1, 2)))
    counts, exposures = pool_sizes(counts, floors), pool_sizes(exposures, floors)
    fits = [smooth_rates(counts[:, i], exposures[:, i]) for i in range(len(_RATES))]
    rates = {name: rate for name, (rate, _) in zip(_RATES, fits, strict=True)}
    far_count, far_seconds = (sum(b.totals[i] for b in blocks) for i in (FAR_COUNT, FAR_SECONDS))
    far_rate = far_count / max(far_seconds, 1e-12)
    limit, cancel, market = (spread_sizes(x, floors, _MOST_UNITS) for x in rates.values())
    fitted = QueueRates(limit, cancel, market, np.array([far_rate]))
    residuals = np.concatenate([_count(trace, event_size, fitted)[1] for trace in traces])

    params = QueueReactiveParams(
        **{name: jnp.asarray(rate, jnp.float32) for name, rate in rates.items()},
        size_floor=jnp.asarray(floors, jnp.int32),
        queue_size=law_table(jnp.asarray(law)),
        event_size=jnp.asarray(event_size, jnp.int32),
        limit_size=size_table(data.sizes(LIMIT)),
        market_size=size_table(data.sizes(MARKET)),
        far_cancel_rate=jnp.float32(far_rate),
        move_probability=jnp.float32(move_probability),
        opening_price=jnp.int32(data.first_price),
        opening_time_s=jnp.int32(data.first_time_s),
    )
    spread = move_probability * (1 - move_probability)
    errors = {
        **{name: error.tolist() for name, (_, error) in zip(_RATES, fits, strict=True)},
        "move_probability": float(np.sqrt(spread / decided.sum())),
        "far_cancel_rate": float(far_rate / np.sqrt(max(far_count, 1))),
    }
    whole = list(zip(counts.sum(0), exposures.sum(0), strict=True))
    by_size = sum(aic(*table, rate) for table, rate in zip(whole, rates.values(), strict=True))
    constant = [[t.sum(1, keepdims=True) for t in table] for table in whole]
    fit = {
        "events": float(len(residuals)),
        "covered": float(counts[:, 0].sum() / len(limit_levels)),
        "residual_mean": float(residuals.mean()),
        "residual_ks": exponential_ks(residuals),
        "aic": by_size,
        "aic_poisson": sum(aic(n, t, n / np.maximum(t, 1e-300)) for n, t in constant),
        "decisions": float(decided.sum()),
    }
    return Calibration(QueueReactive(num_levels, len(floors)), params, errors, fit)


def _trace_all(data: FlowData, is_mover: bool, decisions: Float) -> list[Trace]:
    """Follows the reference price through every segment."""
    traces = []
    for part in data.parts:
        quotes = np.zeros((2, len(part.ts_ns)), np.int32)
        record_quotes(part.opening(), part.messages, *part.rows, quotes)
        reference = np.zeros(len(part.ts_ns), np.int32)
        trace_reference(*part.rows, _events_of(part), quotes, is_mover, reference, decisions)
        below = reference.astype(np.int64) - part.price
        traces.append(Trace(part, reference, np.where(part.side > 0, below, -below - 1)))
    return traces


def _events_of(part: FlowPart) -> Events:
    return Events(part.ts_ns, part.kind, part.side, part.price)


def _levels_of(trace: Trace, *kinds: int) -> Int64:
    """Distances, from 0, of the segment's events of some kinds."""
    rows = slice(*trace.part.rows)
    is_wanted = np.isin(trace.part.kind[rows], kinds) & (trace.reference[rows] > 0)
    levels: Int64 = np.maximum(trace.level[rows][is_wanted], 0)
    return levels


def _event_sizes(traces: list[Trace], num_levels: int) -> Int64:
    """`[K]`, mean size of the events at each distance, shares; that of all where there is none."""
    kinds = (LIMIT, CANCEL, MARKET)
    levels = np.concatenate([_levels_of(trace, *kinds) for trace in traces])
    sizes = []
    for trace in traces:
        rows = slice(*trace.part.rows)
        is_event = (trace.part.kind[rows] != OTHER) & (trace.reference[rows] > 0)
        sizes.append(trace.part.size[rows][is_event])
    size = np.concatenate(sizes).astype(np.float64)
    is_near = levels < num_levels
    total = np.bincount(levels[is_near], size[is_near], minlength=num_levels)
    count = np.bincount(levels[is_near], minlength=num_levels)
    means = np.where(count > 0, total / np.maximum(count, 1), size.mean())
    return np.maximum(np.rint(means), 1).astype(np.int64)


def _blocks(traces: list[Trace]) -> list[Trace]:
    """The segments cut into about `_NUM_BLOCKS` blocks of as many rows each."""
    num_rows = [trace.part.rows[1] - trace.part.rows[0] for trace in traces]
    blocks = []
    for trace, count in zip(traces, num_rows, strict=True):
        pieces = max(round(_NUM_BLOCKS * count / sum(num_rows)), 1)
        edges = trace.part.rows[0] + np.linspace(0, count, pieces + 1).astype(int)
        blocks += [
            trace._replace(part=replace(trace.part, rows=rows))
            for rows in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        ]
    return blocks


def _count(trace: Trace, event_size: Int64, rates: QueueRates | None) -> tuple[Queues, Float]:
    """Walks a segment; returns what was counted and, given rates, the residuals."""
    shape = (len(event_size), _MOST_UNITS)
    tables = {name: np.zeros(shape) for name in (*_COUNTS, *_EXPOSURES)}
    queues = Queues(**tables, totals=np.zeros(OUTSIDE + 1))
    if rates is None:
        blank = np.zeros(shape)
        rates = QueueRates(blank, blank, blank, np.zeros(1))
    part = trace.part
    first, end = part.rows
    buffer = np.zeros(end - first)
    count = count_queues(
        part.opening(),
        part.messages,
        first,
        end,
        _events_of(part),
        part.num_levels_seen,
        trace.reference,
        event_size,
        rates,
        queues,
        buffer,
    )
    return queues, buffer[:count]


def _size_law(seconds: Float) -> Float:
    """`[K, U]`, share of time that a queue had each size; that of all where it was never seen."""
    whole = seconds.sum(0, keepdims=True)
    law = np.where(seconds.sum(1, keepdims=True) > 0, seconds, whole)
    return np.asarray(law / law.sum(1, keepdims=True))
