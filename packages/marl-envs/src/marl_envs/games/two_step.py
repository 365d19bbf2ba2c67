"""A game of two steps in which the safe choice hides a better one: a test of value factorization.

from marl_envs.games.two_step import TwoStep
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from marl_envs.spaces import Box, Discrete

Array: TypeAlias = jax.Array

SAFE = 7.0
"""Reward of every pair of actions after the safe choice."""
RISKY = np.array([[0.0, 1.0], [1.0, 8.0]], np.float32)
"""Reward of a pair of actions after the other choice."""


class TwoStepState(NamedTuple):
    """Where the game stands: `[]` int32, 0 at the first step, 1 after the safe choice, 2 else."""

    place: Array


@dataclasses.dataclass(frozen=True)
class TwoStepGroup:
    """The agents of the game; fields as of any environment's groups."""

    num_agents: int
    observation_space: Box
    action_space: Discrete


class TwoStep:
    """Two agents of one type, `"agent"`, that share a reward paid at the second step.

    At the first step the first agent chooses the game of the second: by action 0 the one that
    pays 7 whatever both do, by action 1 the one that pays `RISKY[a, b]`: 8 if both take action 1,
    1 if one does, 0 if none. Observations `[2, 5]` are one-hot marks of the place and of the agent.

    The best return is 8 (discount 1). A sum of single values cannot tell the risky game from its
    best additive fit, whose greatest value, found by least squares under uniform play, is 6.5 < 7:
    value decomposition (VDN) takes the safe game and earns 7. Monotonic mixing (QMIX) represents
    the risky game exactly and earns 8.

    References:
        Rashid et al. (2018), "QMIX: monotonic value function factorisation for deep multi-agent
        reinforcement learning", section 5 and table 1.
    """

    @property
    def groups(self) -> dict[str, TwoStepGroup]:
        """The single type."""
        return {"agent": TwoStepGroup(2, Box(0.0, 1.0, (5,)), Discrete(2))}

    def _observe(self, place: Array) -> dict[str, Array]:
        where = jnp.broadcast_to(jax.nn.one_hot(place, 3), (2, 3))
        return {"agent": jnp.concatenate([where, jnp.eye(2)], axis=-1)}

    def reset_env(self, key: Array, params: Any) -> tuple[dict[str, Array], TwoStepState]:
        """Observations and state at the start; `key` and `params` are not needed."""
        place = jnp.zeros((), jnp.int32)
        return self._observe(place), TwoStepState(place)

    def step_env(
        self, key: Array, state: TwoStepState, action: dict[str, Array], params: Any
    ) -> tuple[
        dict[str, Array],
        TwoStepState,
        dict[str, Array],
        dict[str, Array],
        dict[str, Array],
        dict[str, Any],
    ]:
        """One step without reset: observations, state, reward, terminated, truncated, info."""
        first, second = action["agent"]
        ends = state.place > 0
        risky = jnp.asarray(RISKY)[first, second]
        paid = jnp.where(state.place == 1, SAFE, jnp.where(ends, risky, 0.0))
        place = jnp.where(ends, state.place, 1 + first).astype(jnp.int32)
        flags = jnp.broadcast_to(ends, (2,))
        info = {
            "active": {"agent": jnp.ones((2,), bool)},
            "episode": {"done": ends},
            "market": {},
            "counters": {},
        }
        return (
            self._observe(place),
            TwoStepState(place),
            {"agent": jnp.broadcast_to(paid, (2,))},
            {"agent": flags},
            {"agent": jnp.zeros((2,), bool)},
            info,
        )
