"""Tools for the games that agents' policies play against each other."""

from marl_algos.meta_games import (
    deviation_gains,
    expected_payoffs,
    exploitability,
    nash_conv,
    rank_population,
    rank_profiles,
    solve_zero_sum,
    symmetric,
    uniform_profile,
    zero_sum,
)

from lob_analysis.equilibrium.correlated import best_cce, cce_gap, ce_gap
from lob_analysis.equilibrium.double_oracle import DoubleOracleResult, double_oracle
from lob_analysis.equilibrium.dynamics import multi_replicator, regret_matching, replicator
from lob_analysis.equilibrium.nash import support_enumeration
from lob_analysis.equilibrium.sequence_form import (
    SequenceGame,
    fictitious_play,
    kuhn_poker,
    plan_nash_conv,
)
from lob_analysis.equilibrium.welfare import pareto_front, price_of_anarchy, pure_payoffs

__all__ = [
    "DoubleOracleResult",
    "SequenceGame",
    "best_cce",
    "cce_gap",
    "ce_gap",
    "deviation_gains",
    "double_oracle",
    "expected_payoffs",
    "exploitability",
    "fictitious_play",
    "kuhn_poker",
    "multi_replicator",
    "nash_conv",
    "pareto_front",
    "plan_nash_conv",
    "price_of_anarchy",
    "pure_payoffs",
    "rank_population",
    "rank_profiles",
    "regret_matching",
    "replicator",
    "solve_zero_sum",
    "support_enumeration",
    "symmetric",
    "uniform_profile",
    "zero_sum",
]
