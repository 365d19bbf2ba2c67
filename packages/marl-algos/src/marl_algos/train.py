"""Training runs: `python -m marl_algos.train [overrides]`, or `marl-train`.

Overrides are Hydra's: `data=lobster data.path=DIR`, `network=gru`, `algo.num_envs=256`, and so on;
`--cfg job` prints the configuration and `--help` explains. Exit codes: 0 success, 2 a mistake in
configuration, data or device, 3 training diverged.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from marl_algos.conf.load import ConfigError
from marl_algos.conf.schema import Config
from marl_algos.markets.data import Market
from marl_algos.runs.checkpoint import read_agents
from marl_algos.runs.commands import DIVERGED, USAGE_ERROR, command_line, run_session
from marl_algos.runs.harness import DivergedError, Session, learner_factory, say
from marl_algos.runs.logging import write_json
from marl_algos.runs.runfolder import RunFolder
from marl_algos.training.runners import SideBySide, make_runner
from marl_algos.training.transfer import warm_start
from marl_algos.types import Learner, Metrics

__all__ = [
    "DIVERGED",
    "USAGE_ERROR",
    "DivergedError",
    "Training",
    "main",
    "make_learner",
    "run",
]


def make_learner(config: Config, market: Market) -> Learner:
    """The learner of a run.

    Raises:
        ConfigError: if settings do not fit the market.
    """
    steps_per_update = config.algo.num_envs * config.algo.num_steps
    num_updates = math.ceil(config.algo.total_env_steps / steps_per_update)
    return learner_factory(config, num_updates)(market.world)


class Training(Session[Any]):
    """One learner, or several side by side; `training.runners` has the ways to run them."""

    def setup(self) -> None:
        """Makes the learner and chooses how it is run; a step is an update, or a round of them.

        Raises:
            CheckpointError: if the run that `transfer.run` names has no checkpoint.
        """
        self.learner = make_learner(self.config, self.market)
        self._runner = make_runner(self.config, self.learner, self.market)
        updates = self._runner.updates_per_step
        self.total = math.ceil(self.learner.num_updates / updates)
        self.env_steps_per_step = self.learner.num_envs * self.learner.num_steps * updates
        source = self.config.transfer.run
        is_fresh = not any(path.name.isdigit() for path in self.folder.last.glob("*"))
        self._source = read_agents(Path(source)) if source is not None and is_fresh else None

    def train(self) -> Any:
        """As of any session; the update compiles while environments and networks are made."""
        if isinstance(self._runner, SideBySide):
            self._runner.compile_ahead(jax.random.key(self.config.seed))
        return super().train()

    def start(self) -> Any:
        """Fresh environments, and networks that are fresh or from another run."""
        state = self._runner.init(jax.random.key(self.config.seed))
        return state if self._source is None else self._warm(state, self._source)

    def _warm(self, state: Any, source: Any) -> Any:
        """The state with policies of another run, as far as they fit.

        Raises:
            ConfigError: if nothing of it fits.
        """
        transfer = self.config.transfer
        try:
            agents, report = warm_start(
                state.agents, source, transfer.seats, is_stacked=self._runner.is_stacked
            )
        except ValueError as error:
            raise ConfigError(f"transfer.run={transfer.run}: {error}") from error
        say(self.config, f"warm start from {transfer.run}:\n{report}")
        write_json(self.folder.path / "warm_start.json", dataclasses.asdict(report))
        return dataclasses.replace(state, agents=agents)

    def advance(self, state: Any) -> tuple[Any, Metrics]:
        """One step of all learners; the first call compiles it."""
        state, metrics = self._runner.step(state)
        self.compile_seconds = self._runner.compile_seconds
        return state, metrics

    def policies(self, state: Any) -> Any:
        """What each type has learned, with the axis of seeds if there are several."""
        return self._runner.policies(state)

    def split(self, policies: Any) -> list[dict[str, Any]]:
        """What each learner has learned, without the axis of seeds."""
        if self.config.num_seeds == 1:
            return [policies]
        return [
            jax.tree.map(lambda x, seed=seed: x[seed], policies)
            for seed in range(self.config.num_seeds)
        ]


def run(config: Config) -> RunFolder:
    """Trains, evaluates and writes the run folder.

    Raises:
        ConfigError, DataError, DeviceError, CheckpointError: before anything is written, if
            something asked for is wrong or missing.
        DivergedError: if training produced a NaN or an infinity.
    """
    return run_session(config, Training)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a training command line.

    Args:
        arguments: overrides and Hydra options; None takes those of the process.

    Returns:
        The exit code.
    """
    return command_line("config", Training, arguments)


if __name__ == "__main__":
    sys.exit(main())
