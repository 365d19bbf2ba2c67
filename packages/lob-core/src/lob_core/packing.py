"""Sixteen bytes a message: how replayed order flow lies in device memory.

A packed message is four 32-bit words, lowest bits first:

| word | bits |
|---|---|
| 0 | time_ns 30, time_in_force 2 |
| 1 | time_s 17, event_type 4, side 1 (1 = ask), size bits 0-9 10 |
| 2 | order_id 26, size bits 10-15 6 |
| 3 | price 25, is_sync 1, size bits 16-21 6 |

An all-zero row is a `NOOP`. Packed messages are background flow: their agent is
`BACKGROUND_AGENT`. `is_sync` marks messages that a data preparation inserted to make the replayed
book equal to the recorded one; it is no part of a `Message` and is read with `unpack_is_sync`.
"""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from lob_core.types import BACKGROUND_AGENT, Array, Message, Side, TimeInForce

NUM_WORDS: Final = 4
"""32-bit words of a packed message."""

NANOSECONDS_PER_SECOND: Final = 1_000_000_000

MAX_VALUES: Final = {
    "event_type": 2**4 - 1,
    "price": 2**25 - 1,
    "size": 2**22 - 1,
    "order_id": 2**26 - 1,
    "time_in_force": 2**2 - 1,
    "time_s": 2**17 - 1,
    "time_ns": NANOSECONDS_PER_SECOND - 1,
    "is_sync": 1,
}
"""Largest value of each field that fits; the smallest is 0, and `side` is a `Side`."""


def pack_messages(
    *,
    event_type: npt.ArrayLike,
    side: npt.ArrayLike,
    price: npt.ArrayLike,
    size: npt.ArrayLike,
    order_id: npt.ArrayLike,
    time_s: npt.ArrayLike,
    time_ns: npt.ArrayLike,
    time_in_force: npt.ArrayLike = TimeInForce.GTC,
    is_sync: npt.ArrayLike = False,
) -> npt.NDArray[np.int32]:
    """Packs host columns into 16 bytes a message.

    Args:
        event_type: `[D]`, an `EventType`.
        side: `[D]`, a `Side`.
        price: `[D]`, ticks.
        size: `[D]`, shares.
        order_id: `[D]`.
        time_s: `[D]`, seconds since midnight.
        time_ns: `[D]`, nanoseconds within the second.
        time_in_force: `[D]`, a `TimeInForce`.
        is_sync: `[D]`, whether a data preparation inserted the message.

    Returns:
        `[D, 4]` int32.

    Raises:
        ValueError: if the columns differ in length or do not hold integers, or a value does not
            fit; the message names the field, the row, the value and the limit.
    """
    columns = {
        "event_type": event_type,
        "side": side,
        "price": price,
        "size": size,
        "order_id": order_id,
        "time_s": time_s,
        "time_ns": time_ns,
        "time_in_force": time_in_force,
        "is_sync": is_sync,
    }
    arrays = _as_columns(columns)
    _check_columns(arrays)
    is_ask = (arrays["side"] == Side.ASK).astype(np.int64)
    size_bits = arrays["size"]
    words = np.empty((is_ask.shape[0], NUM_WORDS), np.uint32)
    words[:, 0] = arrays["time_ns"] | arrays["time_in_force"] << 30
    words[:, 1] = (
        arrays["time_s"] | arrays["event_type"] << 17 | is_ask << 21 | (size_bits & 1023) << 22
    )
    words[:, 2] = arrays["order_id"] | (size_bits >> 10 & 63) << 26
    words[:, 3] = arrays["price"] | arrays["is_sync"] << 25 | (size_bits >> 16) << 26
    return words.view(np.int32)


def _as_columns(columns: dict[str, Any]) -> dict[str, npt.NDArray[np.int64]]:
    """The columns as int64 arrays of one common length; scalars are repeated."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biu" and array.size:
            raise ValueError(f"{name} has dtype {array.dtype}; it must hold integers")
    try:
        broadcast = np.broadcast_arrays(*arrays.values())
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"columns must have one length; found {shapes}") from error
    if broadcast[0].ndim != 1:
        raise ValueError(f"columns must be one-dimensional; found shape {broadcast[0].shape}")
    return {name: array.astype(np.int64) for name, array in zip(arrays, broadcast, strict=True)}


def _check_columns(arrays: dict[str, npt.NDArray[np.int64]]) -> None:
    for name, limit in MAX_VALUES.items():
        array = arrays[name]
        wrong = (array < 0) | (array > limit)
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"{name} is {array[row]} at row {row}; it must be in 0 .. {limit}")
    wrong = np.abs(arrays["side"]) != 1
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"side is {arrays['side'][row]} at row {row}; it must be 1 or -1")


def unpack_messages(packed: Array) -> Message:
    """Messages from their packed form; pure, for use inside `jit`.

    Args:
        packed: `[..., 4]` int32.

    Returns:
        A `Message` with leaves `[...]`.
    """
    words = [_as_unsigned(packed[..., i]) for i in range(NUM_WORDS)]
    size = words[1] >> 22 | (words[2] >> 26) << 10 | (words[3] >> 26) << 16
    is_ask = (words[1] >> 21 & 1) == 1
    event_type = (words[1] >> 17 & 15).astype(jnp.int32)
    return Message(
        event_type=event_type,
        side=jnp.where(is_ask, Side.ASK, Side.BID).astype(jnp.int32),
        price=(words[3] & (2**25 - 1)).astype(jnp.int32),
        size=size.astype(jnp.int32),
        order_id=(words[2] & (2**26 - 1)).astype(jnp.int32),
        agent_id=jnp.full_like(event_type, BACKGROUND_AGENT),
        time_in_force=(words[0] >> 30).astype(jnp.int32),
        time_s=(words[1] & (2**17 - 1)).astype(jnp.int32),
        time_ns=(words[0] & (2**30 - 1)).astype(jnp.int32),
    )


def unpack_is_sync(packed: Array) -> Array:
    """`[...]` bool, which packed messages a data preparation inserted.

    Args:
        packed: `[..., 4]` int32.
    """
    return (_as_unsigned(packed[..., 3]) >> 25 & 1) == 1


def pad_with_noops(packed: npt.NDArray[np.int32], num_rows: int) -> npt.NDArray[np.int32]:
    """Appends `num_rows` `NOOP` rows to `[D, 4]` host messages.

    Raises:
        ValueError: if `num_rows` is negative.
    """
    if num_rows < 0:
        raise ValueError(f"num_rows is {num_rows}; it must be >= 0")
    return np.concatenate([packed, np.zeros((num_rows, NUM_WORDS), np.int32)])


def _as_unsigned(words: Array) -> Array:
    return jax.lax.bitcast_convert_type(jnp.asarray(words, jnp.int32), jnp.uint32)
