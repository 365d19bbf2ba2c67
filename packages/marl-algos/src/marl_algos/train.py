"""Training runs: `python -m marl_algos.train [overrides]`, or `marl-train`.

Overrides are Hydra's: `data=lobster data.path=DIR`, `network=gru`, `algo.num_envs=256`, and so on;
`--cfg job` prints the configuration and `--help` explains. Exit codes: 0 success, 2 a mistake in
configuration, data or device, 3 training diverged.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import hydra
import jax
import numpy as np
from lob_core.runtime import DeviceError, configure_cpu, require_device
from omegaconf import DictConfig

from marl_algos import learners
from marl_algos.checkpoint import CheckpointError, CheckpointStore
from marl_algos.conf.load import (
    ConfigError,
    check_config,
    load_config,
    register,
    type_configs,
)
from marl_algos.conf.schema import Config
from marl_algos.data import DataError, Market, make_market
from marl_algos.evaluate import Evaluator, evaluate
from marl_algos.logging import MetricsLog, ProgressReport, to_plain, write_json
from marl_algos.runfolder import RunFolder, open_run_folder
from marl_algos.tables import print_results
from marl_algos.types import Learner

Array: TypeAlias = jax.Array

USAGE_ERROR: Final = 2
DIVERGED: Final = 3


class DivergedError(RuntimeError):
    """Training produced a NaN or an infinity."""


def make_learner(config: Config, market: Market) -> Learner:
    """The learner of a run.

    Raises:
        ConfigError: if settings do not fit the market.
    """
    steps_per_update = config.algo.num_envs * config.algo.num_steps
    try:
        return learners.make_learner(
            config.algo.name,
            market.env,
            type_configs(config),
            num_envs=config.algo.num_envs,
            num_steps=config.algo.num_steps,
            num_updates=math.ceil(config.algo.total_env_steps / steps_per_update),
        )
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


class Trainer:
    """One run: compiled update, metrics, checkpoints, evaluation.

    With several seeds every leaf of the state has a leading axis `S`, and one compiled program
    advances all learners.

    Attributes:
        config: the configuration.
        market: the market with its splits.
        learner: the learner.
        folder: the run folder.
    """

    def __init__(self, config: Config, market: Market, learner: Learner, folder: RunFolder) -> None:
        self.config = config
        self.market = market
        self.learner = learner
        self.folder = folder
        self.compile_seconds = 0.0
        self._evaluator = Evaluator(learner, market, config.evaluation.num_episodes, config.seed)
        self._last = CheckpointStore(folder.last, config.checkpoint.keep)
        self._best = CheckpointStore(folder.best, 1)
        self._best_score = -math.inf

    # --- the loop ------------------------------------------------------------------------------

    def train(self) -> Any:
        """Trains to the end, from the last checkpoint if there is one.

        Raises:
            DivergedError: naming the update and the last good checkpoint.
        """
        total = self.learner.num_updates
        state = self._start()
        done = self._last.latest() or 0
        if done:
            state = self._last.restore(done, state)
            score = self._last.record(done)["best_score"]
            self._best_score = -math.inf if score is None else score
        log = MetricsLog(self.folder.metrics, done)
        report = ProgressReport(total, done, self.config.progress)
        try:
            update: Any = self._compile(state) if done < total else None
            for number in range(done + 1, total + 1):
                began = time.perf_counter()
                state, metrics = update(state, self.market.params["train"])
                line = self._line(number, jax.device_get(metrics), time.perf_counter() - began)
                if line["finite"]:
                    self._evaluate_on_schedule(number, state, line)
                log.write(line)
                report.update(line)
                if not line["finite"]:
                    raise DivergedError(
                        f"update {number}: a loss or parameter is not finite; the last good "
                        f"checkpoint is that of update {self._last.latest()}"
                    )
                if number % self.config.checkpoint.every == 0 or number == total:
                    log.sync()
                    best = self._best_score if math.isfinite(self._best_score) else None
                    self._last.save(number, state, {"best_score": best})
        finally:
            report.close()
            log.close()
        return state

    def _start(self) -> Any:
        key = jax.random.key(self.config.seed)
        params = self.market.params["train"]
        if self.config.num_seeds == 1:
            state: Any = jax.jit(self.learner.init)(key, params)
        else:
            keys = jax.random.split(key, self.config.num_seeds)
            state = jax.jit(jax.vmap(self.learner.init, in_axes=(0, None)))(keys, params)
        return state

    def _compile(self, state: Any) -> Any:
        """The update, compiled once, ahead of time."""
        began = time.perf_counter()
        update: Any = self.learner.update
        if self.config.num_seeds > 1:
            update = jax.vmap(update, in_axes=(0, None))
        compiled = (
            jax.jit(update, donate_argnums=0).lower(state, self.market.params["train"]).compile()
        )
        self.compile_seconds = time.perf_counter() - began
        return compiled

    def _line(self, number: int, metrics: dict[str, Any], seconds: float) -> dict[str, Any]:
        """One metrics line; with several seeds every metric is a list over them."""
        config = self.config
        steps = config.algo.num_envs * config.algo.num_steps
        finite = bool(np.all(metrics.pop("finite")))
        line: dict[str, Any] = {
            "update": number,
            "env_steps": number * steps,
            "seconds": seconds,
            "steps_per_second": steps * config.num_seeds / seconds,
            "finite": finite,
        }
        return to_plain({**line, **metrics})  # type: ignore[no-any-return]

    # --- evaluation ----------------------------------------------------------------------------

    def learned(self, state: Any) -> list[dict[str, Any]]:
        """What each learner has learned, without the axis of seeds."""
        return self._split_seeds(state.agents)

    def _split_seeds(self, agents: dict[str, Any]) -> list[dict[str, Any]]:
        if self.config.num_seeds == 1:
            return [agents]
        return [
            jax.tree.map(lambda x, seed=seed: x[seed], agents)
            for seed in range(self.config.num_seeds)
        ]

    def _evaluate_on_schedule(self, number: int, state: Any, line: dict[str, Any]) -> None:
        """Plays the validation split; keeps the policies if they are the best so far.

        The score is the episode return, averaged over episodes, agents, types and seeds.
        """
        every = self.config.evaluation.every
        if every == 0 or (number % every and number != self.learner.num_updates):
            return
        returns: dict[str, list[float]] = {}
        for agents in self.learned(state):
            for name, results in self._evaluator.play(agents, "validation").results.items():
                returns.setdefault(name, []).append(float(results["episode_return"].mean()))
        means = {name: float(np.mean(values)) for name, values in returns.items()}
        score = float(np.mean(list(means.values())))
        line["validation"] = {"episode_return": means, "score": score}
        if score > self._best_score:
            self._best_score = score
            self._best.save(number, state.agents, {"score": score})

    def evaluate(self, state: Any) -> dict[str, Any]:
        """Plays the held-out split against all baselines and writes the results.

        Returns:
            The summary.
        """
        agents = state.agents
        evaluation = self.config.evaluation
        update = self.learner.num_updates
        best = self._best.latest()
        if evaluation.checkpoint == "best" and best is not None:
            agents, update = self._best.restore(best, agents), best
        outcome = evaluate(
            self._evaluator,
            self._split_seeds(agents),
            "validation" if evaluation.split == "validation" else "test",
            sampled=evaluation.sampled,
            resamples=evaluation.resamples,
        )
        summary = {**outcome.summary, "update": update}
        outcome.table.write_parquet(self.folder.path / "evaluation.parquet")
        outcome.episodes.write_parquet(self.folder.path / "episodes.parquet")
        write_json(self.folder.path / "evaluation.json", summary)
        return summary

    def close(self) -> None:
        """Releases the checkpoint folders."""
        self._last.close()
        self._best.close()


def run(config: Config) -> RunFolder:
    """Trains, evaluates and writes the run folder.

    Raises:
        ConfigError, DataError, DeviceError, CheckpointError: before anything is written, if
            something asked for is wrong or missing.
        DivergedError: if training produced a NaN or an infinity.
    """
    if config.device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    device = require_device(config.device)
    folder = open_run_folder(config)
    with jax.default_device(device):
        market = make_market(config)
        learner = make_learner(config, market)
        began = time.perf_counter()
        record = folder.start(config, market.description, f"{device.platform}:{device.device_kind}")
        earlier = record["wall_seconds"]
        trainer = Trainer(config, market, learner, folder)

        def facts() -> dict[str, Any]:
            return {
                "wall_seconds": earlier + time.perf_counter() - began,
                "compile_seconds": trainer.compile_seconds,
            }

        try:
            state = trainer.train()
            steps = learner.num_updates * learner.num_envs * learner.num_steps
            _say(config, f"compiling took {trainer.compile_seconds:.1f} s; evaluating ...")
            summary = trainer.evaluate(state)
        except BaseException as error:
            reason = str(error) or type(error).__name__
            folder.finish(record, status="failed", reason=reason, **facts())
            raise
        finally:
            trainer.close()
        folder.finish(record, status="finished", env_steps=steps, **facts())
    if config.progress != "none":
        print_results(summary)
        _say(config, f"run folder: {folder.path}")
    return folder


def _say(config: Config, text: str) -> None:
    if config.progress != "none":
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def _hydra_app(composed: DictConfig) -> None:
    """The run as Hydra starts it: for `--help`, `--cfg`, `--multirun` and the like."""
    run(check_config(composed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a training command line.

    Args:
        arguments: overrides and Hydra options; None takes those of the process.

    Returns:
        The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    configure_cpu()
    register()
    try:
        if any(argument.startswith("-") for argument in arguments):
            _hydra_app()
        else:
            run(load_config(arguments))
    except (ConfigError, DataError, DeviceError, CheckpointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    except DivergedError as error:
        sys.stderr.write(f"error: {error}\n")
        return DIVERGED
    return 0


if __name__ == "__main__":
    sys.exit(main())
