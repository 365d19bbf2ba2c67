"""A gated recurrent unit whose gradients are written out.

Only products that depend on the step before run step by step: those of the inputs, the derivatives
of the gates and the gradients of the weights are computed for all steps together. Gates are arrays
of their own and batches have one axis, which CPUs are fastest with.
"""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp

from marl_algos.networks.initializers import orthogonal
from marl_algos.networks.precision import multiply
from marl_algos.networks.rows import by_rows

Array: TypeAlias = jax.Array
Gates: TypeAlias = tuple[Array, Array, Array]
"""Of the reset gate, the update gate and the candidate."""


class GRU(nn.Module):
    """A gated recurrent unit over time that starts afresh at the beginning of an episode.

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
        inputs = _InputGates(size, self.precision, name="input")(x)
        kernel = self.param("hidden_kernel", _orthogonal_blocks, (size, 3 * size))
        bias = self.param("hidden_bias", nn.initializers.zeros, (size,))
        return gated_recurrence(inputs, kernel, bias, carry, reset, self.precision)


class _InputGates(nn.Module):
    """What the inputs contribute to the gates, `[T, ..., H]` float32 each, of `[T, ..., F]`."""

    features: int
    precision: str

    @nn.compact
    def __call__(self, x: Array) -> Gates:
        size = self.features
        kernel = self.param("kernel", orthogonal(), (x.shape[-1], 3 * size))
        bias = self.param("bias", nn.initializers.zeros, (3 * size,))
        r, z, n = (
            by_rows(partial(multiply, right=part, precision=self.precision), x) + shift
            for part, shift in zip(_gates_of(kernel), _gates_of(bias), strict=True)
        )
        return r, z, n


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def gated_recurrence(
    inputs: Gates, kernel: Array, bias: Array, carry: Array, reset: Array, precision: str
) -> tuple[Array, Array]:
    """Hidden states h of a stretch of time.

    With h' the state before a step, zero where an episode starts, and products h' U:
    r = sigmoid(i_r + h' U_r), z = sigmoid(i_z + h' U_z), n = tanh(i_n + r (h' U_n + b)) and
    h = (1 - z) n + z h'.

    Args:
        inputs: i, `[T, ..., H]` float32 each.
        kernel: U, `[H, 3 H]` float32, gates side by side.
        bias: b, `[H]` float32.
        carry: `[..., H]` float32, hidden state before the first step.
        reset: `[T, ...]` bool, whether step t is the first of an episode.
        precision: one of `marl_algos.settings.PRECISIONS`.

    Returns:
        The hidden state after the last step `[..., H]`, and that of every step `[T, ..., H]`.
    """
    last, (hidden, _) = _run(inputs, kernel, bias, carry, reset, precision)
    return last, hidden


def _run(
    inputs: Gates, kernel: Array, bias: Array, carry: Array, reset: Array, precision: str
) -> tuple[Array, tuple[Array, tuple[Array, Array, Array, Array]]]:
    """The recurrence, and beside its states r, z, n and h' U_n + b of every step."""
    parts = _gates_of(kernel)

    def step(h: Array, now: tuple[Gates, Array]) -> tuple[Array, Any]:
        (from_r, from_z, from_n), is_first = now
        h = jnp.where(is_first[..., None], 0.0, h)
        to_r, to_z, to_n = (multiply(h, part, precision) for part in parts)
        r = jax.nn.sigmoid(from_r + to_r)
        z = jax.nn.sigmoid(from_z + to_z)
        recalled = to_n + bias
        n = jnp.tanh(from_n + r * recalled)
        h = (1.0 - z) * n + z * h
        return h, (h, (r, z, n, recalled))

    return jax.lax.scan(step, carry, (inputs, reset))


def _forward(
    inputs: Gates, kernel: Array, bias: Array, carry: Array, reset: Array, precision: str
) -> tuple[tuple[Array, Array], Any]:
    """States, and what their gradients need."""
    last, (hidden, gates) = _run(inputs, kernel, bias, carry, reset, precision)
    return (last, hidden), (kernel, carry, reset, hidden, gates)


def _backward(
    precision: str, kept: Any, cotangents: tuple[Array, Array]
) -> tuple[Gates, Array, Array, Array, None]:
    """Gradients of inputs, kernel, bias and carry.

    The gradient of a state is a linear function of that of the next one, whose coefficients are
    known beforehand; from the gradients of all states follow all others.
    """
    kernel, carry, reset, hidden, (r, z, n, recalled) = kept
    size, is_first = kernel.shape[0], reset[..., None]
    before = jnp.where(is_first, 0.0, jnp.concatenate([carry[None], hidden[:-1]]))
    by_n = (1.0 - z) * (1.0 - n * n)
    by_z = (before - n) * z * (1.0 - z)
    by_recalled = by_n * r
    by_r = by_recalled * recalled * (1.0 - r)
    by_before = jnp.where(is_first, 0.0, z)
    parts = [part.T for part in _gates_of(kernel)]

    def step(gradient: Array, now: tuple[Array, ...]) -> tuple[Array, Array]:
        own, r, z, recalled, passed, is_first = now
        gradient = gradient + own
        r, z, recalled = (
            multiply(gradient * by, part, precision)
            for by, part in zip((r, z, recalled), parts, strict=True)
        )
        earlier = jnp.where(is_first[..., None], 0.0, r + z + recalled)
        return gradient * passed + earlier, gradient

    last, own = cotangents
    rows = (own, by_r, by_z, by_recalled, by_before, reset)
    first, gradient = jax.lax.scan(step, last, rows, reverse=True)
    of_r, of_z, of_recalled = gradient * by_r, gradient * by_z, gradient * by_recalled
    of_gates = jnp.concatenate([of_r, of_z, of_recalled], axis=-1).reshape(-1, 3 * size)
    of_kernel = multiply(before.reshape(-1, size).T, of_gates, precision)
    of_bias = jnp.sum(of_recalled.reshape(-1, size), axis=0)
    return (of_r, of_z, gradient * by_n), of_kernel, of_bias, first, None


gated_recurrence.defvjp(_forward, _backward)


def _gates_of(x: Array) -> Gates:
    """Three parts of the last axis."""
    r, z, n = jnp.split(x, 3, axis=-1)
    return r, z, n


def _orthogonal_blocks(key: Array, shape: tuple[int, int]) -> Array:
    """Three orthogonal square matrices side by side, one for each gate."""
    initializer = orthogonal()
    keys = jax.random.split(key, 3)
    return jnp.concatenate([initializer(k, (shape[0], shape[0])) for k in keys], axis=1)
