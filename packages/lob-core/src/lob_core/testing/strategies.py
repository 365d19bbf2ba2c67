"""Hypothesis strategies for message streams; the only module here that needs hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from lob_core.testing.streams import random_messages
from lob_core.types import (
    OPENING_AGENT,
    BookConfig,
    EventType,
    Message,
    SelfMatch,
    Side,
    TimeInForce,
    UnknownCancel,
)

_FIELDS = (
    "event_type",
    "side",
    "price",
    "size",
    "order_id",
    "agent_id",
    "time_in_force",
    "time_s",
    "time_ns",
)
_INT32 = np.iinfo(np.int32)


def _as_message(rows: list[tuple[int, ...]]) -> Message:
    table = np.array(rows, np.int64).reshape(-1, len(_FIELDS)).astype(np.int32)
    return Message(**{name: table[:, i] for i, name in enumerate(_FIELDS)})  # type: ignore[arg-type]


def small_streams(
    num_messages: int, *, num_agents: int = 0, max_price: int = 8, max_size: int = 6
) -> st.SearchStrategy[Message]:
    """Streams over few prices, sizes and ids, drawn field by field so that failures shrink well.

    Args:
        num_messages: `M`; fixed, so that a jitted engine compiles once.
        num_agents: agent ids are drawn from `OPENING_AGENT .. num_agents + 1`.
        max_price: prices are drawn from `0 .. max_price`; 0 is invalid on purpose.
        max_size: sizes are drawn from `0 .. max_size`; 0 is invalid on purpose.
    """
    row = st.tuples(
        st.sampled_from([*map(int, EventType), 1, 1, 1, 3, 8, 10]),
        st.sampled_from([int(Side.BID), int(Side.ASK)]),
        st.integers(0, max_price),
        st.integers(0, max_size),
        st.integers(0, max(num_messages // 2, 2)),
        st.integers(OPENING_AGENT, num_agents + 1),
        st.sampled_from([*map(int, TimeInForce), 0, 0]),
        st.just(34_200),
        st.integers(0, 3),
    )
    return st.lists(row, min_size=num_messages, max_size=num_messages).map(_as_message)


def seeded_streams(
    num_messages: int, *, num_agents: int = 0, max_size: int = 20
) -> st.SearchStrategy[Message]:
    """Long streams of plausible order flow (`random_messages`) drawn by seed and shape.

    Args:
        num_messages: `M`.
        num_agents: passed on.
        max_size: passed on.
    """
    return st.builds(
        random_messages,
        st.integers(0, 2**32 - 1),
        st.just(num_messages),
        half_width=st.integers(1, 30),
        lifetime=st.integers(1, 200),
        num_agents=st.just(num_agents),
        max_size=st.just(max_size),
    )


def arbitrary_messages(num_messages: int) -> st.SearchStrategy[Message]:
    """Streams of any int32 in any field, with event codes, sides and extremes made likely.

    Args:
        num_messages: `M`.
    """
    anything = st.integers(int(_INT32.min), int(_INT32.max))
    extreme = st.sampled_from(
        [0, 1, 2, -1, int(_INT32.max), int(_INT32.max) - 1, int(_INT32.min), 2**30]
    )
    value = st.one_of(extreme, anything, st.integers(0, 5))
    row = st.tuples(
        st.one_of(st.integers(0, 9), value),
        st.one_of(st.sampled_from([1, -1]), value),
        *[value] * 4,
        st.one_of(st.integers(0, 3), value),
        *[value] * 2,
    )
    return st.lists(row, min_size=num_messages, max_size=num_messages).map(_as_message)


def book_configs(num_agents: int = 0) -> st.SearchStrategy[BookConfig]:
    """Small books, so that sides and trade buffers overflow; few shapes, so that few compile.

    Args:
        num_agents: accounts of each.
    """
    configs = [
        BookConfig(num_slots=n, max_trades=t, num_agents=num_agents, self_match=s, unknown_cancel=u)
        for n, t, s, u in [
            (1, 0, SelfMatch.OFF, UnknownCancel.STRICT),
            (3, 2, SelfMatch.OFF, UnknownCancel.STRICT),
            (8, 64, SelfMatch.OFF, UnknownCancel.STRICT),
            (8, 3, SelfMatch.CANCEL_RESTING, UnknownCancel.OPENING),
            (8, 3, SelfMatch.CANCEL_INCOMING, UnknownCancel.UNIFORM),
            (8, 3, SelfMatch.DECREMENT_BOTH, UnknownCancel.UNIFORM_ANY),
        ]
    ]
    return st.sampled_from(configs)
