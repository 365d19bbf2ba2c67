"""What every kind of run shares: its folder, its loop, checkpoints, evaluation, exit codes."""

from __future__ import annotations

import abc
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import hydra
import jax
import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lob_core.runtime import DeviceError, configure_cpu, require_device
from omegaconf import DictConfig

from marl_algos import learners
from marl_algos.checkpoint import CheckpointError, CheckpointStore
from marl_algos.conf.load import ConfigError, check_config, load_config, register, type_configs
from marl_algos.conf.schema import Config
from marl_algos.data import DataError, Market, make_market
from marl_algos.evaluate import Evaluator, evaluate
from marl_algos.logging import MetricsLog, ProgressReport, to_plain, write_json
from marl_algos.matches import MakeLearner
from marl_algos.runfolder import RunFolder, open_run_folder
from marl_algos.sinks import check_sinks, open_sinks
from marl_algos.tables import print_results
from marl_algos.types import Environment, Learner, Metrics

USAGE_ERROR: Final = 2
DIVERGED: Final = 3
_State = TypeVar("_State")


class DivergedError(RuntimeError):
    """Training produced a NaN or an infinity, or a loss beyond `checkpoint.max_loss`."""


def learner_factory(config: Config, num_updates: int) -> MakeLearner:
    """Makes the configured learner for any environment with some of the agent types.

    Args:
        config: the configuration.
        num_updates: updates that schedules stretch over.
    """
    types = type_configs(config)

    def make(env: Environment) -> Learner:
        try:
            return learners.make_learner(
                config.algo.name,
                env,
                {name: types[name] for name in env.groups},
                num_envs=config.algo.num_envs,
                num_steps=config.algo.num_steps,
                num_updates=num_updates,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    return make


class Session(abc.ABC, Generic[_State]):
    """One run: a loop of steps with metrics, checkpoints and evaluation around them.

    A step is an update of a learner, a round of self-play, a generation or an iteration.

    Attributes:
        config: the configuration.
        market: the market with its splits.
        folder: the run folder.
        learner: plays the policies on the whole market.
        total: steps of the run.
        env_steps_per_step: environment steps that a learner makes in a step.
        compile_seconds: time spent compiling, or that of the first step where it compiles.
    """

    learner: Learner
    total: int
    env_steps_per_step: int

    def __init__(self, config: Config, market: Market, folder: RunFolder) -> None:
        self.config = config
        self.market = market
        self.folder = folder
        self.compile_seconds = 0.0
        self.setup()
        self._evaluator = Evaluator(
            self.learner, market, config.evaluation.num_episodes, config.seed
        )
        self._last = CheckpointStore(folder.last, config.checkpoint.keep)
        self._best = CheckpointStore(folder.best, 1)
        self._best_score = -math.inf
        self._done = 0

    @abc.abstractmethod
    def setup(self) -> None:
        """Makes the learners; sets `learner`, `total` and `env_steps_per_step`."""

    @abc.abstractmethod
    def start(self) -> _State:
        """The state before the first step."""

    @abc.abstractmethod
    def advance(self, state: _State) -> tuple[_State, Metrics]:
        """One step: the new state and metrics as those of `Learner.update`, on any device."""

    @abc.abstractmethod
    def policies(self, state: _State) -> Any:
        """What is evaluated and kept as the best; a pytree."""

    def split(self, policies: Any) -> list[dict[str, Any]]:
        """Policies by type of every independent learner; one learner unless overridden."""
        return [policies]

    def is_finished(self, state: _State) -> bool:
        """Whether the run ends before all steps are done; never unless overridden."""
        return False

    def resume(self, done: int) -> None:
        """Called before the first step; tables drop what comes after step `done`."""

    def save_tables(self) -> None:
        """Called with every checkpoint; nothing is written unless overridden."""

    # --- the loop ------------------------------------------------------------------------------

    def train(self) -> _State:
        """Runs to the end, from the last checkpoint if there is one.

        Raises:
            DivergedError: naming the step and the last good checkpoint.
        """
        state = self.start()
        done = self._last.latest() or 0
        if done:
            state = self._last.restore(done, state)
            score = self._last.record(done)["best_score"]
            self._best_score = -math.inf if score is None else score
        self.resume(done)
        self._done = done
        log = MetricsLog(self.folder.metrics, done, open_sinks(self.config, self.folder))
        report = ProgressReport(self.total, done, self.config.progress)
        try:
            for number in range(done + 1, self.total + 1):
                began, compiled = time.perf_counter(), self.compile_seconds
                state, metrics = self.advance(state)
                host = jax.device_get(metrics)
                seconds = time.perf_counter() - began - (self.compile_seconds - compiled)
                line = self._line(number, host, seconds)
                is_last = number == self.total or self.is_finished(state)
                reason = self._problem(line)
                if reason is None:
                    self._evaluate_on_schedule(number, state, line, is_last)
                log.write(line)
                report.update(line)
                if reason is not None:
                    raise DivergedError(
                        f"update {number}: {reason}; the last good "
                        f"checkpoint is that of update {self._last.latest()}"
                    )
                self._done = number
                if is_last or number % self.config.checkpoint.every == 0:
                    log.sync()
                    self.save_tables()
                    best = self._best_score if math.isfinite(self._best_score) else None
                    self._last.save(number, state, {"best_score": best})
                if is_last:
                    break
        finally:
            report.close()
            log.close()
        return state

    @property
    def env_steps(self) -> int:
        """Environment steps that each learner has made."""
        return self._done * self.env_steps_per_step

    def _line(self, number: int, metrics: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One metrics line; with several learners every metric is a list over them."""
        metrics = dict(metrics)
        finite = np.asarray(metrics.pop("finite"))
        steps = self.env_steps_per_step
        line: dict[str, Any] = {
            "update": number,
            "env_steps": number * steps,
            "seconds": seconds,
            "steps_per_second": steps * max(finite.size, 1) / seconds,
            "finite": bool(np.all(finite)),
        }
        return to_plain({**line, **metrics})  # type: ignore[no-any-return]

    def _problem(self, line: dict[str, Any]) -> str | None:
        """Why the run cannot go on after a step; None if it can."""
        if not line["finite"]:
            return "a loss or parameter is not finite"
        limit = self.config.checkpoint.max_loss
        for name, numbers in line["agents"].items():
            largest = float(np.max(np.abs(np.asarray(numbers.get("loss", 0.0), np.float64))))
            if limit is not None and largest > limit:
                return f"the loss of {name!r} is {largest:.3g}, beyond checkpoint.max_loss={limit}"
        return None

    # --- evaluation ----------------------------------------------------------------------------

    def _evaluate_on_schedule(
        self, number: int, state: _State, line: dict[str, Any], is_last: bool
    ) -> None:
        """Plays the validation split; keeps the policies if they are the best so far.

        The score is the episode return, averaged over episodes, agents, types and seeds.
        """
        every = self.config.evaluation.every
        if every == 0 or (number % every and not is_last):
            return
        returns: dict[str, list[float]] = {}
        policies = self.policies(state)
        for agents in self.split(policies):
            for name, results in self._evaluator.play(agents, "validation").results.items():
                returns.setdefault(name, []).append(float(results["episode_return"].mean()))
        means = {name: float(np.mean(values)) for name, values in returns.items()}
        score = float(np.mean(list(means.values())))
        line["validation"] = {"episode_return": means, "score": score}
        if score > self._best_score:
            self._best_score = score
            self._best.save(number, policies, {"score": score})

    def evaluate(self, state: _State) -> dict[str, Any]:
        """Plays the held-out split against all baselines and writes the results.

        Returns:
            The summary.
        """
        policies, update = self.policies(state), self._done
        best = self._best.latest()
        if self.config.evaluation.checkpoint == "best" and best is not None:
            policies, update = self._best.restore(best, policies), best
        return write_evaluation(
            self.config, self._evaluator, self.split(policies), update, self.folder
        )

    def restore(self) -> _State:
        """The state of the last checkpoint.

        Raises:
            CheckpointError: if there is none, or it does not fit.
        """
        done = self._last.latest()
        if done is None:
            raise CheckpointError(f"{self._last.folder} holds no checkpoint")
        self._done = done
        return self._last.restore(done, self.start())

    def close(self) -> None:
        """Releases the checkpoint folders."""
        self._last.close()
        self._best.close()


def write_evaluation(
    config: Config,
    evaluator: Evaluator,
    policies: list[dict[str, Any]],
    update: int,
    folder: RunFolder,
) -> dict[str, Any]:
    """Evaluates policies as configured and writes the results into a run folder.

    Returns:
        The summary.
    """
    outcome = evaluate(
        evaluator,
        policies,
        "validation" if config.evaluation.split == "validation" else "test",
        sampled=config.evaluation.sampled,
        resamples=config.evaluation.resamples,
    )
    summary = {**outcome.summary, "update": update}
    for name, table in (
        ("evaluation", outcome.table),
        ("matrix", outcome.matrix),
        ("episodes", outcome.episodes),
        ("book", outcome.book),
    ):
        table.write_parquet(folder.path / f"{name}.parquet")
    write_json(folder.path / "evaluation.json", summary)
    return summary


def score_of(summary: dict[str, Any]) -> float:
    """Mean episode return of the learned policies over agent types: what sweeps maximize."""
    values = [
        entry["policies"]["learned"]["episode_return"]["mean"]
        for entry in summary["agents"].values()
    ]
    return float(np.mean(values))


def run_session(config: Config, session_class: type[Session[Any]]) -> tuple[RunFolder, float]:
    """Trains, evaluates and writes the run folder.

    Returns:
        The folder, and the score of what was learned.

    Raises:
        ConfigError, DataError, DeviceError, CheckpointError: before anything is written, if
            something asked for is wrong or missing.
        DivergedError: if training produced a NaN or an infinity.
    """
    if config.device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    device = require_device(config.device)
    check_sinks(config)
    folder = open_run_folder(config)
    with jax.default_device(device):
        market = make_market(config)
        learner_factory(config, 1)(market.env)  # mistakes are found before anything is written
        began = time.perf_counter()
        record = folder.start(config, market.description, f"{device.platform}:{device.device_kind}")
        earlier = record["wall_seconds"]
        facts: dict[str, Any] = {"compile_seconds": 0.0}
        session: Session[Any] | None = None
        try:
            session = session_class(config, market, folder)
            state = session.train()
            say(config, f"compiling took {session.compile_seconds:.1f} s; evaluating ...")
            summary = session.evaluate(state)
            facts["env_steps"] = session.env_steps
        except BaseException as error:
            facts |= {"status": "failed", "reason": str(error) or type(error).__name__}
            raise
        else:
            facts["status"] = "finished"
        finally:
            if session is not None:
                facts["compile_seconds"] = session.compile_seconds
                session.close()
            facts["wall_seconds"] = earlier + time.perf_counter() - began
            folder.finish(record, **facts)
    if config.progress != "none":
        print_results(summary)
        say(config, f"run folder: {folder.path}")
    return folder, score_of(summary)


def evaluate_session(config: Config, session_class: type[Session[Any]], path: Path) -> None:
    """Evaluates what a finished or stopped run has learned, and replaces its results.

    Args:
        config: of the run, with other settings of `evaluation` if wanted.
        session_class: what kind of run it is.
        path: the run folder.

    Raises:
        ConfigError, DataError, DeviceError, CheckpointError: if something is wrong or missing.
    """
    with jax.default_device(require_device(config.device)):
        session = session_class(config, make_market(config), RunFolder(path))
        try:
            summary = session.evaluate(session.restore())
        finally:
            session.close()
    if config.progress != "none":
        print_results(summary)


def say(config: Config, text: str) -> None:
    """Writes a line for people to standard error, unless progress is off."""
    if config.progress != "none":
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def command_line(
    app: str, session_class: type[Session[Any]], arguments: Sequence[str] | None
) -> int:
    """Runs a command line of overrides and Hydra options.

    Args:
        app: name of the primary configuration.
        session_class: what runs.
        arguments: overrides and Hydra options; None takes those of the process.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    configure_cpu()
    register()

    def work() -> None:
        if any(argument.startswith("-") for argument in arguments):
            _hydra_app(app, session_class)
        else:
            run_session(load_config(arguments, app), session_class)

    return exit_code(work)


def exit_code(work: Callable[[], None]) -> int:
    """Runs something; mistakes end with one message on standard error and a code of their own."""
    try:
        work()
    except (ConfigError, DataError, DeviceError, CheckpointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    except DivergedError as error:
        sys.stderr.write(f"error: {error}\n")
        return DIVERGED
    return 0


def _hydra_app(app: str, session_class: type[Session[Any]]) -> None:
    """The run as Hydra starts it: for `--help`, `--cfg`, `--multirun` and the like."""

    def job(composed: DictConfig) -> float:
        configure_cpu()  # a launcher may have started this job in a process of its own
        config = check_config(composed)
        hydra_config = HydraConfig.get()
        if hydra_config.mode == RunMode.MULTIRUN:
            stem = config.run.name or f"{config.algo.name}-{config.data.kind}-seed{config.seed}"
            config.run.name = f"{stem}-{hydra_config.job.num}"
        return run_session(config, session_class)[1]

    hydra.main(version_base="1.3", config_path="pkg://marl_algos.conf", config_name=app)(job)()
