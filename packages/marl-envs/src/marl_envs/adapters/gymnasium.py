"""A market with one learning agent as a Gymnasium environment, and many of them as a vector.

Everybody else in the market is rule-based or background. Needs `marl-envs[gymnasium]`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from marl_envs import spaces
from marl_envs.base import AgentGroup, MultiAgentEnv

Array = jax.Array
Numpy = np.ndarray[Any, Any]


def to_gymnasium(space: spaces.Space) -> gymnasium.Space[Any]:
    """The same space in Gymnasium's terms."""
    if isinstance(space, spaces.Discrete):
        return gymnasium.spaces.Discrete(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return gymnasium.spaces.MultiDiscrete(np.asarray(space.ns), dtype=np.int32)
    return gymnasium.spaces.Box(space.low, space.high, space.shape, np.float32)


def _only_group(env: MultiAgentEnv[Any, Any]) -> AgentGroup:
    """The group of the single learning agent.

    Raises:
        ValueError: if there are several learning agents, or none.
    """
    groups = list(env.groups.values())
    if len(groups) != 1 or groups[0].num_agents != 1:
        found = {group.name: group.num_agents for group in groups}
        raise ValueError(
            f"the environment has the learning agents {found}; Gymnasium takes exactly one "
            "(use the PettingZoo adapter for several)"
        )
    return groups[0]


class GymnasiumEnv(gymnasium.Env[Numpy, Any]):
    """One market with one learning agent; an episode ends by `terminated` or `truncated`.

    Args:
        env: the market.
        params: of the market.

    Raises:
        ValueError: if there is not exactly one learning agent.
    """

    def __init__(self, env: MultiAgentEnv[Any, Any], params: Any) -> None:
        group = _only_group(env)
        self.metadata = {"render_modes": []}
        self.name = group.name
        self.observation_space = to_gymnasium(group.observation_space)
        self.action_space = to_gymnasium(group.action_space)
        self._action = group.action_space
        self._params = params
        self._reset, self._step = jax.jit(env.reset_env), jax.jit(env.step_env)
        self._state: Any = None
        self._key = jax.random.key(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numpy, dict[str, Any]]:
        """Starts an episode; a seed starts the stream of random numbers anew."""
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._key = jax.random.key(int(self.np_random.integers(2**31)))
        self._key, key = jax.random.split(self._key)
        obs, self._state = self._reset(key, self._params)
        return np.asarray(obs[self.name][0]), {}

    def step(self, action: Any) -> tuple[Numpy, float, bool, bool, dict[str, Any]]:
        """One step of the market."""
        self._key, key = jax.random.split(self._key)
        chosen = jnp.asarray(action, self._action.dtype).reshape(1, *self._action.shape)
        obs, self._state, reward, terminated, truncated, info = self._step(
            key, self._state, {self.name: chosen}, self._params
        )
        name = self.name
        return (
            np.asarray(obs[name][0]),
            float(reward[name][0]),
            bool(terminated[name][0]),
            bool(truncated[name][0]),
            {
                key: np.asarray(value).reshape(-1)[0].item()
                for key, value in {**info["agents"].get(name, {}), **info["market"]}.items()
            },
        )


class GymnasiumVectorEnv(VectorEnv[Numpy, Any, Numpy]):
    """Many such markets in one compiled call, reset in the step in which they end.

    Args:
        env: the market.
        params: shared by all.
        num_envs: how many.

    Raises:
        ValueError: if there is not exactly one learning agent.
    """

    def __init__(self, env: MultiAgentEnv[Any, Any], params: Any, num_envs: int) -> None:
        group = _only_group(env)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.name = group.name
        self.num_envs = num_envs
        self.single_observation_space = to_gymnasium(group.observation_space)
        self.single_action_space = to_gymnasium(group.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._action = group.action_space
        self._params = params
        self._reset = jax.jit(jax.vmap(env.reset, (0, None)))
        self._step = jax.jit(jax.vmap(env.step, (0, 0, 0, None)))
        self._state: Any = None
        self._key = jax.random.key(0)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numpy, dict[str, Any]]:
        """Starts all episodes.

        Raises:
            ValueError: if seeds are given one by one; a single number seeds all markets.
        """
        if isinstance(seed, (list, tuple)):
            raise ValueError(f"seed is {seed!r}; it must be one number, which seeds all markets")
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            self._key = jax.random.key(int(self.np_random.integers(2**31)))
        self._key, key = jax.random.split(self._key)
        obs, self._state = self._reset(jax.random.split(key, self.num_envs), self._params)
        return np.asarray(obs[self.name][:, 0]), {}

    def step(self, actions: Any) -> tuple[Numpy, Numpy, Numpy, Numpy, dict[str, Any]]:
        """One step of all markets; `infos["final_obs"]` holds what ended episodes saw last."""
        self._key, key = jax.random.split(self._key)
        shape = (self.num_envs, 1, *self._action.shape)
        chosen = jnp.asarray(actions, self._action.dtype).reshape(shape)
        obs, self._state, reward, terminated, truncated, info = self._step(
            jax.random.split(key, self.num_envs), self._state, {self.name: chosen}, self._params
        )
        name = self.name
        ended = np.asarray(info["episode"]["done"])
        final = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(ended):
            final[row] = np.asarray(info["final_obs"][name][row, 0])
        infos = {"final_obs": final, "_final_obs": ended} if ended.any() else {}
        return (
            np.asarray(obs[name][:, 0]),
            np.asarray(reward[name][:, 0], np.float64),
            np.asarray(terminated[name][:, 0] & info["episode"]["done"]),
            np.asarray(truncated[name][:, 0] & info["episode"]["done"]),
            infos,
        )
