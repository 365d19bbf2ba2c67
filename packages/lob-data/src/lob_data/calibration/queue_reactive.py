"""Fits `lob_core.flow.QueueReactive`: events over exposure, by distance and size of the queue."""

from __future__ import annotations

from typing import Final, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from lob_core.flow import QueueReactive, QueueReactiveParams

from lob_data.calibration.exposure_kernel import CANCEL, LIMIT, MARKET, OTHER
from lob_data.calibration.figures import Float, exponential_ks
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
from lob_data.calibration.result import Calibration
from lob_data.errors import StoreError

_COVERED: Final = 0.95
_MOST_LEVELS: Final = 50
_NUM_SIZES: Final = QueueReactive().num_sizes


class Trace(NamedTuple):
    """A segment with its reference price `[D]` and the distance of each row from it, from 0."""

    part: FlowPart
    reference: npt.NDArray[np.int32]
    level: Int64


def fit_queue_reactive(data: FlowData, num_levels: int | None) -> Calibration:
    """Maximum likelihood for `QueueReactive`.

    The reference price is not recorded. It is followed as the model moves it; whether it moved with
    the mid shows in the sides of the limit orders that come next (`trace_reference`), and where it
    does not show, it is taken to have done what it mostly does. Queues out of view do not count.
    Sizes are in units of the mean size of all events at a distance. A size that a queue never had
    gets the rates of the nearest smaller size that it had (or larger, if there is none), a distance
    at which there never was a queue those of the one before.

    Args:
        data: the order flow.
        num_levels: `K` of the model; None takes the distance within which 95 % of the recorded
            limit orders lie, at most 50.

    Returns:
        The fit. Standard errors (of the rates, rate divided by the square root of the number of
        events, and of `move_probability`). Further figures: `covered`, share of limit orders within
        `K`; `aic`, and `aic_poisson` of rates that do not depend on the queue's size; `decisions`,
        moves of the mid after which it could be told whether the reference price followed.

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
    blank = np.zeros((num_levels, _NUM_SIZES))
    counted, _ = _count_all(traces, event_size, QueueRates(blank, blank, blank, np.zeros(1)))
    counts = (counted.limit_count, counted.cancel_count, counted.market_count)
    if not all(count.sum() for count in counts):
        raise StoreError("the data hold too little order flow to fit a model to")
    seconds = (counted.seconds, counted.seconds, counted.best_seconds)
    rates = [_rate(count, time) for count, time in zip(counts, seconds, strict=True)]
    for rate in rates[1:]:
        rate[:, 0] = 0.0  # nothing to cancel or to hit
    far_seconds = max(counted.totals[FAR_SECONDS], 1e-12)
    far_rate = counted.totals[FAR_COUNT] / far_seconds
    fitted = QueueRates(rates[0], rates[1], rates[2], np.array([far_rate]))
    _, residuals = _count_all(traces, event_size, fitted)

    names = ("limit_rate", "cancel_rate", "market_rate")
    params = QueueReactiveParams(
        **{name: jnp.asarray(rate, jnp.float32) for name, rate in zip(names, rates, strict=True)},
        event_size=jnp.asarray(event_size, jnp.int32),
        far_cancel_rate=jnp.float32(far_rate),
        move_probability=jnp.float32(move_probability),
        opening_price=jnp.int32(data.first_price),
        opening_time_s=jnp.int32(data.first_time_s),
    )
    errors = {
        name: (rate / np.sqrt(np.maximum(count, 1))).tolist()
        for name, rate, count in zip(names, rates, counts, strict=True)
    }
    spread = move_probability * (1 - move_probability)
    errors["move_probability"] = float(np.sqrt(spread / decided.sum()))
    errors["far_cancel_rate"] = far_rate / np.sqrt(max(counted.totals[FAR_COUNT], 1))
    by_size = sum(_aic(count, time) for count, time in zip(counts, seconds, strict=True))
    constant = sum(
        _aic(count.sum(1, keepdims=True), time[:, start:].sum(1, keepdims=True))
        for count, time, start in zip(counts, seconds, (0, 1, 1), strict=True)
    )
    fit = {
        "events": float(len(residuals)),
        "covered": float(counted.limit_count.sum() / len(limit_levels)),
        "residual_mean": float(residuals.mean()),
        "residual_ks": exponential_ks(residuals),
        "aic": float(by_size),
        "aic_poisson": float(constant),
        "decisions": float(decided.sum()),
    }
    return Calibration(QueueReactive(num_levels, _NUM_SIZES), params, errors, fit)


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


def _count_all(traces: list[Trace], event_size: Int64, rates: QueueRates) -> tuple[Queues, Float]:
    """Walks all segments; returns what was counted, and the residuals that `rates` give."""
    shape = (len(event_size), _NUM_SIZES)
    queues = Queues(
        limit_count=np.zeros(shape),
        cancel_count=np.zeros(shape),
        market_count=np.zeros(shape),
        seconds=np.zeros(shape),
        best_seconds=np.zeros(shape),
        totals=np.zeros(OUTSIDE + 1),
    )
    residuals = []
    for part, reference, _ in traces:
        first, end = part.rows
        buffer = np.zeros(end - first)
        count = count_queues(
            part.opening(),
            part.messages,
            first,
            end,
            _events_of(part),
            part.num_levels_seen,
            reference,
            event_size,
            rates,
            queues,
            buffer,
        )
        residuals.append(buffer[:count])
    return queues, np.concatenate(residuals)


def _rate(count: Float, seconds: Float) -> Float:
    """`[K, B]` rates, with those of the nearest size or distance where nothing was exposed."""
    is_known = seconds > 0
    rate = np.where(is_known, count / np.maximum(seconds, 1e-12), 0.0)
    for level in range(len(rate)):
        known = np.flatnonzero(is_known[level])
        if len(known):
            before = np.searchsorted(known, np.arange(rate.shape[1]), side="right") - 1
            rate[level] = rate[level, known[np.maximum(before, 0)]]
        elif level > 0:
            rate[level] = rate[level - 1]
    return rate


def _aic(count: Float, seconds: Float) -> float:
    """Akaike's criterion of one constant rate for each cell that was exposed."""
    is_known = seconds > 0
    known = count[is_known]
    rate = known / seconds[is_known]
    log_likelihood = (known * np.log(np.maximum(rate, 1e-300))).sum() - known.sum()
    return float(2 * is_known.sum() - 2 * log_likelihood)
