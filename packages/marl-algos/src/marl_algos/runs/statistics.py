"""Means with bootstrap confidence intervals."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

LEVEL: Final = 0.95
"""Coverage of all intervals."""


class Interval(NamedTuple):
    """A mean and its confidence interval at `LEVEL`.

    Attributes:
        mean: of the sample.
        low: lower limit.
        high: upper limit.
    """

    mean: float
    low: float
    high: float


class Bootstrap:
    """Resampling weights shared by all quantities, so that differences are paired.

    Episodes that play the same recorded window are not independent and are drawn together. With
    several learners they are resampled too.

    Args:
        clusters: `[E]`, number of the cluster of each episode, from 0.
        num_seeds: learners, `S`.
        resamples: number of resamples, `R`.
        seed: of the random numbers.
    """

    def __init__(self, clusters: Integers, num_seeds: int, resamples: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        number = int(clusters.max()) + 1
        draws = rng.multinomial(number, np.full(number, 1.0 / number), size=resamples)
        episodes = draws[:, clusters].astype(np.float64)
        self._episodes: Floats = episodes / np.maximum(episodes.sum(axis=1, keepdims=True), 1.0)
        seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1.0 / num_seeds), size=resamples)
        self._seeds: Floats = seeds / num_seeds

    def interval(self, values: Floats) -> Interval:
        """Percentile interval of the mean of `values` `[S, E]`.

        References:
            Efron and Tibshirani (1993), "An introduction to the bootstrap", chapter 13; Davison
            and Hinkley (1997), "Bootstrap methods and their application", section 3.8 (clusters).
        """
        means = np.einsum("rs,re,se->r", self._seeds, self._episodes, values, optimize=True)
        low, high = np.quantile(means, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
        return Interval(float(values.mean()), float(low), float(high))
