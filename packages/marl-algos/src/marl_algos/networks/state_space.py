"""Recurrence without steps in sequence: diagonal linear state spaces."""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from marl_algos.networks.precision import multiply, of_layer

Array: TypeAlias = jax.Array

_SHORTEST: Final = 1e-3
_LONGEST: Final = 1e-1
"""Range of the time steps that layers start with."""


class S5(nn.Module):
    """A diagonal linear state space over time that starts afresh at the beginning of an episode.

    h_t = a_t h_{t-1} + B' u_t with complex h, y_t = 2 Re(C h_t) + D u_t; a_t is zero where an
    episode starts, else exp(Lambda dt), and B' = (exp(Lambda dt) - 1) / Lambda B (zero-order
    hold). All steps are computed together by an associative scan. Eigenvalues start as
    -1/2 + i pi n; only one of each conjugate pair is kept, hence the factor 2.

    Attributes:
        state_size: `P`, complex numbers in the state.
        precision: one of `marl_algos.settings.PRECISIONS`.

    References:
        Smith et al. (2023), "Simplified state space layers for sequence modeling", section 3; Lu
        et al. (2023), "Structured state space models for in-context reinforcement learning",
        equation 3 (resets); Gu et al. (2022), "On the parameterization and initialization of
        diagonal state space models", S4D-Lin.
    """

    state_size: int
    precision: str = "float32"

    @nn.compact
    def __call__(self, carry: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        """Outputs of a stretch of time.

        Args:
            carry: `[..., 2 P]` float32, state before the first step: real parts, then imaginary.
            x: `[T, ..., H]`, inputs.
            reset: `[T, ...]` bool, the done flag **before** step t; the state is zeroed there.

        Returns:
            The state after the last step `[..., 2 P]`, and outputs `[T, ..., H]`.
        """
        decay, to_state, to_output, skip = self._matrices(x.shape[-1])
        keep = jnp.where(reset[..., None], 0.0, decay)
        drive = multiply(x.astype(to_state.dtype), to_state, self.precision)
        start = jax.lax.complex(carry[..., : self.state_size], carry[..., self.state_size :])
        drive = drive.at[0].add(keep[0] * start)

        def compose(
            earlier: tuple[Array, Array], later: tuple[Array, Array]
        ) -> tuple[Array, Array]:
            return later[0] * earlier[0], later[0] * earlier[1] + later[1]

        _, states = jax.lax.associative_scan(compose, (keep, drive))
        last = jnp.concatenate([states[-1].real, states[-1].imag], axis=-1)
        outputs = multiply(states, to_output, self.precision)
        return last, 2.0 * outputs.real + skip * x

    def _matrices(self, width: int) -> tuple[Array, Array, Array, Array]:
        """Decay `[P]`, input `[H, P]` and output `[P, H]` matrices (complex), and skip `[H]`."""
        size = self.state_size
        normal = nn.initializers.lecun_normal()

        def spread(key: Array, shape: tuple[int, ...]) -> Array:
            low, high = math.log(_SHORTEST), math.log(_LONGEST)
            return jax.random.uniform(key, shape, minval=low, maxval=high)

        log_decay = self.param("log_decay", nn.initializers.constant(math.log(0.5)), (size,))
        frequency = self.param("frequency", lambda _: math.pi * jnp.arange(size, dtype=jnp.float32))
        step = jnp.exp(self.param("log_step", spread, (size,)))
        inner = self.param("input", normal, (2, width, size))
        outer = self.param("output", normal, (2, size, width))
        skip = self.param("skip", nn.initializers.normal(1.0), (width,))
        eigenvalues = jax.lax.complex(-jnp.exp(log_decay), frequency)
        decay = jnp.exp(eigenvalues * step)
        to_state = jax.lax.complex(inner[0], inner[1]) * ((decay - 1.0) / eigenvalues)
        return decay, to_state, jax.lax.complex(outer[0], outer[1]), skip


class S5Stack(nn.Module):
    """Residual blocks of normalization, `S5` and a gate.

    Attributes:
        num_layers: `L`.
        state_size: `P`, complex numbers in the state of each.
        precision: one of `marl_algos.settings.PRECISIONS`.
    """

    num_layers: int
    state_size: int
    precision: str = "float32"

    @nn.compact
    def __call__(self, carry: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        """Outputs of a stretch of time.

        Args:
            carry: `[..., L, 2 P]` float32, states before the first step.
            x: `[T, ..., H]`, inputs.
            reset: `[T, ...]` bool, done flag before each step.

        Returns:
            States after the last step, and outputs `[T, ..., H]`.
        """
        after, computed = [], of_layer(self.precision)
        for layer in range(self.num_layers):
            state, y = S5(self.state_size, self.precision, name=f"core_{layer}")(
                carry[..., layer, :], nn.LayerNorm(name=f"norm_{layer}")(x), reset
            )
            y = jax.nn.gelu(y)
            gate = nn.Dense(x.shape[-1], name=f"gate_{layer}", **computed)(y)
            x = x + y * jax.nn.sigmoid(gate)
            after.append(state)
        return jnp.stack(after, axis=-2), x
