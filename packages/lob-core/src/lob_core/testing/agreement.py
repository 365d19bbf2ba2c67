"""The suite's common ground: run any engine, compare results bit for bit, check a book's form."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, cast

import jax
import numpy as np

from lob_core import reference
from lob_core.backends import xla_blocks
from lob_core.engine import process_messages
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Backend,
    BookConfig,
    BookState,
    Message,
    Orders,
    Outcome,
)

ENGINES: Final = ("reference", "xla", "numba", "pallas")
"""Every implementation of the contract; the first is the oracle."""

_FORMS: Final = {"xla_blocks": xla_blocks.process_messages}
"""Forms of a backend that `process_messages` does not choose on a CPU."""

Engine = Callable[[BookState, Message], tuple[BookState, Outcome]]


@functools.cache
def make_engine(name: str, config: BookConfig) -> Engine:
    """A function that plays `[M]` messages on one book with NumPy in and out.

    Args:
        name: one of `ENGINES`, or "xla_blocks", the form of "xla" for GPUs.
        config: shapes and rules.

    Raises:
        ValueError: if `name` is unknown.
    """
    if name not in ENGINES and name not in _FORMS:
        raise ValueError(f"engine is {name!r}; it must be one of {', '.join(ENGINES)}")
    if name == "reference":
        return functools.partial(reference.process_messages, config=config)
    if name in _FORMS:
        compiled = jax.jit(functools.partial(_FORMS[name], config=config))
    else:
        backend = cast(Backend, name)
        compiled = jax.jit(functools.partial(process_messages, config=config, backend=backend))

    def play(book: BookState, messages: Message) -> tuple[BookState, Outcome]:
        result: tuple[BookState, Outcome] = jax.device_get(compiled(book, messages))
        return result

    return play


def assert_same(found: Any, expected: Any) -> None:
    """Raises `AssertionError`, naming the leaf, unless two trees hold the same integers."""
    pairs = zip(jax.tree.leaves_with_path(found), jax.tree.leaves_with_path(expected), strict=True)
    for (path, left), (_, right) in pairs:
        np.testing.assert_array_equal(left, right, err_msg=jax.tree_util.keystr(path))


def assert_sound(book: BookState) -> None:
    """Raises `AssertionError` unless a book (leaves `[N]`) has the form the contract promises.

    Live orders come first, in price order, with prices and sizes of at least 1; free slots hold
    the sentinels; the book is not crossed.
    """
    bids, asks = (jax.tree.map(np.asarray, side) for side in (book.bids, book.asks))
    for side, direction in ((bids, -1), (asks, 1)):
        _assert_side_sound(side, direction)
    if bids.size[0] > 0 and asks.size[0] > 0:
        assert bids.price[0] < asks.price[0], f"crossed: {bids.price[0]} >= {asks.price[0]}"


def _assert_side_sound(side: Orders, direction: int) -> None:
    count = int((np.asarray(side.size) > 0).sum())
    assert (side.size[:count] > 0).all(), "live orders are not packed at the front"
    assert (side.price[:count] >= 1).all()
    steps = np.diff(np.asarray(side.price[:count], np.int64)) * direction
    assert (steps >= 0).all(), "orders are not in price order"
    assert (side.size[count:] == 0).all()
    assert (side.price[count:] == NO_PRICE).all()
    assert (side.order_id[count:] == NO_ORDER).all()
    assert (side.agent_id[count:] == NO_AGENT).all()
