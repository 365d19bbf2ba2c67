"""Behavior cloning runs: `python -m marl_algos.clone [overrides]`, or `marl-clone`."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from marl_algos.baselines import BASELINES
from marl_algos.conf.load import ConfigError
from marl_algos.conf.populations import CloneRun, clone_config
from marl_algos.imitation.cloning import Cloning
from marl_algos.imitation.demonstrations import demonstrate, shares, usable_rules
from marl_algos.runs.commands import command_line
from marl_algos.runs.harness import learner_factory
from marl_algos.runs.population import Population, Table
from marl_algos.types import Metrics, RunnerState


class CloneSession(Population):
    """Behavior cloning; a step is an epoch. `clone.parquet` says how well rules are imitated."""

    def setup(self) -> None:
        """Makes the learner and plays the rules."""
        assert isinstance(self.config, CloneRun)
        section = self.config.clone
        try:
            config = clone_config(section)
            self.begin(1)
            rules = usable_rules(self.market.env, section.rules, BASELINES)
            self.learner = learner_factory(self.config, 1)(self.market.env)
            self._cloning = Cloning(self.learner, config)
            if self.market.world is not self.market.env:
                raise ConfigError("rules are imitated in the market itself: no domains, no trials")
            shown = demonstrate(
                self.market.env,
                self.market.params["train"],
                rules,
                section.choices,
                section.num_episodes,
                jax.random.key(self.config.seed),
            )
        except ValueError as error:
            raise ConfigError(f"clone: {error}") from error
        split = {name: shares(one, section.held_out) for name, one in shown.items()}
        self._shown = {name: pair[0] for name, pair in split.items()}
        self._held_out = {name: pair[1] for name, pair in split.items()}
        self.total, self.env_steps_per_step = config.num_epochs, 0
        self.table = Table(self.folder.path / "clone.parquet", "epoch")
        self._epoch = jax.jit(self._cloning.epoch)
        self._judge = jax.jit(self._cloning.judge)

    def start(self) -> RunnerState:
        """Policies that have seen nothing yet."""
        key = jax.random.key(self.config.seed)
        state: RunnerState = jax.jit(self.learner.init)(key, self.market.params["train"])
        agents = self._cloning.start(state.agents, self._shown)
        return dataclasses.replace(state, agents=agents)

    def advance(self, state: RunnerState) -> tuple[RunnerState, Metrics]:
        """One epoch."""
        began = time.perf_counter()
        key, key_epoch = jax.random.split(state.key)
        agents, metrics = self._epoch(state.agents, self._shown, key_epoch)
        update = state.update + 1
        state = dataclasses.replace(state, agents=agents, key=key, update=update)
        judged = jax.device_get(self._judge(agents, self._held_out))
        for name, numbers in judged.items():
            row = {"epoch": int(update), "agent_type": name}
            self.table.rows.append(row | {key: float(x) for key, x in numbers.items()})
            metrics[name] |= {f"held_out_{key}": x for key, x in numbers.items()}
        losses = [float(numbers["loss"]) for numbers in metrics.values()]
        self.timed(began)
        finite = np.isfinite(losses).all()
        return state, {"finite": finite, "agents": metrics, "market": {}, "counters": {}}

    def policies(self, state: RunnerState) -> dict[str, Any]:
        """Those of every type."""
        return state.agents


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.clone [overrides]`; returns the exit code."""
    return command_line("clone", CloneSession, arguments)


if __name__ == "__main__":
    sys.exit(main())
