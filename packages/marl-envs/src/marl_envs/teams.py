"""Cooperation on top of any environment: shared rewards, and messages between agents of a team."""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from flax import struct

from marl_envs.base import AgentGroup, ByType, MultiAgentEnv
from marl_envs.spaces import Box, Discrete, MultiDiscrete, Space
from marl_envs.types import Replaceable

Array = jax.Array
Params = TypeVar("Params")


@dataclasses.dataclass(frozen=True)
class Team:
    """Agent types that work together.

    Attributes:
        members: names of their types; all agents of these types belong to the team.
        share: weight of the team's mean reward in an agent's own: 0 leaves rewards as they are, 1
            pays every agent of the team the same.
        vocabulary: words of which every agent says one in each step; 0 has no such channel.
            Actions become `MultiDiscrete`, the word last.
        message_size: numbers in [-1, 1] that every agent says in each step; 0 has no such channel.
            For types with `Box` actions, which the numbers follow.

    Raises:
        ValueError: if a field is out of range, or both channels are asked for.
    """

    members: tuple[str, ...]
    share: float = 1.0
    vocabulary: int = 0
    message_size: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        if not self.members:
            raise ValueError("Team.members is empty")
        if not 0 <= self.share <= 1:
            raise ValueError(f"Team.share is {self.share}; it must be between 0 and 1")
        if self.vocabulary < 0 or self.vocabulary == 1 or self.message_size < 0:
            raise ValueError(
                f"Team.vocabulary is {self.vocabulary} and message_size {self.message_size}; they "
                "must be 0, or at least 2 words or 1 number"
            )
        if self.vocabulary and self.message_size:
            raise ValueError("a team has one channel: give vocabulary or message_size, not both")

    @property
    def width(self) -> int:
        """Entries that one agent's message takes in an observation."""
        return self.vocabulary or self.message_size


@struct.dataclass
class TeamState(Replaceable):
    """State of the environment within, and what was said in the last step.

    Attributes:
        inner: state of the environment within.
        said: by team position as a string, `[agents of the team, width]` float32: words one-hot,
            numbers as they are; zero when an episode begins.
    """

    inner: Any
    said: dict[str, Array]


class TeamEnv(MultiAgentEnv[Params, TeamState], Generic[Params]):
    """An environment whose agents share rewards and talk.

    What an agent says is heard one step later, by all agents of its team (itself included), in the
    order of types and instances, at the end of their observations.

    Args:
        env: the environment within.
        teams: disjoint groups of its agent types.

    Raises:
        ValueError: if a type is unknown, in two teams, or cannot use its team's channel.
    """

    def __init__(self, env: MultiAgentEnv[Params, Any], teams: tuple[Team, ...]) -> None:
        self.env, self.teams = env, tuple(teams)
        self._team_of: dict[str, int] = {}
        for position, team in enumerate(self.teams):
            for name in team.members:
                if name not in env.groups:
                    raise ValueError(f"{name!r} is no agent type; there are {sorted(env.groups)}")
                if name in self._team_of:
                    raise ValueError(f"{name!r} is in two teams")
                self._team_of[name] = position
        self._groups = {name: self._group(group) for name, group in env.groups.items()}

    def __hash__(self) -> int:
        return hash((type(self), self.env, self.teams))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TeamEnv) and (self.env, self.teams) == (other.env, other.teams)

    @property
    def groups(self) -> dict[str, AgentGroup]:
        """The agent types, by name."""
        return dict(self._groups)

    def make_params(self, *args: Any, **options: Any) -> Params:
        """Params of the environment within, made by its own `make_params`."""
        env: Any = self.env
        params: Params = env.make_params(*args, **options)
        return params

    def _group(self, group: AgentGroup) -> AgentGroup:
        """The type with the channel of its team."""
        team = self.teams[self._team_of[group.name]] if group.name in self._team_of else None
        if team is None or not team.width:
            return group
        size = sum(self.env.groups[name].num_agents for name in team.members)
        names = group.observation_names + tuple(
            f"heard_{agent}_{entry}" for agent in range(size) for entry in range(team.width)
        )
        return dataclasses.replace(
            group,
            observation_space=Box(-jnp.inf, jnp.inf, (len(names),)),
            observation_names=names,
            action_space=_with_channel(group, team),
        )

    def reset_env(self, key: Array, params: Params) -> tuple[ByType, TeamState]:
        """Starts an episode in silence."""
        obs, inner = self.env.reset_env(key, params)
        said = {}
        for position, team in enumerate(self.teams):
            size = sum(self.env.groups[name].num_agents for name in team.members)
            said[str(position)] = jnp.zeros((size, team.width), jnp.float32)
        state = TeamState(inner=inner, said=said)
        return self._hear(obs, state), state

    def step_env(
        self, key: Array, state: TeamState, action: ByType, params: Params
    ) -> tuple[ByType, TeamState, ByType, ByType, ByType, dict[str, Any]]:
        """One step without auto-reset; see `MultiAgentEnv.step_env`."""
        own, words = dict(action), {}
        for name in self._team_of:
            own[name], words[name] = self._split(name, action[name])
        obs, inner, reward, terminated, truncated, info = self.env.step_env(
            key, state.inner, own, params
        )
        said, reward = {}, dict(reward)
        for position, team in enumerate(self.teams):
            said[str(position)] = jnp.concatenate([words[name] for name in team.members])
            mean = jnp.mean(jnp.concatenate([reward[name] for name in team.members]))
            for name in team.members:
                reward[name] = (1 - team.share) * reward[name] + team.share * mean
        state = TeamState(inner=inner, said=said)
        return self._hear(obs, state), state, reward, terminated, truncated, info

    def _split(self, name: str, action: Array) -> tuple[Array, Array]:
        """Actions of the environment within, and messages `[A, width]`, of one type."""
        team, inner = self.teams[self._team_of[name]], self.env.groups[name].action_space
        if not team.width:
            return action, jnp.zeros((action.shape[0], 0), jnp.float32)
        if team.vocabulary:
            own = action[:, :-1].reshape(-1, *inner.shape)
            return own, jax.nn.one_hot(action[:, -1], team.vocabulary, dtype=jnp.float32)
        cut = action.shape[1] - team.message_size
        return action[:, :cut].reshape(-1, *inner.shape), jnp.clip(action[:, cut:], -1, 1)

    def _hear(self, obs: ByType, state: TeamState) -> ByType:
        """Observations with what the team said."""
        heard = dict(obs)
        for name, position in self._team_of.items():
            said = state.said[str(position)].reshape(-1)
            rows = obs[name]
            said = jnp.broadcast_to(said, (rows.shape[0], said.shape[0]))
            heard[name] = jnp.concatenate([rows, said], axis=1)
        return heard


def _with_channel(group: AgentGroup, team: Team) -> Space:
    """The actions of a type with its message behind them."""
    space = group.action_space
    if team.vocabulary and isinstance(space, Discrete):
        return MultiDiscrete((space.n, team.vocabulary))
    if team.vocabulary and isinstance(space, MultiDiscrete):
        return MultiDiscrete((*space.ns, team.vocabulary))
    if team.message_size and isinstance(space, Box) and space.low <= -1 and space.high >= 1:
        return Box(space.low, space.high, (space.shape[0] + team.message_size,))
    needed = "discrete actions" if team.vocabulary else "Box actions that include [-1, 1]"
    raise ValueError(f"the channel of the team of {group.name!r} needs {needed}; it has {space}")
