"""Action values of one agent type."""

from __future__ import annotations

from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from marl_algos.networks.heads import VALUE_GAIN
from marl_algos.networks.initializers import orthogonal
from marl_algos.networks.precision import of_layer
from marl_algos.networks.torsos import Torso
from marl_algos.settings import NetworkConfig

Array: TypeAlias = jax.Array


class QNetwork(nn.Module):
    """Values of all actions along a stretch of time.

    Attributes:
        num_actions: `n`.
        config: architecture.
        dueling: a head for the value of the state, and one for what an action adds to the mean.
        vocabulary: number of tokens if observations are tokens, else 0.

    References:
        Wang et al. (2016), "Dueling network architectures for deep reinforcement learning",
        equation 9.
    """

    num_actions: int
    config: NetworkConfig
    dueling: bool
    vocabulary: int = 0

    @nn.compact
    def __call__(self, carry: Any, obs: Array, reset: Array) -> tuple[Any, Array]:
        """Runs the network over `T` steps.

        Args:
            carry: hidden states before the first step, `[..., H]`; an empty tuple without.
            obs: `[T, ..., F]` float32.
            reset: `[T, ...]` bool, done flag before each step.

        Returns:
            Hidden states after the last step, and action values `[T, ..., n]`.
        """
        carry, features = Torso(self.config, self.vocabulary, name="torso")(carry, obs, reset)

        def dense(size: int, name: str) -> Array:
            init = orthogonal(VALUE_GAIN)
            computed = of_layer(self.config.precision, is_last=True)
            output: Array = nn.Dense(size, kernel_init=init, name=name, **computed)(features)
            return output

        values = dense(self.num_actions, "actions")
        if self.dueling:
            values = values - jnp.mean(values, axis=-1, keepdims=True) + dense(1, "state")
        return carry, values
