"""Policy and value of one agent type in one module."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import flax.linen as nn
import jax
from marl_envs.spaces import Space

from marl_algos.networks.attention import AgentAttention
from marl_algos.networks.distributions import Distribution
from marl_algos.networks.heads import PolicyHead, ValueHead
from marl_algos.networks.torsos import Torso, initial_state
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
        vocabulary: number of tokens if observations are tokens, else 0.
    """

    space: Space
    config: NetworkConfig
    vocabulary: int = 0

    def setup(self) -> None:
        """Declares the parts, named as they appear in the parameters."""
        config = self.config
        self.actor_torso = Torso(config, self.vocabulary)
        if not config.shared:
            self.critic_torso = Torso(config, self.vocabulary)
        if config.critic_attention:
            self.attention = AgentAttention(
                config.attention_size, config.attention_heads, config.precision
            )
        self.policy_head = PolicyHead(self.space, config.continuous, config.precision)
        self.value_head = ValueHead(config.precision)

    def __call__(
        self, carry: Carry, obs: Array, critic_obs: Array, reset: Array
    ) -> tuple[Carry, Distribution, Array]:
        """Runs both networks over `T` steps.

        Args:
            carry: hidden states before the first step.
            obs: `[T, ..., F]` float32, what the policy sees.
            critic_obs: `[T, ..., G]` float32, for attention `[T, ..., M, G]`, what the value sees;
                not read with shared features.
            reset: `[T, ...]` bool, done flag before each step.

        Returns:
            Hidden states after the last step, the distribution `[T, ...]`, normalized values
            `[T, ...]`.
        """
        actor, features = self.actor_torso(carry.actor, obs, reset)
        if self.config.shared:
            return (
                Carry(actor, carry.critic),
                self.policy_head(features),
                self.value_head(features),
            )
        critic, critic_features = self._critic(carry.critic, critic_obs, reset)
        return (
            Carry(actor, critic),
            self.policy_head(features),
            self.value_head(critic_features),
        )

    def policy(self, carry: Carry, obs: Array, reset: Array) -> tuple[Carry, Distribution]:
        """Runs the policy only; the hidden state of a separate value stays as it was."""
        actor, features = self.actor_torso(carry.actor, obs, reset)
        return Carry(actor, carry.critic), self.policy_head(features)

    def _critic(self, carry: Any, critic_obs: Array, reset: Array) -> tuple[Any, Array]:
        """Hidden states and features of the critic."""
        if self.config.critic_attention:
            critic_obs = self.attention(critic_obs)
        output: tuple[Any, Array] = self.critic_torso(carry, critic_obs, reset)
        return output

    def value(self, carry: Carry, obs: Array, critic_obs: Array, reset: Array) -> Array:
        """Normalized values `[T, ...]` only; arguments as for a call."""
        if self.config.shared:
            _, features = self.actor_torso(carry.actor, obs, reset)
        else:
            _, features = self._critic(carry.critic, critic_obs, reset)
        values: Array = self.value_head(features)
        return values


def initial_carry(config: NetworkConfig, shape: tuple[int, ...]) -> Carry:
    """Hidden states at the start of an episode, leaves led by `shape`."""
    return Carry(
        initial_state(config, shape), () if config.shared else initial_state(config, shape)
    )
