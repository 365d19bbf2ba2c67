"""Policy and value of one agent type in one module."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from marl_envs.spaces import Space

from marl_algos.networks.distributions import Distribution
from marl_algos.networks.heads import PolicyHead, ValueHead
from marl_algos.networks.torsos import GRU, FeedForward
from marl_algos.settings import NetworkConfig

Array: TypeAlias = jax.Array


class Carry(NamedTuple):
    """Hidden states of the policy and of the value; empty tuples without recurrence.

    Attributes:
        actor: `[..., H]` float32. Serves both when features are shared.
        critic: `[..., H]` float32.
    """

    actor: Any
    critic: Any


class ActorCritic(nn.Module):
    """Distribution of actions and value of a stretch of time.

    Attributes:
        space: actions of one agent.
        config: architecture.
    """

    space: Space
    config: NetworkConfig

    def setup(self) -> None:
        """Declares the parts, named as they appear in the parameters."""
        config = self.config
        self.actor_torso = FeedForward(config.hidden, config.activation)
        if config.is_recurrent:
            self.actor_core = GRU(config.gru_size)
        if not config.shared:
            self.critic_torso = FeedForward(config.hidden, config.activation)
            if config.is_recurrent:
                self.critic_core = GRU(config.gru_size)
        self.policy_head = PolicyHead(self.space, config.continuous)
        self.value_head = ValueHead()

    def __call__(
        self, carry: Carry, obs: Array, critic_obs: Array, reset: Array
    ) -> tuple[Carry, Distribution, Array]:
        """Runs both networks over `T` steps.

        Args:
            carry: hidden states before the first step.
            obs: `[T, ..., F]` float32, what the policy sees.
            critic_obs: `[T, ..., G]` float32, what the value sees; not read with shared features.
            reset: `[T, ...]` bool, done flag before each step.

        Returns:
            Hidden states after the last step, the distribution `[T, ...]`, normalized values
            `[T, ...]`.
        """
        features = self.actor_torso(obs)
        actor = carry.actor
        if self.config.is_recurrent:
            actor, features = self.actor_core(actor, features, reset)
        if self.config.shared:
            return (
                Carry(actor, carry.critic),
                self.policy_head(features),
                self.value_head(features),
            )
        critic_carry, critic_features = self._critic(carry, critic_obs, reset)
        return (
            Carry(actor, critic_carry),
            self.policy_head(features),
            self.value_head(critic_features),
        )

    def _critic(self, carry: Carry, critic_obs: Array, reset: Array) -> tuple[Any, Array]:
        features = self.critic_torso(critic_obs)
        if not self.config.is_recurrent:
            return carry.critic, features
        return self.critic_core(carry.critic, features, reset)

    def value(self, carry: Carry, obs: Array, critic_obs: Array, reset: Array) -> Array:
        """Normalized values `[T, ...]` only; arguments as for a call."""
        if self.config.shared:
            features = self.actor_torso(obs)
            if self.config.is_recurrent:
                _, features = self.actor_core(carry.actor, features, reset)
        else:
            _, features = self._critic(carry, critic_obs, reset)
        values: Array = self.value_head(features)
        return values


def initial_carry(config: NetworkConfig, shape: tuple[int, ...]) -> Carry:
    """Hidden states at the start of an episode, leaves led by `shape`."""
    if not config.is_recurrent:
        return Carry((), ())
    zeros = jnp.zeros((*shape, config.gru_size), jnp.float32)
    return Carry(zeros, () if config.shared else zeros)
