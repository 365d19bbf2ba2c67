"""Rule-based policies that learned ones are measured against, by kind of agent."""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from marl_envs import AgentSpec, EnvParams, MarketEnv, available_kinds
from marl_envs.calibration import calibrate
from marl_envs.spaces import Discrete

Array: TypeAlias = jax.Array


@dataclasses.dataclass(frozen=True)
class Baseline:
    """An action scheme played with a constant action.

    Attributes:
        name: name of the policy in results.
        action: action scheme of the kind of agent.
    """

    name: str
    action: str


BASELINES: Final[dict[str, tuple[Baseline, ...]]] = {
    "market_maker": (
        Baseline("avellaneda_stoikov", "AvSt"),
        Baseline("do_nothing", "do_nothing"),
    ),
    "execution": (Baseline("twap", "twap"), Baseline("do_nothing", "do_nothing")),
}
"""Baselines by kind of agent."""


@dataclasses.dataclass(frozen=True)
class Contest:
    """The market with one agent type played by a baseline and all others as they were.

    Attributes:
        policy: name of the baseline.
        agent_type: type that it plays.
        env: the market with that type's action scheme exchanged; its randomness is the same.
        num_choices: constant actions to choose from.
    """

    policy: str
    agent_type: str
    env: MarketEnv
    num_choices: int

    def action(self, choice: int) -> Array:
        """Constant actions `[A]` int32 of the agents of the type."""
        group = self.env.groups[self.agent_type]
        return jnp.full((group.num_agents,), choice, jnp.int32)


def make_contests(env: MarketEnv) -> list[Contest]:
    """One contest for every agent type and baseline of its kind."""
    contests = []
    for spec in env.config.agents:
        for baseline in BASELINES.get(spec.kind, ()):
            specs = tuple(
                _with_action(other, baseline.action) if other.name == spec.name else other
                for other in env.config.agents
            )
            other_env = MarketEnv(dataclasses.replace(env.config, agents=specs))
            space = other_env.groups[spec.name].action_space
            choices = space.n if isinstance(space, Discrete) else 1
            contests.append(Contest(baseline.name, spec.name, other_env, choices))
    return contests


def contest_params(contest: Contest, params: EnvParams, training: EnvParams) -> EnvParams:
    """Parameters of a contest: the background of `params`, constants measured on `training`.

    Args:
        contest: what is played.
        params: parameters of the split that is played.
        training: parameters of the training split; a closed-form baseline must not look ahead.
    """
    if not any(agent.action.uses_calibration for agent in contest.env.types):
        return params
    calibration = calibrate(training.background, contest.env.config, jax.random.key(0))
    return dataclasses.replace(params, calibration=calibration)


def _with_action(spec: AgentSpec, action: str) -> AgentSpec:
    """The same agents with another action scheme, without the settings that it does not read."""
    kind = available_kinds()[spec.kind]
    pieces: tuple[Any, ...] = (
        kind.actions[action],
        kind.observations[spec.observation or next(iter(kind.observations))],
        kind.rewards[spec.reward or next(iter(kind.rewards))],
        kind.closing,
        kind.task,
    )
    known = {field.name for piece in pieces for field in dataclasses.fields(piece)}
    settings = tuple((key, value) for key, value in spec.settings if key in known)
    return dataclasses.replace(spec, action=action, settings=settings)
