"""Steps a second while learning: rollout and gradient steps in one program, by precision."""

from __future__ import annotations

import functools
from typing import Any

import jax
from marl_algos import NetworkConfig, PPOConfig, TypeConfig, make_learner

from gpu_parts.market import make_market
from gpu_parts.plan import Plan
from gpu_parts.timing import Compiler, differences, measure

TOLERANCES = {"float32": 0.02, "tensorfloat32": 0.05, "bfloat16": 0.1}
"""Of the numbers of the first update, relative to the CPU's in float32.

Sampled actions that differ by rounding send an environment another way, so only means can agree.
"""
CHECKED = ("reward_mean", "loss", "entropy", "value_mean")


class Training:
    """The rows of training."""

    def __init__(self, plan: Plan, device: jax.Device, cpu: jax.Device) -> None:
        self.plan, self.device, self.cpu = plan, device, cpu
        self.env, self.params = make_market(plan, plan.train_messages, cpu)
        self._compile = Compiler()
        self._start = functools.cache(self._first_state)
        self._on_cpu = functools.cache(self._first_update)

    def row(self, setting: tuple[str, str]) -> tuple[dict[str, Any], Any, Any]:
        """Figures of one setting, and the program with its arguments for a profile."""
        network, precision = setting
        plan = self.plan
        expected = self._on_cpu(network)
        learner = self._learner(network, precision)
        params = jax.device_put(self.params, self.device)
        state = jax.device_put(self._start(network), self.device)
        program = self._compile(setting, learner.update, (state, params), self.device)
        _, metrics = program.compiled(state, params)
        found = jax.device_get(_checked(metrics))
        differs = differences(found, expected, tolerance=TOLERANCES[precision])
        if not bool(metrics["finite"]):
            differs.append("a loss or parameter is not finite")
        numbers = measure(program, (state, params), self.device, plan.calls)
        steps = plan.train_envs * plan.train_steps
        return (
            {
                "unit": "env steps/s",
                "rate": steps / numbers["median_seconds"],
                "best_rate": steps / numbers["least_seconds"],
                "messages": plan.train_messages,
                "precision": precision,
                "network": f"{network} {plan.width}",
                "differs": differs,
                "checked": f"{', '.join(CHECKED)} of the first update, within "
                f"{TOLERANCES[precision]:g}",
                **numbers,
            },
            program,
            (state, params),
        )

    def _learner(self, network: str, precision: str) -> Any:
        plan = self.plan
        config = NetworkConfig(
            kind=network,
            hidden=(plan.width,),
            gru_size=plan.width,
            shared=True,
            precision=precision,
        )
        return make_learner(
            "ippo",
            self.env,
            {name: TypeConfig(PPOConfig(), config) for name in self.env.groups},
            num_envs=plan.train_envs,
            num_steps=plan.train_steps,
            num_updates=1000,
        )

    def _first_state(self, network: str) -> Any:
        """The state before the first update; the same for all precisions."""
        learner = self._learner(network, "float32")
        with jax.default_device(self.cpu):
            key = jax.device_put(jax.random.key(0), self.cpu)
            return jax.jit(learner.init)(key, self.params)

    def _first_update(self, network: str) -> Any:
        """What the first update gives on the CPU in float32."""
        learner, state = self._learner(network, "float32"), self._start(network)
        setting = (network, "float32")
        program = self._compile(setting, learner.update, (state, self.params), self.cpu)
        return jax.device_get(_checked(program.compiled(state, self.params)[1]))


def _checked(metrics: Any) -> dict[str, dict[str, Any]]:
    """By agent type, the numbers that are compared."""
    return {
        name: {key: numbers[key] for key in CHECKED} for name, numbers in metrics["agents"].items()
    }
