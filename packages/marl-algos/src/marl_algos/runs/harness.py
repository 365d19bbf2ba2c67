"""What every kind of run shares: its folder, its loop, checkpoints, evaluation, exit codes."""

from __future__ import annotations

import abc
import functools
import math
import sys
import time
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from marl_algos.conf.load import ConfigError, type_configs
from marl_algos.conf.schema import Config
from marl_algos.learners import registry as learners
from marl_algos.markets.data import Market
from marl_algos.populations.matches import MakeLearner
from marl_algos.runs.checkpoint import CheckpointError, CheckpointStore
from marl_algos.runs.evaluation import Evaluator, evaluate
from marl_algos.runs.logging import MetricsLog, ProgressReport, to_plain, write_json
from marl_algos.runs.runfolder import RunFolder
from marl_algos.runs.sinks import open_sinks
from marl_algos.types import Environment, Learner, Metrics

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

    Making one writes nothing: checkpoint folders and evaluator are made when first needed.

    A step is an update of a learner, a round of self-play, a generation or an iteration.

    Attributes:
        config: the configuration.
        market: the market with its splits.
        folder: the run folder.
        learner: plays the policies on the whole market.
        total: steps of the run.
        env_steps_per_step: environment steps that a learner makes in a step.
        compile_seconds: time waited for compiled programs, or that of the first step where it
            compiles.
        started: when the run began, `time.perf_counter()`: the start of the process, or of the run
            where a process has several.
        first_step_seconds: from then to the end of the first step; None before.
    """

    learner: Learner
    total: int
    env_steps_per_step: int

    def __init__(self, config: Config, market: Market, folder: RunFolder) -> None:
        self.config = config
        self.market = market
        self.folder = folder
        self.compile_seconds = 0.0
        self.started = time.perf_counter()
        self.first_step_seconds: float | None = None
        self.setup()
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

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        """Plays policies."""
        config = self.config
        return Evaluator(self.learner, self.market, config.evaluation.num_episodes, config.seed)

    @functools.cached_property
    def _last(self) -> CheckpointStore:
        """States of the run."""
        return CheckpointStore(self.folder.last, self.config.checkpoint.keep)

    @functools.cached_property
    def _best(self) -> CheckpointStore:
        """The policies that did best."""
        return CheckpointStore(self.folder.best, 1)

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
                if self.first_step_seconds is None:
                    self.first_step_seconds = time.perf_counter() - self.started
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
        for name in ("_last", "_best"):
            if name in vars(self):  # else it was never opened
                getattr(self, name).close()


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


def say(config: Config, text: str) -> None:
    """Writes a line for people to standard error, unless progress is off."""
    if config.progress != "none":
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
