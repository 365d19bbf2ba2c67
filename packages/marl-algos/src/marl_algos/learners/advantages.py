"""Advantages and discounted sums."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.moments import masked_mean

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


def normalize_advantages(advantages: Array, mask: Array) -> Array:
    """Advantages of one agent type with mean 0 and variance 1 over `mask`; 0 outside it."""
    mean = masked_mean(advantages, mask)
    variance = masked_mean((advantages - mean) ** 2, mask)
    return jnp.where(mask, (advantages - mean) / (jnp.sqrt(variance) + 1e-8), 0.0)
