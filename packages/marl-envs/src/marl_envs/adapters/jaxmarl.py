"""A market as a JaxMARL `MultiAgentEnv`. Needs `marl-envs[jaxmarl]`.

JaxMARL's learners share one network among agents of one shape. So that heterogeneous agents fit
them, observations are padded with zeros to the longest, and agents with fewer actions than the most
take index 0 when an action that they do not have is chosen (`get_avail_actions` says which they
have).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxmarl
from flax import struct
from jaxmarl.environments import MultiAgentEnv as JaxMarlBase
from jaxmarl.environments import spaces as jaxmarl_spaces
from jaxmarl.environments.multi_agent_env import State

from marl_envs.adapters.naming import agent_names, join_agents, split_agents
from marl_envs.base import MultiAgentEnv
from marl_envs.spaces import Discrete

Array = jax.Array


@struct.dataclass
class JaxMarlState(State):
    """State of a market as JaxMARL carries it.

    Attributes:
        market: the market's own state.
        obs: observations by agent type.
        done: `[]` bool, whether the episode has ended.
        step: `[]` int32, steps done.
    """

    market: Any
    obs: dict[str, Array]


class JaxMarlEnv(JaxMarlBase):
    """One market; auto-reset is JaxMARL's own.

    Args:
        env: the market; all its agents must have `Discrete` actions and vector observations.
        params: of the market.

    Raises:
        ValueError: if an agent has other actions or observations.
    """

    def __init__(self, env: MultiAgentEnv[Any, Any], params: Any) -> None:
        self._types = agent_names(env)
        super().__init__(num_agents=len(self._types))
        self.agents = list(self._types)
        self._env, self._params = env, params
        self._num_actions: dict[str, int] = {}
        for name, group in env.groups.items():
            if not isinstance(group.action_space, Discrete):
                raise ValueError(f"agents {name!r} have {group.action_space}; it must be Discrete")
            if len(group.observation_space.shape) != 1:
                raise ValueError(f"agents {name!r} do not observe a vector")
            self._num_actions[name] = group.action_space.n
        self._length = max(g.observation_space.shape[0] for g in env.groups.values())
        self._most = max(self._num_actions.values())
        for agent in self.agents:
            self.observation_spaces[agent] = jaxmarl_spaces.Box(-jnp.inf, jnp.inf, (self._length,))
            self.action_spaces[agent] = jaxmarl_spaces.Discrete(self._most)

    @partial(jax.jit, static_argnums=(0,))
    def reset(self, key: Array) -> tuple[dict[str, Array], JaxMarlState]:
        """Starts an episode."""
        obs, state = self._env.reset_env(key, self._params)
        zero = jnp.zeros((), jnp.int32)
        carried = JaxMarlState(done=zero > 0, step=zero, market=state, obs=obs)
        return self.get_obs(carried), carried

    def get_obs(self, state: Any) -> dict[str, Array]:
        """Observations by agent name, `[F]` float32, padded with zeros."""
        split = split_agents(self._env, state.obs)
        return {
            agent: jnp.pad(jnp.asarray(row, jnp.float32), (0, self._length - row.shape[0]))
            for agent, row in split.items()
        }

    def step_env(
        self, key: Array, state: Any, actions: dict[str, Array]
    ) -> tuple[
        dict[str, Array], JaxMarlState, dict[str, Array], dict[str, Array], dict[str, Array]
    ]:
        """One step; `info` holds inventory and worth of all agents, `[num_agents]` float32."""
        allowed = {
            agent: jnp.where(
                jnp.asarray(action) < self._num_actions[self._types[agent][0]], action, 0
            )
            for agent, action in actions.items()
        }
        obs, market, reward, terminated, truncated, info = self._env.step_env(
            key, state.market, join_agents(self._env, allowed), self._params
        )
        done = info["episode"]["done"]
        state = JaxMarlState(done=done, step=state.step + 1, market=market, obs=obs)
        ended = {name: terminated[name] | truncated[name] for name in terminated}
        dones = split_agents(self._env, ended)
        dones["__all__"] = done
        seen = {
            key: jnp.concatenate(
                [info["agents"][name][key].astype(jnp.float32) for name in self._env.groups]
            )
            for key in ("inventory", "worth")
        }
        return self.get_obs(state), state, split_agents(self._env, reward), dones, seen

    @partial(jax.jit, static_argnums=(0,))
    def get_avail_actions(self, state: Any) -> dict[str, Array]:
        """Which actions each agent has, `[most actions]` bool."""
        return {
            agent: jnp.arange(self._most) < self._num_actions[name]
            for agent, (name, _) in self._types.items()
        }

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """Agent names by type."""
        classes: dict[str, list[str]] = {}
        for agent, (name, _) in self._types.items():
            classes.setdefault(name, []).append(agent)
        return classes


@contextlib.contextmanager
def registered(name: str, factory: Callable[..., JaxMarlEnv]) -> Iterator[None]:
    """Lets `jaxmarl.make(name, **kwargs)` build `factory(**kwargs)` while the context is open.

    JaxMARL's scripts look their environment up by name and offer no other way in.
    """
    original = jaxmarl.make

    def make(env_id: str, **kwargs: Any) -> Any:
        return factory(**kwargs) if env_id == name else original(env_id, **kwargs)

    jaxmarl.make = make
    try:
        yield
    finally:
        jaxmarl.make = original
