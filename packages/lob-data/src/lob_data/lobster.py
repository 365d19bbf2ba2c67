"""Finds and reads pairs of LOBSTER files: plain, .gz, .zst, or members of a .zip archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from lob_data.errors import FormatError, SourceError
from lob_data.schema import (
    COLUMNS_PER_LEVEL,
    DAY_NS,
    MESSAGE_COLUMNS,
    book_columns,
    seconds_to_ns,
)

_NAME: Final = re.compile(
    r"(?P<ticker>[^/_]+)_(?P<date>\d{4}-\d{2}-\d{2})_(?P<start>\d+)_(?P<end>\d+)"
    r"_(?P<kind>message|orderbook)_(?P<level>\d+)\.csv(?P<packed>\.gz|\.zst)?"
)
_PEEK_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class FileName:
    """What a LOBSTER file name says.

    Attributes:
        ticker: symbol of the stock.
        day: trading day.
        start_ms: start of the session window, milliseconds after midnight.
        end_ms: its end.
        kind: `"message"` or `"orderbook"`.
        level: price levels a side in the order book file.
    """

    ticker: str
    day: date
    start_ms: int
    end_ms: int
    kind: str
    level: int

    @classmethod
    def parse(cls, name: str) -> FileName | None:
        """Reads `TICKER_YYYY-MM-DD_START_END_message_LEVEL.csv`; None if `name` is no such name."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            day = date.fromisoformat(match["date"])
        except ValueError:
            return None
        start, end, level = (int(match[key]) for key in ("start", "end", "level"))
        return cls(match["ticker"], day, start, end, match["kind"], level)

    def __str__(self) -> str:
        """The file name without compression suffix."""
        window = f"{self.start_ms}_{self.end_ms}"
        return f"{self.ticker}_{self.day}_{window}_{self.kind}_{self.level}.csv"


@dataclass(frozen=True)
class Source:
    """One CSV file, possibly compressed, possibly a member of an archive.

    Attributes:
        path: the file, or the archive.
        member: name inside the archive, None for a file of its own.
    """

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    def stored_bytes(self) -> bytes:
        """The bytes as they lie on disk or in the archive; still packed if .gz or .zst.

        Raises:
            SourceError: if the file cannot be read, or is empty.
        """
        try:
            if self.member is None:
                data = self.path.read_bytes()
            else:
                with zipfile.ZipFile(self.path) as archive:
                    data = archive.read(self.member)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise SourceError(f"cannot be read: {error}", path=str(self)) from error
        if not data:
            raise SourceError("is empty (zero bytes)", path=str(self))
        return data

    def csv_bytes(self, stored: bytes) -> bytes:
        """The CSV text in `stored`; .zst stays packed, because polars unpacks it while reading.

        Raises:
            SourceError: if a .gz is truncated or damaged.
        """
        name = self.path.name if self.member is None else self.member
        if not name.endswith(".gz"):
            return stored
        try:
            data = gzip.decompress(stored)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"truncated or damaged gzip: {error}", path=str(self)) from error
        if not data:
            raise SourceError("is empty (a gzip of nothing)", path=str(self))
        return data


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
        books: `[D, 4 L]` order book rows, Int64 columns named by `schema.book_columns`.
        csv_bytes: size of both files unpacked (.zst: as stored).
    """

    pair: Pair
    sha256: tuple[str, str]
    ts_ns: npt.NDArray[np.int64]
    event_type: npt.NDArray[np.int64]
    order_id: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    price: npt.NDArray[np.int64]
    side: npt.NDArray[np.int64]
    books: pl.DataFrame
    csv_bytes: int


def find_pairs(raw: Path | str) -> tuple[list[Pair], list[SourceError]]:
    """Finds every LOBSTER pair in a file, an archive or a folder and its subfolders.

    Args:
        raw: a folder, a .zip archive, or either file of a pair.

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
    elif root.suffix == ".zip":
        paths = [root]
    else:
        if FileName.parse(root.name) is None:
            raise SourceError(
                "is not named TICKER_YYYY-MM-DD_START_END_message_LEVEL.csv (or orderbook; "
                ".gz, .zst and .zip are read)",
                path=root,
            )
        paths = sorted(p for p in root.parent.iterdir() if p.is_file())
    halves: dict[tuple[object, ...], dict[str, tuple[FileName, Source]]] = {}
    errors: list[SourceError] = []
    for path in paths:
        try:
            sources = _sources_in(path)
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
    if root.is_file() and root.suffix != ".zip":
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


def _sources_in(path: Path) -> list[tuple[FileName, Source]]:
    """LOBSTER files that `path` is or, if it is an archive, holds."""
    if path.suffix != ".zip":
        name = FileName.parse(path.name)
        return [] if name is None else [(name, Source(path))]
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"damaged archive: {error}", path=path) from error
    parsed = ((FileName.parse(Path(member).name), member) for member in members)
    return [(name, Source(path, member)) for name, member in parsed if name is not None]


def read_pair(pair: Pair) -> RawDay:
    """Reads both files of a pair.

    Raises:
        SourceError: if a file is missing, empty or damaged.
        FormatError: if rows do not have the columns that the format and the file name call for, or
            the two files differ in length.
    """
    book_schema: dict[str, pl.DataType] = {n: pl.Int64() for n in book_columns(pair.name.level)}
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(_read_file, pair.messages, dict(MESSAGE_COLUMNS), extra_columns=True)
        book_digest, book_bytes, books = _read_file(pair.books, book_schema, extra_columns=False)
        message_digest, message_bytes, messages = reading.result()
    if messages.height != books.height:
        raise FormatError(
            f"has {messages.height} rows but {pair.books} has {books.height}; "
            "row i of the order book must be the book after message i",
            path=str(pair.messages),
            row=min(messages.height, books.height) + 1,
        )
    columns = {name: messages[name].to_numpy() for name in MESSAGE_COLUMNS}
    seconds = columns.pop("time")
    is_bad = ~((seconds >= 0) & (seconds * 1e9 < DAY_NS))
    if is_bad.any():
        row = int(is_bad.argmax())
        raise FormatError(
            f"time is {seconds[row]!r}; it must be seconds after midnight, 0 to 86400",
            path=str(pair.messages),
            row=row + 1,
        )
    return RawDay(
        pair=pair,
        sha256=(message_digest, book_digest),
        ts_ns=seconds_to_ns(seconds),
        books=books,
        csv_bytes=message_bytes + book_bytes,
        **columns,
    )


def _read_file(
    source: Source, columns: dict[str, pl.DataType], *, extra_columns: bool
) -> tuple[str, int, pl.DataFrame]:
    """sha256 of a file as stored, its size unpacked, and its rows."""
    stored = source.stored_bytes()
    data = source.csv_bytes(stored)
    table = _read_csv(source, data, columns, extra_columns=extra_columns)
    return hashlib.sha256(stored).hexdigest(), len(data), table


def scan_messages(pair: Pair) -> pl.LazyFrame:
    """Message rows as a lazy frame, to select from without reading every column.

    Columns: time (Float64, seconds), event_type, order_id, size, price, side (Int64).
    """
    data = pair.messages.csv_bytes(pair.messages.stored_bytes())
    return _scan_csv(pair.messages, data, dict(MESSAGE_COLUMNS), extra_columns=True)


def scan_books(pair: Pair) -> pl.LazyFrame:
    """Order book rows as a lazy frame, columns as in `schema.book_columns` (Int64)."""
    data = pair.books.csv_bytes(pair.books.stored_bytes())
    names = book_columns(pair.name.level)
    return _scan_csv(pair.books, data, dict.fromkeys(names, pl.Int64()), extra_columns=False)


def _scan_csv(
    source: Source, data: bytes, columns: dict[str, pl.DataType], *, extra_columns: bool
) -> pl.LazyFrame:
    num_found = _count_columns(source, data)
    if num_found < len(columns) or (num_found > len(columns) and not extra_columns):
        raise FormatError(_wrong_count(num_found, len(columns), source), path=str(source), row=1)
    schema = dict(columns)
    schema.update({f"extra_{i}": pl.String() for i in range(num_found - len(columns))})
    frame = pl.scan_csv(io.BytesIO(data), has_header=False, schema=schema, raise_if_empty=False)
    return frame.select(list(columns))


def _read_csv(
    source: Source, data: bytes, columns: dict[str, pl.DataType], *, extra_columns: bool
) -> pl.DataFrame:
    frame = _scan_csv(source, data, columns, extra_columns=extra_columns)
    try:
        table = frame.collect()
        complete = sum(table.null_count().row(0)) == 0
    except (pl.exceptions.PolarsError, OSError) as error:
        _raise_bad_row(source, data, columns, extra_columns=extra_columns, cause=error)
    if not complete:
        _raise_bad_row(source, data, columns, extra_columns=extra_columns, cause=None)
    return table


def _count_columns(source: Source, data: bytes) -> int:
    """Number of columns of the first row."""
    head = _lines(source, data, limit=1)
    if not head or not head[0].strip():
        raise FormatError("the first row is empty", path=str(source), row=1)
    return len(head[0].split(","))


def _lines(source: Source, data: bytes, limit: int | None) -> list[str]:
    """Rows as text; `limit` 1 reads only the head."""
    try:
        if data[:4] == b"\x28\xb5\x2f\xfd":
            frame = pl.read_csv(
                io.BytesIO(data),
                has_header=False,
                separator="\x01",
                quote_char=None,
                schema={"line": pl.String()},
                n_rows=limit,
                truncate_ragged_lines=True,
            )
            return [line or "" for line in frame["line"]]
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(f"truncated or damaged zstd: {error}", path=str(source)) from error
    text = data if limit is None else data[:_PEEK_BYTES]
    return text.decode("utf-8", errors="replace").splitlines()[:limit]


def _raise_bad_row(
    source: Source,
    data: bytes,
    columns: dict[str, pl.DataType],
    *,
    extra_columns: bool,
    cause: Exception | None,
) -> NoReturn:
    """Finds the first row that is not made of numbers in the right number of columns."""
    for row, line in enumerate(_lines(source, data, limit=None), start=1):
        fields = line.split(",")
        if len(fields) < len(columns) or (len(fields) > len(columns) and not extra_columns):
            reason = _wrong_count(len(fields), len(columns), source)
            raise FormatError(reason, path=str(source), row=row) from cause
        for name, field in zip(columns, fields, strict=False):
            pattern = r"\d+(\.\d*)?" if columns[name] == pl.Float64() else r"-?\d{1,18}"
            if re.fullmatch(pattern, field.strip()) is None:
                reason = f"{name} is {field!r}; it must be a number"
                raise FormatError(reason, path=str(source), row=row) from cause
    raise SourceError(f"cannot be parsed: {cause}", path=str(source)) from cause


def _wrong_count(found: int, wanted: int, source: Source) -> str:
    """Says what is wrong with a row of `found` columns where `wanted` belong."""
    name = FileName.parse(Path(source.member or source.path.name).name)
    if name is None or name.kind == "message":
        return f"has {found} columns; a message has at least {wanted}"
    text = f"has {found} columns; the file name says level {name.level}, which makes {wanted}"
    if found % COLUMNS_PER_LEVEL == 0:
        text += f" (the row holds {found // COLUMNS_PER_LEVEL} levels: level mismatch)"
    return text
