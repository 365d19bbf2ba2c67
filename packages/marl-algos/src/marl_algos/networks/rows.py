"""Layers on arrays with several batch axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array


def by_rows(layer: Callable[[Array], Any], x: Array) -> Any:
    """What a layer of rows makes of an array: products with one batch axis are fastest on CPUs.

    Args:
        layer: of `[B, F]`; returns leaves `[B, H]`.
        x: `[..., F]`.

    Returns:
        Leaves `[..., H]`.
    """
    made = layer(x.reshape(-1, x.shape[-1]))
    return jax.tree.map(lambda y: y.reshape(*x.shape[:-1], y.shape[-1]), made)
