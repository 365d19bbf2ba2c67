"""Self-play runs: `python -m marl_algos.selfplay [overrides]`, or `marl-selfplay`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from marl_algos.conf.load import ConfigError
from marl_algos.conf.populations import SelfPlayRun, selfplay_config
from marl_algos.populations.pbt import finite_mean
from marl_algos.populations.selfplay import SelfPlay, SelfPlayState
from marl_algos.runs.commands import command_line
from marl_algos.runs.harness import learner_factory
from marl_algos.runs.population import Population, Table
from marl_algos.types import Metrics


class SelfPlaySession(Population):
    """Self-play; a step is a round. Win rates go to `win_rates.parquet`."""

    def setup(self) -> None:
        """Makes the learners."""
        assert isinstance(self.config, SelfPlayRun)
        try:
            config = selfplay_config(self.config.selfplay)
            updates = self.begin(config.updates_per_round)
            factory = learner_factory(self.config, updates)
            self._play = SelfPlay(self.market.world, factory, config)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        self.learner = self._play.base
        self.table = Table(self.folder.path / "win_rates.parquet", "round")

    def start(self) -> SelfPlayState:
        """Fresh learners."""
        return self._play.init(jax.random.key(self.config.seed), self.market.world_params)

    def advance(self, state: SelfPlayState) -> tuple[SelfPlayState, Metrics]:
        """One round."""
        began = time.perf_counter()
        state, metrics, rows = self._play.play_round(state, self.market.world_params)
        self.table.rows += rows
        merged = _merge(jax.device_get(list(metrics.values())))
        self.timed(began)
        return state, merged

    def policies(self, state: SelfPlayState) -> dict[str, Any]:
        """The newest policy of every type."""
        seats = dict(self._play.config.seats)
        return {
            name: state.learners[source].agents[source]
            for name in self.market.env.groups
            for source in [seats.get(name, name)]
        }


def _merge(each: list[Metrics]) -> Metrics:
    """Metrics of learners that each saw the whole market: own types, means of what is common."""
    agents: dict[str, Any] = {}
    for metrics in each:
        agents |= metrics["agents"]
    common = [
        {key: value for key, value in metrics.items() if key not in ("agents", "finite")}
        for metrics in each
    ]
    means: Metrics = jax.tree.map(lambda *x: finite_mean(np.stack(x).reshape(-1)), *common)
    own = jax.tree.map(finite_mean, agents)
    finite = np.all([np.all(metrics["finite"]) for metrics in each])
    return means | {"agents": own, "finite": finite}


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.selfplay [overrides]`; returns the exit code."""
    return command_line("selfplay", SelfPlaySession, arguments)


if __name__ == "__main__":
    sys.exit(main())
