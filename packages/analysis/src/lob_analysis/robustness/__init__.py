"""What becomes of policies under manipulation, adversaries and stress."""

from lob_analysis.robustness.adversary import AdversaryEnv, AdversaryTrainer, train_adversary
from lob_analysis.robustness.matrix import Hardener, PairResult, attack_matrix, compare_pair
from lob_analysis.robustness.scenarios import (
    ATTACKS,
    NEWCOMERS,
    SCENARIOS,
    STRESSES,
    Scenario,
    make_scenario,
)

__all__ = [
    "ATTACKS",
    "NEWCOMERS",
    "SCENARIOS",
    "STRESSES",
    "AdversaryEnv",
    "AdversaryTrainer",
    "Hardener",
    "PairResult",
    "Scenario",
    "attack_matrix",
    "compare_pair",
    "make_scenario",
    "train_adversary",
]
