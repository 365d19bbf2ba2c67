"""What every multi-agent environment offers: pure reset and step, with and without auto-reset."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, Generic, TypeVar

import jax

from marl_envs.batching import compute_if_any
from marl_envs.spaces import Space

Array = jax.Array
Params = TypeVar("Params")
State = TypeVar("State")
ByType = dict[str, Array]
"""Arrays by agent type, led by `[A]`."""


@dataclasses.dataclass(frozen=True)
class AgentGroup:
    """One type of agent, as a learner sees it.

    Attributes:
        name: key in every dict.
        kind: what kind of agent it is.
        num_agents: `A`.
        observation_space: of one agent.
        action_space: of one agent.
        observation_names: a name for every entry of an observation.
    """

    name: str
    kind: str
    num_agents: int
    observation_space: Space
    action_space: Space
    observation_names: tuple[str, ...]


class MultiAgentEnv(abc.ABC, Generic[Params, State]):
    """Pure methods on one market; callers add `jit`, `vmap` and `scan`.

    Observations, actions, rewards and flags are dicts by agent type whose leaves are led by `[A]`.
    """

    @property
    @abc.abstractmethod
    def groups(self) -> dict[str, AgentGroup]:
        """The agent types, by name."""

    @abc.abstractmethod
    def reset_env(self, key: Array, params: Params) -> tuple[ByType, State]:
        """Starts an episode.

        Args:
            key: consumed.
            params: data and numbers of the environment.

        Returns:
            Observations and state.
        """

    @abc.abstractmethod
    def step_env(
        self, key: Array, state: State, action: ByType, params: Params
    ) -> tuple[ByType, State, ByType, ByType, ByType, dict[str, Any]]:
        """One step without auto-reset.

        Args:
            key: consumed.
            state: of an episode that has not ended.
            action: by type, leaves led by `[A]`.
            params: data and numbers of the environment.

        Returns:
            Observations; state; rewards float32; terminated bool; truncated bool; and info, whose
            tree is the same on every step and has `info["episode"]["done"]`, `[]` bool.
        """

    def reset(self, key: Array, params: Params) -> tuple[ByType, State]:
        """Starts an episode; see `reset_env`."""
        return self.reset_env(key, params)

    def step(
        self, key: Array, state: State, action: ByType, params: Params
    ) -> tuple[ByType, State, ByType, ByType, ByType, dict[str, Any]]:
        """One step; an episode that ends is replaced by a new one at once.

        Args:
            key: consumed.
            state: current state.
            action: by type, leaves led by `[A]`.
            params: data and numbers of the environment.

        Returns:
            As `step_env`. After the last step, observations and state are those of the new
            episode; rewards, flags and info are those of the old one, and `info["final_obs"]`
            holds its last observations (on other steps, the current ones).
        """
        key_step, key_reset = jax.random.split(key)
        final_obs, state_end, reward, terminated, truncated, info = self.step_env(
            key_step, state, action, params
        )
        done = info["episode"]["done"]

        def replace_if_done(
            key: Array, params: Params, done: Array, old: tuple[ByType, State]
        ) -> tuple[ByType, State]:
            new = self.reset_env(key, params)
            chosen: tuple[ByType, State] = jax.tree.map(
                lambda a, b: jax.lax.select(done, a, b), new, old
            )
            return chosen

        old = (final_obs, state_end)
        obs, state = compute_if_any(done, replace_if_done, old, key_reset, params, done, old)
        return obs, state, reward, terminated, truncated, {**info, "final_obs": final_obs}
