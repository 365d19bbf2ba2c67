"""Rule-based policies that learned ones are measured against, by kind of agent."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
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


@dataclasses.dataclass(frozen=True)
class Combination:
    """The market with several agent types played by the first baselines of their kinds.

    Attributes:
        policies: by type, name of the baseline that plays it.
        env: the market with their action schemes exchanged; its randomness is the same.
    """

    policies: dict[str, str]
    env: MarketEnv

    def actions(self, choices: Mapping[str, int]) -> dict[str, Array]:
        """Constant actions `[A]` int32 by type; 0 for types without a choice."""
        return {
            name: jnp.full((self.env.groups[name].num_agents,), choices.get(name, 0), jnp.int32)
            for name in self.policies
        }


def make_contests(env: MarketEnv) -> list[Contest]:
    """One contest for every agent type and baseline of its kind."""
    contests = []
    for spec in env.config.agents:
        for baseline in BASELINES.get(spec.kind, ()):
            other_env = with_baselines(env, {spec.name: baseline})
            space = other_env.groups[spec.name].action_space
            choices = space.n if isinstance(space, Discrete) else 1
            contests.append(Contest(baseline.name, spec.name, other_env, choices))
    return contests


def make_combinations(env: MarketEnv) -> list[Combination]:
    """Every set of two agent types or more that the first baselines of their kinds can play."""
    first = {s.name: BASELINES[s.kind][0] for s in env.config.agents if s.kind in BASELINES}
    combinations = []
    for size in range(2, len(first) + 1):
        for names in itertools.combinations(sorted(first), size):
            chosen = {name: first[name] for name in names}
            policies = {name: baseline.name for name, baseline in chosen.items()}
            combinations.append(Combination(policies, with_baselines(env, chosen)))
    return combinations


def contest_params(contest: Contest, params: EnvParams, training: EnvParams) -> EnvParams:
    """Parameters of a contest; see `calibrated_params`."""
    return calibrated_params(contest.env, params, training)


def calibrated_params(env: MarketEnv, params: EnvParams, training: EnvParams) -> EnvParams:
    """The background of `params`, with the constants that an agent's scheme asks for.

    Args:
        env: what is played.
        params: parameters of the split that is played.
        training: parameters of the training split; a closed-form baseline must not look ahead.
    """
    if not any(agent.action.uses_calibration for agent in env.types):
        return params
    calibration = calibrate(training.background, env.config, jax.random.key(0))
    return dataclasses.replace(params, calibration=calibration)


def with_baselines(env: MarketEnv, baselines: Mapping[str, Baseline]) -> MarketEnv:
    """The market with the action schemes of some types exchanged."""
    specs = tuple(
        _with_action(spec, baselines[spec.name].action) if spec.name in baselines else spec
        for spec in env.config.agents
    )
    return MarketEnv(dataclasses.replace(env.config, agents=specs))


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
