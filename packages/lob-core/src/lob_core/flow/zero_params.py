"""Parameters and state of zero-intelligence order flow, and its default rates."""

from __future__ import annotations

from typing import Final

import numpy as np

from lob_core.flow.base import FlowState
from lob_core.types import Array, Replaceable, pytree_dataclass

DEFAULT_CANCEL_RATES: Final = (0.71, 0.81, 0.68, 0.56, 0.47, 0.10)
"""Cancels per second and order in `ZeroIntelligence.default_params`, by distance; the last also
farther away."""
DEFAULT_MARKET_RATE: Final = 0.94
"""Market orders per second and side in `ZeroIntelligence.default_params`."""


def default_limit_rates(num_levels: int) -> np.ndarray:
    """`[L]` limit orders per second and side in `ZeroIntelligence.default_params`, by distance."""
    rates: np.ndarray = 1.92 * np.arange(1, num_levels + 1) ** -0.52
    return rates


@pytree_dataclass
class ZeroIntelligenceParams(Replaceable):
    """Rates are per second and side; `L` is the model's `num_levels`.

    Attributes:
        limit_rate: `[L]` float32, limit orders at a distance of 1, 2, ... ticks from the best
            quote of the opposite side.
        cancel_rate: `[L]` float32, cancels per resting order by the same distance; orders farther
            away use the last.
        market_rate: `[]` float32, market orders.
        limit_size: `[S]` int32, shares; limit orders have one of these sizes, all as likely.
        market_size: `[S]` int32, shares; likewise of market orders.
        opening_price: `[]` int32, ticks, about where the first mid lies.
        opening_time_s: `[]` int32, seconds since midnight.
    """

    limit_rate: Array
    cancel_rate: Array
    market_rate: Array
    limit_size: Array
    market_size: Array
    opening_price: Array
    opening_time_s: Array


@pytree_dataclass
class ZeroIntelligenceState(FlowState):
    """Adds the best quotes last seen, to which a side that has run empty refers.

    Attributes:
        last_bid: `[]` int32, ticks.
        last_ask: `[]` int32, ticks.
    """

    last_bid: Array
    last_ask: Array
