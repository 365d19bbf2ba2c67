"""Puts the messages of all agents into one sequence, in random agent order."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from lob_core.types import EventType, Message

from marl_envs.netting import Requests

Array = jax.Array


def random_order(key: Array, num_agents: int) -> Array:
    """A random permutation of the agents, `[num_agents]` int32, without a sort."""
    draws = jax.random.bits(key, (num_agents,))
    index = jnp.arange(num_agents)
    is_before = (draws[None, :] < draws[:, None]) | (
        (draws[None, :] == draws[:, None]) & (index[None, :] < index[:, None])
    )
    rank = jnp.sum(is_before, axis=1)
    return jnp.sum(jnp.where(rank[None, :] == index[:, None], index[None, :], 0), axis=1)


def sequence_requests(
    requests: Sequence[Requests], order: Array, time_s: Array, time_ns: Array
) -> Message:
    """All agents' messages, agent by agent.

    Args:
        requests: one entry for each type, leaves `[A, R]`; agents are numbered from 1 through the
            types. R may differ between types.
        order: `[sum of A]` int32, the permutation in which agents act.
        time_s: `[]` int32, time of the messages, seconds.
        time_ns: `[]` int32, nanoseconds.

    Returns:
        Leaves `[sum of A * max R]`; the messages of one agent keep their order.
    """
    rows = max(group.event_type.shape[1] for group in requests)

    def pad(leaf: Array) -> Array:
        return jnp.pad(leaf, ((0, 0), (0, rows - leaf.shape[1])))

    padded = [jax.tree.map(pad, group) for group in requests]
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *padded)
    shuffled = jax.tree.map(lambda leaf: leaf[order].reshape(-1), joined)
    total = shuffled.event_type.shape[0]
    return Message(
        event_type=shuffled.event_type,
        side=shuffled.side,
        price=shuffled.price,
        size=shuffled.size,
        order_id=shuffled.order_id,
        agent_id=jnp.repeat(order + 1, rows).astype(jnp.int32),
        time_in_force=shuffled.time_in_force,
        time_s=jnp.broadcast_to(time_s, (total,)),
        time_ns=jnp.broadcast_to(time_ns, (total,)),
    )


def append(first: Message, second: Message) -> Message:
    """`first` followed by `second`."""
    joined: Message = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
    return joined


def signed_taker_size(messages: Message, filled: Array) -> Array:
    """Buyer-initiated minus seller-initiated shares of one engine call, `[]` int32.

    Args:
        messages: leaves `[M]`.
        filled: `[M]` int32, shares each traded as taker.
    """
    is_execution = messages.event_type == EventType.EXECUTE_VISIBLE
    return jnp.sum(jnp.where(is_execution, -messages.side, messages.side) * filled)
