"""Trading halts: recorded HALT messages stop all trading until one lifts the halt."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from lob_core.types import EventType, Message, TimeInForce

Array = jax.Array


def suspend(messages: Message, is_halted: Array) -> tuple[Message, Array]:
    """Messages as they are played when nothing trades during a halt.

    A `HALT` message of size above 0 halts trading and one of size 0 lifts the halt. While trading
    is halted, orders may be cancelled and may come to rest, whoever sends them: executions, market
    orders, immediate-or-cancel and fill-or-kill orders become `NOOP`, and other orders are
    post-only, so that one which would trade is refused.

    Args:
        messages: leaves `[M]`.
        is_halted: `[]` bool, whether trading is halted before the first.

    Returns:
        The messages, and whether trading is halted after the last.
    """
    kind = messages.event_type
    place = jnp.arange(kind.shape[0])
    last = jax.lax.cummax(jnp.where(kind == EventType.HALT, place, -1))
    halted = jnp.where(last >= 0, messages.size[jnp.maximum(last, 0)] > 0, is_halted)
    is_order = (kind == EventType.SUBMIT) | (kind == EventType.MODIFY)
    is_immediate = (messages.time_in_force == TimeInForce.IOC) | (
        messages.time_in_force == TimeInForce.FOK
    )
    trades = (kind == EventType.EXECUTE_VISIBLE) | (kind == EventType.MARKET)
    is_refused = halted & (trades | (is_order & is_immediate))
    in_force = jnp.where(halted & is_order, TimeInForce.POST_ONLY, messages.time_in_force)
    played = messages.replace(
        event_type=jnp.where(is_refused, EventType.NOOP, kind).astype(jnp.int32),
        time_in_force=in_force.astype(jnp.int32),
    )
    return played, halted[-1]
