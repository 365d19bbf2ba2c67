"""Order flow that belongs to no agent: a replayed window, or a flow model that reacts to the book.

Both hold a pool of openings, made once: a reset only gathers a row of it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.flow import FlowModel
from lob_core.packing import unpack_messages
from lob_core.replay import ReplayWindows, step_messages
from lob_core.runtime import run_once
from lob_core.types import BookState, EventType, Message

from marl_envs.clock import Time, add_time, is_after
from marl_envs.config import EnvConfig
from marl_envs.terms import NANOSECONDS
from marl_envs.types import MarketState, Replaceable

Array = jax.Array


@struct.dataclass
class ReplayState(Replaceable):
    """Where a replay stands.

    Attributes:
        window: `[]` int32, the window that is played.
    """

    window: Array


BackgroundState: TypeAlias = Any
"""`ReplayState`, or the state of a flow model: a pytree."""


@struct.dataclass
class ReplayBackground(Replaceable):
    """Recorded messages, window by window.

    Attributes:
        windows: messages and opening books.
        market: public facts at the start of each window, leaves `[W]`.
        has_halts: whether a trading halt is recorded; static.
        step_ns: clock time of a step, nanoseconds, or None: until its last message; static.
    """

    windows: ReplayWindows
    market: MarketState
    has_halts: bool = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    step_ns: int | None = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]

    @property
    def num_openings(self) -> int:
        """`W`, windows to choose from."""
        return int(self.market.step.shape[-1])

    @property
    def num_messages(self) -> int:
        """Message rows of a step."""
        return int(self.windows.max_messages_per_step)

    @property
    def num_looks(self) -> int:
        """1: recorded flow does not look at the book."""
        return 1

    def opening(self, index: Array) -> tuple[BookState, MarketState, ReplayState]:
        """Book, facts and state at the start of window `index`."""
        book, market = _row((self.windows.opening, self.market), index)
        return book, market, ReplayState(window=index)

    def messages(
        self,
        key: Array,
        book: BookState,
        state: ReplayState,
        market: MarketState,
        *,
        is_first: bool,
        is_last: Array,
    ) -> tuple[Message, ReplayState, Time]:
        """The messages of the step after `market.step`, and the time after it."""
        messages = step_messages(self.windows, state.window, market.step)
        if self.step_ns is not None:
            return messages, state, step_end(market, self.step_ns)
        bounds = jax.lax.dynamic_slice(
            self.windows.step_start, (state.window, market.step), (1, 2)
        )[0]
        last = bounds[1] - bounds[0] - 1
        is_empty = last < 0
        time_s = jnp.where(is_empty, market.time_s, messages.time_s[last])
        time_ns = jnp.where(is_empty, market.time_ns, messages.time_ns[last])
        return messages, state, (time_s, time_ns)

    def ran_short(self, state: ReplayState, time: Time) -> Array:
        """0: everything recorded is played."""
        return jnp.zeros((), jnp.int32)


@struct.dataclass
class FlowBackground(Replaceable):
    """A flow model that answers to the book as it is.

    The model looks at the book again after every `model.refresh_every` messages; what is left
    over after whole looks belongs to the first one.

    Attributes:
        model: the model; static.
        num_messages: messages of a step; static.
        step_ns: clock time of a step, nanoseconds, or None: until its last message; static.
        params: its parameters.
        books: opening books, leaves `[P, ...]`.
        states: states of the flow that go with them, leaves `[P, ...]`.
        market: public facts of each opening, leaves `[P]`.
    """

    model: FlowModel[Any, Any] = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    num_messages: int = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    step_ns: int | None = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    params: Any
    books: BookState
    states: Any
    market: MarketState

    @property
    def num_openings(self) -> int:
        """`P`, openings to choose from."""
        return int(self.market.step.shape[-1])

    @property
    def has_halts(self) -> bool:
        """False: a flow model halts no trading."""
        return False

    @property
    def num_looks(self) -> int:
        """Times that the model looks at the book in a step."""
        return -(-self.num_messages // self.model.refresh_every)

    def opening(self, index: Array) -> tuple[BookState, MarketState, Any]:
        """Book, facts and state of the flow of opening `index`."""
        book, market, state = _row((self.books, self.market, self.states), index)
        return book, market, state

    def messages(
        self,
        key: Array,
        book: BookState,
        state: Any,
        market: MarketState,
        *,
        is_first: bool,
        is_last: Array,
    ) -> tuple[Message, Any, Time]:
        """Messages of one look, drawn given the book as it is, and the time after them.

        With a fixed clock time, what would come after the end of the step is left out, and the
        next step draws anew.
        """
        size = self.model.refresh_every
        if is_first:
            size = self.num_messages - (self.num_looks - 1) * size
        if self.step_ns is None:
            messages, state = self.model.sample(key, book, state, self.params, size)
            return messages, state, (state.time_s, state.time_ns)
        end = step_end(market, self.step_ns)
        if is_first:
            state = state.replace(time_s=market.time_s, time_ns=market.time_ns)
        messages, state = self.model.sample(key, book, state, self.params, size)
        now = (state.time_s, state.time_ns)
        is_over = is_last | is_after(now, end)
        time = jnp.where(is_over, end[0], now[0]), jnp.where(is_over, end[1], now[1])
        return only_until(messages, end), state, time

    def ran_short(self, state: Any, time: Time) -> Array:
        """Whether the flow's messages ended before the step did, `[]` int32."""
        return is_after(time, (state.time_s, state.time_ns)).astype(jnp.int32)


def step_end(market: MarketState, step_ns: int) -> Time:
    """When a step of fixed clock time ends that begins now."""
    seconds, nanoseconds = divmod(step_ns, NANOSECONDS)
    return add_time((market.time_s, market.time_ns), jnp.int32(seconds), jnp.int32(nanoseconds))


def only_until(messages: Message, end: Time) -> Message:
    """The messages `[M]`, `NOOP` in place of those after `end`."""
    is_late = is_after((messages.time_s, messages.time_ns), end)
    kind = jnp.where(is_late, EventType.NOOP, messages.event_type).astype(jnp.int32)
    return messages.replace(event_type=kind)


def _row(tree: Any, index: Array) -> Any:
    """Row `index` of every leaf; an index out of range is clipped, once for all leaves."""
    last = jax.tree.leaves(tree)[0].shape[0] - 1
    place = jnp.clip(index, 0, last)[None]

    def row(leaf: Array) -> Array:
        numbers = jax.lax.GatherDimensionNumbers(
            offset_dims=tuple(range(leaf.ndim - 1)), collapsed_slice_dims=(0,), start_index_map=(0,)
        )
        sizes = (1, *leaf.shape[1:])
        return jax.lax.gather(leaf, place, numbers, sizes, mode="promise_in_bounds")

    return jax.tree.map(row, tree)


def _strongly_typed(tree: Any) -> Any:
    """The same arrays without weak types, which would make `jit` trace a step twice."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), tree)


def opening_facts(book: BookState, time_s: Array, time_ns: Array, num_steps: int) -> MarketState:
    """Public facts about an opening book, leaves `[N]` to `[]`."""
    bid, ask = book.bids.price[0], book.asks.price[0]
    is_quoted = (book.bids.size[0] > 0) & (book.asks.size[0] > 0)
    zero, real_zero = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
    return MarketState(
        best_bid=bid,
        best_ask=ask,
        bid_size=jnp.sum(jnp.where(book.bids.price == bid, book.bids.size, 0)),
        ask_size=jnp.sum(jnp.where(book.asks.price == ask, book.asks.size, 0)),
        is_quoted=is_quoted,
        mid_open_half_ticks=bid + ask,
        spread_open=ask - bid,
        step=zero,
        steps_left=jnp.asarray(num_steps, jnp.int32),
        time_s=jnp.asarray(time_s, jnp.int32),
        time_ns=jnp.asarray(time_ns, jnp.int32),
        volume=zero,
        signed_volume=real_zero,
        average_volume=real_zero,
        variance=real_zero,
        is_halted=jnp.zeros((), bool),
        fundamental=(bid + ask).astype(jnp.float32) / 2,
    )


def replay_background(
    windows: ReplayWindows, config: EnvConfig, step_ns: int | None = None
) -> ReplayBackground:
    """A background that replays recorded windows.

    Args:
        windows: messages and opening books.
        config: of the environment.
        step_ns: clock time for which the steps were cut, nanoseconds; None lets each step last
            until its last message.

    Raises:
        ValueError: if the windows are shorter than an episode, there is none, or their books do
            not have `config.num_slots` slots.
    """
    num_windows, num_bounds = windows.step_start.shape
    if num_windows < 1:
        raise ValueError("the replay holds no window")
    if num_bounds - 1 < config.num_steps:
        raise ValueError(
            f"the windows have {num_bounds - 1} steps; EnvConfig.num_steps = {config.num_steps} "
            "needs at least as many"
        )
    slots = windows.opening.bids.price.shape[-1]
    if slots != config.num_slots:
        raise ValueError(
            f"the opening books have {slots} slots; EnvConfig.num_slots is {config.num_slots}"
        )
    facts = jax.vmap(opening_facts, (0, 0, 0, None))
    market = facts(windows.opening, windows.time_s, windows.time_ns, config.num_steps)
    windows, market = _strongly_typed((windows, market))
    has_halts = bool(_any_halt(windows.packed))
    return ReplayBackground(windows=windows, market=market, has_halts=has_halts, step_ns=step_ns)


@jax.jit
def _any_halt(packed: Array) -> Array:
    return jnp.any(unpack_messages(packed).event_type == EventType.HALT)


def flow_background(
    model: FlowModel[Any, Any],
    params: Any,
    config: EnvConfig,
    key: Array,
    num_openings: int,
    step_ns: int | None = None,
) -> FlowBackground:
    """A background drawn from a flow model.

    Args:
        model: the model.
        params: its parameters.
        config: of the environment.
        key: draws the openings.
        num_openings: `P`, size of the pool.
        step_ns: clock time of a step, nanoseconds; None lets each step last until its last
            message.

    Raises:
        ValueError: if `num_openings < 1`.
    """
    if num_openings < 1:
        raise ValueError(f"num_openings is {num_openings}; it must be >= 1")

    def draw(keys: Array, params: Any) -> tuple[BookState, Any, MarketState]:
        open_one = jax.vmap(model.opening, (0, None, None))
        books, states = open_one(keys, params, config.book)
        facts = jax.vmap(opening_facts, (0, 0, 0, None))
        return books, states, facts(books, states.time_s, states.time_ns, config.num_steps)

    books, states, market = _strongly_typed(
        run_once(draw, jax.random.split(key, num_openings), params)
    )
    return FlowBackground(
        model=model,
        num_messages=config.messages_per_step,
        step_ns=step_ns,
        params=params,
        books=books,
        states=states,
        market=market,
    )
