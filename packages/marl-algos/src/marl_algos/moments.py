"""Means over masks, and running moments that normalize observations and values."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

Array: TypeAlias = jax.Array


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of `x` where `mask` holds, `[]`; zero if it holds nowhere."""
    weight = mask.astype(jnp.float32)
    return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1.0)


@struct.dataclass
class RunningMoments:
    """Debiased exponential moving averages of a quantity and of its square.

    Attributes:
        first: `[...]` float32, biased average of x.
        second: `[...]` float32, biased average of x^2.
        weight: `[]` float32, what a constant 1 would average to, which removes the bias.

    References:
        Yu et al. (2022), "The surprising effectiveness of PPO in cooperative multi-agent games",
        section 5.1.
    """

    first: Array
    second: Array
    weight: Array

    @classmethod
    def create(cls, shape: tuple[int, ...] = ()) -> RunningMoments:
        """Moments of nothing yet: mean 0, standard deviation 1."""
        return cls(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(()))

    @property
    def mean(self) -> Array:
        """`[...]` float32; zero before the first update."""
        return self.first / jnp.where(self.weight > 0.0, self.weight, 1.0)

    @property
    def std(self) -> Array:
        """`[...]` float32, at least 1e-2; one before the first update."""
        variance = self.second / jnp.where(self.weight > 0.0, self.weight, 1.0) - self.mean**2
        return jnp.where(self.weight > 0.0, jnp.sqrt(jnp.maximum(variance, 1e-4)), 1.0)

    @property
    def rms(self) -> Array:
        """`[...]` float32, root of the mean square, at least 1e-2; one before the first update."""
        square = self.second / jnp.where(self.weight > 0.0, self.weight, 1.0)
        return jnp.where(self.weight > 0.0, jnp.sqrt(jnp.maximum(square, 1e-4)), 1.0)

    def update(self, x: Array, mask: Array, decay: Array | float) -> RunningMoments:
        """Moments after a batch.

        Args:
            x: `[N, ...]` float32, the batch along its first axis.
            mask: `[N]` bool, which entries count; a batch without any changes nothing.
            decay: weight of the past, in [0, 1).

        Returns:
            The new moments.
        """
        count = jnp.sum(mask.astype(jnp.float32))
        weight = (mask / jnp.maximum(count, 1.0)).reshape(-1, *([1] * (x.ndim - 1)))
        rate = jnp.where(count > 0.0, 1.0 - decay, 0.0)
        return RunningMoments(
            self.first + rate * (jnp.sum(weight * x, axis=0) - self.first),
            self.second + rate * (jnp.sum(weight * x**2, axis=0) - self.second),
            self.weight + rate * (1.0 - self.weight),
        )

    def normalize(self, x: Array) -> Array:
        """`(x - mean) / std`."""
        return (x - self.mean) / self.std

    def denormalize(self, x: Array) -> Array:
        """`mean + std * x`."""
        return self.mean + self.std * x
