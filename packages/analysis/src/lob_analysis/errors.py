"""Errors of this package: what is wrong, where, and what would be right."""

from __future__ import annotations

from pathlib import Path


class AnalysisError(ValueError):
    """Input that cannot be analyzed."""


class RunError(AnalysisError):
    """A run folder that cannot be read.

    Attributes:
        path: the folder or file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")
