"""Figures of goodness of fit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def exponential_ks(residuals: Float) -> float:
    """Kolmogorov-Smirnov distance of `residuals` to the exponential law of mean 1."""
    ordered = 1 - np.exp(-np.sort(residuals))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def geometric_ks(lots: npt.NDArray[np.int64]) -> float:
    """Largest difference between the distribution of `lots` and the geometric of their mean."""
    values, counts = np.unique(lots, return_counts=True)
    recorded = np.cumsum(counts) / len(lots)
    before = np.append(0.0, recorded[:-1])  # from one value to just below the next
    log_tail = np.log1p(-1 / lots.mean()) if lots.mean() > 1 else -np.inf
    at, below = (1 - np.exp(log_tail * k) for k in (values, np.maximum(values - 1, 1e-9)))
    return float(max(np.abs(recorded - at).max(), np.abs(before - below).max()))


def divide(counts: Float, seconds: Float, otherwise: float) -> Float:
    """Rates, and `otherwise` where nothing was exposed."""
    return np.where(seconds > 0, counts / np.maximum(seconds, 1e-12), otherwise)
