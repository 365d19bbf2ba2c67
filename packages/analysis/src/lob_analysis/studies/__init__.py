"""Studies of a run that play its policies again; each writes one JSON file into the run folder."""

from lob_analysis.studies.attacks import AS_LEARNED, EVERYTHING, attack
from lob_analysis.studies.files import EXPLOITABILITY, POPULATION, ROBUSTNESS, TRANSFER
from lob_analysis.studies.games import exploit, population
from lob_analysis.studies.markets import transfer

__all__ = [
    "AS_LEARNED",
    "EVERYTHING",
    "EXPLOITABILITY",
    "POPULATION",
    "ROBUSTNESS",
    "TRANSFER",
    "attack",
    "exploit",
    "population",
    "transfer",
]
