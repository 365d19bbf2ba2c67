"""Order flow that belongs to no agent: a replayed window, or a flow model that reacts to the book.

Both hold a pool of openings, made once: a reset only gathers a row of it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.flow import FlowModel
from lob_core.replay import ReplayWindows, step_messages
from lob_core.types import BookState, Message

from marl_envs.types import EnvConfig, MarketState, Replaceable

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
    """

    windows: ReplayWindows
    market: MarketState

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
    ) -> tuple[Message, ReplayState, tuple[Array, Array]]:
        """The messages of the step after `market.step`, and the time after them."""
        messages = step_messages(self.windows, state.window, market.step)
        bounds = jax.lax.dynamic_slice(
            self.windows.step_start, (state.window, market.step), (1, 2)
        )[0]
        last = bounds[1] - bounds[0] - 1
        is_empty = last < 0
        time_s = jnp.where(is_empty, market.time_s, messages.time_s[last])
        time_ns = jnp.where(is_empty, market.time_ns, messages.time_ns[last])
        return messages, state, (time_s, time_ns)


@struct.dataclass
class FlowBackground(Replaceable):
    """A flow model that answers to the book as it is.

    The model looks at the book again after every `model.refresh_every` messages; what is left
    over after whole looks belongs to the first one.

    Attributes:
        model: the model; static.
        num_messages: messages of a step; static.
        params: its parameters.
        books: opening books, leaves `[P, ...]`.
        states: states of the flow that go with them, leaves `[P, ...]`.
        market: public facts of each opening, leaves `[P]`.
    """

    model: FlowModel[Any, Any] = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    num_messages: int = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    params: Any
    books: BookState
    states: Any
    market: MarketState

    @property
    def num_openings(self) -> int:
        """`P`, openings to choose from."""
        return int(self.market.step.shape[-1])

    @property
    def num_looks(self) -> int:
        """Times that the model looks at the book in a step."""
        return -(-self.num_messages // self.model.refresh_every)

    def opening(self, index: Array) -> tuple[BookState, MarketState, Any]:
        """Book, facts and state of the flow of opening `index`."""
        book, market, state = _row((self.books, self.market, self.states), index)
        return book, market, state

    def messages(
        self, key: Array, book: BookState, state: Any, market: MarketState, *, is_first: bool
    ) -> tuple[Message, Any, tuple[Array, Array]]:
        """Messages of one look, drawn given the book as it is, and the time after them."""
        size = self.model.refresh_every
        if is_first:
            size = self.num_messages - (self.num_looks - 1) * size
        messages, state = self.model.sample(key, book, state, self.params, size)
        return messages, state, (state.time_s, state.time_ns)


Background: TypeAlias = ReplayBackground | FlowBackground


def _row(tree: Any, index: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


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
    )


def replay_background(windows: ReplayWindows, config: EnvConfig) -> ReplayBackground:
    """A background that replays recorded windows.

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
    return ReplayBackground(windows=windows, market=market)


def flow_background(
    model: FlowModel[Any, Any], params: Any, config: EnvConfig, key: Array, num_openings: int
) -> FlowBackground:
    """A background drawn from a flow model.

    Args:
        model: the model.
        params: its parameters.
        config: of the environment.
        key: draws the openings.
        num_openings: `P`, size of the pool.

    Raises:
        ValueError: if `num_openings < 1`.
    """
    if num_openings < 1:
        raise ValueError(f"num_openings is {num_openings}; it must be >= 1")

    @jax.jit
    def draw(keys: Array) -> tuple[BookState, Any, MarketState]:
        open_one = jax.vmap(model.opening, (0, None, None))
        books, states = open_one(keys, params, config.book)
        facts = jax.vmap(opening_facts, (0, 0, 0, None))
        return books, states, facts(books, states.time_s, states.time_ns, config.num_steps)

    books, states, market = _strongly_typed(draw(jax.random.split(key, num_openings)))
    return FlowBackground(
        model=model,
        num_messages=config.messages_per_step,
        params=params,
        books=books,
        states=states,
        market=market,
    )
