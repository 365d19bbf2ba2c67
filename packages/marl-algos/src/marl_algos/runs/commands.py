"""From a command line to a run: what is checked first, exit codes, Hydra's own options."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import hydra
import jax
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from lob_core.runtime import DeviceError, compile_ahead, configure_cpu, require_device
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from marl_algos.conf.load import ConfigError, check_config, explain, load_config, register
from marl_algos.conf.schema import Config
from marl_algos.markets.data import DataError, make_market
from marl_algos.runs.checkpoint import CheckpointError
from marl_algos.runs.clock import STARTED
from marl_algos.runs.harness import DivergedError, Session, say, score_of
from marl_algos.runs.runfolder import RunFolder, open_run_folder
from marl_algos.runs.sinks import check_sinks
from marl_algos.runs.tables import print_results

USAGE_ERROR: Final = 2
DIVERGED: Final = 3
MISTAKES: Final = (ConfigError, DataError, DeviceError, CheckpointError)
"""Errors that say what a user asked for in vain."""
_STARTS = iter([STARTED])
"""Start of the process, until its first run takes it."""


def run_session(config: Config, session_class: type[Session[Any]]) -> tuple[RunFolder, float]:
    """Trains, evaluates and writes the run folder.

    Returns:
        The folder, and the score of what was learned.

    Raises:
        ConfigError, DataError, DeviceError, CheckpointError: before anything is written, if
            something asked for is wrong or missing.
        DivergedError: if training produced a NaN or an infinity.
    """
    started = next(_STARTS, time.perf_counter())
    if config.device == "cpu":
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    if config.device != "gpu":
        compile_ahead()
    device = require_device(config.device)
    check_sinks(config)
    folder = open_run_folder(config)
    with jax.default_device(device):
        market = make_market(config)
        session = session_class(config, market, folder)  # mistakes show before anything is written
        session.started = started
        began = time.perf_counter()
        record = folder.start(config, market.description, f"{device.platform}:{device.device_kind}")
        earlier = record["wall_seconds"]
        facts: dict[str, Any] = {"compile_seconds": 0.0}
        try:
            state = session.train()
            if session.first_step_seconds is not None:
                say(config, f"first update {session.first_step_seconds:.1f} s after the start")
            say(config, f"compiling took {session.compile_seconds:.1f} s; evaluating ...")
            summary = session.evaluate(state)
            facts["env_steps"] = session.env_steps
        except BaseException as error:
            facts |= {"status": "failed", "reason": str(error) or type(error).__name__}
            raise
        else:
            facts["status"] = "finished"
        finally:
            facts["compile_seconds"] = session.compile_seconds
            facts["first_update_seconds"] = session.first_step_seconds
            session.close()
            facts["wall_seconds"] = earlier + time.perf_counter() - began
            folder.finish(record, **facts)
    score = score_of(summary)
    if config.progress != "none":
        print_results(summary)
        say(config, f"run folder: {folder.path}\nscore: {score:.6g}")
    return folder, score


def evaluate_session(config: Config, session_class: type[Session[Any]], path: Path) -> None:
    """Evaluates what a finished or stopped run has learned, and replaces its results.

    Args:
        config: of the run, with other settings of `evaluation` if wanted.
        session_class: what kind of run it is.
        path: the run folder.

    Raises:
        ConfigError, DataError, DeviceError, CheckpointError: if something is wrong or missing.
    """
    folder = RunFolder(path)
    folder.record()  # another layout is refused before anything is made
    with jax.default_device(require_device(config.device)):
        session = session_class(config, make_market(config), folder)
        try:
            summary = session.evaluate(session.restore())
        finally:
            session.close()
    if config.progress != "none":
        print_results(summary)


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
            _hydra_app(app, session_class, arguments)
        else:
            run_session(load_config(arguments, app), session_class)

    return exit_code(work)


def exit_code(work: Callable[[], None]) -> int:
    """Runs something; mistakes end with one message on standard error and a code of their own."""
    try:
        work()
    except MISTAKES as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE_ERROR
    except DivergedError as error:
        sys.stderr.write(f"error: {error}\n")
        return DIVERGED
    return 0


def _hydra_app(app: str, session_class: type[Session[Any]], arguments: Sequence[str]) -> None:
    """The run as Hydra starts it: for `--help`, `--cfg`, `--multirun` and the like.

    Raises:
        ConfigError: if the configuration cannot be composed.
    """

    def job(composed: DictConfig) -> float:
        configure_cpu()  # a launcher may have started this job in a process of its own
        is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        try:
            config = check_config(composed)
            if is_sweep:
                config.run.name = _name_in_sweep(config)
            return run_session(config, session_class)[1]
        except (*MISTAKES, DivergedError) as error:
            if is_sweep:  # else it would show when the last job is done
                sys.stderr.write(f"job {HydraConfig.get().job.num}: {error}\n")
            raise

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, not as a traceback and exit code 1
    sys.argv[1:] = arguments  # where Hydra looks
    start = hydra.main(version_base="1.3", config_path="pkg://marl_algos.conf", config_name=app)
    try:
        start(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error


def _name_in_sweep(config: Config) -> str:
    """A name for the run of one job: that of all with its number, or one made of its settings."""
    sweep = HydraConfig.get()
    stem = config.run.name
    if stem is None:
        made = Path(sweep.sweep.dir).name  # when the sweep began
        stem = f"{config.algo.name}-{config.data.kind}-seed{config.seed}-{made}"
    return f"{stem}-{sweep.job.num}"
