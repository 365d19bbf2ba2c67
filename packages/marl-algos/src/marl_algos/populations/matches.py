"""Pools of frozen policies, and matches between them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import struct

from marl_algos.rollout import flatten_obs, legal_actions
from marl_algos.types import Environment, Learner, split_by_type

Array: TypeAlias = jax.Array
Floats: TypeAlias = npt.NDArray[np.float64]
MakeLearner: TypeAlias = Callable[[Environment], Learner]
"""A learner for an environment whose types are some of those of a market or game."""

FREE: Final = -1
"""Birth of a slot that holds no policy yet."""
_CHUNK = 8
"""Profiles in one call of the compiled program; the last call is filled up."""


@struct.dataclass
class PolicyPool:
    """Up to `K` frozen policies of one agent type, stacked.

    Attributes:
        agents: leaves `[K, ...]`; free slots repeat another policy.
        born: `[K]` int32, when each was added (a round, an iteration); `FREE` marks a free slot.
    """

    agents: Any
    born: Array

    @property
    def used(self) -> Array:
        """`[K]` bool, slots that hold a policy."""
        return self.born != FREE

    @property
    def newest(self) -> Array:
        """`[]` int32, the slot of the policy that was added last."""
        return jnp.argmax(self.born)


@functools.partial(jax.jit, static_argnums=1)
def make_pool(agent: Any, capacity: int) -> PolicyPool:
    """A pool that holds one policy, born at 0."""
    agents = jax.tree.map(lambda x: jnp.broadcast_to(x, (capacity, *jnp.shape(x))), agent)
    return PolicyPool(agents, jnp.full((capacity,), FREE, jnp.int32).at[0].set(0))


@jax.jit
def put(pool: PolicyPool, slot: Array | int, agent: Any, born: Array | int) -> PolicyPool:
    """The pool with a policy in a slot, whatever the slot held before."""
    agents = jax.tree.map(lambda stack, x: stack.at[slot].set(x), pool.agents, agent)
    return PolicyPool(agents, pool.born.at[slot].set(born))


def blank_agents(learner: Learner, env_params: Any) -> dict[str, Any]:
    """Policies of zeros with the shapes of a learner's: opponents until there are real ones.

    They are met by no action: a learner that is initialized among them resets its environments
    only.
    """
    shapes = jax.eval_shape(learner.init, jax.random.key(0), env_params).agents
    blank: dict[str, Any] = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return blank


@jax.jit
def take(stacked: Any, index: Array | int) -> Any:
    """One of stacked policies, or several: leaves `[K, ...]` at `index` along the first axis."""
    return jax.tree.map(lambda x: x[index], stacked)


def play_returns(
    env: Environment,
    learner: Learner,
    agents: dict[str, Any],
    key: Array,
    env_params: Any,
    *,
    num_episodes: int,
    greedy: bool = False,
) -> dict[str, Array]:
    """Undiscounted returns of whole episodes.

    Args:
        env: the environment.
        learner: knows how policies of all its types act.
        agents: policies by type.
        key: consumed; equal keys give equal markets whoever plays.
        env_params: parameters of the environment.
        num_episodes: `E`.
        greedy: most likely actions instead of sampled ones.

    Returns:
        By type `[E]` float32, mean over the agents of the type.
    """
    key_reset, key_env, key_act = jax.random.split(key, 3)
    obs, env_state = jax.vmap(env.reset_env, in_axes=(0, None))(
        jax.random.split(key_reset, num_episodes), env_params
    )
    nothing = {name: jnp.zeros((num_episodes,)) for name in env.groups}
    start = (
        jnp.int32(0),
        jnp.zeros((num_episodes,), bool),
        flatten_obs(env, obs),
        env_state,
        learner.initial_carry(num_episodes),
        nothing,
    )

    def step(now: Any) -> Any:
        index, done, obs, env_state, carry, totals = now
        moves = learner.play(
            agents,
            split_by_type(jax.random.fold_in(key_act, index), env.groups),
            obs,
            carry,
            jnp.broadcast_to(index == 0, (num_episodes,)),
            greedy=greedy,
            legal=legal_actions(env, env_state, env_params),
        )
        obs, env_state, reward, _, _, info = jax.vmap(env.step_env, in_axes=(0, 0, 0, None))(
            jax.random.split(jax.random.fold_in(key_env, index), num_episodes),
            env_state,
            {name: move.action for name, move in moves.items()},
            env_params,
        )
        counted = {n: info["active"][n] & ~done[:, None] for n in env.groups}
        totals = {
            name: total + jnp.mean(jnp.where(counted[name], reward[name], 0.0), axis=1)
            for name, total in totals.items()
        }
        carry = {name: move.carry for name, move in moves.items()}
        ended = done | info["episode"]["done"]
        return index + 1, ended, flatten_obs(env, obs), env_state, carry, totals

    returns: dict[str, Array] = jax.lax.while_loop(lambda now: ~jnp.all(now[1]), step, start)[-1]
    return returns


class Matches:
    """Plays profiles of pooled policies against each other; one compiled program.

    Attributes:
        env: the environment.
        learner: knows how policies of all its types act.
        num_episodes: `E`, episodes of a profile, the same for all profiles.
    """

    def __init__(self, env: Environment, learner: Learner, num_episodes: int) -> None:
        self.env = env
        self.learner = learner
        self.num_episodes = num_episodes
        self._program = jax.jit(self._play_all)

    def returns(
        self,
        stacked: Mapping[str, Any],
        profiles: Sequence[Mapping[str, int]],
        key: Array,
        env_params: Any,
    ) -> dict[str, Floats]:
        """Returns of every profile under common random numbers.

        Args:
            stacked: policies by type, leaves `[K, ...]`.
            profiles: for each profile, which policy plays each type.
            key: consumed.
            env_params: parameters of the environment.

        Returns:
            By type `[len(profiles), E]` float64.
        """
        parts = []
        for start in range(0, len(profiles), _CHUNK):
            chunk = list(profiles[start : start + _CHUNK])
            filled = chunk + chunk[-1:] * (_CHUNK - len(chunk))
            choices = {n: jnp.asarray([p[n] for p in filled]) for n in self.env.groups}
            played = jax.device_get(self._program(dict(stacked), choices, key, env_params))
            parts.append({name: value[: len(chunk)] for name, value in played.items()})
        return {
            name: np.concatenate([part[name] for part in parts]).astype(np.float64)
            for name in self.env.groups
        }

    def _play_all(
        self, stacked: dict[str, Any], choices: dict[str, Array], key: Array, env_params: Any
    ) -> dict[str, Array]:
        def play(choice: dict[str, Array]) -> dict[str, Array]:
            agents = {
                name: jax.tree.map(lambda x, c=c: x[c], stacked[name]) for name, c in choice.items()
            }
            return play_returns(
                self.env,
                self.learner,
                agents,
                key,
                env_params,
                num_episodes=self.num_episodes,
            )

        results: dict[str, Array] = jax.lax.map(play, choices)
        return results
