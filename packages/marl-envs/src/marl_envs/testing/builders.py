"""States of agents and markets in a line, for worked examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from lob_core.types import FIRST_AGENT_ORDER_ID, BookConfig, BookState

from marl_envs.accounts import empty_accounts
from marl_envs.agents.base import StepResult
from marl_envs.netting import no_orders
from marl_envs.testing.scripted import ScriptedFlow
from marl_envs.types import AgentState, Closed, MarketState

Array = jax.Array


def make_book(
    bids: Sequence[tuple[int, int]] = (),
    asks: Sequence[tuple[int, int]] = (),
    num_slots: int = 16,
) -> BookState:
    """A book of background orders from (price, size) pairs, best first."""
    flow = ScriptedFlow(bids=tuple(bids), asks=tuple(asks))
    book, _ = flow.opening(jax.random.key(0), {}, BookConfig(num_slots=num_slots))
    return book


def make_market(best_bid: int = 99, best_ask: int = 101, **changes: Any) -> MarketState:
    """Public facts of a market that opened as it stands, 10 steps before its end.

    Args:
        best_bid: ticks.
        best_ask: ticks.
        **changes: other fields of `MarketState`.
    """
    values: dict[str, Any] = {
        "best_bid": best_bid,
        "best_ask": best_ask,
        "bid_size": 100,
        "ask_size": 100,
        "is_quoted": True,
        "mid_open_half_ticks": best_bid + best_ask,
        "spread_open": best_ask - best_bid,
        "step": 0,
        "steps_left": 10,
        "time_s": 34200,
        "time_ns": 0,
        "volume": 0,
        "signed_volume": 0.0,
        "average_volume": 0.0,
        "variance": 0.0,
        "is_halted": False,
        "fundamental": (best_bid + best_ask) / 2,
    }
    arrays: dict[str, Any] = {n: jnp.asarray(v) for n, v in {**values, **changes}.items()}
    return MarketState(**arrays)


def make_agent(
    best_bid: int = 99,
    best_ask: int = 101,
    num_orders: int = 1,
    account: dict[str, int] | None = None,
    **changes: Any,
) -> AgentState:
    """One agent without resting orders.

    Args:
        best_bid: best bid of everyone else, ticks.
        best_ask: best ask of everyone else, ticks.
        num_orders: `K` of its table of orders.
        account: fields of `Account` that are not zero.
        **changes: other fields of `AgentState`.
    """
    values: dict[str, Any] = {
        "agent_id": 1,
        "next_order_id": FIRST_AGENT_ORDER_ID,
        "best_bid": best_bid,
        "best_ask": best_ask,
        "bid_quote": 0,
        "ask_quote": 0,
        "bid_quote_size": 0,
        "ask_quote_size": 0,
        "bid_queue": 0,
        "ask_queue": 0,
        "task_side": 0,
        "task_size": 0,
        "is_active": True,
        "episode_return": 0.0,
        "is_bankrupt": False,
    }
    holdings = {name: jnp.asarray(v, jnp.int32) for name, v in (account or {}).items()}
    return AgentState(
        account=empty_accounts().replace(**holdings),
        orders=no_orders(num_orders),
        reward_state=(),
        closed=Closed(quantity=jnp.int32(0), cash=jnp.int32(0), cost=jnp.float32(0)),
        **{name: jnp.asarray(v) for name, v in {**values, **changes}.items()},
    )


def make_result(**changes: Any) -> StepResult:
    """A step in which nothing happened, but for `changes`; a flat market at mid 0, spread 2."""
    names = [field.name for field in dataclasses.fields(StepResult)]
    values: dict[str, Any] = dict.fromkeys(names, 0.0)
    values |= {"best_bid": -1.0, "best_ask": 1.0, "bid_before": -1.0, "ask_before": 1.0}
    values |= {"spread_open": 2.0, "is_last": False, "task_side": 0}
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise ValueError(f"StepResult has no {unknown}")
    return StepResult(**{name: jnp.asarray(v) for name, v in {**values, **changes}.items()})
