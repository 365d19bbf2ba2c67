"""A run, ready to play again: its market, its learner, and the policies of a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final

import jax
import yaml  # type: ignore[import-untyped]
from marl_algos.conf.load import ConfigError, load_saved
from marl_algos.conf.populations import SelfPlayRun
from marl_algos.conf.schema import Config
from marl_algos.markets.data import DataError, Market, make_market
from marl_algos.runs.checkpoint import CheckpointError, CheckpointStore, read_json
from marl_algos.runs.runfolder import RunFolder, other_layout
from marl_algos.train import make_learner
from marl_algos.training.runners import make_runner
from marl_algos.types import Learner
from omegaconf.errors import OmegaConfBaseException

from lob_analysis.errors import RunError
from lob_analysis.play.snapshots import UNITS, Snapshots, filled, read_population
from lob_analysis.runs.load import NOT_THE_MIXTURE

_KEEP_ALL: Final = 1_000_000
"""More checkpoints than there are: reading deletes none."""


@dataclasses.dataclass(frozen=True)
class Lab:
    """What is needed to play the policies of a run.

    Attributes:
        path: the run folder.
        config: its configuration.
        market: the market with its splits.
        learner: knows how the policies act.
        policies: what was learned, by agent type, one for each training seed. Of self-play and
            PSRO the newest policies, of population-based training those of the leader.
        untrained: what the first learner started from; of populations, fresh policies.
        update: updates (rounds, generations, iterations) that the policies were trained for.
        snapshots: policies over the course of the run: checkpoints, snapshots, members.
        is_finished: whether the run came to its end.
    """

    path: Path
    config: Config
    market: Market
    learner: Learner
    policies: list[dict[str, Any]]
    untrained: dict[str, Any]
    update: int
    snapshots: Snapshots | None = None
    is_finished: bool = True

    @property
    def caveat(self) -> str:
        """What to keep in mind about results of `policies`; empty where they are all there is."""
        is_psro = self.snapshots is not None and self.snapshots.unit == UNITS["psro"]
        return NOT_THE_MIXTURE if is_psro else ""


def read_config(path: Path) -> tuple[Config, str]:
    """The configuration of a run folder, checked against what this version accepts.

    Returns:
        The configuration, and the name of the primary configuration that it belongs to:
        `"config"`, `"selfplay"`, `"pbt"` or `"psro"`.

    Raises:
        RunError: if it is missing, cannot be read or does not fit this version.
    """
    file = RunFolder(path).config
    if not file.is_file():
        raise RunError(path, "has no config.yaml: the market it was trained in is not known")
    try:
        return load_saved(file, ())
    except (yaml.YAMLError, OmegaConfBaseException, ConfigError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(path, f"its configuration does not fit this version: {reason}") from error


def _is_finished(path: Path) -> bool:
    """Whether a run came to its end, as its record says.

    Raises:
        RunError: if the record is of another layout version.
    """
    try:
        record = read_json(RunFolder(path).meta)
    except CheckpointError:
        return False
    problem = other_layout(record)
    if problem is not None:
        raise RunError(path, problem)
    return bool(record.get("status") == "finished")


def open_lab(path: Path | str, update: int | None = None) -> Lab:
    """Builds the market of a run again and loads its policies.

    Args:
        path: the folder of a training run, or of self-play, population-based training or PSRO.
        update: checkpoint to take; None takes the newest.

    Raises:
        RunError: if the folder has no configuration or checkpoint, its data is gone, or something
            in it is of another version.
    """
    path = Path(path)
    config, app = read_config(path)
    is_finished = _is_finished(path)
    try:
        market = make_market(config)
        learner = make_learner(config, market)
    except (ConfigError, DataError) as error:
        raise RunError(path, f"its market cannot be built: {error}") from error
    steps = checkpoints(path)
    if not steps:
        raise RunError(path, "has no checkpoint: it was stopped before its first one")
    chosen = steps[-1] if update is None else update
    if chosen not in steps:
        raise RunError(path, f"has no checkpoint of update {update}; it has {steps}")
    store = CheckpointStore(RunFolder(path).last, _KEEP_ALL)
    try:
        if app == "config":
            lab = _opened_training(path, config, market, learner, store, steps, chosen)
            return dataclasses.replace(lab, is_finished=is_finished)
        start = jax.jit(learner.init)(jax.random.key(config.seed), market.world_params)
        seats = dict(config.selfplay.seats) if isinstance(config, SelfPlayRun) else None
        found = read_population(store.read(chosen), app, learner, market.world_params, seats)
    except (CheckpointError, ValueError, KeyError, OSError) as error:
        raise RunError(path, f"its checkpoint cannot be used: {error}") from error
    finally:
        store.close()
    best = found.agents[found.leader]
    return Lab(path, config, market, learner, [best], start.agents, chosen, found, is_finished)


def _opened_training(
    path: Path,
    config: Config,
    market: Market,
    learner: Learner,
    store: CheckpointStore,
    steps: list[int],
    chosen: int,
) -> Lab:
    """A training run; its snapshots are those of the first learner.

    Only policies are read, so that it does not matter how the run was spread: over seeds, over
    devices, over workers with shards of the data (whose average policy is taken), or over domains.
    """
    is_stacked = config.num_seeds > 1 or config.federated.num_workers > 1
    runner = make_runner(dataclasses.replace(config, num_devices=1), learner, market)
    start = runner.policies(runner.init(jax.random.key(config.seed)))
    blank = jax.eval_shape(learner.init, jax.random.key(0), market.world_params).agents

    def split(agents: Any) -> list[dict[str, Any]]:
        return [jax.tree.map(lambda x, i=i: x[i], agents) for i in range(config.num_seeds)]

    def read(step: int) -> list[dict[str, Any]]:
        leaves = store.read(step)
        agents = {
            name: filled(blank[name], leaves, f"agents.{name}", is_stacked=is_stacked)
            for name in blank
        }
        return split(agents) if is_stacked else [agents]

    known = {step: read(step) for step in steps if step <= chosen}
    untrained = split(start)[0] if config.num_seeds > 1 else start
    numbers = [0, *known]
    agents = [untrained, *(each[0] for each in known.values())]
    snapshots = Snapshots(UNITS["config"], numbers, agents, len(numbers) - 1)
    return Lab(path, config, market, learner, known[chosen], untrained, chosen, snapshots)


def checkpoints(path: Path) -> list[int]:
    """Updates at which the whole state of a run was kept, in order."""
    folder = RunFolder(path).last
    if not folder.is_dir():
        return []
    return sorted(int(item.name) for item in folder.iterdir() if item.name.isdigit())
