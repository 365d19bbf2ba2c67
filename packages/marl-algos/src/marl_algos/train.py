"""Training runs: `python -m marl_algos.train [overrides]`, or `marl-train`.

Overrides are Hydra's: `data=lobster data.path=DIR`, `network=gru`, `algo.num_envs=256`, and so on;
`--cfg job` prints the configuration and `--help` explains. Exit codes: 0 success, 2 a mistake in
configuration, data or device, 3 training diverged.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from marl_algos.checkpoint import read_agents
from marl_algos.conf.load import ConfigError
from marl_algos.conf.schema import Config
from marl_algos.data import Market
from marl_algos.harness import (
    DIVERGED,
    USAGE_ERROR,
    DivergedError,
    Session,
    command_line,
    learner_factory,
    run_session,
    say,
)
from marl_algos.logging import write_json
from marl_algos.runfolder import RunFolder
from marl_algos.transfer import warm_start
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
    return learner_factory(config, num_updates)(market.env)


class Training(Session[Any]):
    """One learner, or several side by side.

    With several seeds every leaf of the state has a leading axis `S`, and one compiled program
    advances all learners.
    """

    def setup(self) -> None:
        """Makes the learner; a step is an update."""
        self.learner = make_learner(self.config, self.market)
        self.total = self.learner.num_updates
        self.env_steps_per_step = self.learner.num_envs * self.learner.num_steps
        self._update: Any = None

    def start(self) -> Any:
        """Fresh environments, and networks that are fresh or from another run."""
        key = jax.random.key(self.config.seed)
        params = self.market.params["train"]
        if self.config.num_seeds == 1:
            state = jax.jit(self.learner.init)(key, params)
        else:
            keys = jax.random.split(key, self.config.num_seeds)
            state = jax.jit(jax.vmap(self.learner.init, in_axes=(0, None)))(keys, params)
        return state if self.config.transfer.run is None else self._warm(state)

    def _warm(self, state: Any) -> Any:
        """The state with policies of the run that `transfer.run` names, as far as they fit.

        Raises:
            CheckpointError: if that run has no checkpoint.
            ConfigError: if nothing of it fits.
        """
        transfer = self.config.transfer
        source = read_agents(Path(str(transfer.run)))
        try:
            warmed = [
                warm_start(agents, source, transfer.seats) for agents in self.split(state.agents)
            ]
        except ValueError as error:
            raise ConfigError(f"transfer.run={transfer.run}: {error}") from error
        report = warmed[0][1]
        say(self.config, f"warm start from {transfer.run}:\n{report}")
        write_json(self.folder.path / "warm_start.json", dataclasses.asdict(report))
        policies = [agents for agents, _ in warmed]
        agents = policies[0]
        if self.config.num_seeds > 1:
            agents = jax.tree.map(lambda *leaves: jnp.stack(leaves), *policies)
        return dataclasses.replace(state, agents=agents)

    def advance(self, state: Any) -> tuple[Any, Metrics]:
        """One update of all learners; the first call compiles it."""
        params = self.market.params["train"]
        if self._update is None:
            began = time.perf_counter()
            update: Any = self.learner.update
            if self.config.num_seeds > 1:
                update = jax.vmap(update, in_axes=(0, None))
            self._update = jax.jit(update, donate_argnums=0).lower(state, params).compile()
            self.compile_seconds = time.perf_counter() - began
        state, metrics = self._update(state, params)
        return state, metrics

    def policies(self, state: Any) -> Any:
        """What each type has learned, with the axis of seeds if there are several."""
        return state.agents

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
