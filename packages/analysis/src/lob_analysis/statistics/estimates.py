"""Point estimates and intervals: interquartile means, bootstrap, paired differences.

Every interval is a percentile bootstrap with a fixed seed, so a report says the same thing each
time it is made. Samples come in strata (say one per training seed, or one per task): resampling
happens inside each stratum, which keeps the share of each stratum in the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

Floats: TypeAlias = npt.NDArray[np.float64]
Statistic: TypeAlias = Callable[[Floats], Floats]
"""Maps `[..., n]` values to `[...]`, reducing the last axis."""

NUM_RESAMPLES: Final = 2000
LEVEL: Final = 0.95
CHUNK: Final = 4_000_000
"""Values drawn at once: bounds memory at about 64 MB."""


@dataclass(frozen=True)
class Estimate:
    """A number with an interval.

    Attributes:
        value: point estimate, in the unit of the data.
        low: lower end of the interval.
        high: upper end.
        num_samples: observations behind it.
        level: share of such intervals that hold the true value.
    """

    value: float
    low: float
    high: float
    num_samples: int
    level: float = LEVEL

    @property
    def is_certain(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def mean(values: npt.ArrayLike) -> Floats:
    """Mean over the last axis."""
    return np.asarray(np.mean(np.asarray(values, np.float64), axis=-1))


def median(values: npt.ArrayLike) -> Floats:
    """Median over the last axis."""
    return np.asarray(np.median(np.asarray(values, np.float64), axis=-1))


def interquartile_mean(values: npt.ArrayLike) -> Floats:
    """Mean over the last axis without the lowest and the highest quarter.

    `floor(n / 4)` values are cut from each end, as `scipy.stats.trim_mean` does.

    References:
        Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical
        precipice, NeurIPS, section 4.3.
    """
    return np.asarray(scipy_stats.trim_mean(np.asarray(values, np.float64), 0.25, axis=-1))


def cvar(values: npt.ArrayLike, share: float = 0.05) -> Floats:
    """Mean of the worst (lowest) `share` of values over the last axis, at least one value.

    Args:
        values: `[..., n]`.
        share: in (0, 1].

    References:
        Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk.

    Raises:
        ValueError: if `share` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be in (0, 1]")
    ordered = np.sort(np.asarray(values, np.float64), axis=-1)
    return mean(ordered[..., : max(1, int(np.floor(share * ordered.shape[-1])))])


def sharpe(values: npt.ArrayLike) -> Floats:
    """Mean over standard deviation (n - 1) of the last axis, per observation, not annualized.

    Zero where the values do not vary and their mean is zero; infinite where only the mean is not.

    References:
        Sharpe (1994), The Sharpe ratio, Journal of Portfolio Management 21(1).
    """
    x = np.asarray(values, np.float64)
    average = mean(x)
    spread = np.std(x, axis=-1, ddof=1) if x.shape[-1] > 1 else np.zeros_like(average)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = average / spread
    return np.where((spread == 0) & (average == 0), 0.0, ratio)


def as_strata(samples: Sequence[npt.ArrayLike] | npt.ArrayLike) -> list[Floats]:
    """Strata from a flat sample (one stratum), a matrix (one a row) or a list of samples.

    Raises:
        ValueError: if a stratum is empty, not one-dimensional or not finite.
    """
    is_flat = isinstance(samples, np.ndarray) and samples.ndim == 1
    rows = [samples] if is_flat or _is_numbers(samples) else list(samples)  # type: ignore[arg-type]
    strata = [np.asarray(row, np.float64) for row in rows]
    if not strata or any(row.ndim != 1 or row.size == 0 for row in strata):
        raise ValueError("samples must be one or more non-empty one-dimensional strata")
    if not all(np.isfinite(row).all() for row in strata):
        raise ValueError("samples hold NaN or infinite values; drop and report them first")
    return strata


def _is_numbers(samples: object) -> bool:
    return isinstance(samples, list | tuple) and bool(samples) and np.ndim(samples[0]) == 0


def bootstrap(
    samples: Sequence[npt.ArrayLike] | npt.ArrayLike,
    statistic: Statistic = mean,
    *,
    level: float = LEVEL,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A statistic of the pooled strata with a stratified percentile bootstrap interval.

    Args:
        samples: one flat sample, or a sequence of strata which may differ in length.
        statistic: what to estimate; reduces the last axis.
        level: of the interval.
        num_resamples: bootstrap replications.
        seed: of the resampling.

    Returns:
        The estimate. A single observation a stratum cannot be resampled: its interval is the
        point, and `num_samples` tells.

    Raises:
        ValueError: if a stratum is empty or not finite, or `level` is not in (0, 1).

    References:
        Efron and Tibshirani (1993), An introduction to the bootstrap, chapters 8 and 13.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be in (0, 1)")
    strata = as_strata(samples)
    total = sum(row.size for row in strata)
    random = np.random.default_rng(seed)
    step = max(1, min(num_resamples, CHUNK // total))
    draws = []
    for start in range(0, num_resamples, step):
        rows = min(step, num_resamples - start)
        picked = [row[random.integers(0, row.size, (rows, row.size))] for row in strata]
        draws.append(statistic(np.concatenate(picked, axis=1)))
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    value = float(statistic(np.concatenate(strata)))
    return Estimate(value, float(low), float(high), total, level)


def learner_table(values: npt.ArrayLike) -> Floats:
    """`[S, E]` results of S learners in E episodes, from that or from `[E]` of one.

    Raises:
        ValueError: if the values are empty or not finite.
    """
    table = np.atleast_2d(np.asarray(values, np.float64))
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"values have shape {table.shape}; they must be finite, [S, E] or [E]")
    return table


def cluster_labels(clusters: npt.ArrayLike | None, size: int) -> npt.NDArray[np.intp]:
    """`[size]` number of each observation's cluster, from 0 without gaps; None makes each its own.

    Raises:
        ValueError: if there are not `size` labels.
    """
    labels = np.arange(size) if clusters is None else np.asarray(clusters)
    if labels.shape != (size,):
        raise ValueError(f"clusters have shape {labels.shape}; they must be [{size}]")
    return np.unique(labels, return_inverse=True)[1]


def two_way_bootstrap(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean over learners and episodes; both are resampled, episodes by cluster.

    Episodes that replay the same recorded window are not independent, so a cluster is drawn whole.

    Args:
        values: `[S, E]` results of S learners in the same E episodes, or `[E]` of one.
        clusters: `[E]` label of each episode's cluster; None makes each its own.
        level: of the interval.
        num_resamples: bootstrap replications.
        seed: of the resampling.

    Returns:
        The estimate; `num_samples` is E.

    Raises:
        ValueError: if the values are empty or not finite, or the labels do not match.

    References:
        Davison and Hinkley (1997), Bootstrap methods and their application, section 3.8.
    """
    table = learner_table(values)
    num_learners, num_episodes = table.shape
    index = cluster_labels(clusters, num_episodes)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.stack([np.bincount(index, row, len(sizes)) for row in table])
    random = np.random.default_rng(seed)
    step = max(1, CHUNK // len(sizes))
    draws = []
    for start in range(0, num_resamples, step):
        rows = min(step, num_resamples - start)
        picked = random.integers(0, len(sizes), (rows, len(sizes)))
        learners = random.multinomial(num_learners, np.full(num_learners, 1 / num_learners), rows)
        totals = np.take(sums, picked, axis=1).sum(axis=2)
        mixed = (learners.T * totals).sum(axis=0) / num_learners
        draws.append(mixed / sizes[picked].sum(axis=1))
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(table.mean()), float(low), float(high), num_episodes, level)


def paired_difference(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of `left - right` over episodes that share their random numbers.

    Pairing removes what both policies owe to the same market, so its interval is narrower than
    that of two independent samples whenever the pairs are positively correlated.

    Args:
        left: `[E]` or `[S, E]` results of one policy.
        right: results of the other in the same episodes, of the same shape.
        clusters: `[E]` as in `two_way_bootstrap`.
        level: of the interval.
        num_resamples: bootstrap replications.
        seed: of the resampling.

    Raises:
        ValueError: if the shapes differ or a value is not finite.
    """
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"pairs need equal shapes; got {a.shape} and {b.shape}")
    return two_way_bootstrap(a - b, clusters, level=level, num_resamples=num_resamples, seed=seed)
