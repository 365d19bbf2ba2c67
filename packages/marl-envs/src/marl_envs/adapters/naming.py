"""Names of single agents, and the way between them and arrays by type."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

from marl_envs.base import ByType, MultiAgentEnv


def agent_names(env: MultiAgentEnv[Any, Any]) -> dict[str, tuple[str, int]]:
    """Type and index of every learning agent, by a name such as `"market_maker_0"`."""
    return {
        f"{name}_{index}": (name, index)
        for name, group in env.groups.items()
        for index in range(group.num_agents)
    }


def split_agents(env: MultiAgentEnv[Any, Any], by_type: ByType) -> dict[str, Any]:
    """Arrays by agent name from arrays by type."""
    return {agent: by_type[name][index] for agent, (name, index) in agent_names(env).items()}


def join_agents(env: MultiAgentEnv[Any, Any], by_agent: dict[str, Any]) -> ByType:
    """Actions by type, leaves led by `[A]`, from actions by agent name.

    An action may carry further axes of length one. Agents without an entry take the zero action.
    """
    joined = {}
    for name, group in env.groups.items():
        space = group.action_space
        rows = [
            jnp.asarray(by_agent.get(f"{name}_{index}", 0), space.dtype)
            for index in range(group.num_agents)
        ]
        size = math.prod(space.shape)
        joined[name] = jnp.stack(
            [
                row.reshape(space.shape) if row.size == size else jnp.full(space.shape, row)
                for row in rows
            ]
        )
    return joined
