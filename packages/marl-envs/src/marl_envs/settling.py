"""What a step does to the agents of a type: fills, bankruptcy, closing entries, pay."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from lob_core.types import BookState

from marl_envs.agents.base import StepResult
from marl_envs.agents.kinds import AgentType
from marl_envs.batching import compute_if_any
from marl_envs.terms import FEE_UNITS
from marl_envs.types import AgentState, Closed, MarketState

Array = jax.Array


def find_bankrupt(t: AgentType, agents: AgentState, reference_price: Array) -> Array:
    """Which agents of a type have lost what they may, `[A]` bool.

    A long position is worth the best bid of everyone else, a short one their best ask; fees are
    paid. A bankrupt agent stays bankrupt.
    """
    if t.terms.bankruptcy is None:
        return agents.is_bankrupt
    account = agents.account
    mark = jnp.where(account.inventory > 0, agents.best_bid, agents.best_ask) - reference_price
    worth = account.cash + account.inventory * mark - account.fees // FEE_UNITS
    has_lost = worth <= -t.terms.column("bankruptcy", t.num_agents)
    return agents.is_bankrupt | (has_lost & agents.is_active)


def close(
    t: AgentType,
    before: AgentState,
    agents: AgentState,
    market: MarketState,
    book: BookState,
    reference_price: Array,
    is_last: Array,
) -> Closed:
    """Closing entries of this step, leaves `[A]`.

    Positions and tasks are closed when the episode ends, or when their agent becomes bankrupt.

    Args:
        t: the type.
        before: its agents before the step.
        agents: its agents after it.
        market: public facts after it.
        book: the book after it.
        reference_price: `[]` int32, ticks.
        is_last: `[]` bool.
    """
    is_due = (is_last | agents.is_bankrupt) & ~before.is_bankrupt
    none = jnp.zeros(t.num_agents, jnp.int32)
    cash = compute_if_any(
        jnp.any(is_due), jax.vmap(t.closing.cash, (0, None, None, None)), none, agents, market,
        book, reference_price,
    )  # fmt: skip
    quantity = jnp.where(is_due, t.closing.quantity(agents), 0)
    cash = jnp.where(is_due, cash, 0)
    mid = (market.mid_half_ticks - 2 * reference_price) / 2
    return Closed(quantity=quantity, cash=cash, cost=(-quantity * mid - cash).astype(jnp.float32))


def finish(before: AgentState, after: AgentState, closing: Closed) -> AgentState:
    """The agents with their closing entries; those bankrupt or done are no longer active."""
    is_unfinished = (after.task_side == 0) | (after.remaining > 0)
    return after.replace(
        is_active=before.is_active & is_unfinished & ~after.is_bankrupt,
        closed=jax.tree.map(jnp.add, before.closed, closing),
    )


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
    after = after.replace(episode_return=before.episode_return + paid, reward_state=memory)
    return after, paid
