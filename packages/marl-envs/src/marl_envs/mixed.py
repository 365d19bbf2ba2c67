"""Recorded order flow and a flow model in one market, and the choice of a background."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.flow import FlowModel, ZeroIntelligence
from lob_core.packing import MAX_VALUES
from lob_core.replay import ReplayWindows
from lob_core.types import BookConfig, BookState, Message

from marl_envs.background import (
    FlowBackground,
    ReplayBackground,
    ReplayState,
    flow_background,
    only_until,
    replay_background,
)
from marl_envs.clock import Time, is_after
from marl_envs.config import EnvConfig
from marl_envs.sequencing import merge_by_time
from marl_envs.terms import NANOSECONDS
from marl_envs.types import MarketState, Replaceable

Array = jax.Array

DEFAULT_LOOK: Final = 20
"""Messages that the default flow model draws from one look at the book."""
_FIRST_FLOW_ID: Final = MAX_VALUES["order_id"] + 1
"""Past every id that a recorded message can carry."""


@struct.dataclass
class MixedState(Replaceable):
    """Where a mixed background stands.

    Attributes:
        replay: in the recorded flow.
        flow: state of the flow model.
    """

    replay: ReplayState
    flow: Any


@struct.dataclass
class MixedBackground(Replaceable):
    """Recorded messages with those of a flow model among them, by time.

    The flow model looks at the book when a step begins and sends what falls into the time of the
    step, out of `num_drawn` messages. It can cancel recorded orders, and its orders can trade with
    recorded ones; a recorded message whose order is gone is then counted as unknown by the engine.

    Attributes:
        recorded: the recorded flow.
        model: the flow model; static.
        num_drawn: messages drawn for a step; static.
        params: parameters of the model.
        states: its state at the start of each window, leaves `[W]`.
    """

    recorded: ReplayBackground
    model: FlowModel[Any, Any] = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    num_drawn: int = struct.field(pytree_node=False)  # type: ignore[no-untyped-call]
    params: Any
    states: Any

    @property
    def market(self) -> MarketState:
        """Public facts at the start of each window, leaves `[W]`."""
        return self.recorded.market

    @property
    def num_openings(self) -> int:
        """`W`, windows to choose from."""
        return self.recorded.num_openings

    @property
    def num_messages(self) -> int:
        """Message rows of a step."""
        return self.recorded.num_messages + self.num_drawn

    @property
    def num_looks(self) -> int:
        """1: the model looks once a step."""
        return 1

    @property
    def has_halts(self) -> bool:
        """Whether a trading halt is recorded."""
        return self.recorded.has_halts

    def opening(self, index: Array) -> tuple[BookState, MarketState, MixedState]:
        """Book, facts and state at the start of window `index`."""
        book, market, replay = self.recorded.opening(index)
        flow = jax.tree.map(lambda leaf: leaf[index], self.states)
        return book, market, MixedState(replay=replay, flow=flow)

    def messages(
        self,
        key: Array,
        book: BookState,
        state: MixedState,
        market: MarketState,
        *,
        is_first: bool,
        is_last: Array,
    ) -> tuple[Message, MixedState, Time]:
        """The messages of a step, recorded ones first where times are equal, and its end."""
        recorded, replay, end = self.recorded.messages(
            key, book, state.replay, market, is_first=is_first, is_last=is_last
        )
        flow = state.flow.replace(time_s=market.time_s, time_ns=market.time_ns)
        drawn, flow = self.model.sample(key, book, flow, self.params, self.num_drawn)
        merged = merge_by_time(recorded, only_until(drawn, end), None, end)
        return merged, MixedState(replay=replay, flow=flow), end

    def ran_short(self, state: MixedState, time: Time) -> Array:
        """Whether the flow's messages ended before the step did, `[]` int32."""
        return is_after(time, (state.flow.time_s, state.flow.time_ns)).astype(jnp.int32)


Background: TypeAlias = ReplayBackground | FlowBackground | MixedBackground
"""Order flow that belongs to no agent."""


def mixed_background(
    recorded: ReplayBackground,
    model: FlowModel[Any, Any],
    params: Any,
    config: EnvConfig,
    key: Array,
) -> MixedBackground:
    """Recorded flow with a flow model, whose state starts at the price of each window.

    Args:
        recorded: the recorded flow.
        model: the flow model; its parameters must have `opening_price`, in ticks.
        params: its parameters.
        config: of the environment; the model draws `messages_per_step` messages a step.
        key: draws the states.

    Raises:
        ValueError: if the parameters do not say where the model opens.
    """
    if not hasattr(params, "opening_price"):
        raise ValueError(
            f"{type(params).__name__} has no opening_price; a flow model that is added to recorded "
            "windows must be able to open at their price"
        )
    book_config: BookConfig = config.book

    def open_at(key: Array, mid_half_ticks: Array) -> Any:
        here = params.replace(opening_price=mid_half_ticks // 2)
        return model.opening(key, here, book_config)[1]

    keys = jax.random.split(key, recorded.num_openings)
    states = jax.jit(jax.vmap(open_at))(keys, recorded.market.mid_open_half_ticks)
    first_ids = jnp.full((recorded.num_openings,), _FIRST_FLOW_ID, jnp.int32)
    return MixedBackground(
        recorded=recorded,
        model=model,
        num_drawn=config.messages_per_step,
        params=params,
        states=states.replace(next_order_id=first_ids),
    )


def make_background(
    config: EnvConfig,
    background: ReplayWindows | FlowModel[Any, Any] | None,
    *,
    added_flow: FlowModel[Any, Any] | None,
    flow_params: Any,
    step_seconds: float | None,
    key: Array,
    num_openings: int,
) -> Background:
    """The background that `MarketEnv.make_params` describes.

    Raises:
        ValueError: if the arguments do not fit each other or the config.
    """
    step_ns = None if step_seconds is None else round(step_seconds * NANOSECONDS)
    if step_ns is not None and step_ns < 1:
        raise ValueError(f"step_seconds is {step_seconds}; it must be at least 1e-9")
    if isinstance(background, ReplayWindows):
        recorded = replay_background(background, config, step_ns)
        if added_flow is not None:
            params = added_flow.default_params() if flow_params is None else flow_params
            return mixed_background(recorded, added_flow, params, config, key)
        if flow_params is not None:
            raise ValueError("flow_params is given, but the background is a replay")
        return recorded
    if added_flow is not None:
        raise ValueError("added_flow is given, but the background is a flow model already")
    model = ZeroIntelligence(refresh_every=DEFAULT_LOOK) if background is None else background
    params = model.default_params() if flow_params is None else flow_params
    return flow_background(model, params, config, key, num_openings, step_ns)
