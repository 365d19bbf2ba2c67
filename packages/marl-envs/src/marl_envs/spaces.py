"""Static descriptions of what actions and observations look like."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

Array = jax.Array


def _uniform_integers(key: Array, n: int | Array, shape: tuple[int, ...]) -> Array:
    """Integers in `0 .. n - 1` from one hash; the bias is below `n / 2^32`."""
    bits = jax.random.bits(key, shape)
    return (bits % jnp.asarray(n, jnp.uint32)).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class Discrete:
    """Integers `0 .. n - 1`.

    Attributes:
        n: number of choices, >= 1.

    Raises:
        ValueError: if `n < 1`.
    """

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"Discrete.n is {self.n}; it must be >= 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one element: `()`."""
        return ()

    @property
    def dtype(self) -> Any:
        """Element type: int32."""
        return jnp.int32

    def sample(self, key: Array) -> Array:
        """A uniform draw, `[]` int32."""
        return _uniform_integers(key, self.n, ())

    def contains(self, value: Array) -> Array:
        """`[]` bool: whether every entry of `value` belongs to the space."""
        return jnp.all((value >= 0) & (value < self.n))


@dataclasses.dataclass(frozen=True)
class MultiDiscrete:
    """Vectors of integers, entry i in `0 .. ns[i] - 1`.

    Attributes:
        ns: number of choices of each entry, each >= 1.

    Raises:
        ValueError: if `ns` is empty or an entry is below 1.
    """

    ns: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.ns or min(self.ns) < 1:
            raise ValueError(f"MultiDiscrete.ns is {self.ns}; it needs entries >= 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one element: `(len(ns),)`."""
        return (len(self.ns),)

    @property
    def dtype(self) -> Any:
        """Element type: int32."""
        return jnp.int32

    def sample(self, key: Array) -> Array:
        """A uniform draw, `[len(ns)]` int32."""
        return _uniform_integers(key, jnp.asarray(self.ns), self.shape)

    def contains(self, value: Array) -> Array:
        """`[]` bool: whether every entry of `value` belongs to the space."""
        return jnp.all((value >= 0) & (value < jnp.asarray(self.ns)))


@dataclasses.dataclass(frozen=True)
class Box:
    """Real arrays with every entry between `low` and `high`.

    Attributes:
        low: lower limit of every entry; may be `-inf`.
        high: upper limit of every entry; may be `inf`.
        shape: shape of one element.

    Raises:
        ValueError: if `low > high`.
    """

    low: float
    high: float
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"Box.low is {self.low}; it must not exceed Box.high = {self.high}")

    @property
    def dtype(self) -> Any:
        """Element type: float32."""
        return jnp.float32

    def sample(self, key: Array) -> Array:
        """A draw, `[*shape]` float32: uniform when both limits are finite, else normal, clipped."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return jax.random.uniform(key, self.shape, jnp.float32, self.low, self.high)
        return jnp.clip(jax.random.normal(key, self.shape, jnp.float32), self.low, self.high)

    def contains(self, value: Array) -> Array:
        """`[]` bool: whether every entry of `value` belongs to the space (never for NaN)."""
        return jnp.all((value >= self.low) & (value <= self.high))


Space: TypeAlias = Discrete | MultiDiscrete | Box
"""Any of the spaces above."""
