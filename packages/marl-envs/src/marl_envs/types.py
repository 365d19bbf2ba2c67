"""Parameters and state of a market with agents: pytrees.

Axes: `A` agents of a type, `K` orders an agent can want at once, `N` book slots a side. Units:
prices in ticks, sizes in shares. Cash is counted from `EnvState.reference_price` (see `Account`),
which keeps int32 exact.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, TypeVar

import jax
import jax.numpy as jnp
from flax import struct
from lob_core.types import BookState, Message

from marl_envs.terms import FEE_UNITS

if TYPE_CHECKING:
    from marl_envs.background import BackgroundState
    from marl_envs.mixed import Background

Array = jax.Array

INT32_MAX: Final = 2**31 - 1
SLOTS_PER_ORDER: Final = 2
"""Resting orders kept for one wanted order: the older part, and the part that was added to it."""


_T = TypeVar("_T")


class Replaceable:
    """Gives a frozen dataclass the method `replace`, typed."""

    def replace(self: _T, **changes: Any) -> _T:
        """A copy with the named fields exchanged."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]


@struct.dataclass
class Wanted(Replaceable):
    """Orders an agent wants to have after this step; everything else it has is cancelled.

    Attributes:
        side: `[K]` int32, a `Side`.
        price: `[K]` int32, ticks.
        size: `[K]` int32, shares; zero marks an unused row.
        is_immediate: `[K]` bool, immediate-or-cancel rather than good till cancelled.
    """

    side: Array
    price: Array
    size: Array
    is_immediate: Array


@struct.dataclass
class OwnOrders(Replaceable):
    """Resting orders of an agent: for each wanted order an older and a younger part.

    Attributes:
        side: `[K]` int32, a `Side`.
        price: `[K]` int32, ticks.
        size: `[K, 2]` int32, shares still resting; zero marks a free slot.
        order_id: `[K, 2]` int32, older first.
    """

    side: Array
    price: Array
    size: Array
    order_id: Array


@struct.dataclass
class Account(Replaceable):
    """What an agent holds and has traded in this episode.

    Cash is counted from the reference price: a share bought at p costs `p - reference_price`.
    The cash a bank would show is `cash - reference_price * inventory`, and the worth of the
    account with shares at price r is `cash + inventory * (r - reference_price)`.

    Attributes:
        cash: int32, ticks times shares, relative to the reference price.
        inventory: int32, shares; positive is long.
        bought: int32, shares bought.
        sold: int32, shares sold.
        maker_size: int32, shares of those traded as maker.
        fees: int32, paid to the venue less rebates, in `FEE_UNITS` to a tick times a share; they
            are not part of `cash`.
    """

    cash: Array
    inventory: Array
    bought: Array
    sold: Array
    maker_size: Array
    fees: Array

    @property
    def net_cash(self) -> Array:
        """Cash less fees, float32, ticks times shares relative to the reference price."""
        return self.cash.astype(jnp.float32) - self.fees.astype(jnp.float32) / FEE_UNITS


@struct.dataclass
class Closed(Replaceable):
    """Closing entries of an agent so far: bookkeeping that touches neither book nor account.

    Attributes:
        quantity: int32, shares; positive was bought.
        cash: int32, what that brought, ticks times shares relative to the reference price.
        cost: float32, what it cost against the mid of its time, ticks times shares.
    """

    quantity: Array
    cash: Array
    cost: Array


@struct.dataclass
class MarketState(Replaceable):
    """What everyone can know about the market at the end of a step, leaves `[]`.

    Attributes:
        best_bid: int32, ticks; the last known one while the side is empty, 0 before the first.
        best_ask: int32, likewise.
        bid_size: int32, shares at the best bid now; 0 while the side is empty.
        ask_size: int32, likewise.
        is_quoted: bool, whether both best quotes have ever been known.
        mid_open_half_ticks: int32, best bid plus best ask when the episode began.
        spread_open: int32, ticks, when the episode began.
        step: int32, steps done.
        steps_left: int32, steps until the episode ends.
        time_s: int32, seconds since midnight.
        time_ns: int32, nanoseconds within the second.
        volume: int32, shares traded in the last step.
        signed_volume: float32, moving average of buyer-initiated minus seller-initiated shares.
        average_volume: float32, moving average of `volume`.
        variance: float32, moving average of squared mid changes, ticks^2 a step.
        is_halted: bool, whether trading is halted.
        fundamental: float32, ticks: the value that `EnvConfig.fundamental` describes; without it
            the mid at the open.
        recent: the last `[M]` messages that were played, oldest first, unused rows NOOP in front;
            None unless an observation asks for them.
    """

    best_bid: Array
    best_ask: Array
    bid_size: Array
    ask_size: Array
    is_quoted: Array
    mid_open_half_ticks: Array
    spread_open: Array
    step: Array
    steps_left: Array
    time_s: Array
    time_ns: Array
    volume: Array
    signed_volume: Array
    average_volume: Array
    variance: Array
    is_halted: Array
    fundamental: Array
    recent: Message | None = None

    @property
    def mid_half_ticks(self) -> Array:
        """Best bid plus best ask: twice the mid, an exact integer."""
        return self.best_bid + self.best_ask


@struct.dataclass
class AgentState(Replaceable):
    """State of one agent (leaves as stated), or of all of a type (led by `[A]`).

    Attributes:
        agent_id: `[]` int32, its number in the engine, from 1.
        account: cash and inventory.
        orders: its resting orders.
        next_order_id: `[]` int32, id of the next order it sends.
        best_bid: `[]` int32, ticks: best bid of everyone else, the last known one if none.
        best_ask: `[]` int32, likewise.
        bid_quote: `[]` int32, ticks: its own best resting bid; 0 if none.
        ask_quote: `[]` int32, likewise.
        bid_quote_size: `[]` int32, shares it has at `bid_quote`.
        ask_quote_size: `[]` int32, likewise.
        bid_queue: `[]` int32, shares of others that trade before `bid_quote` at its price.
        ask_queue: `[]` int32, likewise.
        task_side: `[]` int32, the `Side` of the order to execute; 0 without a task.
        task_size: `[]` int32, shares to execute; 0 without a task.
        is_active: `[]` bool, false once its task is done or it is bankrupt.
        episode_return: `[]` float32, sum of rewards so far.
        reward_state: what the reward remembers, a pytree.
        closed: its closing entries.
        is_bankrupt: `[]` bool, whether it has lost what `bankruptcy` allows.
        pending: messages on their way, a `latency.Timed`; `()` without latency.
        action_memory: what the action scheme remembers, a pytree.
    """

    agent_id: Array
    account: Account
    orders: OwnOrders
    next_order_id: Array
    best_bid: Array
    best_ask: Array
    bid_quote: Array
    ask_quote: Array
    bid_quote_size: Array
    ask_quote_size: Array
    bid_queue: Array
    ask_queue: Array
    task_side: Array
    task_size: Array
    is_active: Array
    episode_return: Array
    reward_state: Any
    closed: Closed
    is_bankrupt: Array
    pending: Any = ()
    action_memory: Any = ()

    @property
    def executed(self) -> Array:
        """Shares of the task done so far; 0 without a task."""
        done = self.account.bought * (self.task_side > 0) + self.account.sold * (self.task_side < 0)
        return done.astype(self.task_size.dtype)

    @property
    def remaining(self) -> Array:
        """Shares of the task still to do; negative if a race between agents overfilled it."""
        return self.task_size - self.executed


@struct.dataclass
class Calibration(Replaceable):
    """Constants of the background that closed-form strategies need.

    Attributes:
        volatility: `[]` float32, standard deviation of the mid change of one step, ticks.
        depth_decay: `[]` float32, per tick: trades of a step reach a distance d beyond the mid
            with probability about `exp(-depth_decay * d)`.
        arrival_rate: `[]` float32, a step: share of steps in which trades reach beyond the mid,
            averaged over the two sides.
    """

    volatility: Array
    depth_decay: Array
    arrival_rate: Array


@struct.dataclass
class EnvParams(Replaceable):
    """Data and numbers of a market; a pytree, so it can be vmapped.

    Attributes:
        background: order flow that belongs to no agent.
        calibration: constants of that flow; None when no agent asks for them.
        fundamental: parameters of `EnvConfig.fundamental`; None without it.
    """

    background: Background
    calibration: Calibration | None
    fundamental: Any = None


@struct.dataclass
class MarketCounters(Replaceable):
    """What agents or background could not do in this episode, leaves `[]` int32.

    Attributes:
        held_back: steps in which an agent sent nothing because too many of its messages were still
            on their way, summed over agents.
        feed_too_short: views that should have been older than the oldest one kept, summed over
            agents and steps.
        flow_too_short: steps of fixed length in which a flow model ran out of messages before the
            end of the step.
    """

    held_back: Array
    feed_too_short: Array
    flow_too_short: Array


@struct.dataclass
class EnvState(Replaceable):
    """State of one market.

    Attributes:
        book: the limit order book.
        background: where the background flow stands.
        market: public facts.
        reference_price: `[]` int32, ticks; cash is counted from it.
        rest: account of everyone who is not an agent.
        agents: state by agent type, leaves led by `[A]`.
        counters: what agents or background could not do.
        feed: recent views of the market, a `feed.Feed`; `()` unless an agent sees the market late.
    """

    book: BookState
    background: BackgroundState
    market: MarketState
    reference_price: Array
    rest: Account
    agents: dict[str, AgentState]
    counters: MarketCounters
    feed: Any = ()
