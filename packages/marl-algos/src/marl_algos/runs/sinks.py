"""Metrics for TensorBoard and Weights & Biases, beside the JSON lines that every run writes."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any, Protocol

from omegaconf import OmegaConf

from marl_algos.conf.load import ConfigError
from marl_algos.conf.schema import Config
from marl_algos.runs.runfolder import RunFolder

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}
"""Modules that the sinks of `logging` need; installed by the extras of the same name."""


class Sink(Protocol):
    """Takes metrics lines."""

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Takes the numbers of one line, by path such as `agents/execution/entropy`."""
        ...

    def close(self) -> None:
        """Hands over what has not been."""
        ...


class TensorBoardSink:
    """Event files in the folder `tensorboard` of a run."""

    def __init__(self, folder: RunFolder) -> None:
        module: Any = importlib.import_module(_PACKAGES["tensorboard"])
        self._writer: Any = module.SummaryWriter(str(folder.path / "tensorboard"))

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Adds one point to every curve."""
        for path, value in numbers.items():
            self._writer.add_scalar(path, value, step)

    def close(self) -> None:
        """Flushes the event file."""
        self._writer.close()


class WandbSink:
    """A run of Weights & Biases under the name of the run folder; resumed with it.

    Raises:
        ConfigError: if there is no account to log in with, or W&B refuses otherwise.
    """

    def __init__(self, config: Config, folder: RunFolder) -> None:
        wandb: Any = importlib.import_module(_PACKAGES["wandb"])
        plain: Any = OmegaConf.to_container(OmegaConf.structured(config))
        try:
            self._run: Any = wandb.init(
                project=config.logging.wandb_project,
                name=folder.path.name,
                id=folder.path.name,
                resume="allow",
                dir=str(folder.path),
                config=plain,
            )
        except wandb.Error as error:
            hint = "the environment variable WANDB_MODE=offline needs no account"
            raise ConfigError(f"logging.wandb=true: {error} ({hint})") from error

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Logs one step."""
        self._run.log(numbers, step=step)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


def check_sinks(config: Config) -> None:
    """Checks that what is switched on is installed.

    Raises:
        ConfigError: naming the extra to install.
    """
    for name, module in _PACKAGES.items():
        if getattr(config.logging, name) and importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"logging.{name}=true needs the package {module}: pip install 'marl-algos[{name}]'"
            )


def open_sinks(config: Config, folder: RunFolder) -> list[Sink]:
    """The sinks that are switched on."""
    sinks: list[Sink] = []
    if config.logging.tensorboard:
        sinks.append(TensorBoardSink(folder))
    if config.logging.wandb:
        sinks.append(WandbSink(config, folder))
    return sinks
