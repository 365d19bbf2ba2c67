"""Messages that take their time: stamped with their arrival, kept while on their way.

A message of an agent arrives at the time of the decision plus the agent's latency for its kind. It
is played in the step in whose time it arrives, between the background messages of that time
(`playing`). A cancel never overtakes the order that it names. The agent knows what it has sent: it
nets against the orders it will have when everything has arrived. Its own fills and orders reach it
without delay.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import EventType, Side, TimeInForce

from marl_envs.clock import Time, add_time, is_after, latest
from marl_envs.netting import Requests
from marl_envs.terms import Terms
from marl_envs.types import AgentState, OwnOrders

Array = jax.Array


@struct.dataclass
class Timed(Requests):
    """Messages with the time at which they arrive.

    Attributes:
        time_s: `[..., R]` int32, seconds since midnight.
        time_ns: `[..., R]` int32, nanoseconds.
    """

    time_s: Array
    time_ns: Array


def none_pending(num_agents: int, num_rows: int) -> Timed:
    """Nothing on its way, leaves `[A, P]`."""
    zero = jnp.zeros((num_agents, num_rows), jnp.int32)
    return Timed(zero, zero, zero, zero, zero, zero, zero, zero)


def is_cancel(requests: Requests) -> Array:
    """Which messages take shares out of the book."""
    return (requests.event_type == EventType.CANCEL) | (requests.event_type == EventType.DELETE)


def stamp(requests: Requests, now: Time) -> Timed:
    """Messages `[A, R]` that arrive at once."""
    shape = requests.event_type.shape
    return Timed(
        **vars(requests),
        time_s=jnp.broadcast_to(now[0], shape),
        time_ns=jnp.broadcast_to(now[1], shape),
    )


def send(requests: Requests, agents: AgentState, terms: Terms, now: Time) -> Timed:
    """Everything that is on its way once an agent has sent its messages.

    Orders of a bankrupt agent do not arrive any more, and its cancels are the venue's: they come
    at once.

    Args:
        requests: new messages, leaves `[A, R]`.
        agents: their state, leaves led by `[A]`.
        terms: theirs.
        now: `[]` each, the time of the decision.

    Returns:
        Leaves `[A, P + R]`, what was on its way before first.
    """
    number = agents.agent_id.shape[0]
    pending: Timed = agents.pending
    is_bankrupt = agents.is_bankrupt[:, None]
    cancels = is_cancel(requests)
    delays = [
        jnp.where(
            is_bankrupt,
            0,
            jnp.where(cancels, cancel[:, None], submit[:, None]),
        )
        for submit, cancel in zip(
            terms.delay("latency_submit_ns", number),
            terms.delay("latency_cancel_ns", number),
            strict=True,
        )
    ]
    time = add_time(now, delays[0], delays[1])
    is_order = (pending.event_type == EventType.SUBMIT)[:, None, :]
    names = (
        cancels[:, :, None]
        & is_order
        & (requests.order_id[:, :, None] == pending.order_id[:, None, :])
    )
    target = jnp.argmax(names, axis=-1)
    is_named = jnp.any(names, axis=-1)
    arrival = (
        jnp.take_along_axis(pending.time_s, target, axis=1),
        jnp.take_along_axis(pending.time_ns, target, axis=1),
    )
    later = latest(time, arrival)
    time = (jnp.where(is_named, later[0], time[0]), jnp.where(is_named, later[1], time[1]))
    is_lost = is_bankrupt & (pending.event_type == EventType.SUBMIT)
    pending = pending.replace(event_type=jnp.where(is_lost, EventType.NOOP, pending.event_type))
    useless = is_bankrupt & is_named
    requests = requests.replace(
        event_type=jnp.where(useless, EventType.NOOP, requests.event_type).astype(jnp.int32)
    )
    new = Timed(**vars(requests), time_s=time[0], time_ns=time[1])
    joined: Timed = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), pending, new)
    return joined


def still_pending(sent: Timed, now: Time, num_rows: int) -> Timed:
    """What has not arrived by `now`, oldest first, leaves `[A, num_rows]`.

    Args:
        sent: leaves `[A, P + R]`; no more than `num_rows` of an agent's rows may be late.
        now: `[]` each.
        num_rows: `P`.
    """
    is_late = (sent.event_type != EventType.NOOP) & is_after((sent.time_s, sent.time_ns), now)
    order = jnp.argsort(~is_late, axis=1, stable=True)[:, :num_rows]
    kept: Timed = jax.tree.map(lambda leaf: jnp.take_along_axis(leaf, order, axis=1), sent)
    is_late = jnp.take_along_axis(is_late, order, axis=1)
    cleared: Timed = jax.tree.map(lambda leaf: jnp.where(is_late, leaf, 0), kept)
    return cleared


def has_room(pending: Timed, num_rows: int) -> Array:
    """`[A]` bool, whether `num_rows` more messages can be on their way."""
    return jnp.sum(pending.event_type == EventType.NOOP, axis=1) >= num_rows


def expected(table: OwnOrders, pending: Timed) -> OwnOrders:
    """Tables with the sizes their orders have once everything on its way has arrived.

    Args:
        table: leaves `[A, K, ...]`, sizes as they are in the book.
        pending: leaves `[A, P]`.
    """
    kind = pending.event_type[:, None, None, :]
    is_same = table.order_id[..., None] == pending.order_id[:, None, None, :]
    size = jnp.where(is_same, pending.size[:, None, None, :], 0)
    added = jnp.sum(jnp.where(kind == EventType.SUBMIT, size, 0), axis=-1)
    taken = jnp.sum(jnp.where(kind == EventType.CANCEL, size, 0), axis=-1)
    is_gone = jnp.any(is_same & (kind == EventType.DELETE), axis=-1)
    left = jnp.maximum(table.size + added - taken, 0)
    return table.replace(size=jnp.where(is_gone | (table.order_id == 0), 0, left))


def on_the_way(pending: Timed, *, only_immediate: bool) -> Array:
    """Shares that orders on their way may buy and sell, `[A, 2]` int32.

    Args:
        pending: leaves `[A, P]`.
        only_immediate: leave out those that would rest, which a table of orders holds.
    """
    counts = pending.event_type == EventType.SUBMIT
    if only_immediate:
        counts &= pending.time_in_force == TimeInForce.IOC
    by_side = [
        jnp.sum(jnp.where(counts & (pending.side == side), pending.size, 0), axis=1)
        for side in (Side.BID, Side.ASK)
    ]
    return jnp.stack(by_side, axis=1)
