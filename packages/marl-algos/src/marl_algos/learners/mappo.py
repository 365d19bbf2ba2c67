"""PPO whose critics see the joint observation of all agents.

References:
    Yu et al. (2022), "The surprising effectiveness of PPO in cooperative multi-agent games".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.learners.ippo import PPO
from marl_algos.settings import TypeConfig
from marl_algos.types import Environment

Array: TypeAlias = jax.Array


def joint_observation(obs: dict[str, Array]) -> dict[str, Array]:
    """Own observation, joint observation, and which agent of its type the critic values.

    Args:
        obs: by type `[..., A, F]`.

    Returns:
        By type `[..., A, F + J + A]`, where `J` is the sum of `A * F` over the types.
    """
    joint = jnp.concatenate(
        [obs[name].reshape(*obs[name].shape[:-2], -1) for name in sorted(obs)], axis=-1
    )
    inputs = {}
    for name, own in obs.items():
        lead, num_agents = own.shape[:-1], own.shape[-2]
        everyone = jnp.broadcast_to(joint[..., None, :], (*lead, joint.shape[-1]))
        who = jnp.broadcast_to(jnp.eye(num_agents), (*lead, num_agents))
        inputs[name] = jnp.concatenate([own, everyone, who], axis=-1)
    return inputs


def agent_tokens(obs: dict[str, Array]) -> dict[str, Array]:
    """All agents one by one, for critics that attend over them.

    Args:
        obs: by type `[..., A, F]`.

    Returns:
        By type `[..., A, M, G]` with a row for each of the `M` agents of all types: its
        observation in a block of columns of its type (zeros elsewhere), a one-hot mark of the
        type, and 1 in the last column if it is the agent whose critic looks.
    """
    names = sorted(obs)
    widths = [obs[name].shape[-1] for name in names]
    blocks = []
    for i, name in enumerate(names):
        own = obs[name]
        left = sum(widths[:i])
        padding = [(0, 0)] * (own.ndim - 1) + [(left, sum(widths) - left - widths[i])]
        mark = jnp.broadcast_to(jnp.eye(len(names))[i], (*own.shape[:-1], len(names)))
        blocks.append(jnp.concatenate([jnp.pad(own, padding), mark], axis=-1))
    everyone = jnp.concatenate(blocks, axis=-2)
    num_all = everyone.shape[-2]
    tokens, start = {}, 0
    for name in names:
        lead, num_agents = obs[name].shape[:-2], obs[name].shape[-2]
        rows = jnp.broadcast_to(
            everyone[..., None, :, :], (*lead, num_agents, num_all, everyone.shape[-1])
        )
        looks = jnp.broadcast_to(
            jnp.eye(num_all)[start : start + num_agents, :, None], (*lead, num_agents, num_all, 1)
        )
        tokens[name] = jnp.concatenate([rows, looks], axis=-1)
        start += num_agents
    return tokens


def make_mappo(
    env: Environment,
    types: Mapping[str, TypeConfig],
    *,
    num_envs: int,
    num_steps: int,
    num_updates: int,
) -> PPO:
    """Multi-agent PPO: `PPO` with centralized critics, which policies do not need to act.

    Raises:
        ValueError: as `PPO`; also for `network.shared`, which would let a policy see the rest.
    """

    def critic_inputs(obs: dict[str, Array]) -> dict[str, Array]:
        joint, tokens = joint_observation(obs), agent_tokens(obs)
        attends = {name: config.network.critic_attention for name, config in types.items()}
        return {name: tokens[name] if attends[name] else joint[name] for name in obs}

    return PPO(
        env,
        types,
        num_envs=num_envs,
        num_steps=num_steps,
        num_updates=num_updates,
        critic_inputs=critic_inputs,
    )
