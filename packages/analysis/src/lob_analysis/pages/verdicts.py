"""What the results of a run say, in plain sentences."""

from __future__ import annotations

from dataclasses import replace

from lob_analysis.agents.results import LEARNED, PolicyResult, compare_policies, headline
from lob_analysis.pages.markup import interval, number
from lob_analysis.pages.plots import agent_name, people_name
from lob_analysis.runs.load import Run
from lob_analysis.statistics.estimates import Estimate


def headlines(run: Run) -> dict[str, list[PolicyResult]]:
    """Results of each agent type on the measure that ranks it."""
    if run.evaluation is None:
        return {}
    found = {}
    for agent_type in run.evaluation["agent_type"].unique(maintain_order=True):
        measure = headline(run.evaluation, agent_type)
        if measure is not None:
            results = compare_policies(run.evaluation, agent_type, measure)
            if results:
                found[agent_type] = results
    return found


def sentences(results: dict[str, list[PolicyResult]]) -> list[str]:
    """What the results say, one plain sentence an agent type and baseline."""
    lines = []
    for agent_type, rows in results.items():
        name = agent_name(agent_type)
        learned = next((row for row in rows if row.policy == LEARNED), None)
        if learned is None:
            lines.append(f"There is no learned policy for the {name} in the evaluation.")
            continue
        if len(rows) == 1:
            lines.append(f"There is no baseline to compare the {name} with.")
        measure = learned.measure
        for row in rows:
            if row.difference is None:
                continue
            moved = f"{measure.label} {_moved(row.difference)} {measure.unit}"
            judged = _judgement(row, name)
            lines.append(f"{judged}: {moved}, {row.difference.num_samples} episodes.")
    return lines


def _judgement(row: PolicyResult, name: str) -> str:
    other = people_name(row.policy)
    if row.difference is not None and row.difference.low == row.difference.high == 0:
        return f"The learned {name} is as good as {other}"
    if row.verdict == "too few":
        return f"{row.num_windows} windows are too few to judge the learned {name} against {other}"
    word = {
        "better": "better than",
        "worse": "worse than",
        "unclear": "not clearly different from",
        "": "compared with",
    }[row.verdict]
    return f"The learned {name} is {word} {other}"


def _moved(difference: Estimate) -> str:
    size = _unsigned(difference)
    word = "higher" if difference.value > 0 else "lower" if difference.value < 0 else "differs"
    return f"{word} by {number(size.value)} ({interval(size)})"


def _unsigned(estimate: Estimate) -> Estimate:
    """The estimate counted in its own direction, for a sentence that names the direction."""
    if estimate.value >= 0:
        return estimate
    return replace(estimate, value=-estimate.value, low=-estimate.high, high=-estimate.low)
