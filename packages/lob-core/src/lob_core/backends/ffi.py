"""The numba backend seen from JAX: registration of its handler, and the call inside `jit`."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.types import (
    Array,
    BookConfig,
    BookState,
    Fills,
    Message,
    Outcome,
    Reports,
    Trades,
)

_TARGET = "lob_core_process_messages"
_KNOWN_MAJOR_VERSION = 0
_NUM_BOOK_LEAVES = 14
_lock = threading.Lock()
_helper: subprocess.Popen[bytes] | None = None  # compiles the kernel to the disk
_keep_alive: list[Any] = []  # the compiled code that XLA holds a pointer to


class FfiUnavailableError(RuntimeError):
    """The numba backend cannot be used here."""


def is_available() -> bool:
    """Whether the numba backend works here; the first call compiles it.

    Warns:
        RuntimeWarning: once, with the reason, if it does not.
    """
    with _lock:
        return _register() is None


def compile_ahead() -> None:
    """See `lob_core.runtime.compile_ahead`."""
    global _helper
    with _lock:
        if _helper is None and not _register.cache_info().currsize:
            quiet = subprocess.DEVNULL
            with contextlib.suppress(OSError):  # then the engine compiles in this process
                _helper = subprocess.Popen(
                    [sys.executable, "-c", f"import {__name__} as ffi; ffi.compile_to_disk()"],
                    env=os.environ | {"JAX_PLATFORMS": "cpu"},
                    stdin=quiet,
                    stdout=quiet,
                    stderr=quiet,
                )


def compile_to_disk() -> None:
    """Compiles the kernel into its cache, unless it is there; for a process that then ends.

    Raises:
        RuntimeError, OSError: if no folder for the cache can be written.
    """
    gc.disable()  # a tenth of the time
    _compile(_read_header(), only_to_disk=True)


def _compile(header: str, *, only_to_disk: bool = False) -> tuple[Any, Any]:
    """The handler and the work it shares out; both must be kept alive."""
    from lob_core.backends import numba_cpu, numba_parallel

    pool = numba_parallel.pool_slots(header)  # type: ignore[no-untyped-call]
    return numba_cpu.compile_handler(pool, only_to_disk)  # type: ignore[no-any-return, no-untyped-call]


@functools.cache
def _register() -> str | None:
    """Registers the handler with XLA; returns why that is impossible, or None."""
    try:
        header = _read_header()
        if _helper is not None:
            _helper.wait()  # whatever became of it: what it has not compiled is compiled here
        handler, task = _compile(header)
        capsule = jax.ffi.pycapsule(handler.ctypes)  # type: ignore[no-untyped-call]
        jax.ffi.register_ffi_target(_TARGET, capsule, platform="cpu", api_version=1)
        _keep_alive.extend((handler, task))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"lob_core's numba backend cannot be used ({reason}); "
            "the slower xla backend is used instead",
            RuntimeWarning,
            stacklevel=3,
        )
        return reason
    return None


def _read_header() -> str:
    """The C header of XLA's FFI, if its version is one that the handler can read."""
    path = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    header = path.read_text("utf-8")
    found = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header))
    if int(found.get("MAJOR", -1)) != _KNOWN_MAJOR_VERSION:
        raise FfiUnavailableError(
            f"XLA's FFI has version {found.get('MAJOR')}.{found.get('MINOR')}; "
            f"only {_KNOWN_MAJOR_VERSION}.x is known"
        )
    return header


def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`), on the CPU.

    Batched by `vmap`, the call receives all books at once. The book's buffers are the result's:
    XLA copies only if the old book is used again.
    """
    leaves, treedef = jax.tree.flatten(book)
    orders = [
        messages.event_type,
        messages.side,
        messages.price,
        messages.size,
        messages.order_id,
        messages.agent_id,
        messages.time_in_force,
    ]
    outcome_leaves, outcome_treedef = jax.tree.flatten(
        outcome_shape(messages.price.shape[0], config)
    )
    call = jax.ffi.ffi_call(
        _TARGET,
        [_shape(jnp.shape(x)) for x in leaves] + outcome_leaves,
        vmap_method="broadcast_all",
        input_output_aliases={i: i for i in range(_NUM_BOOK_LEAVES)},
    )
    results = call(
        *leaves,
        *orders,
        self_match=np.int32(config.self_match),
        unknown_cancel=np.int32(config.unknown_cancel),
    )
    new_book: BookState = jax.tree.unflatten(treedef, results[:_NUM_BOOK_LEAVES])
    outcome: Outcome = jax.tree.unflatten(outcome_treedef, results[_NUM_BOOK_LEAVES:])
    return new_book, outcome


def _shape(shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)  # type: ignore[no-untyped-call]


def outcome_shape(num_messages: int, config: BookConfig) -> Outcome:
    """One book's `Outcome` of shapes, in the order in which the handler writes its results."""

    def rows(*shape: int) -> Array:
        return cast(Array, _shape(shape))

    return Outcome(
        trades=Trades(*[*(rows(config.max_trades) for _ in range(8)), rows()]),
        reports=Reports(*(rows(num_messages) for _ in range(4))),
        fills=Fills(*(rows(config.num_agents + 1) for _ in range(6))),
    )
