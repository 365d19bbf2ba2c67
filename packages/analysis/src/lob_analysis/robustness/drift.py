"""Makers trained with and without an adversary who picks the drift of the market.

References:
    Spooner and Savani (2020), Robust market making via adversarial reinforcement learning, IJCAI.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
from marl_algos.learners.ippo import PPO
from marl_algos.settings import NetworkConfig, PPOConfig, TypeConfig
from marl_envs.games.drift import ADVERSARY, DriftGame

from lob_analysis.play.simulate import Player
from lob_analysis.statistics.estimates import cvar

Array: TypeAlias = jax.Array

MAKER: Final = "market_maker"
SETTINGS: Final = PPOConfig(
    learning_rate=1e-2,
    final_learning_rate=0.05,
    discount=0.995,
    gae_lambda=0.9,
    entropy_coef=0.0,
    num_minibatches=2,
    max_grad_norm=1.0,
    normalize_obs=False,
)


@dataclasses.dataclass(frozen=True)
class DriftOutcome:
    """What a maker earns in a market with one drift.

    Attributes:
        drift: units of price a second; None for the adversary that the maker met in training.
        mean: of the wealth at the end, over episodes.
        deviation: its standard deviation.
        worst: mean of the worst 5 % of episodes (CVaR).
    """

    drift: float | None
    mean: float
    deviation: float
    worst: float


def train_in_drift(
    game: DriftGame,
    bounds: Sequence[float],
    key: Array,
    *,
    num_envs: int = 256,
    num_updates: int = 100,
    num_steps: int = 16,
) -> tuple[PPO, list[dict[str, Any]]]:
    """Makers and adversaries learn against each other (minimax training), one pair for each bound.

    Args:
        game: the market.
        bounds: largest drifts that the adversaries may pick; 0 is ordinary training.
        key: of everything random.
        num_envs: parallel markets.
        num_updates: updates of both.
        num_steps: steps of a rollout.

    Returns:
        The learner, and what each pair has learned by type.
    """
    types = dict.fromkeys(game.groups, TypeConfig(SETTINGS, NetworkConfig(hidden=(8,))))
    learner = PPO(game, types, num_envs=num_envs, num_steps=num_steps, num_updates=num_updates)

    @jax.jit
    def train(key: Array, bound: Array) -> Any:
        state, _ = jax.lax.scan(
            lambda state, _: (learner.update(state, bound)[0], None),
            learner.init(key, bound),
            length=num_updates,
        )
        return state.agents

    return learner, [train(key, jnp.float32(bound)) for bound in bounds]


def drift_outcomes(
    game: DriftGame,
    learner: PPO,
    makers: Sequence[dict[str, Any]],
    drifts: Sequence[float],
    key: Array,
    *,
    num_episodes: int = 1024,
) -> list[list[DriftOutcome]]:
    """How much makers depend on the drift, all in the same episodes.

    Args:
        game: the market, whose bounds hold the drifts; intensity and fill decay are in the middle.
        learner: knows how policies act.
        makers: what each has learned, by type; with its adversary.
        drifts: units of price a second, the same in all steps of an episode.
        key: of all episodes.
        num_episodes: of each outcome.

    Returns:
        For each maker an outcome for each drift, and one for its own adversary.
    """
    player = Player(game, learner, num_episodes, num_steps=game.num_steps)
    found = []
    for agents in makers:
        outcomes = []
        for drift in (*drifts, None):
            fixed = {}
            if drift is not None:
                place = (drift / game.max_drift + 1.0) / 2.0 if game.max_drift > 0 else 0.5
                fixed = {ADVERSARY: jnp.array([[place, 0.5, 0.5]])}
            wealth = player.play(agents, None, key, fixed=fixed).of(MAKER)
            outcomes.append(
                DriftOutcome(drift, float(wealth.mean()), float(wealth.std()), float(cvar(wealth)))
            )
        found.append(outcomes)
    return found
