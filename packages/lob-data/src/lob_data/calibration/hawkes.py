"""Fits `lob_core.flow.Hawkes` by maximum likelihood."""

from __future__ import annotations

from typing import Final, NamedTuple

import jax.numpy as jnp
import numpy as np
from lob_core.flow import Hawkes, HawkesParams
from lob_core.flow.hawkes import NUM_KINDS, check_stationary

from lob_data.calibration.exposure_kernel import LIMIT, MARKET
from lob_data.calibration.figures import Float, exponential_ks
from lob_data.calibration.flow_data import FlowData, FlowPart, Int64
from lob_data.calibration.hawkes_kernel import add_information, log_likelihood, rescaled_waits
from lob_data.calibration.result import Calibration
from lob_data.calibration.zero_intelligence import fit_zero_intelligence
from lob_data.errors import StoreError

KINDS: Final = ("limit_buy", "limit_sell", "market_buy", "market_sell")
"""Kinds of events, in the order of `HawkesParams`."""
_START_DECAYS: Final = (0.3, 3.0, 30.0, 300.0, 3000.0)
_LOG_DECAY_BOUNDS: Final = (np.log(1e-3), np.log(1e6))
_SCREENING: Final = 30
"""Iterations after which all but the two best starts are given up."""
_MOST_BRANCHING: Final = 20.0
_NUM_RATES: Final = 2  # of limit and of market orders, each the same for buys and sells
_NUM_PARAMS: Final = _NUM_RATES + NUM_KINDS**2 + NUM_KINDS
_RATE_RANGE: Final = 20.0
"""Constant rates are searched within a factor `exp(20)` of where the search starts: one of its
steps can go far beyond, and an intensity of zero has no logarithm."""
_NS: Final = 1e-9


class Events(NamedTuple):
    """Events of one segment: seconds since its first row `[n]`, kinds `[n]`, seconds observed."""

    times: Float
    kinds: Int64
    end: float


class Intensity(NamedTuple):
    """Parameters as the kernels take them: `[K]`, `[K, K]`, `[K]`."""

    rate: Float
    excitation: Float
    decay: Float


def fit_hawkes(data: FlowData, num_levels: int | None) -> Calibration:
    """Maximum likelihood for `Hawkes`: rates, excitation and decays.

    Events are the limit orders that the file shows within `num_levels` ticks of the opposite best
    quote, and market orders. Prices keep the recorded shares of each distance; cancels and sizes
    are those of `fit_zero_intelligence`. Each segment starts without memory, and events of one
    moment do not excite each other. For given decays the likelihood has a single maximum; the
    search (L-BFGS-B) over decays starts from several, pursues the two best and keeps the better.

    Args:
        data: the order flow.
        num_levels: `L` of the model; None as in `fit_zero_intelligence`.

    Returns:
        The fit. Standard errors are of `rate` (limit, market), `excitation` and `decay`, from
        Fisher's information; null where the data say nothing. Further figures: `residual_ks_KIND`
        for each kind; `residual_ks_poisson`, the same distance for constant rates; `aic` and
        `aic_poisson`; `spectral_radius` of the branching matrix; the cancel and size figures of
        the zero-intelligence fit.

    Raises:
        StoreError: if there are too few events, or the fitted process is not stationary.
    """
    simple = fit_zero_intelligence(data, num_levels)
    distances = [part.opposite_distance() for part in data.parts]
    reach = simple.model.num_levels
    parts = [events_of(p, d, reach) for p, d in zip(data.parts, distances, strict=True)]
    kinds = np.concatenate([part.kinds for part in parts])
    counts = np.bincount(kinds, minlength=NUM_KINDS).astype(np.float64)
    if counts.min() < NUM_KINDS:
        raise StoreError(f"the data hold {counts.min():.0f} {KINDS[counts.argmin()]} events")
    best, value = maximize_likelihood(parts, counts)
    seconds = sum(part.end for part in parts)
    flat = Intensity(_poisson_rates(counts, seconds), np.zeros((NUM_KINDS,) * 2), best.decay)

    params = _params_of(best, simple.params, _shares(data.parts, distances, reach))
    try:
        check_stationary(params)
    except ValueError as error:
        raise StoreError(f"the fitted Hawkes process is not stationary: {error}") from error
    residuals = _residuals(parts, best)
    poisson_value = float((counts * np.log(flat.rate)).sum() - flat.rate.sum() * seconds)
    branching = best.excitation / best.decay
    fit = {
        **{name: v for name, v in simple.fit.items() if not name.startswith("residual")},
        "events": float(len(residuals)),
        "residual_mean": float(residuals.mean()),
        "residual_ks": exponential_ks(residuals),
        **{f"residual_ks_{k}": exponential_ks(residuals[kinds == i]) for i, k in enumerate(KINDS)},
        "residual_ks_poisson": exponential_ks(_residuals(parts, flat)),
        "log_likelihood": value,
        "aic": 2 * _NUM_PARAMS - 2 * value,
        "aic_poisson": 2 * _NUM_RATES - 2 * poisson_value,
        "spectral_radius": float(np.abs(np.linalg.eigvals(branching)).max()),
    }
    errors = {**standard_errors(parts, best), "cancel_rate": simple.standard_errors["cancel_rate"]}
    return Calibration(Hawkes(num_levels=reach), params, errors, fit)


def events_of(part: FlowPart, distance: np.ndarray, num_levels: int) -> Events:
    """The segment's events of the four kinds."""
    first, end = part.rows
    kind, side = part.kind[first:end], part.side[first:end]
    distance = distance[first:end]
    is_limit = (kind == LIMIT) & (distance >= 1) & (distance <= num_levels)
    is_market = kind == MARKET
    number = np.where(is_limit, np.where(side > 0, 0, 1), np.where(side > 0, 3, 2))
    chosen = np.flatnonzero(is_limit | is_market)
    ts_ns = part.ts_ns[first:end]
    seconds = (ts_ns - ts_ns[0]) * _NS
    return Events(seconds[chosen], number[chosen].astype(np.int64), float(seconds[-1]))


def _shares(parts: list[FlowPart], distances: list[np.ndarray], num_levels: int) -> Float:
    """`[L]`, share of the limit orders at each distance."""
    counts = np.zeros(num_levels)
    for part, distance in zip(parts, distances, strict=True):
        rows = slice(*part.rows)
        inside = distance[rows][(part.kind[rows] == LIMIT) & (distance[rows] >= 1)]
        counts += np.bincount(inside[inside <= num_levels] - 1, minlength=num_levels)
    shares: Float = counts / counts.sum()
    return shares


def _poisson_rates(counts: Float, seconds: float) -> Float:
    """`[K]` constant rates, those of buys and sells alike."""
    return np.repeat(counts.reshape(_NUM_RATES, 2).mean(1), 2) / seconds


def _unpack(x: Float) -> Intensity:
    """Parameters from the search's: log rates, branching matrix by rows, log decays."""
    decay = np.exp(x[-NUM_KINDS:])
    branching = x[_NUM_RATES:-NUM_KINDS].reshape(NUM_KINDS, NUM_KINDS)
    return Intensity(np.repeat(np.exp(x[:_NUM_RATES]), 2), branching * decay, decay)


def _loss(x: Float, parts: list[Events], scale: float) -> tuple[float, Float]:
    """Minus the log-likelihood, by `scale`, and its derivative by the search's parameters."""
    at = _unpack(x)
    gradient = np.zeros(NUM_KINDS * (NUM_KINDS + 2))
    value = sum(log_likelihood(*part, *at, gradient) for part in parts)
    by_rate = gradient[:NUM_KINDS] * at.rate
    by_excitation = gradient[NUM_KINDS:-NUM_KINDS].reshape(NUM_KINDS, NUM_KINDS)
    by_decay = gradient[-NUM_KINDS:] * at.decay + (by_excitation * at.excitation).sum(0)
    by_branching = by_excitation * at.decay
    by_x = np.concatenate([by_rate.reshape(-1, 2).sum(1), by_branching.ravel(), by_decay])
    return -value / scale, -by_x / scale


def maximize_likelihood(parts: list[Events], counts: Float) -> tuple[Intensity, float]:
    """The parameters of the highest likelihood, and its logarithm.

    Args:
        parts: the events.
        counts: `[K]`, events of each kind in all of them.
    """
    scale = float(counts.sum())
    seconds = sum(part.end for part in parts)
    rates = np.log(_poisson_rates(counts, seconds)[::2] / 2)
    bounds = [
        *[(rate - _RATE_RANGE, rate + _RATE_RANGE) for rate in rates],
        *[(0.0, _MOST_BRANCHING)] * NUM_KINDS**2,
        *[_LOG_DECAY_BOUNDS] * NUM_KINDS,
    ]

    from scipy.optimize import minimize  # takes long to import, and most processes fit nothing

    def search(start: Float, iterations: int) -> tuple[float, Float]:
        options = {"maxiter": iterations, "maxfun": 4 * iterations, "ftol": 1e-9}
        found = minimize(
            _loss, start, (parts, scale), "L-BFGS-B", jac=True, bounds=bounds, options=options
        )
        return float(found.fun), found.x

    branching = (0.4 * np.eye(NUM_KINDS) + 0.02).ravel()
    starts = [np.concatenate([rates, branching, [np.log(d)] * NUM_KINDS]) for d in _START_DECAYS]
    screened = sorted((search(x, _SCREENING) for x in starts), key=lambda found: found[0])
    value, x = min((search(x, 500) for _, x in screened[:2]), key=lambda found: found[0])
    return _unpack(x), -value * scale


def _params_of(best: Intensity, base: object, shares: Float) -> HawkesParams:
    """The model's parameters; `base` gives what is not fitted here."""
    return HawkesParams(
        base=base.replace(  # type: ignore[attr-defined]
            limit_rate=jnp.asarray(best.rate[0] * shares, jnp.float32),
            market_rate=jnp.float32(best.rate[2]),
        ),
        excitation=jnp.asarray(best.excitation, jnp.float32),
        decay=jnp.asarray(best.decay, jnp.float32),
    )


def _residuals(parts: list[Events], at: Intensity) -> Float:
    """Rescaled waits of all events."""
    waits = [np.zeros(len(part.times)) for part in parts]
    for part, into in zip(parts, waits, strict=True):
        rescaled_waits(part.times, part.kinds, *at, into)
    return np.concatenate(waits)


def standard_errors(parts: list[Events], at: Intensity) -> dict[str, object]:
    """Square roots of the diagonal of the inverse information; None where nothing is known."""
    size = NUM_KINDS * (NUM_KINDS + 2)
    information = np.zeros((size, size))
    for part in parts:
        add_information(part.times, part.kinds, *at, information)
    # Buys and sells share their rates.
    tie = np.zeros((size, _NUM_PARAMS))
    tie[np.arange(NUM_KINDS), np.arange(NUM_KINDS) // 2] = 1
    tie[np.arange(NUM_KINDS, size), np.arange(_NUM_RATES, _NUM_PARAMS)] = 1
    tied = tie.T @ information @ tie
    is_known = np.diag(tied) > 0
    variance = np.full(_NUM_PARAMS, np.nan)
    variance[is_known] = np.diag(np.linalg.pinv(tied[np.ix_(is_known, is_known)]))
    errors = [float(v) if np.isfinite(v) else None for v in np.sqrt(np.maximum(variance, 0))]
    rows = np.array(errors[_NUM_RATES:-NUM_KINDS], object).reshape(NUM_KINDS, NUM_KINDS)
    return {
        "rate": errors[:_NUM_RATES],
        "excitation": rows.tolist(),
        "decay": errors[-NUM_KINDS:],
    }
