"""Tools for testing environments and agents: a check suite, a scripted market, builders."""

from marl_envs.testing.builders import make_agent, make_book, make_market, make_result
from marl_envs.testing.checks import check_env, sample_actions
from marl_envs.testing.recording import record_windows
from marl_envs.testing.scripted import ScriptedFlow, ScriptState

__all__ = [
    "ScriptState",
    "ScriptedFlow",
    "check_env",
    "make_agent",
    "make_book",
    "make_market",
    "make_result",
    "record_windows",
    "sample_actions",
]
