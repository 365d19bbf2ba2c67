"""Environments of gymnax and JaxMARL behind `marl_algos.types.Environment`.

They compare learners with published scores. Neither project is imported here: an environment of
theirs is handed in.
"""

from __future__ import annotations

import itertools
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from marl_envs.spaces import Box, Discrete, Space

from marl_algos.testing.probes import ProbeGroup

Array: TypeAlias = jax.Array
ByType: TypeAlias = dict[str, Array]


def _space(theirs: Any) -> Space:
    """Our space for a `Discrete` or a `Box` of theirs; limits of a box are the widest ones."""
    if hasattr(theirs, "n"):
        return Discrete(int(theirs.n))
    low, high = float(jnp.min(theirs.low)), float(jnp.max(theirs.high))
    return Box(low, high, tuple(theirs.shape))


class FromGymnax:
    """A gymnax environment with one agent of the type `"agent"`; time limits truncate.

    Attributes:
        env: the environment, gymnax 1.0 or later.
        env_params: its parameters.
        groups: the single type.
    """

    def __init__(self, env: Any, env_params: Any) -> None:
        self.env = env
        self.env_params = env_params
        obs, action = env.observation_space(env_params), env.action_space(env_params)
        self.groups = {"agent": ProbeGroup(1, _space(obs), _space(action))}

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, Any]:
        """Observations and state at the start of an episode; `params` are not needed."""
        obs, state = self.env.reset_env(key, self.env_params)
        return {"agent": obs[None]}, state

    def step_env(
        self, key: Array, state: Any, action: ByType, params: Any
    ) -> tuple[ByType, Any, ByType, ByType, ByType, dict[str, Any]]:
        """One step without reset."""
        obs, state, reward, terminated, _ = self.env.step_env(
            key, state, action["agent"][0], self.env_params
        )
        truncated = self.env.is_truncated(state, self.env_params) & ~terminated
        info = {
            "active": {"agent": jnp.ones((1,), bool)},
            "episode": {"done": terminated | truncated},
            "market": {},
            "counters": {},
        }
        return (
            {"agent": obs[None]},
            state,
            {"agent": jnp.asarray(reward, jnp.float32)[None]},
            {"agent": jnp.asarray(terminated)[None]},
            {"agent": jnp.asarray(truncated)[None]},
            info,
        )


class FromJaxMARL:
    """A JaxMARL environment; agents whose names differ by their number only are of one type.

    Its `done` becomes a truncation, which is what it is in tasks of fixed length.

    Attributes:
        env: the environment.
        names: names of the agents by type.
        groups: agents by type.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        by_type = itertools.groupby(env.agents, key=lambda name: name.rsplit("_", 1)[0])
        self.names = {kind: list(names) for kind, names in by_type}
        self.groups = {
            kind: ProbeGroup(
                len(names),
                _space(env.observation_space(names[0])),
                _space(env.action_space(names[0])),
            )
            for kind, names in self.names.items()
        }

    def _stack(self, by_agent: dict[str, Array]) -> ByType:
        return {
            kind: jnp.stack([by_agent[name] for name in names])
            for kind, names in self.names.items()
        }

    def reset_env(self, key: Array, params: Any) -> tuple[ByType, Any]:
        """Observations and state at the start of an episode; `params` are not needed."""
        obs, state = self.env.reset(key)
        return self._stack(obs), state

    def step_env(
        self, key: Array, state: Any, action: ByType, params: Any
    ) -> tuple[ByType, Any, ByType, ByType, ByType, dict[str, Any]]:
        """One step without reset."""
        actions = {
            name: action[kind][i]
            for kind, names in self.names.items()
            for i, name in enumerate(names)
        }
        obs, state, reward, done, _ = self.env.step_env(key, state, actions)
        truncated = self._stack(done)
        info = {
            "active": {kind: jnp.ones_like(flags) for kind, flags in truncated.items()},
            "episode": {"done": done["__all__"]},
            "market": {},
            "counters": {},
        }
        never = {kind: jnp.zeros_like(flags) for kind, flags in truncated.items()}
        rewards = {kind: x.astype(jnp.float32) for kind, x in self._stack(reward).items()}
        return self._stack(obs), state, rewards, never, truncated, info
