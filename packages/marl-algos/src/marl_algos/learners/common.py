"""What all learners share: checks of arguments, the first rollout, normalized observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import optax

from marl_algos.networks import vocabulary_of
from marl_algos.rollout import reset_batch
from marl_algos.settings import TypeConfig
from marl_algos.types import Environment, RolloutState

Array: TypeAlias = jax.Array
_T = TypeVar("_T")

OBS_LIMIT: Final = 10.0
"""Normalized observations are clipped to this many standard deviations."""


class LearnerBase:
    """Arguments of a learner and where its environments start.

    Attributes:
        env: the environment.
        types: configuration by agent type.
        num_envs: `B`, parallel environments.
        num_steps: `T`, steps of a rollout.
        num_updates: updates of the whole run, the horizon of schedules.

    Raises:
        ValueError: if types and groups differ, settings are another learner's, or a number is
            below 1.
    """

    settings_class: type[Any]
    """Class of `TypeConfig.settings` that the learner reads."""

    def __init__(
        self,
        env: Environment,
        types: Mapping[str, TypeConfig],
        *,
        num_envs: int,
        num_steps: int,
        num_updates: int,
    ) -> None:
        if set(types) != set(env.groups):
            raise ValueError(
                f"the environment has the agent types {sorted(env.groups)}; "
                f"settings are given for {sorted(types)}"
            )
        for name, config in types.items():
            if not isinstance(config.settings, self.settings_class):
                raise ValueError(
                    f"agents {name!r} have {type(config.settings).__name__}; "
                    f"{type(self).__name__} reads {self.settings_class.__name__}"
                )
        for name, value in (
            ("num_envs", num_envs),
            ("num_steps", num_steps),
            ("num_updates", num_updates),
        ):
            if value < 1:
                raise ValueError(f"algo.{name} is {value}; it must be >= 1")
        self.env = env
        self.types = dict(types)
        self.num_envs = num_envs
        self.num_steps = num_steps
        self.num_updates = num_updates

    def initial_carry(self, num_envs: int) -> dict[str, Any]:
        """Hidden states by type at the start of an episode, leaves `[num_envs, A, ...]`."""
        raise NotImplementedError

    def start_rollout(self, key: Array, env_params: Any) -> RolloutState:
        """Fresh environments."""
        obs, env_state = reset_batch(self.env, key, env_params, self.num_envs)
        return RolloutState(
            env_state=env_state,
            obs=obs,
            carry=self.initial_carry(self.num_envs),
            is_first=jnp.ones((self.num_envs,), bool),
            episode_return={name: jnp.zeros(value.shape[:-1]) for name, value in obs.items()},
        )

    def normalize_obs(self, agents: Mapping[str, Any], obs: dict[str, Array]) -> dict[str, Array]:
        """Observations by type as the networks see them; tokens stay as they are."""
        normalized = {}
        for name, x in obs.items():
            normalized[name] = x
            if self.types[name].settings.normalize_obs and not self.vocabulary(name):
                standard = agents[name].obs_moments.normalize(x)
                normalized[name] = jnp.clip(standard, -OBS_LIMIT, OBS_LIMIT)
        return normalized

    def vocabulary(self, name: str) -> int:
        """Number of tokens that the observations of a type are made of; 0 if they are numbers."""
        return vocabulary_of(self.env.groups[name].observation_space)

    def refuse_tokens(self) -> None:
        """Refuses types that see tokens, for learners that put observations side by side.

        Raises:
            ValueError: naming the type.
        """
        for name in self.types:
            if self.vocabulary(name):
                raise ValueError(
                    f"agents {name!r} see tokens; only algo=ippo, algo=dqn and algo=vdn embed them"
                )


def optimizer(max_grad_norm: float) -> optax.GradientTransformation:
    """Clipped Adam directions; the learning rate is applied by the caller, as it changes."""
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.scale_by_adam(eps=1e-5))


def descend(
    params: _T, opt_state: Any, grads: _T, rate: Array | float, max_grad_norm: float
) -> tuple[_T, Any]:
    """Parameters and state of the optimizer after one gradient step."""
    directions, opt_state = optimizer(max_grad_norm).update(grads, opt_state)
    moved: _T = jax.tree.map(lambda p, d: p - rate * d, params, directions)
    return moved, opt_state


def linear(progress: Array, final: float) -> Array:
    """Falls (or rises) from 1 at progress 0 to `final` at progress 1."""
    return 1.0 + (final - 1.0) * jnp.clip(progress, 0.0, 1.0)


def is_finite(tree: Any) -> Array:
    """`[]` bool: no leaf holds a NaN or an infinity."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))


def weight_of_past(update: Array) -> Array:
    """Weight of earlier batches in moments that count every update alike, `[]` in [1/2, 1)."""
    return 1.0 - 1.0 / (2.0 + update.astype(jnp.float32))
