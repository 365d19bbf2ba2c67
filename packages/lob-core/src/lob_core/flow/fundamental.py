"""A fundamental value that reverts to its mean and jumps at random times."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lob_core.flow.base import as_float
from lob_core.flow.draws import poisson_counts
from lob_core.types import Array, Replaceable, pytree_dataclass

_MEMORY = 12.0
"""Relaxation times after which the past is forgotten: exp(-12) is 6e-6."""


@pytree_dataclass
class OrnsteinUhlenbeckParams(Replaceable):
    """Parameters of `OrnsteinUhlenbeck`, each a `[]` float32.

    Attributes:
        mean: ticks, the level to which the value reverts.
        reversion: per second, > 0; the half-life of a deviation is `log(2) / reversion`.
        volatility: ticks per square root of a second, >= 0.
        shock_rate: shocks per second, >= 0.
        shock_scale: ticks, >= 0, standard deviation of a shock.
    """

    mean: Array
    reversion: Array
    volatility: Array
    shock_rate: Array
    shock_scale: Array


@dataclasses.dataclass(frozen=True)
class OrnsteinUhlenbeck:
    """The value `V` with `dV = reversion (mean - V) dt + volatility dW + dJ`.

    `J` is a compound Poisson process: at rate `shock_rate` the value jumps by a normal amount
    with mean zero and standard deviation `shock_scale`. In the stationary law the mean is `mean`,
    the variance `(volatility^2 + shock_rate shock_scale^2) / (2 reversion)`, and the
    autocorrelation at lag `t` is `exp(-reversion t)`.

    Attributes:
        max_shocks: shocks that one call of `advance` can hold; more are left out. Their number is
            Poisson with mean `shock_rate * seconds`.

    Raises:
        ValueError: if `max_shocks` is below 1.

    References:
        Uhlenbeck, Ornstein (1930), On the theory of the Brownian motion, Physical Review 36(5).
        Barndorff-Nielsen, Shephard (2001), Non-Gaussian Ornstein-Uhlenbeck-based models, Journal
        of the Royal Statistical Society B 63(2), for the part that is driven by jumps.
    """

    max_shocks: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.max_shocks, int) or self.max_shocks < 1:
            raise ValueError(f"max_shocks is {self.max_shocks!r}; it must be an int >= 1")

    def default_params(self) -> OrnsteinUhlenbeckParams:
        """About 10,000 ticks, within five ticks most of the time, a shock every ten minutes."""
        return OrnsteinUhlenbeckParams(
            mean=as_float(10_000.0),
            reversion=as_float(0.01),
            volatility=as_float(0.5),
            shock_rate=as_float(1 / 600),
            shock_scale=as_float(10.0),
        )

    def initial(self, key: Array, params: OrnsteinUhlenbeckParams) -> Array:
        """A draw from the stationary law.

        Args:
            key: PRNG key, consumed.
            params: the parameters.

        Returns:
            `[]` float32, ticks: the value twelve relaxation times after it was at its mean, by
            when its variance is that of the stationary law up to a share of 4e-11.
        """
        return self.advance(key, params.mean, params, _MEMORY / params.reversion)

    def advance(
        self, key: Array, value: Array, params: OrnsteinUhlenbeckParams, seconds: Array
    ) -> Array:
        """The value some time later, drawn from the exact transition law.

        Args:
            key: PRNG key, consumed.
            value: `[]` float32, ticks, the value now.
            params: the parameters.
            seconds: `[]` float32, seconds, >= 0, that pass.

        Returns:
            `[]` float32, ticks.

        Notes:
            Given the ages `a_k` of the shocks at the end, which are uniform, the value is normal
            with mean `mean + (value - mean) exp(-reversion t)` and variance
            `volatility^2 (1 - exp(-2 reversion t)) / (2 reversion) + shock_scale^2 sum_k
            exp(-2 reversion a_k)`.
        """
        key_count, key_age, key_normal = jax.random.split(key, 3)
        seconds = as_float(seconds)
        count = poisson_counts(key_count, params.shock_rate * seconds, self.max_shocks)
        ages = seconds * jax.random.uniform(key_age, (self.max_shocks,))
        is_shock = np.arange(self.max_shocks) < count
        shocks = jnp.sum(jnp.where(is_shock, jnp.exp(-2 * params.reversion * ages), 0.0))
        diffusion = -jnp.expm1(-2 * params.reversion * seconds) / (2 * params.reversion)
        variance = params.volatility**2 * diffusion + params.shock_scale**2 * shocks
        drifted = params.mean + (value - params.mean) * jnp.exp(-params.reversion * seconds)
        return drifted + jnp.sqrt(variance) * jax.random.normal(key_normal)
