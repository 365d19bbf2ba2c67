"""Books in one line: `make_book(bids=[(100, [5, 7])], asks=[(101, [3])])`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.types import (
    BACKGROUND_AGENT,
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    BookConfig,
    BookState,
    Orders,
    zero_counters,
)

Levels = Sequence[tuple[int, Sequence[int]]]
"""Price levels, best first: a price in ticks and the sizes of its orders in queue order."""


def make_book(
    bids: Levels = (),
    asks: Levels = (),
    config: BookConfig | None = None,
    *,
    first_order_id: int = 1,
    agent_id: int = BACKGROUND_AGENT,
) -> BookState:
    """A book holding the given levels.

    Orders are numbered from `first_order_id` in the order in which they are listed, bids before
    asks.

    Args:
        bids: buy levels, highest price first.
        asks: sell levels, lowest price first.
        config: shapes; the defaults of `BookConfig` if None.
        first_order_id: id of the first order.
        agent_id: owner of all the orders.

    Returns:
        A `BookState` with leaves `[N]`.

    Raises:
        ValueError: if a level is out of order, a price or size is below 1, the book is crossed,
            or a side has more orders than slots.

    Example:
        >>> book = make_book(bids=[(100, [5, 7])], asks=[(101, [3])])
        >>> book.bids.size[:3].tolist(), book.asks.order_id[:2].tolist()
        ([5, 7, 0], [3, 0])
    """
    config = config or BookConfig()
    _check_levels("bids", bids, -1)
    _check_levels("asks", asks, 1)
    if bids and asks and bids[0][0] >= asks[0][0]:
        raise ValueError(f"the best bid {bids[0][0]} must be below the best ask {asks[0][0]}")
    num_bids = sum(len(sizes) for _, sizes in bids)
    return BookState(
        bids=_make_side("bids", bids, config, first_order_id, agent_id),
        asks=_make_side("asks", asks, config, first_order_id + num_bids, agent_id),
        counters=zero_counters(),
    )


def _check_levels(name: str, levels: Levels, direction: int) -> None:
    prices = np.array([price for price, _ in levels], np.int64)
    if (np.diff(prices) * direction <= 0).any():
        raise ValueError(f"{name} must be listed best price first; found {prices.tolist()}")
    if (prices < 1).any() or any(size < 1 for _, sizes in levels for size in sizes):
        raise ValueError(f"prices and sizes of {name} must be >= 1; found {list(levels)}")


def _make_side(
    name: str, levels: Levels, config: BookConfig, first_order_id: int, agent_id: int
) -> Orders:
    rows = [(price, size) for price, sizes in levels for size in sizes]
    num_free = config.num_slots - len(rows)
    if num_free < 0:
        raise ValueError(f"{name} hold {len(rows)} orders; num_slots is {config.num_slots}")

    def column(values: Sequence[int], free: int) -> jax.Array:
        return jnp.asarray([*values, *[free] * num_free], jnp.int32)

    return Orders(
        price=column([price for price, _ in rows], NO_PRICE),
        size=column([size for _, size in rows], 0),
        order_id=column([first_order_id + i for i in range(len(rows))], NO_ORDER),
        agent_id=column([agent_id] * len(rows), NO_AGENT),
    )


def stack_trees(trees: Sequence[Any]) -> Any:
    """Pytrees of one structure stacked along a new leading axis, e.g. books into a batch."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
