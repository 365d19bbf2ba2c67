"""Advantage estimation and normalization of values."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

Array: TypeAlias = jax.Array


def next_values(values: Array, last_value: Array, final_value: Array, cut: Array) -> Array:
    """Value of the observation that truly followed each step.

    Args:
        values: `[T, ...]`, value of the observation before step t.
        last_value: `[...]`, value of the observation after the last step.
        final_value: `[T, ...]`, value of the last observation of an episode, read where `cut`.
        cut: `[T, ...]` bool, the episode ended **after** step t, so that observation t + 1
            belongs to another one.

    Returns:
        `[T, ...]` float32.
    """
    following = jnp.concatenate([values[1:], last_value[None]], axis=0)
    return jnp.where(cut, final_value, following)


def gae(
    reward: Array,
    values: Array,
    following: Array,
    terminated: Array,
    cut: Array,
    *,
    discount: Array | float,
    gae_lambda: Array | float,
) -> Array:
    r"""Generalized advantage estimates.

    delta_t = r_t + discount (1 - terminated_t) following_t - values_t and
    A_t = delta_t + discount gae_lambda (1 - cut_t) A_{t+1}.
    A time limit is no terminal state: there `cut` holds but `terminated` does not, and the value
    of the episode's last observation is bootstrapped from.

    Args:
        reward: `[T, ...]`, reward of step t.
        values: `[T, ...]`, value of the observation before step t.
        following: `[T, ...]`, value of the observation after step t, see `next_values`.
        terminated: `[T, ...]` bool, nothing can be earned after step t.
        cut: `[T, ...]` bool, the episode ended after step t for whatever reason.
        discount: gamma.
        gae_lambda: lambda.

    Returns:
        `[T, ...]` float32.

    References:
        Schulman et al. (2016), "High-dimensional continuous control using generalized advantage
        estimation", equations 11-16; Pardo et al. (2018), "Time limits in reinforcement
        learning", equation 6.
    """
    delta = reward + discount * jnp.where(terminated, 0.0, following) - values
    decay = discount * gae_lambda * (1.0 - cut.astype(jnp.float32))

    def step(advantage: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, decay_t = now
        advantage = delta_t + decay_t * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(step, jnp.zeros_like(delta[0]), (delta, decay), reverse=True)
    return advantages


def discounted_sums(reward: Array, cut: Array, discount: Array | float) -> Array:
    """What is earned from step t to the end of the episode or of the stretch, `[T, ...]`.

    Args:
        reward: `[T, ...]`, reward of step t.
        cut: `[T, ...]` bool, the episode ended after step t.
        discount: gamma.
    """

    def step(total: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        reward_t, cut_t = now
        total = reward_t + discount * jnp.where(cut_t, 0.0, total)
        return total, total

    _, sums = jax.lax.scan(step, jnp.zeros_like(reward[0]), (reward, cut), reverse=True)
    return sums


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of `x` where `mask` holds, `[]`; zero if it holds nowhere."""
    weight = mask.astype(jnp.float32)
    return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1.0)


def normalize_advantages(advantages: Array, mask: Array) -> Array:
    """Advantages of one agent type with mean 0 and variance 1 over `mask`; 0 outside it."""
    mean = masked_mean(advantages, mask)
    variance = masked_mean((advantages - mean) ** 2, mask)
    return jnp.where(mask, (advantages - mean) / (jnp.sqrt(variance) + 1e-8), 0.0)


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
