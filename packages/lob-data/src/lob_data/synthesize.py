"""Writes LOBSTER pairs from an order-flow model: data that anyone may have, in the same format."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import numpy.typing as npt
import polars as pl
from lob_core.flow import ZeroIntelligence, simulate
from lob_core.types import NO_PRICE, BookConfig, BookState, Message

from lob_data.book_kernel import ASK, BID, Book, add_order, make_book
from lob_data.errors import FormatError, OptionError
from lob_data.lobster import Pair
from lob_data.progress import Progress
from lob_data.recording import Flow, Rows, make_rows
from lob_data.schema import CENT, DUMMY_PRICE, NS_PER_SECOND, book_columns
from lob_data.sources import FileName, Source

_CHUNK: Final = 1024
_NUM_SLOTS: Final = (128, 512, 2048)
"""Orders a side that the model's book can hold: the least that is enough is used."""
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class SynthesisReport:
    """What `synthesize` wrote.

    Attributes:
        pair: the two files.
        messages: messages drawn from the model.
        rows: rows of each file.
    """

    pair: Pair
    messages: int
    rows: int


def synthesize(
    out_dir: Path | str,
    *,
    num_messages: int = 20_000,
    seed: int = 0,
    num_levels: int = 10,
    model: Any = None,
    params: Any = None,
    ticker: str = "SYNTH",
    day: str = "2020-01-02",
    end_ms: int = 57_600_000,
    compress: bool = True,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Draws order flow from a model and writes it as a LOBSTER pair.

    Args:
        out_dir: folder for the two files; made if missing.
        num_messages: messages to draw. Rows differ: an order that trades with several makes a row
            for each, and what does not change the levels in view makes none, as in LOBSTER files.
        seed: of the random numbers; the same seed gives the same files.
        num_levels: levels a side in the order book file.
        model: a `lob_core.flow` model; None is `ZeroIntelligence()`.
        params: its parameters; None is its default.
        ticker: symbol in the file names.
        day: ISO date in the file names.
        end_ms: end of the session, milliseconds after midnight; later messages are left out. The
            session starts when the model does.
        compress: whether the files are gzipped.
        progress: told of the messages drawn so far.

    Returns:
        The report.

    Raises:
        OptionError: if an option is out of range.
        FormatError: if the model made no row before the session's end.
    """
    for option, value in (("num_messages", num_messages), ("num_levels", num_levels)):
        if value < 1:
            raise OptionError(f"{option} is {value}; it must be at least 1")
    try:
        session_day = date.fromisoformat(day)
    except ValueError as error:
        raise OptionError(f"day is {day!r}; it must be a date such as 2020-01-02") from error
    if not ticker or set(ticker) & set("_/\\"):
        raise OptionError(f"ticker is {ticker!r}; it must be a name without _ and slashes")
    model = ZeroIntelligence() if model is None else model
    params = model.default_params() if params is None else params
    opening, flow, start_ms = _simulate(model, params, num_messages, seed, progress)
    if not start_ms < end_ms <= _DAY_MS:
        raise OptionError(f"end_ms is {end_ms}; it must be {start_ms + 1} to {_DAY_MS}")
    rows = make_rows(opening, flow, num_levels)
    num_kept = int(np.searchsorted(rows.ts_ns, end_ms * 1_000_000))
    if num_kept == 0:
        raise FormatError("the model made no row before the end of the session", path=out_dir)
    name = FileName(ticker, session_day, start_ms, end_ms, "message", num_levels)
    pair = _write_pair(Path(out_dir), name, rows, num_kept, compress=compress)
    return SynthesisReport(pair, num_messages, num_kept)


def _simulate(
    model: Any, params: Any, num_messages: int, seed: int, progress: Progress | None
) -> tuple[Book, Flow, int]:
    """Runs the model; returns its opening book, its messages and its start in milliseconds."""
    for num_slots in _NUM_SLOTS:
        config = BookConfig(num_slots=num_slots, max_trades=0)
        simulated = _simulate_with(config, model, params, num_messages, seed, progress)
        if simulated is not None:
            return simulated
    raise OptionError(f"the model's book outgrows {_NUM_SLOTS[-1]} orders a side")


def _simulate_with(
    config: BookConfig,
    model: Any,
    params: Any,
    num_messages: int,
    seed: int,
    progress: Progress | None,
) -> tuple[Book, Flow, int] | None:
    """As `_simulate`; None if an order was dropped because the book was full."""
    chunk = -(-_CHUNK // model.refresh_every) * model.refresh_every
    key_opening, key = jax.random.split(jax.random.key(seed))
    book, state = _open(model, config, key_opening, params)
    opening = jax.device_get(book)
    start_ms = int(state.time_s) * 1000
    chunks: list[Message] = []
    for key_chunk in jax.random.split(key, -(-num_messages // chunk)):
        book, state, messages = _advance(model, config, chunk, key_chunk, book, state, params)
        if int(book.counters.dropped_orders):
            return None
        chunks.append(jax.device_get(messages))
        if progress is not None:
            progress("messages", min(len(chunks) * chunk, num_messages), num_messages)
    columns = {
        name: np.concatenate([getattr(part, name) for part in chunks])[:num_messages]
        for name in (*Flow._fields[:-1], "time_s", "time_ns")
    }
    ts_ns = columns.pop("time_s").astype(np.int64) * NS_PER_SECOND + columns.pop("time_ns")
    flow = Flow(**columns, ts_ns=ts_ns)
    return _unlimited(opening, int(state.next_order_id)), flow, start_ms


@partial(jax.jit, static_argnums=(0, 1))
def _open(model: Any, config: BookConfig, key: jax.Array, params: Any) -> tuple[BookState, Any]:
    """A random opening book and the model's state."""
    opened: tuple[BookState, Any] = model.opening(key, params, config)
    return opened


@partial(jax.jit, static_argnums=(0, 1, 2))
def _advance(
    model: Any,
    config: BookConfig,
    num_messages: int,
    key: jax.Array,
    book: BookState,
    state: Any,
    params: Any,
) -> tuple[BookState, Any, Message]:
    """The next messages of the model, and book and state after them."""
    return simulate(model, key, book, state, params, num_messages, config)[:3]


def _unlimited(state: BookState, num_orders: int) -> Book:
    """The preprocessor's book that holds the same orders."""
    book = make_book(num_orders + 1, 2 * state.bids.price.shape[-1] + num_orders)
    for side, orders in ((BID, state.bids), (ASK, state.asks)):
        for price, size, order_id in zip(orders.price, orders.size, orders.order_id, strict=True):
            if size > 0:
                add_order(book, side, int(price if side == BID else -price), size, order_id)
    return book


def _write_pair(out_dir: Path, name: FileName, rows: Rows, count: int, *, compress: bool) -> Pair:
    """Writes both files aside and renames them, so that neither is ever there in part."""
    out_dir.mkdir(parents=True, exist_ok=True)
    whole = pl.col("ts_ns") // NS_PER_SECOND
    fraction = (pl.col("ts_ns") % NS_PER_SECOND).cast(pl.String).str.zfill(9)
    time = pl.concat_str(whole.cast(pl.String), pl.lit("."), fraction)
    messages = pl.DataFrame({n: getattr(rows, n)[:count] for n in Rows._fields[:-2]}).select(
        time.str.strip_chars_end("0").str.strip_chars_end("."),
        "event_type",
        "order_id",
        "size",
        pl.col("price") * CENT,
        "side",
    )
    columns: dict[str, npt.NDArray[np.int64]] = {}
    for column in book_columns(name.level):
        kind, _, number = column.rpartition("_")
        side, level = (BID if kind.startswith("bid") else ASK), int(number) - 1
        prices = rows.book_price[side, :count, level].astype(np.int64)
        dummy = -DUMMY_PRICE if side == BID else DUMMY_PRICE
        priced = np.where(prices == NO_PRICE, dummy, prices * CENT)
        is_price = kind.endswith("price")
        columns[column] = priced if is_price else rows.book_size[side, :count, level]
    suffix = ".gz" if compress else ""
    paths = []
    for kind, table in (("message", messages), ("orderbook", pl.DataFrame(columns))):
        path = out_dir / f"{replace(name, kind=kind)}{suffix}"
        partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        try:
            table.write_csv(
                partial,
                include_header=False,
                compression="gzip" if compress else "uncompressed",
                check_extension=False,
            )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        paths.append(path)
    return Pair(name, Source(paths[0]), Source(paths[1]))
