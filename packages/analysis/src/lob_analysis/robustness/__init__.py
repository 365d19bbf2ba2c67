"""What becomes of policies under manipulation, adversaries and stress."""

from lob_analysis.robustness.adversary import AdversaryEnv, train_adversary
from lob_analysis.robustness.matrix import PairResult, attack_matrix, compare_pair
from lob_analysis.robustness.scenarios import ATTACKS, STRESSES, Scenario, make_scenario

__all__ = [
    "ATTACKS",
    "STRESSES",
    "AdversaryEnv",
    "PairResult",
    "Scenario",
    "attack_matrix",
    "compare_pair",
    "make_scenario",
    "train_adversary",
]
