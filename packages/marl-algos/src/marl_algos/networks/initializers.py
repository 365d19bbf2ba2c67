"""Orthogonal weights that can be drawn for many seeds in one program."""

from __future__ import annotations

from typing import TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

Array: TypeAlias = jax.Array


def orthogonal(scale: float = 1.0) -> nn.initializers.Initializer:
    """As `flax.linen.initializers.orthogonal`, with one decomposition after the other under `vmap`.

    A batched decomposition of JAX 0.10 waits on a thread of XLA's CPU pool for tasks that it gives
    to the same pool. A program with as many of them at once as the pool has threads never ends:
    `vmap` over seeds of a network with three layers, on two cores, most of the time.

    Args:
        scale: what the matrix, with orthonormal rows or columns, is multiplied by.

    Returns:
        A function of a key, a shape with two axes or more, and a dtype; the weights of each key
        are those that flax draws.
    """
    draw = nn.initializers.orthogonal(scale)

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        @jax.custom_batching.sequential_vmap
        def of_key(key: Array) -> Array:
            return draw(key, shape, dtype)

        weights: Array = of_key(key)
        return weights

    return init
