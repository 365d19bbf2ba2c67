"""The files that studies leave in a run folder.

A study file holds `schema`, the facts of how it was made, and its results; `load_run` reads it and
the report has a section for it.
"""

from __future__ import annotations

from typing import Any, Final

from marl_algos.runs.logging import to_plain, write_json

from lob_analysis.play.lab import Lab
from lob_analysis.runs.load import SCHEMA

EXPLOITABILITY: Final = "exploitability.json"
ROBUSTNESS: Final = "robustness.json"
TRANSFER: Final = "transfer.json"
POPULATION: Final = "population.json"


def write_study(lab: Lab, name: str, content: dict[str, Any]) -> dict[str, Any]:
    """Writes a study file.

    Args:
        lab: the run.
        name: of the file.
        content: facts and results; arrays become lists.

    Returns:
        What was written.
    """
    facts = {
        "schema": SCHEMA,
        "update": lab.update,
        "is_finished": lab.is_finished,
        "caveat": lab.caveat,
    }
    made: dict[str, Any] = to_plain({**facts, **content})
    write_json(lab.path / name, made)
    return made
