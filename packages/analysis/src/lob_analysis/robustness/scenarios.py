"""Markets in which policies are tried out: with a manipulator, with strangers, or under stress.

A scenario keeps the agent types that learn, their observations and their actions, so that the same
policies play in it, and its randomness is that of the market it was made from: the same openings,
the same draws of the flow.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from lob_core.flow import ZeroIntelligenceParams
from marl_algos.markets.data import Split
from marl_envs import AgentSpec, EnvConfig, EnvParams, MarketEnv
from marl_envs.background import FlowBackground, ReplayBackground

from lob_analysis.errors import AnalysisError
from lob_analysis.play.lab import Lab
from lob_analysis.robustness.disturbed import Disturbance, DisturbedBackground

ATTACKER: Final = "attacker"
"""Name of the agent type that attacks."""
STRANGERS: Final = "strangers"
"""Name of the agent type that was not there in training."""
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
NEWCOMERS: Final = {
    "noise_traders": AgentSpec("noise", 4, name=STRANGERS),
    "trend_followers": AgentSpec("trend", 4, action="momentum", name=STRANGERS),
    "mean_reverters": AgentSpec("mean_reversion", 4, name=STRANGERS),
    "rival_makers": AgentSpec("quoter", 2, action="linear_skew_ladder", name=STRANGERS),
    "volume_followers": AgentSpec("schedule", 2, action="pov", name=STRANGERS),
}
"""Rule-based agents whom the policies have not met, by name."""
TERMS: Final[dict[str, dict[str, float]]] = {
    "fees": {"taker_fee": 0.5, "maker_fee": 0.1},
    "latency": {
        "latency_submit_ns": 100_000_000,
        "latency_cancel_ns": 100_000_000,
        "latency_feed_ns": 100_000_000,
    },
}
"""Stress by other terms of trading for everyone who learns, added to those of the run: ticks a
share, nanoseconds."""
SHOCK_SPREADS: Final = 10.0
FAT_FINGER_SHARE: Final = 0.5
LOST_SHARE: Final = 0.2
VOLATILITY_MARKET_ORDERS: Final = 3.0
"""Times as many market orders of flow models, by which volatility about doubles."""
DISTURBANCES: Final = (
    "volatility_x2",
    "depth_half",
    "shock",
    "fat_finger",
    "halt",
    "missing_messages",
)
"""Stress by what happens to the order flow, which each agent meets through the book:

- `volatility_x2`: recorded prices twice as far from the opening mid (so is the spread); of flow
  models, `VOLATILITY_MARKET_ORDERS` times the market orders;
- `depth_half`: every resting order has half the size;
- `shock`: half way, an order trades through `SHOCK_SPREADS` opening spreads and stays there with
  as much as it took, so that the price does not come back by itself;
- `fat_finger`: half way, a market order for `FAT_FINGER_SHARE` of a whole side of the book;
- `halt`: nothing trades in the third quarter of the episode;
- `missing_messages`: `LOST_SHARE` of the background's messages get lost.
"""
STRESSES: Final = (*TERMS, *DISTURBANCES)
"""Stresses by name."""
SCENARIOS: Final = (*ATTACKS, *STRESSES, *NEWCOMERS)
"""All scenarios but `CLEAN`, by name."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A market to try policies in.

    Attributes:
        name: of the scenario.
        env: the market.
        params: its parameters on one split.
    """

    name: str
    env: MarketEnv
    params: EnvParams

    @property
    def has_attacker(self) -> bool:
        """Whether the type `ATTACKER` takes part."""
        return any(spec.name == ATTACKER for spec in self.env.config.agents)


def make_scenario(lab: Lab, name: str, split: Split = "test") -> Scenario:
    """A scenario by name.

    Args:
        lab: the run whose market is changed.
        name: `CLEAN` or one of `SCENARIOS`.
        split: background to play.

    Raises:
        AnalysisError: if the name is unknown, or the market cannot be changed in that way.
    """
    config, params = lab.market.env.config, lab.market.params[split]
    if name == CLEAN or name in DISTURBANCES:
        disturbed = _disturbed(params.background, name, config.num_steps)
        made = dataclasses.replace(params, background=disturbed)
        return Scenario(name, lab.market.env, made)
    if name in ATTACKS:
        spec = AgentSpec("manipulator", action=name, name=ATTACKER)
        return Scenario(name, with_agent(config, spec), params)
    if name in TERMS:
        return Scenario(name, MarketEnv(_on_terms(config, TERMS[name])), params)
    if name in NEWCOMERS:
        spec = NEWCOMERS[name]
        if any((met.kind, met.action) == (spec.kind, spec.action) for met in config.agents):
            raise AnalysisError(f"{name!r} are not new to this run: it was trained among them")
        return Scenario(name, with_agent(config, spec), params)
    raise AnalysisError(f"scenario is {name!r}; allowed: {', '.join((CLEAN, *SCENARIOS))}")


def with_agent(config: EnvConfig, spec: AgentSpec) -> MarketEnv:
    """The market with one more agent type, which draws after all others."""
    return MarketEnv(dataclasses.replace(config, agents=(*config.agents, spec)))


def _on_terms(config: EnvConfig, added: dict[str, float]) -> EnvConfig:
    """The market in which all types trade on worse terms."""

    def worse(spec: AgentSpec) -> AgentSpec:
        settings = dict(spec.settings)
        for name, more in added.items():
            old = settings.get(name, 0)
            by_agent = isinstance(old, tuple)
            settings[name] = tuple(x + more for x in old) if by_agent else old + more
        return dataclasses.replace(spec, settings=settings)

    return dataclasses.replace(config, agents=tuple(worse(spec) for spec in config.agents))


def _disturbed(background: Any, name: str, num_steps: int) -> Any:
    """The background under a disturbance of that name, or under none if it is `CLEAN`."""
    half = num_steps // 2
    is_recorded = isinstance(background, ReplayBackground)
    if name == "volatility_x2" and not is_recorded:
        background = _with_market_orders(background, name)
    plans: dict[str, dict[str, Any]] = {
        "volatility_x2": {"stretch": 2 if is_recorded else 1},
        "depth_half": {"size_scale": 0.5},
        "shock": {
            "push_at": half, "push_spreads": SHOCK_SPREADS, "push_share": 1.0, "push_rest": 1.0,
        },
        "fat_finger": {"push_at": half, "push_share": FAT_FINGER_SHARE},
        "halt": {"halt_from": half, "halt_until": half + max(num_steps // 4, 1)},
        "missing_messages": {"lost": LOST_SHARE},
    }  # fmt: skip
    return DisturbedBackground(background, Disturbance(**plans.get(name, {})))


def _with_market_orders(background: Any, name: str) -> FlowBackground:
    """A flow model's background with `VOLATILITY_MARKET_ORDERS` times the market orders.

    Raises:
        AnalysisError: if the flow is of another kind.
    """

    def more(flow: ZeroIntelligenceParams) -> ZeroIntelligenceParams:
        return flow.replace(market_rate=VOLATILITY_MARKET_ORDERS * flow.market_rate)

    params: Any = getattr(background, "params", None)
    if not isinstance(background, FlowBackground):
        raise AnalysisError(f"scenario {name!r} is for recorded flow or a flow model, not for both")
    if isinstance(params, ZeroIntelligenceParams):
        return background.replace(params=more(params))
    if isinstance(getattr(params, "base", None), ZeroIntelligenceParams):
        return background.replace(params=params.replace(base=more(params.base)))
    raise AnalysisError(f"scenario {name!r} does not know the flow {type(params).__name__}")
