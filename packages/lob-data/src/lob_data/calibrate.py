"""Fits the zero-intelligence model of `lob_core.flow` to prepared days, with figures of its fit."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from lob_core.flow import ZeroIntelligence, ZeroIntelligenceParams
from lob_core.types import EventType, Side

from lob_data.calibrate_kernel import CANCEL, LIMIT, MARKET, OTHER, Exposure, Rates, walk
from lob_data.errors import LobDataError, OptionError, StoreError
from lob_data.manifest import SPLIT_NAMES, SplitName
from lob_data.replay import messages_of, opening_of
from lob_data.schema import NS_PER_SECOND
from lob_data.store import Store, open_store

_COVERED: Final = 0.95
_MAX_LEVELS: Final = 512

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Fitted parameters and how well they fit.

    Attributes:
        num_levels: `L` of the model.
        params: fitted parameters.
        standard_errors: of `limit_rate`, `cancel_rate` (`[L]`) and `market_rate`: rate divided by
            the square root of the number of events.
        fit: figures of the fit: `events` used; `covered` share of limit orders within `L` ticks;
            `residual_mean` and `residual_ks` of the waiting times after the random time change,
            which are exponential with mean 1 if the model holds; `limit_size_ks` and
            `market_size_ks`, the largest difference between fitted and recorded distribution of
            sizes in lots.
    """

    num_levels: int
    params: ZeroIntelligenceParams
    standard_errors: dict[str, list[float]]
    fit: dict[str, float]

    @property
    def model(self) -> ZeroIntelligence:
        """The model that the parameters belong to."""
        return ZeroIntelligence(num_levels=self.num_levels)

    def to_json(self) -> str:
        """All of it as JSON; `load_calibration` reads it."""
        params = {
            field.name: np.asarray(getattr(self.params, field.name)).tolist()
            for field in dataclasses.fields(self.params)
        }
        content = {
            "model": "zero_intelligence",
            "num_levels": self.num_levels,
            "params": params,
            "standard_errors": self.standard_errors,
            "fit": self.fit,
        }
        return json.dumps(content, indent=2) + "\n"


def load_calibration(path: Path | str) -> Calibration:
    """Reads what `Calibration.to_json` wrote.

    Raises:
        LobDataError: if the file is missing or is no calibration.
    """
    try:
        content: dict[str, Any] = json.loads(Path(path).read_text())
        if content["model"] != "zero_intelligence":
            raise LobDataError(f"is of model {content['model']!r}, which is unknown", path=path)
        whole = ("lot_size", "opening_price", "opening_time_s")
        params = {
            name: jnp.asarray(value, jnp.int32 if name in whole else jnp.float32)
            for name, value in content["params"].items()
        }
        return Calibration(
            num_levels=int(content["num_levels"]),
            params=ZeroIntelligenceParams(**params),
            standard_errors=content["standard_errors"],
            fit=content["fit"],
        )
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise LobDataError(f"is no calibration: {error}", path=path) from error


@dataclass(frozen=True)
class _Part:
    """Rows of one segment as the walk reads them."""

    rows: tuple[int, int]
    ts_ns: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int8]
    side: npt.NDArray[np.int8]
    price: npt.NDArray[np.int32]
    opening: Any
    messages: Any
    num_levels_seen: int


def calibrate(
    store: Store | Path | str,
    *,
    num_levels: int | None = None,
    ticker: str | None = None,
    split: SplitName | None = "train",
) -> Calibration:
    """Fits `ZeroIntelligence` by maximum likelihood to the recorded order flow of one stock.

    Rates are events divided by exposure. Limit orders count by their distance to the opposite best
    quote, and a distance is exposed only while it is in view of the file; cancellations count per
    resting order in view and second; executions that one aggressor caused are one market order.
    Sizes are in lots of the commonest limit order size, rounded up, and geometric. Partial
    cancellations and hidden executions are no part of the model and are passed over.

    Args:
        store: a prepared store, or its folder.
        num_levels: `L` of the model; None takes the distance within which 95 % of the recorded
            limit orders lie, at most 512.
        ticker: the stock; may be None if the store holds one.
        split: the part of the data to fit to; None takes all.

    Returns:
        Parameters and figures of their fit.

    Raises:
        OptionError: if an option is out of range or the stock must be chosen.
        StoreError: if there is too little data: no limit order, cancellation or market order.

    References:
        Cont, Stoikov, Talreja (2010), A stochastic model for order book dynamics, Operations
        Research 58(3), section 2.2 (the estimators, here with exposure by view). Brown, Barbieri,
        Ventura, Kass, Frank (2002), The time-rescaling theorem, Neural Computation 14(2), for the
        residuals.
    """
    store = store if isinstance(store, Store) else open_store(store)
    if num_levels is not None and not 1 <= num_levels <= _MAX_LEVELS:
        raise OptionError(f"num_levels is {num_levels}; it must be 1 to {_MAX_LEVELS}")
    parts, limit_sizes, market_sizes, first_price, first_time = _collect(store, ticker, split)
    widest = _run(parts, _MAX_LEVELS, None)[0]
    total = widest.limit_count.sum()
    if num_levels is None:
        reach = np.cumsum(widest.limit_count[:-1]) >= _COVERED * total
        num_levels = int(reach.argmax()) + 1 if reach.any() else _MAX_LEVELS
    counted, _ = _run(parts, num_levels, None)
    limit_count, cancel_count = counted.limit_count[:-1], counted.cancel_count
    num_market = float(counted.totals[0])
    if not (limit_count.sum() and cancel_count.sum() and num_market):
        raise StoreError("holds too little order flow to fit a model to", path=store.path)
    overall_cancel = cancel_count.sum() / counted.order_seconds.sum()
    limit_rate = _divide(limit_count, counted.limit_seconds, 0.0)
    cancel_rate = _divide(cancel_count, counted.order_seconds, overall_cancel)
    market_rate = num_market / (2 * counted.totals[1])
    rates = Rates(limit_rate, cancel_rate, np.array([market_rate]))
    _, residuals = _run(parts, num_levels, rates)

    lot_size = int(np.bincount(limit_sizes).argmax())
    limit_lots, market_lots = (-(-sizes // lot_size) for sizes in (limit_sizes, market_sizes))
    params = ZeroIntelligenceParams(
        limit_rate=jnp.asarray(limit_rate, jnp.float32),
        cancel_rate=jnp.asarray(cancel_rate, jnp.float32),
        market_rate=jnp.float32(market_rate),
        lot_size=jnp.int32(lot_size),
        limit_mean_lots=jnp.float32(limit_lots.mean()),
        market_mean_lots=jnp.float32(market_lots.mean()),
        opening_price=jnp.int32(first_price),
        opening_time_s=jnp.int32(first_time),
    )
    errors = {
        "limit_rate": (limit_rate / np.sqrt(np.maximum(limit_count, 1))).tolist(),
        "cancel_rate": (cancel_rate / np.sqrt(np.maximum(cancel_count, 1))).tolist(),
        "market_rate": [market_rate / np.sqrt(num_market)],
    }
    fit = {
        "events": float(len(residuals)),
        "covered": float(limit_count.sum() / total),
        "residual_mean": float(residuals.mean()),
        "residual_ks": _exponential_ks(residuals),
        "limit_size_ks": _geometric_ks(limit_lots),
        "market_size_ks": _geometric_ks(market_lots),
    }
    return Calibration(num_levels, params, errors, fit)


def _collect(
    store: Store, ticker: str | None, split: SplitName | None
) -> tuple[list[_Part], npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]:
    """The segments to fit to, sizes of limit and market orders, first price and second."""
    tickers = sorted({day.ticker for day in store.manifest.days})
    if ticker is None and len(tickers) > 1:
        raise OptionError(f"the store holds {', '.join(tickers)}; choose a ticker")
    if ticker is not None and ticker not in tickers:
        raise OptionError(f"ticker is {ticker!r}; the store holds {', '.join(tickers)}")
    splits = store.manifest.splits
    segments = [s for name in SPLIT_NAMES for s in splits[name] if split in (None, name)]
    parts: list[_Part] = []
    limit_sizes, market_sizes = [], []
    for entry in store.manifest.days:
        own = [s for s in segments if s.day == entry.label and ticker in (None, entry.ticker)]
        if not own:
            continue
        day, events = store.day(entry.label), store.events(entry.label)
        kind = events["event_type"].to_numpy()
        side, size = events["side"].to_numpy(), events["size"].to_numpy()
        price = events["price"].fill_null(0).cast(int).to_numpy().astype(np.int32)
        run = _aggressor_runs(kind, side, day.ts_ns)
        event = np.full(len(kind), OTHER, np.int8)
        event[kind == EventType.SUBMIT] = LIMIT
        event[kind == EventType.DELETE] = CANCEL
        is_visible = kind == EventType.EXECUTE_VISIBLE
        visible = np.flatnonzero(is_visible)
        _, first = np.unique(run[visible], return_index=True)
        event[visible[first]] = MARKET
        for segment in own:
            rows = slice(segment.row_start, segment.row_end)
            limit_sizes.append(size[rows][kind[rows] == EventType.SUBMIT])
            part = run[rows][is_visible[rows]]
            if len(part):
                totals = np.bincount(part - part[0], weights=size[rows][is_visible[rows]])
                market_sizes.append(totals[totals > 0].astype(np.int64))
            parts.append(
                _Part(
                    rows=(segment.row_start, segment.row_end),
                    ts_ns=day.ts_ns,
                    kind=event,
                    side=side,
                    price=price,
                    opening=day.stream,
                    messages=messages_of(day.stream),
                    num_levels_seen=entry.level,
                )
            )
    if not parts or not market_sizes or not sum(len(sizes) for sizes in limit_sizes):
        where = "the store" if split is None else f"split {split!r}"
        raise StoreError(f"{where} holds too little order flow to fit a model to", path=store.path)
    stream = parts[0].opening
    best = [
        stream.opening[1][stream.opening[0] == side][:1].astype(np.int64) for side in (Side.BID, -1)
    ]
    first_price = int(np.concatenate(best).mean()) if len(best[0]) + len(best[1]) else 1
    first_time = int(parts[0].ts_ns[0] // NS_PER_SECOND)
    return parts, np.concatenate(limit_sizes), np.concatenate(market_sizes), first_price, first_time


def _aggressor_runs(
    kind: npt.NDArray[np.int8], side: npt.NDArray[np.int8], ts_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """`[D]`, numbers that are equal for the executions one aggressor caused."""
    is_execution = np.isin(kind, (EventType.EXECUTE_VISIBLE, EventType.EXECUTE_HIDDEN))
    starts = np.ones(len(kind), np.bool_)
    starts[1:] = ~(
        is_execution[1:] & is_execution[:-1] & (ts_ns[1:] == ts_ns[:-1]) & (side[1:] == side[:-1])
    )
    return np.cumsum(starts)


def _run(
    parts: list[_Part], num_levels: int, rates: Rates | None
) -> tuple[Exposure, npt.NDArray[np.float64]]:
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
    for part in parts:
        buffer = np.zeros(part.rows[1] - part.rows[0])
        count = walk(
            opening_of(part.opening),
            part.messages,
            part.rows[0],
            part.rows[1],
            part.ts_ns,
            part.kind,
            part.side,
            part.price,
            part.num_levels_seen,
            rates,
            exposure,
            buffer,
        )
        residuals.append(buffer[:count])
    return exposure, np.concatenate(residuals)


def _divide(counts: Float, seconds: Float, otherwise: float) -> Float:
    """Rates, and `otherwise` where nothing was exposed."""
    return np.where(seconds > 0, counts / np.maximum(seconds, 1e-12), otherwise)


def _exponential_ks(residuals: Float) -> float:
    """Kolmogorov-Smirnov distance of `residuals` to the exponential law of mean 1."""
    ordered = 1 - np.exp(-np.sort(residuals))
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def _geometric_ks(lots: npt.NDArray[np.int64]) -> float:
    """Largest difference between the distribution of `lots` and the geometric of their mean."""
    recorded = np.cumsum(np.bincount(lots)[1:]) / len(lots)
    fitted = 1 - (1 - 1 / lots.mean()) ** np.arange(1, len(recorded) + 1)
    return float(np.abs(recorded - fitted).max())
