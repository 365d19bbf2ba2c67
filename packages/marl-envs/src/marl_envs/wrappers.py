"""Views of an environment that record or reshape what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from marl_envs.base import ByType, MultiAgentEnv

Array = jax.Array
Policy = Callable[[Array, ByType], ByType]
"""From a key and observations by type to actions by type."""


def play_episode(
    env: MultiAgentEnv[Any, Any], policy: Policy, key: Array, params: Any, num_steps: int
) -> dict[str, Any]:
    """Plays steps without auto-reset and logs each; pure, so it can be jitted and vmapped.

    Market randomness depends on `key` only: other policies under the same key meet the same
    windows, tasks and background draws.

    Args:
        env: the environment.
        policy: chooses actions from a key of its own.
        key: consumed.
        params: of the environment.
        num_steps: steps to play, at most one episode.

    Returns:
        `{"obs", "action", "reward", "info"}`, leaves led by `[num_steps]`; `obs` is what the
        action was chosen from, `info` what came of it. The last row of `info["episode"]` is the
        result of the episode.
    """
    key_reset, key_market, key_policy = jax.random.split(key, 3)
    obs, state = env.reset_env(key_reset, params)

    def step(carry: tuple[ByType, Any], index: Array) -> tuple[tuple[ByType, Any], dict[str, Any]]:
        obs, state = carry
        action = policy(jax.random.fold_in(key_policy, index), obs)
        next_obs, state, reward, _, _, info = env.step_env(
            jax.random.fold_in(key_market, index), state, action, params
        )
        row = {"obs": obs, "action": action, "reward": reward, "info": info}
        return (next_obs, state), row

    _, log = jax.lax.scan(step, (obs, state), jax.numpy.arange(num_steps))
    return log
