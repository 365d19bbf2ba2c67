"""Command lines beside training: self-play, PBT, PSRO, behavior cloning, evaluation."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
import polars as pl
from lob_core.runtime import configure_cpu

from marl_algos.baselines import BASELINES
from marl_algos.clone import Cloning
from marl_algos.commands import command_line, evaluate_session, exit_code
from marl_algos.conf.load import ConfigError, load_saved
from marl_algos.conf.populations import (
    CloneRun,
    PBTRun,
    PSRORun,
    SelfPlayRun,
    clone_config,
    pbt_config,
    psro_config,
    selfplay_config,
)
from marl_algos.demonstrations import demonstrate, shares, usable_rules
from marl_algos.harness import Session, learner_factory
from marl_algos.matches import take
from marl_algos.pbt import PBT, PBTState, finite_mean, scores_of
from marl_algos.psro import PSRO, PSROState
from marl_algos.selfplay import SelfPlay, SelfPlayState
from marl_algos.train import Training
from marl_algos.types import Metrics, RunnerState

_ITERATION: Final = "iteration"


class Table:
    """A parquet file that grows by rows and forgets those of steps that are done again.

    Attributes:
        path: the file.
        step: the column that counts steps.
    """

    def __init__(self, path: Path, step: str) -> None:
        self.path = path
        self.step = step
        self.rows: list[dict[str, Any]] = []

    def resume(self, done: int) -> None:
        """Takes up what was written up to step `done`."""
        if done and self.path.exists():
            self.rows = pl.read_parquet(self.path).filter(pl.col(self.step) <= done).to_dicts()

    def save(self) -> None:
        """Writes all rows."""
        if self.rows:
            pl.DataFrame(self.rows, infer_schema_length=None).write_parquet(self.path)


class _Population(Session[Any]):
    """What the sessions below share: length of the run, time of the first step, one table."""

    table: Table

    def begin(self, updates_per_step: int) -> int:
        """Sets the length of the run; returns updates of a learner in all.

        Raises:
            ConfigError: if something that only training has is asked for.
        """
        if self.config.num_seeds != 1:
            raise ConfigError(
                f"num_seeds is {self.config.num_seeds}; populations run one seed at a time "
                "(sweep over seeds by --multirun)"
            )
        if self.config.num_devices != 1 or self.config.federated.num_workers != 1:
            raise ConfigError("num_devices and federated.num_workers are for training only")
        if self.config.transfer.run is not None:
            raise ConfigError("transfer.run is for training; populations start from nothing")
        algo = self.config.algo
        per_update = algo.num_envs * algo.num_steps
        self.env_steps_per_step = updates_per_step * per_update
        self.total = math.ceil(algo.total_env_steps / self.env_steps_per_step)
        return self.total * updates_per_step

    def resume(self, done: int) -> None:
        """Drops rows that come after step `done`."""
        self.table.resume(done)

    def save_tables(self) -> None:
        """Writes the table."""
        self.table.save()

    def timed(self, began: float) -> None:
        """Counts the first step as the time of compiling, of which it mostly consists."""
        if self.compile_seconds == 0.0:
            self.compile_seconds = time.perf_counter() - began


class SelfPlaySession(_Population):
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


class PBTSession(_Population):
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


class PSROSession(_Population):
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


class CloneSession(_Population):
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


def selfplay(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.selfplay [overrides]`; returns the exit code."""
    return command_line("selfplay", SelfPlaySession, arguments)


def pbt(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.pbt [overrides]`; returns the exit code."""
    return command_line("pbt", PBTSession, arguments)


def psro(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.psro [overrides]`; returns the exit code."""
    return command_line("psro", PSROSession, arguments)


def clone(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.clone [overrides]`; returns the exit code."""
    return command_line("clone", CloneSession, arguments)


SESSIONS: Final[dict[str, type[Session[Any]]]] = {
    "config": Training,
    "selfplay": SelfPlaySession,
    "pbt": PBTSession,
    "psro": PSROSession,
    "clone": CloneSession,
}
"""Kinds of runs by the name of their primary configuration."""
_CHANGEABLE = ("evaluation.", "device=", "progress=")


def evaluate(arguments: Sequence[str] | None = None) -> int:
    """`python -m marl_algos.evaluate RUN_FOLDER [evaluation.key=value ...]`; returns the exit code.

    Plays the policies of the last (or best) checkpoint again, with other numbers of episodes or
    another split, and replaces the results in the run folder.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    configure_cpu()

    def work() -> None:
        if not arguments:
            raise ConfigError("name the folder of a run, e.g. runs/NAME")
        folder, *overrides = arguments
        for override in overrides:
            if not override.startswith(_CHANGEABLE):
                raise ConfigError(
                    f"{override!r}: only evaluation.KEY, device and progress can be changed"
                )
        path = Path(folder)
        config, app = load_saved(path / "config.yaml", overrides)
        evaluate_session(config, SESSIONS[app], path)

    return exit_code(work)
