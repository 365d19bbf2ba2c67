"""Feature extractors: dense layers, and recurrence on top of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from marl_envs.spaces import MultiDiscrete, Space

from marl_algos.networks.precision import multiply, of_layer
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
        init, computed = nn.initializers.orthogonal(HIDDEN_GAIN), of_layer(self.precision)
        for size in self.sizes:
            x = nn.Dense(size, kernel_init=init, **computed)(x)
            x = _FUNCTIONS[self.activation](x)
        return x


class GRU(nn.Module):
    """A gated recurrent unit over time that starts afresh at the beginning of an episode.

    The input projections of all steps are one matrix product; only the hidden-to-hidden part
    runs step by step.

    Attributes:
        features: `H`, size of the hidden state.
        precision: one of `marl_algos.settings.PRECISIONS`.

    References:
        Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder", in the
        variant whose reset gate acts after the hidden-to-hidden product (as cuDNN's and flax's).
    """

    features: int
    precision: str = "float32"

    @nn.compact
    def __call__(self, carry: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        """Hidden states of a stretch of time.

        Args:
            carry: `[..., H]`, hidden state before the first step.
            x: `[T, ..., F]`, inputs.
            reset: `[T, ...]` bool, whether step t is the first of an episode, that is the done
                flag **before** step t; the hidden state is zeroed there.

        Returns:
            The hidden state after the last step `[..., H]`, and that of every step `[T, ..., H]`.
        """
        size = self.features
        init, computed = nn.initializers.orthogonal(), of_layer(self.precision)
        inputs = nn.Dense(3 * size, kernel_init=init, name="input", **computed)(x)
        inputs = inputs.astype(jnp.float32)
        kernel = self.param("hidden_kernel", _orthogonal_blocks, (size, 3 * size))
        bias = self.param("hidden_bias", nn.initializers.zeros, (size,))

        def step(h: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            from_input, is_first = now
            h = jnp.where(is_first[..., None], 0.0, h)
            from_hidden = multiply(h, kernel, self.precision)
            r = jax.nn.sigmoid(from_input[..., :size] + from_hidden[..., :size])
            z = jax.nn.sigmoid(from_input[..., size : 2 * size] + from_hidden[..., size : 2 * size])
            n = jnp.tanh(from_input[..., 2 * size :] + r * (from_hidden[..., 2 * size :] + bias))
            h = (1.0 - z) * n + z * h
            return h, h

        return jax.lax.scan(step, carry, (inputs, reset))


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


def _orthogonal_blocks(key: Array, shape: tuple[int, int]) -> Array:
    """Three orthogonal square matrices side by side, one for each gate."""
    initializer = nn.initializers.orthogonal()
    keys = jax.random.split(key, 3)
    return jnp.concatenate([initializer(k, (shape[0], shape[0])) for k in keys], axis=1)
