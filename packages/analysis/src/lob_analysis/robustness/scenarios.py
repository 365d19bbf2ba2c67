"""Markets in which policies are tried out: with a manipulator, or under stress.

A scenario keeps the agent types that learn, their observations and their actions, so that the same
policies play in it, and its randomness is that of the market it was made from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import jax
from lob_core.flow import ZeroIntelligenceParams
from marl_algos.data import Split
from marl_envs import AgentSpec, EnvConfig, EnvParams, MarketEnv
from marl_envs.background import FlowBackground

from lob_analysis.errors import AnalysisError
from lob_analysis.lab import Lab

ATTACKER: Final = "attacker"
"""Name of the agent type that attacks."""
CLEAN: Final = "clean"

ATTACKS: Final = (
    "spoofing",
    "layering",
    "quote_stuffing",
    "pinging",
    "momentum_ignition",
    "painting_the_close",
    "metaorder_predation",
)
"""Manipulators of `marl_envs.population`, by name."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A market to try policies in.

    Attributes:
        name: of the scenario.
        env: the market.
        params: its parameters on one split.
        has_attacker: whether the type `ATTACKER` takes part.
    """

    name: str
    env: MarketEnv
    params: EnvParams
    has_attacker: bool = False


def _with_terms(terms: dict[str, Any]) -> Callable[[EnvConfig], EnvConfig]:
    """All types on other terms; what they already have is replaced."""

    def change(config: EnvConfig) -> EnvConfig:
        agents = tuple(
            dataclasses.replace(spec, settings=dict(spec.settings) | terms)
            for spec in config.agents
        )
        return dataclasses.replace(config, agents=agents)

    return change


def _market_orders_doubled(flow: ZeroIntelligenceParams) -> ZeroIntelligenceParams:
    return dataclasses.replace(flow, market_rate=2.0 * flow.market_rate)


def _limit_orders_halved(flow: ZeroIntelligenceParams) -> ZeroIntelligenceParams:
    return dataclasses.replace(flow, limit_rate=0.5 * flow.limit_rate)


TERMS: Final[dict[str, dict[str, Any]]] = {
    "fees": {"taker_fee": 0.5, "maker_fee": 0.1},
    "latency": {
        "latency_submit_ns": 100_000_000,
        "latency_cancel_ns": 100_000_000,
        "latency_feed_ns": 100_000_000,
    },
}
"""Stress by other terms of trading for everyone who learns: ticks a share, nanoseconds."""
FLOWS: Final[dict[str, Callable[[ZeroIntelligenceParams], ZeroIntelligenceParams]]] = {
    "market_orders_x2": _market_orders_doubled,
    "limit_orders_half": _limit_orders_halved,
}
"""Stress by another order flow: twice the market orders (volatility), half the limit orders
(depth). Needs a flow model: recorded flow is what it is."""
STRESSES: Final = (*TERMS, *FLOWS)
"""Stresses by name."""


def make_scenario(lab: Lab, name: str, split: Split = "test") -> Scenario:
    """A scenario by name.

    Args:
        lab: the run whose market is changed.
        name: `CLEAN`, one of `ATTACKS` or one of `STRESSES`.
        split: background to play.

    Raises:
        AnalysisError: if the name is unknown, or the market cannot be changed in that way.
    """
    market, params = lab.market, lab.market.params[split]
    config = market.env.config
    if name == CLEAN:
        return Scenario(name, market.env, params)
    if name in ATTACKS:
        spec = AgentSpec("manipulator", action=name, name=ATTACKER)
        agents = (*config.agents, spec)
        env = MarketEnv(dataclasses.replace(config, agents=agents))
        return Scenario(name, env, params, has_attacker=True)
    if name in TERMS:
        return Scenario(name, MarketEnv(_with_terms(TERMS[name])(config)), params)
    if name not in FLOWS:
        known = ", ".join((CLEAN, *ATTACKS, *STRESSES))
        raise AnalysisError(f"scenario is {name!r}; allowed: {known}")
    flow = params.background
    if not isinstance(flow, FlowBackground):
        raise AnalysisError(f"scenario {name!r} needs a flow model; this run replays recorded flow")
    found = flow.params
    if isinstance(found, ZeroIntelligenceParams):
        changed: Any = FLOWS[name](found)
    elif isinstance(getattr(found, "base", None), ZeroIntelligenceParams):
        changed = dataclasses.replace(found, base=FLOWS[name](found.base))
    else:
        raise AnalysisError(f"scenario {name!r} does not know the flow {type(found).__name__}")
    made = market.env.make_params(
        flow.model,
        flow_params=changed,
        key=jax.random.key(lab.config.data.seed),
        num_openings=flow.num_openings,
    )
    return Scenario(name, market.env, dataclasses.replace(made, calibration=params.calibration))
