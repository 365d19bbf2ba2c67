"""Extension of Griffe: sections titled `Example:` are read as the `Examples:` that it knows."""

from __future__ import annotations

import re
from typing import Any

import griffe

_TITLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Examples(griffe.Extension):
    """Renders doctests of every docstring as code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Renames the section."""
        if obj.docstring is not None:
            obj.docstring.value = _TITLE.sub(r"\1Examples:", obj.docstring.value)
