"""Kinds of agent by name, and how a specification becomes an agent type."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from marl_envs.agents import directional, execution, market_making
from marl_envs.agents.base import Behavior, Closing, NoTask, Observation, Reward, Task
from marl_envs.agents.directional.actions import DirectionalTrading
from marl_envs.agents.directional.observations import Signals
from marl_envs.agents.execution import actions as execution_actions
from marl_envs.agents.execution import observations as execution_observations
from marl_envs.agents.execution import rewards as execution_rewards
from marl_envs.agents.execution import sizing
from marl_envs.agents.execution.task import ExecutionTask
from marl_envs.agents.market_making import actions as maker_actions
from marl_envs.agents.market_making import depth, optimal, quoting, spooner, utilities
from marl_envs.agents.market_making import observations as maker_observations
from marl_envs.agents.market_making import rewards as maker_rewards
from marl_envs.closing import PositionClosing, TaskClosing
from marl_envs.config import AgentSpec
from marl_envs.terms import Terms

__all__ = ["AgentKind", "AgentType", "available_kinds", "build_agent", "register_agent"]


@dataclasses.dataclass(frozen=True)
class AgentKind:
    """What a kind of agent can be made of; the first entry of each mapping is the default.

    Attributes:
        actions: action schemes by name; of a rule-based kind, behaviors.
        observations: observations by name; a rule-based kind has none.
        rewards: rewards by name; a rule-based kind has none.
        closing: what becomes of a position or task when the episode ends.
        task: what an agent is given to do.
        description: one line for people.
        is_rule_based: whether its agents act by themselves inside the market. Such types are not
            in `env.groups`, take no action and get neither observation nor reward.
    """

    actions: Mapping[str, type[Behavior]]
    observations: Mapping[str, type[Observation]] = dataclasses.field(default_factory=dict)
    rewards: Mapping[str, type[Reward]] = dataclasses.field(default_factory=dict)
    closing: type[Any] = PositionClosing
    task: type[Any] = NoTask
    description: str = ""
    is_rule_based: bool = False


@dataclasses.dataclass(frozen=True)
class AgentType:
    """A type of agent, ready to act; hashable.

    Attributes:
        name: key in every dict.
        kind: name of its `AgentKind`.
        num_agents: `A`.
        action: its action scheme, or the behavior of a rule-based type.
        observation: its observation; None for a rule-based type.
        reward: its reward; None for a rule-based type.
        closing: what becomes of its position or task when the episode ends.
        task: what its agents are given to do.
        terms: delays, fees and limits of its agents.
    """

    name: str
    kind: str
    num_agents: int
    action: Behavior
    observation: Observation | None
    reward: Reward | None
    closing: Closing
    task: Task
    terms: Terms

    @property
    def is_rule_based(self) -> bool:
        """Whether its agents act by themselves, without a learner."""
        return self.reward is None

    @property
    def has_task(self) -> bool:
        """Whether its agents have an order to execute."""
        return not isinstance(self.task, NoTask)


_KINDS: Final[dict[str, AgentKind]] = {}


def register_agent(name: str, kind: AgentKind) -> None:
    """Makes a kind of agent available to `AgentSpec`.

    Args:
        name: the name to use as `AgentSpec.kind`.
        kind: its pieces.

    Raises:
        ValueError: if the name is taken by another kind, a mapping is empty, or a rule-based kind
            has observations or rewards.
    """
    if _KINDS.get(name, kind) != kind:
        raise ValueError(f"agent kind {name!r} is already registered")
    if not kind.actions:
        raise ValueError(f"agent kind {name!r} has no actions")
    for field in ("observations", "rewards"):
        if kind.is_rule_based and getattr(kind, field):
            raise ValueError(f"agent kind {name!r} is rule-based; it must have no {field}")
        if not kind.is_rule_based and not getattr(kind, field):
            raise ValueError(f"agent kind {name!r} has no {field}")
    _KINDS[name] = kind


def available_kinds() -> dict[str, AgentKind]:
    """Registered kinds by name."""
    return dict(_KINDS)


def build_agent(spec: AgentSpec) -> AgentType:
    """The agent type a specification describes.

    Args:
        spec: names and settings. Every setting goes to all pieces that have a field of its name.

    Returns:
        The type.

    Raises:
        ValueError: if a name is unknown, no piece reads a setting, or a value is refused.
    """
    kind = _pick("kind", spec.kind, _KINDS)
    settings = dict(spec.settings)
    pieces = {
        "action": _pick("action", spec.action, kind.actions),
        "closing": kind.closing,
        "task": kind.task,
        "terms": Terms,
    }
    for name, options in (("observation", kind.observations), ("reward", kind.rewards)):
        chosen = getattr(spec, name)
        if not kind.is_rule_based:
            pieces[name] = _pick(name, chosen, options)
        elif chosen:
            raise ValueError(
                f"agent {spec.name!r} is of the rule-based kind {spec.kind!r} and has no {name}; "
                f"{name} is {chosen!r}"
            )
    known = {name: {f.name for f in dataclasses.fields(cls)} for name, cls in pieces.items()}
    unread = set(settings) - set().union(*known.values())
    if unread:
        allowed = sorted(set().union(*known.values()))
        raise ValueError(
            f"agent {spec.name!r} has settings that nothing reads: {sorted(unread)}; "
            f"with action {spec.action!r}, observation {spec.observation!r} and reward "
            f"{spec.reward!r} (empty means default) it knows {allowed}"
        )
    built = {
        name: cls(**{key: value for key, value in settings.items() if key in known[name]})
        for name, cls in pieces.items()
    }
    built["terms"].check(spec.num_agents, spec.name)
    without = {"observation": None, "reward": None} if kind.is_rule_based else {}
    return AgentType(
        name=spec.name, kind=spec.kind, num_agents=spec.num_agents, **{**without, **built}
    )


def _pick(what: str, name: str, options: Mapping[str, Any]) -> Any:
    """The option called `name`, or the first when it is empty."""
    if not name:
        return next(iter(options.values()))
    if name not in options:
        raise ValueError(f"{what} is {name!r}; it must be one of {sorted(options)}")
    return options[name]


register_agent(
    "market_maker",
    AgentKind(
        actions={
            "fixed_quants": maker_actions.FixedQuants,
            "AvSt": optimal.AvellanedaStoikov,
            "glft": optimal.Glft,
            "fixed_quants_paper": quoting.FixedQuantsPaper,
            "spread_skew": quoting.SpreadSkew,
            "bobStrategy": quoting.BobStrategy,
            "bobRL": quoting.BobRL,
            "simple": quoting.Simple,
            "fixed_prices": depth.FixedPrices,
            "continuous_quotes": depth.ContinuousQuotes,
            "ladder": depth.Ladder,
            "directional_trading": DirectionalTrading,
            "do_nothing": maker_actions.DoNothing,
        },
        observations={
            "engineered": maker_observations.Engineered,
            "basic": maker_observations.Basic,
            "book": maker_observations.Book,
            "messages": maker_observations.Messages,
            "tokens": maker_observations.Tokens,
        },
        rewards={
            "spooner_asym_damped2": spooner.SpoonerAsymDamped2,
            "spooner_asym_damped": spooner.SpoonerAsymDamped,
            "spooner_damped": spooner.SpoonerDamped,
            "spooner_scaled": spooner.SpoonerScaled,
            "spooner": spooner.Spooner,
            "portfolio_value": maker_rewards.PortfolioValue,
            "delta_portfolio_value": maker_rewards.DeltaPortfolioValue,
            "delta_netWorth": maker_rewards.DeltaPortfolioValue,
            "portfolio_value_scaled": maker_rewards.PortfolioValueScaled,
            "buy_sell_pnl": maker_rewards.BuySellPnl,
            "zero_inv": maker_rewards.ZeroInventory,
            "weight_pnl_inventory_pnl": maker_rewards.WeightPnlInventoryPnl,
            "complex": utilities.Complex,
            "pnl": utilities.RealizedPnl,
            "cara": utilities.Cara,
            "mean_variance": utilities.MeanVariance,
        },
        closing=PositionClosing,
        description=str(market_making.__doc__).strip(),
    ),
)
register_agent(
    "execution",
    AgentKind(
        actions={
            "fixed_quants_complex": execution_actions.FixedQuantsComplex,
            "fixed_quants": execution_actions.FixedQuants,
            "fixed_quants_1msg": execution_actions.FixedQuants,
            "simplest_case": execution_actions.SimplestCase,
            "fixed_prices": sizing.FixedPrices,
            "participation": sizing.Participation,
            "twap": execution_actions.Twap,
            "do_nothing": maker_actions.DoNothing,
        },
        observations={
            "engineered": execution_observations.Engineered,
            "basic": execution_observations.Basic,
            "book": execution_observations.Book,
            "messages": execution_observations.Messages,
            "tokens": execution_observations.Tokens,
        },
        rewards={
            "normal": execution_rewards.Normal,
            "finish_fast": execution_rewards.FinishFast,
            "simplest_case": execution_rewards.SimplestCase,
            "implementation_shortfall": execution_rewards.ImplementationShortfall,
        },
        closing=TaskClosing,
        task=ExecutionTask,
        description=str(execution.__doc__).strip(),
    ),
)
register_agent(
    "directional",
    AgentKind(
        actions={"directional_trading": DirectionalTrading, "do_nothing": maker_actions.DoNothing},
        observations={
            "engineered": maker_observations.Engineered,
            "basic": maker_observations.Basic,
            "book": maker_observations.Book,
            "messages": maker_observations.Messages,
            "tokens": maker_observations.Tokens,
            "signals": Signals,
        },
        rewards={
            "delta_portfolio_value": maker_rewards.DeltaPortfolioValue,
            "portfolio_value": maker_rewards.PortfolioValue,
            "portfolio_value_scaled": maker_rewards.PortfolioValueScaled,
            "sharpe": utilities.Sharpe,
            "pnl": utilities.RealizedPnl,
            "cara": utilities.Cara,
            "mean_variance": utilities.MeanVariance,
        },
        closing=PositionClosing,
        description=str(directional.__doc__).strip(),
    ),
)
