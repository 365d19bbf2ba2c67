"""Closing entries and pay of the agents of a type."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from lob_core.types import BookState

from marl_envs.agents.base import StepResult
from marl_envs.agents.kinds import AgentType
from marl_envs.batching import compute_if_any
from marl_envs.types import AgentState, MarketState

Array = jax.Array


def close(
    t: AgentType,
    agents: AgentState,
    market: MarketState,
    book: BookState,
    reference_price: Array,
    is_last: Array,
) -> tuple[Array, Array]:
    """Closing entries of a type: shares and cash, `[A]` int32 each; zero before the last step."""
    none = jnp.zeros(t.num_agents, jnp.int32)
    cash = compute_if_any(
        is_last, jax.vmap(t.closing.cash, (0, None, None, None)), none, agents, market, book,
        reference_price,
    )  # fmt: skip
    return jnp.where(is_last, t.closing.quantity(agents), 0), jnp.where(is_last, cash, 0)


def finish(before: AgentState, after: AgentState) -> AgentState:
    """The agents of a type, those whose task is done no longer active."""
    is_unfinished = (after.task_side == 0) | (after.remaining > 0)
    return after.replace(is_active=before.is_active & is_unfinished)


def pay(
    t: AgentType, before: AgentState, after: AgentState, result: StepResult
) -> tuple[AgentState, Array]:
    """The agents of a type after being paid, and what they were paid, `[A]` float32.

    Agents that were not active before the step, and rule-based ones, are paid nothing.
    """
    if t.reward is None:
        return after, jnp.zeros(t.num_agents, jnp.float32)
    axes = jax.tree.map(lambda leaf: 0 if leaf.ndim else None, result)
    paid, memory = jax.vmap(t.reward.reward, (axes, 0))(result, before.reward_state)
    paid = jnp.where(before.is_active, paid, 0.0).astype(jnp.float32)
    return after.replace(episode_return=before.episode_return + paid, reward_state=memory), paid
