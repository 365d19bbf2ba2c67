"""Puts the messages of all agents into one sequence, in random agent order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.types import EventType, Message

from marl_envs.netting import Requests

Array = jax.Array


_MANY: Final = 64
"""Agents or rows from which a sort or a binary search costs less than comparing all pairs."""


def random_order(key: Array, num_agents: int) -> Array:
    """A random permutation of the agents, `[num_agents]` int32; few are ranked without a sort."""
    draws = jax.random.bits(key, (num_agents,))
    if num_agents > _MANY:
        return jnp.argsort(draws).astype(jnp.int32)
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
        Leaves `[sum of A * R]`; the messages of one agent keep their order.
    """
    shapes = [group.event_type.shape for group in requests]
    flat = jax.tree.map(lambda *leaves: jnp.concatenate([x.reshape(-1) for x in leaves]), *requests)
    agent, row = _rows_in_order(shapes, order)
    total = row.shape[0]
    shuffled = jax.tree.map(lambda leaf: leaf[row], flat)
    return Message(
        event_type=shuffled.event_type,
        side=shuffled.side,
        price=shuffled.price,
        size=shuffled.size,
        order_id=shuffled.order_id,
        agent_id=(agent + 1).astype(jnp.int32),
        time_in_force=shuffled.time_in_force,
        time_s=jnp.broadcast_to(time_s, (total,)),
        time_ns=jnp.broadcast_to(time_ns, (total,)),
    )


def _rows_in_order(shapes: Sequence[tuple[int, ...]], order: Array) -> tuple[Array, Array]:
    """Agent (from 0) and row of the joined messages at each place of the sequence.

    Args:
        shapes: number of agents and rows of an agent, for each type.
        order: `[sum of A]` int32, the permutation in which agents act.
    """
    num_rows = np.repeat([rows for _, rows in shapes], [number for number, _ in shapes])
    first_row = np.cumsum(num_rows) - num_rows
    total = int(num_rows.sum())
    if len(set(num_rows.tolist())) == 1:
        rows = int(num_rows[0])
        agent = jnp.repeat(order, rows)
        return agent, agent * rows + jnp.tile(jnp.arange(rows), len(num_rows))
    end = jnp.cumsum(jnp.asarray(num_rows)[order])
    place = jnp.arange(total)
    method = "compare_all" if len(num_rows) < _MANY else "scan_unrolled"
    turn = jnp.searchsorted(end, place, side="right", method=method)
    agent = order[turn]
    start = end[turn] - jnp.asarray(num_rows)[agent]
    return agent, jnp.asarray(first_row)[agent] + place - start


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
