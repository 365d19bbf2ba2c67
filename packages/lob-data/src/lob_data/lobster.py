"""Finds and reads pairs of LOBSTER files: plain, .gz, .zst, or members of .zip and .7z archives."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lob_data.csv_text import parse_books, parse_messages
from lob_data.errors import FormatError, SourceError
from lob_data.schema import (
    DAY_NS,
    MESSAGE_COLUMNS,
    NS_PER_SECOND,
    book_columns,
    format_time,
)
from lob_data.sources import ARCHIVES, FileName, Source, sources_in


@dataclass(frozen=True)
class Pair:
    """A message file and its order book file.

    Attributes:
        name: the message file's name, parsed.
        messages: the message file.
        books: the order book file.
    """

    name: FileName
    messages: Source
    books: Source

    @property
    def label(self) -> str:
        """Short name of the pair, unique for a stock, day, session window and level."""
        n = self.name
        return f"{n.ticker}_{n.day}_{n.start_ms}_{n.end_ms}_{n.level}"


@dataclass(frozen=True)
class RawDay:
    """A pair as read, in LOBSTER's units; `D` rows, `L` levels.

    Attributes:
        pair: where it came from.
        sha256: digests of the message file and the order book file as stored.
        ts_ns: `[D]` int64, ns since midnight.
        event_type: `[D]` int64.
        order_id: `[D]` int64.
        size: `[D]` int64, shares.
        price: `[D]` int64, 1/10000 dollar.
        side: `[D]` int64.
        books: `[4 L, D]` int64, columns of the order book as in `schema.book_columns`.
        csv_bytes: size of both files unpacked.
    """

    pair: Pair
    sha256: tuple[str, str]
    ts_ns: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int64]
    order_id: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    price: npt.NDArray[np.int64]
    side: npt.NDArray[np.int64]
    books: npt.NDArray[np.int64]
    csv_bytes: int


def find_pairs(raw: Path | str) -> tuple[list[Pair], list[SourceError]]:
    """Finds every LOBSTER pair in a file, an archive or a folder and its subfolders.

    Args:
        raw: a folder, a .zip or .7z archive, or either file of a pair.

    Returns:
        The pairs, sorted by name, and an error for each file whose other half is missing or which
        is there twice.

    Raises:
        SourceError: if `raw` does not exist or holds no LOBSTER file at all.
    """
    root = Path(raw)
    if not root.exists():
        raise SourceError("does not exist", path=root)
    if root.is_dir():
        paths: Iterable[Path] = sorted(p for p in root.rglob("*") if p.is_file())
    elif root.suffix in ARCHIVES:
        paths = [root]
    else:
        if FileName.parse(root.name) is None:
            raise SourceError(
                "is not named TICKER_YYYY-MM-DD_START_END_message_LEVEL.csv (or orderbook; "
                ".gz, .zst, .zip and .7z are read)",
                path=root,
            )
        paths = sorted(p for p in root.parent.iterdir() if p.is_file())
    halves: dict[tuple[object, ...], dict[str, tuple[FileName, Source]]] = {}
    errors: list[SourceError] = []
    for path in paths:
        try:
            sources = sources_in(path)
        except SourceError as error:
            errors.append(error)
            continue
        for file_name, source in sources:
            n = file_name
            place = str(path.parent if source.member is None else path)
            key = (n.ticker, n.day, n.start_ms, n.end_ms, n.level, place)
            pair = halves.setdefault(key, {})
            if n.kind in pair:
                reason = f"is there twice: {pair[n.kind][1]} is the same file; that one is read"
                errors.append(SourceError(reason, path=str(source)))
            else:
                pair[n.kind] = (n, source)
    if root.is_file() and root.suffix not in ARCHIVES:
        wanted = FileName.parse(root.name)
        halves = {
            key: pair for key, pair in halves.items() if any(f == wanted for f, _ in pair.values())
        }
    pairs: list[Pair] = []
    for pair in halves.values():
        if len(pair) == 2:
            name, messages = pair["message"]
            pairs.append(Pair(name, messages, pair["orderbook"][1]))
            continue
        ((name, source),) = pair.values()
        missing = "orderbook" if name.kind == "message" else "message"
        errors.append(SourceError(f"half of a pair: no {missing} file beside it", path=str(source)))
    if not pairs and not errors:
        raise SourceError(
            "holds no LOBSTER file (TICKER_DATE_START_END_message_LEVEL.csv)", path=root
        )
    return sorted(pairs, key=lambda p: (p.label, str(p.messages))), errors


def read_pair(pair: Pair) -> RawDay:
    """Reads both files of a pair.

    Raises:
        SourceError: if a file is missing, empty or damaged.
        FormatError: if rows do not have the columns that the format and the file name call for, or
            the two files differ in length.
    """

    def parse_level(data: bytes, path: str) -> npt.NDArray[np.int64]:
        return parse_books(data, pair.name.level, path)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(_read_file, pair.messages, parse_messages)
        book_digest, book_bytes, books = _read_file(pair.books, parse_level)
        message_digest, message_bytes, messages = reading.result()
    num_messages, num_books = messages.shape[1], books.shape[1]
    if num_messages != num_books:
        raise FormatError(
            f"has {num_messages} rows but {pair.books} has {num_books}; "
            "row i of the order book must be the book after message i",
            path=str(pair.messages),
            row=min(num_messages, num_books) + 1,
        )
    columns = dict(zip(MESSAGE_COLUMNS, messages, strict=True))
    ts_ns = columns.pop("time")
    is_bad = ts_ns >= DAY_NS
    if is_bad.any():
        row = int(is_bad.argmax())
        raise FormatError(
            f"time is {format_time(ts_ns[row])}; it must be seconds after midnight, below 86400",
            path=str(pair.messages),
            row=row + 1,
        )
    return RawDay(
        pair=pair,
        sha256=(message_digest, book_digest),
        ts_ns=ts_ns,
        books=books,
        csv_bytes=message_bytes + book_bytes,
        **columns,
    )


def _read_file(
    source: Source, parse: Callable[[bytes, str], npt.NDArray[np.int64]]
) -> tuple[str, int, npt.NDArray[np.int64]]:
    """sha256 of a file as stored, its size unpacked, and its columns."""
    stored = source.stored_bytes()
    data = source.csv_bytes(stored)
    return hashlib.sha256(stored).hexdigest(), len(data), parse(data, str(source))


def scan_messages(pair: Pair) -> pl.LazyFrame:
    """Message rows as a lazy frame, to select from without reading every column.

    Columns: ts_ns, event_type, order_id, size, price, side (Int64); nothing is checked.
    """
    names = list(MESSAGE_COLUMNS)
    schema: dict[str, pl.DataType] = {name: pl.Int64() for name in names}
    schema["time"] = pl.Float64()
    # A double holds a time of day to 7e-12 s, so rounding gives back every nanosecond.
    ts_ns = (pl.col("time") * NS_PER_SECOND).round().cast(pl.Int64).alias("ts_ns")
    return _scan(pair.messages, schema).select(ts_ns, *names[1:])


def scan_books(pair: Pair) -> pl.LazyFrame:
    """Order book rows as a lazy frame, columns as in `schema.book_columns` (Int64)."""
    return _scan(pair.books, {name: pl.Int64() for name in book_columns(pair.name.level)})


def _scan(source: Source, schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    """A lazy frame of the first columns of a file."""
    data = source.csv_bytes(source.stored_bytes())
    num_found = data.partition(b"\n")[0].count(b",") + 1
    more = {f"column_{i}": pl.String() for i in range(len(schema), num_found)}
    frame = pl.scan_csv(io.BytesIO(data), has_header=False, schema={**schema, **more})
    return frame.select(list(schema))
