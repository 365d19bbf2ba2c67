"""How different strategies are: in what they do, and in whom they beat."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_TINY: Final = 1e-300


def effective_rank(payoff: npt.ArrayLike) -> float:
    """Exponential of the entropy of the normalized singular values of a payoff matrix.

    1 if all strategies fare alike up to scale, n if n strategies differ in n equally strong ways;
    0 for a matrix of zeros.

    References:
        Roy and Vetterli (2007), The effective rank: a measure of effective dimensionality.

    Raises:
        ValueError: if the payoff is not a finite matrix.
    """
    table = np.asarray(payoff, np.float64)
    if table.ndim != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError(f"payoff has shape {table.shape}; it must be a finite matrix")
    values = np.linalg.svd(table, compute_uv=False)
    total = values.sum()
    if total == 0:
        return 0.0
    share = values / total
    return float(np.exp(-np.sum(share * np.log(np.maximum(share, _TINY)))))


def behavioral_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Mean Jensen-Shannon distance between two policies over the same observations, in [0, 1].

    Args:
        first: `[n, a]` action probabilities of one policy at n observations.
        second: `[n, a]` those of the other at the same observations.

    Returns:
        Mean over observations of the root of the Jensen-Shannon divergence in bits.

    References:
        Endres and Schindelin (2003), A new metric for probability distributions.

    Raises:
        ValueError: if the shapes differ or rows are no distributions.
    """
    p, q = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if p.shape != q.shape or p.ndim != 2:
        raise ValueError(f"action probabilities have shapes {p.shape} and {q.shape}")
    for rows in (p, q):
        if (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1, atol=1e-5):
            raise ValueError("every row must be a distribution over actions")
    middle = (p + q) / 2

    def divergence(x: Floats) -> Floats:
        ratio = np.log2(np.maximum(x, _TINY) / np.maximum(middle, _TINY))
        return np.asarray(np.sum(x * ratio, axis=1))

    return float(np.mean(np.sqrt(np.clip((divergence(p) + divergence(q)) / 2, 0, 1))))


def distance_matrix(policies: npt.ArrayLike) -> Floats:
    """Behavioral distances between `[k, n, a]` action probabilities of k policies, `[k, k]`."""
    table = np.asarray(policies, np.float64)
    size = len(table)
    result = np.zeros((size, size))
    for i in range(size):
        for j in range(i):
            result[i, j] = result[j, i] = behavioral_distance(table[i], table[j])
    return result


def cyclic_share(payoff: npt.ArrayLike) -> float:
    """Share of an antisymmetric payoff matrix that no rating of the strategies can explain.

    The transitive part is `r_i - r_j` with `r` the row means; the rest is cyclic. The shares are of
    squared norms: 0 for a ladder of strength, 1 for rock-paper-scissors, 0 for a matrix of zeros.

    Args:
        payoff: `[n, n]`, antisymmetric: what row gets against column.

    References:
        Balduzzi et al. (2018), Re-evaluating evaluation, section 2 (Hodge decomposition).

    Raises:
        ValueError: if the matrix is not antisymmetric.
    """
    table = np.asarray(payoff, np.float64)
    if table.ndim != 2 or not np.allclose(table, -table.T, atol=1e-9):
        raise ValueError("payoff must be antisymmetric; take (A - A.T) / 2 of a symmetric game")
    rating = table.mean(axis=1)
    rest = table - (rating[:, None] - rating[None, :])
    total = float(np.sum(table**2))
    return float(np.sum(rest**2)) / total if total > 0 else 0.0
