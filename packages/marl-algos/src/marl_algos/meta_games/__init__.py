"""Games among policies: payoff tensors, how far a mixture is from equilibrium, how to mix."""

from marl_algos.meta_games.alpha_rank import rank_population, rank_profiles
from marl_algos.meta_games.nash import projected_replicator, solve_zero_sum
from marl_algos.meta_games.payoffs import (
    Floats,
    Profile,
    action_values,
    as_game,
    deviation_gains,
    expected_payoffs,
    exploitability,
    nash_conv,
    symmetric,
    uniform_profile,
    zero_sum,
)
from marl_algos.meta_games.solvers import META_SOLVERS, solve_meta_game

__all__ = [
    "META_SOLVERS",
    "Floats",
    "Profile",
    "action_values",
    "as_game",
    "deviation_gains",
    "expected_payoffs",
    "exploitability",
    "nash_conv",
    "projected_replicator",
    "rank_population",
    "rank_profiles",
    "solve_meta_game",
    "solve_zero_sum",
    "symmetric",
    "uniform_profile",
    "zero_sum",
]
