"""The errors of this package: each names the file, the row and the reason."""

from __future__ import annotations

from pathlib import Path


class LobDataError(ValueError):
    """Input that cannot be used, or a store that cannot be read or written.

    Attributes:
        path: the file or folder concerned, None if there is none.
        row: the first offending row, counted from 1 as an editor does; None if no row is at fault.
        reason: what is wrong and, where it helps, what to do.
    """

    def __init__(self, reason: str, *, path: Path | str | None = None, row: int | None = None):
        self.path = None if path is None else Path(path)
        self.row = row
        self.reason = reason
        place = [] if path is None else [str(path)]
        if row is not None:
            place.append(f"row {row}")
        super().__init__(": ".join([", ".join(place), reason] if place else [reason]))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.reason, self.path, self.row)


def _rebuild(
    cls: type[LobDataError], reason: str, path: Path | None, row: int | None
) -> LobDataError:
    """Makes the error again in the process that asked for the work."""
    return cls(reason, path=path, row=row)


class SourceError(LobDataError):
    """A file or folder is missing, empty, damaged, or half of a pair."""


class FormatError(LobDataError):
    """A file's rows do not have the shape or the values of a LOBSTER file."""


class StoreError(LobDataError):
    """A prepared store is missing, of another schema version, or lacks what was asked of it."""


class OptionError(LobDataError):
    """An option has a value outside what is allowed."""
