"""Frozen policies as a part of the environment: what a learner then sees is a smaller one.

A best response, a round of self-play, an iteration of PSRO and a learned adversary are all the
same thing: a learner trained on `WithOpponents`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from marl_algos.rollout import flatten_obs
from marl_algos.types import Environment, Learner, split_by_type

Array: TypeAlias = jax.Array

OPPONENT_KEY: Final = 0x0990
"""Folded into the keys of an environment for what opponents draw."""


@struct.dataclass
class OpponentParams:
    """Parameters of an environment together with the policies that play in it.

    Attributes:
        env_params: parameters of the environment.
        agents: by type, `K` policies stacked, leaves `[K, ...]`.
        weights: by type, `[K]` float32 >= 0, how often each of them plays; need not sum to 1.
    """

    env_params: Any
    agents: dict[str, Any]
    weights: dict[str, Array]


@struct.dataclass
class OpponentState:
    """State of one environment with opponents.

    Attributes:
        env_state: state of the environment.
        obs: by opponent type, `[A, F]`, what it acts on next.
        carry: by opponent type, hidden states, leaves led by `[1, A]`.
        choice: by opponent type, `[]` int32, which of its policies plays this episode.
        is_first: `[]` bool, the next step is the first.
    """

    env_state: Any
    obs: dict[str, Array]
    carry: dict[str, Any]
    choice: dict[str, Array]
    is_first: Array


def single_opponent(env_params: Any, agents: Mapping[str, Any]) -> OpponentParams:
    """Parameters with one policy for each type, which always plays.

    Args:
        env_params: parameters of the environment.
        agents: policies by type, as in the state of a learner.
    """
    stacked = {name: jax.tree.map(lambda x: jnp.asarray(x)[None], a) for name, a in agents.items()}
    return OpponentParams(env_params, stacked, {name: jnp.ones((1,)) for name in agents})


class WithOpponents:
    """An environment some of whose types are played by frozen policies.

    Its `groups` lack those types; `info` and results keep them. Every episode draws one policy for
    each of them, so parallel environments face different opponents in one program; with one policy
    its weights are shared by all and nothing is gathered. The environment receives the same keys
    as without opponents: its own randomness does not depend on who plays.

    Attributes:
        env: the whole environment.
        learner: knows how policies of all its types act.
        names: types that are played by opponents.
        greedy: opponents take their most likely action instead of sampling.

    Raises:
        ValueError: if a name is unknown, or nobody is left to learn.
    """

    def __init__(
        self, env: Environment, learner: Learner, names: Sequence[str], *, greedy: bool = False
    ) -> None:
        unknown = sorted(set(names) - set(env.groups))
        if unknown or not names or len(set(names)) == len(env.groups):
            raise ValueError(
                f"opponents are {sorted(names)}; they must be some, not all, of the types "
                f"{sorted(env.groups)}"
            )
        self.env = env
        self.learner = learner
        self.names = tuple(sorted(set(names)))
        self.greedy = greedy

    @property
    def groups(self) -> dict[str, Any]:
        """The types that are left."""
        return {name: g for name, g in self.env.groups.items() if name not in self.names}

    def reset_env(
        self, key: Array, params: OpponentParams
    ) -> tuple[dict[str, Array], OpponentState]:
        """Starts an episode and draws who plays it."""
        obs, env_state = self.env.reset_env(key, params.env_params)
        keys = split_by_type(jax.random.fold_in(key, OPPONENT_KEY), dict.fromkeys(self.names))
        carry = self.learner.initial_carry(1)
        state = OpponentState(
            env_state=env_state,
            obs=self._theirs(obs),
            carry={name: carry[name] for name in self.names},
            choice={
                name: jax.random.categorical(keys[name], jnp.log(params.weights[name]))
                for name in self.names
            },
            is_first=jnp.ones((), bool),
        )
        return self._ours(obs), state

    def step_env(
        self, key: Array, state: OpponentState, action: dict[str, Array], params: OpponentParams
    ) -> tuple[
        dict[str, Array],
        OpponentState,
        dict[str, Array],
        dict[str, Array],
        dict[str, Array],
        dict[str, Any],
    ]:
        """One step in which the opponents act too."""
        keys = split_by_type(jax.random.fold_in(key, OPPONENT_KEY), dict.fromkeys(self.names))
        agents = {name: _pick(params.agents[name], state.choice[name]) for name in self.names}
        legal = self._masks(state, params)
        decisions = self.learner.play(
            agents,
            keys,
            {name: obs[None] for name, obs in state.obs.items()},
            state.carry,
            state.is_first[None],
            greedy=self.greedy,
            legal={name: mask[None] for name, mask in legal.items() if name in self.names},
        )
        everyone = dict(action)
        for name in self.names:
            everyone[name] = decisions[name].action[0]
        obs, env_state, reward, terminated, truncated, info = self.env.step_env(
            key, state.env_state, everyone, params.env_params
        )
        after = OpponentState(
            env_state=env_state,
            obs=self._theirs(obs),
            carry={name: decisions[name].carry for name in self.names},
            choice=state.choice,
            is_first=jnp.zeros((), bool),
        )
        return (
            self._ours(obs),
            after,
            self._ours(reward),
            self._ours(terminated),
            self._ours(truncated),
            info,
        )

    def action_mask(self, state: OpponentState, params: OpponentParams) -> dict[str, Array]:
        """Actions allowed next by type `[A, n]` bool, of the types that are left and restricted."""
        return self._ours(self._masks(state, params))

    def _masks(self, state: OpponentState, params: OpponentParams) -> dict[str, Array]:
        action_mask = getattr(self.env, "action_mask", None)
        if action_mask is None:
            return {}
        masks: dict[str, Array] = action_mask(state.env_state, params.env_params)
        return masks

    def _ours(self, by_type: dict[str, Array]) -> dict[str, Array]:
        return {name: value for name, value in by_type.items() if name not in self.names}

    def _theirs(self, obs: dict[str, Array]) -> dict[str, Array]:
        flat = flatten_obs(self.env, obs)
        return {name: flat[name] for name in self.names}


def _pick(stacked: Any, choice: Array) -> Any:
    """One of the stacked policies; without a gather when there is only one."""
    if jax.tree.leaves(stacked)[0].shape[0] == 1:
        return jax.tree.map(lambda x: x[0], stacked)
    return jax.tree.map(lambda x: x[choice], stacked)
