"""Constants of a background, measured by letting it run without agents."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from lob_core.types import BookConfig, BookState, Trades

from marl_envs.config import EnvConfig
from marl_envs.mixed import Background
from marl_envs.playing import play
from marl_envs.types import Calibration, MarketState

Array = jax.Array

_NUM_RUNS = 16
_NUM_STEPS = 64
_LEAST = 1e-3
"""Floor of all constants, so that no formula divides by zero."""


def calibrate(background: Background, config: EnvConfig, key: Array) -> Calibration:
    """Volatility, reach and rate of trades, from up to 16 runs of up to 64 steps.

    The volatility is the root mean square change of the mid from step to step. The depth decay is
    the maximum-likelihood rate of an exponential law for the largest distance beyond the mid that
    trades of a step reach, over steps and sides with a trade; 1 if nothing traded. The arrival
    rate is the share of steps and sides with such a trade.

    Args:
        background: the flow.
        config: of the environment.
        key: chooses the openings and drives the flow.
    """
    num_runs = min(_NUM_RUNS, background.num_openings)
    num_steps = min(_NUM_STEPS, config.num_steps)
    book_config = BookConfig(num_slots=config.num_slots, max_trades=background.num_messages)

    def run(key: Array, index: Array) -> tuple[Array, Array, Array]:
        book, market, state = background.opening(index)

        def step(
            carry: tuple[BookState, MarketState, Any], key: Array
        ) -> tuple[tuple[BookState, MarketState, Any], tuple[Array, Array, Array]]:
            book, market, state = carry
            played = play(background, state, key, book, market, book_config, backend=config.backend)
            book = played.book
            mid_before = market.mid_half_ticks
            bid, ask = book.bids.price[0], book.asks.price[0]
            market = market.replace(
                best_bid=jnp.where(bid > 0, bid, market.best_bid),
                best_ask=jnp.where(ask > 0, ask, market.best_ask),
                step=market.step + 1,
            )
            change = (market.mid_half_ticks - mid_before) / 2
            reach = _reach(played.outcome.trades, mid_before)
            return (book, market, played.background), (change, *reach)

        _, result = jax.lax.scan(step, (book, market, state), jax.random.split(key, num_steps))
        return result

    key_index, key_run = jax.random.split(key)
    indices = jax.random.permutation(key_index, background.num_openings)[:num_runs]
    changes, reach, count = jax.jit(jax.vmap(run))(jax.random.split(key_run, num_runs), indices)
    mean_reach = jnp.sum(reach) / jnp.maximum(jnp.sum(count), 1)
    decay = jnp.where(jnp.sum(count) > 0, 1 / jnp.maximum(mean_reach, _LEAST), 1.0)
    return Calibration(
        volatility=jnp.maximum(jnp.sqrt(jnp.mean(changes**2)), _LEAST).astype(jnp.float32),
        depth_decay=jnp.maximum(decay, _LEAST).astype(jnp.float32),
        arrival_rate=jnp.maximum(jnp.mean(count) / 2, _LEAST).astype(jnp.float32),
    )


def _reach(trades: Trades, mid_half_ticks: Array) -> tuple[Array, Array]:
    """Farthest trade beyond the mid in ticks, summed over the sides that traded, and their number.

    A trade counts for the side on which it lies, seen from the mid at the start of the step.
    """
    distance = (2 * trades.price - mid_half_ticks) / 2
    is_trade = trades.size > 0
    above = jnp.max(jnp.where(is_trade, distance, 0.0))
    below = jnp.max(jnp.where(is_trade, -distance, 0.0))
    return above + below, (above > 0).astype(jnp.int32) + (below > 0)
