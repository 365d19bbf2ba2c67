"""The background of a market cut into parts, so that workers learn on data of their own."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.replay import ReplayWindows
from marl_envs import EnvParams
from marl_envs.background import FlowBackground, ReplayBackground

Array: TypeAlias = jax.Array


def shard_params(params: EnvParams, num_shards: int) -> EnvParams:
    """Parameters of a market for each of several workers, leaves `[W, ...]`.

    Windows (of a replay) or opening books (of a flow model) are cut into equal parts in order;
    what is left over is played by nobody. A worker gets the messages of its own windows and no
    others.

    Args:
        params: parameters of the market.
        num_shards: `W`.

    Raises:
        ValueError: if there are fewer windows or openings than shards.
    """
    background: Any = params.background
    size = background.num_openings // num_shards
    if size < 1:
        raise ValueError(
            f"{background.num_openings} windows or openings do not make {num_shards} shards"
        )
    parts = [slice(i * size, (i + 1) * size) for i in range(num_shards)]
    if isinstance(background, FlowBackground):
        shards = [
            dataclasses.replace(
                background, **{n: _rows(getattr(background, n), part) for n in _POOLED}
            )
            for part in parts
        ]
        whole = jax.tree.map(lambda *x: jnp.stack(x), *shards)
    elif isinstance(background, ReplayBackground):
        windows = _stack_windows([_window_rows(background.windows, part) for part in parts])
        market = [_rows(background.market, part) for part in parts]
        whole = dataclasses.replace(
            background, windows=windows, market=jax.tree.map(lambda *x: jnp.stack(x), *market)
        )
    else:
        raise ValueError(f"{type(background).__name__} cannot be cut into shards")

    def repeat(tree: Any) -> Any:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (num_shards, *jnp.shape(x))), tree)

    return EnvParams(
        background=whole,
        calibration=repeat(params.calibration),
        fundamental=repeat(params.fundamental),
    )


_POOLED = ("books", "states", "market")
"""Parts of a flow background that are led by its openings."""


def _rows(tree: Any, rows: slice) -> Any:
    return jax.tree.map(lambda x: x[rows], tree)


def _window_rows(windows: ReplayWindows, rows: slice) -> ReplayWindows:
    """Some of the windows, with their own messages only."""
    starts = np.asarray(windows.step_start[rows])
    first, last = int(starts.min()), int(starts.max())
    messages = windows.packed[first:last]
    padding = jnp.zeros((windows.max_messages_per_step, messages.shape[1]), messages.dtype)
    return dataclasses.replace(
        windows,
        packed=jnp.concatenate([messages, padding]),
        step_start=jnp.asarray(starts - first),
        opening=_rows(windows.opening, rows),
        time_s=windows.time_s[rows],
        time_ns=windows.time_ns[rows],
    )


def _stack_windows(shards: list[ReplayWindows]) -> ReplayWindows:
    """Windows of all shards, leaves `[W, ...]`; shorter streams of messages are filled up."""
    longest = max(shard.packed.shape[0] for shard in shards)
    filled = [
        dataclasses.replace(
            shard, packed=jnp.pad(shard.packed, ((0, longest - shard.packed.shape[0]), (0, 0)))
        )
        for shard in shards
    ]
    stacked: ReplayWindows = jax.tree.map(lambda *x: jnp.stack(x), *filled)
    return stacked
