"""Steps a second of the environment with random actions; trajectories compared with the CPU's."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from marl_envs.testing import sample_actions

from gpu_parts.market import bytes_of, make_market
from gpu_parts.plan import Plan
from gpu_parts.timing import Compiler, differences, measure

TOLERANCE = 1e-4
"""Of real numbers, relative to the largest of a leaf; integers and flags must be equal."""


class Environment:
    """The rows of the environment: auto-reset on, observations and rewards of all steps kept."""

    def __init__(self, plan: Plan, device: jax.Device, cpu: jax.Device) -> None:
        self.plan, self.device, self.cpu = plan, device, cpu
        self._compile = Compiler()
        self._market = functools.cache(self._make_market)

    def row(self, setting: tuple[int, int]) -> tuple[dict[str, Any], Any, Any]:
        """Figures of one setting, and the program with its arguments for a profile."""
        num_envs, messages = setting
        plan, num_checked = self.plan, min(setting[0], self.plan.checked)
        env, params, state = self._market(messages)
        keys = jax.device_get(jax.random.key_data(jax.random.split(jax.random.key(0), num_envs)))
        run = functools.partial(_rollout, env, plan.env_steps)
        results = {}
        for name, device, chosen in (
            ("cpu", self.cpu, keys[:num_checked]),
            ("device", self.device, keys),
        ):
            states = jax.tree.map(functools.partial(_repeat, len(chosen)), state)
            arguments = jax.device_put((chosen, params, states), device)
            program = self._compile((messages, len(chosen)), run, arguments, device)
            results[name] = program.compiled(*arguments)
        found = jax.tree.map(
            lambda x, axis: jax.lax.slice_in_dim(x, 0, num_checked, axis=axis),
            results["device"],
            _env_axis(results["device"]),
        )
        found, expected = jax.device_get((found, results["cpu"]))
        numbers = measure(program, arguments, self.device, plan.calls)
        steps = num_envs * plan.env_steps
        return (
            {
                "unit": "env steps/s",
                "rate": steps / numbers["median_seconds"],
                "best_rate": steps / numbers["least_seconds"],
                "messages": messages,
                "messages_per_second": steps * messages / numbers["median_seconds"],
                "bytes_per_env": bytes_of(arguments[2]) // num_envs,
                "temporary_bytes_per_env": (numbers["temporary_bytes"] or 0) // num_envs,
                "differs": differences(found, expected, tolerance=TOLERANCE),
                "checked": f"{num_checked} trajectories of {plan.env_steps} steps",
                **numbers,
            },
            program,
            arguments,
        )

    def _make_market(self, messages: int) -> Any:
        """The environment, its params, and fresh episodes `[checked, ...]`, all on the CPU."""
        env, params = make_market(self.plan, messages, self.cpu)
        with jax.default_device(self.cpu):
            keys = jax.random.split(jax.random.key(1), self.plan.checked)
            state = jax.jit(jax.vmap(lambda key: env.reset(key, params)[1]))(keys)
        return env, params, jax.device_get(state)


def _repeat(length: int, rows: Any) -> Any:
    """The rows again and again until there are `length` of them."""
    return np.resize(rows, (length, *rows.shape[1:]))


def _rollout(env: Any, num_steps: int, keys: jax.Array, params: Any, state: Any) -> Any:
    """States after a rollout `[B, ...]`, and what was seen on the way `[T, B, ...]`.

    An environment's draws depend on its own key only, so that fewer of them act alike.
    """

    def one(key: jax.Array, state: Any, number: jax.Array) -> Any:
        key_action, key_step = jax.random.split(jax.random.fold_in(key, number + 1))
        action = sample_actions(env, key_action)
        obs, state, reward, _, _, info = env.step(key_step, state, action, params)
        return state, (obs, reward, info["episode"]["done"], info["market"])

    def step(state: Any, number: jax.Array) -> Any:
        wrapped = jax.random.wrap_key_data(keys)
        return jax.vmap(one, (0, 0, None))(wrapped, state, number)

    return jax.lax.scan(step, state, jnp.arange(num_steps))


def _env_axis(result: Any) -> Any:
    """Where the axis of environments is in each leaf of a rollout's result."""
    state, seen = result
    return jax.tree.map(lambda _: 0, state), jax.tree.map(lambda _: 1, seen)
