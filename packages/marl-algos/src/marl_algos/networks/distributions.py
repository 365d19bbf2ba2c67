"""Probability distributions of actions: small, batched, and pytrees.

Every class has `sample(key)`, `mode()`, `log_prob(action)` and `entropy()`; leading axes are batch
axes. Continuous actions lie in a box `[low, high]` and densities are densities over that box.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Final, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, digamma

Array: TypeAlias = jax.Array

_MARGIN: Final = 1e-6
"""Unit-interval actions are kept this far from 0 and 1, where log-densities diverge."""
_NUM_NODES: Final = 32
"""Gauss-Hermite nodes of the entropy of a squashed normal."""
_MASKED_LOGIT: Final = -1e9


class Distribution(Protocol):
    """What the learners need of a distribution of actions."""

    def sample(self, key: Array) -> Array:
        """A draw for every batch entry."""
        ...

    def mode(self) -> Array:
        """The greedy action of every batch entry."""
        ...

    def log_prob(self, action: Array) -> Array:
        """Log-probability or log-density of `action`, one number for every batch entry."""
        ...

    def entropy(self) -> Array:
        """Entropy in nats, one number for every batch entry."""
        ...


def add_gumbel(key: Array, logits: Array) -> Array:
    """Logits `[..., n]` with Gumbel noise, the largest of which is a draw by their probabilities.

    The noise is that of `jax.random.gumbel`, drawn flat: XLA unrolls loops over a short last axis.
    """
    return logits + jax.random.gumbel(key, (logits.size,), logits.dtype).reshape(logits.shape)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Categorical:
    """A choice among `n`.

    Attributes:
        logits: `[..., n]` float32, not necessarily normalized.
    """

    logits: Array

    def sample(self, key: Array) -> Array:
        """`[...]` int32."""
        return jnp.argmax(add_gumbel(key, self.logits), axis=-1).astype(jnp.int32)

    def mode(self) -> Array:
        """`[...]` int32, the most probable choice (the first of equals)."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        """`[...]` float32 of actions `[...]` int32."""
        log_probs = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_probs, action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        """`[...]` float32; a choice of probability zero contributes nothing."""
        log_probs = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def masked_categorical(logits: Array, legal: Array) -> Categorical:
    """A choice restricted to legal actions.

    Args:
        logits: `[..., n]` float32.
        legal: `[..., n]` bool. A row without any legal action keeps action 0, the no-op.

    Returns:
        A distribution that gives illegal actions probability zero.
    """
    fallback = jnp.arange(logits.shape[-1]) == 0
    legal = jnp.where(jnp.any(legal, axis=-1, keepdims=True), legal, fallback)
    return Categorical(jnp.where(legal, logits, _MASKED_LOGIT))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MultiCategorical:
    """Independent choices, entry i among `ns[i]`.

    Attributes:
        parts: one `Categorical` for each entry, in order.
    """

    parts: tuple[Categorical, ...]

    def sample(self, key: Array) -> Array:
        """`[..., len(ns)]` int32."""
        keys = jax.random.split(key, len(self.parts))
        return jnp.stack([p.sample(k) for p, k in zip(self.parts, keys, strict=True)], axis=-1)

    def mode(self) -> Array:
        """`[..., len(ns)]` int32."""
        return jnp.stack([part.mode() for part in self.parts], axis=-1)

    def log_prob(self, action: Array) -> Array:
        """`[...]` float32 of actions `[..., len(ns)]` int32."""
        terms = [part.log_prob(action[..., i]) for i, part in enumerate(self.parts)]
        return jnp.sum(jnp.stack(terms), axis=0)

    def entropy(self) -> Array:
        """`[...]` float32."""
        return jnp.sum(jnp.stack([part.entropy() for part in self.parts]), axis=0)


def restrict(distribution: Distribution, legal: Array | None) -> Distribution:
    """The distribution without what is not allowed.

    Args:
        distribution: batch `[...]`.
        legal: `[..., n]` bool, for independent choices those of all entries one after the other;
            None allows everything.

    Raises:
        ValueError: for a mask on a distribution over real numbers.
    """
    if legal is None:
        return distribution
    if isinstance(distribution, Categorical):
        return masked_categorical(distribution.logits, legal)
    if isinstance(distribution, MultiCategorical):
        sizes = [part.logits.shape[-1] for part in distribution.parts]
        masks = jnp.split(legal, list(itertools.accumulate(sizes))[:-1], axis=-1)
        pairs = zip(distribution.parts, masks, strict=True)
        return MultiCategorical(tuple(masked_categorical(p.logits, mask) for p, mask in pairs))
    raise ValueError(f"an action mask was given for a {type(distribution).__name__}")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TanhNormal:
    """`low + (high - low) (1 + tanh u) / 2` with independent normal `u`.

    Attributes:
        loc: `[..., D]` float32, mean of `u`.
        scale: `[..., D]` float32 > 0, standard deviation of `u`.
        low: lower limit of the box.
        high: upper limit of the box.
    """

    loc: Array
    scale: Array
    low: float = dataclasses.field(default=-1.0, metadata={"static": True})
    high: float = dataclasses.field(default=1.0, metadata={"static": True})

    def _squash(self, u: Array) -> Array:
        unit = jnp.clip(jax.nn.sigmoid(2.0 * u), _MARGIN, 1.0 - _MARGIN)
        return self.low + (self.high - self.low) * unit

    def sample(self, key: Array) -> Array:
        """`[..., D]` float32."""
        return self._squash(self.loc + self.scale * jax.random.normal(key, self.loc.shape))

    def mode(self) -> Array:
        """`[..., D]` float32: the image of the normal's mean (its median)."""
        return self._squash(self.loc)

    def log_prob(self, action: Array) -> Array:
        """`[...]` float32 of actions `[..., D]`, summed over D."""
        unit = jnp.clip((action - self.low) / (self.high - self.low), _MARGIN, 1.0 - _MARGIN)
        u = 0.5 * (jnp.log(unit) - jnp.log1p(-unit))
        normal = -0.5 * ((u - self.loc) / self.scale) ** 2 - jnp.log(self.scale)
        log_slope = jnp.log(unit) + jnp.log1p(-unit) + math.log(2.0 * (self.high - self.low))
        return jnp.sum(normal - 0.5 * math.log(2.0 * math.pi) - log_slope, axis=-1)

    def entropy(self) -> Array:
        """`[...]` float32: the normal's entropy plus the mean log-slope of the map.

        The mean is a Gauss-Hermite sum, exact to about 1e-4 for scales up to 2.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NUM_NODES)
        u = self.loc[..., None] + self.scale[..., None] * jnp.asarray(nodes, jnp.float32)
        log_slope = -jax.nn.softplus(2.0 * u) - jax.nn.softplus(-2.0 * u)
        mean = log_slope @ jnp.asarray(weights / weights.sum(), jnp.float32)
        normal = 0.5 * math.log(2.0 * math.pi * math.e) + jnp.log(self.scale)
        return jnp.sum(normal + mean + math.log(2.0 * (self.high - self.low)), axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScaledBeta:
    """Independent Beta variables stretched over `[low, high]`.

    Attributes:
        alpha: `[..., D]` float32 > 0.
        beta: `[..., D]` float32 > 0.
        low: lower limit of the box.
        high: upper limit of the box.
    """

    alpha: Array
    beta: Array
    low: float = dataclasses.field(default=0.0, metadata={"static": True})
    high: float = dataclasses.field(default=1.0, metadata={"static": True})

    def _stretch(self, unit: Array) -> Array:
        return self.low + (self.high - self.low) * jnp.clip(unit, _MARGIN, 1.0 - _MARGIN)

    def sample(self, key: Array) -> Array:
        """`[..., D]` float32."""
        return self._stretch(jax.random.beta(key, self.alpha, self.beta))

    def mode(self) -> Array:
        """`[..., D]` float32; the mean where no interior mode exists."""
        interior = (self.alpha > 1.0) & (self.beta > 1.0)
        peak = (self.alpha - 1.0) / jnp.where(interior, self.alpha + self.beta - 2.0, 1.0)
        return self._stretch(jnp.where(interior, peak, self.alpha / (self.alpha + self.beta)))

    def log_prob(self, action: Array) -> Array:
        """`[...]` float32 of actions `[..., D]`, summed over D."""
        unit = jnp.clip((action - self.low) / (self.high - self.low), _MARGIN, 1.0 - _MARGIN)
        density = (self.alpha - 1.0) * jnp.log(unit) + (self.beta - 1.0) * jnp.log1p(-unit)
        width = math.log(self.high - self.low)
        return jnp.sum(density - betaln(self.alpha, self.beta) - width, axis=-1)

    def entropy(self) -> Array:
        """`[...]` float32."""
        a, b = self.alpha, self.beta
        unit = (
            betaln(a, b)
            - (a - 1.0) * digamma(a)
            - (b - 1.0) * digamma(b)
            + (a + b - 2.0) * digamma(a + b)
        )
        return jnp.sum(unit + math.log(self.high - self.low), axis=-1)
