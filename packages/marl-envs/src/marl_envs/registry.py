"""Ready-made environments by name."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from marl_envs.agents.kinds import AgentKind, available_kinds, register_agent
from marl_envs.market import MarketEnv
from marl_envs.population.reference import reference_population
from marl_envs.types import AgentSpec, EnvConfig

__all__ = ["AgentKind", "available_envs", "available_kinds", "make", "register_agent"]

_ENVS: Final[dict[str, EnvConfig]] = {
    "market": EnvConfig(),
    "market_making": EnvConfig(agents=(AgentSpec("market_maker"),)),
    "execution": EnvConfig(agents=(AgentSpec("execution"),)),
    "reference_population": reference_population(),
}


def available_envs() -> tuple[str, ...]:
    """Names that `make` accepts."""
    return tuple(sorted(_ENVS))


def make(name: str, **overrides: Any) -> MarketEnv:
    """The environment of that name.

    Args:
        name: one of `available_envs()`.
        **overrides: fields of `EnvConfig` to change.

    Raises:
        ValueError: if the name or a field is unknown, or a value is refused.
    """
    if name not in _ENVS:
        raise ValueError(f"environment is {name!r}; it must be one of {available_envs()}")
    fields = {field.name for field in dataclasses.fields(EnvConfig)}
    unknown = sorted(set(overrides) - fields)
    if unknown:
        raise ValueError(f"EnvConfig has no {unknown}; it has {sorted(fields)}")
    return MarketEnv(dataclasses.replace(_ENVS[name], **overrides))
