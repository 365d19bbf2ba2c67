"""Feature extractors: dense layers, and recurrence on top of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from marl_envs.spaces import MultiDiscrete, Space

from marl_algos.networks.gru import GRU
from marl_algos.networks.initializers import orthogonal
from marl_algos.networks.precision import of_layer
from marl_algos.networks.rows import by_rows
from marl_algos.networks.state_space import S5Stack
from marl_algos.settings import NetworkConfig

Array: TypeAlias = jax.Array

HIDDEN_GAIN: Final = math.sqrt(2.0)
"""Gain of the orthogonal initialization of hidden layers."""
_FUNCTIONS: Final[dict[str, Callable[[Array], Array]]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}


class FeedForward(nn.Module):
    """Dense layers, each followed by the activation.

    Attributes:
        sizes: width of each layer.
        activation: one of `marl_algos.settings.ACTIVATIONS`.
        precision: one of `marl_algos.settings.PRECISIONS`.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    precision: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features `[..., sizes[-1]]` of inputs `[..., F]`."""
        init, computed = orthogonal(HIDDEN_GAIN), of_layer(self.precision)

        def layers(rows: Array) -> Array:
            for size in self.sizes:
                rows = nn.Dense(size, kernel_init=init, **computed)(rows)
                rows = _FUNCTIONS[self.activation](rows)
            return rows

        features: Array = by_rows(layers, x)
        return features


class Torso(nn.Module):
    """Dense layers, followed by a recurrent unit if the architecture has one.

    Attributes:
        config: architecture.
        vocabulary: number of tokens if the inputs are tokens, which are embedded first; else 0.
    """

    config: NetworkConfig
    vocabulary: int = 0

    @nn.compact
    def __call__(self, carry: Any, x: Array, reset: Array) -> tuple[Any, Array]:
        """Features of a stretch of time.

        Args:
            carry: hidden states before the first step, see `initial_state`.
            x: `[T, ..., F]`, inputs.
            reset: `[T, ...]` bool, done flag before each step.

        Returns:
            Hidden states after the last step, and features `[T, ..., H]`.
        """
        config = self.config
        if self.vocabulary:
            embed = nn.Embed(self.vocabulary, config.embedding_size, name="tokens")
            x = embed(x.astype(jnp.int32)).reshape(*x.shape[:-1], -1)
        precision = config.precision
        layers = FeedForward(config.hidden, config.activation, precision, name="layers")
        features = layers(x)
        if config.kind == "gru":
            return GRU(config.gru_size, precision, name="core")(carry, features, reset)
        features = features.astype(jnp.float32)
        if config.kind == "s5":
            stack = S5Stack(config.s5_layers, config.s5_size, precision, name="core")
            return stack(carry, features, reset)
        return carry, features


def vocabulary_of(space: Space) -> int:
    """Number of tokens of an observation space that has tokens (`MultiDiscrete`), else 0."""
    return max(space.ns) if isinstance(space, MultiDiscrete) else 0


def initial_state(config: NetworkConfig, shape: tuple[int, ...]) -> Any:
    """Hidden states of a `Torso` at the start of an episode, leaves led by `shape`."""
    if config.kind == "gru":
        return jnp.zeros((*shape, config.gru_size), jnp.float32)
    if config.kind == "s5":
        return jnp.zeros((*shape, config.s5_layers, 2 * config.s5_size), jnp.float32)
    return ()
