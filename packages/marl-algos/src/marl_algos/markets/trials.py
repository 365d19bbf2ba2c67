"""Learning to adapt: several episodes of one task make one trial, remembered throughout.

References:
    Duan et al. (2016), "RL^2: fast reinforcement learning via slow reinforcement learning"; Wang
    et al. (2016), "Learning to reinforcement learn".
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from marl_envs.spaces import Box, Discrete, MultiDiscrete, Space

from marl_algos.rollout import flatten_obs
from marl_algos.types import Environment

Array: TypeAlias = jax.Array


@dataclasses.dataclass(frozen=True)
class TrialGroup:
    """Agents of one type in a trial; fields as in `marl_algos.types.AgentGroup`."""

    num_agents: int
    observation_space: Space
    action_space: Space


@struct.dataclass
class TrialState:
    """Where a trial stands.

    Attributes:
        env_state: state of the running episode.
        reset_key: key of every episode of the trial; equal keys give equal tasks.
        episode: `[]` int32, episodes done.
    """

    env_state: Any
    reset_key: Array
    episode: Array


class Trials:
    """An environment whose episodes are trials: `num_episodes` episodes that start alike.

    Every episode of a trial is reset with the same key, so that its task (the domain, the opening)
    is the same, while its steps are random. Observations get, behind the environment's own: the
    last action (one-hot, or as it is in a box), the last reward, and whether an episode has just
    ended. A recurrent policy keeps its state throughout a trial, because only the end of a trial is
    `done`; inside it, episodes follow each other as one stretch of rewards.

    Attributes:
        env: the environment.
        num_episodes: episodes of a trial.

    Raises:
        ValueError: if `num_episodes < 1`.
    """

    def __init__(self, env: Environment, num_episodes: int) -> None:
        if num_episodes < 1:
            raise ValueError(f"num_episodes is {num_episodes}; it must be >= 1")
        self.env = env
        self.num_episodes = num_episodes

    @property
    def groups(self) -> dict[str, TrialGroup]:
        """Those of the environment, with wider observations."""
        infinity = float("inf")
        return {
            name: TrialGroup(
                group.num_agents,
                Box(
                    -infinity,
                    infinity,
                    (math.prod(group.observation_space.shape) + _width(group.action_space) + 2,),
                ),
                group.action_space,
            )
            for name, group in self.env.groups.items()
        }

    def reset_env(self, key: Array, params: Any) -> tuple[dict[str, Array], TrialState]:
        """Starts a trial."""
        obs, env_state = self.env.reset_env(key, params)
        nothing = {
            name: jnp.zeros((group.num_agents, _width(group.action_space) + 2))
            for name, group in self.env.groups.items()
        }
        state = TrialState(env_state, key, jnp.zeros((), jnp.int32))
        return self._extend(obs, nothing), state

    def step_env(
        self, key: Array, state: TrialState, action: dict[str, Array], params: Any
    ) -> tuple[
        dict[str, Array],
        TrialState,
        dict[str, Array],
        dict[str, Array],
        dict[str, Array],
        dict[str, Any],
    ]:
        """One step; an episode that ends inside the trial is followed by the next one."""
        obs, env_state, reward, terminated, truncated, info = self.env.step_env(
            key, state.env_state, action, params
        )
        ended = info["episode"]["done"]
        over = ended & (state.episode + 1 >= self.num_episodes)
        again = self.env.reset_env(state.reset_key, params)
        goes_on = ended & ~over
        obs, env_state = jax.tree.map(
            lambda new, old: jnp.where(goes_on, new, old), again, (obs, env_state)
        )
        seen = {
            name: jnp.concatenate(
                [
                    _encode(group.action_space, action[name]),
                    reward[name][:, None],
                    jnp.broadcast_to(ended, reward[name].shape)[:, None].astype(jnp.float32),
                ],
                axis=-1,
            )
            for name, group in self.env.groups.items()
        }
        after = TrialState(env_state, state.reset_key, state.episode + ended)
        info = {**info, "episode": {**info["episode"], "done": over}}
        return (
            self._extend(obs, seen),
            after,
            reward,
            {name: flag & over for name, flag in terminated.items()},
            {name: flag & over for name, flag in truncated.items()},
            info,
        )

    def _extend(self, obs: dict[str, Array], seen: dict[str, Array]) -> dict[str, Array]:
        flat = flatten_obs(self.env, obs)
        return {name: jnp.concatenate([flat[name], seen[name]], axis=-1) for name in flat}


def _width(space: Space) -> int:
    """Numbers that an action is shown by."""
    if isinstance(space, Discrete):
        return space.n
    if isinstance(space, MultiDiscrete):
        return sum(space.ns)
    return math.prod(space.shape)


def _encode(space: Space, action: Array) -> Array:
    """Actions `[A, ...]` as `[A, width]` float32."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(action, space.n)
    if isinstance(space, MultiDiscrete):
        parts = [jax.nn.one_hot(action[:, i], n) for i, n in enumerate(space.ns)]
        return jnp.concatenate(parts, axis=-1)
    return action.reshape(action.shape[0], -1).astype(jnp.float32)
