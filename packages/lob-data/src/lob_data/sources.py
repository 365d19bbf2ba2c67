"""Files that may be compressed, or members of an archive: names, contents, what is damaged."""

from __future__ import annotations

import gzip
import importlib
import io
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from lob_data.errors import SourceError

ARCHIVES: Final = (".zip", ".7z")
"""Suffixes of archives that may hold pairs."""
_NAME: Final = re.compile(
    r"(?P<ticker>[^/_]+)_(?P<date>\d{4}-\d{2}-\d{2})_(?P<start>\d+)_(?P<end>\d+)"
    r"_(?P<kind>message|orderbook)_(?P<level>\d+)\.csv(?P<packed>\.gz|\.zst)?"
)


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
        if self.member is None:
            try:
                data = self.path.read_bytes()
            except OSError as error:
                raise SourceError(f"cannot be read: {error}", path=str(self)) from error
        else:
            data = _read_member(self.path, self.member)
        if not data:
            raise SourceError("is empty (zero bytes)", path=str(self))
        return data

    def csv_bytes(self, stored: bytes) -> bytes:
        """The CSV text in `stored`.

        Raises:
            SourceError: if a .gz or .zst is truncated or damaged, or holds nothing.
        """
        name = self.path.name if self.member is None else self.member
        if name.endswith(".gz"):
            try:
                data = gzip.decompress(stored)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                reason = f"truncated or damaged gzip: {error}"
                raise SourceError(reason, path=str(self)) from error
        elif name.endswith(".zst"):
            data = self._unpack_zstd(stored)
        else:
            return stored
        if not data:
            raise SourceError("is empty (an archive of nothing)", path=str(self))
        return data

    def _unpack_zstd(self, stored: bytes) -> bytes:
        """Text in `stored`, which polars unpacks when it reads it as one column of lines."""
        try:
            lines = pl.read_csv(
                io.BytesIO(stored),
                has_header=False,
                separator="\x01",
                quote_char=None,
                schema={"line": pl.String()},
                truncate_ragged_lines=True,
                raise_if_empty=False,
            )["line"]
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceError(f"truncated or damaged zstd: {error}", path=str(self)) from error
        text: str = lines.fill_null("").str.join("\n").item()
        return text.encode()


def sources_in(path: Path) -> list[tuple[FileName, Source]]:
    """LOBSTER files that `path` is or, if it is an archive, holds.

    Raises:
        SourceError: if an archive is damaged, or is a .7z and py7zr is not installed.
    """
    if path.suffix not in ARCHIVES:
        name = FileName.parse(path.name)
        return [] if name is None else [(name, Source(path))]
    parsed = ((FileName.parse(Path(member).name), member) for member in _members(path))
    return [(name, Source(path, member)) for name, member in parsed if name is not None]


def _members(path: Path) -> list[str]:
    """Names of the files in an archive."""
    if path.suffix == ".7z":
        py7zr = _py7zr(path)
        try:
            with py7zr.SevenZipFile(path) as archive:
                return list(archive.getnames())
        except (OSError, EOFError, py7zr.exceptions.ArchiveError) as error:
            raise SourceError(f"damaged archive: {error}", path=path) from error
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"damaged archive: {error}", path=path) from error


def _read_member(path: Path, member: str) -> bytes:
    """Content of one file of an archive."""
    place = f"{path}!{member}"
    if path.suffix == ".7z":
        py7zr = _py7zr(path)
        damage = (OSError, EOFError, lzma.LZMAError, zlib.error, py7zr.exceptions.ArchiveError)
        try:
            with py7zr.SevenZipFile(path) as archive:
                sizes = {entry.filename: entry.uncompressed for entry in archive.list()}
                factory = py7zr.io.BytesIOFactory(sizes.get(member) or 1)
                archive.extract(targets=[member], factory=factory)
            product = factory.products[member]
            product.seek(0)
            return bytes(product.read())
        except (*damage, KeyError) as error:
            raise SourceError(f"cannot be read: damaged archive: {error}", path=place) from error
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise SourceError(f"cannot be read: {error}", path=place) from error


def _py7zr(path: Path) -> Any:
    """The library that reads .7z, which is an extra."""
    try:
        importlib.import_module("py7zr.io")
        return importlib.import_module("py7zr")
    except ModuleNotFoundError as error:
        raise SourceError(
            'is a .7z archive, which needs py7zr: install it with `pip install "lob-data[7z]"`, '
            "or unpack the archive first",
            path=path,
        ) from error
