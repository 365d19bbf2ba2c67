"""Bootstrap of statistics that are no plain means: interquartile means and ratios of sums."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lob_analysis.statistics.estimates import (
    CHUNK,
    LEVEL,
    NUM_RESAMPLES,
    Estimate,
    Floats,
    cluster_labels,
    interquartile_mean,
    learner_table,
)


def stratified_interquartile_mean(
    values: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of the middle half of all learners' episodes, each learner resampled for itself.

    Every learner is a stratum: its episodes are drawn again, whole clusters at a time, and the
    share of each learner stays what it is.

    Args:
        values: `[S, E]` results of S learners in the same E episodes, or `[E]` of one.
        clusters: `[E]` label of each episode's cluster; None makes each its own.
        level: of the interval.
        num_resamples: bootstrap replications.
        seed: of the resampling.

    Returns:
        The estimate; `num_samples` is `S E`.

    Raises:
        ValueError: if the values are empty or not finite, or the labels do not match.

    References:
        Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical
        precipice, NeurIPS, sections 4.1 and 4.3.
    """
    table = learner_table(values)
    num_learners, num_episodes = table.shape
    index = cluster_labels(clusters, num_episodes)
    num_clusters = int(index.max()) + 1
    order = np.argsort(table, axis=None, kind="stable")
    ordered = table.ravel()[order]
    random = np.random.default_rng(seed)
    share = np.full(num_clusters, 1 / num_clusters)
    step = max(1, CHUNK // table.size)
    draws = []
    for start in range(0, num_resamples, step):
        rows = min(step, num_resamples - start)
        times = random.multinomial(num_clusters, share, (rows, num_learners))
        weights = times[:, :, index].reshape(rows, -1)[:, order]
        draws.append(_weighted_middle(ordered, weights))
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2])
    value = float(interquartile_mean(table.ravel()))
    return Estimate(value, float(low), float(high), table.size, level)


def _weighted_middle(ordered: Floats, weights: npt.NDArray[np.int64]) -> Floats:
    """Interquartile mean of samples that hold each ordered value `weights` times, `[rows]`."""
    last = np.cumsum(weights, axis=1)
    total = last[:, -1:]
    cut = total // 4
    inside = np.minimum(last, total - cut) - np.maximum(last - weights, cut)
    return np.asarray(np.maximum(inside, 0) @ ordered / (total - 2 * cut)[:, 0])


def ratio_of_sums(
    numerator: npt.ArrayLike,
    denominator: npt.ArrayLike,
    clusters: npt.ArrayLike | None = None,
    *,
    level: float = LEVEL,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Sum over sum, such as money per share, with whole clusters of observations drawn again.

    Args:
        numerator: `[n]`.
        denominator: `[n]`, none negative, not all zero.
        clusters: `[n]` label of each observation's cluster; None makes each its own.
        level: of the interval.
        num_resamples: bootstrap replications; those without a denominator are left out.
        seed: of the resampling.

    Returns:
        The estimate; `num_samples` is the number of observations with a denominator.

    Raises:
        ValueError: if the shapes differ, a value is not finite, or the denominator is zero.
    """
    above, below = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    if above.shape != below.shape or above.ndim != 1:
        raise ValueError(f"a ratio needs equal lengths; got {above.shape} and {below.shape}")
    if not (np.isfinite(above).all() and np.isfinite(below).all()):
        raise ValueError("samples hold NaN or infinite values; drop and report them first")
    if (below < 0).any() or below.sum() == 0:
        raise ValueError("the denominator must have no negative value and a sum above zero")
    index = cluster_labels(clusters, above.size)
    sums = np.stack([np.bincount(index, x) for x in (above, below)])
    num_clusters = sums.shape[1]
    random = np.random.default_rng(seed)
    share = np.full(num_clusters, 1 / num_clusters)
    top, bottom = sums @ random.multinomial(num_clusters, share, num_resamples).T
    drawn = top[bottom > 0] / bottom[bottom > 0]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    value = float(above.sum() / below.sum())
    return Estimate(value, float(low), float(high), int((below > 0).sum()), level)
