"""Work that a whole batch can skip when no member of it needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from lob_core.runtime import prefers_branches

Array = jax.Array
T = TypeVar("T")


@custom_vmap
def any_in_batch(flag: Array) -> Array:
    """Whether `flag` (`[]` bool) holds for any member of the batch it is vmapped over.

    Under nested `vmap` it covers all axes; the result is shared by the batch, so that a
    `lax.cond` on it stays a branch instead of becoming a select of both sides.
    """
    return flag


@any_in_batch.def_vmap
def _any_in_batch(axis_size: int, in_batched: Any, flag: Array) -> tuple[Array, bool]:
    return any_in_batch(jnp.any(flag)), False


def compute_if_any(flag: Array, compute: Callable[..., T], skipped: T, *operands: Any) -> T:
    """`compute(*operands)`, or `skipped` when `flag` holds for nobody in the batch.

    Where branches do not pay (on a GPU) it is computed always.

    Args:
        flag: `[]` bool.
        compute: what to do; its result must be used only where `flag` holds.
        skipped: the result otherwise, same tree, shapes and types.
        *operands: arguments; everything that `compute` reads must be among them.
    """
    if not prefers_branches():
        return compute(*operands)
    result: T = jax.lax.cond(
        any_in_batch(flag), lambda default, *args: compute(*args), lambda default, *args: default,
        skipped, *operands,
    )  # fmt: skip
    return result
