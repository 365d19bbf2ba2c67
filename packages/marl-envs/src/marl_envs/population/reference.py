"""A reference population: a market that rule-based agents make among themselves.

Its make-up is that of the reference configurations of agent-based market simulators: two makers,
about a hundred value traders, a dozen trend followers and a thousand noise traders around a
mean-reverting fundamental. A slow zero-intelligence flow opens the book and moves the clock by
about a second a step.
"""

from __future__ import annotations

from typing import Final

import jax
from lob_core.flow import OrnsteinUhlenbeck, ZeroIntelligence

from marl_envs.config import AgentSpec, EnvConfig
from marl_envs.market import MarketEnv
from marl_envs.types import EnvParams

Array = jax.Array

SESSION_S: Final = 23_400
"""Seconds, and about as many steps, from 09:30 to 16:00."""
FLOW_SPEED: Final = 0.025
"""The background flow runs at this share of its usual rates: about one message a second."""


def reference_population(
    num_steps: int = SESSION_S,
    num_makers: int = 2,
    num_value: int = 100,
    num_momentum: int = 12,
    num_noise: int = 1000,
    num_slots: int = 1024,
    agents: tuple[AgentSpec, ...] = (),
) -> EnvConfig:
    """The configuration of the reference population.

    Args:
        num_steps: steps of an episode, about a second each.
        num_makers: makers with a ladder that leans against their inventory.
        num_value: value traders, who know how the fundamental moves.
        num_momentum: trend followers.
        num_noise: noise traders.
        num_slots: resting orders a side; every trader can have one, a maker five a side.
        agents: further types, such as learners, in front of the population.

    Returns:
        The configuration; make its params with `reference_params`.

    References:
        Byrd, Hybinette, Balch (2019), ABIDES: towards high-fidelity market simulation for AI
        research, arXiv 1904.12066, and its reference configurations RMSC-3 and RMSC-4.
    """
    quotes = {
        "fixed_quant_value": 100,
        "half_spread": 1.0,
        "num_quote_levels": 5,
        "skew": 0.2,
    }
    population = (
        AgentSpec("quoter", num_makers, "linear_skew_ladder", name="makers", settings=quotes),
        AgentSpec("value", num_value, name="value", settings={"activity": 0.01}),
        AgentSpec("trend", num_momentum, "momentum", name="momentum", settings={"activity": 0.1}),
        AgentSpec(
            "noise",
            num_noise,
            name="noise",
            settings={"activity": 0.005, "min_shade": -3, "max_shade": 5},
        ),
    )
    return EnvConfig(
        agents=(*agents, *population),
        num_steps=num_steps,
        messages_per_step=1,
        num_slots=num_slots,
        fundamental=OrnsteinUhlenbeck(),
    )


def reference_params(env: MarketEnv, key: Array | None = None, num_openings: int = 16) -> EnvParams:
    """Params with a background slow enough for the population to be the market.

    Args:
        env: of a `reference_population`.
        key: draws the opening books; None takes a fixed one.
        num_openings: opening books to choose from.
    """
    model = ZeroIntelligence()
    usual = model.default_params()
    slow = usual.replace(
        limit_rate=usual.limit_rate * FLOW_SPEED,
        cancel_rate=usual.cancel_rate * FLOW_SPEED,
        market_rate=usual.market_rate * FLOW_SPEED,
    )
    return env.make_params(model, flow_params=slow, key=key, num_openings=num_openings)
