"""The front door of the engine: one contract, whichever backend carries it out."""

from __future__ import annotations

from typing import Any, get_args

import jax
import jax.numpy as jnp
from jax import local_devices

from lob_core.backends import by_platform
from lob_core.types import Backend, BookConfig, BookState, Message, Outcome


def process_messages(
    book: BookState,
    messages: Message,
    *,
    config: BookConfig,
    backend: Backend | None = None,
) -> tuple[BookState, Outcome]:
    """Plays messages through a book, in order.

    Pure, and safe under `jit`, `vmap` and `scan`. All backends return the same bits.

    Args:
        book: one book, leaves `[N]` with `N = config.num_slots`.
        messages: leaves `[M]`.
        config: shapes and rules; static under `jit`.
        backend: "xla" runs anywhere; "numba" on CPUs only; "pallas" on NVIDIA GPUs, and on CPUs
            for tests, slowly. None takes numba where the program is lowered for a CPU, pallas
            where it is lowered for CUDA and a side has at most 1024 slots, and xla elsewhere. If
            numba or pallas cannot be used here, xla takes its place and a `RuntimeWarning` says
            why, once.

    Returns:
        The new book, and the `Outcome`: trades `[T]`, reports `[M]` and fills `[A]`.

    Raises:
        ValueError: if shapes or dtypes do not fit `config`, or `backend` is unknown.

    Example:
        >>> from lob_core import BookConfig, empty_book, make_messages
        >>> config = BookConfig(num_slots=4, max_trades=4)
        >>> messages = make_messages(
        ...     event_type=[1, 1], side=[1, -1], price=[100, 100], size=[5, 3], order_id=[1, 2]
        ... )
        >>> book, outcome = process_messages(empty_book(config), messages, config=config)
        >>> book.bids.size.tolist(), outcome.trades.size.tolist()
        ([2, 0, 0, 0], [3, 0, 0, 0])
    """
    if backend is not None and backend not in get_args(Backend):
        allowed = ", ".join(map(repr, get_args(Backend)))
        raise ValueError(f"backend is {backend!r}; it must be None or one of {allowed}")
    _check_shapes(book, messages, config)
    if backend == "pallas":
        from lob_core.backends import pallas_gpu  # importing Pallas takes long

        return pallas_gpu.process_messages(book, messages, config=config)
    has_kernel = backend is None and _has_kernel(config)
    return by_platform.process_messages(
        book, messages, config=config, backend=backend, on_cuda="pallas" if has_kernel else "xla"
    )


def _has_kernel(config: BookConfig) -> bool:
    """Whether this process has a CUDA device on which the backend for them works."""
    if not any(device.platform == "gpu" for device in local_devices()):
        return False
    from lob_core.backends import pallas_gpu

    return config.num_slots <= pallas_gpu.MOST_SLOTS and pallas_gpu.is_available()


def _check_shapes(book: BookState, messages: Message, config: BookConfig) -> None:
    """Raises `ValueError` unless all leaves are int32 and have the shapes of the contract."""
    if jnp.ndim(messages.price) != 1:
        raise ValueError(
            f"messages.price has shape {jnp.shape(messages.price)}; it must be [M] "
            "(use jax.vmap for a batch of books)"
        )
    expected: list[tuple[str, Any, tuple[int, ...]]] = [
        ("book.bids", book.bids, (config.num_slots,)),
        ("book.asks", book.asks, (config.num_slots,)),
        ("book.counters", book.counters, ()),
        ("messages", messages, jnp.shape(messages.price)),
    ]
    for name, tree, shape in expected:
        for path, leaf in jax.tree.leaves_with_path(tree):
            where = name + jax.tree_util.keystr(path)
            if jnp.shape(leaf) != shape:
                raise ValueError(f"{where} has shape {jnp.shape(leaf)}; it must be {shape}")
            if jnp.result_type(leaf) != jnp.int32:
                raise ValueError(f"{where} is {jnp.result_type(leaf)}; it must be int32")
