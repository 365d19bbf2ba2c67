"""Order flow that something happens to: thinner, wilder, halted, pushed, or with gaps.

A disturbance is numbers, not shapes: one compiled program plays a market under all of them, and
under none.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import (
    FIRST_AGENT_ORDER_ID,
    BookState,
    EventType,
    Message,
    Orders,
    Side,
    TimeInForce,
    make_messages,
)
from marl_envs.background import ReplayBackground, opening_facts
from marl_envs.clock import Time
from marl_envs.sequencing import append
from marl_envs.types import MarketState

Array: TypeAlias = jax.Array

NEVER: Final = -1
"""A step that does not come."""
PUSH_ORDER_ID: Final = FIRST_AGENT_ORDER_ID - 1
"""Id of the order that pushes: the last one of the background, which no flow reaches."""
_LOSS_KEY: Final = 0x6C6F7373
_SIDE_KEY: Final = 0x73696465
"""Folded into the key of a step, whose own draws stay as they are."""
_NUM_ROWS: Final = 2
"""Messages that a disturbance adds to a step."""
_PRICED: Final = (
    EventType.SUBMIT,
    EventType.CANCEL,
    EventType.DELETE,
    EventType.EXECUTE_VISIBLE,
    EventType.MODIFY,
)
_SIZED: Final = (EventType.SUBMIT, EventType.CANCEL, EventType.MODIFY)


@struct.dataclass
class Disturbance:
    """What happens to the order flow of an episode, leaves `[]`; by default nothing does.

    Attributes:
        size_scale: float32 > 0, by which sizes of resting orders are multiplied, those of the
            opening book too; market orders and recorded executions keep theirs.
        stretch: int32 >= 1, by which distances from the opening mid are multiplied: changes of
            the price and the spread grow alike. Recorded flow only.
        lost: float32, share of the background's messages that get lost.
        halt_from: int32, step in which trading is halted; `NEVER` for no halt.
        halt_until: int32, step in which it goes on.
        push_at: int32, step in which one order pushes the price, up or down by chance.
        push_spreads: float32, how far beyond the far touch it may trade, in spreads of the opening
            book; infinite for a market order.
        push_share: float32, share that it takes of all that rests that far.
        push_rest: float32, what it leaves in the book at its limit, as a share of the same.
    """

    size_scale: Any = 1.0
    stretch: Any = 1
    lost: Any = 0.0
    halt_from: Any = NEVER
    halt_until: Any = NEVER
    push_at: Any = NEVER
    push_spreads: Any = jnp.inf
    push_share: Any = 0.0
    push_rest: Any = 0.0


@struct.dataclass
class DisturbedBackground:
    """A background of a market under a disturbance.

    The flow's own draws are those of the undisturbed market. A flow model sees the disturbed book
    and answers to it; recorded flow does not.

    Attributes:
        inner: the background, see `marl_envs.mixed.Background`.
        disturbance: what happens.
    """

    inner: Any
    disturbance: Disturbance

    @property
    def num_openings(self) -> int:
        """Openings to choose from."""
        return int(self.inner.num_openings)

    @property
    def num_messages(self) -> int:
        """Message rows of a step."""
        return int(self.inner.num_messages) + _NUM_ROWS

    @property
    def num_looks(self) -> int:
        """Times that the flow looks at the book in a step."""
        return int(self.inner.num_looks)

    @property
    def has_halts(self) -> bool:
        """True: halts are played even if none is planned."""
        return True

    def opening(self, index: Array) -> tuple[BookState, MarketState, Any]:
        """Book, facts and state of the flow of opening `index`."""
        book, market, state = self.inner.opening(index)
        anchor = market.mid_open_half_ticks // 2

        def change(side: Orders) -> Orders:
            price = self._stretched(side.price, side.size > 0, anchor)
            return side.replace(price=price, size=self._scaled(side.size))

        book = book.replace(bids=change(book.bids), asks=change(book.asks))
        facts = opening_facts(book, market.time_s, market.time_ns, market.steps_left)
        return book, facts.replace(recent=market.recent), state

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
        """Messages of one look, what the disturbance adds first, and the time after them."""
        flow, after, time = self.inner.messages(
            key, book, state, market, is_first=is_first, is_last=is_last
        )
        kind = flow.event_type
        chance = jax.random.uniform(jax.random.fold_in(key, _LOSS_KEY), kind.shape)
        is_lost = (chance < self.disturbance.lost) & (kind != EventType.HALT)
        flow = flow.replace(
            event_type=jnp.where(is_lost, EventType.NOOP, kind).astype(jnp.int32),
            price=self._stretched(flow.price, _is_any(kind, _PRICED), self._anchor(state)),
            size=jnp.where(_is_any(kind, _SIZED), self._scaled(flow.size), flow.size),
        )
        if is_first:
            flow = append(self._added(key, book, market), flow)
        return flow, after, time

    def ran_short(self, state: Any, time: Time) -> Array:
        """Whether the flow's messages ended before the step did, `[]` int32."""
        short: Array = self.inner.ran_short(state, time)
        return short

    def _anchor(self, state: Any) -> Array:
        """Opening mid of recorded flow, ticks, from which prices are stretched."""
        if not isinstance(self.inner, ReplayBackground):
            return jnp.zeros((), jnp.int32)
        return self.inner.market.mid_open_half_ticks[state.window] // 2

    def _stretched(self, price: Array, where: Array, anchor: Array) -> Array:
        if not isinstance(self.inner, ReplayBackground):
            return price
        moved = anchor + self.disturbance.stretch * (price - anchor)
        return jnp.where(where & (price > 0), jnp.maximum(moved, 1), price).astype(jnp.int32)

    def _scaled(self, size: Array) -> Array:
        scaled = jnp.round(size * self.disturbance.size_scale).astype(jnp.int32)
        return jnp.where(size > 0, jnp.maximum(scaled, 1), size)

    def _added(self, key: Array, book: BookState, market: MarketState) -> Message:
        """A halt or its end, and the order that pushes; NOOP in other steps. Leaves `[2]`."""
        plan = self.disturbance
        is_buy = jax.random.bernoulli(jax.random.fold_in(key, _SIDE_KEY))
        reach = jnp.minimum(plan.push_spreads * market.spread_open, 2.0**30).astype(jnp.int32)
        up = book.asks.price[0] + jnp.minimum(reach, 2**30 - book.asks.price[0])
        down = jnp.maximum(book.bids.price[0] - reach, 1)
        within = jnp.where(
            is_buy,
            jnp.sum(jnp.where(book.asks.price <= up, book.asks.size, 0)),
            jnp.sum(jnp.where(book.bids.price >= down, book.bids.size, 0)),
        )
        size = jnp.round((plan.push_share + plan.push_rest) * within).astype(jnp.int32)
        pushes = (market.step == plan.push_at) & (size > 0)
        starts, ends = market.step == plan.halt_from, market.step == plan.halt_until
        rests = jnp.asarray(plan.push_rest) > 0
        return make_messages(
            event_type=jnp.stack(
                [
                    jnp.where(starts | ends, EventType.HALT, EventType.NOOP),
                    jnp.where(pushes, EventType.SUBMIT, EventType.NOOP),
                ]
            ),
            side=jnp.where(is_buy, Side.BID, Side.ASK),
            price=jnp.where(is_buy, up, down),
            size=jnp.stack([starts.astype(jnp.int32), size]),
            order_id=PUSH_ORDER_ID,
            time_in_force=jnp.where(rests, TimeInForce.GTC, TimeInForce.IOC),
            time_s=market.time_s,
            time_ns=market.time_ns,
        )


def _is_any(kind: Array, kinds: tuple[EventType, ...]) -> Array:
    return jnp.any(jnp.stack([kind == one for one in kinds]), axis=0)
