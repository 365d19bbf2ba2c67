"""Population-based training runs: `python -m marl_algos.pbt [overrides]`, or `marl-pbt`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from marl_algos.conf.load import ConfigError
from marl_algos.conf.populations import PBTRun, pbt_config
from marl_algos.populations.matches import take
from marl_algos.populations.pbt import PBT, PBTState, finite_mean, scores_of
from marl_algos.runs.commands import command_line
from marl_algos.runs.harness import learner_factory
from marl_algos.runs.population import Population, Table
from marl_algos.types import Metrics


class PBTSession(Population):
    """Population-based training; a step is a generation. Lineage goes to `lineage.parquet`."""

    def setup(self) -> None:
        """Makes the learner."""
        assert isinstance(self.config, PBTRun)
        try:
            config = pbt_config(self.config.pbt)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        updates = self.begin(config.updates_per_generation)
        self.learner = learner_factory(self.config, updates)(self.market.world)
        self._pbt = PBT(self.learner, config)
        self.table = Table(self.folder.path / "lineage.parquet", "generation")

    def start(self) -> PBTState:
        """Fresh learners with settings drawn from their ranges.

        Raises:
            ConfigError: if the learner does not take a setting from its state.
        """
        try:
            return self._pbt.init(jax.random.key(self.config.seed), self.market.world_params)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def advance(self, state: PBTState) -> tuple[PBTState, Metrics]:
        """One generation; metrics are lists over members."""
        began = time.perf_counter()
        state, metrics = self._pbt.train(state, self.market.world_params)
        state, rows = self._pbt.evolve(state, scores_of(metrics))
        self.table.rows += rows
        metrics = jax.device_get(metrics)
        finite = np.all(metrics["finite"], axis=0)
        means: Metrics = jax.tree.map(finite_mean, metrics)
        self.timed(began)
        return state, means | {"finite": finite}

    def policies(self, state: PBTState) -> dict[str, Any]:
        """The policies of the member that did best."""
        leader: dict[str, Any] = take(state.members.agents, state.leader)
        return leader


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.pbt [overrides]`; returns the exit code."""
    return command_line("pbt", PBTSession, arguments)


if __name__ == "__main__":
    sys.exit(main())
