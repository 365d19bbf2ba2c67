"""PSRO runs: `python -m marl_algos.psro [overrides]`, or `marl-psro`."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import jax
import numpy as np

from marl_algos.conf.load import ConfigError
from marl_algos.conf.populations import PSRORun, psro_config
from marl_algos.populations.matches import take
from marl_algos.populations.psro import PSRO, PSROState
from marl_algos.runs.commands import command_line
from marl_algos.runs.harness import learner_factory
from marl_algos.runs.population import Population, Table
from marl_algos.types import Metrics

_ITERATION: Final = "iteration"


class PSROSession(Population):
    """PSRO; a step is an iteration. The history of the gap goes to `psro.parquet`.

    What is evaluated are the newest best responses; the mixture that solves the game among all
    policies is in the table.
    """

    def setup(self) -> None:
        """Makes the learners."""
        assert isinstance(self.config, PSRORun)
        algo, section = self.config.algo, self.config.psro
        updates = math.ceil(algo.total_env_steps / (algo.num_envs * algo.num_steps))
        try:
            config = psro_config(section, updates)
            self.begin(config.updates_per_response)
            self.total = config.max_iterations
            factory = learner_factory(self.config, config.updates_per_response)
            self._psro = PSRO(self.market.world, factory, config)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.learner = self._psro.base
        self._gap = math.inf
        self.table = Table(self.folder.path / "psro.parquet", _ITERATION)

    def start(self) -> PSROState:
        """One random policy for each type."""
        return self._psro.init(jax.random.key(self.config.seed), self.market.world_params)

    def advance(self, state: PSROState) -> tuple[PSROState, Metrics]:
        """One iteration."""
        began = time.perf_counter()
        state, step = self._psro.iterate(state, self.market.world_params)
        self._gap = step.gap
        self.table.rows.append(dataclasses.asdict(step))
        agents = {
            name: {"episode_return": step.values[name] + gain, "gain": gain}
            for name, gain in step.gains.items()
        }
        self.timed(began)
        finite = np.isfinite([*step.gains.values(), *step.values.values()])
        metrics: Metrics = {"finite": finite.all(), "agents": agents, "market": {}, "counters": {}}
        return state, metrics

    def is_finished(self, state: PSROState) -> bool:
        """Whether the gap has closed."""
        return self._gap <= self._psro.config.tolerance

    def policies(self, state: PSROState) -> dict[str, Any]:
        """The newest policy of every type."""
        newest = int(state.size) - 1
        return {name: take(pool.agents, newest) for name, pool in state.pools.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.psro [overrides]`; returns the exit code."""
    return command_line("psro", PSROSession, arguments)


if __name__ == "__main__":
    sys.exit(main())
