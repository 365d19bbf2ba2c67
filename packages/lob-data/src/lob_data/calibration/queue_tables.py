"""Tables of rates by distance and size of the queue: bins, and smoothing of cells seen briefly.

A burst of orders while a queue happens to have a size that it rarely has makes a rate of hundreds
a second, and a model that believes it gets stuck there: the queue never ends, and the price stands
still. So sizes are put into bins that have enough events, cells seen briefly borrow from their
neighbors, and all are drawn towards what their distance and their bin say together.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from lob_data.calibration.figures import Float
from lob_data.calibration.flow_data import Int64

_GROWTH: Final = 1.25
"""Ratio of the smallest sizes of neighboring bins."""
_LEAST_EVENTS: Final = 100
"""Events that a bin has, all distances together."""
_LEAST_S: Final = (0.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Seconds of exposure that a cell borrows from its neighbors up to, to choose from."""
_WEIGHTS_S: Final = (1.0, 10.0, 100.0, 1e3, 1e4, 1e6)
"""Weights of the product of row and column, in seconds of exposure, to choose from."""
_SWEEPS: Final = 20
_LEAST_RATE: Final = 1e-9


def size_floors(events: npt.ArrayLike) -> Int64:
    """Geometric bins of sizes, each with enough events.

    Args:
        events: `[F]`, events that met a queue of `0 .. F - 1` units.

    Returns:
        `[B]` int64, the smallest size of each bin: 0, 1, then at least a quarter more each time;
        the last has no end.
    """
    tail = np.append(np.cumsum(np.asarray(events)[::-1])[::-1], 0)  # events at a size or above
    floors = [0, 1]
    size = 2
    while size < len(tail) and tail[size] >= _LEAST_EVENTS:
        if tail[floors[-1]] - tail[size] >= _LEAST_EVENTS:
            floors.append(size)
            size = max(size + 1, int(np.ceil(_GROWTH * size)))
        else:
            size += 1
    return np.array(floors)


def pool_sizes(table: Float, floors: Int64) -> Float:
    """Sums `[..., B]` of the columns `[..., F]` of each bin."""
    pooled: Float = np.add.reduceat(table, floors, axis=-1)
    return pooled


def spread_sizes(table: Float, floors: Int64, num_sizes: int) -> Float:
    """`[K, F]` from `[K, B]`: each size has the value of its bin."""
    spread: Float = np.repeat(table, np.diff(np.append(floors, num_sizes)), axis=1)
    return spread


def smooth_rates(count: Float, exposure: Float) -> tuple[Float, Float]:
    """Rates of all cells, and their standard errors.

    A cell that was exposed for less than some seconds takes in its neighbors in size, as few as
    will do (the empty queue is left alone); then each is drawn towards the product of a factor of
    its row and one of its column, which weighs as much as some more seconds. Both numbers of
    seconds are those under which blocks of time that were left out are likeliest. Since blocks are
    left out whole, a burst of events in one of them does not speak for itself.

    Args:
        count: `[V, K, B]`, events by block of time.
        exposure: `[V, K, B]`, seconds, or orders times seconds.

    Returns:
        `[K, B]` each. A column without exposure has 0, a row without it that of the row before.
        Errors are those of Poisson counts of the cell and of those it borrowed from.
    """
    total_count, total_exposure = count.sum(0), exposure.sum(0)
    parts = list(zip(count, exposure, strict=True)) if len(count) > 1 else []

    def held_out(setting: tuple[float, float]) -> float:
        return sum(
            log_likelihood(n, t, _estimate(total_count - n, total_exposure - t, *setting)[0])
            for n, t in parts
        )

    best = max(itertools.product(_LEAST_S, _WEIGHTS_S), key=held_out)

    rate, events = _estimate(total_count, total_exposure, *best)
    return rate, rate / np.sqrt(np.maximum(events, 1.0))


def _estimate(
    count: Float, exposure: Float, least_s: float, weight_s: float
) -> tuple[Float, Float]:
    """`[K, B]` smoothed rates, and the events of each cell and those it borrowed."""
    count, exposure = _widened(count, exposure, least_s)
    product = _row_times_column(count, exposure)
    return (count + weight_s * product) / (exposure + weight_s), count


def _widened(count: Float, exposure: Float, least_s: float) -> tuple[Float, Float]:
    """Each cell's sums over the narrowest window of bins around it that has enough exposure."""
    place = np.arange(count.shape[1])
    wide_count, wide_exposure = count, exposure
    for width in range(1, len(place) - 1):
        kernel = (np.abs(place - place[:, None]) <= width).astype(np.float64)
        kernel[0, 1:] = kernel[1:, 0] = 0.0
        is_short = wide_exposure < least_s
        wide_count = np.where(is_short, count @ kernel, wide_count)
        wide_exposure = np.where(is_short, exposure @ kernel, wide_exposure)
    return wide_count, wide_exposure


def _row_times_column(count: Float, exposure: Float) -> Float:
    """`[K, B]` rates of the likeliest form `row * column`, by turns."""
    row = np.ones(count.shape[0])
    for _ in range(_SWEEPS):
        column = count.sum(0) / np.maximum(row @ exposure, 1e-300)
        row = count.sum(1) / np.maximum(exposure @ column, 1e-300)
    for level in np.flatnonzero(exposure.sum(1) == 0):
        row[level] = row[level - 1] if level > 0 else row.max()
    return np.outer(row, column)


def log_likelihood(count: Float, exposure: Float, rate: Float) -> float:
    """Of Poisson counts, without what does not depend on the rates."""
    return float((count * np.log(np.maximum(rate, _LEAST_RATE)) - rate * exposure).sum())


def aic(count: Float, exposure: Float, rate: Float) -> float:
    """Akaike's criterion of Poisson counts, with a parameter for each cell that was exposed."""
    return float(2 * (exposure > 0).sum() - 2 * log_likelihood(count, exposure, rate))
