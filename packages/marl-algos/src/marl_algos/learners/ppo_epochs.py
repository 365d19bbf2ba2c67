"""Gradient steps of PPO for one agent type: passes over a rollout in shuffled minibatches."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import struct

from marl_algos.learners.common import descend, linear
from marl_algos.learners.losses import clipped_policy_loss, value_loss
from marl_algos.moments import masked_mean
from marl_algos.networks import ActorCritic, Carry, restrict
from marl_algos.settings import PPOConfig

Array: TypeAlias = jax.Array


@struct.dataclass
class Batch:
    """What a gradient step reads; leaves `[T, N, ...]`, or `[1, T * N, ...]` without recurrence."""

    obs: Array
    critic_obs: Array
    is_first: Array
    action: Array
    log_prob: Array
    advantage: Array
    target: Array
    active: Array
    legal: Array | None


def descend_epochs(
    network: ActorCritic,
    ppo: PPOConfig,
    hyper: dict[str, Array],
    params: Any,
    opt_state: Any,
    batch: Batch,
    carry: Carry,
    key: Array,
    progress: Array,
) -> tuple[Any, Any, dict[str, Array]]:
    """Passes over the batch in shuffled minibatches along the actor axis.

    Args:
        network: policy and value of the type.
        ppo: settings that are fixed.
        hyper: settings that are read from the state, `marl_algos.learners.ippo.DYNAMIC`.
        params: parameters of the network.
        opt_state: state of the optimizer.
        batch: the rollout, with `N` actors.
        carry: hidden states before it, leaves `[N, ...]`.
        key: consumed.
        progress: `[]` float32, share of the run that is over.

    Returns:
        New parameters and state of the optimizer, and losses `[epochs, minibatches]`.
    """
    rate = hyper["learning_rate"] * linear(progress, ppo.final_learning_rate)
    entropy_coef = hyper["entropy_coef"] * linear(progress, ppo.final_entropy_coef)
    num_rows = batch.advantage.shape[1]

    def loss_fn(params: Any, data: tuple[Batch, Carry]) -> tuple[Array, dict[str, Array]]:
        rows, start = data
        output: Any = network.apply(params, start, rows.obs, rows.critic_obs, rows.is_first)
        _, distribution, value = output
        distribution = restrict(distribution, rows.legal)
        log_ratio = distribution.log_prob(rows.action) - rows.log_prob
        policy, numbers = clipped_policy_loss(
            log_ratio, rows.advantage, rows.active, hyper["clip_eps"]
        )
        critic = value_loss(value, rows.target, rows.active, ppo.huber_delta)
        entropy = masked_mean(distribution.entropy(), rows.active)
        loss = policy + hyper["value_coef"] * critic - entropy_coef * entropy
        numbers |= {
            "loss": loss,
            "policy_loss": policy,
            "value_loss": critic,
            "entropy": entropy,
        }
        return loss, numbers

    def minibatch(now: tuple[Any, Any], data: tuple[Batch, Carry]) -> tuple[Any, Any]:
        params, opt_state = now
        (_, numbers), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, data)
        numbers["grad_norm"] = optax.tree.norm(grads)
        params, opt_state = descend(params, opt_state, grads, rate, ppo.max_grad_norm)
        return (params, opt_state), numbers

    def epoch(now: tuple[Any, Any], key: Array) -> tuple[Any, Any]:
        order = jax.random.permutation(key, num_rows).reshape(ppo.num_minibatches, -1)
        rows = jax.tree.map(lambda x: jnp.swapaxes(x[:, order], 0, 1), batch)
        starts = jax.tree.map(lambda x: x[order], carry)
        return jax.lax.scan(minibatch, now, (rows, starts))

    (params, opt_state), losses = jax.lax.scan(
        epoch, (params, opt_state), jax.random.split(key, ppo.num_epochs)
    )
    return params, opt_state, losses
