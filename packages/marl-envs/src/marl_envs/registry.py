"""Ready-made environments by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from marl_envs.agents.kinds import AgentKind, available_kinds, register_agent
from marl_envs.assets import AssetsConfig, AssetsEnv, IndexArbitrage, PortfolioSpec
from marl_envs.config import AgentSpec, EnvConfig
from marl_envs.market import MarketEnv
from marl_envs.population.reference import reference_population
from marl_envs.teams import Team, TeamEnv

__all__ = ["AgentKind", "available_envs", "available_kinds", "make", "register_agent"]

Environment: TypeAlias = MarketEnv | AssetsEnv | TeamEnv[Any]
Overrides: TypeAlias = Mapping[str, Any]


def _replace(config: EnvConfig, overrides: Overrides) -> EnvConfig:
    """The configuration with other fields."""
    fields = {field.name for field in dataclasses.fields(EnvConfig)}
    unknown = sorted(set(overrides) - fields)
    if unknown:
        raise ValueError(f"EnvConfig has no {unknown}; it has {sorted(fields)}")
    return dataclasses.replace(config, **overrides)


def _market(config: EnvConfig) -> Callable[[Overrides], Environment]:
    """One book."""
    return lambda overrides: MarketEnv(_replace(config, overrides))


def _assets(config: AssetsConfig) -> Callable[[Overrides], Environment]:
    """Several books; overrides are fields of `AssetsConfig`, or of `EnvConfig` for every book."""
    fields = {field.name for field in dataclasses.fields(AssetsConfig)}

    def build(overrides: Overrides) -> Environment:
        own = {name: value for name, value in overrides.items() if name in fields}
        of_book = {name: value for name, value in overrides.items() if name not in fields}
        changed = dataclasses.replace(config, **own)
        return AssetsEnv(dataclasses.replace(changed, market=_replace(changed.market, of_book)))

    return build


def _team(config: EnvConfig, *teams: Team) -> Callable[[Overrides], Environment]:
    """One book with teams in it."""
    return lambda overrides: TeamEnv(MarketEnv(_replace(config, overrides)), teams)


_DESK: Final = ("market_maker", "directional")
_ENVS: Final[dict[str, Callable[[Overrides], Environment]]] = {
    "market": _market(EnvConfig()),
    "market_making": _market(EnvConfig(agents=(AgentSpec("market_maker"),))),
    "execution": _market(EnvConfig(agents=(AgentSpec("execution"),))),
    "reference_population": _market(reference_population()),
    "portfolio": _assets(AssetsConfig(observes_others=True)),
    "index_arbitrage": _assets(
        AssetsConfig(
            num_assets=3,
            portfolios=(PortfolioSpec(IndexArbitrage(weights=(1, 1)), name="arbitrage"),),
            observes_others=True,
        )
    ),
    "trading_desk": _team(
        EnvConfig(agents=(*map(AgentSpec, _DESK), AgentSpec("execution"))),
        Team(_DESK, vocabulary=4),
    ),
}


def available_envs() -> tuple[str, ...]:
    """Names that `make` accepts."""
    return tuple(sorted(_ENVS))


def make(name: str, **overrides: Any) -> Environment:
    """The environment of that name.

    Args:
        name: one of `available_envs()`.
        **overrides: fields of `EnvConfig` to change, for every book if there are several; then
            also fields of `AssetsConfig`.

    Returns:
        A `MarketEnv`; an `AssetsEnv` for `"portfolio"` and `"index_arbitrage"`; a `TeamEnv` for
        `"trading_desk"`. Each has `make_params`.

    Raises:
        ValueError: if the name or a field is unknown, or a value is refused.
    """
    if name not in _ENVS:
        raise ValueError(f"environment is {name!r}; it must be one of {available_envs()}")
    return _ENVS[name](overrides)
