"""PPO whose critics see the joint observation of all agents.

References:
    Yu et al. (2022), "The surprising effectiveness of PPO in cooperative multi-agent games".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp

from marl_algos.ippo import PPO
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
    return PPO(
        env,
        types,
        num_envs=num_envs,
        num_steps=num_steps,
        num_updates=num_updates,
        critic_inputs=joint_observation,
    )
