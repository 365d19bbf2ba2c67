"""Meta-solvers: how often each policy should be played, given what all of them earn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from marl_algos.meta_games.alpha_rank import rank_profiles
from marl_algos.meta_games.nash import projected_replicator, solve_zero_sum
from marl_algos.meta_games.payoffs import Floats, Profile, as_game, uniform_profile

ALPHA: Final = 10.0
"""Selection intensity of alpha-rank on payoffs scaled to a range of 1."""
POPULATION: Final = 50
"""Individuals of each population of alpha-rank."""
_CONSTANT_SUM_TOLERANCE = 1e-6


def _nash(game: list[Floats]) -> Profile:
    """Linear programme where two players share a constant sum, else projected replicator."""
    total = game[0] + game[-1]
    scale = max(float(np.abs(game[0]).max()), 1e-12)
    if len(game) == 2 and float(np.ptp(total)) <= _CONSTANT_SUM_TOLERANCE * scale:
        row, column, _ = solve_zero_sum(game[0])
        return [row, column]
    return projected_replicator(game)


def _alpha_rank(game: list[Floats]) -> Profile:
    """Marginals of the stationary distribution over joint strategies."""
    scaled = [table / max(float(np.ptp(table)), 1e-12) for table in game]
    joint = rank_profiles(scaled, alpha=ALPHA, population=POPULATION)
    axes = range(joint.ndim)
    return [joint.sum(axis=tuple(a for a in axes if a != player)) for player in axes]


META_SOLVERS: Final[dict[str, Callable[[list[Floats]], Profile]]] = {
    "nash": _nash,
    "uniform": uniform_profile,
    "alpha_rank": _alpha_rank,
}
"""Meta-solvers by name."""


def solve_meta_game(payoffs: Sequence[npt.ArrayLike], solver: str) -> Profile:
    """A mixture for every player over its policies.

    Args:
        payoffs: tensors of the players.
        solver: a key of `META_SOLVERS`.

    Raises:
        ValueError: if the solver is unknown or the payoffs are malformed.

    References:
        Lanctot et al. (2017), A unified game-theoretic approach to multiagent reinforcement
        learning; Muller et al. (2020), A generalized training approach for multiagent learning
        (alpha-rank as meta-solver).
    """
    if solver not in META_SOLVERS:
        raise ValueError(f"meta-solver is {solver!r}; allowed: {', '.join(META_SOLVERS)}")
    return META_SOLVERS[solver](as_game(payoffs))
