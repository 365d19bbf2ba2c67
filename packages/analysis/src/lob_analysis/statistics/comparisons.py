"""Which of two samples is better: tests, probabilities, and profiles of scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats as scipy_stats

from lob_analysis.statistics.estimates import CHUNK, LEVEL, Estimate, Floats, as_strata, mean


def sign_flip_p_value(differences: npt.ArrayLike, *, num_flips: int = 9999, seed: int = 0) -> float:
    """Two-sided p-value of "the mean of paired differences is zero", by random sign flips.

    Valid at every sample size if the differences are symmetric about zero under the hypothesis.

    Args:
        differences: `[n]` one for each pair.
        num_flips: random draws of signs.
        seed: of the draws.

    Returns:
        In `[1 / (num_flips + 1), 1]`.

    Raises:
        ValueError: if there is no difference or one is not finite.

    References:
        Fisher (1935), The design of experiments, section 21; the +1 correction is Phipson and
        Smyth (2010), equation 2.
    """
    x = as_strata(np.asarray(differences, np.float64))[0]
    random = np.random.default_rng(seed)
    observed = abs(float(x.mean()))
    count = 0
    step = max(1, min(num_flips, CHUNK // x.size))
    for start in range(0, num_flips, step):
        rows = min(step, num_flips - start)
        signs = random.integers(0, 2, (rows, x.size)) * 2 - 1
        count += int(np.sum(np.abs(signs @ x) / x.size >= observed * (1 - 1e-12)))
    return (count + 1) / (num_flips + 1)


def probability_of_improvement(
    left: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    level: float = LEVEL,
    num_resamples: int = 500,
    seed: int = 0,
) -> Estimate:
    """Probability that a random result of `left` exceeds one of `right`; ties count half.

    The samples are unpaired and resampled independently of each other.

    Args:
        left: `[n]` results.
        right: `[m]` results.
        level: of the interval.
        num_resamples: bootstrap replications.
        seed: of the resampling.

    Raises:
        ValueError: if a sample is empty or not finite.

    References:
        Mann and Whitney (1947); used for learners by Agarwal et al. (2021), section 4.2.
    """
    a = as_strata(np.asarray(left, np.float64))[0]
    b = as_strata(np.asarray(right, np.float64))[0]

    def share(x: Floats, y: Floats) -> float:
        ordered = np.sort(y)
        below = np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right")
        return float(below.mean() / (2 * y.size))

    random = np.random.default_rng(seed)
    draws = [
        share(random.choice(a, a.size), random.choice(b, b.size)) for _ in range(num_resamples)
    ]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(share(a, b), float(low), float(high), a.size + b.size, level)


def wilson(share: float, num_trials: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a probability from the share of independent trials that succeeded.

    Args:
        share: that succeeded, in [0, 1].
        num_trials: >= 1.
        level: of the interval.

    Returns:
        Its ends, in [0, 1].

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    z = float(scipy_stats.norm.ppf((1 + level) / 2))
    middle = share + z * z / (2 * num_trials)
    half = z * float(np.sqrt(share * (1 - share) / num_trials + (z / (2 * num_trials)) ** 2))
    scale = 1 + z * z / num_trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def performance_profile(scores: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """Share of scores above each threshold.

    Args:
        scores: of any shape, pooled.
        thresholds: `[T]`, in the unit of the scores.

    Returns:
        `[T]` shares in [0, 1].

    References:
        Dolan and More (2002); Agarwal et al. (2021), equation 1.
    """
    ordered = np.sort(np.ravel(np.asarray(scores, np.float64)))
    limits = np.asarray(thresholds, np.float64)
    return 1.0 - np.searchsorted(ordered, limits, "right") / ordered.size


def optimality_gap(scores: npt.ArrayLike, target: float = 1.0) -> Floats:
    """Mean shortfall below `target`; what exceeds the target does not count.

    Args:
        scores: `[..., n]`.
        target: in their unit.

    Returns:
        `[...]`, >= 0.

    References:
        Agarwal et al. (2021), section 4.3.
    """
    return mean(np.maximum(target - np.asarray(scores, np.float64), 0.0))
