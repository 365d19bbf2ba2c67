"""One step of order flow: agents' messages and the background, look by look.

Agents' messages come first, or each at its time of arrival if some agent has a latency.

A replay is one look: the agents' messages and the recorded ones form a single engine call. A flow
model answers to the book it sees, so a step of many messages is split into looks of
`model.refresh_every` messages, each drawn from the book that the one before left behind.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from lob_core import process_messages
from lob_core.types import Backend, BookConfig, BookState, Message, Outcome

from marl_envs.clock import Time
from marl_envs.halts import suspend
from marl_envs.mixed import Background
from marl_envs.sequencing import append, merge_by_time
from marl_envs.types import MarketState

Array = jax.Array


@struct.dataclass
class Played:
    """What a step of order flow left behind.

    Attributes:
        book: the book after it, leaves `[N]`.
        background: state of the background.
        messages: everything that was sent, leaves `[M]`.
        outcome: what the engine did with it: reports `[M]`, fills summed over the step, and the
            trades of each look one after the other, `[looks * T]`.
        time: seconds and nanoseconds after the step, `[]` int32 each.
        is_halted: `[]` bool, whether trading is halted after the step.
    """

    book: BookState
    background: Any
    messages: Message
    outcome: Outcome
    time: Time
    is_halted: Array


def play(
    background: Background,
    state: Any,
    key: Array,
    book: BookState,
    market: MarketState,
    config: BookConfig,
    *,
    sent: Message | None = None,
    is_timed: bool = False,
    backend: Backend | None = None,
) -> Played:
    """Plays one step.

    Args:
        background: the flow.
        state: where it stands.
        key: PRNG key, consumed.
        book: the book before the step, leaves `[N]`.
        market: public facts before it.
        config: of the engine.
        sent: the agents' messages; None if there are no agents.
        is_timed: whether each of them is played at the time it carries, if that lies in the step;
            otherwise all come first.
        backend: of the engine.
    """

    def look(
        now: tuple[BookState, Any, Time, Array], inputs: tuple[Array, Array], *, is_first: bool
    ) -> tuple[tuple[BookState, Any, Time, Array], tuple[Message, Outcome]]:
        book, state, start, is_halted = now
        key, is_last = inputs
        messages, state, time = background.messages(
            key, book, state, market, is_first=is_first, is_last=is_last
        )
        if sent is not None and is_timed:
            messages = merge_by_time(sent, messages, None if is_first else start, time)
        elif sent is not None and is_first:
            messages = append(sent, messages)
        if background.has_halts:
            messages, is_halted = suspend(messages, is_halted)
        book, outcome = process_messages(book, messages, config=config, backend=backend)
        return (book, state, time, is_halted), (messages, outcome)

    key_first, key_rest = jax.random.split(key)
    opening = (book, state, (market.time_s, market.time_ns), market.is_halted)
    num_more = background.num_looks - 1
    now, (messages, outcome) = look(opening, (key_first, jnp.asarray(num_more == 0)), is_first=True)
    if num_more == 0:
        book, state, time, is_halted = now
        return Played(book, state, messages, outcome, time, is_halted)
    now, (more_messages, more) = jax.lax.scan(
        partial(look, is_first=False),
        now,
        (jax.random.split(key_rest, num_more), jnp.arange(num_more) == num_more - 1),
    )
    book, state, time, is_halted = now

    def join(first: Array, rest: Array) -> Array:
        return jnp.concatenate([first, rest.reshape(-1)])

    def add(first: Array, rest: Array) -> Array:
        return first + rest.sum(0)

    trades = jax.tree.map(
        lambda a, b: join(a, b) if a.ndim else add(a, b), outcome.trades, more.trades
    )
    return Played(
        book=book,
        background=state,
        messages=jax.tree.map(join, messages, more_messages),
        outcome=Outcome(
            trades=trades,
            reports=jax.tree.map(join, outcome.reports, more.reports),
            fills=jax.tree.map(add, outcome.fills, more.fills),
        ),
        time=time,
        is_halted=is_halted,
    )
