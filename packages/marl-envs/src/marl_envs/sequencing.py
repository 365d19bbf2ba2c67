"""Puts the messages of all agents into one sequence, in random agent order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.types import EventType, Message

from marl_envs.clock import Time, is_after
from marl_envs.latency import Timed
from marl_envs.netting import Requests

Array = jax.Array


_MANY: Final = 64
"""Agents or rows from which a sort or a binary search costs less than comparing all pairs."""


def random_order(key: Array, num_agents: int, goes_first: Array | None = None) -> Array:
    """A random permutation of the agents, `[num_agents]` int32; few are ranked without a sort.

    Args:
        key: PRNG key, consumed.
        num_agents: how many.
        goes_first: `[num_agents]` bool, agents that act before all others; None is nobody.
    """
    draws = jax.random.bits(key, (num_agents,))
    if goes_first is not None:
        draws = jnp.where(goes_first, 0, draws)
    if num_agents > _MANY:
        return jnp.argsort(draws).astype(jnp.int32)
    index = jnp.arange(num_agents)
    is_before = (draws[None, :] < draws[:, None]) | (
        (draws[None, :] == draws[:, None]) & (index[None, :] < index[:, None])
    )
    rank = jnp.sum(is_before, axis=1)
    return jnp.sum(jnp.where(rank[None, :] == index[:, None], index[None, :], 0), axis=1)


def sequence_requests(requests: Sequence[Requests], order: Array, now: Time) -> Message:
    """All agents' messages, agent by agent.

    Args:
        requests: one entry for each type, leaves `[A, R]`, all of them `Timed` or none; agents are
            numbered from 1 through the types. R may differ between types.
        order: `[sum of A]` int32, the permutation in which agents act.
        now: seconds and nanoseconds, `[]` int32 each: time of messages that are not `Timed`.

    Returns:
        Leaves `[sum of A * R]`; the messages of one agent keep their order.
    """
    shapes = [group.event_type.shape for group in requests]
    flat = jax.tree.map(lambda *leaves: jnp.concatenate([x.reshape(-1) for x in leaves]), *requests)
    agent, row = _rows_in_order(shapes, order)
    total = row.shape[0]
    shuffled = jax.tree.map(lambda leaf: leaf[row], flat)
    is_timed = isinstance(shuffled, Timed)
    return Message(
        event_type=shuffled.event_type,
        side=shuffled.side,
        price=shuffled.price,
        size=shuffled.size,
        order_id=shuffled.order_id,
        agent_id=(agent + 1).astype(jnp.int32),
        time_in_force=shuffled.time_in_force,
        time_s=shuffled.time_s if is_timed else jnp.broadcast_to(now[0], (total,)),
        time_ns=shuffled.time_ns if is_timed else jnp.broadcast_to(now[1], (total,)),
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


def merge_by_time(sent: Message, flow: Message, start: Time | None, end: Time) -> Message:
    """Agents' messages that arrive in a stretch of time, between the background's of that time.

    Args:
        sent: agents' messages in the order in which ties are broken, leaves `[n]`.
        flow: the background's, in order of time, leaves `[M]`.
        start: the stretch begins just after this time; None takes all that came earlier as well.
        end: and ends with this one.

    Returns:
        Leaves `[n + M]`, by time; where times are equal, agents come first. Messages that do not
        arrive in the stretch are `NOOP`.
    """
    arrival = (sent.time_s, sent.time_ns)
    is_due = ~is_after(arrival, end)
    if start is not None:
        is_due &= is_after(arrival, start)
    due = sent.replace(
        event_type=jnp.where(is_due, sent.event_type, EventType.NOOP).astype(jnp.int32)
    )
    joined = append(due, flow)
    rows = jnp.arange(joined.time_s.shape[0], dtype=jnp.int32)
    _, _, order = jax.lax.sort((joined.time_s, joined.time_ns, rows), num_keys=2, is_stable=True)
    merged: Message = jax.tree.map(lambda leaf: leaf[order], joined)
    return merged


def signed_taker_size(messages: Message, filled: Array) -> Array:
    """Buyer-initiated minus seller-initiated shares of one engine call, `[]` int32.

    Args:
        messages: leaves `[M]`.
        filled: `[M]` int32, shares each traded as taker.
    """
    is_execution = messages.event_type == EventType.EXECUTE_VISIBLE
    return jnp.sum(jnp.where(is_execution, -messages.side, messages.side) * filled)
