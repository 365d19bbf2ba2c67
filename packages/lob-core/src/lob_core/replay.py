"""Windows of recorded order flow on the device, cut into steps."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from lob_core.packing import NUM_WORDS, unpack_messages
from lob_core.types import Array, BookState, Message


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReplayWindows:
    """`W` episodes of `S` steps over one flat array of `D` messages.

    Windows may overlap: they share the messages. Steps may differ in length; each is read as `K`
    rows of which those beyond its end are `NOOP`.

    Attributes:
        packed: `[D + K, 4]` int32, all messages (`lob_core.packing`) in order, then at least `K`
            rows of `NOOP`.
        step_start: `[W, S + 1]` int32; step `s` of window `w` is
            `packed[step_start[w, s] : step_start[w, s + 1]]`.
        opening: the book at the start of each window, leaves `[W, N]`.
        time_s: `[W]` int32, seconds since midnight at which each window starts.
        time_ns: `[W]` int32, nanoseconds within that second.
        max_messages_per_step: `K`, static; no step is longer.
    """

    packed: Array
    step_start: Array
    opening: BookState
    time_s: Array
    time_ns: Array
    max_messages_per_step: int = dataclasses.field(metadata={"static": True})

    @property
    def num_windows(self) -> int:
        """`W`."""
        return int(self.step_start.shape[-2])

    @property
    def num_steps(self) -> int:
        """`S`."""
        return int(self.step_start.shape[-1]) - 1


def check_windows(windows: ReplayWindows) -> ReplayWindows:
    """Checks concrete windows on the host, before they are traced.

    Args:
        windows: what to check.

    Returns:
        `windows`, unchanged.

    Raises:
        ValueError: if shapes disagree, a step starts after it ends, lies outside the messages or
            is longer than `max_messages_per_step`.
    """
    starts = jax.device_get(windows.step_start)
    longest = windows.max_messages_per_step
    if windows.packed.ndim != 2 or windows.packed.shape[1] != NUM_WORDS:
        raise ValueError(f"packed has shape {windows.packed.shape}; it must be [D + K, 4]")
    if starts.ndim != 2 or starts.shape[1] < 2:
        raise ValueError(f"step_start has shape {starts.shape}; it must be [W, S + 1], S >= 1")
    for name in ("time_s", "time_ns"):
        shape = getattr(windows, name).shape
        if shape != starts.shape[:1]:
            raise ValueError(f"{name} has shape {shape}; it must be {starts.shape[:1]}")
    if windows.opening.bids.price.shape[:-1] != starts.shape[:1]:
        shape = windows.opening.bids.price.shape
        raise ValueError(f"opening.bids.price has shape {shape}; it must be [{starts.shape[0]}, N]")
    lengths = starts[:, 1:] - starts[:, :-1]
    if longest < 1 or lengths.min() < 0 or lengths.max() > longest:
        raise ValueError(
            f"steps hold {lengths.min()} .. {lengths.max()} messages; "
            f"they must hold 0 .. max_messages_per_step = {longest}"
        )
    last = windows.packed.shape[0] - longest
    if starts.min() < 0 or starts.max() > last:
        raise ValueError(
            f"step_start holds {starts.min()} .. {starts.max()}; it must be in 0 .. {last}, "
            f"which leaves {longest} rows of padding after the last message"
        )
    return windows


def step_messages(windows: ReplayWindows, window: Array | int, step: Array | int) -> Message:
    """The messages of one step.

    Args:
        windows: recorded order flow.
        window: `[]` int32, in `0 .. W - 1`.
        step: `[]` int32, in `0 .. S - 1`.

    Returns:
        A `Message` with leaves `[K]`; rows beyond the end of the step are `NOOP`.

    Notes:
        Under `jit` an index out of range is clamped to the nearest valid one, as JAX does.
    """
    start = windows.step_start[window, step]
    end = windows.step_start[window, step + 1]
    num_rows = windows.max_messages_per_step
    rows = jax.lax.dynamic_slice(windows.packed, (start, 0), (num_rows, NUM_WORDS))
    is_used = jnp.arange(num_rows) < end - start
    return unpack_messages(jnp.where(is_used[:, None], rows, 0))


def opening_book(windows: ReplayWindows, window: Array | int) -> BookState:
    """The book at the start of `window` (`[]` int32), leaves `[N]`."""
    book: BookState = jax.tree.map(lambda leaf: leaf[window], windows.opening)
    return book
