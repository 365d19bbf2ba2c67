"""Heterogeneous trading agents in one limit order book market."""

from marl_envs.agents.kinds import AgentKind, available_kinds, register_agent
from marl_envs.base import AgentGroup, MultiAgentEnv
from marl_envs.config import AgentSpec, EnvConfig
from marl_envs.market import MarketEnv
from marl_envs.population import kinds as rule_based_kinds
from marl_envs.registry import available_envs, make
from marl_envs.types import EnvParams, EnvState

__all__ = [
    "AgentGroup",
    "AgentKind",
    "AgentSpec",
    "EnvConfig",
    "EnvParams",
    "EnvState",
    "MarketEnv",
    "MultiAgentEnv",
    "available_envs",
    "available_kinds",
    "make",
    "register_agent",
    "rule_based_kinds",
]
