"""From what agents decide to messages, type by type."""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
from lob_core.types import FIRST_AGENT_ORDER_ID, EventType

from marl_envs import accounts, feed, latency, own_orders
from marl_envs.agents.kinds import AgentType
from marl_envs.base import ByType
from marl_envs.netting import Requests, net_orders, no_orders
from marl_envs.types import (
    AgentState,
    Calibration,
    Closed,
    EnvState,
    MarketState,
    OwnOrders,
    Wanted,
)

Array = jax.Array

MEMORY_KEY: Final = 1_000_003
DECISION_KEY: Final = 1_000_033
"""Folded into the key of a reset or step. `split` uses small numbers, so that agents' own keys
leave windows, tasks and flow as they are."""


def type_key(key: Array, purpose: int, position: int) -> Array:
    """The key of the type at a position of the configuration, for one purpose."""
    return jax.random.fold_in(jax.random.fold_in(key, purpose), position)


def new_agents(
    t: AgentType,
    key_task: Array,
    key_memory: Array,
    first_id: int,
    market: MarketState,
    num_pending: int = 0,
) -> AgentState:
    """The agents of a type when an episode begins, leaves led by `[A]`.

    Args:
        t: the type.
        key_task: draws their tasks.
        key_memory: starts their memories.
        first_id: number of its first agent in the engine.
        market: public facts at the open.
        num_pending: messages of each that can be on their way at once; 0 without latency.
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
        closed=Closed(quantity=zero, cash=zero, cost=jnp.zeros(number, jnp.float32)),
        is_bankrupt=jnp.zeros(number, bool),
        pending=latency.none_pending(number, num_pending) if num_pending else (),
    )
    keys = jax.random.split(key_memory, number)
    memory = jax.vmap(t.action.init_memory, (0, 0, None))(keys, agents, market)
    return agents.replace(action_memory=memory)


def decide(
    types: tuple[AgentType, ...],
    key: Array,
    state: EnvState,
    action: ByType,
    calibration: Calibration | None,
    *,
    is_timed: bool,
) -> tuple[list[Requests], list[OwnOrders], EnvState]:
    """What all agents send.

    Args:
        types: the agent types, in the order of their numbers.
        key: of the step.
        state: of the market.
        action: actions of the types that are not rule-based.
        calibration: constants of the background, if any scheme reads them.
        is_timed: whether messages carry the time at which they arrive.

    Returns:
        For each type its messages, `[A, R]` and `Timed` if `is_timed`, and the tables of orders
        that follow; and the state with the agents' new memories.
    """
    num_agents = sum(t.num_agents for t in types)
    market = state.market
    now = (market.time_s, market.time_ns)
    counters = state.counters
    requests: list[Requests] = []
    tables, after = [], {}
    for position, t in enumerate(types):
        own = state.agents[t.name]
        wanted, memory, is_too_short = _wanted(
            t, type_key(key, DECISION_KEY, position), action, state, calibration
        )
        may_act = own.is_active & market.is_quoted
        wanted = wanted.replace(size=jnp.where(may_act[:, None], wanted.size, 0))
        if t.has_task and t.terms.has_order_latency:
            wanted = _fit_task(wanted, own)
        room = _room(t, own, state)
        net = jax.vmap(net_orders, (0, 0, 0, None, None if room is None else 0))
        request, table = net(wanted, own.orders, own.next_order_id, num_agents, room)
        if t.terms.has_order_latency:
            is_free = latency.has_room(own.pending, request.event_type.shape[1]) | own.is_bankrupt
            request = request.replace(
                event_type=jnp.where(is_free[:, None], request.event_type, EventType.NOOP)
            )
            table = jax.tree.map(
                lambda new, old, free=is_free: jnp.where(
                    free.reshape(-1, *(1,) * (new.ndim - 1)), new, old
                ),
                table,
                own.orders,
            )
            counters = counters.replace(
                held_back=counters.held_back + jnp.sum(~is_free, dtype=jnp.int32)
            )
            request = latency.send(request, own, t.terms, now)
        elif is_timed:
            request = latency.stamp(request, now)
        counters = counters.replace(feed_too_short=counters.feed_too_short + is_too_short)
        requests.append(request)
        tables.append(table)
        after[t.name] = own.replace(action_memory=memory)
    return requests, tables, state.replace(agents=after, counters=counters)


def _wanted(
    t: AgentType, key: Array, action: ByType, state: EnvState, calibration: Calibration | None
) -> tuple[Wanted, Any, Array]:
    """What the agents of a type want and remember, and how many see too new a market."""
    own, market, axis = state.agents[t.name], state.market, None
    is_too_short = jnp.zeros((), jnp.int32)
    if t.terms.has_feed_latency:
        own, market, _, is_too_short = feed.delayed(state.feed, own, market, state.book, t.terms)
        axis = 0
    chosen = jnp.zeros(t.num_agents, jnp.int32) if t.is_rule_based else action[t.name]
    keys = jax.random.split(key, t.num_agents)
    wanted, memory = jax.vmap(t.action.decide, (0, 0, 0, 0, axis, None))(
        keys, chosen, own, own.action_memory, market, calibration
    )
    return wanted, memory, is_too_short


def _fit_task(wanted: Wanted, own: AgentState) -> Wanted:
    """Less by what immediate orders on their way may still do of the task."""
    on_the_way = latency.on_the_way(own.pending, only_immediate=True)
    under_way = jnp.where(own.task_side > 0, on_the_way[:, 0], on_the_way[:, 1])
    room = jnp.maximum(own.remaining - under_way, 0)[:, None]
    before = jnp.cumsum(wanted.size, axis=1) - wanted.size
    return wanted.replace(size=jnp.clip(room - before, 0, wanted.size))


def _room(t: AgentType, own: AgentState, state: EnvState) -> Array | None:
    """Shares that new orders may buy and sell within the position limit, `[A, 2]` int32.

    Everything that rests or is on its way counts as if it had traded, also what is being
    cancelled: then no order of events can break the limit.
    """
    if t.terms.position_limit is None:
        return None
    limit = t.terms.column("position_limit", t.num_agents)
    inventory = own.account.inventory
    exposed = own_orders.resting(state.book, own.agent_id)
    if t.terms.has_order_latency:
        exposed += latency.on_the_way(own.pending, only_immediate=False)
    room = jnp.stack([limit - inventory, limit + inventory], axis=1) - exposed
    return jnp.maximum(room, 0)
