"""Order-flow models by name, their parameters from files, and variations of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from lob_core.flow import FlowModel, Hawkes, QueueReactive, ValueTraders, ZeroIntelligence
from lob_data import LobDataError
from lob_data.calibration import load_calibration

from marl_algos.conf.load import ConfigError
from marl_algos.conf.schema import Config

Array: TypeAlias = jax.Array

FLOWS: Final[dict[str, Any]] = {
    "zero_intelligence": ZeroIntelligence,
    "hawkes": Hawkes,
    "queue_reactive": QueueReactive,
    "value_traders": ValueTraders,
}
"""Order-flow models that a configuration can name."""


def make_flow(config: Config) -> tuple[FlowModel[Any, Any], Any]:
    """The order-flow model of `data=embedded` and its parameters.

    Raises:
        ConfigError: if the model is unknown or a number is not accepted.
        LobDataError: if `data.params` is missing or holds no calibration.
    """
    data = config.data
    if data.params is not None:
        return _fitted(data.params, data.refresh_every)
    if data.flow not in FLOWS:
        raise ConfigError(f"data.flow is {data.flow!r}; allowed: {', '.join(sorted(FLOWS))}")
    model = _looking(FLOWS[data.flow](), data.refresh_every)
    return model, model.default_params()


def make_domains(config: Config, model: FlowModel[Any, Any], params: Any) -> list[Any]:
    """Parameters of the domains beside the market of `data` itself.

    Args:
        config: says which.
        model: the model of `data`.
        params: its parameters.

    Raises:
        ConfigError: if a range names no parameter, or a file belongs to another model.
        LobDataError: if a file is missing or holds no calibration.
    """
    domains = []
    for file in config.domains.params:
        other, fitted = _fitted(file, config.data.refresh_every)
        if other != model:
            raise ConfigError(f"domains.params: {file} is of {other}, the market's flow of {model}")
        domains.append(fitted)
    keys = jax.random.split(jax.random.key(config.data.seed), config.domains.num)
    for key in keys[1:]:
        domains.append(_varied(params, config.domains.ranges, key))
    return domains


def _varied(params: Any, ranges: dict[str, list[float]], key: Array) -> Any:
    """Parameters with some of them multiplied by factors drawn log-uniformly."""
    known = _leaves(params)
    factors = {}
    for index, (name, (low, high)) in enumerate(sorted(ranges.items())):
        if name not in known:
            raise ConfigError(
                f"domains.ranges.{name} is no parameter of the flow; it has: {', '.join(known)}"
            )
        draw = jax.random.uniform(jax.random.fold_in(key, index))
        factors[name] = low * (high / low) ** draw
    return _scaled(params, factors)


def _leaves(params: Any) -> list[str]:
    """Names of the arrays in nested parameters."""
    names = []
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        names += _leaves(value) if dataclasses.is_dataclass(value) else [field.name]
    return names


def _scaled(params: Any, factors: dict[str, Array]) -> Any:
    """Nested parameters with the named arrays multiplied; whole numbers stay whole."""
    changes = {}
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _scaled(value, factors)
        elif field.name in factors:
            changed = value * factors[field.name]
            is_whole = jnp.issubdtype(value.dtype, jnp.integer)
            changes[field.name] = (jnp.round(changed) if is_whole else changed).astype(value.dtype)
    return dataclasses.replace(params, **changes)


def _fitted(file: str, refresh_every: int) -> tuple[FlowModel[Any, Any], Any]:
    path = Path(file).expanduser()
    if not path.is_file():
        raise LobDataError("does not exist; write it by lob-data calibrate STORE --save", path=path)
    calibration = load_calibration(path)
    return _looking(calibration.model, refresh_every), calibration.params


def _looking(model: Any, refresh_every: int) -> Any:
    """The model, looking at the book so often."""
    try:
        return dataclasses.replace(model, refresh_every=refresh_every)
    except ValueError as error:
        raise ConfigError(f"data.refresh_every: {error}") from error
