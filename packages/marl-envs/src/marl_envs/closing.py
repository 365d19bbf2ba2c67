"""What positions and unfinished tasks are worth when the episode ends.

Closing entries are bookkeeping: they touch neither the book nor the accounts, and the episode
result reports them apart from real trades. All sums are relative to the reference price.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import BookState, Orders

from marl_envs.types import INT32_MAX, AgentState, MarketState

Array = jax.Array

CLOSING_PRICES: Final = ("mid", "near_touch", "far_touch", "book_walk", "none")
"""Where a remainder is closed: the mid rounded against the closer, the best quote of its own
side, the best quote of the other side, or level by level through the other side of the book; with
"none" it is left open and the end of the episode is a truncation."""


def close(
    quantity: Array,
    price_rule: str,
    penalty: int,
    agent: AgentState,
    market: MarketState,
    book: BookState,
    reference_price: Array,
) -> Array:
    """Cash that one agent receives for trading a quantity by bookkeeping.

    Args:
        quantity: `[]` int32, shares to trade; positive buys.
        price_rule: one of `CLOSING_PRICES`.
        penalty: ticks by which every price is worsened.
        agent: whose own resting orders do not count, neither as touch nor as depth.
        market: public facts after the last step.
        book: the book after the last step.
        reference_price: `[]` int32, ticks.

    Returns:
        `[]` int32, ticks times shares relative to the reference price; negative when it pays.
        Selling prices are at least one tick. With `"book_walk"` what the book does not hold is
        priced at the last price it shows, or at the last known quote when the side is empty.
    """
    is_buy = quantity > 0
    shares = jnp.abs(quantity)
    if price_rule == "book_walk":
        side = jax.tree.map(lambda a, b: jnp.where(is_buy, a, b), book.asks, book.bids)
        last_known = jnp.where(is_buy, market.best_ask, market.best_bid)
        return _walk(shares, is_buy, penalty, side, last_known, agent.agent_id, reference_price)
    if price_rule == "mid":
        mid_down = market.mid_half_ticks // 2
        price = jnp.where(is_buy, market.mid_half_ticks - mid_down, mid_down)
    else:
        wants_ask = is_buy if price_rule == "far_touch" else ~is_buy
        price = jnp.where(wants_ask, agent.best_ask, agent.best_bid)
    price = jnp.where(is_buy, price + penalty, jnp.maximum(price - penalty, 1))
    return -quantity * (price - reference_price)


def _walk(
    shares: Array,
    is_buy: Array,
    penalty: int,
    side: Orders,
    last_known: Array,
    agent_id: Array,
    reference_price: Array,
) -> Array:
    available = jnp.where(side.agent_id == agent_id, 0, side.size)
    before = jnp.cumsum(available) - available
    taken = jnp.clip(shares - before, 0, available)
    is_shown = available > 0
    worst_ask = jnp.max(jnp.where(is_shown, side.price, 0))
    worst_bid = jnp.min(jnp.where(is_shown, side.price, INT32_MAX))
    worst = jnp.where(is_buy, worst_ask, worst_bid)
    worst = jnp.where(jnp.any(is_shown), worst, last_known)

    def relative(price: Array) -> Array:
        worse = jnp.where(is_buy, price + penalty, jnp.maximum(price - penalty, 1))
        return worse - reference_price

    unshown = shares - jnp.sum(taken)
    notional = jnp.sum(taken * relative(side.price)) + unshown * relative(worst)
    return jnp.where(is_buy, -notional, notional)


def _check(price: str, penalty: int, name: str, penalty_name: str) -> None:
    if price not in CLOSING_PRICES:
        raise ValueError(f"{name} is {price!r}; it must be one of {CLOSING_PRICES}")
    if penalty < 0:
        raise ValueError(f"{penalty_name} is {penalty}; it must be >= 0")


@dataclasses.dataclass(frozen=True)
class PositionClosing:
    """Brings the inventory to zero when the episode ends.

    Attributes:
        closing_price: one of `CLOSING_PRICES`; the default pays the spread, as a trader must.
        closing_penalty: ticks by which the price is worsened.

    Raises:
        ValueError: if a field is out of range.
    """

    closing_price: str = "far_touch"
    closing_penalty: int = 0

    def __post_init__(self) -> None:
        _check(self.closing_price, self.closing_penalty, "closing_price", "closing_penalty")

    @property
    def is_terminal(self) -> bool:
        """Whether the end of the episode is real rather than a truncation."""
        return self.closing_price != "none"

    def quantity(self, agent: AgentState) -> Array:
        """Shares to trade by bookkeeping, int32; positive buys."""
        return -agent.account.inventory * self.is_terminal

    def cash(
        self, agent: AgentState, market: MarketState, book: BookState, reference_price: Array
    ) -> Array:
        """`[]` int32, what that trade brings; see `close`."""
        quantity = self.quantity(agent)
        return close(
            quantity,
            self.closing_price,
            self.closing_penalty,
            agent,
            market,
            book,
            reference_price,
        )


@dataclasses.dataclass(frozen=True)
class TaskClosing:
    """Executes what is left of a task when the episode ends, or undoes what was overfilled.

    Attributes:
        reference_price: one of `CLOSING_PRICES`; by default the book's own depth prices it.
        doom_price_penalty: ticks by which every price is worsened.

    Raises:
        ValueError: if a field is out of range.
    """

    reference_price: str = "book_walk"
    doom_price_penalty: int = 5

    def __post_init__(self) -> None:
        _check(
            self.reference_price, self.doom_price_penalty, "reference_price", "doom_price_penalty"
        )

    @property
    def is_terminal(self) -> bool:
        """Whether the end of the episode is real rather than a truncation."""
        return self.reference_price != "none"

    def quantity(self, agent: AgentState) -> Array:
        """Shares to trade by bookkeeping, int32; positive buys."""
        return agent.remaining * agent.task_side * self.is_terminal

    def cash(
        self, agent: AgentState, market: MarketState, book: BookState, reference_price: Array
    ) -> Array:
        """`[]` int32, what that trade brings; see `close`."""
        quantity = self.quantity(agent)
        return close(
            quantity,
            self.reference_price,
            self.doom_price_penalty,
            agent,
            market,
            book,
            reference_price,
        )
