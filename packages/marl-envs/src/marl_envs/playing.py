"""One step of order flow: agents' messages, then the background, look by look.

A replay is one look: the agents' messages and the recorded ones form a single engine call. A flow
model answers to the book it sees, so a step of many messages is split into looks of
`model.refresh_every` messages, each drawn from the book that the one before left behind.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from lob_core import process_messages
from lob_core.types import Backend, BookConfig, BookState, Message, Outcome

from marl_envs.background import Background
from marl_envs.sequencing import append
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
    """

    book: BookState
    background: Any
    messages: Message
    outcome: Outcome
    time: tuple[Array, Array]


def play(
    background: Background,
    state: Any,
    key: Array,
    book: BookState,
    market: MarketState,
    config: BookConfig,
    *,
    sent: Message | None = None,
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
        sent: the agents' messages, which come first; None if there are no agents.
        backend: of the engine.
    """
    key_first, key_rest = jax.random.split(key)
    messages, state, time = background.messages(key_first, book, state, market, is_first=True)
    if sent is not None:
        messages = append(sent, messages)
    book, outcome = process_messages(book, messages, config=config, backend=backend)
    played = Played(book, state, messages, outcome, time)
    num_more = background.num_looks - 1
    if num_more == 0:
        return played

    def look(
        now: tuple[BookState, Any, tuple[Array, Array]], key: Array
    ) -> tuple[tuple[BookState, Any, tuple[Array, Array]], tuple[Message, Outcome]]:
        book, state, _ = now
        messages, state, time = background.messages(key, book, state, market, is_first=False)
        book, outcome = process_messages(book, messages, config=config, backend=backend)
        return (book, state, time), (messages, outcome)

    (book, state, time), (more_messages, more) = jax.lax.scan(
        look, (book, state, time), jax.random.split(key_rest, num_more)
    )

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
    )
