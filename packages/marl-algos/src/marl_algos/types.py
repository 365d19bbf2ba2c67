"""Plain named data that learners pass around, and what they ask of an environment.

Axes: `T` steps, `B` parallel environments, `A` agents of a type, `F` features. Arrays are
time-major `[T, B, A, ...]`; `Actors` are the `N = B * A` agents of a type in all environments.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import jax
from flax import struct
from marl_envs.spaces import Space

from marl_algos.moments import RunningMoments
from marl_algos.networks.actor_critic import Carry
from marl_algos.settings import TypeConfig

Array: TypeAlias = jax.Array
Metrics: TypeAlias = dict[str, Any]
"""Nested dict of reduced numbers, leaves `[]`."""
_T = TypeVar("_T")


class AgentGroup(Protocol):
    """Agents of one type in an environment."""

    @property
    def num_agents(self) -> int:
        """Instances of the type."""
        ...

    @property
    def observation_space(self) -> Space:
        """What one agent sees: a `Box`, or a `MultiDiscrete` of tokens of one vocabulary."""
        ...

    @property
    def action_space(self) -> Space:
        """What one agent can do."""
        ...


class Environment(Protocol):
    """A multi-agent environment with dicts keyed by agent type, leaves led by `[A]`.

    `info` of a step must hold `"active"` (dict by type, `[A]` bool: the agent took part in the
    step, which it no longer does once it has finished before the others), `"episode"` (a dict
    whose `"done"` is `[]` bool and whose other entries are results of the episode so far),
    `"market"` and `"counters"` (dicts of scalars).

    An environment in which some actions are not allowed has one more method,
    `action_mask(state, params)`: a dict by type (of those that are restricted) of `[A, n]` bool,
    true for what is allowed next; `n` is the number of choices, for `MultiDiscrete` their sum
    over the entries, entry after entry. A row that allows nothing leaves action 0, the no-op.
    """

    @property
    def groups(self) -> dict[str, Any]:
        """`AgentGroup` by agent type."""
        ...

    def reset_env(self, key: Array, params: Any) -> tuple[dict[str, Array], Any]:
        """Observations and state at the start of an episode."""
        ...

    def step_env(
        self, key: Array, state: Any, action: dict[str, Array], params: Any
    ) -> tuple[
        dict[str, Array],
        Any,
        dict[str, Array],
        dict[str, Array],
        dict[str, Array],
        dict[str, Any],
    ]:
        """Observations, state, reward, terminated, truncated, info; no reset at the end."""
        ...


class Move(NamedTuple):
    """What the agents of one type do next.

    Attributes:
        action: `[B, A, ...]`.
        carry: hidden states after it, leaves `[B, A, ...]`.
    """

    action: Array
    carry: Any


class Learner(Protocol):
    """An algorithm on one environment: pure methods to jit.

    The state has `agents` (a dict by type: all that playing needs, and what is kept as a policy)
    and `update` (`[]` int32, updates done).
    """

    env: Environment
    types: dict[str, TypeConfig]
    num_envs: int
    num_steps: int
    num_updates: int

    def init(self, key: Array, env_params: Any) -> Any:
        """The state before the first update."""
        ...

    def update(self, state: Any, env_params: Any) -> tuple[Any, Metrics]:
        """`num_envs * num_steps` environment steps, and learning from them.

        Returns:
            The new state, and metrics: `agents` by type, `episode`, `market`, `counters`,
            `episodes` (how many ended) and `finite` (no parameter or loss is NaN or infinite).
        """
        ...

    def initial_carry(self, num_envs: int) -> dict[str, Any]:
        """Hidden states by type at the start of an episode, leaves `[num_envs, A, ...]`."""
        ...

    def play(
        self,
        agents: dict[str, Any],
        keys: dict[str, Array],
        obs: dict[str, Array],
        carry: dict[str, Any],
        is_first: Array,
        *,
        greedy: Array | bool,
        legal: dict[str, Array] | None = None,
    ) -> dict[str, Move]:
        """What the types in `obs` do; these may be some of all types only.

        Args:
            agents: what has been learned, by type.
            keys: by type.
            obs: by type `[B, A, F]`, flat observations as the environment gave them.
            carry: by type, hidden states.
            is_first: `[B]` bool, the step is the first of an episode.
            greedy: `[]` bool, may be traced: the best action, else one as while training at its
                end.
            legal: by type `[B, A, n]` bool, as `marl_algos.rollout.legal_actions` gives it; types
                without an entry are free.
        """
        ...


@struct.dataclass
class TypeState:
    """What the agents of one type have learned by PPO.

    Attributes:
        params: parameters of the network.
        opt_state: state of the optimizer.
        value_moments: moments of value targets; the network predicts normalized values.
        obs_moments: moments of observations, `[F]`.
        return_moments: moments of the discounted returns that rewards are scaled by.
        hyper: settings that may differ between members of a population, by name, `[]` float32;
            they start as configured.
    """

    params: Any
    opt_state: Any
    value_moments: RunningMoments
    obs_moments: RunningMoments
    return_moments: RunningMoments
    hyper: dict[str, Array]


@struct.dataclass
class RolloutState:
    """Where the parallel environments stand between two rollouts.

    Attributes:
        env_state: states of the environments, leaves `[B, ...]`.
        obs: by type `[B, A, F]`, observations to act on next.
        carry: by type, hidden states `[B, A, H]`.
        is_first: `[B]` bool, the next step is the first of an episode.
        episode_return: by type `[B, A]` float32, undiscounted rewards of the running episode.
    """

    env_state: Any
    obs: dict[str, Array]
    carry: dict[str, Carry]
    is_first: Array
    episode_return: dict[str, Array]


@struct.dataclass
class RunnerState:
    """Everything a training run needs to go on.

    Attributes:
        agents: what each type has learned.
        rollout: where the environments stand.
        key: source of randomness.
        update: `[]` int32, updates done.
    """

    agents: dict[str, TypeState]
    rollout: RolloutState
    key: Array
    update: Array


@struct.dataclass
class Trajectory:
    """Transitions of one agent type, leaves `[T, B, A, ...]`.

    Attributes:
        obs: `[..., F]` float32, observation before step t, as the environment gave it.
        action: action of step t.
        log_prob: float32, its log-probability when taken.
        value: float32, value of the observation before step t, in units of the reward.
        reward: float32.
        terminated: bool, nothing can be earned after step t.
        cut: bool, the agent's episode ended after step t; masks the advantage recursion.
        is_first: bool, step t is the first of an episode; resets the hidden state.
        active: bool, the agent took part in step t; others do not count in any loss.
        final_value: float32, value of the observation after step t where the episode was
            truncated there, else 0.
        legal: bool `[..., n]`, actions allowed at step t; None if the type is free.
    """

    obs: Array
    action: Array
    log_prob: Array
    value: Array
    reward: Array
    terminated: Array
    cut: Array
    is_first: Array
    active: Array
    final_value: Array
    legal: Array | None


def merge_actors(tree: _T, axis: int) -> _T:
    """Merges the axes `B, A` that start at `axis` of every leaf into `N = B * A` actors.

    This is the only place where environments and agents are put on one axis; actor
    `b * A + a` is agent a of environment b everywhere.
    """

    def merge(leaf: Array) -> Array:
        shape = leaf.shape
        return leaf.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])

    merged: _T = jax.tree.map(merge, tree)
    return merged


def split_by_type(key: Array, groups: dict[str, Any]) -> dict[str, Array]:
    """One independent key for each agent type, so that no two types explore in step."""
    keys = jax.random.split(key, len(groups))
    return {name: keys[i] for i, name in enumerate(sorted(groups))}
