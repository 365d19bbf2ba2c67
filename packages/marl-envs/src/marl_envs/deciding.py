"""From what agents decide to messages, type by type."""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
from lob_core.types import FIRST_AGENT_ORDER_ID

from marl_envs import accounts
from marl_envs.agents.kinds import AgentType
from marl_envs.base import ByType
from marl_envs.netting import Requests, net_orders, no_orders
from marl_envs.types import AgentState, Calibration, MarketState, OwnOrders

Array = jax.Array

MEMORY_KEY: Final = 1_000_003
DECISION_KEY: Final = 1_000_033
"""Folded into the key of a reset or step. `split` uses small numbers, so that agents' own keys
leave windows, tasks and flow as they are."""


def type_key(key: Array, purpose: int, position: int) -> Array:
    """The key of the type at a position of the configuration, for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose), position)


def new_agents(
    t: AgentType, key_task: Array, key_memory: Array, first_id: int, market: MarketState
) -> AgentState:
    """The agents of a type when an episode begins, leaves led by `[A]`.

    Args:
        t: the type.
        key_task: draws their tasks.
        key_memory: starts their memories.
        first_id: number of its first agent in the engine.
        market: public facts at the open.
    """
    number = t.num_agents
    agent_id = jnp.arange(first_id, first_id + number, dtype=jnp.int32)
    zero = jnp.zeros(number, jnp.int32)

    def repeat(leaf: Any) -> Array:
        return jnp.broadcast_to(leaf, (number, *jnp.shape(leaf)))

    side, size = t.task.sample(key_task, number)
    agents = AgentState(
        agent_id=agent_id,
        account=accounts.empty_accounts((number,)),
        orders=jax.tree.map(repeat, no_orders(t.action.num_orders)),
        next_order_id=FIRST_AGENT_ORDER_ID + agent_id - 1,
        best_bid=repeat(market.best_bid),
        best_ask=repeat(market.best_ask),
        bid_quote=zero,
        ask_quote=zero,
        bid_quote_size=zero,
        ask_quote_size=zero,
        bid_queue=zero,
        ask_queue=zero,
        task_side=side,
        task_size=size,
        is_active=jnp.ones(number, bool),
        episode_return=jnp.zeros(number, jnp.float32),
        reward_state=() if t.reward is None else jax.tree.map(repeat, t.reward.init()),
    )
    keys = jax.random.split(key_memory, number)
    memory = jax.vmap(t.action.init_memory, (0, 0, None))(keys, agents, market)
    return agents.replace(action_memory=memory)


def decide(
    types: tuple[AgentType, ...],
    key: Array,
    agents: dict[str, AgentState],
    action: ByType,
    market: MarketState,
    calibration: Calibration | None,
) -> tuple[list[Requests], list[OwnOrders], dict[str, AgentState]]:
    """What all agents send.

    Args:
        types: the agent types, in the order of their numbers.
        key: of the step.
        agents: their states.
        action: actions of the types that are not rule-based.
        market: public facts.
        calibration: constants of the background, if any scheme reads them.

    Returns:
        For each type its messages `[A, R]` and the tables of orders that follow; and the agents
        with their new memories.
    """
    num_agents = sum(t.num_agents for t in types)
    requests, tables, after = [], [], {}
    for position, t in enumerate(types):
        own = agents[t.name]
        chosen = jnp.zeros(t.num_agents, jnp.int32) if t.is_rule_based else action[t.name]
        keys = jax.random.split(type_key(key, DECISION_KEY, position), t.num_agents)
        wanted, memory = jax.vmap(t.action.decide, (0, 0, 0, 0, None, None))(
            keys, chosen, own, own.action_memory, market, calibration
        )
        may_act = own.is_active & market.is_quoted
        wanted = wanted.replace(size=jnp.where(may_act[:, None], wanted.size, 0))
        request, table = jax.vmap(net_orders, (0, 0, 0, None))(
            wanted, own.orders, own.next_order_id, num_agents
        )
        requests.append(request)
        tables.append(table)
        after[t.name] = own.replace(action_memory=memory)
    return requests, tables, after
