"""Losses of policy-gradient learners over masked batches."""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
from marl_envs.spaces import Discrete, MultiDiscrete, Space

from marl_algos.moments import masked_mean

Array: TypeAlias = jax.Array


def clipped_policy_loss(
    log_ratio: Array, advantages: Array, mask: Array, clip_eps: Array | float
) -> tuple[Array, dict[str, Array]]:
    """PPO's clipped surrogate, to be minimized.

    Args:
        log_ratio: `[...]`, log-probability now minus that when the action was taken.
        advantages: `[...]`.
        mask: `[...]` bool, entries that count.
        clip_eps: how far the ratio may move before its gradient is cut.

    Returns:
        The loss `[]`, and metrics `[]`: `approx_kl` (the estimator (r - 1) - log r),
        `clip_fraction`, `ratio_error` (largest distance of a ratio from 1).

    References:
        Schulman et al. (2017), "Proximal policy optimization algorithms", equation 7; Schulman
        (2020), "Approximating KL divergence", estimator k3.
    """
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    loss = -masked_mean(jnp.minimum(ratio * advantages, clipped * advantages), mask)
    distance = jnp.where(mask, jnp.abs(ratio - 1.0), 0.0)
    metrics = {
        "approx_kl": masked_mean((ratio - 1.0) - log_ratio, mask),
        "clip_fraction": masked_mean((distance > clip_eps).astype(jnp.float32), mask),
        "ratio_error": jnp.max(distance),
    }
    return loss, metrics


def value_loss(values: Array, targets: Array, mask: Array, huber_delta: float) -> Array:
    """Huber loss between normalized values and targets, `[]`.

    Args:
        values: `[...]`, normalized predictions.
        targets: `[...]`, normalized lambda-returns.
        mask: `[...]` bool, entries that count.
        huber_delta: error beyond which the loss grows linearly.
    """
    error = jnp.abs(values - targets)
    inside = jnp.minimum(error, huber_delta)
    return masked_mean(inside * (error - 0.5 * inside), mask)


def explained_variance(values: Array, targets: Array, mask: Array) -> Array:
    """Share of the variance of `targets` that `values` explain, `[]`; 1 is perfect.

    Zero when the targets do not vary.
    """
    error = targets - values
    residual = masked_mean((error - masked_mean(error, mask)) ** 2, mask)
    variance = masked_mean((targets - masked_mean(targets, mask)) ** 2, mask)
    return jnp.where(variance > 1e-12, 1.0 - residual / jnp.maximum(variance, 1e-12), 0.0)


def action_shares(space: Space, action: Array, mask: Array) -> dict[str, Array]:
    """How often the least and the most frequent action were taken, `[]` each.

    Args:
        space: actions of one agent; of a `MultiDiscrete` space each entry is counted apart, and
            nothing is counted for a box.
        action: `[...]`, or `[..., n]` of a `MultiDiscrete` space.
        mask: `[...]` bool, entries that count.

    Returns:
        `rarest_action` and `commonest_action`, shares in [0, 1].
    """
    if isinstance(space, Discrete):
        columns = [(action, space.n)]
    elif isinstance(space, MultiDiscrete):
        columns = [(action[..., i], n) for i, n in enumerate(space.ns)]
    else:
        return {}
    weight = mask.astype(jnp.float32).reshape(-1)
    total = jnp.maximum(jnp.sum(weight), 1.0)
    shares = jnp.concatenate(
        [jnp.zeros(n).at[column.reshape(-1)].add(weight) / total for column, n in columns]
    )
    return {"rarest_action": jnp.min(shares), "commonest_action": jnp.max(shares)}
