"""Figures of goodness of fit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from lob_core.flow.draws import SIZE_TABLE_LENGTH

Float = npt.NDArray[np.float64]


def exponential_ks(residuals: Float) -> float:
    """Kolmogorov-Smirnov distance of `residuals` to the exponential law of mean 1."""
    ordered = 1 - np.exp(-np.sort(residuals))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def divide(counts: Float, seconds: Float, otherwise: float) -> Float:
    """Rates, and `otherwise` where nothing was exposed."""
    return np.where(seconds > 0, counts / np.maximum(seconds, 1e-12), otherwise)


def size_table(sizes: npt.NDArray[np.int64]) -> jax.Array:
    """Sizes for `lob_core.flow`: means of the equally large parts of the ordered sizes, `[S]`."""
    parts = np.repeat(np.sort(sizes), SIZE_TABLE_LENGTH).reshape(SIZE_TABLE_LENGTH, -1)
    return jnp.asarray(np.maximum(np.rint(parts.mean(axis=1)), 1), jnp.int32)
