"""Random draws from uniform numbers, made of what XLA compiles well for many small books.

On a CPU, XLA's cumulative sums and sorts are slow, and it computes again what several fused
operations share. Products with triangular matrices and loops are neither.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.types import Array

SIZE_TABLE_LENGTH = 128
"""Sizes in a table of equally likely ones, `size_from_uniform`."""
_BLOCK = 8
_LONGEST_DOT = 32
_TINY = float(np.finfo(np.float32).tiny)


def running_sum(values: Array) -> Array:
    """Inclusive cumulative sums along the last axis.

    Args:
        values: `[..., K]` float32; integers are summed exactly while sums stay below 2^24.

    Returns:
        `[..., K]` float32.
    """
    length = values.shape[-1]
    if length <= _LONGEST_DOT:
        ones = np.triu(np.ones((length, length), np.float32))
        return jnp.matmul(values, ones, precision=jax.lax.Precision.HIGHEST)
    num_blocks = -(-length // _BLOCK)
    padding = [(0, 0)] * (values.ndim - 1) + [(0, num_blocks * _BLOCK - length)]
    blocks = jnp.pad(values, padding).reshape(*values.shape[:-1], num_blocks, _BLOCK)
    inner = running_sum(blocks)
    totals = inner[..., -1]
    sums = inner + (running_sum(totals) - totals)[..., None]
    return sums.reshape(*values.shape[:-1], -1)[..., :length]


def find_in_sums(sums: Array, targets: Array) -> Array:
    """How many of some cumulative sums are at most each target, by bisection.

    If the targets are `uniform * sums[-1]` this draws indices in proportion to what was summed.

    Args:
        sums: `[K]` float32, not decreasing.
        targets: `[R]` float32.

    Returns:
        `[R]` int32, 0 to `K`.
    """
    length = sums.shape[0]
    num_steps = math.ceil(math.log2(length + 1))

    def halve(i: Array, count: Array) -> Array:
        further = count + (1 << (num_steps - 1 - i))
        is_reached = (further <= length) & (sums[jnp.minimum(further, length) - 1] <= targets)
        return jnp.where(is_reached, further, count)

    found: Array = jax.lax.fori_loop(0, num_steps, halve, jnp.zeros(targets.shape, jnp.int32))
    return found


def index_from_uniform(uniform: Array, weights: Array) -> Array:
    """Indices in proportion to few weights.

    Args:
        uniform: `[M]` float32 in `[0, 1)`.
        weights: `[K]` float32, >= 0, with a positive sum; zero weights are never drawn.

    Returns:
        `[M]` int32.
    """
    sums = running_sum(weights)
    last = jnp.max(jnp.where(weights > 0, jnp.arange(weights.shape[0]), 0))
    return jnp.minimum(count_at_most(sums, uniform * sums[-1]), last)


def count_at_most(limits: Array, values: Array) -> Array:
    """How many of `[K]` limits, few of them, each of `[M]` values reaches: `[M]` int32."""
    count = jnp.zeros(values.shape, jnp.int32)
    for i in range(limits.shape[0]):
        count = count + (values >= limits[i])
    return count


def geometric_sizes(lot_size: int, mean_lots: float) -> Array:
    """A table of equally likely sizes, `lot_size` times a geometric number of lots.

    Args:
        lot_size: shares.
        mean_lots: mean of the geometric law, above 1.

    Returns:
        `[SIZE_TABLE_LENGTH]` int32, shares: the quantiles in the middle of as many equal parts of
        the law `P(k lots) = p (1 - p)^(k - 1)`, `p = 1 / mean_lots`.
    """
    share = (np.arange(SIZE_TABLE_LENGTH) + 0.5) / SIZE_TABLE_LENGTH
    lots = 1 + np.floor(np.log1p(-share) / np.log1p(-1 / mean_lots))
    return jnp.asarray(lots * lot_size, jnp.int32)


def size_from_uniform(uniform: Array, sizes: Array) -> Array:
    """Sizes from a table of equally likely ones.

    Args:
        uniform: `[M]` float32 in `[0, 1)`.
        sizes: `[S]` int32, shares.

    Returns:
        `[M]` int32, shares.
    """
    index = (uniform * sizes.shape[0]).astype(jnp.int32)
    return sizes[jnp.minimum(index, sizes.shape[0] - 1)]


def poisson_counts(key: Array, mean: Array, most: int) -> Array:
    """Poisson counts, by inversion: no loop of random length under `vmap`.

    Args:
        key: PRNG key, consumed.
        mean: `[...]` float32, >= 0 and below 80.
        most: largest count; greater ones become this.

    Returns:
        `[...]` int32.
    """
    count = jnp.arange(most, dtype=jnp.float32)
    log_factorial = jnp.cumsum(jnp.log(jnp.maximum(count, 1.0)))
    log_mean = jnp.log(jnp.maximum(mean, _TINY))[..., None]  # a mean of 0 counts 0
    log_pmf = count * log_mean - mean[..., None] - log_factorial
    cdf = jnp.cumsum(jnp.exp(log_pmf), axis=-1)
    return (jax.random.uniform(key, mean.shape)[..., None] > cdf).sum(-1, dtype=jnp.int32)
