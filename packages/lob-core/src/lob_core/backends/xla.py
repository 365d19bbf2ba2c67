"""The portable backend: plain JAX, in the form that suits the device.

What one device does well another does badly. On a GPU many books go through the same operations
side by side (`xla_blocks`); a CPU core is at its best with one book in its cache and one order at a
time (`xla_serial`).
"""

from __future__ import annotations

import functools
import warnings

import jax
import jaxlib

from lob_core.backends import xla_blocks, xla_serial
from lob_core.types import BookConfig, BookState, Message, Outcome

_FIRST_KNOWN, _FIRST_UNKNOWN = (0, 10), (0, 13)
"""Versions of jaxlib with which the serial form has been tried: see `xla_serial`."""


def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`).

    Warns:
        RuntimeWarning: once, if this version of jaxlib is one with which the form for CPUs has not
            been tried; that for GPUs takes its place, which is several times slower there.
    """
    is_known = knows_jaxlib(jaxlib.version.__version__)
    result: tuple[BookState, Outcome] = _play(book, messages, config=config, is_known=is_known)
    return result


@functools.cache
def knows_jaxlib(version: str) -> bool:
    """Whether the serial form has been tried with a version of jaxlib; warns if not."""
    major, minor = (int(part) for part in version.split(".")[:2])
    is_known = _FIRST_KNOWN <= (major, minor) < _FIRST_UNKNOWN
    if not is_known:
        warnings.warn(
            f"lob_core's xla backend has not been tried with jaxlib {version}; "
            "on CPUs it plays several times slower than it could",
            RuntimeWarning,
            stacklevel=4,
        )
    return is_known


@functools.partial(jax.jit, static_argnames=("config", "is_known"))
def _play(
    book: BookState, messages: Message, *, config: BookConfig, is_known: bool
) -> tuple[BookState, Outcome]:
    blocks = functools.partial(xla_blocks.process_messages, config=config)
    special = {"cpu": functools.partial(xla_serial.process_messages, config=config)}
    result: tuple[BookState, Outcome] = jax.lax.platform_dependent(
        book, messages, default=blocks, **(special if is_known else {})
    )
    return result
