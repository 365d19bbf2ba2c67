"""Fits the order-flow models of `lob_core.flow` to prepared days, with figures of their fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from lob_data.calibration.flow_data import FlowData, collect_flow
from lob_data.calibration.hawkes import fit_hawkes
from lob_data.calibration.queue_reactive import fit_queue_reactive
from lob_data.calibration.result import Calibration, load_calibration
from lob_data.calibration.zero_intelligence import MAX_LEVELS, fit_zero_intelligence
from lob_data.errors import LobDataError, OptionError
from lob_data.manifest import SplitName
from lob_data.store import Store, open_store

__all__ = ["Calibration", "ModelName", "calibrate", "load_calibration"]

ModelName = Literal["zero_intelligence", "hawkes", "queue_reactive"]

_FITS: Final[dict[str, Callable[[FlowData, int | None], Calibration]]] = {
    "zero_intelligence": fit_zero_intelligence,
    "hawkes": fit_hawkes,
    "queue_reactive": fit_queue_reactive,
}


def calibrate(
    store: Store | Path | str,
    *,
    model: ModelName = "zero_intelligence",
    num_levels: int | None = None,
    ticker: str | None = None,
    split: SplitName | None = "train",
) -> Calibration:
    """Fits a model by maximum likelihood to the recorded order flow of one stock.

    Executions that one aggressor caused are one market order. Partial cancellations and hidden
    executions are no part of the models and are passed over. The fits of the single models are
    described in `lob_data.calibration`'s modules of their names.

    Args:
        store: a prepared store, or its folder.
        model: `"zero_intelligence"`, `"hawkes"` or `"queue_reactive"`.
        num_levels: `L` of the model; None lets the data decide.
        ticker: the stock; may be None if the store holds one.
        split: the part of the data to fit to; None takes all.

    Returns:
        Parameters and figures of their fit.

    Raises:
        OptionError: if an option is out of range or the stock must be chosen.
        StoreError: if there is too little data: no limit order, cancellation or market order.
    """
    store = store if isinstance(store, Store) else open_store(store)
    if model not in _FITS:
        raise OptionError(f"model is {model!r}; it must be one of {', '.join(_FITS)}")
    if num_levels is not None and not 1 <= num_levels <= MAX_LEVELS:
        raise OptionError(f"num_levels is {num_levels}; it must be 1 to {MAX_LEVELS}")
    data = collect_flow(store, ticker, split)
    try:
        return _FITS[model](data, num_levels)
    except LobDataError as error:
        raise type(error)(error.reason, path=store.path) from error
