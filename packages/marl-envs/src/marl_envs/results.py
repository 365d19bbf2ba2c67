"""What a step and an episode came to, for rewards and for people."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from lob_core.types import Fills

from marl_envs.agents.base import StepResult
from marl_envs.agents.kinds import AgentType
from marl_envs.terms import FEE_UNITS
from marl_envs.types import AgentState, Closed, EnvState, MarketState

Array = jax.Array
Info = dict[str, Array]


def step_results(
    before: AgentState,
    after: AgentState,
    market_before: MarketState,
    market: MarketState,
    fills: Fills,
    totals: Fills,
    closing: Closed,
    mid_mean: Array,
    reference_price: Array,
    is_last: Array,
) -> StepResult:
    """What one step was to the agents of a type, leaves `[A]` or `[]`.

    Args:
        before: their state before the step, leaves led by `[A]`.
        after: their state after it, this step's closing entries among `closed`.
        market_before: public facts before the step.
        market: public facts after it.
        fills: what they traded in the step, leaves `[A]`.
        totals: what everyone traded, leaves `[]`.
        closing: closing entries of this step, leaves `[A]`.
        mid_mean: `[]` float32, mean mid of the step relative to the reference price.
        reference_price: `[]` int32, ticks.
        is_last: `[]` bool.
    """
    old, new = before.account, after.account
    quantity = closing.quantity
    bought, sold = new.bought - old.bought, new.sold - old.sold
    bought_value = fills.bought_notional - reference_price * bought
    sold_value = fills.sold_notional - reference_price * sold
    total_value = totals.bought_notional - reference_price * totals.bought
    closing_bought = jnp.maximum(quantity, 0)
    closing_sold = jnp.maximum(-quantity, 0)

    def real(value: Array) -> Array:
        return value.astype(jnp.float32)

    def relative(half_ticks: Array) -> Array:
        return real(half_ticks - 2 * reference_price) / 2

    return StepResult(
        bought=real(bought + closing_bought),
        sold=real(sold + closing_sold),
        bought_value=real(bought_value + jnp.where(quantity > 0, -closing.cash, 0)),
        sold_value=real(sold_value + jnp.where(quantity < 0, closing.cash, 0)),
        maker_size=real(new.maker_size - old.maker_size),
        fees=real(new.fees - old.fees) / FEE_UNITS,
        inventory_before=real(old.inventory + before.closed.quantity),
        inventory=real(new.inventory + after.closed.quantity),
        cash_before=old.net_cash + real(before.closed.cash),
        cash=new.net_cash + real(after.closed.cash),
        mid_before=relative(market_before.mid_half_ticks),
        mid=relative(market.mid_half_ticks),
        mid_mean=mid_mean,
        best_bid=real(market.best_bid - reference_price),
        best_ask=real(market.best_ask - reference_price),
        bid_before=real(market_before.best_bid - reference_price),
        ask_before=real(market_before.best_ask - reference_price),
        others_size=real(market.volume - bought - sold + fills.self_size),
        others_value=real(total_value - bought_value - sold_value),
        volume=real(market.volume),
        arrival_price=relative(market.mid_open_half_ticks),
        spread_open=real(market.spread_open),
        task_side=after.task_side,
        task_size=real(after.task_size),
        remaining=real(after.remaining - after.closed.quantity * after.task_side),
        is_last=is_last,
    )


def agent_info(result: StepResult, after: AgentState, fills: Fills) -> Info:
    """What a picture of the episode needs of each agent after a step, leaves `[A]`.

    `fills` are what they traded in the step, leaves `[A]`.
    `bought`, `sold` and the average prices (ticks, 0 if none) are real trades of this step;
    `fees` (`FEE_UNITS` to a tick times a share, since the open) are not part of `cash`; `worth` is
    cash less fees plus inventory at the mid, ticks times shares, without closing entries.
    """
    bought, sold = fills.bought, fills.sold
    account = after.account
    worth = account.net_cash + account.inventory * result.mid

    def average(notional: Array, size: Array) -> Array:
        return jnp.where(size > 0, notional / jnp.maximum(size, 1), 0.0)

    return {
        "inventory": account.inventory,
        "cash": account.cash,
        "fees": account.fees,
        "worth": worth,
        "bid_quote": after.bid_quote,
        "ask_quote": after.ask_quote,
        "bid_quote_size": after.bid_quote_size,
        "ask_quote_size": after.ask_quote_size,
        "bought": bought,
        "sold": sold,
        "buy_price": average(fills.bought_notional, bought),
        "sell_price": average(fills.sold_notional, sold),
        "maker_size": fills.maker_size,
        "remaining": jnp.where(after.task_side == 0, 0, after.remaining),
        "task_side": after.task_side,
        "is_bankrupt": after.is_bankrupt,
    }


def episode_result(
    agent_type: AgentType, after: AgentState, market: MarketState, reference_price: Array
) -> Info:
    """What the episode has come to, leaves `[A]`; final once the closing entries are in.

    All types: `pnl` (ticks times shares: worth less fees after the closing entries; for a task,
    measured from the arrival price, so minus the shortfall), `fees` (ticks times shares),
    `closing_cost` (what the closing entries cost against the mid), `inventory_end` (before them),
    `traded_volume`, `maker_volume` and `episode_return`, and what the behavior itself reports. With
    a task also `shortfall` (ticks times shares), `shortfall_ticks` (a share), `shortfall_bps` (of
    the arrival price), `filled`, `unexecuted` and `task_side`.

    Args:
        agent_type: the type.
        after: its agents' state, closing entries included.
        market: public facts.
        reference_price: `[]` int32, ticks.

    References:
        Perold (1988), The implementation shortfall: paper versus reality, Journal of Portfolio
        Management 14(3).
    """
    account, closed = after.account, after.closed
    half_ticks = market.mid_open_half_ticks if agent_type.has_task else market.mid_half_ticks
    mark = (half_ticks - 2 * reference_price) / 2
    pnl = account.net_cash + closed.cash + (account.inventory + closed.quantity) * mark
    result = {
        "pnl": pnl,
        "fees": account.fees / FEE_UNITS,
        "closing_cost": closed.cost,
        "inventory_end": account.inventory,
        "traded_volume": account.bought + account.sold,
        "maker_volume": account.maker_size,
        "episode_return": after.episode_return,
        **jax.vmap(agent_type.action.report, (0, None))(after, market),
    }
    if not agent_type.has_task:
        return result
    per_share = -pnl / jnp.maximum(after.task_size, 1)
    arrival_price = jnp.maximum(market.mid_open_half_ticks, 1) / 2
    return {
        **result,
        "shortfall": -pnl,
        "shortfall_ticks": per_share,
        "shortfall_bps": 1e4 * per_share / arrival_price,
        "filled": after.executed,
        "unexecuted": jnp.maximum(after.remaining, 0),
        "task_side": after.task_side,
    }


def market_info(market: MarketState) -> Info:
    """What a picture of the episode needs of the market, leaves `[]`."""
    return {
        "mid": market.mid_half_ticks / 2,
        "best_bid": market.best_bid,
        "best_ask": market.best_ask,
        "bid_size": market.bid_size,
        "ask_size": market.ask_size,
        "spread": market.best_ask - market.best_bid,
        "volume": market.volume,
        "is_quoted": market.is_quoted,
        "is_halted": market.is_halted,
        "fundamental": market.fundamental,
        "step": market.step,
        "time_s": market.time_s,
        "time_ns": market.time_ns,
    }


def counters_info(state: EnvState) -> Info:
    """What engine, agents or background could not do in this episode, leaves `[]` int32."""
    counters = state.book.counters
    return {
        "dropped_orders": counters.dropped_orders,
        "dropped_size": counters.dropped_size,
        "dropped_trades": counters.dropped_trades,
        "unknown_ids": counters.unknown_ids,
        "unknown_types": counters.unknown_types,
        "invalid": counters.invalid,
        **vars(state.counters),
    }
