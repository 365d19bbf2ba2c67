"""Fits `lob_core.flow.ZeroIntelligence`: events divided by exposure."""

from __future__ import annotations

from typing import Final

import jax.numpy as jnp
import numpy as np
from lob_core.flow import ZeroIntelligence, ZeroIntelligenceParams

from lob_data.calibration.exposure_kernel import LIMIT, MARKET, Exposure, Rates, walk
from lob_data.calibration.figures import Float, divide, exponential_ks, size_table
from lob_data.calibration.flow_data import FlowData
from lob_data.calibration.result import Calibration
from lob_data.errors import StoreError

MAX_LEVELS: Final = 512
"""Largest number of distances that is fitted."""
_COVERED: Final = 0.95


def fit_zero_intelligence(data: FlowData, num_levels: int | None) -> Calibration:
    """Maximum likelihood for `ZeroIntelligence`.

    Limit orders count by their distance to the opposite best quote, and a distance is exposed only
    while it is in view of the file; deletions count per resting order in view and second. Sizes
    are those of the data.

    Args:
        data: the order flow.
        num_levels: `L` of the model; None takes the distance within which 95 % of the recorded
            limit orders lie, at most `MAX_LEVELS`.

    Returns:
        The fit. Standard errors (of `limit_rate`, `cancel_rate`, `market_rate`) are rate divided
        by the square root of the number of events. Further figure: `covered`, share of limit
        orders within `L` ticks.

    Raises:
        StoreError: if no event lies where the model has it.

    References:
        Cont, Stoikov, Talreja (2010), A stochastic model for order book dynamics, Operations
        Research 58(3), section 2.2 (the estimators, here with exposure by view). Brown, Barbieri,
        Ventura, Kass, Frank (2002), The time-rescaling theorem, Neural Computation 14(2), for the
        residuals.
    """
    widest = _walk_all(data, MAX_LEVELS, None)[0]
    total = widest.limit_count.sum()
    if num_levels is None:
        reach = np.cumsum(widest.limit_count[:-1]) >= _COVERED * total
        num_levels = int(reach.argmax()) + 1 if reach.any() else MAX_LEVELS
    counted, _ = _walk_all(data, num_levels, None)
    limit_count, cancel_count = counted.limit_count[:-1], counted.cancel_count
    num_market = float(counted.totals[0])
    if not (limit_count.sum() and cancel_count.sum() and num_market):
        raise StoreError("the data hold too little order flow to fit a model to")
    overall_cancel = cancel_count.sum() / counted.order_seconds.sum()
    limit_rate = divide(limit_count, counted.limit_seconds, 0.0)
    cancel_rate = divide(cancel_count, counted.order_seconds, overall_cancel)
    market_rate = num_market / (2 * counted.totals[1])
    rates = Rates(limit_rate, cancel_rate, np.array([market_rate]))
    _, residuals = _walk_all(data, num_levels, rates)

    params = ZeroIntelligenceParams(
        limit_rate=jnp.asarray(limit_rate, jnp.float32),
        cancel_rate=jnp.asarray(cancel_rate, jnp.float32),
        market_rate=jnp.float32(market_rate),
        limit_size=size_table(data.sizes(LIMIT)),
        market_size=size_table(data.sizes(MARKET)),
        opening_price=jnp.int32(data.first_price),
        opening_time_s=jnp.int32(data.first_time_s),
    )
    errors = {
        "limit_rate": (limit_rate / np.sqrt(np.maximum(limit_count, 1))).tolist(),
        "cancel_rate": (cancel_rate / np.sqrt(np.maximum(cancel_count, 1))).tolist(),
        "market_rate": market_rate / np.sqrt(num_market),
    }
    fit = {
        "events": float(len(residuals)),
        "covered": float(limit_count.sum() / total),
        "residual_mean": float(residuals.mean()),
        "residual_ks": exponential_ks(residuals),
    }
    return Calibration(ZeroIntelligence(num_levels=num_levels), params, errors, fit)


def _walk_all(data: FlowData, num_levels: int, rates: Rates | None) -> tuple[Exposure, Float]:
    """Walks all parts; returns what was counted and, given rates, the residuals."""
    exposure = Exposure(
        limit_count=np.zeros(num_levels + 1),
        limit_seconds=np.zeros(num_levels),
        cancel_count=np.zeros(num_levels),
        order_seconds=np.zeros(num_levels),
        totals=np.zeros(2),
    )
    if rates is None:
        rates = Rates(np.zeros(num_levels), np.zeros(num_levels), np.zeros(1))
    residuals = []
    for part in data.parts:
        first, end = part.rows
        buffer = np.zeros(end - first)
        columns = (part.ts_ns, part.kind, part.side, part.price, part.num_levels_seen)
        opening = part.opening()
        count = walk(opening, part.messages, first, end, *columns, rates, exposure, buffer)
        residuals.append(buffer[:count])
    return exposure, np.concatenate(residuals)
