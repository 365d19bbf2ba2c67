"""A market as a PettingZoo `ParallelEnv`. Needs `marl-envs[pettingzoo]`."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import jax
import numpy as np
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]

from marl_envs.adapters.gymnasium import to_gymnasium
from marl_envs.adapters.naming import agent_names, join_agents, split_agents
from marl_envs.base import MultiAgentEnv

Numpy = np.ndarray[Any, Any]


class PettingZooEnv(ParallelEnv[str, Numpy, Any]):
    """One market; every learning agent has a name such as `"market_maker_0"`.

    An agent whose task is done leaves `agents`; the market goes on for the others.

    Args:
        env: the market.
        params: of the market.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "limit_order_book", "render_modes": []}

    def __init__(self, env: MultiAgentEnv[Any, Any], params: Any) -> None:
        self._env, self._params = env, params
        self._types = agent_names(env)
        self.possible_agents = list(self._types)
        self.agents: list[str] = []
        self.render_mode = None
        groups = env.groups
        self.observation_spaces = {
            agent: to_gymnasium(groups[name].observation_space)
            for agent, (name, _) in self._types.items()
        }
        self.action_spaces = {
            agent: to_gymnasium(groups[name].action_space)
            for agent, (name, _) in self._types.items()
        }
        self._reset, self._step = jax.jit(env.reset_env), jax.jit(env.step_env)
        self._state: Any = None
        self._key = jax.random.key(0)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """The same object at every call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Numpy], dict[str, dict[str, Any]]]:
        """Starts an episode; a seed starts the stream of random numbers anew."""
        if seed is not None:
            self._key = jax.random.key(seed)
        self._key, key = jax.random.split(self._key)
        obs, self._state = self._reset(key, self._params)
        self.agents = list(self.possible_agents)
        return self._split(obs), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, Numpy],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """One step of the market."""
        self._key, key = jax.random.split(self._key)
        obs, self._state, reward, terminated, truncated, info = self._step(
            key, self._state, join_agents(self._env, actions), self._params
        )
        rewards = {agent: float(value) for agent, value in self._split(reward).items()}
        ended = {agent: bool(value) for agent, value in self._split(terminated).items()}
        cut = {agent: bool(value) for agent, value in self._split(truncated).items()}
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        for agent, (name, index) in self._types.items():
            if agent in infos:
                seen = info["agents"].get(name, {})
                infos[agent] = {key: np.asarray(leaf)[index].item() for key, leaf in seen.items()}
        result = self._split(obs), rewards, ended, cut, infos
        self.agents = [agent for agent in self.agents if not (ended[agent] or cut[agent])]
        return result

    def _split(self, by_type: dict[str, Any]) -> dict[str, Any]:
        """Arrays of the agents that are still there, by name."""
        arrays = split_agents(self._env, jax.device_get(by_type))
        return {agent: arrays[agent] for agent in self.agents}
