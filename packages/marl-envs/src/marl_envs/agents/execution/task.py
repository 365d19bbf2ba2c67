"""The order an execution agent is given."""

from __future__ import annotations

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
from lob_core.types import Side

from marl_envs.agents.market_making.actions import check_at_least

Array = jax.Array

_TASKS: Final = ("buy", "sell", "random")


@dataclasses.dataclass(frozen=True)
class ExecutionTask:
    """Buy or sell `task_size` shares.

    Attributes:
        task: `"buy"`, `"sell"`, or `"random"`, which draws a side for every agent on its own.
        task_size: shares.

    Raises:
        ValueError: if a field is out of range.
    """

    task: str = "random"
    task_size: int = 600

    def __post_init__(self) -> None:
        check_at_least("task_size", self.task_size, 1)
        if self.task not in _TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {_TASKS}")

    def sample(self, key: Array, num_agents: int) -> tuple[Array, Array]:
        """`task_side` and `task_size`, each `[num_agents]` int32."""
        size = jnp.full(num_agents, self.task_size, jnp.int32)
        if self.task != "random":
            side = Side.BID if self.task == "buy" else Side.ASK
            return jnp.full(num_agents, side, jnp.int32), size
        is_buy = jax.random.bernoulli(key, shape=(num_agents,))
        return jnp.where(is_buy, Side.BID, Side.ASK).astype(jnp.int32), size
