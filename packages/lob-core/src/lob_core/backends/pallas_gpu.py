"""The GPU backend seen from JAX: a kernel program for each book, lowered through Triton.

On a CPU the same kernel runs in Pallas's interpret mode, which is slow: for tests only.
"""

from __future__ import annotations

import functools
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl

from lob_core.backends import pallas_kernel, xla
from lob_core.backends.pallas_kernel import Slots, power_of_two
from lob_core.backends.pallas_request import WORST
from lob_core.types import (
    NO_AGENT,
    NO_ORDER,
    NO_PRICE,
    Array,
    BookConfig,
    BookState,
    Counters,
    EventType,
    Fills,
    Message,
    Orders,
    Outcome,
    Reports,
    Side,
    Trades,
    empty_book,
    make_messages,
)

MOST_SLOTS = 1024
_LEAST_SLOTS = 16
_SLOTS_PER_WARP = 512
_BLANK_ROW = (NO_PRICE, 0, NO_ORDER, NO_ORDER, NO_AGENT, NO_AGENT, 0, 0)
"""An unused row of `Trades`."""
_NUM_COUNTS = 8  # six counters, the number of trades, and one unused


def is_available() -> bool:
    """Whether the kernel works on this process's GPU: the first call compiles and tries it.

    Warns:
        RuntimeWarning: once, with the reason, if it does not.
    """
    return _refusal() is None


@functools.cache
def _refusal() -> str | None:
    """Why the kernel cannot be used here, or None if it plays a few messages as `xla` does."""
    try:
        with ThreadPoolExecutor(1) as clean:  # this thread may be in the midst of tracing
            found, expected = clean.submit(_try_out).result()
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
        if not all(np.array_equal(left, right) for left, right in pairs):
            raise RuntimeError("its results differ from those of the xla backend")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"lob_core's pallas backend cannot be used on this device ({reason}); "
            "the slower xla backend is used instead",
            RuntimeWarning,
            stacklevel=3,
        )
        return reason
    return None


def _try_out() -> list[Any]:
    """What this backend and `xla` make of the same few messages."""
    config = BookConfig(num_slots=_LEAST_SLOTS, max_trades=4, num_agents=1)
    messages = make_messages(
        event_type=[EventType.SUBMIT] * 3 + [EventType.MARKET, EventType.CANCEL],
        side=[Side.BID, Side.BID, Side.ASK, Side.ASK, Side.BID],
        price=[100, 101, 103, NO_PRICE, 100],
        size=[5, 7, 2, 9, 1],
        order_id=[1, 2, 3, 4, 1],
        agent_id=[0, 1, 0, 1, 0],
    )
    return [
        jax.device_get(
            jax.jit(functools.partial(play, config=config))(empty_book(config), messages)
        )
        for play in (process_messages, xla.process_messages)
    ]


def process_messages(
    book: BookState, messages: Message, *, config: BookConfig
) -> tuple[BookState, Outcome]:
    """The contract of `lob_core.process_messages` for one book (leaves `[N]`, `[M]`).

    Raises:
        ValueError: if the book has more than 1024 slots a side.
    """
    if config.num_slots > MOST_SLOTS:
        raise ValueError(
            f"BookConfig.num_slots is {config.num_slots}; "
            f"the pallas backend holds at most {MOST_SLOTS} a side on chip"
        )
    on_cpu = functools.partial(run_kernel, config=config, interpret=True)
    on_gpu = functools.partial(run_kernel, config=config, interpret=False)
    result: tuple[BookState, Outcome] = jax.lax.platform_dependent(
        book, messages, cpu=on_cpu, default=on_gpu
    )
    return result


def run_kernel(
    book: BookState, messages: Message, *, config: BookConfig, interpret: bool
) -> tuple[BookState, Outcome]:
    """Runs the kernel on the book and puts the orders back in priority order."""
    half = power_of_two(max(config.num_slots, _LEAST_SLOTS))
    num_messages = messages.price.shape[0]
    if num_messages == 0:
        nothing: tuple[BookState, Outcome] = xla.process_messages(book, messages, config=config)
        return nothing
    num_rows = config.max_trades + 1 if config.max_trades else 0
    lengths = [2 * half] * 5 + [num_messages] * 4 + [_NUM_COUNTS]
    lengths += [power_of_two(config.num_agents + 1)] * 6 + [num_rows] * (8 if num_rows else 0)
    results = pl.pallas_call(
        functools.partial(_kernel, config=config),
        out_shape=[_shape(length) for length in lengths],
        interpret=interpret,
        compiler_params=None if interpret else _triton_settings(half),
        name="process_messages",
    )(*_message_fields(messages), *jax.tree.leaves((book.bids, book.asks)))
    slots, reports, counts = Slots(*results[:5]), Reports(*results[5:9]), results[9]
    fills = Fills(*(rows[: config.num_agents + 1] for rows in results[10:16]))
    bids, asks = _sort(slots, config.num_slots)
    num_trades = jnp.minimum(counts[6], config.max_trades)
    raised = Counters(*counts[:6]).replace(dropped_trades=counts[6] - num_trades)
    counters = jax.tree.map(lambda before, more: before + more, book.counters, raised)
    book = BookState(bids=bids, asks=asks, counters=counters)
    trades = _trim(results[16:], num_trades, config)
    return book, Outcome(trades=trades, reports=reports, fills=fills)


def _triton_settings(half: int) -> Any:
    """Few warps, so that reductions stay within one for up to 256 slots a side."""
    from jax.experimental.pallas import triton  # newer JAX may lack it: see `is_available`

    return triton.CompilerParams(num_warps=max(1, 2 * half // _SLOTS_PER_WARP), num_stages=1)


def _shape(length: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((length,), jnp.int32)  # type: ignore[no-untyped-call]


def _kernel(*references: Any, config: BookConfig) -> None:
    """Reads the inputs of one book, plays its messages and writes the outputs."""
    message_fields, orders, outputs = references[:7], references[7:15], references[15:]
    messages = Message(*message_fields, *[None] * 2)
    start = _load(orders[:4], orders[4:], outputs[0].shape[0])
    end, counters, fills, num_trades = pallas_kernel.play(
        messages, start, outputs[5:9], outputs[16:], config
    )
    for reference, value in zip(outputs[:5], end, strict=True):
        reference[...] = value
    for i, value in enumerate((*jax.tree.leaves(counters), num_trades)):
        outputs[9][i] = value
    for reference, value in zip(outputs[10:16], jax.tree.leaves(fills), strict=True):
        reference[...] = value


def _message_fields(messages: Message) -> list[Array]:
    """The fields that the engine reads, in the order of `Message`."""
    return [
        messages.event_type,
        messages.side,
        messages.price,
        messages.size,
        messages.order_id,
        messages.agent_id,
        messages.time_in_force,
    ]


def _load(bids: Any, asks: Any, num_rows: int) -> Slots:
    """The slots `[2 P]`, bids first; from references `[N]` to the fields of `Orders`, `N <= P`."""
    half, num_slots = num_rows // 2, bids[0].shape[0]
    number = jax.lax.iota(jnp.int32, num_rows)
    is_bid, serial = number < half, number & (half - 1)
    place = jnp.minimum(serial, num_slots - 1)
    price, size, order_id, agent_id = (
        jnp.where(is_bid, bid[place], ask[place]) for bid, ask in zip(bids, asks, strict=True)
    )
    return Slots(
        key=jnp.where(is_bid, -price, price),
        size=jnp.where(serial < num_slots, size, 0),
        order_id=order_id,
        agent_id=agent_id,
        serial=serial,
    )


def _sort(slots: Slots, num_slots: int) -> tuple[Orders, Orders]:
    """Both sides in priority order, free slots behind the live ones, `[N]` each."""
    half = slots.size.shape[0] // 2

    def one(side: Slots, sign: int) -> Orders:
        is_live = side.size > 0
        rows = [
            jnp.where(is_live, side.key, WORST),
            jnp.where(is_live, side.serial, WORST),
            jnp.where(is_live, sign * side.key, NO_PRICE),
            jnp.where(is_live, side.size, 0),
            jnp.where(is_live, side.order_id, NO_ORDER),
            jnp.where(is_live, side.agent_id, NO_AGENT),
        ]
        ordered = jax.lax.sort(rows, num_keys=2)
        return Orders(*(row[:num_slots] for row in ordered[2:]))

    bids, asks = (Slots(*(field[side] for field in slots)) for side in np.s_[:half, half:])
    return one(bids, -1), one(asks, 1)


def _trim(log: list[Array], count: Array, config: BookConfig) -> Trades:
    """The trades, `[T]`, without what the kernel left behind the last one."""
    log = log or [jnp.zeros(0, jnp.int32)] * len(_BLANK_ROW)
    is_used = jnp.arange(config.max_trades) < count
    rows = [
        jnp.where(is_used, row[: config.max_trades], value)
        for row, value in zip(log, _BLANK_ROW, strict=True)
    ]
    return Trades(*(*rows, count))
