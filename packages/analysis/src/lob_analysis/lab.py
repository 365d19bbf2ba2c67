"""A run, ready to play again: its market, its learner, and the policies of a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import jax
import yaml  # type: ignore[import-untyped]
from marl_algos.checkpoint import CheckpointError, CheckpointStore
from marl_algos.conf.load import ConfigError, check_config, load_config
from marl_algos.conf.schema import Config
from marl_algos.data import DataError, Market, make_market
from marl_algos.runfolder import RunFolder
from marl_algos.train import make_learner
from marl_algos.types import Learner
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lob_analysis.errors import RunError


@dataclasses.dataclass(frozen=True)
class Lab:
    """What is needed to play the policies of a run.

    Attributes:
        path: the run folder.
        config: its configuration.
        market: the market with its splits.
        learner: knows how the policies act.
        policies: what was learned, by agent type, one for each training seed.
        untrained: what the first learner started from.
        update: updates that the policies were trained for.
    """

    path: Path
    config: Config
    market: Market
    learner: Learner
    policies: list[dict[str, Any]]
    untrained: dict[str, Any]
    update: int


def read_config(path: Path) -> Config:
    """The configuration of a run folder, checked against what this version accepts.

    Raises:
        RunError: if it is missing, cannot be read or does not fit this version.
    """
    file = RunFolder(path).config
    if not file.is_file():
        raise RunError(path, "has no config.yaml: the market it was trained in is not known")
    try:
        found = yaml.safe_load(file.read_text())
        if not isinstance(found, dict):
            raise ConfigError("config.yaml holds no mapping")
        algo = (found.get("algo") or {}).get("name", "")
        base = load_config([f"algo={algo}"])
        base.env.agents = {}
        merged = OmegaConf.merge(OmegaConf.structured(base), OmegaConf.create(found))
        return check_config(cast(DictConfig, merged))
    except (yaml.YAMLError, OmegaConfBaseException, ConfigError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(path, f"its configuration does not fit this version: {reason}") from error


def open_lab(path: Path | str, update: int | None = None) -> Lab:
    """Builds the market of a run again and loads its policies.

    Args:
        path: the run folder.
        update: checkpoint to take; None takes the newest.

    Raises:
        RunError: if the folder has no configuration or checkpoint, its data is gone, or something
            in it is of another version.
    """
    path = Path(path)
    config = read_config(path)
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
    state = _initial_state(config, learner, market)
    store = CheckpointStore(RunFolder(path).last, config.checkpoint.keep)
    try:
        agents = store.restore(chosen, state).agents
    except (CheckpointError, ValueError, KeyError, OSError) as error:
        raise RunError(path, f"its checkpoint cannot be used: {error}") from error
    finally:
        store.close()
    untrained = state.agents
    if config.num_seeds == 1:
        return Lab(path, config, market, learner, [agents], untrained, chosen)
    each = [jax.tree.map(lambda x, i=i: x[i], agents) for i in range(config.num_seeds)]
    first = jax.tree.map(lambda x: x[0], untrained)
    return Lab(path, config, market, learner, each, first, chosen)


def checkpoints(path: Path) -> list[int]:
    """Updates at which the whole state of a run was kept, in order."""
    folder = RunFolder(path).last
    if not folder.is_dir():
        return []
    return sorted(int(item.name) for item in folder.iterdir() if item.name.isdigit())


def _initial_state(config: Config, learner: Learner, market: Market) -> Any:
    """The state before the first update, as a training run makes it."""
    key, params = jax.random.key(config.seed), market.params["train"]
    if config.num_seeds == 1:
        return jax.jit(learner.init)(key, params)
    keys = jax.random.split(key, config.num_seeds)
    return jax.jit(jax.vmap(learner.init, in_axes=(0, None)))(keys, params)
