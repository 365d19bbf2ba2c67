"""Composing and checking a configuration, with one clear message for whatever is wrong."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from marl_algos.conf.populations import RUNS
from marl_algos.conf.schema import ALGO_SECTIONS, AlgoSection, Config, NetworkSection
from marl_algos.learners.registry import LEARNERS
from marl_algos.settings import NetworkConfig, TypeConfig

CHOICES: Final = {
    "data.kind": ("embedded", "synthetic", "lobster"),
    "device": ("auto", "cpu", "gpu"),
    "progress": ("auto", "lines", "none"),
    "evaluation.split": ("test", "validation"),
    "evaluation.checkpoint": ("last", "best"),
}
"""Values that named settings can take."""
LEAST: Final = {
    "num_seeds": 1,
    "num_devices": 1,
    "domains.num": 1,
    "trials.num_episodes": 1,
    "federated.num_workers": 1,
    "federated.updates_per_round": 1,
    "algo.num_envs": 1,
    "algo.num_steps": 1,
    "algo.total_env_steps": 1,
    "data.num_openings": 1,
    "data.num_messages": 1,
    "evaluation.every": 0,
    "evaluation.num_episodes": 2,
    "evaluation.resamples": 1,
    "checkpoint.every": 1,
    "checkpoint.keep": 1,
}
"""Least values of whole numbers."""

_PLUGIN = re.compile(r"Could not find '(hydra/\w+)/((joblib|submitit|optuna)\w*)'")
"""Hydra's complaint about a plugin that is not installed."""
_T = TypeVar("_T")


class ConfigError(ValueError):
    """A configuration cannot be used; the message names the key and what is allowed."""


def register() -> None:
    """Makes the schema known to Hydra; calling it again changes nothing."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, section in ALGO_SECTIONS.items():
        store.store(group="algo/schema", name=name, node=section)
    for name, schema in RUNS.items():
        store.store(name=f"schema_{name}", node=schema)


def load_config(overrides: Sequence[str], app: str = "config") -> Config:
    """The configuration of a command line.

    Args:
        overrides: Hydra overrides such as `"algo.num_envs=8"` or `"data=lobster"`.
        app: name of the primary configuration: `"config"`, `"selfplay"`, `"pbt"` or `"psro"`.

    Raises:
        ConfigError: if a key is unknown, or a value has the wrong type or is not allowed.
    """
    register()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("marl_algos.conf", version_base="1.3"):
            composed = compose(app, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
    return check_config(composed)


def load_saved(path: Path, overrides: Sequence[str]) -> tuple[Config, str]:
    """The configuration of a run folder, with changes on top.

    Args:
        path: its `config.yaml`.
        overrides: `key=value` of keys that the configuration has.

    Returns:
        The configuration, and the name of the primary configuration that it belongs to.

    Raises:
        ConfigError: if the file is missing or does not fit this version, or a value is not allowed.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist; name the folder of a run")
    try:
        saved = OmegaConf.load(path)
        app = next((name for name in RUNS if name in saved), "config")
        base = load_config([f"algo={saved.algo.name}"], app)
        base.env.agents = {}
        merged = OmegaConf.merge(
            OmegaConf.structured(base), saved, OmegaConf.from_dotlist(list(overrides))
        )
    except (OmegaConfBaseException, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    return check_config(cast(DictConfig, merged)), app


def check_config(composed: DictConfig) -> Config:
    """A composed configuration as checked dataclasses.

    Raises:
        ConfigError: if a value is missing or not allowed.
    """
    try:
        config = cast(Config, OmegaConf.to_object(composed))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    added = _added_keys(composed, config)
    if added:  # Hydra's `+key=value` adds a key to any schema; nothing would read it
        raise ConfigError(_unknown_key(added[0], config))
    section = ALGO_SECTIONS.get(config.algo.name)
    if section is None or not isinstance(config.algo, section):
        raise ConfigError(
            f"algo.name is {config.algo.name!r}; choose a learner by algo=NAME, "
            f"allowed: {', '.join(ALGO_SECTIONS)}"
        )
    for key, allowed in CHOICES.items():
        value = _lookup(config, key)
        if value not in allowed:
            raise ConfigError(f"{key} is {value!r}; allowed: {', '.join(allowed)}")
    for key, least in LEAST.items():
        value = _lookup(config, key)
        if value < least:
            raise ConfigError(f"{key} is {value}; it must be >= {least}")
    if not config.env.agents:
        raise ConfigError("env.agents is empty; a market needs at least one agent type")
    if config.data.kind == "lobster" and not config.data.path:
        raise ConfigError("data=lobster needs data.path=FOLDER (LOBSTER files or a prepared store)")
    _check_ways(config)
    type_configs(config)
    return config


def _check_ways(config: Config) -> None:
    """Refuses ways to train that exclude each other, and what only flow models have.

    Raises:
        ConfigError: naming the keys.
    """
    ways = [
        f"{key}={_lookup(config, key)}"
        for key in ("num_seeds", "num_devices", "federated.num_workers")
        if _lookup(config, key) > 1
    ]
    if len(ways) > 1:
        raise ConfigError(f"{' and '.join(ways)} cannot be combined")
    domains = config.domains
    if bool(domains.ranges) != (domains.num > 1):
        raise ConfigError(
            f"domains.num is {domains.num} and domains.ranges is {dict(domains.ranges)}; "
            "to draw domains, give num >= 2 and at least one range"
        )
    for name, limits in domains.ranges.items():
        if len(limits) != 2 or not 0.0 < limits[0] <= limits[1]:
            raise ConfigError(f"domains.ranges.{name} is {limits}; give [lowest, highest] > 0")
    for key, is_used in (
        ("data.params", config.data.params is not None),
        ("domains.ranges", bool(domains.ranges)),
        ("domains.params", bool(domains.params)),
    ):
        if is_used and config.data.kind != "embedded":
            raise ConfigError(f"{key} is for data=embedded, not data={config.data.kind}")
    if config.federated.num_workers > 1 and (domains.ranges or domains.params):
        raise ConfigError("federated.num_workers > 1 and domains cannot be combined")


def type_configs(config: Config) -> dict[str, TypeConfig]:
    """Settings of each agent type: the common ones with its own on top.

    Raises:
        ConfigError: if a value is not allowed.
    """
    types = {}
    for name in config.env.agents:
        try:
            types[name] = TypeConfig(
                _combine(LEARNERS[config.algo.name].settings, config.algo, name),
                _combine(NetworkConfig, config.network, name),
            )
        except ValueError as error:
            raise ConfigError(f"agents {name!r}: {error}") from error
    return types


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Lines `key: old value -> new value` for every leaf in which two nested dicts differ."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [] if old == new else [f"{prefix}: {old!r} -> {new!r}"]
    lines = []
    for key in sorted(old.keys() | new.keys()):
        path = f"{prefix}.{key}" if prefix else key
        lines += differences(old.get(key), new.get(key), path)
    return lines


def _combine(target: type[_T], section: AlgoSection | NetworkSection, name: str) -> _T:
    """A frozen settings object from a section and its overrides for one agent type."""
    own = section.agents.get(name)
    values = {}
    for item in dataclasses.fields(target):  # type: ignore[arg-type]
        value = getattr(own, item.name, None)
        if value is None:
            value = getattr(section, item.name)
        values[item.name] = tuple(value) if isinstance(value, list) else value
    return target(**values)


def _lookup(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def explain(error: Exception) -> str:
    """One line about a Hydra or OmegaConf error, with the nearest known key if a key is unknown."""
    cause = error
    while isinstance(cause.__cause__, Exception):
        cause = cause.__cause__
    text = str(cause)
    full = re.search(r"full_key: (\S+)", text)
    key = full.group(1) if full else ""
    first = text.strip().splitlines()[0].rstrip(".")
    if re.search(r"(Key '.*' (is )?not in)|(Could not override)", text) and key:
        return _unknown_key(key)
    plugin = _PLUGIN.search(text)
    if plugin:
        return f"{plugin[1]}={plugin[2]} needs an extra: pip install 'marl-algos[{plugin[3]}]'"
    if key and key not in first:
        return f"{key}: {first}"
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " ".join(lines)


def _unknown_key(key: str, config: Config | None = None) -> str:
    """A message that names an unknown key and the known one nearest to it."""
    sections = [config.algo] if config else [section() for section in ALGO_SECTIONS.values()]
    known = {name for algo in sections for name in _known_keys(Config(algo=algo))}
    close = difflib.get_close_matches(key, sorted(known), n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"unknown configuration key {key!r}{hint}"


def _added_keys(composed: Any, node: Any, prefix: str = "") -> list[str]:
    """Keys of a composed configuration that the dataclass `node` does not declare."""
    declared = {item.name for item in dataclasses.fields(node)}
    added = [f"{prefix}{key}" for key in composed if key not in declared]
    for name in declared & set(composed):
        value = getattr(node, name)
        children = value if isinstance(value, dict) else {"": value}
        for key, child in children.items():
            if dataclasses.is_dataclass(child):
                inner = composed[name][key] if key else composed[name]
                path = f"{prefix}{name}.{key}." if key else f"{prefix}{name}."
                added += _added_keys(inner, child, path)
    return added


def _known_keys(node: Any, prefix: str = "") -> list[str]:
    keys = []
    for item in dataclasses.fields(node):
        path = f"{prefix}{item.name}"
        value = getattr(node, item.name)
        keys.append(path)
        if dataclasses.is_dataclass(value):
            keys += _known_keys(value, f"{path}.")
    return keys
