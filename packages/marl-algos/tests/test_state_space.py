"""The parallel scan against the recurrence it stands for, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
from marl_algos.networks.state_space import S5, S5Stack

T, N, H, P = 11, 3, 4, 5


def inputs():
    x = jax.random.normal(jax.random.key(0), (T, N, H))
    reset = jax.random.bernoulli(jax.random.key(1), 0.3, (T, N))
    return x, reset


def test_s5__parallel_scan_equals_the_recurrence_written_out():
    x, reset = inputs()
    carry = jax.random.normal(jax.random.key(2), (N, 2 * P))
    layer = S5(P)
    params = jax.jit(layer.init)(jax.random.key(3), carry, x, reset)
    last, outputs = jax.jit(layer.apply)(params, carry, x, reset)

    p = {name: np.asarray(value, np.float64) for name, value in params["params"].items()}
    eigenvalues = -np.exp(p["log_decay"]) + 1j * p["frequency"]
    decay = np.exp(eigenvalues * np.exp(p["log_step"]))
    inner = (p["input"][0] + 1j * p["input"][1]) * ((decay - 1.0) / eigenvalues)
    outer = p["output"][0] + 1j * p["output"][1]
    state = np.asarray(carry[:, :P] + 1j * carry[:, P:])
    for t in range(T):
        state = np.where(np.asarray(reset[t])[:, None], 0.0, state)
        state = decay * state + np.asarray(x[t]) @ inner
        expected = 2.0 * (state @ outer).real + p["skip"] * np.asarray(x[t])
        np.testing.assert_allclose(outputs[t], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(last[:, :P], state.real, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(last[:, P:], state.imag, rtol=1e-3, atol=1e-4)
    assert (np.abs(decay) < 1.0).all()


def test_s5_stack__one_step_at_a_time_equals_all_at_once():
    x, reset = inputs()
    carry = jnp.zeros((N, 2, 2 * P))
    stack = S5Stack(2, P)
    params = jax.jit(stack.init)(jax.random.key(3), carry, x, reset)
    last, outputs = jax.jit(stack.apply)(params, carry, x, reset)
    step = jax.jit(lambda h, u, r: stack.apply(params, h, u[None], r[None]))
    for t in range(T):
        carry, y = step(carry, x[t], reset[t])
        np.testing.assert_allclose(y[0], outputs[t], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(carry, last, rtol=1e-3, atol=1e-4)
