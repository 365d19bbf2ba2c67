"""The market that environments and training share: agents and replayed flow."""

from __future__ import annotations

from typing import Any

import jax
from marl_envs import AgentSpec, EnvConfig, MarketEnv
from marl_envs.testing import record_windows

from gpu_parts.plan import Plan


def make_market(plan: Plan, messages: int, cpu: jax.Device) -> tuple[MarketEnv, Any]:
    """The environment, and its params on the CPU: generated flow, packed in 16 bytes a message."""
    config = EnvConfig(
        agents=tuple(AgentSpec(kind) for kind in plan.agents),
        num_steps=plan.episode_steps,
        messages_per_step=messages,
        num_slots=plan.slots,
    )
    env = MarketEnv(config)
    with jax.default_device(cpu):
        return env, env.make_params(record_windows(config, messages, plan.windows))


def bytes_of(tree: Any) -> int:
    """Bytes of all leaves."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
