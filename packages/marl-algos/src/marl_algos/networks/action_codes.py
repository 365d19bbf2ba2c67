"""Actions as real vectors that gradients can pass through, for critics that see actions."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import jax
import jax.numpy as jnp
from marl_envs.spaces import Box, Discrete, MultiDiscrete, Space

from marl_algos.networks.distributions import (
    Categorical,
    Distribution,
    MultiCategorical,
    add_gumbel,
    restrict,
)

Array: TypeAlias = jax.Array


@dataclasses.dataclass(frozen=True)
class ActionCode:
    """How the actions of a space are written as vectors of `size` numbers.

    A choice is a one-hot vector, independent choices are one after the other, and a box is mapped
    onto [-1, 1]. An actor gives `size` raw numbers: logits, or what `tanh` squashes.

    Attributes:
        space: `Discrete`, `MultiDiscrete`, or a bounded `Box` of one axis.

    References:
        Lowe et al. (2017), "Multi-agent actor-critic for mixed cooperative-competitive
        environments", section 4.1; Jang et al. (2017), "Categorical reparameterization with
        Gumbel-softmax", section 2.2, straight-through estimator.
    """

    space: Space

    @property
    def choices(self) -> tuple[int, ...]:
        """Numbers of alternatives of independent choices; empty for a box."""
        if isinstance(self.space, Discrete):
            return (self.space.n,)
        return self.space.ns if isinstance(self.space, MultiDiscrete) else ()

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(self.choices) if self.choices else self.space.shape[0]

    def encode(self, action: Array) -> Array:
        """Vectors `[..., size]` of actions `[..., *space.shape]`."""
        if isinstance(self.space, Box):
            return 2.0 * (action - self.space.low) / (self.space.high - self.space.low) - 1.0
        if isinstance(self.space, Discrete):
            return jax.nn.one_hot(action, self.space.n)
        parts = [jax.nn.one_hot(action[..., i], n) for i, n in enumerate(self.choices)]
        return jnp.concatenate(parts, axis=-1)

    def relax(self, key: Array, raw: Array, legal: Array | None, temperature: float) -> Array:
        """Vectors `[..., size]` of actions, drawn so that gradients reach `raw`.

        Choices are sampled, and their gradient is that of the Gumbel-softmax; a box is squashed
        without noise.

        Args:
            key: consumed.
            raw: `[..., size]`.
            legal: `[..., size]` bool, what is allowed; None allows everything.
            temperature: of the softmax.
        """
        if not self.choices:
            return jnp.tanh(raw)
        logits = self._logits(raw, legal)
        noisy = [
            add_gumbel(k, part)
            for part, k in zip(logits, jax.random.split(key, len(logits)), strict=True)
        ]
        codes = []
        for part in noisy:
            soft = jax.nn.softmax(part / temperature)
            hard = jax.nn.one_hot(jnp.argmax(part, axis=-1), part.shape[-1])
            codes.append(hard + soft - jax.lax.stop_gradient(soft))
        return jnp.concatenate(codes, axis=-1)

    def sample(self, key: Array, raw: Array, legal: Array | None, noise: float) -> Array:
        """Actions to explore with: choices by their probabilities, a box with normal noise.

        Args:
            key: consumed.
            raw: `[..., size]`.
            legal: `[..., size]` bool; None allows everything.
            noise: standard deviation in halves of the box's width.
        """
        if isinstance(self.space, Box):
            code = jnp.tanh(raw) + noise * jax.random.normal(key, raw.shape)
            return self._stretch(jnp.clip(code, -1.0, 1.0))
        return self._distribution(raw, legal).sample(key)

    def mode(self, raw: Array, legal: Array | None) -> Array:
        """The most probable choices, or the box's point without noise."""
        if isinstance(self.space, Box):
            return self._stretch(jnp.tanh(raw))
        return self._distribution(raw, legal).mode()

    def _stretch(self, code: Array) -> Array:
        low, high = self.space.low, self.space.high  # type: ignore[union-attr]
        return jnp.clip(low + (high - low) * 0.5 * (code + 1.0), low, high)

    def _distribution(self, raw: Array, legal: Array | None) -> Distribution:
        parts = tuple(Categorical(part) for part in self._split(raw))
        whole = parts[0] if isinstance(self.space, Discrete) else MultiCategorical(parts)
        return restrict(whole, legal)

    def _logits(self, raw: Array, legal: Array | None) -> list[Array]:
        whole = restrict(MultiCategorical(tuple(map(Categorical, self._split(raw)))), legal)
        return [part.logits for part in whole.parts]  # type: ignore[attr-defined]

    def _split(self, raw: Array) -> list[Array]:
        ends = [sum(self.choices[: i + 1]) for i in range(len(self.choices) - 1)]
        return jnp.split(raw, ends, axis=-1)
