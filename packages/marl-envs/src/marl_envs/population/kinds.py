"""The kinds of rule-based agents, registered under their names."""

from __future__ import annotations

from marl_envs.agents.execution.actions import Twap
from marl_envs.agents.execution.task import ExecutionTask
from marl_envs.agents.kinds import AgentKind, register_agent
from marl_envs.closing import TaskClosing
from marl_envs.population import deception, makers, noise, pressure, schedules, technical, value

register_agent(
    "noise",
    AgentKind(
        actions={"zero_intelligence": noise.ZeroIntelligence},
        description="Noise traders: random orders around the mid.",
        is_rule_based=True,
    ),
)
register_agent(
    "trend",
    AgentKind(
        actions={
            "momentum": technical.Momentum,
            "moving_average": technical.MovingAverageCrossover,
        },
        description="Trend followers.",
        is_rule_based=True,
    ),
)
register_agent(
    "mean_reversion",
    AgentKind(
        actions={"mean_reversion": technical.MeanReversion},
        description="Traders who bet that the mid returns to its average.",
        is_rule_based=True,
    ),
)
register_agent(
    "value",
    AgentKind(
        actions={"value": value.Value},
        description="Traders who estimate a fundamental value.",
        is_rule_based=True,
    ),
)
register_agent(
    "quoter",
    AgentKind(
        actions={
            "fixed_spread": makers.FixedSpread,
            "linear_skew_ladder": makers.LinearSkewLadder,
            "avellaneda_stoikov": makers.AvellanedaStoikov,
            "glft": makers.Glft,
            "cartea_jaimungal": makers.CarteaJaimungal,
        },
        description="Market makers who quote by a rule.",
        is_rule_based=True,
    ),
)
register_agent(
    "schedule",
    AgentKind(
        actions={
            "twap": Twap,
            "vwap": schedules.Vwap,
            "pov": schedules.PercentageOfVolume,
            "almgren_chriss": schedules.AlmgrenChriss,
            "obizhaeva_wang": schedules.ObizhaevaWang,
            "iceberg": schedules.Iceberg,
            "submit_and_leave": schedules.SubmitAndLeave,
        },
        closing=TaskClosing,
        task=ExecutionTask,
        description="Executors who follow a schedule.",
        is_rule_based=True,
    ),
)
register_agent(
    "manipulator",
    AgentKind(
        actions={
            "spoofing": deception.Spoofing,
            "layering": deception.Layering,
            "quote_stuffing": deception.QuoteStuffing,
            "pinging": deception.Pinging,
            "momentum_ignition": pressure.MomentumIgnition,
            "painting_the_close": pressure.PaintingTheClose,
            "metaorder_predation": pressure.MetaorderPredation,
        },
        description="Manipulators, for tests of robustness; they act only through orders.",
        is_rule_based=True,
    ),
)
