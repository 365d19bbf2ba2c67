"""Windows to replay without any data: a flow model's messages, packed like a prepared store's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from lob_core.flow import FlowModel, ZeroIntelligence, simulate
from lob_core.packing import pack_messages, pad_with_noops
from lob_core.replay import ReplayWindows

from marl_envs.config import EnvConfig

_COLUMNS = ("event_type", "side", "price", "size", "order_id", "time_in_force", "time_s", "time_ns")


def record_windows(
    config: EnvConfig,
    messages_per_step: int,
    num_windows: int,
    *,
    model: FlowModel[Any, Any] | None = None,
    seed: int = 0,
) -> ReplayWindows:
    """Windows of `config.num_steps` steps.

    Args:
        config: of the environment that will replay them.
        messages_per_step: messages of a step.
        num_windows: `W`.
        model: the flow model, with looks of `refresh_every` messages that divide a window; None
            takes zero intelligence.
        seed: of the recording.
    """
    flow: FlowModel[Any, Any] = ZeroIntelligence() if model is None else model
    params = flow.default_params()
    total = messages_per_step * config.num_steps

    @jax.jit
    def record(key: jax.Array) -> Any:
        key_open, key_flow = jax.random.split(key)
        book, state = flow.opening(key_open, params, config.book)
        messages = simulate(flow, key_flow, book, state, params, total, config.book)[2]
        return book, state, messages

    books, states, messages = jax.vmap(record)(jax.random.split(jax.random.key(seed), num_windows))
    columns = {name: np.asarray(getattr(messages, name)).reshape(-1) for name in _COLUMNS}
    first = total * np.arange(num_windows)[:, None]
    starts = first + messages_per_step * np.arange(config.num_steps + 1)
    return ReplayWindows(
        packed=jnp.asarray(pad_with_noops(pack_messages(**columns), messages_per_step)),
        step_start=jnp.asarray(starts, jnp.int32),
        opening=books,
        time_s=states.time_s,
        time_ns=states.time_ns,
        max_messages_per_step=messages_per_step,
    )
