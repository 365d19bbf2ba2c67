"""Distances between samples of one quantity, with block-bootstrap intervals and a floor.

- `l1`: half the sum of absolute differences of bin shares (total variation distance), in [0, 1];
  bins are Freedman-Diaconis bins of the real data between its 0.5 % and 99.5 % quantiles, with one
  open bin on each side;
- `wasserstein`: Wasserstein-1 distance of the values divided by the standard deviation of the
  pooled data, so that quantities with different units compare.

Order flow is serially dependent, so everything is resampled in blocks of time. The floor is the
same distance between random halves of the real blocks: what a perfect simulator would get, and
somewhat more, because a half is a smaller sample than the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from lob_analysis.errors import AnalysisError

Floats = npt.NDArray[np.float64]

NUM_BLOCKS: Final = 24
_GRID: Final = 1000
_MAX_BINS: Final = 200


@dataclass(frozen=True)
class Blocks:
    """Counts of one quantity: a row per block of time, a column per bin or grid point.

    Attributes:
        real: `[R, G]`.
        sim: `[S, G]`.
        position: `[G / C]` where the columns of a condition lie, for Wasserstein-1; None for `l1`.
        num_conditions: conditions `C`; columns hold one after the other, `G / C` each.
    """

    real: Floats
    sim: Floats
    position: Floats | None
    num_conditions: int = 1


def distances(left: Floats, right: Floats, blocks: Blocks) -> Floats:
    """Distance between pairs of count vectors, `[n, G]` each, averaged over conditions.

    Conditions are weighted by their share in the left sample. Where the right sample never meets a
    condition, `l1` is 1, and Wasserstein-1 takes the right sample under all conditions instead.
    """
    shape = (len(left), blocks.num_conditions, -1)
    a, b = left.reshape(shape), right.reshape(shape)
    total_a, total_b = a.sum(axis=2), b.sum(axis=2)
    if blocks.position is not None:
        b = np.where(total_b[..., None] > 0, b, b.sum(axis=1, keepdims=True))
    gap = a / np.maximum(total_a, 1)[..., None]
    gap -= b / np.maximum(b.sum(axis=2), 1)[..., None]
    if blocks.position is None:
        distance = np.where(total_b > 0, np.abs(gap).sum(axis=2) / 2, 1.0)
    else:
        distance = np.abs(np.cumsum(gap, axis=2))[..., :-1] @ np.diff(blocks.position)
    weight = total_a.sum(axis=1)
    return np.where(weight > 0, (total_a * distance).sum(axis=1) / np.maximum(weight, 1), np.nan)


def _count(
    frame: pl.DataFrame, cells: npt.NDArray[np.int64], num_cells: int, num_blocks: int
) -> Floats:
    """`[num_blocks, num_cells]` counts; blocks cut the time range of the frame evenly."""
    time = frame["time_ns"].to_numpy()
    span = max(int(time[-1] - time[0]), 1)
    block = np.minimum((time - time[0]) * num_blocks // span, num_blocks - 1)
    flat = np.bincount(block * num_cells + cells, minlength=num_blocks * num_cells)
    return flat.reshape(num_blocks, num_cells).astype(np.float64)


def l1_edges(real: Floats) -> Floats:
    """Inner bin edges: Freedman-Diaconis width over the central 99 %, at most 200 bins.

    A quantity with few distinct values, each seen often, gets one bin a value.
    """
    low, first, third, high = np.quantile(real, [0.005, 0.25, 0.75, 0.995])
    if high <= low:
        return np.array([low - 0.5, low + 0.5])
    width = 2 * (third - first) / np.cbrt(real.size)
    distinct = np.unique(real[(real >= low) & (real <= high)])
    if 0 < distinct.size <= min(_MAX_BINS, real.size / 20):
        middle = (distinct[1:] + distinct[:-1]) / 2
        return np.concatenate([[distinct[0] - 1e-9], middle, [distinct[-1] + 1e-9]])
    bins = int(np.clip((high - low) / width, 10, _MAX_BINS)) if width > 0 else _MAX_BINS
    return np.linspace(low, high, bins + 1)


def make_blocks(
    real: pl.DataFrame,
    sim: pl.DataFrame,
    *,
    is_l1: bool,
    num_blocks: int = NUM_BLOCKS,
    num_conditions: int = 1,
) -> Blocks:
    """Counts of a quantity in both samples.

    Args:
        real: columns time_ns, value and, with conditions, condition.
        sim: likewise.
        is_l1: bins for `l1`, or a grid of pooled quantiles for Wasserstein-1.
        num_blocks: blocks of time each sample is cut into.
        num_conditions: quantile bins of the real condition.

    Raises:
        AnalysisError: if a sample is empty.
    """
    real, sim = (x.drop_nulls().filter(pl.col("value").is_finite()) for x in (real, sim))
    if real.is_empty() or sim.is_empty():
        raise AnalysisError(f"{'real' if real.is_empty() else 'simulated'} sample has no values")
    x, y = real["value"].to_numpy(), sim["value"].to_numpy()
    if is_l1:
        edges = l1_edges(x)
        cells = [np.searchsorted(edges, v, "right") for v in (x, y)]
        num_cells, position = len(edges) + 1, None
    else:
        pooled = np.concatenate([x, y])
        distinct = np.unique(pooled)
        if distinct.size > _GRID:
            distinct = np.unique(np.quantile(pooled, np.linspace(0, 1, _GRID)))
        middle = (distinct[1:] + distinct[:-1]) / 2
        cells = [np.searchsorted(middle, v) for v in (x, y)]
        scale = float(pooled.std()) or 1.0
        num_cells, position = len(distinct), distinct / scale
    num_groups = 1
    if num_conditions > 1:
        limits = np.unique(
            np.quantile(real["condition"].to_numpy(), np.linspace(0, 1, num_conditions + 1)[1:-1])
        )
        picks = [np.searchsorted(limits, s["condition"].to_numpy(), "right") for s in (real, sim)]
        cells = [c + num_cells * p for c, p in zip(cells, picks, strict=True)]
        num_groups = len(limits) + 1
    counts = [
        _count(frame, cell, num_groups * num_cells, num_blocks)
        for frame, cell in zip((real, sim), cells, strict=True)
    ]
    return Blocks(counts[0], counts[1], position, num_groups)


@dataclass(frozen=True)
class Score:
    """One distance with its interval and floor.

    Attributes:
        value: distance between the whole samples.
        low: lower end of the 95 % interval from resampled blocks.
        high: upper end. Resampling adds noise to both samples, which can only add distance, so
            the interval sits somewhat above the value.
        floor: mean distance between random halves of the real blocks.
        floor_high: its 95 % quantile; a simulator as good as the real data exceeds it in at most
            about one score of twenty.
    """

    value: float
    low: float
    high: float
    floor: float
    floor_high: float

    @property
    def is_told_apart(self) -> bool:
        """Whether the simulation is farther from the real data than the data from itself."""
        return self.value > self.floor_high


def resamples(random: np.random.Generator, num_blocks: int, num_resamples: int) -> Floats:
    """`[num_resamples, num_blocks]` times that each block is drawn, with replacement."""
    share = np.full(num_blocks, 1 / num_blocks)
    return random.multinomial(num_blocks, share, num_resamples).astype(np.float64)


def halvings(random: np.random.Generator, num_blocks: int, num_resamples: int) -> Floats:
    """`[num_resamples, num_blocks]` 1 for the blocks of a random half, 0 for the others."""
    order = random.permuted(np.tile(np.arange(num_blocks), (num_resamples, 1)), axis=1)
    return (order < num_blocks // 2).astype(np.float64)


def from_draws(value: float, drawn: Floats, floor: Floats) -> Score:
    """A score from its value, resampled values and values between halves; NaN draws are skipped."""
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Score(
        float(value),
        float(low),
        float(high),
        float(np.nanmean(floor)),
        float(np.nanquantile(floor, 0.95)),
    )


def score(blocks: Blocks, *, num_resamples: int = 400, seed: int = 0) -> Score:
    """Distance, block-bootstrap interval and floor of one quantity.

    Args:
        blocks: counts.
        num_resamples: bootstrap replications, and random halvings.
        seed: of both.
    """
    random = np.random.default_rng(seed)
    num_real, num_sim = len(blocks.real), len(blocks.sim)
    whole = distances(blocks.real.sum(0, keepdims=True), blocks.sim.sum(0, keepdims=True), blocks)
    real_draws, sim_draws = (resamples(random, n, num_resamples) for n in (num_real, num_sim))
    drawn = distances(real_draws @ blocks.real, sim_draws @ blocks.sim, blocks)
    halves = halvings(random, num_real, num_resamples)
    floor = distances(halves @ blocks.real, (1 - halves) @ blocks.real, blocks)
    return from_draws(float(whole[0]), drawn, floor)
